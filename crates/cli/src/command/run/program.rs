//! The program behind a command's name, before anything is obtained for it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use leasehold::core::{Failure, Kind};
use leasehold::manifest::looks_like_a_key;
use nix::unistd::{AccessFlags, access};

use crate::config::environment::Environment;
use crate::exit::{self, Exit};

const SHELL: &str = "/bin/sh";

/// The program of a command, and the words that it gets. A single word that is no program but looks like a command line
/// is given to the shell.
pub(super) fn resolve(
    command: &[OsString],
    environment: &Environment,
) -> Result<(PathBuf, Vec<OsString>), (Exit, Failure)> {
    let found = find(&command[0], environment);
    match (&found, command) {
        (Err(_), [line]) if is_command_line(line) => {
            let words = [OsString::from("sh"), OsString::from("-c"), line.clone()];
            Ok((PathBuf::from(SHELL), words.into()))
        }
        _ => found.map(|program| (program, command.to_vec())),
    }
}

/// Whether only a shell can make something of a word.
fn is_command_line(word: &OsStr) -> bool {
    word.as_encoded_bytes()
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || b"|&;<>()$`\"'*?#~=%".contains(byte))
}

/// Looks a command up as a shell does: a name with a slash is a path, any other is looked for in `PATH`. A failure
/// comes with its exit code.
fn find(name: &OsStr, environment: &Environment) -> Result<PathBuf, (Exit, Failure)> {
    let path = environment.variable("PATH");
    let is_path = Path::new(name).components().count() > 1 || name.as_encoded_bytes().contains(&b'/');
    let places: Vec<_> = match is_path {
        true => vec![PathBuf::from(name)],
        false => std::env::split_paths(path.unwrap_or_default()).map(|folder| folder.join(name)).collect(),
    };
    if let Some(found) = places.iter().find(|place| is_executable(place)) {
        return Ok(found.clone());
    }
    Err(match places.iter().find(|place| place.exists()) {
        Some(place) => {
            let failure = Failure::new(Kind::Invalid, format!("not executable: {}", place.display()));
            (Exit(exit::NOT_EXECUTABLE), failure.hint("make it so with chmod +x"))
        }
        None => {
            let shown = name.to_string_lossy();
            let shown = if looks_like_a_key(&shown) { "(it looks like a key)" } else { &*shown };
            let failure = Failure::new(Kind::NotFound, format!("command not found: {shown}"));
            let hint = if is_path { "check the path" } else { "is it in a folder of PATH?" };
            (Exit(exit::NOT_FOUND), failure.hint(hint))
        }
    })
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

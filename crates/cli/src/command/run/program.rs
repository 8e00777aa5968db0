//! The program behind a command's name, before anything is obtained for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use leasehold::core::{Failure, Kind};
use nix::unistd::{AccessFlags, access};

use crate::config::environment::Environment;

pub(super) const NOT_FOUND: &str = "command not found";
pub(super) const NOT_EXECUTABLE: &str = "not executable";

/// Looks a command up as a shell does: a name with a slash is a path, any other is looked for in `PATH`.
pub(super) fn find(name: &OsStr, environment: &Environment) -> Result<PathBuf, Failure> {
    let path = environment.variable("PATH");
    let is_path = Path::new(name).components().count() > 1 || name.as_encoded_bytes().contains(&b'/');
    let places: Vec<_> = match is_path {
        true => vec![PathBuf::from(name)],
        false => std::env::split_paths(path.unwrap_or_default()).map(|folder| folder.join(name)).collect(),
    };
    if let Some(found) = places.iter().find(|place| is_executable(place)) {
        return Ok(found.clone());
    }
    let shown = name.to_string_lossy();
    match places.iter().find(|place| place.exists()) {
        Some(place) => Err(Failure::new(Kind::Denied, format!("{NOT_EXECUTABLE}: {}", place.display()))
            .hint("make it so with chmod +x")),
        None => Err(Failure::new(Kind::NotFound, format!("{NOT_FOUND}: {shown}")).hint(if is_path {
            "check the path"
        } else {
            "is it in a folder of PATH?"
        })),
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

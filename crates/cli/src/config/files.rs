//! Which files are read, and whether they can be trusted.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment::Environment;
use super::fault::ConfigFault;
use super::raw::Trust;
use super::text::{SourceFile, Text};

/// The largest configuration file.
const LIMIT: u64 = 1 << 20;

/// The files to read, the one that goes before the others last.
pub(super) fn candidates(named: Option<&Text>, environment: &Environment) -> Vec<(PathBuf, Trust)> {
    let working_dir = environment.working_dir();
    if let Some(named) = named {
        return vec![(named.path(working_dir), Trust::Named)];
    }
    let own = environment.config_folder().map(|folder| (folder.join("leasehold/config.toml"), Trust::Own));
    own.into_iter().chain([(working_dir.join("leasehold.toml"), Trust::Found)]).collect()
}

/// Reads a file. One that nobody named may be missing.
pub(super) fn read(path: &Path, trust: Trust) -> Result<Option<Arc<SourceFile>>, ConfigFault> {
    let fault = |message: String| ConfigFault::new(path.display(), message);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if trust != Trust::Named && is_absent(&error) => return Ok(None),
        Err(error) => return Err(fault(format!("cannot read this file: {}", error.kind()))),
    };
    let unreadable = |error: io::Error| fault(format!("cannot read this file: {}", error.kind()));
    mistrust(path, trust, &file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LIMIT {
        return Err(fault(format!("this file is larger than {LIMIT} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| fault("this file is no UTF-8 text".into()))?;
    Ok(Some(Arc::new(SourceFile { path: path.into(), text })))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Refuses a file that somebody else can write to, or that somebody else put where we look.
fn mistrust(path: &Path, trust: Trust, metadata: &Metadata) -> Result<(), ConfigFault> {
    let user = nix::unistd::geteuid().as_raw();
    if is_writable_by_others(metadata.mode(), metadata.uid(), metadata.gid()) {
        let hint = format!("chmod go-w {}", path.display());
        return Err(ConfigFault::new(path.display(), "others can write to this file").hint(hint));
    }
    if trust != Trust::Named && ![0, user].contains(&metadata.uid()) {
        return Err(ConfigFault::new(path.display(), "this file belongs to somebody else")
            .hint("if you trust it, name it with --config"));
    }
    Ok(())
}

/// Many systems give each user a group of the same number and let it write: that is nobody else.
fn is_writable_by_others(mode: u32, owner: u32, group: u32) -> bool {
    mode & 0o002 != 0 || mode & 0o020 != 0 && group != owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_looked_for() {
        let check = |named: Option<&str>, pairs: &[(&str, &str)], expect: &[&str]| {
            let named = named.map(|path| Text::of_flag(path, "--config"));
            let environment = pairs.iter().copied().collect();
            let found = candidates(named.as_ref(), &environment);
            let found: Vec<_> = found.iter().map(|(path, _)| path.to_str().unwrap()).collect();
            assert_eq!(found, expect);
        };
        check(Some("x.toml"), &[("HOME", "/home/a")], &["/x.toml"]);
        check(None, &[("HOME", "/home/a")], &["/home/a/.config/leasehold/config.toml", "/leasehold.toml"]);
        check(
            None,
            &[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/etc/a")],
            &["/etc/a/leasehold/config.toml", "/leasehold.toml"],
        );
        check(None, &[("XDG_CONFIG_HOME", "relative")], &["/leasehold.toml"]);
    }

    #[test]
    fn who_else_can_write() {
        let check = |mode: u32, group: u32, expect: bool| {
            assert_eq!(is_writable_by_others(mode, 1000, group), expect, "{mode:o} {group}");
        };
        check(0o644, 100, false);
        check(0o600, 100, false);
        check(0o664, 1000, false);
        check(0o664, 100, true);
        check(0o646, 1000, true);
    }

    #[test]
    fn a_missing_file_is_a_fault_only_if_somebody_named_it() {
        let path = Path::new("/nowhere/leasehold.toml");
        assert!(read(path, Trust::Own).unwrap().is_none());
        assert!(read(path, Trust::Found).unwrap().is_none());
        let fault = read(path, Trust::Named).err().unwrap();
        assert_eq!(fault.to_string(), "/nowhere/leasehold.toml: cannot read this file: entity not found");
    }
}

//! Python's `keyring`, whose entries the tests read and which reads theirs.

use super::{need_pip, python, settle, text};
use crate::step::{Outcome, output, say};
use leasehold_testkit::{python_keyring, workspace};
use std::fs;
use std::path::PathBuf;

/// Each package with its hashes, so that pip takes nothing else.
const REQUIREMENTS: &str = include_str!("keyring.txt");

/// The folder with the package, for `PYTHONPATH`. Got once and kept.
pub(super) fn keyring() -> Outcome<PathBuf> {
    if let Ok(folder) = python_keyring() {
        return Ok(folder);
    }
    say("getting Python's keyring from PyPI");
    need_pip()?;
    let tools = workspace().join("target/tools");
    let partial = tools.join(format!(".partial-keyring-{}", std::process::id()));
    fs::create_dir_all(&partial).map_err(text)?;
    let requirements = partial.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(text)?;
    let mut pip = python();
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--root-user-action=ignore", "--requirement"]);
    pip.arg(&requirements).arg("--target").arg(partial.join("ready"));
    let home = tools.join(leasehold_testkit::PYTHON_KEYRING);
    let got = output(&mut pip).and_then(|_| settle(&partial.join("ready"), &home));
    let _ = fs::remove_dir_all(&partial);
    got.and_then(|()| python_keyring())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_pinned_with_all_that_it_needs() {
        let (name, version) = leasehold_testkit::PYTHON_KEYRING.split_once('-').unwrap();
        assert!(REQUIREMENTS.contains(&format!("\n{}=={version} ", name)));
        let entries = REQUIREMENTS.split("\n").filter(|line| line.contains("=="));
        assert!(entries.into_iter().all(|line| line.ends_with(" \\")), "each has a hash");
        let hashes = REQUIREMENTS.lines().filter_map(|line| line.trim().strip_prefix("--hash=sha256:"));
        assert!(hashes.map(|hash| hash.trim_end_matches(" \\").len()).all(|length| length == 64));
    }
}

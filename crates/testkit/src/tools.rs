//! Where the programs are that the tests need.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The release of OpenBao that `cargo xtask tools` gets.
pub const OPENBAO: &str = "2.7.2";

/// The folder of Python's `keyring` below `target/tools`, with its release.
pub const PYTHON_KEYRING: &str = "keyring-25.7.0";

/// The root of the workspace, where `Cargo.lock` is.
pub fn workspace() -> PathBuf {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.expect("testkit was built inside a workspace").to_owned()
}

/// The OpenBao or Vault server: `LEASEHOLD_SERVER_BIN`, else `bao` or `vault` on the PATH, else the one that
/// `cargo xtask tools` got. The error says what to do.
pub fn server_binary() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("LEASEHOLD_SERVER_BIN").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        return path
            .canonicalize()
            .map_err(|error| format!("LEASEHOLD_SERVER_BIN={}: {error}", path.display()));
    }
    let got = workspace().join(format!("target/tools/openbao-{OPENBAO}/bao"));
    let found = on_path("bao").or_else(|| on_path("vault")).or_else(|| got.is_file().then_some(got));
    found.ok_or_else(|| {
        "no OpenBao or Vault server here: run `cargo xtask test` (it gets one), or set LEASEHOLD_SERVER_BIN to a \
         `bao` or `vault` binary"
            .to_owned()
    })
}

/// The folder with Python's `keyring`, for `PYTHONPATH`. The error says what to do.
pub fn python_keyring() -> Result<PathBuf, String> {
    let folder = workspace().join("target/tools").join(PYTHON_KEYRING);
    let missing = || "Python's keyring is not here: run `cargo xtask tools`, which gets it".to_owned();
    folder.join("keyring").is_dir().then_some(folder).ok_or_else(missing)
}

/// The folder of PostgreSQL's server programs: the newest of Debian's, else where `initdb` is on the PATH.
pub fn postgres_folder() -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").is_file());
    let newest = folders.max_by_key(|bin| version(bin));
    let on_path = || on_path("initdb")?.canonicalize().ok()?.parent().map(Path::to_owned);
    newest.or_else(on_path).ok_or_else(|| {
        "no PostgreSQL server here: run `apt-get install postgresql`, or put `initdb` and `postgres` on the PATH"
            .to_owned()
    })
}

/// The first executable file of that name on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The number in `/usr/lib/postgresql/NUMBER/bin`.
fn version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_win_by_number_and_not_by_letter() {
        let check = |path: &str, expect| assert_eq!(version(Path::new(path)), expect, "{path}");
        check("/usr/lib/postgresql/9/bin", Some(9));
        check("/usr/lib/postgresql/15/bin", Some(15));
        check("/usr/lib/postgresql/lib/bin", None);
    }

    #[test]
    fn programs_are_found_on_the_path_only_when_they_can_run() {
        assert!(on_path("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(on_path("no-such-program-here"), None);
        assert!(!is_program(&workspace().join("Cargo.toml")));
    }
}

//! The one file that reads the environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// The variables that carry a part of the login. They do not reach a child, unless it is asked for.
pub(crate) const LOGIN_VARIABLES: &[&str] = &[
    "VAULT_TOKEN",
    "BAO_TOKEN",
    "VAULT_ROLE_ID",
    "BAO_ROLE_ID",
    "VAULT_SECRET_ID",
    "BAO_SECRET_ID",
    "VAULT_JWT",
    "BAO_JWT",
    "LEASEHOLD_PASSWORD",
    "LEASEHOLD_PASSPHRASE",
];

/// The variables and the working directory as they were when the program started. Its `Debug` shows names, never
/// values.
#[derive(Clone)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    working_dir: PathBuf,
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "this is the one file that reads the environment")]
    pub(crate) fn read() -> Self {
        let working_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Self { working_dir, ..std::env::vars_os().collect() }
    }

    /// The same environment in another working directory.
    #[cfg(test)]
    pub(super) fn within(self, working_dir: &Path) -> Self {
        Self { working_dir: working_dir.into(), ..self }
    }

    /// The working directory.
    pub(crate) fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// All variables with their values.
    pub(crate) fn all(&self) -> impl Iterator<Item = (OsString, OsString)> + '_ {
        self.variables.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// The value of a variable, for a reference such as `env://NAME`. It may be empty, and no text at all.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Whether a variable is there and not empty, such as `NO_COLOR`.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.setting(name).is_some()
    }

    /// The value of a variable that means something to us. An empty one counts as unset.
    pub(super) fn setting(&self, name: &str) -> Option<&OsStr> {
        self.variable(name).filter(|value| !value.is_empty())
    }

    /// Where files for a child can be, the best first: the user's own folder, and folders in memory.
    pub(crate) fn private_places(&self) -> Vec<PathBuf> {
        let own = self.folder("XDG_RUNTIME_DIR");
        let disk = self.folder("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        own.into_iter().chain([PathBuf::from("/dev/shm"), disk]).collect()
    }

    /// The address of the session's D-Bus; where no variable tells it, the usual place, whether it is there or not.
    pub(crate) fn session_bus(&self) -> String {
        let told = self.setting("DBUS_SESSION_BUS_ADDRESS").and_then(OsStr::to_str);
        let usual = || {
            let folder = self.folder("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/run/user/none"));
            format!("unix:path={}", folder.join("bus").display())
        };
        told.map_or_else(usual, ToOwned::to_owned)
    }

    /// The user's folder for settings.
    pub(super) fn config_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_CONFIG_HOME").or_else(|| self.below_home(".config"))
    }

    /// A path below the user's home.
    pub(super) fn below_home(&self, path: &str) -> Option<PathBuf> {
        self.folder("HOME").map(|home| home.join(path))
    }

    /// A folder that a variable names by its absolute path.
    pub(super) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.setting(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// The folder for those who have no home.
pub(super) fn homeless() -> PathBuf {
    PathBuf::from(format!("/var/tmp/leasehold-{}", nix::unistd::geteuid()))
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let variables = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, working_dir: PathBuf::from("/") }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_no_setting() {
        let environment: Environment = [("EMPTY", ""), ("FULL", "x")].into_iter().collect();
        assert_eq!(environment.variable("EMPTY"), Some(OsStr::new("")));
        assert_eq!(environment.setting("EMPTY"), None);
        assert_eq!(environment.setting("FULL"), Some(OsStr::new("x")));
        assert_eq!(environment.setting("NONE"), None);
    }

    #[test]
    fn places_for_files() {
        let check = |pairs: &[(&str, &str)], expect: &[&str]| {
            let environment: Environment = pairs.iter().copied().collect();
            let expect: Vec<_> = expect.iter().map(PathBuf::from).collect();
            assert_eq!(environment.private_places(), expect, "{pairs:?}");
        };
        check(&[], &["/dev/shm", "/tmp"]);
        check(
            &[("XDG_RUNTIME_DIR", "/run/user/1"), ("TMPDIR", "/var/x")],
            &["/run/user/1", "/dev/shm", "/var/x"],
        );
        check(&[("XDG_RUNTIME_DIR", "x"), ("TMPDIR", "")], &["/dev/shm", "/tmp"]);
    }

    #[test]
    fn debug_shows_names_alone() {
        let environment: Environment = [("VAULT_TOKEN", "canary")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), r#"{"VAULT_TOKEN"}"#);
    }
}

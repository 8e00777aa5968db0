//! The secrets of an application by their keys: the fields of a secret on the server, or variables of the environment
//! where no server is configured.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use leasehold_core::{Failure, Kind, Secret};

use crate::credential::Credential;

/// Where an application looks for a secret, and for all of them in the same place: what the server does not have is not
/// looked for in the environment, where an old value may lie.
///
/// ```
/// use leasehold::core::Secret;
/// use leasehold::secrets::{Mode, Secrets};
///
/// # fn example() -> Result<(), leasehold::core::Failure> {
/// # let variable = |name: &str| (name == "DB_PASSWORD").then(|| "blue".into());
/// // On a machine without a server: `let variable = |name: &str| std::env::var_os(name);`
/// let secrets = Secrets::of_environment(Mode::Development, variable)?;
/// assert_eq!(secrets.require_secret("DB_PASSWORD")?.expose(), "blue");
/// assert!(!secrets.has_secret("API_KEY"));
/// let region = secrets.get_secret("REGION").unwrap_or_else(|| Secret::new("eu-1"));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone)]
pub struct Secrets(Kept);

#[derive(Clone)]
enum Kept {
    Held(Credential),
    Variables(Arc<Variable>),
}

/// The value of the variable of a name.
type Variable = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// How much is at stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Variables will do.
    Development,
    /// Secrets come from a server, or the application does not start.
    Production,
}

impl Secrets {
    /// The fields of a secret that a [`Session`](crate::session::Session) holds: always the present ones.
    pub fn held(credential: Credential) -> Self {
        Self(Kept::Held(credential))
    }

    /// The variables of the environment, which is handed in.
    ///
    /// # Errors
    ///
    /// `Invalid` in production.
    pub fn of_environment(
        mode: Mode,
        variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        match mode {
            Mode::Development => Ok(Self(Kept::Variables(Arc::new(variable)))),
            Mode::Production => {
                Err(Failure::new(Kind::Invalid, "no server is configured to take secrets from")
                    .hint("in production variables of the environment do not stand in for one"))
            }
        }
    }

    /// The secret of this key. None if there is none, if it is empty, or if the server's are not held at present.
    pub fn get_secret(&self, key: &str) -> Option<Secret> {
        self.require_secret(key).ok()
    }

    /// Whether there is such a secret.
    pub fn has_secret(&self, key: &str) -> bool {
        self.get_secret(key).is_some()
    }

    /// The secret of this key.
    ///
    /// # Errors
    ///
    /// `NotFound`: there is none, or it is empty; `Unreachable`: what the server gave has ended, and it gave nothing new;
    /// `Invalid`: the variable is no text.
    pub fn require_secret(&self, key: &str) -> Result<Secret, Failure> {
        let found = match &self.0 {
            Kept::Held(credential) => {
                let grant = credential.hold().ok_or_else(|| {
                    Failure::new(Kind::Unreachable, format!("the secret with {key} is not held at present"))
                })?;
                grant.fields.field(key).cloned()
            }
            Kept::Variables(variable) => variable(key).map(|value| text(key, value)).transpose()?,
        };
        found.filter(|secret| !secret.is_empty()).ok_or_else(|| {
            Failure::new(Kind::NotFound, format!("there is no secret {key}")).hint(self.hint())
        })
    }

    fn hint(&self) -> &'static str {
        match self.0 {
            Kept::Held(_) => "put it into the secret on the server, as a field of that name",
            Kept::Variables(_) => "set the variable of that name",
        }
    }
}

fn text(key: &str, value: OsString) -> Result<Secret, Failure> {
    let text = value.into_string();
    text.map(Secret::new).map_err(|_| Failure::new(Kind::Invalid, format!("the variable {key} is no text")))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Held(credential) => write!(f, "Secrets({credential:?})"),
            Kept::Variables(_) => f.write_str("Secrets(variables)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Publisher;
    use leasehold_core::{Fields, Grant, Lease, SlotId};
    use std::os::unix::ffi::OsStringExt;

    fn variable(name: &str) -> Option<OsString> {
        match name {
            "DB_PASSWORD" => Some("canary".into()),
            "EMPTY" => Some("".into()),
            "BYTES" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        }
    }

    fn kind(secrets: &Secrets, key: &str) -> Option<Kind> {
        assert_eq!(secrets.get_secret(key).is_some(), secrets.has_secret(key), "{key}");
        secrets.require_secret(key).err().map(|failure| failure.kind())
    }

    #[test]
    fn variables_stand_in_for_a_server_and_not_in_production() {
        let secrets = Secrets::of_environment(Mode::Development, variable).unwrap();
        let check = |key, expect| assert_eq!(kind(&secrets, key), expect, "{key}");
        check("DB_PASSWORD", None);
        check("EMPTY", Some(Kind::NotFound));
        check("ABSENT", Some(Kind::NotFound));
        check("BYTES", Some(Kind::Invalid));
        assert!(!format!("{secrets:?}").contains("canary"));
        let refused = Secrets::of_environment(Mode::Production, variable).unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid);
    }

    #[test]
    fn what_is_held_is_always_the_present_value() {
        let publisher = Publisher::new(SlotId(1));
        let secrets = Secrets::held(publisher.credential());
        assert_eq!(kind(&secrets, "password"), Some(Kind::Unreachable));
        for (generation, value) in [(1, "blue"), (2, "green")] {
            let fields = Fields::from_iter([("password", Secret::new(value)), ("empty", Secret::new(""))]);
            let grant = Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None };
            publisher.publish(generation, Arc::new(grant));
            assert_eq!(secrets.require_secret("password").unwrap().expose(), value);
        }
        assert_eq!(kind(&secrets, "empty"), Some(Kind::NotFound));
        assert_eq!(kind(&secrets, "user"), Some(Kind::NotFound));
        publisher.withdraw();
        assert_eq!(kind(&secrets, "password"), Some(Kind::Unreachable));
    }
}

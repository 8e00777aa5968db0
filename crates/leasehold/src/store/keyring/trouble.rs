//! What can be wrong with a keyring, each with words and a hint of its own.

use std::fmt;
use std::time::Duration;

use leasehold_core::{Failure, Kind};
use zbus::DBusError;

/// How long the keyring may take for an answer. One that works takes milliseconds, one that the bus has to start first takes
/// seconds. With what the program needs itself, it is told within five.
pub(super) const LIMIT: Duration = Duration::from_millis(4500);

/// What can be wrong with a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NoBus,
    NoKeyring,
    NoFolder,
    Mute,
    BrokeOff,
    Locked,
    Refused,
    NoAgreement,
    NoEntry,
    Several,
    NoText,
    Other(String),
}

impl Trouble {
    /// As a failure in the matter of this entry or service.
    pub(super) fn failure(self, what: &dyn fmt::Display) -> Failure {
        let (kind, message, hint) = match self {
            Self::NoBus => (
                Kind::Unreachable,
                "there is no keyring: no D-Bus session answers".into(),
                "on a machine without a desktop, start one: dbus-run-session, and a keyring in it",
            ),
            Self::NoKeyring => (
                Kind::Unreachable,
                "there is no keyring on the session's D-Bus".into(),
                "install and start one, such as gnome-keyring",
            ),
            Self::NoFolder => (
                Kind::Unreachable,
                "the keyring on the session's D-Bus has no default folder yet".into(),
                "log in at the desktop once, or make one with its program for passwords",
            ),
            Self::Mute => (
                Kind::Unreachable,
                format!("the keyring gave no answer about {what} within {:.1} s", LIMIT.as_secs_f32()),
                "it may wait for somebody at the desktop, or hang: see whether other programs can use it",
            ),
            Self::BrokeOff => (
                Kind::Unreachable,
                format!("the keyring broke off while it was asked about {what}"),
                "it may have ended: see whether other programs can use it",
            ),
            Self::Locked => (
                Kind::Sealed,
                format!("the keyring with {what} is locked"),
                "unlock it at the desktop, or by logging in there",
            ),
            Self::Refused => (
                Kind::Denied,
                format!("the keyring refuses {what} to this program"),
                "see its settings for which programs may use it",
            ),
            Self::NoAgreement => (
                Kind::Broken,
                format!("the keyring's encryption of {what} is wrong"),
                "see whether other programs can use it",
            ),
            Self::NoEntry => (Kind::NotFound, format!("the keyring has no entry {what}"), "set it first"),
            Self::Several => (
                Kind::Invalid,
                format!("the keyring has several entries {what}"),
                "delete it, which deletes all of them, and set it again",
            ),
            Self::NoText => (Kind::Invalid, format!("the secret of {what} is no text"), "set it again"),
            Self::Other(name) => (
                Kind::Broken,
                format!("the keyring failed about {what}: {name}"),
                "see whether other programs can use it",
            ),
        };
        Failure::new(kind, message).hint(hint)
    }

    /// By the name of a D-Bus error.
    fn by_name(name: &str) -> Self {
        match name.rsplit('.').next().unwrap_or_default() {
            "ServiceUnknown" | "NameHasNoOwner" | "ChildExited" | "ExecFailed" => Self::NoKeyring,
            "Timeout" | "TimedOut" => Self::Mute,
            // The bus says so at once when whoever was asked has gone.
            "NoReply" | "Disconnected" => Self::BrokeOff,
            "IsLocked" => Self::Locked,
            "NoSuchObject" => Self::NoEntry,
            "AccessDenied" | "AuthFailed" => Self::Refused,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Texts of the keyring are not repeated: they may hold anything.
impl From<zbus::Error> for Trouble {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, ..) => Self::by_name(name.as_str()),
            zbus::Error::FDO(error) => Self::by_name(error.name().as_str()),
            _ => Self::BrokeOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_errors_are_told_apart() {
        let check = |name: &str, expect| assert_eq!(Trouble::by_name(name), expect, "{name}");
        check("org.freedesktop.DBus.Error.ServiceUnknown", Trouble::NoKeyring);
        check("org.freedesktop.DBus.Error.NameHasNoOwner", Trouble::NoKeyring);
        check("org.freedesktop.DBus.Error.Spawn.ExecFailed", Trouble::NoKeyring);
        check("org.freedesktop.DBus.Error.Timeout", Trouble::Mute);
        check("org.freedesktop.DBus.Error.NoReply", Trouble::BrokeOff);
        check("org.freedesktop.Secret.Error.IsLocked", Trouble::Locked);
        check("org.freedesktop.Secret.Error.NoSuchObject", Trouble::NoEntry);
        check("org.freedesktop.DBus.Error.AccessDenied", Trouble::Refused);
        check("org.freedesktop.DBus.Error.Failed", Trouble::Other("Failed".into()));
    }
}

//! The desktop's keyring: the Secret Service on the session's D-Bus, such as GNOME Keyring, KWallet or KeePassXC.
//!
//! It may be absent, locked, mute or of two minds, and each of these is an answer of its own. It is never unlocked
//! from here: that would ask a person, and wait for them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};
use secret_service::{Collection, EncryptionType, Error, Item, SearchItemsResult, SecretService};
use zbus::DBusError;
use zbus::connection::{Builder, Connection};
use zeroize::Zeroizing;

use super::{Answer, Listed, Store};
use crate::clock;

/// The program that wrote an item, as Python's `keyring` calls itself. It writes over an item only where this is the
/// same, and else puts another beside it.
const APPLICATION: &str = "Python keyring library";
const CONTENT_TYPE: &str = "text/plain";
/// How long the keyring may take for an answer. One that works takes milliseconds.
const LIMIT: Duration = Duration::from_secs(3);

/// The keyring of a session.
///
/// ```no_run
/// use leasehold::core::name::{Place, Reference};
/// use leasehold::store::{Keyring, Store};
///
/// # async fn example() -> Result<(), leasehold::core::Failure> {
/// let keyring = Keyring::at("unix:path=/run/user/1000/bus");
/// let reference = Reference::parse("keyring://agent_vault/api.openai.com/pro_key").unwrap();
/// if let Place::Stored(_, entry) = reference.place() {
///     let secret = keyring.find(entry).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Keyring {
    bus: Box<str>,
    /// The connection of the greeting, for what comes next: a third of the time goes into connecting.
    greeted: Arc<Mutex<Option<Connection>>>,
}

impl Keyring {
    /// The keyring on the bus at this address, as `DBUS_SESSION_BUS_ADDRESS` gives it. Nothing is opened yet.
    pub fn at(bus: &str) -> Self {
        Self { bus: bus.into(), greeted: Arc::default() }
    }

    /// Why there is no keyring that could keep anything; none if there is one, be it locked or mute.
    pub async fn absence(&self) -> Option<Failure> {
        let greet = async {
            let connection = self.connection().await?;
            let service =
                SecretService::connect_with_existing(EncryptionType::Plain, connection.clone()).await?;
            default_folder(&service).await?;
            *self.greeted.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            Ok(())
        };
        match tokio::time::timeout(LIMIT, greet).await {
            Ok(Err(trouble @ (Trouble::NoBus | Trouble::NoKeyring | Trouble::NoFolder))) => {
                Some(trouble.failure(&"anything"))
            }
            _ => None,
        }
    }

    /// Whether it answers and is open.
    ///
    /// # Errors
    ///
    /// Why not: `Sealed`, it is locked; `Unreachable`, it is not there or does not answer.
    pub async fn expect_open(&self) -> Result<(), Failure> {
        within_limit("our keys", async {
            let service = self.service().await?;
            Ok(default_folder(&service).await?.ensure_unlocked().await?)
        })
        .await
    }

    /// The keyring, for what passes no secret: agreeing on a key costs more than all the rest.
    async fn service(&self) -> Result<SecretService<'static>, Trouble> {
        self.connect(EncryptionType::Plain).await
    }

    /// The keyring, for what passes a secret: whoever listens on the bus gets none to see.
    async fn encrypted(&self) -> Result<SecretService<'static>, Trouble> {
        self.connect(EncryptionType::Dh).await
    }

    async fn connect(&self, encryption: EncryptionType) -> Result<SecretService<'static>, Trouble> {
        Ok(SecretService::connect_with_existing(encryption, self.connection().await?).await?)
    }

    /// The connection of the greeting, once, or a new one.
    async fn connection(&self) -> Result<Connection, Trouble> {
        let greeted = self.greeted.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = greeted {
            return Ok(connection);
        }
        let bus = Builder::address(&*self.bus).map_err(|_| Trouble::NoBus)?;
        bus.build().await.map_err(|_| Trouble::NoBus)
    }

    async fn get(&self, entry: &Entry) -> Result<Secret, Trouble> {
        let service = self.encrypted().await?;
        let item = one(service.search_items(attributes(entry)).await?)?;
        let bytes = Zeroizing::new(item.ok_or(Trouble::NoEntry)?.get_secret().await?);
        std::str::from_utf8(&bytes).map(Secret::new).map_err(|_| Trouble::NoText)
    }

    async fn set(&self, entry: &Entry, secret: &Secret) -> Result<(), Trouble> {
        let service = self.encrypted().await?;
        let bytes = secret.expose().as_bytes();
        if let Some(item) = one(service.search_items(attributes(entry)).await?)? {
            return Ok(item.set_secret(bytes, CONTENT_TYPE).await?);
        }
        let collection = default_folder(&service).await?;
        // A new entry in a locked keyring would ask a person to unlock it.
        collection.ensure_unlocked().await?;
        let label = format!("{entry} (leasehold)");
        let attributes = attributes(entry).into_iter().chain([("application", APPLICATION)]).collect();
        // Somebody may have put the same entry a moment ago.
        let replace = true;
        collection.create_item(&label, attributes, bytes, replace, CONTENT_TYPE).await?;
        Ok(())
    }

    /// Deletes all items of the entry, should there be several.
    async fn delete(&self, entry: &Entry) -> Result<bool, Trouble> {
        let service = self.service().await?;
        let found = service.search_items(attributes(entry)).await?;
        if !found.locked.is_empty() {
            return Err(Trouble::Locked);
        }
        for item in &found.unlocked {
            item.delete().await?;
        }
        Ok(!found.unlocked.is_empty())
    }

    async fn has(&self, entry: &Entry) -> Result<bool, Trouble> {
        let service = self.service().await?;
        let found = service.search_items(attributes(entry)).await?;
        Ok(!found.unlocked.is_empty() || !found.locked.is_empty())
    }

    async fn entries(&self, service: &str) -> Result<Vec<Listed>, Trouble> {
        let keyring = self.service().await?;
        let found = keyring.search_items(HashMap::from([("service", service)])).await?;
        let mut entries = Vec::new();
        for item in found.unlocked.iter().chain(&found.locked) {
            match item.get_attributes().await?.remove("username") {
                Some(name) => {
                    let entry = Entry { service: service.into(), name: name.into() };
                    entries.push(Listed { entry, written: modified(item).await? });
                }
                // Some tell no names while they are locked.
                None if !found.locked.is_empty() => return Err(Trouble::Locked),
                None => {}
            }
        }
        entries.sort();
        entries.dedup_by(|one, other| one.entry == other.entry);
        Ok(entries)
    }
}

impl Store for Keyring {
    fn title(&self) -> String {
        "the keyring".into()
    }

    fn find<'a>(&'a self, entry: &'a Entry) -> Answer<'a, Secret> {
        within_limit(entry, self.get(entry))
    }

    fn put<'a>(&'a self, entry: &'a Entry, secret: &'a Secret) -> Answer<'a, ()> {
        within_limit(entry, self.set(entry, secret))
    }

    fn remove<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        within_limit(entry, self.delete(entry))
    }

    fn contains<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        within_limit(entry, self.has(entry))
    }

    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Listed>> {
        within_limit(service, self.entries(service))
    }
}

/// What came of it, at the limit at the latest.
fn within_limit<'a, T: 'a>(
    what: impl fmt::Display + Send + 'a,
    work: impl Future<Output = Result<T, Trouble>> + Send + 'a,
) -> Answer<'a, T> {
    Box::pin(async move {
        let outcome = tokio::time::timeout(LIMIT, work).await;
        outcome.unwrap_or(Err(Trouble::Mute)).map_err(|trouble| trouble.failure(&what))
    })
}

/// When an item was last written; nothing where the keyring does not tell, as while it is locked.
async fn modified(item: &Item<'_>) -> Result<Option<SystemTime>, Trouble> {
    let seconds = item.get_modified().await?;
    Ok(Some(seconds).filter(|seconds| *seconds > 0).and_then(clock::wall_time))
}

/// What identifies an entry, for us and for other programs.
fn attributes(entry: &Entry) -> HashMap<&str, &str> {
    HashMap::from([("service", &*entry.service), ("username", &*entry.name)])
}

/// Where new entries go. Another folder than the default one may be forgotten at the end of the session.
async fn default_folder<'a>(service: &'a SecretService<'static>) -> Result<Collection<'a>, Trouble> {
    service.get_default_collection().await.map_err(|error| match error {
        Error::NoResult => Trouble::NoFolder,
        error => error.into(),
    })
}

/// The one item that was found, if any.
fn one<'a>(found: SearchItemsResult<Item<'a>>) -> Result<Option<Item<'a>>, Trouble> {
    let mut unlocked = found.unlocked;
    match (unlocked.len(), found.locked.len()) {
        (0, 0) => Ok(None),
        (0, _) => Err(Trouble::Locked),
        (1, 0) => Ok(unlocked.pop()),
        _ => Err(Trouble::Several),
    }
}

/// What can be wrong with a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    NoBus,
    NoKeyring,
    NoFolder,
    Mute,
    BrokeOff,
    Locked,
    Refused,
    NoEntry,
    Several,
    NoText,
    Other(String),
}

impl Trouble {
    /// As a failure in the matter of this entry or service.
    fn failure(self, what: &dyn fmt::Display) -> Failure {
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
                format!("the keyring gave no answer about {what} within {} s", LIMIT.as_secs()),
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
impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Locked => Self::Locked,
            // Somebody at the desktop was asked whether we may.
            Error::Prompt => Self::Refused,
            Error::NoResult => Self::NoEntry,
            Error::Unavailable => Self::NoKeyring,
            Error::Zbus(zbus::Error::MethodError(name, ..)) => Self::by_name(name.as_str()),
            Error::Zbus(zbus::Error::FDO(error)) => Self::by_name(error.name().as_str()),
            Error::ZbusFdo(error) => Self::by_name(error.name().as_str()),
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

    #[test]
    fn an_address_that_is_none_is_no_bus() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let entry = Entry { service: "a".into(), name: "b".into() };
        for bus in ["", "nonsense", "unix:path=/nowhere/bus"] {
            let failure = runtime.block_on(Keyring::at(bus).find(&entry)).unwrap_err();
            assert_eq!(failure.kind(), Kind::Unreachable, "{bus}");
        }
    }
}

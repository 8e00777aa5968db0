//! The desktop's keyring: the Secret Service on the session's D-Bus, such as GNOME Keyring, KWallet or KeePassXC.
//!
//! It may be absent, locked, mute or of two minds, and each of these is an answer of its own. It is never unlocked
//! from here: that would ask a person, and wait for them.

mod trouble;
mod exchange;
mod service;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use leasehold_core::name::Entry;
use leasehold_core::{Failure, Secret};
use zbus::connection::{Builder, Connection};
use zbus::zvariant::OwnedObjectPath;

use super::{Answer, Listed, Store};
use crate::clock;
use service::{Attributes, Found, Service};
use trouble::{LIMIT, Trouble};

/// The program that wrote an item, as Python's `keyring` calls itself. It writes over an item only where this is the
/// same, and else puts another beside it.
const APPLICATION: &str = "Python keyring library";

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
            let service = self.service().await?;
            default_folder(&service).await?;
            *self.greeted.lock().unwrap_or_else(PoisonError::into_inner) = Some(service.0);
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
            expect_unlocked(&service).await.map(|_| ())
        })
        .await
    }

    async fn service(&self) -> Result<Service, Trouble> {
        self.connection().await.map(Service)
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
        let service = self.service().await?;
        let item = one(service.search(&attributes(entry)).await?)?.ok_or(Trouble::NoEntry)?;
        let bytes = service.secret(&item, &service.session().await?).await?;
        std::str::from_utf8(&bytes).map(Secret::new).map_err(|_| Trouble::NoText)
    }

    async fn set(&self, entry: &Entry, secret: &Secret) -> Result<(), Trouble> {
        let service = self.service().await?;
        let bytes = secret.expose().as_bytes();
        if let Some(item) = one(service.search(&attributes(entry)).await?)? {
            return service.set_secret(&item, &service.session().await?, bytes).await;
        }
        // A new entry in a locked keyring would ask a person to unlock it.
        let folder = expect_unlocked(&service).await?;
        let label = format!("{entry} (leasehold)");
        let attributes = attributes(entry).into_iter().chain([("application", APPLICATION)]).collect();
        // It replaces: somebody may have put the same entry a moment ago.
        service.create(&folder, &label, attributes, (&service.session().await?, bytes)).await
    }

    /// Deletes all items of the entry, should there be several.
    async fn delete(&self, entry: &Entry) -> Result<bool, Trouble> {
        let service = self.service().await?;
        let found = service.search(&attributes(entry)).await?;
        if !found.locked.is_empty() {
            return Err(Trouble::Locked);
        }
        for item in &found.unlocked {
            service.delete(item).await?;
        }
        Ok(!found.unlocked.is_empty())
    }

    async fn has(&self, entry: &Entry) -> Result<bool, Trouble> {
        let found = self.service().await?.search(&attributes(entry)).await?;
        Ok(!found.unlocked.is_empty() || !found.locked.is_empty())
    }

    async fn entries(&self, service: &str) -> Result<Vec<Listed>, Trouble> {
        let keyring = self.service().await?;
        let found = keyring.search(&Attributes::from([("service", service)])).await?;
        let mut entries = Vec::new();
        for item in found.unlocked.iter().chain(&found.locked) {
            let mut label = keyring.label(item).await?;
            match label.attributes.remove("username") {
                Some(name) => {
                    let entry = Entry { service: service.into(), name: name.into() };
                    // Nothing is told of when it was written while it is locked.
                    let modified = Some(label.modified).filter(|seconds| *seconds > 0);
                    entries.push(Listed { entry, written: modified.and_then(clock::wall_time) });
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

/// What identifies an entry, for us and for other programs.
fn attributes(entry: &Entry) -> Attributes<'_> {
    Attributes::from([("service", &*entry.service), ("username", &*entry.name)])
}

/// Where new entries go. Another folder than the default one may be forgotten at the end of the session.
async fn default_folder(service: &Service) -> Result<OwnedObjectPath, Trouble> {
    service.default_folder().await?.ok_or(Trouble::NoFolder)
}

async fn expect_unlocked(service: &Service) -> Result<OwnedObjectPath, Trouble> {
    let folder = default_folder(service).await?;
    if service.is_locked(&folder).await? { Err(Trouble::Locked) } else { Ok(folder) }
}

/// The one item that was found, if any.
fn one(found: Found) -> Result<Option<OwnedObjectPath>, Trouble> {
    let mut unlocked = found.unlocked;
    match (unlocked.len(), found.locked.len()) {
        (0, 0) => Ok(None),
        (0, _) => Err(Trouble::Locked),
        (1, 0) => Ok(unlocked.pop()),
        _ => Err(Trouble::Several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Kind;

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

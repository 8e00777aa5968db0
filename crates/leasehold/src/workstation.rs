//! A workstation: its stores, and what is done with the keys of its providers.

mod note;
mod seal;

mod key;
mod keys;
mod stores;

mod elsewhere;

mod standing;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use futures_util::future::join_all;
use leasehold_core::name::{Entry, Place, Reference, StoreKind, VaultReference};
use leasehold_core::{Failure, Kind, Secret};
use tokio::sync::oneshot;

use crate::checks::Checks;
use crate::identity::Source;
use crate::manifest::{Pointer, Provider, SERVICE};
use crate::probe::Prober;
use crate::store::mute::{Heeded, Silence};
use crate::store::{Store, found};
pub use elsewhere::Elsewhere;
pub use key::{KeyState, LONGEST, check_key};
pub use seal::Seal;
pub use standing::{Fault, PassedOver, Pick, Standing, Trial};
pub use stores::{Choice, Chosen, Purpose, StoreSettings, Stores};

/// Reads a variable of our own environment, for `env://NAME`.
pub type Variables = Arc<dyn Fn(&str) -> Result<Secret, Failure> + Send + Sync>;

/// A workstation. What is asked of it is read from the stores anew; clones share what the stores were opened with.
#[derive(Clone)]
pub struct Workstation<'a> {
    stores: Arc<Stores>,
    /// The server's secrets, or why they cannot be had.
    server: Result<Arc<dyn Store + 'a>, Failure>,
    variables: Variables,
    /// The file that remembers what providers said of their keys.
    checks: PathBuf,
    prober: Prober,
}

/// A place whose secret can be read, and perhaps written.
enum Spot<'a> {
    Store(Arc<dyn Store + 'a>, Entry),
    Variable(Box<str>),
    File(PathBuf),
}

impl<'a> Workstation<'a> {
    /// The workstation with these stores. Nothing is opened yet.
    ///
    /// `checks` is the file that remembers what providers said of their keys.
    pub fn new(stores: Stores, variables: Variables, checks: impl Into<PathBuf>) -> Self {
        let server = Err(Failure::new(Kind::NeedsLogin, "no server is configured")
            .hint("set VAULT_ADDR and a login, or give the provider another `vault_key`"));
        Self { stores: Arc::new(stores), server, variables, checks: checks.into(), prober: Prober::default() }
    }

    /// With a server, for pointers such as `vault://secret/ai#openai`.
    pub fn with_server<'b>(self, server: Arc<dyn Store + 'b>) -> Workstation<'b> {
        let Self { stores, variables, checks, prober, .. } = self;
        let server: Arc<dyn Store + 'b> = Arc::new(Heeded { store: server, silence: Silence::default() });
        Workstation { stores, server: Ok(server), variables, checks, prober }
    }

    /// Without a server, for this reason.
    pub fn without_server(self, why: Failure) -> Self {
        Self { server: Err(why), ..self }
    }

    /// The stores.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// What providers said of their keys.
    pub fn checks(&self) -> Checks {
        Checks::at(&self.checks)
    }

    /// Who asks the providers.
    pub fn prober(&self) -> Prober {
        self.prober
    }

    /// Puts a provider's key where its pointer says. The place.
    ///
    /// # Errors
    ///
    /// `Invalid`: the secret is empty, blank, too long, or holds a zero byte; or the provider has no pointer.
    /// `Unreachable`: the keys so far are in a keyring that is not there now.
    pub async fn set_key(&self, provider: &Provider, secret: &Secret) -> Result<Reference, Failure> {
        check_key(secret).map_err(|failure| failure.hint("nothing was stored"))?;
        let pointer = provider.needed_pointer()?;
        let reference = self.stores.place_to_write(pointer).await?;
        let (store, entry) = self.writable(&reference).await?;
        store.put(&entry, secret).await?;
        self.stores.note_writing(pointer).await;
        self.forget_check(provider);
        Ok(reference)
    }

    /// Deletes a provider's key. Whether there was one.
    pub async fn delete_key(&self, provider: &Provider) -> Result<bool, Failure> {
        let reference = self.stores.place_to_write(provider.needed_pointer()?).await?;
        let was_there = self.remove(&reference).await?;
        self.forget_check(provider);
        Ok(was_there)
    }

    /// Removes the secret at a place. Whether there was one.
    ///
    /// # Errors
    ///
    /// `Invalid`: the place is none that is written.
    pub async fn remove(&self, reference: &Reference) -> Result<bool, Failure> {
        let (store, entry) = self.writable(reference).await?;
        store.remove(&entry).await
    }

    /// A store, and the service in it under which it has what plain pointers name.
    pub async fn shelf(
        &self,
        choice: &Choice,
        purpose: Purpose,
    ) -> Result<(Arc<dyn Store + 'a>, Box<str>), Failure> {
        Ok(match choice {
            Choice::Store(kind) => (self.stores.store(*kind, purpose).await?, SERVICE.into()),
            Choice::Server(path) => (self.server(choice)?, path.as_str().into()),
        })
    }

    /// What was said of the old key is not true of a new one. That it stays on the disk undoes nothing.
    fn forget_check(&self, provider: &Provider) {
        if let Err(failure) = self.checks().forget(provider) {
            tracing::warn!(
                "what was said of the old key of {} is still remembered: {failure}",
                provider.name
            );
        }
    }

    /// A provider's key.
    pub async fn key(&self, pointer: &Pointer) -> Result<Secret, Failure> {
        self.find(&self.stores.reference(pointer).await).await
    }

    /// The secret at a place.
    pub async fn find(&self, reference: &Reference) -> Result<Secret, Failure> {
        match self.spot(reference, Purpose::Read).await? {
            Spot::Store(store, entry) => store.find(&entry).await,
            Spot::Variable(name) => (self.variables)(&name),
            Spot::File(path) => read_file(path).await,
        }
    }

    /// The secrets at these places, of each for itself and in their order. Each store looks once, all at the same time.
    pub async fn find_all(&self, places: &[Reference]) -> Vec<Result<Secret, Failure>> {
        let (mut answers, mut shelves) = (Vec::new(), HashMap::new());
        for (at, place) in places.iter().enumerate() {
            match self.spot(place, Purpose::Read).await {
                Ok(Spot::Store(store, entry)) => {
                    let shelf = shelves.entry(store_of(place)).or_insert_with(|| (store, Vec::new()));
                    shelf.1.push((at, entry));
                }
                Ok(Spot::Variable(name)) => answers.push((at, (self.variables)(&name))),
                Ok(Spot::File(path)) => answers.push((at, read_file(path).await)),
                Err(failure) => answers.push((at, Err(failure))),
            }
        }
        let looks = shelves.into_values().map(async |(store, entries)| {
            let (at, entries): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
            at.into_iter().zip(store.find_all(&entries).await).collect::<Vec<_>>()
        });
        answers.extend(join_all(looks).await.into_iter().flatten());
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Whether there is a secret at a place, without a look at it where that can be.
    pub async fn contains(&self, reference: &Reference) -> Result<bool, Failure> {
        match self.spot(reference, Purpose::Read).await? {
            Spot::Store(store, entry) => store.contains(&entry).await,
            Spot::Variable(name) => Ok(found((self.variables)(&name))?.is_some()),
            Spot::File(path) => Ok(found(read_file(path).await)?.is_some()),
        }
    }

    async fn writable(&self, reference: &Reference) -> Result<(Arc<dyn Store + 'a>, Entry), Failure> {
        match self.spot(reference, Purpose::Write).await? {
            Spot::Store(store, entry) => Ok((store, entry)),
            Spot::Variable(_) | Spot::File(_) => {
                Err(Failure::new(Kind::Invalid, format!("{reference} is read, and never written"))
                    .hint("write it where it is made, or give the provider another `vault_key`"))
            }
        }
    }

    async fn spot(&self, reference: &Reference, purpose: Purpose) -> Result<Spot<'a>, Failure> {
        Ok(match reference.place() {
            Place::Stored(kind, entry) => {
                Spot::Store(self.stores.store(*kind, purpose).await?, entry.clone())
            }
            Place::Vault(vault) => Spot::Store(self.server(reference)?, field_of(vault, reference)?),
            Place::Env(name) => Spot::Variable(name.clone()),
            Place::File(path) => Spot::File(PathBuf::from(&**path)),
        })
    }

    /// The server's secrets, for this matter.
    fn server(&self, matter: impl fmt::Display) -> Result<Arc<dyn Store + 'a>, Failure> {
        self.server.clone().map_err(|failure| failure.context(matter))
    }
}

impl fmt::Debug for Workstation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workstation").field("stores", &self.stores).finish_non_exhaustive()
    }
}

/// The store of a place; none of the workstation's stores is the server.
fn store_of(place: &Reference) -> Option<StoreKind> {
    match place.place() {
        Place::Stored(kind, _) => Some(*kind),
        Place::Vault(_) | Place::Env(_) | Place::File(_) => None,
    }
}

/// A field of a secret on the server, as an entry.
fn field_of(vault: &VaultReference, reference: &Reference) -> Result<Entry, Failure> {
    let invalid = |message: String, hint: &str| Err(Failure::new(Kind::Invalid, message).hint(hint));
    if vault.version.is_some() || vault.namespace.is_some() {
        let message = format!("a pointer names neither version nor namespace: {reference}");
        return invalid(message, "leave them out; the namespace is that of the configuration");
    }
    match reference.field() {
        Some(field) => Ok(Entry { service: vault.path.as_str().into(), name: field.into() }),
        None => invalid(format!("{reference} does not say which field"), "add #FIELD"),
    }
}

/// Reads a file on a thread of its own: one that hangs, as on a share that is gone, holds up nobody else. Who does not
/// wait any more leaves the thread to itself; a runtime that ends does not wait for it either.
async fn read_file(path: PathBuf) -> Result<Secret, Failure> {
    let broken = || Failure::new(Kind::Broken, "a file could not be read");
    let (answer, answered) = oneshot::channel();
    let thread = thread::Builder::new().name("leasehold-file".into());
    // Who asked may have gone.
    let reading = thread.spawn(move || _ = answer.send(read_whole(path)));
    reading.map_err(|error| broken().context(error))?;
    answered.await.unwrap_or_else(|_| Err(broken()))
}

/// The text of a file. One that is not there is missing, as an entry would be.
fn read_whole(path: PathBuf) -> Result<Secret, Failure> {
    let is_there = path.exists();
    Source::File(path).read_whole().map_err(|failure| match is_there {
        true => failure.with_kind(Kind::Invalid),
        false => failure.with_kind(Kind::NotFound),
    })
}

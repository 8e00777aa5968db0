//! Where secrets rest on a workstation: one small trait, and a file for each store.

mod kernel;
mod keyring;
mod sealed_file;
mod server;

pub(crate) mod mute;

pub mod migrate;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use futures_util::{StreamExt, stream};
use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};

pub use kernel::KernelKeyring;
pub use keyring::Keyring;
pub use sealed_file::{SealKey, SealedFile};
pub use server::ServerStore;

/// What a store will have to say.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What a store will have to say of many entries: of each for itself, in the order in which they were asked for.
pub type Answers<'a, T> = Pin<Box<dyn Future<Output = Vec<Result<T, Failure>>> + Send + 'a>>;

/// So many questions are put to a store at once.
pub(crate) const TOGETHER: usize = 64;

/// A place that keeps secrets, each under the name of its service and its own.
///
/// Each call may be slow, and answers within some seconds. Kinds of failure: `Sealed`, it is locked; `Unreachable`, it
/// is not there or does not answer; `Denied`, it refuses; `Invalid`, it is of two minds or damaged; `NotFound`, there
/// is no such entry.
pub trait Store: fmt::Debug + Send + Sync {
    /// What messages call it, such as `the keyring`.
    fn title(&self) -> String;

    /// The secret of an entry.
    fn find<'a>(&'a self, entry: &'a Entry) -> Answer<'a, Secret>;

    /// The secrets of these entries. A store that has them in one place looks once.
    fn find_all<'a>(&'a self, entries: &'a [Entry]) -> Answers<'a, Secret> {
        Box::pin(stream::iter(entries).map(|entry| self.find(entry)).buffered(TOGETHER).collect())
    }

    /// Puts a secret there, in place of what was there.
    fn put<'a>(&'a self, entry: &'a Entry, secret: &'a Secret) -> Answer<'a, ()>;

    /// Puts these secrets there until one cannot be put: there are as many answers as were tried. A store that has them in
    /// one place writes once, all of them or none.
    fn put_all<'a>(&'a self, entries: &'a [(Entry, Secret)]) -> Answers<'a, ()> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for (entry, secret) in entries {
                answers.push(self.put(entry, secret).await);
                if answers.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            answers
        })
    }

    /// Removes an entry. Whether there was one.
    fn remove<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool>;

    /// Whether there is such an entry, without a look at its secret.
    fn contains<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool>;

    /// The entries of a service, in the order of their names.
    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Listed>>;
}

/// An entry as a store lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The entry.
    pub entry: Entry,
    /// When its secret was last written, where the store knows it.
    pub written: Option<SystemTime>,
}

/// What was found, if anything was.
pub(crate) fn found<T>(outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Ok(what) => Ok(Some(what)),
        Err(failure) if failure.kind() == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

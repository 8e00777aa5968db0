//! What the sealed file is opened with, and how its key comes to be.

use std::io;
use std::path::{Path, PathBuf};

use leasehold_core::name::{Entry, Place, Reference, StoreKind};
use leasehold_core::{Failure, Kind, Secret};

use crate::files;
use crate::hex::hex;
use crate::identity::Source;
use crate::random;
use crate::store::{SealKey, Store, found};

/// What the sealed file is opened with.
#[derive(Clone, Debug)]
pub enum Seal {
    /// A passphrase.
    Passphrase(Source),
    /// A key at a place: `file:///..` or `keyring://..`. If there is none, it is drawn when the sealed file is first
    /// written.
    Key(Reference),
    /// A key file that is drawn when the sealed file is first written.
    Drawn(PathBuf),
}

/// The same, by who keeps it.
enum Keeper<'s> {
    Passphrase(&'s Source),
    File(&'s Path),
    Keyring(&'s Entry),
    Nobody(&'s Reference),
}

impl Seal {
    /// The file that the key or the passphrase is in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self.keeper() {
            Keeper::Passphrase(Source::File(file)) => Some(file),
            Keeper::File(file) => Some(file),
            _ => None,
        }
    }

    fn keeper(&self) -> Keeper<'_> {
        match self {
            Self::Passphrase(source) => Keeper::Passphrase(source),
            Self::Drawn(file) => Keeper::File(file),
            Self::Key(reference) => match reference.place() {
                Place::File(file) => Keeper::File(Path::new(&**file)),
                Place::Stored(StoreKind::Keyring, entry) => Keeper::Keyring(entry),
                _ => Keeper::Nobody(reference),
            },
        }
    }

    /// What opens the sealed file, or why that cannot be had.
    pub(super) async fn key(&self, keyring: &dyn Store) -> SealKey {
        let source = match self.keeper() {
            Keeper::Passphrase(source) => return SealKey::Passphrase(source.clone()),
            Keeper::File(file) if file.exists() => Ok(Source::File(file.to_owned())),
            Keeper::File(file) => {
                Err(Failure::new(Kind::NotFound, format!("its key {} is not there", file.display())))
            }
            Keeper::Keyring(entry) => keyring.find(entry).await.map(Source::Value),
            Keeper::Nobody(reference) => Err(no_place(reference)),
        };
        source.map_or_else(SealKey::Missing, SealKey::Key)
    }

    /// Draws the key, unless there is one: 32 random bytes. Of several processes at once one draws it for all.
    ///
    /// This is for a sealed file that is yet to be written: beside one that is there, another key would open nothing.
    pub(super) async fn draw(&self, sealed_file: &Path, keyring: &dyn Store) -> Result<(), Failure> {
        match self.keeper() {
            Keeper::Passphrase(_) => Ok(()),
            Keeper::File(file) if file.exists() => Ok(()),
            Keeper::File(file) => {
                let file = file.to_owned();
                aside(move || draw_into_file(&file)).await
            }
            Keeper::Keyring(entry) => {
                let file = sealed_file.to_owned();
                // The keyring keeps nobody from drawing a second one meanwhile; the sealed file's lock does.
                let _lock = aside(move || lock(&file)).await?;
                draw_into_keyring(entry, keyring)
                    .await
                    .map_err(|failure| failure.context("the sealed file's key"))
            }
            Keeper::Nobody(reference) => Err(no_place(reference)),
        }
    }
}

fn no_place(reference: &Reference) -> Failure {
    Failure::new(Kind::Invalid, format!("the key of the sealed file cannot be kept at {reference}"))
        .hint("name a file:///path or an entry of the keyring")
}

/// Does this on a thread that may wait for the disk.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Failure::new(Kind::Broken, "the thread that draws the sealed file's key ended early"))
    })
}

fn drawn() -> Result<Secret, Failure> {
    Ok(Secret::new(hex(random::bytes::<32>()?)))
}

fn draw_into_file(file: &Path) -> Result<(), Failure> {
    let key = drawn()?;
    let write = || {
        files::own_folder(files::folder_of(file))?;
        let _lock = files::Lock::beside(file)?;
        // Another process may have been faster.
        if file.exists() { Ok(()) } else { files::replace(file, format!("{}\n", key.expose()).as_bytes()) }
    };
    write().map_err(|error| failed("write the sealed file's key", file, &error))
}

async fn draw_into_keyring(entry: &Entry, keyring: &dyn Store) -> Result<(), Failure> {
    match found(keyring.find(entry).await)? {
        Some(_) => Ok(()),
        None => keyring.put(entry, &drawn()?).await,
    }
}

fn lock(sealed_file: &Path) -> Result<files::Lock, Failure> {
    let locked =
        files::own_folder(files::folder_of(sealed_file)).and_then(|()| files::Lock::beside(sealed_file));
    locked.map_err(|error| failed("lock the sealed file", sealed_file, &error))
}

fn failed(what: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Denied, format!("cannot {what} {}: {error}", file.display()))
}

//! The stores of this workstation: which of them has what a plain pointer names, and what each is opened with.

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use leasehold_core::name::{Entry, Path, Place, Reference, StoreKind, VaultReference};
use leasehold_core::{Failure, Kind};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::files;
use crate::hex::hex;
use crate::identity::Source;
use crate::manifest::{Pointer, SERVICE};
use crate::random;
use crate::store::mute::{Heeded, Silence};
use crate::store::{KernelKeyring, Keyring, SealKey, SealedFile, Store};

/// Which store has what plain pointers name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One of this workstation.
    Store(StoreKind),
    /// A secret on the server, each entry a field of it.
    Server(Path),
}

/// What the sealed file is opened with.
#[derive(Clone, Debug)]
pub enum Seal {
    /// A passphrase.
    Passphrase(Source),
    /// A key at a place: `file:///..` or `keyring://..`.
    Key(Reference),
    /// A key file that is drawn when the sealed file is first written.
    Drawn(PathBuf),
}

/// Where the stores are.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// What was asked for; if nothing, it is the keyring where there is one, else the sealed file.
    pub choice: Option<Choice>,
    /// The address of the session's D-Bus.
    pub bus: String,
    /// The sealed file.
    pub sealed_file: PathBuf,
    /// What it is opened with.
    pub seal: Seal,
}

/// The store that plain pointers mean, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The store.
    pub choice: Choice,
    /// Why, in words: `it was asked for`.
    pub why: String,
}

/// The stores of a workstation. Each is opened when it is first needed.
#[derive(Debug)]
pub struct Stores {
    settings: StoreSettings,
    keyring: Keyring,
    /// Whether the keyring is mute.
    silence: Silence,
    chosen: OnceCell<Chosen>,
    sealed: OnceCell<Arc<SealedFile>>,
}

impl Stores {
    /// The stores by these settings. Nothing is opened yet.
    pub fn new(settings: StoreSettings) -> Self {
        let keyring = Keyring::at(&settings.bus);
        Self {
            settings,
            keyring,
            silence: Silence::default(),
            chosen: OnceCell::new(),
            sealed: OnceCell::new(),
        }
    }

    /// Where they are.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// The store that plain pointers mean. Looks for a keyring where nothing was asked for.
    pub async fn chosen(&self) -> &Chosen {
        let find_out = async || match &self.settings.choice {
            Some(choice) => Chosen { choice: choice.clone(), why: "it was asked for".into() },
            None => match self.absence().await {
                None => Chosen {
                    choice: Choice::Store(StoreKind::Keyring),
                    why: "nothing was asked for, and there is a keyring".into(),
                },
                Some(absence) => Chosen {
                    choice: Choice::Store(StoreKind::Sealed),
                    why: format!("nothing was asked for, and {absence}"),
                },
            },
        };
        self.chosen.get_or_init(find_out).await
    }

    /// Why there is no keyring; none if there is one. One that is mute is there, and not asked again for a while.
    async fn absence(&self) -> Option<Failure> {
        if self.silence.reason().is_some() {
            return None;
        }
        let began = Instant::now();
        let absence = self.keyring.absence().await;
        if absence.is_none() {
            let mute = Failure::new(Kind::Unreachable, "the keyring gave no answer in time").hint(
                "it may wait for somebody at the desktop, or hang: see whether other programs can use it",
            );
            self.silence.note(began, &mute);
        }
        absence
    }

    /// Why the keyring is not asked at the moment, if it was mute a moment ago.
    pub fn why_keyring_rests(&self) -> Option<Failure> {
        self.silence.reason()
    }

    /// The keyring, which is left alone for a while once it was mute.
    fn keyring(&self) -> Heeded<'static> {
        Heeded { store: Arc::new(self.keyring.clone()), silence: self.silence.clone() }
    }

    /// The place that a pointer names.
    pub async fn reference(&self, pointer: &Pointer) -> Reference {
        match pointer {
            Pointer::Full(reference) => reference.clone(),
            Pointer::Plain(name) => self.chosen().await.choice.reference(name),
        }
    }

    /// One of the stores, opened for reading, or for writing as well.
    ///
    /// # Errors
    ///
    /// What keeps the key of the sealed file from being had.
    pub async fn store(&self, kind: StoreKind, purpose: Purpose) -> Result<Arc<dyn Store>, Failure> {
        Ok(match kind {
            StoreKind::Keyring => Arc::new(self.keyring()),
            StoreKind::Kernel => Arc::new(KernelKeyring::new()),
            StoreKind::Sealed => {
                if purpose == Purpose::Write {
                    self.draw_key().await?;
                }
                Arc::clone(self.sealed.get_or_try_init(|| self.open_sealed()).await?) as Arc<dyn Store>
            }
        })
    }

    async fn open_sealed(&self) -> Result<Arc<SealedFile>, Failure> {
        let key = match &self.settings.seal {
            Seal::Passphrase(source) => SealKey::Passphrase(source.clone()),
            Seal::Key(reference) => SealKey::Key(self.key_at(reference).await?),
            Seal::Drawn(file) => SealKey::Key(Source::File(file.clone())),
        };
        Ok(Arc::new(SealedFile::at(&self.settings.sealed_file, key)))
    }

    /// Draws the key before the sealed file is first written. Beside one that is there, another key would open nothing.
    async fn draw_key(&self) -> Result<(), Failure> {
        match &self.settings.seal {
            Seal::Drawn(file) if !file.exists() && !self.settings.sealed_file.exists() => {
                let file = file.clone();
                let drawn = tokio::task::spawn_blocking(move || draw_key(&file)).await;
                drawn.unwrap_or_else(|_| {
                    Err(Failure::new(Kind::Broken, "the thread that draws the sealed file's key ended early"))
                })
            }
            _ => Ok(()),
        }
    }

    async fn key_at(&self, reference: &Reference) -> Result<Source, Failure> {
        match reference.place() {
            Place::File(path) => Ok(Source::File(PathBuf::from(&**path))),
            Place::Stored(StoreKind::Keyring, entry) => {
                let found = self.keyring().find(entry).await;
                found.map(Source::Value).map_err(|failure| failure.context("the sealed file's key"))
            }
            _ => Err(Failure::new(
                Kind::Invalid,
                format!("the key of the sealed file cannot be kept at {reference}"),
            )
            .hint("name a file:///path or an entry of the keyring")),
        }
    }
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading alone.
    Read,
    /// Writing, and so perhaps for the first time.
    Write,
}

impl Choice {
    /// The place of an entry with this name.
    pub fn reference(&self, name: &str) -> Reference {
        match self {
            Self::Store(kind) => {
                Place::Stored(*kind, Entry { service: SERVICE.into(), name: name.into() }).into()
            }
            Self::Server(path) => {
                let vault = VaultReference { path: path.clone(), version: None, namespace: None };
                Reference::of_field(Place::Vault(vault), name)
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(StoreKind::Keyring) => f.write_str("the keyring"),
            Self::Store(StoreKind::Sealed) => f.write_str("the sealed file"),
            Self::Store(StoreKind::Kernel) => f.write_str("the kernel's keyring"),
            Self::Server(path) => write!(f, "the server's secret {path}"),
        }
    }
}

/// Draws a key of 32 random bytes into a new file, for this user alone. Of several at once one draws it for all.
fn draw_key(file: &FilePath) -> Result<(), Failure> {
    let key = hex(random::bytes::<32>()?);
    write_new(file, format!("{key}\n").as_bytes()).map_err(|error| {
        let message = format!("cannot write the sealed file's key {}: {error}", file.display());
        Failure::new(Kind::Denied, message)
    })
}

/// Writes a file, unless there is one by now.
fn write_new(file: &FilePath, bytes: &[u8]) -> io::Result<()> {
    files::own_folder(files::folder_of(file))?;
    let _lock = files::Lock::beside(file)?;
    if file.exists() { Ok(()) } else { files::replace(file, bytes) }
}

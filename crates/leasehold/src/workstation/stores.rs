//! The stores of this workstation: which of them has what a plain pointer names, and what each is opened with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use leasehold_core::name::{Entry, Path, Place, Reference, StoreKind, VaultReference};
use leasehold_core::{Failure, Kind};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::note::Note;
use super::seal::Seal;
use crate::manifest::{Pointer, SERVICE};
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
    /// The file that remembers which store was written where nothing was asked for.
    pub note: PathBuf,
}

/// The store that plain pointers mean, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The store.
    pub choice: Choice,
    /// Why, in words: `it was asked for`.
    pub why: String,
    /// Why nothing is written there: keys were put in the keyring so far, which is not there now.
    pub bar: Option<Failure>,
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
            Some(choice) => Chosen { choice: choice.clone(), why: "it was asked for".into(), bar: None },
            None => match self.absence().await {
                None => Chosen {
                    choice: Choice::Store(StoreKind::Keyring),
                    why: "nothing was asked for, and there is a keyring".into(),
                    bar: None,
                },
                Some(absence) => Chosen {
                    choice: Choice::Store(StoreKind::Sealed),
                    why: format!("nothing was asked for, and {absence}"),
                    bar: (self.note().read() == Some(StoreKind::Keyring)).then(|| gone(&absence)),
                },
            },
        };
        self.chosen.get_or_init(find_out).await
    }

    fn note(&self) -> Note {
        Note(self.settings.note.clone())
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

    /// The place that a pointer names, to put a key there or to delete it.
    ///
    /// # Errors
    ///
    /// `Unreachable`: the keyring has the keys so far, and is not there now. The next one would be written where the last
    /// one is not, and be forgotten when the keyring comes back.
    pub async fn place_to_write(&self, pointer: &Pointer) -> Result<Reference, Failure> {
        match (pointer, &self.chosen().await.bar) {
            (Pointer::Plain(_), Some(bar)) => Err(bar.clone()),
            _ => Ok(self.reference(pointer).await),
        }
    }

    /// Notes where a key was put by this pointer, unless somebody had said where.
    pub(super) async fn note_writing(&self, pointer: &Pointer) {
        if let Pointer::Plain(_) = pointer {
            self.note_keys_in(&self.chosen().await.choice).await;
        }
    }

    /// Notes that keys were put in this store, if plain pointers mean it and nobody had said so.
    pub async fn note_keys_in(&self, choice: &Choice) {
        if let (None, Choice::Store(store)) = (&self.settings.choice, choice)
            && self.chosen().await.choice == *choice
        {
            self.note().write(*store);
        }
    }

    /// Whether the sealed file is opened with what is at this place.
    pub fn is_seal_key(&self, place: &Reference) -> bool {
        matches!(&self.settings.seal, Seal::Key(key) if key == place)
    }

    /// One of the stores, opened for reading, or for writing as well.
    ///
    /// # Errors
    ///
    /// What keeps the key of a new sealed file from being drawn.
    pub async fn store(&self, kind: StoreKind, purpose: Purpose) -> Result<Arc<dyn Store>, Failure> {
        Ok(match kind {
            StoreKind::Keyring => Arc::new(self.keyring()),
            StoreKind::Kernel => Arc::new(KernelKeyring::new()),
            StoreKind::Sealed => {
                if purpose == Purpose::Write && !self.settings.sealed_file.exists() {
                    self.draw(&self.settings.seal).await?;
                }
                self.sealed().await
            }
        })
    }

    async fn sealed(&self) -> Arc<SealedFile> {
        let open = |key| Arc::new(SealedFile::at(&self.settings.sealed_file, key));
        let find_out = async || match self.seal_key().await {
            SealKey::Missing(failure) => Err(failure),
            key => Ok(open(key)),
        };
        let sealed = self.sealed.get_or_try_init(find_out).await.cloned();
        // It may come, so it is looked for again the next time.
        sealed.unwrap_or_else(|failure| open(SealKey::Missing(failure)))
    }

    /// What opens the sealed file, or why that cannot be had.
    pub async fn seal_key(&self) -> SealKey {
        self.settings.seal.key(&self.keyring()).await
    }

    async fn draw(&self, seal: &Seal) -> Result<(), Failure> {
        seal.draw(&self.settings.sealed_file, &self.keyring()).await
    }

    /// Seals the sealed file with another key or passphrase, which is drawn if it is a key and there is none. From then on
    /// the old one opens nothing.
    ///
    /// # Errors
    ///
    /// `NotFound`: there is no sealed file. `Invalid`: it has this key. Otherwise that of the sealed file, which is left as it
    /// is.
    pub async fn rekey(&self, to: &Seal) -> Result<(), Failure> {
        let old = self.sealed().await;
        if !self.settings.sealed_file.exists() {
            return Err(old.missing());
        }
        // No key is drawn for a file that cannot be opened.
        old.list(SERVICE).await?;
        self.draw(to).await?;
        old.rekey(to.key(&self.keyring()).await).await
    }
}

/// The keyring had the keys so far.
fn gone(absence: &Failure) -> Failure {
    Failure::new(Kind::Unreachable, format!("keys were put in the keyring so far, and {}", absence.message()))
        .hint("log in at the desktop; or say that the sealed file is meant: --store sealed, or store = \"sealed\" under [workstation]")
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

impl Choice {
    /// As settings and flags name it: `sealed`, `vault://secret/ai`.
    pub fn setting(&self) -> String {
        match self {
            Self::Store(kind) => kind.scheme().into(),
            Self::Server(path) => format!("vault://{path}"),
        }
    }

    /// The store of this workstation that a place is in.
    pub fn of(place: &Reference) -> Option<Self> {
        match place.place() {
            Place::Stored(kind, _) => Some(Self::Store(*kind)),
            Place::Vault(_) | Place::Env(_) | Place::File(_) => None,
        }
    }

    /// What whoever puts a key there has to know.
    pub fn caveat(&self) -> Option<&'static str> {
        let is_kernel = *self == Self::Store(StoreKind::Kernel);
        is_kernel.then_some("what is in the kernel's keyring is lost when this machine stops")
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

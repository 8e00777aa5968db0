//! One stay at a server: log in, hold what is asked for, give everything back.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::name::VaultReference;
use leasehold_core::{Failure, Grant, Kind, Policy, Scope, SlotId};
use leasehold_vault::token::{self, Subject};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::client::VaultClient;
use crate::clock::Clock;
use crate::credential::Credential;
use crate::driver::{Engine, Owed};
use crate::identity::Identity;
use crate::journal::{self, Entry, Header, Journal, Leftover};
use crate::random;
use crate::worker::{self, Worker};

const LOGIN: SlotId = SlotId(0);
const PARENT: SlotId = SlotId(1);
/// How long what a dead run left behind may delay the end of this one.
const RECOVERY: Duration = Duration::from_millis(500);

/// What a session begins with.
#[derive(Debug)]
pub struct SessionSettings {
    /// The server.
    pub client: VaultClient,
    /// Who we are to it.
    pub identity: Identity,
    /// Where the journal is kept.
    pub state_dir: PathBuf,
    /// How long what this session obtains lives when nobody renews it: the login's own token, where it was not brought
    /// and the login can be made again, and the parent of all leases.
    pub parent_ttl: Duration,
    /// The first login waits for a random part of this, so that a fleet that was started together does not log in
    /// together. Zero where somebody waits for it.
    pub start_spread: Duration,
    /// How tokens and secrets are kept.
    pub policy: Policy,
}

/// A stay at a server. Everything that is obtained through it is kept alive, and given back by [`close`](Self::close),
/// which is to be called however it went.
///
/// ```no_run
/// use leasehold::client::VaultClient;
/// use leasehold::core::{Policy, Secret, name::{Address, Place, Reference}};
/// use leasehold::identity::{Identity, Source};
/// use leasehold::session::{Session, SessionSettings};
/// use leasehold::transport::TransportSettings;
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), leasehold::core::Failure> {
/// let address = Address::parse("http://127.0.0.1:8200").unwrap();
/// let session = Session::start(SessionSettings {
///     client: VaultClient::new(&TransportSettings::new(vec![address]), None)?,
///     identity: Identity::Brought(Source::Value(Secret::new("s.token"))),
///     state_dir: "/var/lib/app/leasehold".into(),
///     parent_ttl: Duration::from_secs(60),
///     start_spread: Duration::ZERO,
///     policy: Policy::default(),
/// })?;
/// let reference = Reference::parse("vault://database/creds/app").unwrap();
/// if let Place::Vault(reference) = reference.place() {
///     let credential = session.ask(reference).await?;
///     let grant = credential.hold(); // both fields are of one lease
/// }
/// session.close(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    client: VaultClient,
    policy: Arc<Policy>,
    journal: Arc<Journal>,
    folder: PathBuf,
    start_spread: Duration,
    /// Set once the start's part of it was waited for.
    spread: OnceCell<()>,
    login: OnceCell<Credential>,
    /// The slot below which leases are taken, decided when the first one is asked for.
    parent: OnceCell<SlotId>,
    slots: Mutex<HashMap<VaultReference, SlotId>>,
    recovery: Mutex<Option<JoinHandle<()>>>,
}

impl Session {
    /// Opens the journal and starts the loop. Nothing is sent yet.
    pub fn start(settings: SessionSettings) -> Result<Self, Failure> {
        Self::start_by(Clock::default(), settings)
    }

    /// The same by a clock that may be [steered](Clock::steered).
    pub fn start_by(clock: Clock, settings: SessionSettings) -> Result<Self, Failure> {
        let SessionSettings { client, identity, state_dir, parent_ttl, start_spread, policy } = settings;
        let folder = state_dir.join("journal");
        let namespace = client.namespace().map(ToString::to_string);
        let journal = Arc::new(Journal::create(&folder, &client.address(), namespace.as_deref())?);
        let worker = Worker::new(client.clone(), identity, Arc::clone(&journal), parent_ttl);
        Ok(Self {
            engine: Engine::start_by(clock, Arc::new(worker)),
            client,
            policy: Arc::new(policy),
            journal,
            folder,
            start_spread,
            spread: OnceCell::new(),
            login: OnceCell::new(),
            parent: OnceCell::new(),
            slots: Mutex::default(),
            recovery: Mutex::default(),
        })
    }

    /// Logs in, unless that is done already; the first time after a part of the start's spread. What dead runs left
    /// behind at this server is then given back in the background.
    pub async fn log_in(&self) -> Result<&Credential, Failure> {
        let log_in = || async {
            self.spread.get_or_init(|| tokio::time::sleep(random::part(self.start_spread))).await;
            let login = self.engine.ask(LOGIN, Scope::Login, None, Arc::clone(&self.policy)).await?;
            self.recover(&login);
            Ok(login)
        };
        self.login.get_or_try_init(log_in).await
    }

    fn recover(&self, login: &Credential) {
        let namespace = self.client.namespace().map(ToString::to_string);
        let addresses: Vec<_> = self.client.addresses().map(ToString::to_string).collect();
        let is_ours = |header: &Header| addresses.contains(&header.address) && header.namespace == namespace;
        let ours = |left: &Leftover| is_ours(&left.header);
        let left: Vec<_> = journal::leftovers(&self.folder).into_iter().filter(ours).collect();
        if left.is_empty() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "`close` joins it")]
        let recovery = tokio::spawn(recover(own_client(&self.client, login), left));
        *self.recovery.lock().unwrap_or_else(PoisonError::into_inner) = Some(recovery);
    }

    /// Holds what this reference names. All fields come from one grant, however often it is asked for.
    pub async fn ask(&self, reference: &VaultReference) -> Result<Credential, Failure> {
        let login = self.log_in().await?;
        let mount_of = |client: VaultClient| async move { client.mount_of(reference).await };
        let asker = match self.engine.act(&self.client, login, mount_of).await? {
            Some(_) => LOGIN,
            None => self.parent().await,
        };
        let slot = self.slot(reference);
        self.engine.ask(slot, Scope::Secret(reference.clone()), Some(asker), Arc::clone(&self.policy)).await
    }

    /// Holds a static secret by a policy of its own, with the login's token, from now on and also where there is no
    /// login yet: whatever comes of the first try, it is tried on in the background.
    pub(crate) async fn keep(
        &self,
        reference: &VaultReference,
        policy: Arc<Policy>,
    ) -> Result<Credential, Failure> {
        // Why there is no login is then told to what stands on it.
        let _ = self.log_in().await;
        let scope = Scope::Secret(reference.clone());
        self.engine.ask(self.slot(reference), scope, Some(LOGIN), policy).await
    }

    /// What is held in a slot, in words that may be told to anybody.
    pub fn name_of(&self, slot: SlotId) -> String {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let secret =
            slots.iter().find(|(_, other)| **other == slot).map(|(reference, _)| reference.to_string());
        match slot {
            LOGIN => "the login".into(),
            PARENT => "the parent token".into(),
            _ => secret.unwrap_or_else(|| format!("credential {}", slot.0)),
        }
    }

    /// The slot in which this is held.
    pub(crate) fn slot(&self, reference: &VaultReference) -> SlotId {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let next = SlotId(2 + u32::try_from(slots.len()).unwrap_or(u32::MAX - 2));
        *slots.entry(reference.clone()).or_insert(next)
    }

    /// The token that leases hang below: one with a short life that is renewed, so that what a dead host held dies
    /// soon. Where the login may not make one, it is the login's own.
    async fn parent(&self) -> SlotId {
        let make = || async {
            let policy = Arc::clone(&self.policy);
            match self.engine.ask(PARENT, Scope::Child, Some(LOGIN), policy).await {
                Ok(_) => PARENT,
                Err(failure) => {
                    self.engine.release(PARENT);
                    tracing::warn!(
                        kind = failure.kind().token(),
                        "no token can be made for this run alone ({failure}); after a crash, its leases live as long \
                         as the login's token"
                    );
                    LOGIN
                }
            }
        };
        *self.parent.get_or_init(make).await
    }

    /// A client with the login's present token.
    pub async fn client(&self) -> Result<VaultClient, Failure> {
        Ok(own_client(&self.client, self.log_in().await?))
    }

    /// The slot of the login.
    pub fn login_slot(&self) -> SlotId {
        LOGIN
    }

    /// The loop that keeps what is held.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the server keeps on this session's behalf, as the journal has it.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Waits, for at most this long, until what dead runs left behind is given back as far as that is possible.
    pub async fn recovered(&self, limit: Duration) {
        let recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut recovery) = recovery
            && tokio::time::timeout(limit, &mut recovery).await.is_err()
        {
            recovery.abort();
        }
    }

    /// Gives everything back, for at most this long, and says what could not be: that stays in the journal.
    pub async fn close(self, limit: Duration) -> Vec<Owed> {
        self.end(limit).await
    }

    /// The same where others may still hold it: they are told that the engine has stopped. The journal's file goes with
    /// the last of them.
    pub(crate) async fn end(&self, limit: Duration) -> Vec<Owed> {
        self.recovered(RECOVERY.min(limit)).await;
        self.engine.stop(limit).await
    }
}

fn own_client(client: &VaultClient, login: &Credential) -> VaultClient {
    let grant = login.hold();
    let token = grant.as_ref().and_then(|grant| Grant::token(grant));
    token.map_or_else(|| client.clone(), |token| client.with_token(token.clone()))
}

/// Gives back what dead runs left behind. What may not be stays in its journal.
async fn recover(client: VaultClient, left: Vec<Leftover>) {
    for mut leftover in left {
        for entry in leftover.held.clone() {
            if give_back(&client, &entry).await {
                leftover.strike(&entry.what);
            }
        }
    }
}

/// Whether it is surely gone now. What ended by the clock is given back too, since a clock may be wrong.
async fn give_back(client: &VaultClient, entry: &Entry) -> bool {
    let what = &entry.what;
    match worker::revoke_left(client, what).await {
        Ok(()) => {
            tracing::info!("gave back what a dead run left: {what}");
            true
        }
        // Either that is dead, or the token by whose right it was to be revoked.
        Err(failure) if failure.kind() == Kind::Expired => {
            client.send(&token::Lookup(Subject::Own)).await.is_ok()
        }
        Err(failure) if failure.kind() == Kind::Denied && entry.ended_long_ago() => true,
        Err(failure) => {
            let hint = failure.advice().map(|hint| format!("; {hint}")).unwrap_or_default();
            tracing::warn!(
                kind = failure.kind().token(),
                "a dead run left {what}, which lives on: {failure}{hint}"
            );
            false
        }
    }
}

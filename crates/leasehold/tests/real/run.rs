//! An engine at a test server, and what a test asks of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::clock::Clock;
use leasehold::core::event::Event;
use leasehold::core::policy::{Every, Renew};
use leasehold::core::{Failure, Grant, Holding, Policy, Scope, Secret, SlotId};
use leasehold::credential::Credential;
use leasehold::driver::{Engine, Owed};
use leasehold::identity::{Credentials, Identity, Method, Source};
use leasehold::journal::Journal;
use leasehold::worker::Worker;
use leasehold_testkit::{AppRole, Server};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use crate::ground::{reference, settings};

pub(crate) const LOGIN: SlotId = SlotId(0);
pub(crate) const CHILD: SlotId = SlotId(1);
pub(crate) const STATIC: SlotId = SlotId(2);
pub(crate) const DYNAMIC: SlotId = SlotId(3);
/// How long tokens and leases live here.
pub(crate) const TTL: Duration = Duration::from_secs(4);
/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const APP: &str = r#"
    path "secret/data/db" { capabilities = ["read"] }
    path "database/creds/app" { capabilities = ["read"] }
    path "auth/token/create" { capabilities = ["update"] }
"#;

pub(crate) fn approle(server: &Server, more: Value) -> AppRole {
    server.put_secret("secret/db", json!({ "a": "one" }));
    server.policy("app", APP);
    let mut options = json!({ "token_ttl": "4s", "token_max_ttl": "1h" });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.approle("app", &["app"], options)
}

pub(crate) fn identity(role: &AppRole) -> Identity {
    let value = |text: &str| Source::Value(Secret::new(text));
    let credentials = Credentials::AppRole {
        role_id: value(&role.role_id),
        secret_id: Some(value(&role.secret_id)),
        wrapped_at: None,
    };
    Identity::Login(Box::new(Method::new(credentials, None, None)))
}

pub(crate) fn brought(token: &str) -> Identity {
    Identity::Brought(Source::Value(Secret::new(token)))
}

/// Reads static secrets again each second and lets nothing live beside its successor.
pub(crate) fn policy() -> Arc<Policy> {
    let refresh = Some(Every::exactly(Duration::from_secs(1)));
    Arc::new(Policy { renew: Renew::USUAL, refresh, overlap: Duration::ZERO, ..Policy::default() })
}

/// An engine and what it tells.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    /// Of the same connections.
    pub(crate) client: VaultClient,
    pub(crate) events: Receiver<Event>,
    pub(crate) told: Vec<Event>,
}

impl Run {
    pub(crate) fn start(address: &str, identity: Identity, folder: &Path) -> Self {
        Self::start_by(Clock::default(), TTL, address, identity, folder)
    }

    /// The same by another clock, and with another life of what it obtains.
    pub(crate) fn start_by(
        clock: Clock,
        parent_ttl: Duration,
        address: &str,
        identity: Identity,
        folder: &Path,
    ) -> Self {
        let client = VaultClient::new(&settings(&[address]), None).unwrap();
        let journal = Arc::new(Journal::create(folder, address, None).unwrap());
        let worker = Worker::new(client.clone(), identity, journal, parent_ttl);
        let engine = Engine::start_by(clock, Arc::new(worker));
        let events = engine.events();
        Self { engine, client, events, told: Vec::new() }
    }

    pub(crate) async fn ask(
        &self,
        slot: SlotId,
        scope: Scope,
        asker: Option<SlotId>,
    ) -> Result<Credential, Failure> {
        self.engine.ask(slot, scope, asker, policy()).await
    }

    pub(crate) async fn log_in(&self) -> Credential {
        self.ask(LOGIN, Scope::Login, None).await.unwrap()
    }

    pub(crate) async fn secret(
        &self,
        slot: SlotId,
        path: &str,
        asker: SlotId,
    ) -> Result<Credential, Failure> {
        self.ask(slot, Scope::Secret(reference(path)), Some(asker)).await
    }

    /// Waits until so many events of this kind have been told.
    pub(crate) async fn wait_for(&mut self, times: usize, is_it: impl Fn(&Event) -> bool) {
        let told = async {
            while self.told.iter().filter(|event| is_it(event)).count() < times {
                self.told.push(self.events.recv().await.unwrap());
            }
        };
        let waited = tokio::time::timeout(PATIENCE, told).await;
        assert!(waited.is_ok(), "waited in vain: {:?}", self.told);
    }

    pub(crate) async fn stop(self) -> Vec<Owed> {
        self.engine.stop(PATIENCE).await
    }
}

pub(crate) fn field(credential: &Credential, name: &str) -> String {
    credential.hold().unwrap().fields.field(name).unwrap().expose().to_owned()
}

pub(crate) fn token(credential: &Credential) -> String {
    field(credential, Grant::TOKEN)
}

pub(crate) fn accessor(credential: &Credential) -> String {
    match &credential.hold().unwrap().lease.holding {
        Holding::Token { accessor } => accessor.as_deref().unwrap().to_owned(),
        other => panic!("no token: {other:?}"),
    }
}

pub(crate) fn files(folder: &Path) -> usize {
    folder.read_dir().unwrap().count()
}

pub(crate) fn journal(server: &Server) -> PathBuf {
    server.folder().join("journal")
}

pub(crate) async fn changed(credential: &mut Credential) {
    let changed = tokio::time::timeout(PATIENCE, credential.changed()).await;
    assert!(changed.unwrap_or_default(), "{credential:?} did not change");
}

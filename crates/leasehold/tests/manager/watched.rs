//! A manager at a test server, and what it told.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use leasehold::client::VaultClient;
use leasehold::core::{Grant, Holding};
use leasehold::identity::Identity;
use leasehold::token_manager::{TokenEvent, TokenManager, TokenManagerSettings};
use leasehold_testkit::{Server, random_hex};

use crate::ground::{self, settings};
use crate::run::PATIENCE;

pub(crate) fn client(address: &str, namespace: Option<&str>) -> VaultClient {
    VaultClient::new(&settings(&[address]), namespace.map(ground::namespace)).unwrap()
}

pub(crate) fn state_dir(server: &Server) -> PathBuf {
    server.folder().join(format!("state-{}", random_hex()))
}

/// A manager, and what it tells.
pub(crate) struct Watched {
    pub(crate) manager: TokenManager,
    events: BoxStream<'static, TokenEvent>,
    pub(crate) told: Vec<TokenEvent>,
    /// What `on_failure` was called with.
    pub(crate) failures: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    /// Starts one that looks its token up each second.
    pub(crate) fn start(server: &Server, address: &str, identity: Identity) -> Self {
        Self::start_with(client(address, None), identity, hasty(server))
    }

    pub(crate) fn start_with(
        client: VaultClient,
        identity: Identity,
        settings: TokenManagerSettings,
    ) -> Self {
        let failures = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&failures);
        let settings = settings.on_failure(move |message| told.lock().unwrap().push(message.to_owned()));
        let manager = TokenManager::new(client, identity, settings);
        let events = manager.events().boxed();
        manager.start().unwrap();
        Self { manager, events, told: Vec::new(), failures }
    }

    /// Waits until such an event has been told, and says which.
    pub(crate) async fn wait_for(&mut self, is_it: impl Fn(&TokenEvent) -> bool) -> TokenEvent {
        let found = async {
            loop {
                let event = self.events.next().await.unwrap();
                self.told.push(event.clone());
                if is_it(&event) {
                    return event;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(event) => event,
            Err(_) => panic!("waited in vain: {:?}", self.told),
        }
    }

    pub(crate) fn token(&self) -> String {
        let grant = self.manager.token().unwrap();
        grant.token().unwrap().expose().to_owned()
    }

    /// What `on_failure` was told, once it was told something that holds this.
    pub(crate) fn failure_with(&self, part: &str) -> String {
        let find = || self.failures.lock().unwrap().iter().find(|message| message.contains(part)).cloned();
        leasehold_testkit::wait_for(PATIENCE, find)
            .unwrap_or_else(|| panic!("no `{part}` among {:?}", self.failures.lock().unwrap()))
    }
}

/// A manager for tokens that live for seconds.
pub(crate) fn hasty(server: &Server) -> TokenManagerSettings {
    let mut settings = TokenManagerSettings::new(state_dir(server));
    settings.check_interval = Duration::from_secs(1);
    settings.renew_threshold = Duration::from_secs(2);
    settings.healthy_above = Duration::from_millis(100);
    settings
}

pub(crate) fn accessor(grant: &Grant) -> String {
    match &grant.lease.holding {
        Holding::Token { accessor } => accessor.as_deref().unwrap_or_default().to_owned(),
        other => panic!("no token: {other:?}"),
    }
}

//! A server with a panel's tokens, and services that read them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::core::policy::Every;
use leasehold::core::{Failure, Kind, Secret};
use leasehold::token_cache::TokenCache;
use leasehold::token_refresh::{
    Fallback, TokenIssuer, TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess,
};
use leasehold_testkit::{Server, random_hex};
use serde_json::{Value, json};

use crate::ground::{self, client};
use crate::run::{PATIENCE, brought};

/// Where the token is.
pub(crate) const PREFIX: &str = "status_panel";
pub(crate) const DEPLOYMENT: &str = "d-1";
/// Where the API has it.
pub(crate) const API: &str = "status_panel/data/d-1/token";

/// A server with a KV version 2 mount of the panel's.
pub(crate) struct Panel(pub(crate) Server);

impl Panel {
    pub(crate) fn start() -> Self {
        let server = Server::start();
        server.engine(PREFIX, "kv", json!({ "options": { "version": "2" } }));
        Self(server)
    }

    /// The same with a token that is there already.
    pub(crate) fn with(token: &str) -> Self {
        let panel = Self::start();
        panel.put(token);
        panel
    }

    pub(crate) fn put(&self, token: &str) {
        self.put_fields(json!({ "token": token }));
    }

    pub(crate) fn put_fields(&self, fields: Value) {
        self.0.put_secret(&format!("{PREFIX}/{DEPLOYMENT}/token"), fields);
    }

    /// As a service there has them, asked at this address with the right of root.
    pub(crate) fn settings(&self, address: &str) -> TokenRefreshSettings {
        let access = VaultAccess {
            client: VaultClient::new(&ground::settings(&[address]), None).unwrap(),
            identity: brought(self.0.root_token()),
            place: place(),
            state_dir: self.0.folder().join(format!("state-{}", random_hex())),
        };
        TokenRefreshSettings::new(access)
    }

    /// The same, reading each second.
    pub(crate) fn hasty(&self, address: &str) -> TokenRefreshSettings {
        TokenRefreshSettings { refresh: Every::exactly(Duration::from_secs(1)), ..self.settings(address) }
    }

    pub(crate) fn issuer(&self, address: &str) -> TokenIssuer {
        TokenIssuer::new(client(&[address], self.0.root_token()), place())
    }

    /// How many versions the token has.
    pub(crate) fn versions(&self) -> u64 {
        let (_, reply) = self.0.api("GET", &API.replace("/data/", "/metadata/"), None);
        reply["data"]["current_version"].as_u64().unwrap_or_default()
    }
}

pub(crate) fn place() -> TokenPlace {
    TokenPlace::new(PREFIX, DEPLOYMENT).unwrap()
}

pub(crate) fn token(tokens: &TokenCache) -> String {
    tokens.current().map_or_else(|| "-".to_owned(), |token| token.secret().expose().to_owned())
}

/// A fallback, and how it is changed.
pub(crate) fn fallback(first: &str) -> (Fallback, Arc<Mutex<String>>) {
    let stands = Arc::new(Mutex::new(first.to_owned()));
    let inside = Arc::clone(&stands);
    (Fallback::reading(move || Some(Secret::new(inside.lock().unwrap().clone()))), stands)
}

/// Waits until that is the token.
pub(crate) async fn becomes(refresh: &TokenRefresh, expect: &str) {
    eventually(|| token(refresh.tokens()) == expect).await;
}

/// Asks again and again until it is so.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    let asked = async {
        while !is_so() {
            pause.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "waited in vain");
}

pub(crate) fn assert_failed(result: Result<bool, Failure>, kind: Kind, message: &str) {
    let failure = result.unwrap_err();
    assert_eq!((failure.kind(), failure.message()), (kind, message));
}

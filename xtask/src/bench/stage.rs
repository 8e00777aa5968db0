//! The server that all contenders ask, with what they ask for laid out on it.

use crate::step::Outcome;
use leasehold_testkit::{AppRole, Postgres, Server, canary};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

const POLICY: &str = r#"
path "secret/data/db" { capabilities = ["read"] }
path "database/creds/app" { capabilities = ["read"] }
"#;

/// Tokens and leases outlive the whole run, so that those which are gone were revoked.
const TTL: &str = "1h";

/// How long what was revoked may take to be gone: the server ends the leases of a dead token one after another.
const GRACE: Duration = Duration::from_secs(1);

/// One server for the whole run, and one AppRole for those that log in.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) login: AppRole,
    /// A token for the contender that brings one.
    pub(super) token: String,
    /// What `secret/db` holds as its password.
    pub(super) secret: String,
    _postgres: Postgres,
}

/// What lives on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Alive {
    pub(super) tokens: usize,
    pub(super) leases: usize,
}

impl Stage {
    /// Starts the servers and lays everything out.
    pub(super) fn new() -> Outcome<Self> {
        let (server, postgres, secret) = (Server::start(), Postgres::start(), canary("secret"));
        server.put_secret("secret/db", json!({ "password": secret }));
        server.policy("app", POLICY);
        server.database(&postgres, "app", TTL, TTL);
        let login = server.approle("app", &["app"], json!({ "token_ttl": TTL }));
        let token = server.token(json!({ "policies": ["app"], "ttl": TTL }));
        let stage = Self { server, login, token, secret, _postgres: postgres };
        stage.file("role-id", &stage.login.role_id)?;
        stage.file("secret-id", &stage.login.secret_id)?;
        Ok(stage)
    }

    /// Writes a file into the server's private folder, gone with it.
    pub(super) fn file(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.server.folder().join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// What came to life since and is still there when the grace is over.
    pub(super) fn left_since(&self, before: Alive) -> Alive {
        let begin = Instant::now();
        loop {
            let left = self.alive().since(before);
            if left == Alive::default() || begin.elapsed() > GRACE {
                return left;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Counts what lives now.
    pub(super) fn alive(&self) -> Alive {
        let (tokens, leases) = (self.server.accessors(), self.server.leases("database/creds/app"));
        Alive { tokens: tokens.len(), leases: leases.len() }
    }
}

impl Alive {
    /// What is here more than before.
    fn since(self, before: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(before.tokens),
            leases: self.leases.saturating_sub(before.leases),
        }
    }

    pub(super) fn plus(self, more: Self) -> Self {
        Self { tokens: self.tokens + more.tokens, leases: self.leases + more.leases }
    }
}

//! Verifies that a role can log in, read a secret, and go on with a rotated token.

use std::time::Duration;

use leasehold_core::name::VaultReference;
use leasehold_core::{Failure, Kind};
use leasehold_vault::reply::Auth;
use leasehold_vault::token::{self, Subject};

use crate::client::VaultClient;
use crate::clock::Clock;
use crate::identity::{Credentials, Method};
use crate::journal::{Entry, Journal, What};

/// One step of a verification.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// What came of it: names and times, never a value.
    pub result: Result<String, Failure>,
    /// How long it took.
    pub took: Duration,
}

/// Logs in, reads, rotates by a second login, reads again with the new token, and revokes both tokens.
///
/// The first step that fails ends it, but what was obtained is revoked in any case. Both tokens are in the journal
/// until they are.
pub async fn verify(
    client: &VaultClient,
    method: &Method,
    journal: &Journal,
    role: &str,
    secret: &VaultReference,
) -> Vec<Step> {
    let mut run = Run { client, method, journal, role, steps: Vec::new(), tokens: Vec::new() };
    // What failed stands in its step.
    let _ = run.log_in_and_read(secret).await;
    run.revoke_all().await;
    run.steps
}

struct Run<'a> {
    client: &'a VaultClient,
    method: &'a Method,
    journal: &'a Journal,
    role: &'a str,
    steps: Vec<Step>,
    tokens: Vec<Auth>,
}

impl Run<'_> {
    async fn log_in_and_read(&mut self, secret: &VaultReference) -> Option<()> {
        self.log_in("log in").await?;
        self.read("read", secret).await?;
        self.log_in("rotate").await?;
        self.read("read again", secret).await
    }

    async fn log_in(&mut self, name: &'static str) -> Option<()> {
        let started = Clock::default().now();
        let result = self.new_token().await;
        self.step(name, started, result)
    }

    async fn new_token(&mut self) -> Result<String, Failure> {
        let auth = self.method.log_in(self.client).await?;
        let seconds = auth.lease_duration.as_secs();
        let told = format!("token for {seconds} s, policies {}", auth.policies.join(", "));
        let ttl = (seconds > 0).then_some(auth.lease_duration);
        let entry = (!auth.accessor.is_empty()).then(|| What::Token(auth.accessor.clone()));
        let checked = self.check_role(&auth);
        // Whatever else fails, it is revoked at the end.
        self.tokens.push(auth);
        entry.map(|what| self.journal.hold(&Entry::new(what, ttl))).transpose()?;
        checked.map(|()| told)
    }

    /// AppRole logs in by ids, so the server has to tell which role it was.
    fn check_role(&self, auth: &Auth) -> Result<(), Failure> {
        let told = auth.metadata.get("role_name");
        match (&self.method.credentials, told) {
            (Credentials::AppRole { .. }, Some(told)) if told != self.role => {
                let message = format!("the login is of the role {told}, not of {}", self.role);
                Err(Failure::new(Kind::Invalid, message).hint("check the role id and secret id"))
            }
            _ => Ok(()),
        }
    }

    async fn read(&mut self, name: &'static str, secret: &VaultReference) -> Option<()> {
        let started = Clock::default().now();
        let token = self.tokens.last()?.client_token.clone();
        let result = self.client.with_token(token).read(secret).await;
        let told =
            result.map(|grant| format!("fields {}", grant.fields.names().collect::<Vec<_>>().join(", ")));
        self.step(name, started, told)
    }

    async fn revoke_all(&mut self) {
        for auth in std::mem::take(&mut self.tokens) {
            let started = Clock::default().now();
            let revoke = token::Revoke(Subject::Itself(auth.client_token));
            let result = self.client.send(&revoke).await;
            if result.is_ok() {
                // If this line is lost, the next run finds the token gone.
                let _ = self.journal.strike(&What::Token(auth.accessor.clone()));
            }
            self.step("revoke", started, result.map(|()| format!("accessor {}", auth.accessor)));
        }
    }

    fn step(
        &mut self,
        name: &'static str,
        started: leasehold_core::Moment,
        result: Result<String, Failure>,
    ) -> Option<()> {
        let took = Clock::default().now() - started;
        let is_good = result.is_ok();
        self.steps.push(Step { name, result, took });
        is_good.then_some(())
    }
}

//! Does one errand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use leasehold_core::errand::{Errand, Outcome, Standing, Task};
use leasehold_core::{Course, Failure, Fields, Grant, Holding, Kind, Lease, Scope, Secret};
use leasehold_vault::lease;
use leasehold_vault::reply::{Auth, LeaseId, Renewal, TokenKind};
use leasehold_vault::token::{self, Record, Subject};

use crate::client::VaultClient;
use crate::clock::wall_time_of;
use crate::identity::{self, Identity};
use crate::journal::{Entry, Journal, What};

/// How long a login may wait for its token to be shortened.
const SHORTENING: Duration = Duration::from_secs(2);

/// What an errand is done with.
#[derive(Debug)]
pub struct Worker {
    /// The client; it sends the token that each errand names.
    pub client: VaultClient,
    /// How a token is come by.
    pub identity: Identity,
    /// Where everything that is obtained is written down before it is handed out.
    pub journal: Arc<Journal>,
    /// How long the tokens of this run live when nobody renews them: the longest that anything of a dead host stays
    /// alive.
    pub parent_ttl: Duration,
    /// The login's token may be used a few times only, so that none can hang below it.
    is_limited: AtomicBool,
    has_told_long_life: AtomicBool,
}

impl Worker {
    /// A worker with these.
    pub fn new(client: VaultClient, identity: Identity, journal: Arc<Journal>, parent_ttl: Duration) -> Self {
        let (is_limited, has_told_long_life) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { client, identity, journal, parent_ttl, is_limited, has_told_long_life }
    }

    /// Does the errand. What it obtains is in the journal when it returns.
    pub async fn carry_out(&self, errand: &Errand) -> Result<Outcome, Failure> {
        let client = self.client_of(errand);
        match &errand.task {
            Task::Obtain(scope) => {
                self.prepare(&client, scope).await?;
                let grant = self.obtain(&client, scope).await?;
                let grant = self.write_down(&client, grant).await?;
                Ok(Outcome::Granted(if *scope == Scope::Login { self.shorten(grant).await } else { grant }))
            }
            Task::Refresh(reference) => {
                let grant = client.read(reference).await?;
                self.write_down(&client, grant).await.map(Outcome::Granted)
            }
            Task::Renew(grant, increment) => self.renew(&client, grant, *increment).await,
            Task::Check(grant) => self.check(grant).await,
            Task::Revoke(grant) => revoke(&client, grant).await.map(|()| Outcome::Revoked),
        }
    }

    /// The client that sends the asker's token.
    fn client_of(&self, errand: &Errand) -> VaultClient {
        let token = errand.asker.as_deref().and_then(Grant::token);
        token.map_or_else(|| self.client.clone(), |token| self.client.with_token(token.clone()))
    }

    /// Nothing is asked for that could not be written down.
    async fn prepare(&self, client: &VaultClient, scope: &Scope) -> Result<(), Failure> {
        match scope {
            Scope::Secret(reference) if client.mount_of(reference).await?.is_some() => Ok(()),
            Scope::Login | Scope::Child | Scope::Secret(_) => self.journal.has_room(),
        }
    }

    async fn obtain(&self, client: &VaultClient, scope: &Scope) -> Result<Grant, Failure> {
        match (scope, &self.identity) {
            (Scope::Login, Identity::Login(method)) => {
                let auth = method.log_in(client).await?;
                self.is_limited.store(auth.num_uses > 0, Ordering::Relaxed);
                Ok(token_grant(auth))
            }
            (Scope::Login, Identity::Brought(source)) => adopt(client, source.read()?).await,
            (Scope::Child, _) => self.create_parent(client).await,
            (Scope::Secret(reference), _) => client.read(reference).await,
        }
    }

    /// The token that everything else of this run hangs below.
    async fn create_parent(&self, client: &VaultClient) -> Result<Grant, Failure> {
        if self.is_limited.load(Ordering::Relaxed) {
            return Err(Failure::new(Kind::Invalid, "the login's token may be used a few times only"));
        }
        let create = token::Create {
            ttl: Some(self.parent_ttl),
            display_name: Some("leasehold".into()),
            renewable: Some(true),
            ..token::Create::default()
        };
        client.send(&create).await.map(token_grant)
    }

    /// Nothing is handed out that is not in the journal. What cannot be written down is given back at once.
    async fn write_down(&self, client: &VaultClient, grant: Grant) -> Result<Grant, Failure> {
        let owed = grant.lease.is_owed().then(|| What::of(&grant.lease.holding)).flatten();
        let Some(what) = owed else { return Ok(grant) };
        let entry = Entry::new(what, grant.lease.ttl);
        let Err(failure) = self.journal.hold(&entry) else { return Ok(grant) };
        match revoke(client, &grant).await {
            Ok(()) => {
                // It is gone, whatever the journal says.
                let _ = self.journal.strike(&entry.what);
                Err(failure)
            }
            Err(second) => {
                Err(failure.context(format!("and what was obtained could not be given back ({second})")))
            }
        }
    }

    /// A login's token lives as long as its role says, also when this host dies. So it is told at once to live as
    /// long as the parent only, and is renewed for that. What the server then says is what the ledger goes by; where
    /// nobody knows whether it was done, the shorter life counts.
    async fn shorten(&self, grant: Grant) -> Grant {
        let Identity::Login(method) = &self.identity else { return grant };
        let is_long = grant.lease.ttl.is_none_or(|ttl| ttl > self.parent_ttl);
        if !is_long || !method.is_repeatable() {
            return grant;
        }
        let ttl = match self.shortened(&grant).await {
            Err(failure) if failure.kind().course() == Course::Transient => Some(self.parent_ttl),
            Ok(ttl) if ttl <= self.parent_ttl => Some(ttl),
            Ok(ttl) => {
                self.warn_of_long_life(Some(ttl), "its role gives it a period");
                Some(ttl)
            }
            Err(failure) => {
                self.warn_of_long_life(grant.lease.ttl, &failure.to_string());
                grant.lease.ttl
            }
        };
        Grant { lease: Lease { ttl, ..grant.lease }, ..grant }
    }

    /// The life that the server leaves to it.
    async fn shortened(&self, grant: &Grant) -> Result<Duration, Failure> {
        let cannot = |why: &str| Err(Failure::new(Kind::Invalid, why));
        if !grant.lease.renewable {
            return cannot("it cannot be renewed");
        }
        if self.is_limited.load(Ordering::Relaxed) {
            return cannot("it may be used a few times only");
        }
        let renew = token::Renew { subject: itself(grant)?, increment: Some(self.parent_ttl) };
        match tokio::time::timeout(SHORTENING, self.client.send(&renew)).await {
            Ok(renewal) => renewal.map(|renewal| renewal.lease_duration),
            Err(_) => Err(Failure::new(Kind::Unreachable, "no answer in time")),
        }
    }

    /// Told once: it will be the same at each login.
    fn warn_of_long_life(&self, ttl: Option<Duration>, why: &str) {
        if !self.has_told_long_life.swap(true, Ordering::Relaxed) {
            let ttl =
                ttl.map_or_else(|| "for ever".to_owned(), |ttl| format!("for up to {} s", ttl.as_secs()));
            tracing::warn!(
                "the login's token cannot be shortened ({why}): when this host dies, it lives on {ttl}; a short \
                 token_ttl of the login's role costs nothing here"
            );
        }
    }

    async fn renew(
        &self,
        client: &VaultClient,
        grant: &Grant,
        asked: Option<Duration>,
    ) -> Result<Outcome, Failure> {
        let renewal = match &grant.lease.holding {
            Holding::Token { .. } => {
                client.send(&token::Renew { subject: itself(grant)?, increment: asked }).await?
            }
            Holding::Lease { id } => {
                client.send(&lease::Renew { lease: lease_id(id)?, increment: asked }).await?
            }
            Holding::Nothing => {
                return Err(Failure::new(Kind::Invalid, "a static secret has no lease to renew"));
            }
        };
        self.journal.touch();
        Ok(Outcome::Standing(standing(&renewal)))
    }

    async fn check(&self, grant: &Grant) -> Result<Outcome, Failure> {
        let record = self.client.send(&token::Lookup(itself(grant)?)).await?;
        Ok(Outcome::Standing(Standing { ttl: record.left(), renewable: record.renewable, capped: false }))
    }
}

/// Revokes a token by itself, or a lease by the client's token.
pub(crate) async fn revoke(client: &VaultClient, grant: &Grant) -> Result<(), Failure> {
    match &grant.lease.holding {
        Holding::Token { .. } => client.send(&token::Revoke(itself(grant)?)).await,
        Holding::Lease { id } => client.send(&lease::Revoke { lease: lease_id(id)?, sync: true }).await,
        Holding::Nothing => Ok(()),
    }
}

/// Revokes what a dead run left behind, by the right of the client's token.
pub(crate) async fn revoke_left(client: &VaultClient, what: &What) -> Result<(), Failure> {
    match what {
        What::Token(accessor) => client.send(&token::Revoke(Subject::Accessor(accessor.clone()))).await,
        What::Lease(id) => client.send(&lease::Revoke { lease: lease_id(id)?, sync: true }).await,
    }
}

/// A token that the caller brought, with what the server says of it.
async fn adopt(client: &VaultClient, token: Secret) -> Result<Grant, Failure> {
    let lease = match identity::look_up(client, token.clone()).await {
        Ok(record) if record.uses_left == Some(0) => {
            return Err(useless("the token's last use was to look it up"));
        }
        Ok(record) => terms(&record),
        Err(failure) if failure.kind() == Kind::Denied => blind_terms(client, token.clone()).await?,
        Err(failure) => return Err(dead_or(failure)),
    };
    Ok(grant_of(token, lease))
}

/// The terms of a token that may not look at itself, as its renewal tells them. Where that is refused too, nobody knows
/// when it ends.
async fn blind_terms(client: &VaultClient, token: Secret) -> Result<Lease, Failure> {
    let renew = token::Renew { subject: Subject::Itself(token), increment: None };
    let blind = Lease { holding: Holding::Token { accessor: None }, is_blind: true, ..Lease::STATIC };
    match client.send(&renew).await {
        Ok(renewal) => {
            let ttl = (!renewal.lease_duration.is_zero()).then_some(renewal.lease_duration);
            Ok(Lease { ttl, renewable: renewal.renewable, ..blind })
        }
        Err(failure) => match failure.kind().course() {
            Course::Denied | Course::Misconfigured => Ok(blind),
            Course::Dead | Course::Transient => Err(dead_or(failure)),
        },
    }
}

fn dead_or(failure: Failure) -> Failure {
    match failure.kind() {
        Kind::Expired => useless("the token is not valid (any more)"),
        _ => failure,
    }
}

/// No token that was brought is good for anything.
fn useless(why: &str) -> Failure {
    Failure::new(Kind::NeedsLogin, why)
        .hint("set VAULT_TOKEN to a live one, or configure a login: --auth METHOD")
}

/// The terms of a token that the caller brought.
fn terms(record: &Record) -> Lease {
    let accessor = (!record.accessor.is_empty()).then(|| record.accessor.as_str().into());
    Lease {
        holding: Holding::Token { accessor },
        ttl: record.left(),
        renewable: record.renewable && record.kind != TokenKind::Batch,
        ours: false,
        longest: longest(record),
        is_counted: record.uses_left.is_some(),
        is_blind: false,
    }
}

/// How long it can live at most from now on: all by the server's clock, which says when it ends and how long that is.
fn longest(record: &Record) -> Option<Duration> {
    let end = wall_time_of(record.expire_time.as_deref()?)?.duration_since(UNIX_EPOCH).ok()?;
    let left = record.left()?;
    let now = end.checked_sub(left)?;
    let last = Duration::from_secs(record.creation_time) + record.explicit_max_ttl?;
    // The server counts whole seconds.
    Some(last.saturating_sub(now).max(left))
}

fn token_grant(auth: Auth) -> Grant {
    let accessor = (!auth.accessor.is_empty()).then(|| auth.accessor.as_str().into());
    let lease = Lease {
        holding: Holding::Token { accessor },
        ttl: (!auth.lease_duration.is_zero()).then_some(auth.lease_duration),
        renewable: auth.renewable && auth.token_type != TokenKind::Batch,
        ours: true,
        longest: None,
        is_counted: auth.num_uses > 0,
        is_blind: false,
    };
    grant_of(auth.client_token, lease)
}

fn grant_of(token: Secret, lease: Lease) -> Grant {
    Grant { fields: Fields::from_iter([(Grant::TOKEN, token)]), lease, version: None, refresh_in: None }
}

fn itself(grant: &Grant) -> Result<Subject, Failure> {
    let token = grant.token().ok_or_else(|| Failure::new(Kind::Invalid, "this is no token"))?;
    Ok(Subject::Itself(token.clone()))
}

fn lease_id(id: &str) -> Result<LeaseId, Failure> {
    LeaseId::parse(id).ok_or_else(|| Failure::new(Kind::Invalid, "this is no lease id"))
}

fn standing(renewal: &Renewal) -> Standing {
    Standing {
        ttl: Some(renewal.lease_duration),
        renewable: renewal.renewable,
        capped: renewal.warnings.iter().any(|warning| warning.contains("capped")),
    }
}

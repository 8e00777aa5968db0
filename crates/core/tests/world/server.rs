//! The server's part of the box: tokens and leases, and what it answers.

use std::time::Duration;

use leasehold_core::errand::{Errand, Outcome, Standing, Task};
use leasehold_core::name::{Place, Reference};
use leasehold_core::{Failure, Fields, Grant, Holding, Kind, Lease, Moment, Scope, Secret};

use super::{World, name, seconds};

/// What the server knows of one token or lease.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) parent: Option<String>,
    pub(crate) ends: Option<Moment>,
    pub(crate) limit: Option<Moment>,
    pub(crate) renewable: bool,
    pub(crate) is_revoked: bool,
    /// Its holder was told of it, and has to give it back.
    pub(crate) is_owed: bool,
    /// A renewal was carried out whose answer was not heard: its holder knows less of it than the server.
    pub(crate) is_ambiguous: bool,
}

/// The server's settings, which a story may change at any time.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_ttl: Option<Duration>,
    pub(crate) renewable: bool,
    pub(crate) ours: bool,
}

/// Which tokens are batch tokens: without an accessor, and so without revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    None,
    /// Those below a login.
    Children,
    All,
}

/// Terms of ours that can be renewed for ever.
pub(crate) fn terms(ttl: u64) -> Terms {
    Terms { ttl: Some(seconds(ttl)), max_ttl: None, renewable: true, ours: true }
}

/// Terms of ours that cannot be renewed.
pub(crate) fn fixed(ttl: u64) -> Terms {
    Terms { renewable: false, ..terms(ttl) }
}

impl World {
    pub(super) fn answer(&mut self, errand: &Errand) -> Result<Outcome, Failure> {
        let asker = errand.asker.as_deref().map(name);
        let needs_asker = match &errand.task {
            Task::Obtain(scope) => *scope != Scope::Login,
            Task::Refresh(_) => true,
            Task::Renew(grant, _) | Task::Check(grant) | Task::Revoke(grant) => grant.token().is_none(),
        };
        if needs_asker && asker.is_none() {
            return Err(Failure::new(Kind::Invalid, "missing client token"));
        }
        if needs_asker && asker.as_ref().is_some_and(|asker| !self.is_alive(asker)) {
            return Err(Failure::new(Kind::Expired, "permission denied"));
        }
        match &errand.task {
            Task::Obtain(Scope::Login) => match self.same.clone() {
                Some(same) => self.bring(&same),
                None => Ok(self.give(&self.login.clone(), "token", None)),
            },
            Task::Obtain(Scope::Child) => Ok(self.give(&self.lease.clone(), "token", asker)),
            Task::Obtain(Scope::Secret(reference)) if is_static(reference.path.as_str()) => Ok(self.read()),
            Task::Obtain(Scope::Secret(_)) => Ok(self.give(&self.lease.clone(), "lease", asker)),
            Task::Refresh(_) => Ok(self.read()),
            Task::Renew(grant, increment) => self.renew(&name(grant), *increment),
            Task::Check(grant) if grant.token().is_none() => {
                self.broken(&format!("{} looked up like a token", name(grant)));
                Err(Failure::new(Kind::Invalid, "this is no token"))
            }
            Task::Check(grant) => self.check(&name(grant)),
            Task::Revoke(grant) => {
                self.revoke(&name(grant));
                Ok(Outcome::Revoked)
            }
        }
    }

    fn read(&self) -> Outcome {
        let fields = Fields::from_iter([("password", Secret::new(self.secret.clone()))]);
        Outcome::Granted(Grant { fields, lease: Lease::STATIC, version: None, refresh_in: self.refresh_in })
    }

    /// The same token once more, with what is left of it.
    fn bring(&self, same: &Grant) -> Result<Outcome, Failure> {
        if !self.is_alive(&name(same)) {
            return Err(Failure::new(Kind::NeedsLogin, "the token is not valid (any more)"));
        }
        let ttl = self.entries[&name(same)].ends.map(|ends| ends - self.now);
        Ok(Outcome::Granted(Grant { lease: Lease { ttl, ..same.lease.clone() }, ..same.clone() }))
    }

    fn give(&mut self, terms: &Terms, sort: &str, parent: Option<String>) -> Outcome {
        self.serial += 1;
        let realm = if sort == "lease" { self.realm } else { "" };
        let id = format!("{sort}-{}{realm}", self.serial);
        let is_batch = self.batch == Batch::All || self.batch == Batch::Children && parent.is_some();
        let limit = terms.max_ttl.map(|max| self.now + max);
        let ends = terms.ttl.map(|ttl| self.now + ttl);
        let entry = Entry {
            parent,
            ends,
            limit,
            renewable: terms.renewable,
            is_revoked: false,
            is_owed: false,
            is_ambiguous: false,
        };
        self.entries.insert(id.clone(), entry);
        let accessor = (!is_batch).then(|| id.as_str().into());
        let (holding, field) = match sort {
            "token" => (Holding::Token { accessor }, Grant::TOKEN),
            _ => (Holding::Lease { id: id.as_str().into() }, "password"),
        };
        let (ttl, renewable, ours) = (terms.ttl, terms.renewable, terms.ours);
        let lease = Lease { holding, ttl, renewable, ours, ..self.more.clone() };
        let fields = Fields::from_iter([(field, Secret::new(id))]);
        Outcome::Granted(Grant { fields, lease, version: None, refresh_in: None })
    }

    fn renew(&mut self, id: &str, increment: Option<Duration>) -> Result<Outcome, Failure> {
        if !self.is_alive(id) {
            return Err(Failure::new(Kind::Expired, "permission denied"));
        }
        let now = self.now;
        let Some(entry) = self.entries.get_mut(id) else { unreachable!("alive") };
        if !entry.renewable {
            return Err(Failure::new(Kind::Invalid, "lease is not renewable"));
        }
        let asked = now + increment.or(self.usual).unwrap_or_default();
        let ends = entry.limit.map_or(asked, |limit| asked.min(limit));
        entry.ends = Some(ends);
        Ok(Outcome::Standing(Standing { ttl: Some(ends - now), renewable: true, capped: ends < asked }))
    }

    fn check(&self, id: &str) -> Result<Outcome, Failure> {
        if !self.is_alive(id) {
            return Err(Failure::new(Kind::Expired, "permission denied"));
        }
        let entry = &self.entries[id];
        let ttl = entry.ends.map(|ends| ends - self.now);
        Ok(Outcome::Standing(Standing { ttl, renewable: entry.renewable, capped: false }))
    }

    pub(crate) fn revoke(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.is_revoked = true;
        }
    }

    /// Whether the server would accept it: not revoked, not over, and so all above it.
    pub(crate) fn is_alive(&self, id: &str) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        let is_alive = !entry.is_revoked && entry.ends.is_none_or(|ends| ends > self.now);
        is_alive && (is_foreign(id) || entry.parent.as_ref().is_none_or(|parent| self.is_alive(parent)))
    }

    pub(crate) fn alive(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).filter(|id| self.is_alive(id)).collect()
    }

    /// Whether it has ended by time, or what it lives on.
    pub(crate) fn is_over(&self, id: &str) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        entry.ends.is_some_and(|ends| ends <= self.now)
            || !is_foreign(id) && entry.parent.as_ref().is_some_and(|parent| self.is_over(parent))
    }
}

pub(crate) fn secret(path: &str) -> Scope {
    match Reference::parse(&format!("vault://{path}")).expect("a path").place() {
        Place::Vault(reference) => Scope::Secret(reference.clone()),
        _ => unreachable!("a vault reference"),
    }
}

fn is_static(path: &str) -> bool {
    path.starts_with("secret/")
}

/// Whether it is in another namespace than its token, and so does not end with that.
pub(super) fn is_foreign(id: &str) -> bool {
    id.contains('.')
}

//! The server of the model: the tokens and leases that it keeps, and what it says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::errand::{Outcome, Standing, Task};
use crate::failure::{Failure, Kind};
use crate::grant::{Fields, Grant, Holding, Lease};
use crate::moment::Moment;
use crate::scope::Scope;
use crate::secret::Secret;

/// The name of a token or lease at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) u32);

/// On what terms one sort of thing is given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) ttl: Duration,
    pub(super) renewable: bool,
}

/// What a server is like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Customs {
    pub(super) login: Terms,
    pub(super) below: Terms,
    /// Logins are tokens that the caller brought.
    pub(super) is_brought: bool,
    /// Tokens below the login are batch tokens.
    pub(super) is_batch: bool,
    /// Leases are in another namespace than their tokens.
    pub(super) is_foreign: bool,
}

/// What the server keeps of one token or lease.
#[derive(Clone, Debug)]
struct Entry {
    parent: Option<Name>,
    ends: Moment,
    renewable: bool,
    is_revoked: bool,
    is_foreign: bool,
    /// It was renewed, and its holder has not heard of it.
    is_ambiguous: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    entries: BTreeMap<Name, Entry>,
    serial: u32,
}

impl Server {
    /// Carries a task out, at this moment, for whoever shows this token.
    pub(super) fn carry_out(
        &mut self,
        customs: &Customs,
        now: Moment,
        task: &Task,
        asker: Option<Name>,
    ) -> Result<Outcome, Failure> {
        let shown =
            match task {
                Task::Obtain(Scope::Login) => None,
                Task::Obtain(_) | Task::Refresh(_) => asker,
                Task::Renew(grant, _) | Task::Check(grant) | Task::Revoke(grant) => {
                    if grant.token().is_some() { Some(name(grant)) } else { asker }
                }
            };
        if shown.is_some_and(|token| !self.is_alive(token, now)) {
            return Err(Failure::new(Kind::Expired, "permission denied"));
        }
        match task {
            Task::Obtain(scope) => Ok(Outcome::Granted(self.give(customs, now, scope, asker))),
            Task::Refresh(_) => Err(Failure::new(Kind::NotFound, "nothing static is kept here")),
            Task::Renew(grant, increment) => self.renew(name(grant), now, *increment),
            Task::Check(grant) => Ok(Outcome::Standing(self.standing(name(grant), now))),
            Task::Revoke(grant) => {
                self.revoke(name(grant));
                Ok(Outcome::Revoked)
            }
        }
    }

    fn give(&mut self, customs: &Customs, now: Moment, scope: &Scope, asker: Option<Name>) -> Grant {
        self.serial += 1;
        let name = Name(self.serial);
        let terms = if *scope == Scope::Login { customs.login } else { customs.below };
        let is_lease = matches!(scope, Scope::Secret(_));
        let is_foreign = is_lease && customs.is_foreign;
        let is_batch = customs.is_batch && *scope == Scope::Child;
        let label: Box<str> =
            if is_foreign { format!("#{}.X", name.0) } else { format!("#{}", name.0) }.into();
        let renewable = terms.renewable && !is_batch;
        let entry = Entry {
            parent: asker.filter(|_| *scope != Scope::Login),
            ends: now + terms.ttl,
            renewable,
            is_revoked: false,
            is_foreign,
            is_ambiguous: false,
        };
        self.entries.insert(name, entry);
        let (field, holding) = match is_lease {
            true => ("password", Holding::Lease { id: label }),
            false => (Grant::TOKEN, Holding::Token { accessor: (!is_batch).then_some(label) }),
        };
        let ours = *scope != Scope::Login || !customs.is_brought;
        Grant {
            fields: Fields::from_iter([(field, Secret::new(name.0.to_string()))]),
            lease: Lease { holding, ttl: Some(terms.ttl), renewable, ours, ..Lease::STATIC },
            version: None,
            refresh_in: None,
        }
    }

    fn renew(&mut self, name: Name, now: Moment, increment: Option<Duration>) -> Result<Outcome, Failure> {
        if !self.is_alive(name, now) {
            return Err(Failure::new(Kind::Expired, "lease not found"));
        }
        let Some(entry) = self.entries.get_mut(&name).filter(|entry| entry.renewable) else {
            return Err(Failure::new(Kind::Invalid, "lease is not renewable"));
        };
        // What was brought asks for nothing, and gets as much as it has.
        entry.ends = increment.map_or(entry.ends, |increment| now + increment);
        entry.is_ambiguous = true;
        Ok(Outcome::Standing(self.standing(name, now)))
    }

    fn standing(&self, name: Name, now: Moment) -> Standing {
        let entry = self.entries.get(&name);
        Standing {
            ttl: entry.map(|entry| entry.ends - now),
            renewable: entry.is_some_and(|entry| entry.renewable),
            capped: false,
        }
    }

    pub(super) fn revoke(&mut self, name: Name) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.is_revoked = true;
        }
    }

    /// Forgets what is dead, unless something lives on it or it is served.
    pub(super) fn forget(&mut self, now: Moment, is_served: impl Fn(Name) -> bool) {
        let parents: BTreeSet<_> = self.entries.values().filter_map(|entry| entry.parent).collect();
        let is_needed = |name: Name| parents.contains(&name) || is_served(name);
        let dead: Vec<_> = self
            .entries
            .keys()
            .copied()
            .filter(|name| !is_needed(*name) && !self.is_alive(*name, now))
            .collect();
        for name in dead {
            self.entries.remove(&name);
        }
    }

    pub(super) fn knows(&self, name: Name) -> bool {
        self.entries.contains_key(&name)
    }

    /// The holder has heard of the renewal.
    pub(super) fn hear(&mut self, name: Name) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.is_ambiguous = false;
        }
    }

    /// Whether this is so of what is kept under this name, or of a token that it lives on.
    fn is_any(&self, name: Name, is_so: &dyn Fn(&Entry) -> bool) -> bool {
        let Some(entry) = self.entries.get(&name) else { return false };
        let parent = entry.parent.filter(|_| !entry.is_foreign);
        is_so(entry) || parent.is_some_and(|parent| self.is_any(parent, is_so))
    }

    /// Whether the server would accept it.
    pub(super) fn is_alive(&self, name: Name, now: Moment) -> bool {
        self.knows(name) && !self.is_any(name, &|entry| entry.is_revoked || entry.ends <= now)
    }

    /// Whether it has ended by time, or what it lives on.
    pub(super) fn is_over(&self, name: Name, now: Moment) -> bool {
        self.is_any(name, &|entry| entry.ends <= now)
    }

    /// Whether its holder cannot know all that the server knows of it.
    pub(super) fn is_ambiguous(&self, name: Name) -> bool {
        self.is_any(name, &|entry| entry.is_ambiguous)
    }

    pub(super) fn lives_on(&self, name: Name, ground: Name) -> bool {
        let Some(entry) = self.entries.get(&name) else { return false };
        let parent = entry.parent.filter(|_| !entry.is_foreign);
        name == ground || parent.is_some_and(|parent| self.lives_on(parent, ground))
    }
}

/// The name of what was given.
pub(super) fn name(grant: &Grant) -> Name {
    let (_, value) = grant.fields.iter().next().unwrap_or_else(|| unreachable!("each grant has a field"));
    Name(value.expose().parse().unwrap_or_default())
}

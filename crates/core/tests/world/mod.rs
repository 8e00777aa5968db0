//! A ledger, a server and a clock in one box: hours pass in milliseconds.
#![allow(dead_code, clippy::expect_used, reason = "a test harness of which each story uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::errand::{Done, Errand, Outcome, Standing, Task};
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::{Ask, Input, Output};
use leasehold_core::name::{Place, Reference};
use leasehold_core::policy::Jitter;
use leasehold_core::{
    Failure, Fields, Grant, Holding, Kind, Lease, Ledger, Moment, Policy, Scope, Secret, SlotId,
};

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What the server knows of one token or lease.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) parent: Option<String>,
    pub(crate) ends: Option<Moment>,
    pub(crate) limit: Option<Moment>,
    pub(crate) renewable: bool,
    pub(crate) is_revoked: bool,
}

/// The server's settings, which a story may change at any time.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_ttl: Option<Duration>,
    pub(crate) renewable: bool,
    pub(crate) ours: bool,
}

/// What happens to the calls of one sort.
pub(crate) type Rule = fn(&Task) -> Option<Failure>;

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) now: Moment,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) login: Terms,
    pub(crate) lease: Terms,
    pub(crate) secret: String,
    /// What the server puts after the names of leases: that of another namespace, such as `.X8LMRm`.
    pub(crate) realm: &'static str,
    /// Every call that reached the server, with its moment.
    pub(crate) calls: Vec<(Moment, &'static str)>,
    pub(crate) events: Vec<Event>,
    pub(crate) values: BTreeMap<SlotId, Arc<Grant>>,
    /// What was served before, by the server's name, and when it was replaced.
    pub(crate) replaced: Vec<(Moment, String)>,
    pub(crate) rule: Option<Rule>,
    pub(crate) latency: Duration,
    pub(crate) pending: BTreeMap<(Moment, u64), Done>,
    pub(crate) serial: u64,
    pub(crate) jitter: u32,
}

impl Default for World {
    fn default() -> Self {
        let terms = Terms { ttl: Some(seconds(3_600)), max_ttl: None, renewable: true, ours: true };
        Self {
            ledger: Ledger::default(),
            now: Moment::default() + seconds(1_000_000),
            entries: BTreeMap::new(),
            login: terms.clone(),
            lease: terms,
            secret: "one".into(),
            realm: "",
            calls: Vec::new(),
            events: Vec::new(),
            values: BTreeMap::new(),
            replaced: Vec::new(),
            rule: None,
            latency: Duration::from_millis(5),
            pending: BTreeMap::new(),
            serial: 0,
            jitter: 1,
        }
    }
}

impl World {
    pub(crate) fn ask(&mut self, slot: u32, scope: Scope, asker: Option<u32>, policy: Policy) -> SlotId {
        let jitter = self.draw();
        let (slot, asker) = (SlotId(slot), asker.map(SlotId));
        self.tell(Input::Ask(Ask { slot, scope, asker, policy: Arc::new(policy), jitter }));
        slot
    }

    /// Asks for a login in slot 0.
    pub(crate) fn login(&mut self) -> SlotId {
        self.ask(0, Scope::Login, None, Policy::default())
    }

    /// Asks, with the login, for a static secret in this slot.
    pub(crate) fn secret(&mut self, slot: u32) -> SlotId {
        self.ask(slot, secret("secret/db"), Some(0), Policy::default())
    }

    /// Asks, with the login, for a dynamic secret in this slot.
    pub(crate) fn dynamic(&mut self, slot: u32) -> SlotId {
        self.ask(slot, secret("database/creds/app"), Some(0), Policy::default())
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.ledger.handle(self.now, input);
        self.drain();
    }

    /// Lets time pass, doing whatever becomes due on the way.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let result = self.pending.first_key_value().map(|((at, _), _)| *at);
            let next = [result, self.ledger.deadline()].into_iter().flatten().min();
            match next.filter(|at| *at <= end) {
                None => break,
                Some(at) => self.advance_to(at),
            }
        }
        self.now = end;
    }

    /// The machine sleeps: time passes and nobody does anything.
    pub(crate) fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
        self.tell(Input::Tick);
    }

    fn advance_to(&mut self, at: Moment) {
        self.now = self.now.max(at);
        match self.pending.first_key_value().map(|((at, _), _)| *at) {
            Some(first) if first <= self.now => {
                let Some((_, done)) = self.pending.pop_first() else { return };
                self.tell(Input::Done(done));
            }
            _ => self.tell(Input::Tick),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.ledger.poll() {
            match output {
                Output::Do(errand) => self.carry_out(&errand),
                Output::Publish { slot, grant, .. } => {
                    let old = self.values.insert(slot, grant);
                    self.replaced.extend(old.map(|old| (self.now, name(&old))));
                }
                Output::Withdraw { slot, .. } => drop(self.values.remove(&slot)),
                Output::Note(event) => self.events.push(event),
            }
        }
    }

    fn draw(&mut self) -> Jitter {
        self.jitter = self.jitter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Jitter(self.jitter)
    }

    fn carry_out(&mut self, errand: &Errand) {
        self.calls.push((self.now, word(&errand.task)));
        let result = match self.rule.and_then(|rule| rule(&errand.task)) {
            Some(failure) => Err(failure),
            None => self.answer(errand),
        };
        self.serial += 1;
        let jitter = self.draw();
        let done = Done { errand: errand.id, slot: errand.slot, result, round_trip: self.latency, jitter };
        self.pending.insert((self.now + self.latency, self.serial), done);
    }

    fn answer(&mut self, errand: &Errand) -> Result<Outcome, Failure> {
        let asker = errand.asker.as_deref().map(name);
        if asker.as_ref().is_some_and(|asker| !self.is_alive(asker)) {
            return Err(Failure::new(Kind::Expired, "permission denied"));
        }
        let needs_asker = match &errand.task {
            Task::Obtain(scope) => *scope != Scope::Login,
            Task::Refresh(_) => true,
            Task::Renew(grant, _) | Task::Check(grant) | Task::Revoke(grant) => grant.token().is_none(),
        };
        if needs_asker && asker.is_none() {
            return Err(Failure::new(Kind::Invalid, "missing client token"));
        }
        match &errand.task {
            Task::Obtain(Scope::Login) => Ok(self.give(&self.login.clone(), "token", None)),
            Task::Obtain(Scope::Child) => Ok(self.give(&self.lease.clone(), "token", asker)),
            Task::Obtain(Scope::Secret(reference)) if is_static(reference.path.as_str()) => Ok(self.read()),
            Task::Obtain(Scope::Secret(_)) => Ok(self.give(&self.lease.clone(), "lease", asker)),
            Task::Refresh(_) => Ok(self.read()),
            Task::Renew(grant, increment) => self.renew(&name(grant), *increment),
            Task::Check(grant) => self.check(&name(grant)),
            Task::Revoke(grant) => {
                self.revoke(&name(grant));
                Ok(Outcome::Revoked)
            }
        }
    }

    fn read(&self) -> Outcome {
        let fields = Fields::from_iter([("password", Secret::new(self.secret.clone()))]);
        Outcome::Granted(Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None })
    }

    fn give(&mut self, terms: &Terms, sort: &str, parent: Option<String>) -> Outcome {
        self.serial += 1;
        let realm = if sort == "lease" { self.realm } else { "" };
        let id = format!("{sort}-{}{realm}", self.serial);
        let limit = terms.max_ttl.map(|max| self.now + max);
        let ends = terms.ttl.map(|ttl| self.now + ttl);
        let entry = Entry { parent, ends, limit, renewable: terms.renewable, is_revoked: false };
        self.entries.insert(id.clone(), entry);
        let (holding, field) = match sort {
            "token" => (Holding::Token { accessor: Some(id.as_str().into()) }, Grant::TOKEN),
            _ => (Holding::Lease { id: id.as_str().into() }, "password"),
        };
        let lease = Lease { holding, ttl: terms.ttl, renewable: terms.renewable, ours: terms.ours };
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
        let asked = now + increment.unwrap_or_default();
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
        let is_foreign = id.contains('.');
        is_alive && (is_foreign || entry.parent.as_ref().is_none_or(|parent| self.is_alive(parent)))
    }

    pub(crate) fn alive(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).filter(|id| self.is_alive(id)).collect()
    }

    /// The name under which the server knows what a slot serves.
    pub(crate) fn served(&self, slot: SlotId) -> Option<String> {
        self.values.get(&slot).map(|grant| name(grant))
    }

    pub(crate) fn value(&self, slot: SlotId) -> Option<&str> {
        self.values.get(&slot)?.fields.field("password").map(Secret::expose)
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        self.calls.iter().filter(|(_, have)| *have == word).count()
    }

    pub(crate) fn ended(&self, slot: SlotId, end: End) -> bool {
        self.events.contains(&Event::Ended { slot, end })
    }

    /// The largest number of calls within any span of this length.
    pub(crate) fn peak(&self, span: Duration) -> usize {
        let within =
            |from: Moment| self.calls.iter().filter(move |(at, _)| *at >= from && *at < from + span).count();
        self.calls.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
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

fn name(grant: &Grant) -> String {
    match &grant.lease.holding {
        Holding::Token { accessor } => accessor.as_deref().unwrap_or_default().into(),
        Holding::Lease { id } => (**id).into(),
        Holding::Nothing => String::new(),
    }
}

fn word(task: &Task) -> &'static str {
    match task {
        Task::Obtain(Scope::Login) => "login",
        Task::Obtain(Scope::Child) => "create",
        Task::Obtain(Scope::Secret(_)) => "read",
        Task::Refresh(_) => "reread",
        Task::Renew(..) => "renew",
        Task::Check(_) => "lookup",
        Task::Revoke(_) => "revoke",
    }
}

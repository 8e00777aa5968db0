//! A ledger, a server and a clock in one box: hours pass in milliseconds.
#![allow(
    dead_code,
    unused_imports,
    clippy::expect_used,
    reason = "a test harness of which each story uses a part"
)]

mod server;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::errand::{Done, Errand, ErrandId, Outcome, Standing, Task};
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::{Ask, Input, Output, SlotStatus};
use leasehold_core::policy::Jitter;
use leasehold_core::{
    Failure, Grant, Holding, Kind, Lease, Ledger, Moment, Policy, Retry, Scope, Secret, SlotId,
};

pub(crate) use server::{Batch, Entry, Terms, fixed, secret, terms};

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// All sorts of calls.
pub(crate) const ALL: &[&str] = &["login", "create", "read", "reread", "renew", "lookup", "revoke"];

/// What happens to the calls of one sort.
pub(crate) type Rule = fn(&Task) -> Option<Failure>;

/// What happens to the answer of one call, which the server carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    /// A failure takes its place.
    Garbled,
    Late(Duration),
    Doubled(Duration),
    /// It is the answer to another question.
    Crossed,
}

/// Calls of these sorts fail in this way.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) words: &'static [&'static str],
    pub(crate) kind: Kind,
}

/// One answer on its way.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    done: Done,
    /// A result that came before: the same one twice.
    is_copy: bool,
    /// What it says was renewed.
    renewed: Option<String>,
}

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) now: Moment,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) login: Terms,
    /// What else the server says of tokens and leases: how long they can live at most, and whether their uses are counted.
    pub(crate) more: Lease,
    /// The token that a login finds, of those that were brought.
    pub(crate) same: Option<Arc<Grant>>,
    /// How much a renewal gives that asks for nothing.
    pub(crate) usual: Option<Duration>,
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
    pub(crate) fault: Option<Fault>,
    /// What happens to the answers of the next calls, in turn.
    pub(crate) fates: VecDeque<Option<Fate>>,
    pub(crate) latency: Duration,
    pub(crate) pending: BTreeMap<(Moment, u64), Answer>,
    /// The errands under way, revocations apart, and since when.
    pub(crate) under_way: BTreeMap<ErrandId, (SlotId, Moment)>,
    /// Which laws were broken.
    pub(crate) faults: BTreeSet<String>,
    /// How long the server says that a static secret stays as it is.
    pub(crate) refresh_in: Option<Duration>,
    /// Which tokens are batch tokens, by the sort of what they are asked for with.
    pub(crate) batch: Batch,
    pub(crate) serial: u64,
    pub(crate) jitter: u32,
}

impl Default for World {
    fn default() -> Self {
        let terms = terms(3_600);
        Self {
            ledger: Ledger::default(),
            now: Moment::default() + seconds(1_000_000),
            entries: BTreeMap::new(),
            login: terms.clone(),
            more: Lease::STATIC,
            same: None,
            usual: terms.ttl,
            lease: terms,
            secret: "one".into(),
            realm: "",
            calls: Vec::new(),
            events: Vec::new(),
            values: BTreeMap::new(),
            replaced: Vec::new(),
            rule: None,
            fault: None,
            fates: VecDeque::new(),
            latency: Duration::from_millis(5),
            pending: BTreeMap::new(),
            under_way: BTreeMap::new(),
            faults: BTreeSet::new(),
            refresh_in: None,
            batch: Batch::None,
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

    /// Asks, with the login, for a token below it in this slot.
    pub(crate) fn child(&mut self, slot: u32) -> SlotId {
        self.ask(slot, Scope::Child, Some(0), Policy::default())
    }

    /// A login, a token below it and a lease below that, in slots 0 to 2, a second after they were asked for.
    pub(crate) fn family(&mut self) -> [SlotId; 3] {
        let (login, parent) = (self.login(), self.child(1));
        let lease = self.ask(2, secret("database/creds/app"), Some(1), Policy::default());
        self.pass(seconds(1));
        [login, parent, lease]
    }

    /// From now on calls of these sorts fail in this way.
    pub(crate) fn fail(&mut self, words: &'static [&'static str], kind: Kind) {
        self.fault = Some(Fault { words, kind });
    }

    /// Calls fail no more.
    pub(crate) fn mend(&mut self) {
        self.fault = None;
    }

    /// Replaces a token, which what lives on it cannot follow.
    pub(crate) fn replace_alone(&mut self, token: SlotId, kind: Kind) {
        self.fail(&["read"], kind);
        self.tell(Input::Hurry(token));
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

    /// Lets time pass in steps until this is so.
    pub(crate) fn pass_until(&mut self, step: Duration, is_so: impl Fn(&Self) -> bool) {
        let most = 10_000;
        let is_reached = (0..most).any(|_| {
            let is_reached = is_so(self);
            if !is_reached {
                self.pass(step);
            }
            is_reached
        });
        assert!(is_reached, "not within {:?}", step * most);
    }

    /// The machine sleeps: time passes and nobody does anything.
    pub(crate) fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
        self.tell(Input::Tick);
    }

    /// The machine sleeps, and the answers that came meanwhile are heard first on waking.
    pub(crate) fn sleep_before_tick(&mut self, span: Duration) {
        self.now = self.now + span;
        while let Some(answer) = self.pending.first_entry().filter(|first| first.key().0 <= self.now) {
            let answer = answer.remove();
            self.hear(answer);
        }
        self.tell(Input::Tick);
    }

    fn advance_to(&mut self, at: Moment) {
        self.now = self.now.max(at);
        match self.pending.first_key_value().map(|((at, _), _)| *at) {
            Some(first) if first <= self.now => {
                let Some((_, answer)) = self.pending.pop_first() else { return };
                self.hear(answer);
            }
            _ => self.tell(Input::Tick),
        }
    }

    fn hear(&mut self, Answer { done, is_copy, renewed }: Answer) {
        let sent = self.under_way.remove(&done.errand).map(|(_, at)| at);
        let is_heard = sent.is_some_and(|at| self.now - at < Errand::PATIENCE) && done.result.is_ok();
        let is_served = |id: &String| self.values.values().any(|grant| name(grant) == *id);
        let renewed = renewed.filter(|id| is_heard && is_served(id));
        if let Some(entry) = renewed.and_then(|id| self.entries.get_mut(&id)) {
            entry.is_ambiguous = false;
        }
        if let Ok(Outcome::Granted(grant)) = &done.result
            && let Some(entry) = self.entries.get_mut(&name(grant)).filter(|_| !is_copy)
        {
            entry.is_owed = grant.lease.is_owed();
        }
        self.tell(Input::Done(done));
    }

    fn drain(&mut self) {
        while let Some(output) = self.ledger.poll() {
            match output {
                Output::Do(errand) => self.carry_out(&errand),
                Output::Publish { slot, grant, .. } => {
                    let old = self.values.insert(slot, grant);
                    self.replaced.extend(old.map(|old| (self.now, name(&old))));
                }
                Output::Withdraw { slot, end } => self.withdraw(slot, end),
                Output::Note(event) => self.events.push(event),
            }
        }
    }

    fn withdraw(&mut self, slot: SlotId, end: End) {
        let Some(old) = self.values.remove(&slot) else {
            return self.broken(&format!("{slot:?} withdrawn twice"));
        };
        let old = name(&old);
        if end != End::Released && !self.is_ambiguous(&old) && self.is_alive(&old) {
            self.broken(&format!("{slot:?} withdrawn as {end:?} while {old} is alive"));
        }
    }

    /// Whether the ledger cannot know all that the server knows of it.
    fn is_ambiguous(&self, id: &str) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        entry.is_ambiguous || entry.parent.as_ref().is_some_and(|parent| self.is_ambiguous(parent))
    }

    pub(crate) fn broken(&mut self, law: &str) {
        self.faults.insert(format!("at {:?}: {law}", self.now - Moment::default()));
    }

    /// Notes an errand, of which one slot may have one at a time.
    fn set_out(&mut self, errand: &Errand) {
        if let Task::Revoke(grant) = &errand.task {
            return self.expect_unused(&name(grant));
        }
        let now = self.now;
        let is_pending = |since: Moment| now - since < Errand::PATIENCE;
        if self.under_way.values().any(|(slot, since)| *slot == errand.slot && is_pending(*since)) {
            self.broken(&format!("two errands for {:?}: {:?}", errand.slot, errand.task));
        }
        self.under_way.insert(errand.id, (errand.slot, now));
    }

    /// Nothing that is served lives on what is to be revoked.
    fn expect_unused(&mut self, id: &str) {
        let used = self.values.iter().find(|(_, grant)| self.lives_on(&name(grant), id));
        if let Some(slot) = used.map(|(slot, _)| *slot) {
            self.broken(&format!("{id} revoked while {slot:?} lives on it"));
        }
    }

    fn lives_on(&self, id: &str, ground: &str) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        id == ground
            || !server::is_foreign(id) && entry.parent.as_ref().is_some_and(|it| self.lives_on(it, ground))
    }

    fn draw(&mut self) -> Jitter {
        self.jitter = self.jitter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Jitter(self.jitter)
    }

    fn carry_out(&mut self, errand: &Errand) {
        self.calls.push((self.now, word(&errand.task)));
        self.set_out(errand);
        let fault = self.fault.as_ref().filter(|fault| fault.words.contains(&word(&errand.task)));
        let fault = fault.map(|fault| Failure::new(fault.kind, "fault"));
        let result = match fault.or_else(|| self.rule.and_then(|rule| rule(&errand.task))) {
            Some(failure) => Err(failure),
            None => self.answer(errand),
        };
        let jitter = self.draw();
        let done = Done { errand: errand.id, slot: errand.slot, result, round_trip: self.latency, jitter };
        let fate = self.fates.pop_front().flatten();
        let renewed = match &errand.task {
            Task::Renew(grant, _) if done.result.is_ok() => Some(name(grant)),
            _ => None,
        };
        if let Some(entry) = renewed.as_ref().and_then(|id| self.entries.get_mut(id)) {
            entry.is_ambiguous = true;
        }
        self.meet(fate, Answer { done, is_copy: false, renewed });
    }

    /// Sends an answer on its way, which may be a strange one.
    fn meet(&mut self, fate: Option<Fate>, mut answer: Answer) {
        match fate {
            None => self.send(self.latency, answer),
            Some(Fate::Lost) => {}
            Some(Fate::Garbled) => {
                answer.done.result =
                    Err(Failure::new(Kind::Unreachable, "reset").with_retry(Retry::Ambiguous));
                self.send(self.latency, answer);
            }
            Some(Fate::Crossed) => {
                let standing = Standing { ttl: Some(seconds(60)), renewable: true, capped: false };
                let is_standing = matches!(answer.done.result, Ok(Outcome::Standing(_)));
                let crossed = if is_standing { Outcome::Revoked } else { Outcome::Standing(standing) };
                answer.done.result = answer.done.result.map(|_| crossed);
                self.send(self.latency, Answer { renewed: None, ..answer });
            }
            Some(Fate::Late(after)) => self.send(after, answer),
            Some(Fate::Doubled(after)) => {
                self.send(self.latency, answer.clone());
                self.send(self.latency + after, Answer { is_copy: true, ..answer });
            }
        }
    }

    fn send(&mut self, after: Duration, answer: Answer) {
        self.serial += 1;
        self.pending.insert((self.now + after, self.serial), answer);
    }

    pub(crate) fn status(&self, slot: SlotId) -> SlotStatus {
        self.ledger.status_of(slot).expect("a slot that was asked for")
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

    /// What was told to have failed in a slot, with the number of attempts.
    pub(crate) fn failures(&self, of: SlotId) -> Vec<(Kind, &str, u16)> {
        let failures = self.events.iter().filter_map(|event| match event {
            Event::Failed { slot, failure, attempt } if *slot == of => Some((failure, *attempt)),
            _ => None,
        });
        failures.map(|(failure, attempt)| (failure.kind(), failure.message(), attempt)).collect()
    }

    /// Whether the ledger says that this is still to be given back.
    pub(crate) fn is_owed(&self, id: &str) -> bool {
        let named = |holding: &Holding| match holding {
            Holding::Token { accessor } => accessor.as_deref() == Some(id),
            Holding::Lease { id: have } => **have == *id,
            Holding::Nothing => false,
        };
        self.ledger.owed().any(|(_, holding, _)| named(holding))
    }

    /// The largest number of calls within any span of this length.
    pub(crate) fn peak(&self, span: Duration) -> usize {
        let mut from = 0;
        let within = |(at, (moment, _)): (usize, &(Moment, &str))| {
            while self.calls[from].0 + span <= *moment {
                from += 1;
            }
            at + 1 - from
        };
        self.calls.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

/// The name under which the server knows it. A token's value is its name here, since a batch token has no other.
pub(crate) fn name(grant: &Grant) -> String {
    match &grant.lease.holding {
        Holding::Token { .. } => grant.token().map(Secret::expose).unwrap_or_default().into(),
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

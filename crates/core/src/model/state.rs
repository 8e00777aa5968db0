//! One state of the model: a ledger, its server, the network between them, and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::fingerprint::Fingerprint;
use super::server::{Customs, Name, Server, name};
use crate::errand::{Done, Errand, Outcome, Task};
use crate::event::{End, Event};
use crate::failure::{Failure, Kind, Retry};
use crate::ledger::{Ask, Input, Ledger, Output};
use crate::moment::Moment;
use crate::policy::{Jitter, Policy};
use crate::scope::{Scope, SlotId};

/// The laws that no step may break. Each is kept by a property of this name.
pub(super) const LAWS: [&str; 8] = [
    law::SERVED_IN_TIME,
    law::WITHDRAWN_AT_ITS_END,
    law::REVOKED_UNUSED,
    law::ONE_ERRAND,
    law::NOTHING_FORGOTTEN,
    law::ALL_GIVEN_BACK,
    law::DEADLINE,
    law::PACE,
];

pub(super) mod law {
    pub(in super::super) const SERVED_IN_TIME: &str = "nothing is served past its end or that of its tokens";
    pub(in super::super) const WITHDRAWN_AT_ITS_END: &str = "what is withdrawn was revoked or has ended";
    pub(in super::super) const REVOKED_UNUSED: &str = "nothing is revoked while something served lives on it";
    pub(in super::super) const ONE_ERRAND: &str = "at most one errand of a slot is under way";
    pub(in super::super) const NOTHING_FORGOTTEN: &str = "what was obtained and lives is served or owed";
    pub(in super::super) const ALL_GIVEN_BACK: &str = "after a stop all is given back, or refused and owed";
    pub(in super::super) const DEADLINE: &str = "what is pending has a deadline, and what was due is done";
    pub(in super::super) const PACE: &str = "one vital request a second, after the burst";
}

/// One errand on its way, or its answer.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) errand: Errand,
    pub(super) sent: Moment,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Its turn is now: the clock waits for it.
    Prompt,
    /// It has not reached the server yet.
    Delayed,
    /// It was carried out, and this answer is on its way.
    Answered(Result<Outcome, Failure>),
    /// This answer was heard, and comes once more.
    Copied(Result<Outcome, Failure>),
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) now: Moment,
    pub(super) network: Vec<Letter>,
    pub(super) served: BTreeMap<SlotId, Name>,
    pub(super) server: Server,
    /// What was handed to the ledger and has to be given back.
    held: BTreeSet<Name>,
    /// Logins are not tried any more, until something changes.
    is_halted: bool,
    is_released: bool,
    pub(super) is_stopped: bool,
    pub(super) asked: BTreeSet<u32>,
    published: BTreeSet<SlotId>,
    /// When the last vital turn of a strict pace is over.
    busy: Moment,
    /// The first law that was broken; what follows from that is not blamed.
    pub(super) broken: Option<&'static str>,
}

/// The state is what its fingerprint says.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&Fingerprint::of(self, self.now));
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        Fingerprint::of(self, self.now) == Fingerprint::of(other, other.now)
    }
}

impl State {
    pub(super) fn new(ledger: Ledger) -> Self {
        let now = Moment::default() + Duration::from_secs(1_000_000);
        Self {
            ledger,
            now,
            network: Vec::new(),
            served: BTreeMap::new(),
            server: Server::default(),
            held: BTreeSet::new(),
            is_halted: false,
            is_released: false,
            is_stopped: false,
            asked: BTreeSet::new(),
            published: BTreeSet::new(),
            busy: now,
            broken: None,
        }
    }

    pub(super) fn ask(&mut self, slot: u32, scope: Scope, asker: Option<u32>, policy: &Arc<Policy>) {
        self.asked.insert(slot);
        let ask = Ask {
            slot: SlotId(slot),
            scope,
            asker: asker.map(SlotId),
            policy: Arc::clone(policy),
            jitter: Jitter(0),
        };
        self.tell(Input::Ask(ask));
    }

    /// Tells the ledger something, does what it says, and holds the laws against it.
    pub(super) fn tell(&mut self, input: Input) {
        self.is_stopped |= matches!(input, Input::Stop);
        self.is_released |= matches!(input, Input::Stop | Input::Release(_));
        self.ledger.handle(self.now, input);
        while let Some(output) = self.ledger.poll() {
            match output {
                Output::Do(errand) => self.send(errand),
                Output::Publish { slot, grant, .. } => {
                    self.published.insert(slot);
                    self.served.insert(slot, name(&grant));
                }
                Output::Withdraw { slot, end } => self.withdraw(slot, end),
                Output::Note(Event::Halted { .. }) => self.is_halted = true,
                Output::Note(_) => {}
            }
        }
        let now = self.now;
        self.network.retain(|letter| now - letter.sent < Errand::PATIENCE * 2);
        self.server.forget(now, |name| self.served.values().any(|served| *served == name));
        self.held.retain(|name| self.server.knows(*name));
        self.judge();
    }

    fn send(&mut self, errand: Errand) {
        let is_open = |letter: &Letter| match letter.stage {
            Stage::Prompt | Stage::Delayed | Stage::Answered(_) => self.now - letter.sent < Errand::PATIENCE,
            Stage::Copied(_) => false,
        };
        let is_same = |letter: &Letter| letter.errand.slot == errand.slot && !is_revocation(&letter.errand);
        if !is_revocation(&errand) && self.network.iter().any(|letter| is_open(letter) && is_same(letter)) {
            self.blame(law::ONE_ERRAND);
        }
        if let Task::Revoke(grant) = &errand.task {
            let revoked = name(grant);
            if self.served.values().any(|served| self.server.lives_on(*served, revoked)) {
                self.blame(law::REVOKED_UNUSED);
            }
        }
        self.keep_pace(&errand);
        self.network.push(Letter { errand, sent: self.now, stage: Stage::Prompt });
    }

    /// A turn is good for two seconds, so three may come late together.
    fn keep_pace(&mut self, errand: &Errand) {
        const BURST: u64 = 16 + 3;
        let is_awaited = match errand.task {
            Task::Obtain(_) => !self.published.contains(&errand.slot),
            // What is given back in the end does not wait.
            Task::Revoke(_) => self.is_released,
            Task::Renew(..) | Task::Check(_) | Task::Refresh(_) => false,
        };
        if is_awaited {
            return;
        }
        self.busy = self.busy.max(self.now) + Duration::from_secs(1);
        if self.busy - self.now > Duration::from_secs(BURST) {
            self.blame(law::PACE);
        }
    }

    fn withdraw(&mut self, slot: SlotId, end: End) {
        let Some(name) = self.served.remove(&slot) else { return };
        let is_known = !self.server.is_ambiguous(name);
        if end != End::Released && is_known && self.server.is_alive(name, self.now) {
            self.blame(law::WITHDRAWN_AT_ITS_END);
        }
    }

    /// What holds after each step.
    fn judge(&mut self) {
        if self.served.values().any(|name| self.server.is_over(*name, self.now)) {
            self.blame(law::SERVED_IN_TIME);
        }
        let is_waiting = !self.is_halted && self.asked.iter().any(|slot| self.is_waited_for(SlotId(*slot)));
        let is_pending = !self.ledger.is_settled() || is_waiting;
        let deadline = self.ledger.deadline();
        if is_pending && deadline.is_none() || deadline.is_some_and(|at| at <= self.now) {
            self.blame(law::DEADLINE);
        }
        let owed: BTreeSet<_> = self.ledger.owed().map(|(_, holding, _)| format!("{holding:?}")).collect();
        let is_kept = |name: &Name| {
            let told = |end: &str| owed.iter().any(|owed| owed.contains(&format!("#{}{end}", name.0)));
            self.served.values().any(|served| served == name) || told("\"") || told(".X")
        };
        if self.held.iter().any(|name| self.server.is_alive(*name, self.now) && !is_kept(name)) {
            self.blame(law::NOTHING_FORGOTTEN);
        }
    }

    fn is_waited_for(&self, slot: SlotId) -> bool {
        !self.served.contains_key(&slot) && self.ledger.status_of(slot).is_some()
    }

    pub(super) fn blame(&mut self, law: &'static str) {
        self.broken.get_or_insert(law);
    }

    /// Carries a letter out at the server.
    pub(super) fn carry_out(&mut self, customs: &Customs, errand: &Errand) -> Result<Outcome, Failure> {
        let asker = errand.asker.as_deref().map(name);
        self.server.carry_out(customs, self.now, &errand.task, asker)
    }

    /// Lets the ledger hear this result of an errand.
    pub(super) fn hear(&mut self, letter: &Letter, result: Result<Outcome, Failure>) {
        let is_in_time = self.now - letter.sent < Errand::PATIENCE;
        match (&result, &letter.errand.task) {
            (Ok(Outcome::Granted(grant)), _) if grant.lease.is_owed() => drop(self.held.insert(name(grant))),
            (Ok(Outcome::Standing(_)), Task::Renew(grant, _) | Task::Check(grant)) if is_in_time => {
                let name = name(grant);
                if self.served.values().any(|served| *served == name) {
                    self.server.hear(name);
                }
            }
            _ => {}
        }
        let Errand { id, slot, .. } = letter.errand;
        let round_trip = Duration::from_millis(5);
        self.tell(Input::Done(Done { errand: id, slot, result, round_trip, jitter: Jitter(0) }));
    }

    /// Lets the clock run to what is due next, or not at all.
    pub(super) fn tick(&mut self) {
        self.now = self.now.max(self.ledger.deadline().unwrap_or_default());
        self.tell(Input::Tick);
    }

    /// Goes on without any fault until all is given back, and sees whether that comes to pass.
    pub(super) fn see_all_given_back(&self, customs: &Customs) -> bool {
        let (mut state, patience) = (self.clone(), self.now + Errand::PATIENCE + Duration::from_secs(15));
        while !state.ledger.is_settled() && state.now <= patience {
            match state.network.iter().position(|letter| matches!(letter.stage, Stage::Prompt)) {
                Some(at) => {
                    let letter = state.network.remove(at);
                    let result = state.carry_out(customs, &letter.errand);
                    state.hear(&letter, result);
                }
                None => state.tick(),
            }
        }
        let is_refused = state.ledger.owed().all(|(_, _, refusal)| refusal.is_some());
        state.ledger.is_settled() && is_refused && state.broken.is_none()
    }
}

fn is_revocation(errand: &Errand) -> bool {
    matches!(errand.task, Task::Revoke(_))
}

/// A failure of this kind; of a connection, one that leaves open whether the request was carried out.
pub(super) fn failure(kind: Kind) -> Failure {
    let failure = Failure::new(kind, "fault");
    if kind == Kind::Unreachable { failure.with_retry(Retry::Ambiguous) } else { failure }
}

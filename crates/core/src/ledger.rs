//! All slots: inputs go in, errands and values come out.

mod turns;
mod results;
mod debts;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::debt::{Debt, DebtId};
use crate::errand::{Done, Errand, ErrandId, Task};
use crate::event::{End, Event};
use crate::failure::{Failure, Kind};
use crate::grant::{Grant, Holding};
use crate::lockout::Lockout;
use crate::moment::Moment;
use crate::pace::Pace;
use crate::policy::{Jitter, Policy};
use crate::scope::{Scope, SlotId};
use crate::seeded::Seeded;
use crate::slot::{Flight, Ground, Slot, Step, Trouble};

pub use status::{SlotStatus, Stage};

/// All credentials of one process, and the time at which something has to happen to any of them.
///
/// Its methods are of three sorts:
///
/// - [`handle`](Self::handle) is told what happened and when: an ask, a result, or only that time has passed;
/// - [`poll`](Self::poll) is then called until it returns `None`, and says what to do;
/// - [`deadline`](Self::deadline), [`status`](Self::status) and [`is_settled`](Self::is_settled) look.
///
/// Work grows with the slots that are due, never with those that are not.
///
/// ```
/// use leasehold_core::errand::{Done, Outcome, Task};
/// use leasehold_core::ledger::{Ask, Input, Ledger, Output};
/// use leasehold_core::policy::{Jitter, Policy};
/// use leasehold_core::{Fields, Grant, Lease, Moment, Scope, Secret, SlotId};
/// use std::{sync::Arc, time::Duration};
///
/// let mut ledger = Ledger::default();
/// let now = Moment::default();
/// let ask = Ask {
///     slot: SlotId(0), scope: Scope::Login, asker: None,
///     policy: Arc::new(Policy::default()), jitter: Jitter(7),
/// };
/// ledger.handle(now, Input::Ask(ask));
/// let Some(Output::Do(errand)) = ledger.poll() else { panic!("a login") };
/// assert!(matches!(errand.task, Task::Obtain(Scope::Login)));
///
/// let fields = Fields::from_iter([(Grant::TOKEN, Secret::new("s.token"))]);
/// let grant = Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None };
/// let done = Done {
///     errand: errand.id, slot: errand.slot, result: Ok(Outcome::Granted(grant)),
///     round_trip: Duration::from_millis(3), jitter: Jitter(9),
/// };
/// ledger.handle(now, Input::Done(done));
/// assert!(matches!(ledger.poll(), Some(Output::Publish { generation: 1, .. })));
/// ```
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub struct Ledger {
    now: Moment,
    slots: BTreeMap<SlotId, Box<Slot>>,
    debts: BTreeMap<DebtId, Debt>,
    /// The debts of replaced tokens, by slot and generation.
    grounds: BTreeMap<(SlotId, u32), DebtId>,
    /// The debts that stand on each token.
    standing: BTreeSet<((SlotId, u32), DebtId)>,
    paces: BTreeMap<SlotId, Pace>,
    flights: BTreeMap<ErrandId, Key>,
    strays: BTreeMap<ErrandId, Stray>,
    timers: BTreeSet<(Moment, Key)>,
    outputs: VecDeque<Output>,
    numbers: u64,
    is_stopping: bool,
    #[cfg(test)]
    pub(crate) seeded: Option<Seeded>,
}

/// What a timer or an errand belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Slot(SlotId),
    Debt(DebtId),
}

/// An errand that was given up, and may still have obtained something.
#[derive(Clone, Debug)]
struct Stray {
    /// The token that it is done with, and its generation.
    asker: Option<Arc<Grant>>,
    ground: Option<(SlotId, u32)>,
    /// The identity by whose pace what it obtained is given back.
    root: SlotId,
    /// How long its answer is waited for.
    until: Moment,
}

/// An ask for a credential.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The number that the asker gives it. A second ask for the same slot joins the first.
    pub slot: SlotId,
    /// What is asked for.
    pub scope: Scope,
    /// The slot of the token to ask with; none for a login.
    pub asker: Option<SlotId>,
    /// How it is kept.
    pub policy: Arc<Policy>,
    /// The jitter until it has a life of its own.
    pub jitter: Jitter,
}

/// The reasons to wake.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody wants a credential.
    Ask(Ask),
    /// An errand ended.
    Done(Done),
    /// Somebody was refused with this generation of the credential: look whether it still lives. Where there is none
    /// any more, tell why.
    Reject(SlotId, u32),
    /// Renew or read again now, whether due or not.
    Hurry(SlotId),
    /// Nobody wants it, and what hangs below it, any more.
    Release(SlotId),
    /// Time has passed.
    Tick,
    /// Give everything back.
    Stop,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Carry this errand out and report by [`Input::Done`].
    Do(Errand),
    /// From now on this is the value.
    Publish {
        /// The slot.
        slot: SlotId,
        /// Counts the values of the slot, from 1 on.
        generation: u32,
        /// The value.
        grant: Arc<Grant>,
    },
    /// There is no value any more.
    Withdraw {
        /// The slot.
        slot: SlotId,
        /// Why.
        end: End,
    },
    /// This happened.
    Note(Event),
}

impl Ledger {
    /// Takes note of what happened at this moment. Time never goes back: an earlier moment counts as the latest.
    pub fn handle(&mut self, now: Moment, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Ask(ask) => self.handle_ask(ask),
            Input::Done(done) => self.handle_done(done),
            Input::Reject(slot, generation) => self.handle_reject(slot, generation),
            Input::Hurry(slot) => self.handle_hurry(slot),
            Input::Release(slot) => self.handle_release(slot),
            Input::Tick => {}
            Input::Stop => self.handle_stop(),
        }
        self.forget_strays();
        self.run_due();
    }

    /// What to do next; `None` until something else happens.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest; `None` if nothing will happen by itself.
    pub fn deadline(&self) -> Option<Moment> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether no errand is under way and nothing is owed that could still be given back.
    pub fn is_settled(&self) -> bool {
        self.flights.is_empty() && self.debts.values().all(|debt| debt.refusal.is_some() || debt.is_link())
    }

    fn handle_ask(&mut self, ask: Ask) {
        let id = ask.slot;
        match self.slots.get(&id) {
            Some(slot) if slot.is_released => return self.refuse(id, "it is given back"),
            Some(_) => return self.repeat_failure(id),
            None => {}
        }
        let root = match ask.asker {
            None => id,
            Some(asker) => match self.slots.get_mut(&asker) {
                Some(asker) if !self.is_stopping && !asker.is_released => {
                    asker.children.insert(id);
                    asker.root
                }
                Some(_) | None => return self.refuse(id, "the token to ask with is given back"),
            },
        };
        if self.is_stopping {
            return self.refuse(id, "everything is being given back");
        }
        self.slots.insert(id, Box::new(new_slot(ask, root)));
        self.paces.entry(root).or_default().count(self.now);
        match self.ground(id).is_live {
            true => self.start(id, Step::Obtain),
            false => self.repeat_failure(id),
        }
    }

    fn refuse(&mut self, slot: SlotId, why: &str) {
        let failure = Failure::new(Kind::Invalid, why);
        self.note(Event::Failed { slot, failure, attempt: 0 });
    }

    /// Tells a new asker what is wrong, where there is no value and nothing under way that would bring one.
    fn repeat_failure(&mut self, id: SlotId) {
        let mut at = Some(id);
        while let Some(slot) = at.and_then(|at| self.slots.get(&at)) {
            if slot.held.is_some() || slot.flight.is_some() {
                return;
            }
            // That something is dead is no answer while it is being replaced.
            let is_answer = |failure: &&Failure| failure.kind() != Kind::Expired || slot.lockout.is_shut();
            let failure = slot.trouble.failure.as_ref().filter(is_answer);
            if let Some(failure) = failure.cloned() {
                let attempt = slot.trouble.attempts;
                return self.note(Event::Failed { slot: id, failure, attempt });
            }
            at = slot.asker;
        }
    }

    fn handle_reject(&mut self, id: SlotId, generation: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        if slot.held.is_none() {
            return self.repeat_failure(id);
        }
        if slot.generation != generation {
            return;
        }
        match (slot.scope.is_token(), slot.asker) {
            (true, _) => self.suspect(id),
            (false, Some(asker)) => self.doubt(id, asker),
            (false, None) => {}
        }
    }

    fn handle_hurry(&mut self, id: SlotId) {
        let now = self.now;
        if self.is_seeded(Seeded::HurryTwice) {
            self.start(id, Step::Renew);
        }
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.hurry(now);
        if let Some(held) = &mut slot.held {
            match held.grant.lease.holding {
                Holding::Token { .. } | Holding::Lease { .. } if held.may_end() => {
                    held.at.soft = now.min(held.at.soft);
                }
                Holding::Token { .. } | Holding::Nothing => held.routine = now,
                Holding::Lease { .. } => {}
            }
        }
        self.arm(id);
    }

    /// Marks a token as suspected, so that one look-up tells whether it lives, whatever the number of askers.
    fn suspect(&mut self, id: SlotId) {
        let now = self.now;
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.held.is_some()) {
            slot.is_suspected = true;
            slot.trouble.not_before = now;
        }
        self.arm(id);
    }

    /// Somebody was refused with this: either it is gone or its token is.
    fn doubt(&mut self, id: SlotId, asker: SlotId) {
        if let Some(held) = self.slots.get_mut(&id).and_then(|slot| slot.held.as_mut()) {
            held.is_doubted = true;
        }
        self.park(id, asker);
    }

    /// Lets a slot wait for the verdict on its asker.
    fn park(&mut self, id: SlotId, asker: SlotId) {
        let until = self.now + Errand::PATIENCE;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.parked = Some(until);
        }
        self.arm(id);
        self.suspect(asker);
    }

    fn run_due(&mut self) {
        while let Some((at, key)) = self.timers.first().copied().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, key));
            match key {
                Key::Slot(id) => self.run_slot(id),
                Key::Debt(id) => self.run_debt(id),
            }
        }
    }

    fn run_slot(&mut self, id: SlotId) {
        let ground = self.ground(id);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.armed = None;
        // After a leap in time much is due at once: what is dead goes first.
        if slot.held.as_ref().is_some_and(|held| held.own_end() <= self.now) {
            return self.lose(id, End::Expired);
        }
        match slot.next(&ground) {
            None => {}
            Some((at, _)) if at > self.now => self.arm(id),
            Some((_, Step::Expire)) => self.lose(id, End::Expired),
            Some((_, Step::GiveUp)) => self.give_up(id),
            Some((_, Step::Unpark)) => self.unpark(id),
            Some((_, Step::Warn)) => self.warn(id),
            Some((_, step)) => self.start_in_turn(id, step),
        }
    }

    fn start(&mut self, id: SlotId, step: Step) {
        let errand = ErrandId(self.number());
        let (asker, ground) = (self.asker_grant(id), self.ground(id).generation);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(task) = task(slot, step, self.now) else { return };
        let (started, deadline) = (self.now, self.now + Errand::PATIENCE);
        let flight = Flight { errand, step, started, deadline, asker: asker.clone(), ground, ceiling: None };
        slot.flight = Some(Box::new(flight));
        self.flights.insert(errand, Key::Slot(id));
        self.outputs.push_back(Output::Do(Errand { id: errand, slot: id, task, asker }));
        self.arm(id);
    }

    /// The grant of the token that a slot is asked for with.
    fn asker_grant(&self, id: SlotId) -> Option<Arc<Grant>> {
        let asker = self.slots.get(&id)?.asker?;
        self.slots.get(&asker)?.held.as_ref().map(|held| Arc::clone(&held.grant))
    }

    /// What a slot stands on. The tree of tokens is a few steps deep at the most.
    fn ground(&self, id: SlotId) -> Ground {
        let asker = self.slots.get(&id).and_then(|slot| slot.asker);
        let Some(asker) = asker.and_then(|asker| self.slots.get(&asker)) else { return Ground::ROCK };
        let below = self.ground(asker.id);
        let expiry = asker.held.as_ref().map_or(Moment::default(), |held| held.expiry(&below));
        let is_live = asker.held.is_some() && !asker.is_suspected && expiry > self.now;
        Ground { is_live, generation: asker.generation, expiry }
    }

    /// Sets the slot's timer to what comes next. A slot that was released goes when nothing is under way.
    fn arm(&mut self, id: SlotId) {
        let ground = self.ground(id);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(at) = slot.armed.take() {
            self.timers.remove(&(at, Key::Slot(id)));
        }
        if slot.is_released && slot.flight.is_none() {
            return self.forget(id);
        }
        if let Some((at, _)) = slot.next(&ground) {
            slot.armed = Some(at);
            self.timers.insert((at, Key::Slot(id)));
        }
    }

    fn forget(&mut self, id: SlotId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        if let Some(asker) = slot.asker.and_then(|asker| self.slots.get_mut(&asker)) {
            asker.children.remove(&id);
        }
        self.take_back(slot.root, slot.turn);
        // The pace of an identity goes with it, unless something is still owed: that is given back at the same pace.
        if self.debts.is_empty() {
            self.paces.remove(&id);
        }
    }

    /// Whether a test has planted this mistake.
    #[cfg(test)]
    fn is_seeded(&self, mistake: Seeded) -> bool {
        self.seeded == Some(mistake)
    }

    #[cfg(not(test))]
    fn is_seeded(&self, _: Seeded) -> bool {
        false
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn note(&mut self, event: Event) {
        self.outputs.push_back(Output::Note(event));
    }
}

fn new_slot(ask: Ask, root: SlotId) -> Slot {
    Slot {
        id: ask.slot,
        scope: ask.scope,
        asker: ask.asker,
        root,
        children: BTreeSet::new(),
        policy: ask.policy,
        jitter: ask.jitter,
        generation: 0,
        held: None,
        flight: None,
        trouble: Trouble::default(),
        lockout: Lockout::default(),
        is_suspected: false,
        parked: None,
        turn: None,
        has_told_clamp: false,
        is_released: false,
        armed: None,
    }
}

/// The task for a step; none if there is nothing to do it with.
fn task(slot: &mut Slot, step: Step, now: Moment) -> Option<Task> {
    let held = || slot.held.as_ref().map(|held| Arc::clone(&held.grant));
    match step {
        Step::Obtain | Step::Replace => Some(Task::Obtain(slot.scope.clone())),
        Step::Renew => {
            let grant = held()?;
            let asked = slot.ask_for(now);
            Some(Task::Renew(grant, asked))
        }
        Step::Check => Some(Task::Check(held()?)),
        Step::Refresh => match &slot.scope {
            Scope::Secret(reference) => Some(Task::Refresh(reference.clone())),
            Scope::Login | Scope::Child => None,
        },
        Step::GiveUp | Step::Unpark | Step::Warn | Step::Expire => None,
    }
}

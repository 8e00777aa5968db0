//! What comes of errands: new values, new terms, failures, and what they mean for the slots below.

use std::sync::Arc;
use std::time::Duration;

use super::{Key, Ledger, Output, Stray};
use crate::errand::{Done, Errand, Outcome, Standing};
use crate::event::{End, Event};
use crate::failure::{Course, Failure, Kind, Retry};
use crate::grant::Grant;
use crate::moment::Moment;
use crate::schedule::FLOOR;
use crate::scope::SlotId;
use crate::seeded::Seeded;
use crate::slot::{Flight, Held, Life, Step};

impl Ledger {
    /// Files a result with the errand it belongs to. One that nobody waits for any more may still have
    /// obtained something, which is then given back.
    pub(super) fn handle_done(&mut self, done: Done) {
        match self.flights.remove(&done.errand) {
            Some(Key::Slot(id)) => self.handle_slot_done(id, done),
            Some(Key::Debt(id)) => self.handle_debt_done(id, done),
            None => self.handle_late(done),
        }
    }

    /// What comes after its errand was given up is given back, by the right of the token that it was obtained with.
    fn handle_late(&mut self, done: Done) {
        let stray = self.strays.remove(&done.errand);
        if let Ok(Outcome::Granted(grant)) = done.result
            && !self.is_known(done.slot, &grant)
            && !self.is_seeded(Seeded::ForgetLate)
        {
            let (asker, ground, root) = match stray {
                Some(stray) => (stray.asker, stray.ground, stray.root),
                None => (self.asker_grant(done.slot), None, self.some_identity(done.slot)),
            };
            self.give_back(done.slot, grant, asker, ground, root);
        }
    }

    /// By whose pace to give back what came so late that nobody knows whose it is: that of any, but never one of its own.
    fn some_identity(&self, slot: SlotId) -> SlotId {
        self.paces.keys().next().copied().unwrap_or(slot)
    }

    /// Whether a late answer is only the copy of one that came before.
    fn is_known(&self, id: SlotId, grant: &Grant) -> bool {
        let held = self.slots.get(&id).and_then(|slot| slot.held.as_ref());
        let mut known = held.map(|held| &held.grant).into_iter().chain(self.owed_for(id));
        known.any(|known| known.lease.holding == grant.lease.holding)
    }

    fn handle_slot_done(&mut self, id: SlotId, done: Done) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(flight) = slot.flight.take() else { return };
        // What was to be kept may have ended meanwhile; then nothing that is said of it matters any more.
        let is_moot = !flight.step.may_obtain() && slot.held.is_none();
        match done.result {
            Ok(Outcome::Granted(grant)) => {
                let life = Life::new(&flight, &grant, done.round_trip, done.jitter);
                self.granted(id, &flight, grant, life);
            }
            _ if is_moot => {}
            Ok(Outcome::Standing(standing)) if matches!(flight.step, Step::Renew | Step::Check) => {
                self.stands(id, &flight, standing, done.round_trip);
            }
            Ok(Outcome::Standing(_) | Outcome::Revoked) => self.failed(id, flight.step, &another_question()),
            // It was refused with a token that was replaced since: with the new one it is another question.
            Err(failure) if flight.is_outdated(&failure) => slot.hurry(now),
            // To a dead one the server would not have said this.
            Err(failure) if slot.is_blind() && flight.is_denied_look(&failure) => self.lives(id, &flight),
            Err(failure) => self.failed(id, flight.step, &failure),
        }
        self.arm(id);
    }

    fn granted(&mut self, id: SlotId, flight: &Flight, grant: Grant, life: Life) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let is_over = life.is_over(&grant, now);
        if slot.is_released || is_over {
            let ground = slot.asker.map(|asker| (asker, flight.ground));
            let (root, over) = (slot.root, is_over.then(|| ended_before_use(&grant)));
            self.give_back(id, grant, flight.asker.clone(), ground, root);
            if let Some(failure) = over {
                self.failed(id, flight.step, &failure);
            }
            return;
        }
        if flight.step == Step::Refresh && grant.lease.is_static() {
            let is_same = slot.held.as_ref().is_some_and(|held| held.grant.fields.is_same(&grant.fields));
            self.note(Event::Refreshed { slot: id, changed: !is_same });
            if is_same {
                return self.reread(id, &grant, flight.started);
            }
        }
        if self.slots.get(&id).is_some_and(|slot| slot.has_brought(&grant)) {
            return self.bring_again(id, grant, life);
        }
        self.take_over(id, grant, life);
    }

    /// The caller's token was read again and is the same: nothing is published, and nothing below it has to move.
    fn bring_again(&mut self, id: SlotId, grant: Grant, life: Life) {
        let ttl = grant.lease.ttl;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.bring_again(grant, life);
        }
        self.note(Event::Checked { slot: id, ttl });
    }

    fn reread(&mut self, id: SlotId, grant: &Grant, started: Moment) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.reread(grant, started);
        }
    }

    /// Publishes a new value and plans the end of the old one: make before break.
    fn take_over(&mut self, id: SlotId, grant: Grant, life: Life) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        // If it ends sooner, with what it stands on, its debt tells.
        let old_expiry = slot.held.as_ref().map(Held::own_end);
        let begun = life.begun;
        let (old, clamped) = slot.accept(grant, life);
        slot.outlive(begun, self.now, slot.held.as_ref().and_then(|held| held.grant.lease.ttl));
        let Some(held) = &slot.held else { return };
        let (generation, ttl) = (slot.generation, held.grant.lease.ttl);
        self.outputs.push_back(Output::Publish { slot: id, generation, grant: held.grant.clone() });
        if clamped && !std::mem::replace(&mut slot.has_told_clamp, true) {
            self.note(Event::Clamped { slot: id, life: ttl.unwrap_or_default() });
        }
        match &old {
            Some(_) => self.note(Event::Replaced { slot: id, generation }),
            None => self.note(Event::Obtained { slot: id, ttl }),
        }
        self.move_children(id, old_expiry);
        if let Some(old_expiry) = old_expiry {
            self.cap_below((id, generation - 1), old_expiry);
        }
        if let Some(old) = old {
            self.retire(id, &old, generation - 1);
        }
    }

    /// Children that live on the old token are replaced before it ends; those that waited may go on.
    fn move_children(&mut self, id: SlotId, old_expiry: Option<Moment>) {
        let now = self.now;
        for child in self.children(id) {
            let Some(slot) = self.slots.get_mut(&child) else { continue };
            if let Some(held) = slot.held.as_mut().filter(|held| held.is_grounded()) {
                held.is_overdue = true;
                held.ceiling = held.ceiling.or(old_expiry);
            }
            if let Some(flight) = &mut slot.flight {
                flight.ceiling = flight.ceiling.or(old_expiry);
            }
            if slot.held.as_ref().is_some_and(|held| held.is_doubted) {
                slot.distrust(now);
            }
            slot.hurry(now);
            self.arm(child);
        }
    }

    fn stands(&mut self, id: SlotId, flight: &Flight, standing: Standing, round_trip: Duration) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let was_suspected = std::mem::take(&mut slot.is_suspected);
        if flight.step == Step::Renew {
            let extends = slot.renewed(standing, flight.started, round_trip);
            slot.outlive(flight.started, now, standing.ttl);
            self.note(Event::Renewed { slot: id, ttl: standing.ttl, extends });
        } else {
            slot.checked(standing, flight.started, round_trip);
            slot.outlive(flight.started, now, standing.ttl);
            self.note(Event::Checked { slot: id, ttl: standing.ttl });
        }
        if was_suspected {
            self.acquit(id);
        }
    }

    /// A token that may not look at itself lives on, on the terms that are known.
    fn lives(&mut self, id: SlotId, flight: &Flight) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let was_suspected = std::mem::take(&mut slot.is_suspected);
        slot.seen(flight.started);
        let end = slot.held.as_ref().map(|held| held.at.expiry).filter(|end| *end < Moment::NEVER);
        self.note(Event::Checked { slot: id, ttl: end.map(|end| end - now) });
        if was_suspected {
            self.acquit(id);
        }
    }

    /// The suspected token lives. So what its children were refused for is their own matter: a lease that the
    /// server does not know any more is replaced.
    fn acquit(&mut self, id: SlotId) {
        let now = self.now;
        for child in self.children(id) {
            if let Some(slot) = self.slots.get_mut(&child)
                && slot.parked.take().is_some()
            {
                slot.distrust(now);
            }
            self.arm(child);
        }
    }

    fn failed(&mut self, id: SlotId, step: Step, failure: &Failure) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let is_last = slot.fail(step, failure.clone(), self.now);
        slot.doubt_failed(step, failure, self.now);
        let (asker, attempt) = (slot.asker, slot.trouble.attempts);
        self.note(Event::Failed { slot: id, failure: failure.clone(), attempt });
        if is_last {
            self.note(Event::Halted { slot: id });
        }
        if self.is_seeded(Seeded::FailureEnds) {
            return self.lose(id, End::Expired);
        }
        let is_dead = failure.kind().course() == Course::Dead;
        match (step, failure.kind().course()) {
            (Step::Check, Course::Dead) => self.lose(id, End::Revoked),
            (Step::Check, _) => self.leave_undecided(id, failure.kind().course()),
            (Step::Renew, Course::Denied | Course::Misconfigured) => self.stop_renewing(id),
            (Step::Renew, Course::Dead) if self.is_token(id) => self.suspect(id),
            (Step::Obtain | Step::Replace | Step::Renew | Step::Refresh, _) => {
                if let Some(asker) = asker.filter(|_| is_dead) {
                    self.park(id, asker);
                }
            }
            (Step::GiveUp | Step::Unpark | Step::Warn | Step::Expire, _) => {}
        }
        // That a token is dead is no reason for what waits below it: there will be another.
        if step != Step::Check || !is_dead {
            self.tell_children(id, failure);
        }
    }

    /// A look-up that was not answered with yes or no. A refusal by policy still means that the token lives; after an
    /// outage it is looked up again.
    fn leave_undecided(&mut self, id: SlotId, course: Course) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.is_suspected = false;
        let is_answered = course != Course::Transient;
        let next = slot.policy.check.map_or(Moment::NEVER, |every| every.after(now, slot.jitter));
        if let Some(held) = &mut slot.held {
            held.routine = if is_answered { next } else { now };
        }
        if is_answered {
            // A renewal must not wait because of it.
            slot.trouble.not_before = now;
        }
        match is_answered {
            true => self.acquit(id),
            false => self.release_parked(id),
        }
    }

    /// Nobody knows whether the token lives: its children try again after their own delay.
    fn release_parked(&mut self, id: SlotId) {
        for child in self.children(id) {
            if let Some(slot) = self.slots.get_mut(&child) {
                slot.parked = None;
            }
            self.arm(child);
        }
    }

    fn stop_renewing(&mut self, id: SlotId) {
        let now = self.now;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.stop_renewing(now);
            slot.trouble.not_before = now + FLOOR;
        }
    }

    fn is_token(&self, id: SlotId) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.scope.is_token())
    }

    /// Whoever waits for a credential below a token that cannot be had is told why.
    fn tell_children(&mut self, id: SlotId, failure: &Failure) {
        if self.slots.get(&id).is_none_or(|slot| slot.held.is_some()) {
            return;
        }
        for child in self.children(id) {
            let is_waiting =
                self.slots.get(&child).is_some_and(|slot| slot.held.is_none() && slot.flight.is_none());
            if is_waiting {
                self.note(Event::Failed { slot: child, failure: failure.clone(), attempt: 0 });
                self.tell_children(child, failure);
            }
        }
    }

    /// The errand was never answered. Whatever it obtained meanwhile is given back when the answer comes late.
    pub(super) fn give_up(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let (Some(flight), asker) = (slot.flight.take(), slot.asker) else { return };
        self.flights.remove(&flight.errand);
        if flight.step.may_obtain() {
            let ground = asker.map(|asker| (asker, flight.ground));
            let (asker, until) = (flight.asker.clone(), self.now + Errand::PATIENCE);
            let stray = Stray { asker, ground, root: slot.root, until };
            self.strays.insert(flight.errand, stray);
        }
        let lost = Failure::new(Kind::Unreachable, "no answer in time").with_retry(Retry::Ambiguous);
        self.failed(id, flight.step, &lost);
        self.arm(id);
    }

    /// Errands are given up in the order in which they began.
    pub(super) fn forget_strays(&mut self) {
        while let Some(first) = self.strays.first_entry().filter(|first| first.get().until <= self.now) {
            first.remove();
        }
    }

    pub(super) fn unpark(&mut self, id: SlotId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.parked = None;
        }
        self.arm(id);
    }

    /// Tells that what is held will end.
    pub(super) fn warn(&mut self, id: SlotId) {
        let now = self.now;
        let held = self.slots.get_mut(&id).and_then(|slot| slot.held.as_mut());
        if let Some(left) = held.map(|held| held.tell(now)) {
            self.note(Event::Expiring { slot: id, left });
        }
        self.arm(id);
    }

    /// Stops serving what is dead, and all that lived on it.
    pub(super) fn lose(&mut self, id: SlotId, end: End) {
        self.lose_below(id, end, None);
    }

    /// The same for what lived on this token, if that may live on by a renewal whose answer was lost.
    fn lose_below(&mut self, id: SlotId, end: End, doubtful: Option<Arc<Grant>>) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let generation = slot.generation;
        let Some(held) = slot.lose(now) else { return };
        if end == End::Revoked {
            // It is replaced at once; one that is revoked again and again, once a second.
            slot.trouble.not_before = slot.trouble.not_before.min(now.max(held.obtained + FLOOR));
        }
        self.outputs.push_back(Output::Withdraw { slot: id, end });
        self.note(Event::Ended { slot: id, end });
        let is_doubtful = end == End::Expired && (doubtful.is_some() || held.afterlife > now);
        self.bury(id, &held, end, is_doubtful, doubtful);
        let own = is_doubtful.then(|| Arc::clone(&held.grant));
        for child in self.children(id) {
            self.lose_with(child, generation, end, own.clone());
        }
        self.arm(id);
    }

    /// What has ended by itself needs no revocation, unless it may live on.
    fn bury(&mut self, id: SlotId, held: &Held, end: End, is_doubtful: bool, by: Option<Arc<Grant>>) {
        let Some(generation) = self.slots.get(&id).map(|slot| slot.generation) else { return };
        let ground = self.ground_debt(id, held);
        if is_doubtful || end == End::Expired && ground.is_some() {
            let asker = by.or_else(|| self.asker_grant(id));
            let debt = self.owe(id, held, generation, self.now, asker);
            self.cap_below((id, generation), self.now);
            return self.subject(debt, ground);
        }
        self.note_gone(id, held);
        self.settle_fallen((id, generation));
    }

    /// What a dead token takes along: its leases and tokens, never a static secret or what is in another namespace.
    fn lose_with(&mut self, child: SlotId, generation: u32, end: End, doubtful: Option<Arc<Grant>>) {
        if self.is_seeded(Seeded::LiveOn) {
            return;
        }
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&child) else { return };
        slot.parked = None;
        if let Some(flight) = slot.flight.as_mut().filter(|flight| flight.ground == generation) {
            flight.ceiling = Some(now);
        }
        let dies = |held: &Held| held.ground == generation && held.is_grounded();
        match slot.held.as_ref().is_some_and(dies) {
            true => self.lose_below(child, end, doubtful),
            false => self.arm(child),
        }
    }

    /// It may leave the journal.
    fn note_gone(&mut self, slot: SlotId, held: &Held) {
        if held.grant.lease.is_owed() {
            self.note(Event::Settled { slot, holding: held.grant.lease.holding.clone() });
        }
    }

    pub(super) fn children(&self, id: SlotId) -> Vec<SlotId> {
        self.slots.get(&id).map(|slot| slot.children.iter().copied().collect()).unwrap_or_default()
    }
}

/// What is brought at its end is dead, and there will be no other. What was given to us and is over when it comes was
/// too short for the way, which another need not be.
fn ended_before_use(grant: &Grant) -> Failure {
    match grant.lease.ours {
        true => Failure::new(Kind::Unreachable, "what was obtained had ended before it could be used"),
        false => Failure::new(Kind::NeedsLogin, "the token that was brought is at its end")
            .hint("bring a live one, or configure a login"),
    }
}

/// A worker has answered with what was not asked for.
pub(super) fn another_question() -> Failure {
    Failure::new(Kind::Broken, "the answer is to another question").with_retry(Retry::Ambiguous)
}

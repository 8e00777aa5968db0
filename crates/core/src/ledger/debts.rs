//! Giving back: what is no longer wanted is revoked, in the right order and until it is done.

use std::sync::Arc;
use std::time::Duration;

use super::results::another_question;
use super::{Key, Ledger, Output};
use crate::debt::{Debt, DebtId};
use crate::errand::{Done, Errand, ErrandId, Outcome, Task};
use crate::event::{End, Event};
use crate::failure::{Course, Failure, Kind};
use crate::grant::{Grant, Holding};
use crate::moment::Moment;
use crate::pace::Purpose;
use crate::policy::Jitter;
use crate::scope::SlotId;
use crate::seeded::Seeded;
use crate::slot::{Held, Slot, Step};

impl Ledger {
    /// What is still to be given back: for which slot, what, and why it was not possible so far.
    pub fn owed(&self) -> impl Iterator<Item = (SlotId, &Holding, Option<&Failure>)> {
        let debts = self.debts.values().filter(|debt| !debt.is_link());
        debts.map(|debt| (debt.slot, &debt.grant.lease.holding, debt.refusal.as_ref()))
    }

    /// What is still to be given back of this slot's.
    pub(super) fn owed_for(&self, id: SlotId) -> impl Iterator<Item = &Arc<Grant>> {
        self.debts.values().filter(move |debt| debt.slot == id).map(|debt| &debt.grant)
    }

    pub(super) fn handle_release(&mut self, id: SlotId) {
        let asker = self.asker_grant(id);
        self.release(id, asker, false);
        self.hasten(|debt| debt.slot == id);
    }

    pub(super) fn handle_stop(&mut self) {
        self.is_stopping = true;
        let roots: Vec<_> =
            self.slots.values().filter(|slot| slot.asker.is_none()).map(|slot| slot.id).collect();
        roots.into_iter().for_each(|root| self.release(root, None, false));
        self.hasten(|_| true);
    }

    /// Releases a slot and all below it. What lives on a token that is revoked needs no revocation of its own.
    fn release(&mut self, id: SlotId, asker: Option<Arc<Grant>>, with_asker: bool) {
        self.tell_waiters(id);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.is_released = true;
        let held = slot.drop_held();
        // What leaves nothing behind need not be waited for.
        if let Some(flight) = slot.flight.take_if(|flight| !flight.step.may_obtain()) {
            self.flights.remove(&flight.errand);
        }
        let (generation, children) = (slot.generation, slot.children.clone());
        if let Some(held) = &held {
            self.outputs.push_back(Output::Withdraw { slot: id, end: End::Released });
            self.note(Event::Ended { slot: id, end: End::Released });
            let debt = self.owe(id, held, generation, self.now, asker);
            let ground = self.ground_debt(id, held).filter(|_| with_asker);
            self.subject(debt, ground);
        }
        let own = held.map(|held| held.grant);
        children.into_iter().for_each(|child| self.release(child, own.clone(), true));
        self.arm(id);
    }

    /// Whoever waits for a first value is told that it will not come.
    fn tell_waiters(&mut self, id: SlotId) {
        let mut at = Some(id);
        while let Some(slot) = at.and_then(|at| self.slots.get(&at)).filter(|slot| slot.held.is_none()) {
            if slot.flight.as_ref().is_some_and(|flight| flight.step == Step::Obtain) {
                return self.refuse(id, "it is given back");
            }
            at = slot.asker.filter(|_| slot.trouble.failure.is_none());
        }
    }

    /// Plans the end of a value that was replaced: it lives on beside its successor for a while. If the token it was
    /// obtained with was replaced too, it goes along with that, which needs no revocation of its own.
    pub(super) fn retire(&mut self, id: SlotId, old: &Held, generation: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        let overlap = if self.is_stopping { Duration::ZERO } else { slot.policy.overlap };
        let due = self.now + overlap;
        let (above, asker) = (self.ground_debt(id, old), self.asker_grant(id));
        let debt = self.debt(id, old, generation, due, asker);
        let debt = self.file(debt);
        self.subject(debt, above);
        if let Some(above) = above.filter(|_| debt.is_some()) {
            self.defer(above, due);
        }
    }

    /// The debt whose revocation takes this along: that of the token it was obtained with, if that was replaced or is
    /// given back; where that is a batch token, the one above it.
    pub(super) fn ground_debt(&self, id: SlotId, held: &Held) -> Option<DebtId> {
        let asker = self.slots.get(&id)?.asker.filter(|_| held.is_grounded())?;
        let ground = self.grounds.get(&(asker, held.ground)).copied()?;
        let debt = self.debts.get(&ground)?;
        if debt.is_link() { debt.above } else { Some(ground) }
    }

    /// Lets a token that is to be revoked live long enough for what goes along with it.
    fn defer(&mut self, id: DebtId, due: Moment) {
        let mut at = Some(id);
        while let Some((id, debt)) = at.and_then(|id| Some((id, self.debts.get_mut(&id)?))) {
            debt.due = debt.due.max(due);
            at = debt.above;
            self.arm_debt(id);
        }
    }

    /// Gives something back that came when nobody waited for it any more.
    pub(super) fn give_back(
        &mut self,
        id: SlotId,
        grant: Grant,
        asker: Option<Arc<Grant>>,
        ground: Option<(SlotId, u32)>,
        root: SlotId,
    ) {
        let expiry = grant.lease.ttl.map_or(Moment::NEVER, |ttl| self.now + ttl);
        let is_foreign = asker.as_ref().is_some_and(|asker| grant.is_foreign(asker));
        let by = ground.map_or(0, |(_, generation)| generation);
        let debt = Debt::new(Arc::new(grant), id, self.now, expiry);
        self.file(Debt { asker, by, ground, is_foreign, root, ..debt });
    }

    /// Plans to give back what a slot held in this generation, by the right of this token.
    pub(super) fn owe(
        &mut self,
        id: SlotId,
        held: &Held,
        generation: u32,
        due: Moment,
        asker: Option<Arc<Grant>>,
    ) -> Option<DebtId> {
        let debt = self.debt(id, held, generation, due, asker);
        if debt.is_link() { None } else { self.file(debt) }
    }

    fn debt(&self, id: SlotId, held: &Held, generation: u32, due: Moment, asker: Option<Arc<Grant>>) -> Debt {
        let expiry = held.at.expiry.max(held.afterlife);
        let above = self.slots.get(&id).and_then(|slot| self.slots.get(&slot.asker?));
        let under = |above: &Slot| (above.id, if held.is_foreign { above.generation } else { held.ground });
        let (ground, is_foreign) = (above.map(|above| under(above)), held.is_foreign);
        let by = above.map_or(0, |above| above.generation);
        let debt = Debt::new(Arc::clone(&held.grant), id, due, expiry);
        Debt { generation, asker, by, ground, is_foreign, ..debt }
    }

    fn file(&mut self, mut debt: Debt) -> Option<DebtId> {
        let is_ground = debt.grant.lease.ours && debt.token().is_some();
        if debt.is_link() && !is_ground {
            return None;
        }
        debt.root = self.slots.get(&debt.slot).map_or(debt.root, |slot| slot.root);
        let id = DebtId(self.number());
        if let Some(token) = debt.token() {
            self.grounds.insert(token, id);
        }
        self.standing.extend(debt.ground.map(|ground| (ground, id)));
        self.debts.insert(id, debt);
        self.arm_debt(id);
        Some(id)
    }

    /// Lets a debt wait for the one above it, if any, whose settlement settles both. One that is refused settles
    /// nothing.
    pub(super) fn subject(&mut self, id: Option<DebtId>, above: Option<DebtId>) {
        let (Some(id), Some(above)) = (id, above) else { return };
        let Some(debt) = self.debts.get_mut(&above).filter(|debt| debt.refusal.is_none()) else { return };
        debt.below.push(id);
        if let Some(debt) = self.debts.get_mut(&id) {
            debt.above = Some(above);
        }
        self.arm_debt(id);
    }

    /// Makes these debts due now.
    fn hasten(&mut self, which: impl Fn(&Debt) -> bool) {
        let now = self.now;
        let ids: Vec<_> = self.debts.iter().filter(|(_, debt)| which(debt)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(debt) = self.debts.get_mut(&id) {
                debt.due = debt.due.min(now);
            }
            self.arm_debt(id);
        }
    }

    pub(super) fn run_debt(&mut self, id: DebtId) {
        let now = self.now;
        let Some(debt) = self.debts.get_mut(&id) else { return };
        debt.armed = None;
        if debt.expiry <= now {
            return self.settle_debt(id);
        }
        if debt.next() > now {
            return self.arm_debt(id);
        }
        match debt.flight {
            Some((errand, _)) => {
                self.flights.remove(&errand);
                let lost = Failure::new(Kind::Unreachable, "no answer in time");
                self.debt_failed(id, lost);
            }
            None => self.revoke(id),
        }
    }

    fn revoke(&mut self, id: DebtId) {
        let now = self.now;
        let is_used =
            self.is_held_up(id) || !self.is_stopping && self.is_used(id) && !self.is_seeded(Seeded::CutOff);
        let Some(debt) = self.debts.get_mut(&id) else { return };
        if is_used {
            debt.postpone(now);
            return self.arm_debt(id);
        }
        // What is given back at the end does not wait; only what has to be tried again does, and, of a slot that was
        // released, what waited before.
        let is_last = self.is_stopping || !self.slots.contains_key(&debt.slot) && debt.turn.is_none();
        if !is_last || debt.attempts > 0 {
            let pace = self.paces.entry(debt.root).or_default();
            let turn = pace.turn(debt.turn.take(), now, Purpose::Vital);
            if turn.at > now {
                (debt.due, debt.turn) = (turn.at, Some(turn));
                return self.arm_debt(id);
            }
        }
        self.start_revocation(id);
    }

    fn start_revocation(&mut self, id: DebtId) {
        let errand = ErrandId(self.number());
        let Some(slot) = self.debts.get(&id).map(|debt| debt.slot) else { return };
        // The token of that time may be gone, and another one be there.
        let (asker, by) = (self.asker_grant(slot), self.ground(slot).generation);
        let Some(debt) = self.debts.get_mut(&id) else { return };
        debt.flight = Some((errand, self.now + Errand::PATIENCE));
        if asker.is_some() {
            (debt.asker, debt.by) = (asker, by);
        }
        let (task, asker) = (Task::Revoke(Arc::clone(&debt.grant)), debt.asker.clone());
        self.flights.insert(errand, Key::Debt(id));
        self.outputs.push_back(Output::Do(Errand { id: errand, slot, task, asker }));
        if !self.is_seeded(Seeded::NoDeadline) {
            self.arm_debt(id);
        }
    }

    /// Whether something in another namespace has to be revoked first, with this token.
    fn is_held_up(&self, id: DebtId) -> bool {
        let token = self.debts.get(&id).and_then(Debt::token);
        token.is_some_and(|token| self.standing_on(token).any(|(_, debt)| debt.holds_up()))
    }

    /// The debts that stand on this token.
    fn standing_on(&self, token: (SlotId, u32)) -> impl Iterator<Item = (DebtId, &Debt)> {
        let all = (token, DebtId(0))..=(token, DebtId(u64::MAX));
        self.standing.range(all).filter_map(|(_, id)| Some((*id, self.debts.get(id)?)))
    }

    /// Lets the token go on that waited for this debt.
    fn let_go(&mut self, ground: Option<(SlotId, u32)>) {
        let is_last = |(slot, _): &(SlotId, u32)| self.is_stopping || !self.slots.contains_key(slot);
        let Some(id) = ground.filter(is_last).and_then(|ground| self.grounds.get(&ground)).copied() else {
            return;
        };
        if let Some(debt) = self.debts.get_mut(&id).filter(|debt| debt.attempts == 0) {
            debt.due = debt.due.min(self.now);
        }
        self.arm_debt(id);
    }

    /// Whether something that is served still lives on a token that is to be revoked, or on one below it.
    fn is_used(&self, id: DebtId) -> bool {
        let Some(debt) = self.debts.get(&id) else { return false };
        let lives_on = |slot: &Slot| {
            let held = slot.held.as_ref().filter(|held| held.is_grounded());
            let flight = slot.flight.as_ref().filter(|flight| flight.step.may_obtain());
            held.is_some_and(|held| held.ground == debt.generation)
                || flight.is_some_and(|flight| flight.ground == debt.generation)
        };
        let Some(token) = debt.token() else { return false };
        let children = self.slots.get(&token.0).into_iter().flat_map(|slot| &slot.children);
        children.filter_map(|child| self.slots.get(child)).any(|child| lives_on(child))
            || self.standing_on(token).any(|(below, _)| self.is_used(below))
    }

    pub(super) fn handle_debt_done(&mut self, id: DebtId, done: Done) {
        match done.result {
            Ok(Outcome::Revoked) => self.settle_debt(id),
            Ok(Outcome::Granted(_) | Outcome::Standing(_)) => self.debt_failed(id, another_question()),
            Err(failure) => self.debt_failed(id, failure),
        }
    }

    fn debt_failed(&mut self, id: DebtId, failure: Failure) {
        let now = self.now;
        let (has_fallen, is_last_try) = (self.has_fallen(id), self.is_seeded(Seeded::TryOnce));
        let Some(debt) = self.debts.get_mut(&id) else { return };
        let is_last = self.is_stopping || !self.slots.contains_key(&debt.slot);
        match failure.kind().course() {
            Course::Dead if has_fallen => return self.settle_debt(id),
            // Another token is tried once there is one.
            Course::Dead if !is_last => debt.fail(&failure, now, Jitter::default()),
            Course::Transient => {
                let jitter = self.slots.get(&debt.slot).map(|slot| slot.jitter).unwrap_or_default();
                debt.fail(&failure, now, jitter);
                debt.due = if is_last_try { Moment::NEVER } else { debt.due };
            }
            Course::Dead | Course::Denied | Course::Misconfigured => {
                debt.flight = None;
                debt.refusal = Some(failure.clone());
                let (slot, holding) = (debt.slot, debt.grant.lease.holding.clone());
                let ground = debt.ground.filter(|_| debt.is_foreign);
                self.note(Event::Owed { slot, holding, failure });
                self.free_dependents(id);
                self.let_go(ground);
            }
        }
        self.arm_debt(id);
    }

    /// Whether this is gone, once the token that was to revoke it is found dead: it was that token, or obtained with it,
    /// or with one that ended before.
    fn has_fallen(&self, id: DebtId) -> bool {
        let Some(debt) = self.debts.get(&id) else { return true };
        debt.falls_with_asker() || !debt.is_foreign && self.has_ended(debt)
    }

    /// Whether the token that this was obtained with is known to have ended. Of one that was brought nobody knows.
    fn has_ended(&self, debt: &Debt) -> bool {
        let is_ours = debt.asker.as_ref().is_some_and(|asker| asker.lease.ours);
        let held = debt.ground.and_then(|(slot, _)| self.slots.get(&slot)).filter(|slot| slot.held.is_some());
        let is_held = held.is_some_and(|slot| debt.ground == Some((slot.id, slot.generation)));
        is_ours && !is_held && debt.ground.is_some_and(|ground| !self.grounds.contains_key(&ground))
    }

    /// What was to go along with a token that cannot be revoked is revoked by itself.
    fn free_dependents(&mut self, id: DebtId) {
        let below = self.debts.get_mut(&id).map(|debt| std::mem::take(&mut debt.below)).unwrap_or_default();
        for below in below {
            if let Some(debt) = self.debts.get_mut(&below) {
                debt.above = None;
            }
            self.arm_debt(below);
        }
    }

    fn settle_debt(&mut self, id: DebtId) {
        let Some(debt) = self.debts.remove(&id) else { return };
        self.take_back(debt.root, debt.turn);
        if let Some(at) = debt.armed {
            self.timers.remove(&(at, Key::Debt(id)));
        }
        debt.token().and_then(|token| self.grounds.remove(&token));
        debt.ground.map(|ground| self.standing.remove(&(ground, id)));
        if let Some((errand, _)) = debt.flight {
            self.flights.remove(&errand);
        }
        if !debt.is_link() {
            self.note(Event::Settled { slot: debt.slot, holding: debt.grant.lease.holding.clone() });
        }
        if let Some(token) = debt.token() {
            self.settle_fallen(token);
            self.lose_on(token, if debt.expiry <= self.now { End::Expired } else { End::Revoked });
        }
        if self.debts.is_empty() {
            self.paces.retain(|root, _| self.slots.contains_key(root));
        }
        debt.below.into_iter().for_each(|below| self.settle_debt(below));
        self.let_go(debt.ground.filter(|_| debt.is_foreign));
    }

    /// What was obtained with a token has ended with it, even where it could not be revoked by itself.
    pub(super) fn settle_fallen(&mut self, token: (SlotId, u32)) {
        let fallen = self.standing_on(token).filter(|(_, debt)| !debt.is_foreign);
        let ids: Vec<_> = fallen.map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.settle_debt(id));
    }

    /// What is still served on a replaced token ends with it.
    fn lose_on(&mut self, (id, generation): (SlotId, u32), end: End) {
        for child in self.children(id) {
            let held = self.slots.get(&child).and_then(|slot| slot.held.as_ref());
            if held.is_some_and(|held| held.is_grounded() && held.ground == generation) {
                self.lose(child, end);
            }
        }
    }

    /// What is still served, or asked for, on replaced tokens below this one ends with it at the latest.
    pub(super) fn cap_below(&mut self, token: (SlotId, u32), end: Moment) {
        let below = self.standing_on(token).filter(|(_, debt)| !debt.is_foreign);
        let below: Vec<_> = below.filter_map(|(_, debt)| debt.token()).collect();
        for (id, generation) in below {
            for child in self.children(id) {
                if let Some(slot) = self.slots.get_mut(&child) {
                    slot.cap(generation, end);
                }
                self.arm(child);
            }
            self.cap_below((id, generation), end);
        }
    }

    pub(super) fn arm_debt(&mut self, id: DebtId) {
        let Some(debt) = self.debts.get_mut(&id) else { return };
        if let Some(at) = debt.armed.take() {
            self.timers.remove(&(at, Key::Debt(id)));
        }
        let at = debt.next();
        if at < Moment::NEVER {
            debt.armed = Some(at);
            self.timers.insert((at, Key::Debt(id)));
        }
    }
}

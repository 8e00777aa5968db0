//! Giving back: what is no longer wanted is revoked, in the right order and until it is done.

use std::sync::Arc;
use std::time::Duration;

use super::{Key, Ledger, Output};
use crate::debt::{Debt, DebtId};
use crate::errand::{Done, Errand, ErrandId, Task};
use crate::event::{End, Event};
use crate::failure::{Course, Failure, Kind};
use crate::grant::{Grant, Holding};
use crate::moment::Moment;
use crate::pace::Purpose;
use crate::scope::SlotId;
use crate::slot::Held;

/// The token that a slot was asked for with, while both are given back.
struct Above {
    debt: Option<DebtId>,
    generation: u32,
    grant: Arc<Grant>,
}

impl Ledger {
    /// What is still to be given back: for which slot, what, and why it was not possible so far.
    pub fn owed(&self) -> impl Iterator<Item = (SlotId, &Holding, Option<&Failure>)> {
        self.debts.values().map(|debt| (debt.slot, &debt.grant.lease.holding, debt.refusal.as_ref()))
    }

    pub(super) fn handle_release(&mut self, id: SlotId) {
        self.release(id, None);
        self.hasten(|debt| debt.slot == id);
    }

    pub(super) fn handle_stop(&mut self) {
        self.is_stopping = true;
        let roots: Vec<_> =
            self.slots.values().filter(|slot| slot.asker.is_none()).map(|slot| slot.id).collect();
        roots.into_iter().for_each(|root| self.release(root, None));
        self.hasten(|_| true);
    }

    /// Releases a slot and all below it. What lives on a token that is revoked needs no revocation of its own.
    fn release(&mut self, id: SlotId, above: Option<&Above>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.is_released = true;
        // What leaves nothing behind need not be waited for.
        if let Some(flight) = slot.flight.take_if(|flight| !flight.step.may_obtain()) {
            self.flights.remove(&flight.errand);
        }
        let (generation, children) = (slot.generation, slot.children.clone());
        let held = slot.held.take();
        if let Some(held) = &held {
            self.outputs.push_back(Output::Withdraw { slot: id, end: End::Released });
            self.note(Event::Ended { slot: id, end: End::Released });
            let asker = above.map(|above| Arc::clone(&above.grant)).or_else(|| self.asker_grant(id));
            let debt = self.owe(id, held, generation, self.now, asker);
            let ground = above.filter(|above| above.generation == held.ground).and_then(|above| above.debt);
            if let (Some(debt), Some(ground)) = (debt, ground) {
                self.subject(debt, ground);
            }
            let own = Above { debt, generation, grant: Arc::clone(&held.grant) };
            children.into_iter().for_each(|child| self.release(child, Some(&own)));
        } else {
            children.into_iter().for_each(|child| self.release(child, None));
        }
        self.arm(id);
    }

    /// Plans the end of a value that was replaced: it lives on beside its successor for a while. If the token it was
    /// obtained with was replaced too, it goes along with that, which needs no revocation of its own.
    pub(super) fn retire(&mut self, id: SlotId, old: &Held, generation: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        let overlap = if self.is_stopping { Duration::ZERO } else { slot.policy.overlap };
        let (due, is_token) = (self.now + overlap, slot.scope.is_token());
        let above = slot.asker.and_then(|asker| self.grounds.get(&(asker, old.ground)).copied());
        let asker = self.asker_grant(id);
        let Some(debt) = self.owe(id, old, generation, due, asker) else { return };
        if is_token {
            self.grounds.insert((id, generation), debt);
        }
        if let Some(above) = above {
            self.subject(debt, above);
            self.defer(above, due);
        }
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
    pub(super) fn give_back(&mut self, id: SlotId, grant: Grant, asker: Option<Arc<Grant>>) {
        let expiry = grant.lease.ttl.map_or(Moment::NEVER, |ttl| self.now + ttl);
        self.file(Debt::new(Arc::new(grant), id, self.now, expiry), asker);
    }

    /// Plans to give back what a slot held in this generation, by the right of this token.
    fn owe(
        &mut self,
        id: SlotId,
        held: &Held,
        generation: u32,
        due: Moment,
        asker: Option<Arc<Grant>>,
    ) -> Option<DebtId> {
        let debt = Debt::new(Arc::clone(&held.grant), id, due, held.at.expiry);
        let above = self.slots.get(&id).and_then(|slot| slot.asker);
        let ground = above.map(|above| (above, held.ground));
        self.file(Debt { generation, ground, ..debt }, asker)
    }

    fn file(&mut self, mut debt: Debt, asker: Option<Arc<Grant>>) -> Option<DebtId> {
        if !debt.grant.lease.is_owed() {
            return None;
        }
        let realm = |grant: &Arc<Grant>| grant.lease.holding.realm() != debt.grant.lease.holding.realm();
        debt.is_foreign = asker.as_ref().is_some_and(realm);
        debt.asker = asker;
        let id = DebtId(self.number());
        self.debts.insert(id, debt);
        self.arm_debt(id);
        Some(id)
    }

    /// Lets a debt wait for the one above it, whose settlement settles both. What is in another namespace does not.
    fn subject(&mut self, id: DebtId, above: DebtId) {
        if self.debts.get(&id).is_none_or(|debt| debt.is_foreign) {
            return;
        }
        if let Some(debt) = self.debts.get_mut(&above) {
            debt.below.push(id);
        }
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
        let Some(slot) = self.debts.get(&id).map(|debt| debt.slot) else { return };
        let is_used = self.is_held_up(id) || !self.is_stopping && self.is_used(id);
        let reserved = self.debts.get_mut(&id).and_then(|debt| debt.turn.take());
        let turn = if is_used { now } else { reserved.unwrap_or_else(|| self.turn(slot)) };
        let Some(debt) = self.debts.get_mut(&id) else { return };
        if is_used {
            debt.postpone(now);
            return self.arm_debt(id);
        }
        if turn > now && !self.is_stopping {
            (debt.due, debt.turn) = (turn, Some(turn));
            return self.arm_debt(id);
        }
        let (task, asker) = (Task::Revoke(Arc::clone(&debt.grant)), debt.asker.clone());
        let errand = ErrandId(self.number());
        if let Some(debt) = self.debts.get_mut(&id) {
            debt.flight = Some((errand, now + Errand::PATIENCE));
        }
        self.flights.insert(errand, Key::Debt(id));
        self.outputs.push_back(Output::Do(Errand { id: errand, slot, task, asker }));
        self.arm_debt(id);
    }

    /// When the identity's pace lets a revocation pass. At the end nothing waits.
    fn turn(&mut self, slot: SlotId) -> Moment {
        match self.slots.get(&slot).map(|slot| slot.root) {
            Some(root) if !self.is_stopping => {
                self.paces.entry(root).or_default().reserve(self.now, Purpose::Vital)
            }
            Some(_) | None => self.now,
        }
    }

    /// Whether something in another namespace has to be revoked first, with this token.
    fn is_held_up(&self, id: DebtId) -> bool {
        let token = self.debts.get(&id).and_then(Debt::token);
        token.is_some_and(|token| self.debts.values().any(|debt| debt.holds_up(token)))
    }

    /// Lets the token go on that waited for this debt.
    fn let_go(&mut self, ground: Option<(SlotId, u32)>) {
        if ground.is_some() {
            self.hasten(|debt| debt.token() == ground && debt.attempts == 0);
        }
    }

    /// Whether something that is served still lives on a token that is to be revoked, or on one below it.
    fn is_used(&self, id: DebtId) -> bool {
        let Some(debt) = self.debts.get(&id) else { return false };
        let held =
            self.children(debt.slot).into_iter().filter_map(|child| self.slots.get(&child)?.held.as_ref());
        let mut grounded = held.filter(|held| held.ground == debt.generation && held.ceiling.is_some());
        grounded.any(|held| !held.grant.lease.is_static())
            || debt.below.iter().any(|below| self.is_used(*below))
    }

    pub(super) fn handle_debt_done(&mut self, id: DebtId, done: Done) {
        match done.result {
            Ok(_) => self.settle_debt(id),
            Err(failure) => self.debt_failed(id, failure),
        }
    }

    fn debt_failed(&mut self, id: DebtId, failure: Failure) {
        let now = self.now;
        let Some(debt) = self.debts.get_mut(&id) else { return };
        match failure.kind().course() {
            Course::Dead => return self.settle_debt(id),
            Course::Transient => {
                let jitter = self.slots.get(&debt.slot).map(|slot| slot.jitter).unwrap_or_default();
                debt.fail(&failure, now, jitter);
            }
            Course::Denied | Course::Misconfigured => {
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
        if let Some(at) = debt.armed {
            self.timers.remove(&(at, Key::Debt(id)));
        }
        self.grounds.remove(&(debt.slot, debt.generation));
        if let Some((errand, _)) = debt.flight {
            self.flights.remove(&errand);
        }
        self.note(Event::Settled { slot: debt.slot, holding: debt.grant.lease.holding.clone() });
        if let Some(token) = debt.token() {
            self.settle_fallen(token);
        }
        debt.below.into_iter().for_each(|below| self.settle_debt(below));
        self.let_go(debt.ground.filter(|_| debt.is_foreign));
    }

    /// What was obtained with a token has ended with it, even where it could not be revoked by itself.
    pub(super) fn settle_fallen(&mut self, token: (SlotId, u32)) {
        let has_fallen = |debt: &Debt| debt.ground == Some(token) && !debt.is_foreign;
        let ids: Vec<_> = self.debts.iter().filter(|(_, debt)| has_fallen(debt)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.settle_debt(id));
    }

    fn arm_debt(&mut self, id: DebtId) {
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

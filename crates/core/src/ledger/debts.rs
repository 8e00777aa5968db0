//! Giving back: what is no longer wanted is revoked, in the right order and until it is done.

use std::sync::Arc;

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
    fn release(&mut self, id: SlotId, under: Option<(DebtId, u32)>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.is_released = true;
        // What leaves nothing behind need not be waited for.
        if let Some(flight) = slot.flight.take_if(|flight| !flight.step.may_obtain()) {
            self.flights.remove(&flight.errand);
        }
        let (generation, children) = (slot.generation, slot.children.clone());
        let held = slot.held.take();
        let mut debt = None;
        if let Some(held) = held {
            self.outputs.push_back(Output::Withdraw { slot: id, end: End::Released });
            self.note(Event::Ended { slot: id, end: End::Released });
            debt = self.owe(id, &held, generation, self.now);
            let above = under.filter(|(_, ground)| *ground == held.ground).map(|(above, _)| above);
            if let (Some(debt), Some(above)) = (debt, above) {
                self.subject(debt, above);
            }
        }
        let below = debt.map(|debt| (debt, generation));
        children.into_iter().for_each(|child| self.release(child, below));
        self.arm(id);
    }

    /// Plans the end of a value that was replaced: it lives on beside its successor for a while.
    pub(super) fn retire(&mut self, id: SlotId, old: &Held, generation: u32) {
        let overlap = self.slots.get(&id).map(|slot| slot.policy.overlap).unwrap_or_default();
        let overlap = if self.is_stopping { std::time::Duration::ZERO } else { overlap };
        self.owe(id, old, generation, self.now + overlap);
    }

    /// Gives something back that came when nobody waited for it any more.
    pub(super) fn give_back(&mut self, id: SlotId, grant: Grant) {
        let expiry = grant.lease.ttl.map_or(Moment::NEVER, |ttl| self.now + ttl);
        let debt = Debt::new(Arc::new(grant), id, self.now, expiry);
        self.file(debt);
    }

    /// Plans to give back what a slot held in this generation.
    fn owe(&mut self, id: SlotId, held: &Held, generation: u32, due: Moment) -> Option<DebtId> {
        let debt = Debt::new(Arc::clone(&held.grant), id, due, held.at.expiry);
        self.file(Debt { generation, ..debt })
    }

    fn file(&mut self, mut debt: Debt) -> Option<DebtId> {
        if !debt.grant.lease.is_owed() {
            return None;
        }
        debt.asker = self.asker_grant(debt.slot);
        let id = DebtId(self.number());
        self.debts.insert(id, debt);
        self.arm_debt(id);
        Some(id)
    }

    /// Lets a debt wait for the one above it, whose settlement settles both.
    fn subject(&mut self, id: DebtId, above: DebtId) {
        if let Some(debt) = self.debts.get_mut(&above) {
            debt.below.push(id);
        }
        if let Some(debt) = self.debts.get_mut(&id) {
            debt.is_under = true;
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
        let Some((slot, generation)) = self.debts.get(&id).map(|debt| (debt.slot, debt.generation)) else {
            return;
        };
        let turn = self.turn(slot);
        let is_used = !self.is_stopping && self.is_ground_of_children(slot, generation);
        let Some(debt) = self.debts.get_mut(&id) else { return };
        if is_used {
            debt.postpone(now);
            return self.arm_debt(id);
        }
        if turn > now {
            debt.due = turn;
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

    /// Whether a child still lives on this generation of a token.
    fn is_ground_of_children(&self, id: SlotId, generation: u32) -> bool {
        self.children(id)
            .into_iter()
            .filter_map(|child| self.slots.get(&child)?.held.as_ref())
            .any(|held| held.ground == generation && held.ceiling.is_some() && !held.grant.lease.is_static())
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
                self.note(Event::Owed { slot, holding, failure });
                self.free_dependents(id);
            }
        }
        self.arm_debt(id);
    }

    /// What was to go along with a token that cannot be revoked is revoked by itself.
    fn free_dependents(&mut self, id: DebtId) {
        let below = self.debts.get_mut(&id).map(|debt| std::mem::take(&mut debt.below)).unwrap_or_default();
        for below in below {
            if let Some(debt) = self.debts.get_mut(&below) {
                debt.is_under = false;
            }
            self.arm_debt(below);
        }
    }

    fn settle_debt(&mut self, id: DebtId) {
        let Some(debt) = self.debts.remove(&id) else { return };
        if let Some(at) = debt.armed {
            self.timers.remove(&(at, Key::Debt(id)));
        }
        if let Some((errand, _)) = debt.flight {
            self.flights.remove(&errand);
        }
        self.note(Event::Settled { slot: debt.slot, holding: debt.grant.lease.holding.clone() });
        debt.below.into_iter().for_each(|below| self.settle_debt(below));
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

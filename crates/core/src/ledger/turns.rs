//! Whose turn it is: errands start at the pace of their identity, and what matters more goes first.

use super::{Key, Ledger};
use crate::pace::{Purpose, Turn};
use crate::scope::{Scope, SlotId};
use crate::seeded::Seeded;
use crate::slot::{Slot, Step};

impl Ledger {
    /// Starts an errand when the pace of the identity allows it. One that somebody waits for was counted when it was
    /// asked for.
    pub(super) fn start_in_turn(&mut self, id: SlotId, step: Step) {
        if self.is_seeded(Seeded::NoPace) {
            return self.start(id, step);
        }
        let now = self.now;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let is_awaited = slot.generation == 0 && slot.trouble.failure.is_none();
        let given = slot.turn.take();
        if !is_awaited {
            let purpose = if slot.is_suspected { Purpose::Vital } else { step.purpose() };
            let turn = self.paces.entry(slot.root).or_default().turn(given, now, purpose);
            if turn.at > now {
                slot.turn = Some(turn);
                self.go_before(id);
                return self.arm(id);
            }
        }
        self.start(id, step);
    }

    /// Lets a token go before what lives on tokens, and what is missing before what is only given back: it changes
    /// turns with the first of that, which then may go before others.
    fn go_before(&mut self, id: SlotId) {
        let now = self.now;
        let is_missing = |slot: &Slot| slot.held.as_ref().is_none_or(|held| held.is_overdue);
        let own = self.slots.get(&id).filter(|slot| slot.scope.is_token() || is_missing(slot));
        let Some((own, turn)) = own.and_then(|own| Some((own, own.turn?))) else { return };
        let is_better = |root: SlotId, other: &Option<Turn>| {
            root == own.root && other.is_some_and(|other| other.beats(turn, now))
        };
        // Nothing ranks below a secret but debts, and secrets are many.
        let slots = own.scope.is_token().then(|| self.slots.values()).into_iter().flatten();
        let slots =
            slots.filter(|slot| rank(&slot.scope) > rank(&own.scope) && is_better(slot.root, &slot.turn));
        let slots = slots.filter_map(|slot| Some((slot.turn?.at, Key::Slot(slot.id))));
        let debts = self.debts.iter().filter(|(_, debt)| is_better(debt.root, &debt.turn));
        let debts = debts.filter_map(|(id, debt)| Some((debt.turn?.at, Key::Debt(*id))));
        let Some((_, first)) = slots.chain(debts).min() else { return };
        let better = self.change_turn(first, turn);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.turn = better;
        }
        self.arm(id);
        if let Key::Slot(other) = first {
            self.go_before(other);
        }
    }

    /// Gives another turn to what has one, which is handed back.
    fn change_turn(&mut self, key: Key, turn: Turn) -> Option<Turn> {
        match key {
            Key::Slot(id) => {
                let old = self.slots.get_mut(&id)?.turn.replace(turn);
                self.arm(id);
                old
            }
            Key::Debt(id) => {
                let debt = self.debts.get_mut(&id)?;
                debt.due = turn.at;
                let old = debt.turn.replace(turn);
                self.arm_debt(id);
                old
            }
        }
    }

    /// Hands a turn back that will not be used.
    pub(super) fn take_back(&mut self, root: SlotId, turn: Option<Turn>) {
        if let (Some(turn), Some(pace)) = (turn, self.paces.get_mut(&root)) {
            pace.take_back(turn);
        }
    }
}

/// What is nearer to the root goes first.
fn rank(scope: &Scope) -> u8 {
    match scope {
        Scope::Login => 0,
        Scope::Child => 1,
        Scope::Secret(_) => 2,
    }
}

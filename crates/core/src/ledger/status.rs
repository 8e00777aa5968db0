//! What can be told of a slot: stages, times and counts, never a value.

use std::time::Duration;

use super::Ledger;
use crate::failure::Failure;
use crate::grant::Lease;
use crate::moment::Moment;
use crate::scope::SlotId;
use crate::slot::{Held, Slot, Step};

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing is held and nothing is under way.
    Empty,
    /// Nothing is held yet; it is being obtained.
    Fetching,
    /// Held.
    Live,
    /// Held, and being renewed.
    Renewing,
    /// Held, and being read again or looked up.
    Refreshing,
    /// Held, and being replaced.
    Replacing,
    /// Given back.
    Ended,
}

/// A snapshot of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The slot.
    pub slot: SlotId,
    /// Where it is in its life.
    pub stage: Stage,
    /// Counts the values that were published.
    pub generation: u32,
    /// When what is held ends: the least of its own end and those of the tokens it lives on. `None` if nothing
    /// is held or it does not end by itself.
    pub expiry: Option<Moment>,
    /// When it ends however often it is renewed: known from the beginning, or since a renewal gave less than was asked.
    /// What is ours is replaced before. `None` if it is not known, or nothing is held.
    pub last: Option<Moment>,
    /// How long it lives from when it was obtained or last renewed. `None` if nothing is held or it does not end.
    pub life: Option<Duration>,
    /// The terms on which it was obtained.
    pub lease: Option<Lease>,
    /// When something happens to it next, if anything is planned.
    pub due: Option<Moment>,
    /// The last failure since the last success.
    pub failure: Option<Failure>,
    /// How many failed in a row.
    pub attempts: u16,
    /// Too many logins were refused in a row: none is tried until [`Input::Hurry`](super::Input::Hurry) says that what
    /// we log in with has changed.
    pub is_halted: bool,
}

impl Ledger {
    /// A snapshot of every slot.
    pub fn status(&self) -> impl Iterator<Item = SlotStatus> {
        self.slots.values().map(|slot| self.snapshot(slot))
    }

    /// A snapshot of one slot; none if it was never asked for, or is given back.
    pub fn status_of(&self, id: SlotId) -> Option<SlotStatus> {
        self.slots.get(&id).map(|slot| self.snapshot(slot))
    }

    fn snapshot(&self, slot: &Slot) -> SlotStatus {
        let ground = self.ground(slot.id);
        let expiry = slot.held.as_ref().map(|held| held.expiry(&ground)).filter(|at| *at < Moment::NEVER);
        SlotStatus {
            slot: slot.id,
            stage: stage(slot),
            generation: slot.generation,
            expiry,
            last: slot.held.as_ref().and_then(Held::last),
            life: slot.held.as_ref().and_then(Held::life),
            lease: slot.held.as_ref().map(|held| held.grant.lease.clone()),
            due: slot.armed,
            failure: slot.trouble.failure.clone(),
            attempts: slot.trouble.attempts,
            is_halted: slot.lockout.is_shut(),
        }
    }
}

fn stage(slot: &Slot) -> Stage {
    if slot.is_released {
        return Stage::Ended;
    }
    match (slot.held.is_some(), slot.flight.as_ref().map(|flight| flight.step)) {
        (false, None) => Stage::Empty,
        (false, Some(_)) => Stage::Fetching,
        (true, None | Some(Step::GiveUp | Step::Unpark | Step::Warn | Step::Expire)) => Stage::Live,
        (true, Some(Step::Renew)) => Stage::Renewing,
        (true, Some(Step::Refresh | Step::Check)) => Stage::Refreshing,
        (true, Some(Step::Obtain | Step::Replace)) => Stage::Replacing,
    }
}

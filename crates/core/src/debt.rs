//! What has to be given back.

use std::sync::Arc;
use std::time::Duration;

use crate::errand::ErrandId;
use crate::failure::Failure;
use crate::grant::Grant;
use crate::moment::Moment;
use crate::policy::Jitter;
use crate::schedule;
use crate::scope::SlotId;

/// The number of a debt; never used twice in one ledger's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DebtId(pub(crate) u64);

/// A token or lease that is no longer wanted and has to be revoked.
#[derive(Debug)]
pub(crate) struct Debt {
    pub(crate) grant: Arc<Grant>,
    pub(crate) slot: SlotId,
    /// The token to revoke a lease with.
    pub(crate) asker: Option<Arc<Grant>>,
    /// The debts that are settled with this one: a token takes all below it along.
    pub(crate) below: Vec<DebtId>,
    /// Whether it waits for one above it.
    pub(crate) is_under: bool,
    /// Children that were obtained with this generation of the slot have to move first.
    pub(crate) generation: u32,
    pub(crate) due: Moment,
    pub(crate) expiry: Moment,
    pub(crate) flight: Option<(ErrandId, Moment)>,
    pub(crate) attempts: u16,
    /// Why it cannot be revoked; nobody tries any more, and the journal keeps it.
    pub(crate) refusal: Option<Failure>,
    pub(crate) armed: Option<Moment>,
}

impl Debt {
    pub(crate) fn new(grant: Arc<Grant>, slot: SlotId, due: Moment, expiry: Moment) -> Self {
        Self {
            grant,
            slot,
            asker: None,
            below: Vec::new(),
            is_under: false,
            generation: 0,
            due,
            expiry,
            flight: None,
            attempts: 0,
            refusal: None,
            armed: None,
        }
    }

    /// When something has to be done about it: revoke it, give an errand up, or see that it has ended.
    pub(crate) fn next(&self) -> Moment {
        match self.flight {
            Some((_, deadline)) => deadline,
            None if self.is_under || self.refusal.is_some() => self.expiry,
            None => self.due.min(self.expiry),
        }
    }

    /// Plans the next attempt.
    pub(crate) fn fail(&mut self, failure: &Failure, now: Moment, jitter: Jitter) {
        self.flight = None;
        self.attempts = self.attempts.saturating_add(1);
        self.due = now + schedule::delay(failure, false, self.attempts, jitter);
    }

    /// Waits a little for the children to move.
    pub(crate) fn postpone(&mut self, now: Moment) {
        self.due = now + Duration::from_secs(1);
    }
}

//! What has to be given back.

use std::sync::Arc;
use std::time::Duration;

use crate::errand::ErrandId;
use crate::failure::Failure;
use crate::grant::{Grant, Holding};
use crate::moment::Moment;
use crate::pace::Turn;
use crate::policy::Jitter;
use crate::schedule;
use crate::scope::SlotId;

/// The number of a debt; never used twice in one ledger's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DebtId(pub(crate) u64);

/// A token or lease that is no longer wanted and has to be revoked.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Debt {
    pub(crate) grant: Arc<Grant>,
    pub(crate) slot: SlotId,
    /// The token to revoke a lease with, and its generation.
    pub(crate) asker: Option<Arc<Grant>>,
    pub(crate) by: u32,
    /// The debts that are settled with this one: a token takes all below it along.
    pub(crate) below: Vec<DebtId>,
    /// The one that it waits for.
    pub(crate) above: Option<DebtId>,
    /// Children that were obtained with this generation of the slot have to move first.
    pub(crate) generation: u32,
    /// The slot and generation of the token that it was obtained with; of what is foreign, the one that revokes it.
    pub(crate) ground: Option<(SlotId, u32)>,
    /// It is in another namespace than that token. So it does not end with it, and is revoked before it.
    pub(crate) is_foreign: bool,
    /// The identity by whose pace it is revoked.
    pub(crate) root: SlotId,
    pub(crate) due: Moment,
    /// The turn that the pace has given to its revocation.
    pub(crate) turn: Option<Turn>,
    pub(crate) expiry: Moment,
    pub(crate) flight: Option<(ErrandId, Moment)>,
    pub(crate) attempts: u16,
    /// Why it cannot be revoked; nobody tries any more, and the journal keeps it.
    pub(crate) refusal: Option<Failure>,
    pub(crate) armed: Option<Moment>,
}

impl Debt {
    /// The generation of a token that others may live on.
    pub(crate) fn token(&self) -> Option<(SlotId, u32)> {
        (self.is_token() && self.generation > 0).then_some((self.slot, self.generation))
    }

    /// Whether it revokes itself.
    fn is_token(&self) -> bool {
        matches!(self.grant.lease.holding, Holding::Token { .. })
    }

    /// Whether it is no debt of its own: a batch token cannot be revoked. It stands between what lives on it and the
    /// token above, and ends with that.
    pub(crate) fn is_link(&self) -> bool {
        !self.grant.lease.is_owed()
    }

    /// Whether it is dead when the token that was to revoke it is: it is that token, or was obtained with it.
    pub(crate) fn falls_with_asker(&self) -> bool {
        let is_obtained_with = self.ground.is_some_and(|(_, generation)| generation == self.by);
        self.is_token() || !self.is_foreign && is_obtained_with
    }

    /// Whether it keeps the token that it stands on from being revoked.
    pub(crate) fn holds_up(&self) -> bool {
        self.is_foreign && self.refusal.is_none()
    }

    pub(crate) fn new(grant: Arc<Grant>, slot: SlotId, due: Moment, expiry: Moment) -> Self {
        Self {
            grant,
            slot,
            asker: None,
            by: 0,
            below: Vec::new(),
            above: None,
            generation: 0,
            ground: None,
            is_foreign: false,
            root: slot,
            due,
            turn: None,
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
            None if self.above.is_some() || self.refusal.is_some() || self.is_link() => self.expiry,
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

//! How long a token can be kept at all, told as soon as it is known.

use std::time::Duration;

use leasehold_core::Moment;
use leasehold_core::ledger::SlotStatus;

use super::status::{Instant, SLACK};
use crate::clock::wall_seconds;

/// Notices when it becomes known that a token has a last day and that there is nothing to log in with after it, or that
/// nobody knows when it ends. Each is told once, and again if it changes.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    last: Option<Moment>,
    is_unknown: bool,
}

/// A token that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    /// When it ends, in words; or that nobody knows when.
    pub message: String,
    /// How long it still lives; none if that is not known.
    pub left: Option<Duration>,
}

impl Outlook {
    /// What is news in how the login's slot stands after it was obtained, renewed or looked up.
    pub fn learn(&mut self, status: &SlotStatus, now: Moment) -> Option<Doom> {
        let unknown = self.learn_unknown(status);
        self.learn_last(status, now).or(unknown)
    }

    fn learn_last(&mut self, status: &SlotStatus, now: Moment) -> Option<Doom> {
        let is_brought = status.lease.as_ref().is_some_and(|lease| !lease.ours);
        let last = status.last.filter(|_| is_brought)?;
        let told = self.last.replace(last);
        if told.is_some_and(|told| last.max(told) - last.min(told) <= SLACK) {
            return None;
        }
        let date = Instant { moment: now, wall: wall_seconds() }.date(last);
        let message = format!("the token cannot be kept beyond {date}, and there is nothing to log in with");
        Some(Doom { message, left: Some(last - now) })
    }

    fn learn_unknown(&mut self, status: &SlotStatus) -> Option<Doom> {
        let is_unknown = status.expiry.is_none() && status.lease.as_ref().is_some_and(|lease| lease.is_blind);
        let was_unknown = std::mem::replace(&mut self.is_unknown, is_unknown);
        (is_unknown && !was_unknown).then(|| Doom {
            message:
                "nobody knows when the token ends: its policies allow neither its look-up nor its renewal \
                      (auth/token/lookup-self, auth/token/renew-self), and there is nothing to log in with"
                    .to_owned(),
            left: None,
        })
    }
}

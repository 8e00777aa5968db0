//! What the audit is told of refused requests: the first of each second, and how many more there were. Whoever sends
//! bad requests as fast as they can does not fill a disk with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{wall_seconds, wall_text};

use super::Refusal;
use super::header::Claim;

/// How many refusals of one second are told one by one.
pub(super) const TOLD_A_SECOND: u64 = 10;

/// Counts all refusals, and tells some.
#[derive(Debug, Default)]
pub(super) struct Audit {
    failures: AtomicU64,
    /// How many were not told one by one, and not yet by their number.
    untold: AtomicU64,
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    at: u64,
    refusals: u64,
}

impl Audit {
    /// How many there were so far.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A request was refused at that time, in seconds since 1970.
    pub(super) fn refused(&self, claim: Option<&Claim>, refusal: Refusal, now: u64) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.settle(now);
        if self.second().is_to_be_told(now) {
            tell(claim, refusal, now);
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells how many of an earlier second were not told. Without any it costs one load.
    pub(super) fn settle(&self, now: u64) {
        if self.untold.load(Ordering::Relaxed) > 0 && self.second().at != now {
            self.tell_untold(now);
        }
    }

    fn tell_untold(&self, now: u64) {
        let count = self.untold.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(target: "audit", timestamp = wall_text(now), count, "More requests refused");
        }
    }

    /// Nothing is told under this lock: whoever listens may take long.
    fn second(&self) -> MutexGuard<'_, Second> {
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.tell_untold(wall_seconds());
    }
}

impl Second {
    fn is_to_be_told(&mut self, now: u64) -> bool {
        if self.at != now {
            *self = Self { at: now, refusals: 0 };
        }
        self.refusals += 1;
        self.refusals <= TOLD_A_SECOND
    }
}

fn tell(claim: Option<&Claim>, refusal: Refusal, now: u64) {
    let agent_id = claim.map(|claim| claim.agent.as_str());
    let request_id = claim.map(|claim| tracing::field::display(claim.request_id));
    let timestamp = wall_text(now);
    tracing::warn!(target: "audit", timestamp, agent_id, request_id, reason = %refusal, "Request refused");
}

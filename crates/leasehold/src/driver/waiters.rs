//! Those who wait for a credential, and what they are told.

use std::collections::HashMap;
use std::time::Duration;

use leasehold_core::{Course, Failure, Grant, Holding, Moment, SlotId};
use tokio::sync::oneshot;

use crate::credential::Credential;

/// What somebody who waits gets in the end.
pub(super) type Answer = oneshot::Sender<Result<Credential, Failure>>;

/// After so long the server is asked whether it is there. It has 900 ms to say so, and whoever waits has to know within
/// two seconds, also on a busy machine.
const PATIENCE: Duration = Duration::from_millis(800);

/// Those who wait, by what they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiters(HashMap<SlotId, Vec<Waiter>>);

#[derive(Debug)]
struct Waiter {
    /// When the server is asked whether it is there at all.
    probe_at: Moment,
    answer: Answer,
}

impl Waiters {
    pub(super) fn add(&mut self, slot: SlotId, now: Moment, answer: Answer) {
        let probe_at = now + PATIENCE;
        self.0.entry(slot).or_default().push(Waiter { probe_at, answer });
    }

    /// Answers all who wait for this slot.
    pub(super) fn answer(&mut self, slot: SlotId, result: &Result<Credential, Failure>) {
        for waiter in self.0.remove(&slot).into_iter().flatten() {
            waiter.tell(result.clone());
        }
    }

    /// Tells all who have waited too long that the server does not answer.
    pub(super) fn give_up(&mut self, now: Moment, failure: &Failure) {
        for waiters in self.0.values_mut() {
            for waiter in waiters.extract_if(.., |waiter| waiter.probe_at <= now) {
                waiter.tell(Err(failure.clone()));
            }
        }
        self.0.retain(|_, waiters| !waiters.is_empty());
    }

    /// When the first of them has waited too long.
    pub(super) fn probe_at(&self) -> Option<Moment> {
        self.0.values().flatten().map(|waiter| waiter.probe_at).min()
    }

    /// Puts the next probe off for those for whom it would be due.
    pub(super) fn wait_on(&mut self, now: Moment) {
        for waiter in self.0.values_mut().flatten().filter(|waiter| waiter.probe_at <= now) {
            waiter.probe_at = now + PATIENCE;
        }
    }
}

impl Waiter {
    fn tell(self, result: Result<Credential, Failure>) {
        // Whoever asked may have gone meanwhile.
        let _ = self.answer.send(result);
    }
}

/// What a failure means for those who wait for a slot; nothing if another attempt follows that tells more.
pub(super) fn verdict(
    credential: Credential,
    failure: &Failure,
    attempt: u16,
) -> Option<Result<Credential, Failure>> {
    let is_token = |grant: &Grant| matches!(grant.lease.holding, Holding::Token { .. });
    let held = credential.hold();
    match (failure.kind().course(), held) {
        // It is dead, or what it was asked for with: a successor is on its way.
        (Course::Dead, Some(_)) => None,
        (Course::Dead, None) if attempt == 1 => None,
        // A policy decides about tokens that live.
        (Course::Denied, Some(held)) if is_token(&held) => Some(Ok(credential)),
        _ => Some(Err(failure.clone())),
    }
}

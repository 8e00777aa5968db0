//! What went wrong with a slot, and when to try again.

use std::time::Duration;

use super::{Held, Slot, Step};
use crate::failure::{Course, Failure};
use crate::moment::Moment;
use crate::schedule::{self, FLOOR};
use crate::scope::Scope;

/// What went wrong since the last success. It never touches what is held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) failure: Option<Failure>,
    pub(crate) attempts: u16,
    /// How many of the attempts were answered with no. An outage is no refusal.
    pub(crate) refusals: u16,
    pub(crate) not_before: Moment,
    /// If a renewal failed: when the next may be tried. A look-up that goes well says nothing of that.
    pub(crate) renewal: Option<Moment>,
}

impl Trouble {
    /// Whether the last failure was an answer that will stay the same.
    pub(super) fn is_refused(&self) -> bool {
        let course = self.failure.as_ref().map(|failure| failure.kind().course());
        matches!(course, Some(Course::Denied | Course::Misconfigured))
    }
}

impl Slot {
    /// Forgets what went wrong.
    pub(super) fn settle(&mut self) {
        self.trouble = Trouble::default();
    }

    /// The same after a look-up: that what is held cannot be renewed stays known until it is, or is left to a login.
    pub(super) fn settle_by_look(&mut self) {
        let is_left = self.held.as_ref().is_none_or(Held::is_left_to_login);
        if self.trouble.renewal.is_none() || is_left {
            self.settle();
        }
    }

    /// Notes a failure and when to try again. Says whether no login is tried any more.
    pub(crate) fn fail(&mut self, step: Step, failure: Failure, now: Moment) -> bool {
        let is_login = self.scope == Scope::Login && step.may_obtain();
        let is_refusal = failure.kind().course() != Course::Transient;
        let attempts = self.trouble.attempts.saturating_add(1);
        let refusals = self.trouble.refusals.saturating_add(u16::from(is_refusal));
        let alike = if is_refusal { refusals } else { attempts };
        let wait = schedule::delay(&failure, is_login, alike, self.jitter);
        // That what is held cannot be renewed says nothing of another.
        let is_final = is_refusal && step.may_obtain();
        let wait = if is_final { wait } else { wait.min(self.longest_wait(alike, now)) };
        let renewal = if step == Step::Renew { Some(now + wait) } else { self.trouble.renewal };
        self.trouble =
            Trouble { failure: Some(failure), attempts, refusals, not_before: now + wait, renewal };
        is_login && is_refusal && self.lockout.refuse(now)
    }

    /// How long the next try for what is held may wait, whatever the server asks for: until a replacement must be
    /// there, and then half of what is left.
    fn longest_wait(&self, attempt: u16, now: Moment) -> Duration {
        match &self.held {
            None => Duration::MAX,
            Some(held) if now < held.at.hard => (held.at.hard - now).max(FLOOR),
            Some(held) => ((held.at.expiry - now) / 2).max(schedule::backoff(attempt, self.jitter)),
        }
    }

    /// Its token lives, and still it was refused: so a lease is gone, and is replaced, or a static secret was changed,
    /// and is read again. The first time at once.
    pub(crate) fn distrust(&mut self, now: Moment) {
        let mut is_first = self.trouble.refusals <= 1;
        if let Some(held) = &mut self.held {
            held.is_doubted = false;
            match held.grant.lease.is_static() {
                true => held.routine = now,
                // What was refused so far was to renew it.
                false => is_first |= !std::mem::replace(&mut held.is_overdue, true),
            }
        }
        if is_first {
            self.trouble.not_before = now;
        }
    }
}

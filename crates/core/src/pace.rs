//! At most two requests a second per identity, whatever goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::moment::Moment;

/// What an errand is for. Each purpose has a lane of its own, so that many re-reads never delay a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To stay alive: log in, renew, replace, confirm a suspicion, revoke.
    Vital,
    /// To notice changes: re-read, look up.
    Routine,
}

/// The pace of one identity: each of two lanes lets one errand a second pass, after a burst.
///
/// A lane is a queue of reservations: an errand that must wait is told when its turn is, once, so that many due
/// slots cost one step each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    vital: Lane,
    routine: Lane,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    /// When the last reserved turn is over.
    reserved: Moment,
    /// Turns that were reserved and are not wanted any more.
    free: BTreeSet<Moment>,
}

const STEP: Duration = Duration::from_secs(1);
/// How long a turn is good for. One that could not be used must not be saved up for later.
const GOOD: Duration = Duration::from_secs(2);
const VITAL_BURST: u32 = 16;
const ROUTINE_BURST: u32 = 4;

/// The turn that a pace has given to one errand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) at: Moment,
    purpose: Purpose,
}

impl Turn {
    /// The earliest moment for an errand of this purpose. What is vital does not wait for a routine's turn.
    pub(crate) fn bound(self, purpose: Purpose) -> Moment {
        match (self.purpose, purpose) {
            (Purpose::Routine, Purpose::Vital) => Moment::default(),
            (Purpose::Vital, _) | (Purpose::Routine, Purpose::Routine) => self.at,
        }
    }

    /// Whether this one is better for an errand of that other's purpose: it comes later than now, and earlier.
    pub(crate) fn beats(self, other: Self, now: Moment) -> bool {
        self.purpose == other.purpose && self.at > now && self.at < other.at
    }

    /// Whether an errand of this purpose may use it now or later.
    pub(crate) fn is_good(self, now: Moment, purpose: Purpose) -> bool {
        self.purpose == purpose && now < self.at + GOOD
    }
}

impl Pace {
    /// The turn that was given before, if it is still good, or another one.
    pub(crate) fn turn(&mut self, given: Option<Turn>, now: Moment, purpose: Purpose) -> Turn {
        let given = given.filter(|turn| turn.is_good(now, purpose));
        given.unwrap_or_else(|| Turn { at: self.reserve(now, purpose), purpose })
    }

    /// Reserves the next turn and says when it is.
    fn reserve(&mut self, now: Moment, purpose: Purpose) -> Moment {
        match purpose {
            Purpose::Vital => self.vital.reserve(now, VITAL_BURST),
            Purpose::Routine => self.routine.reserve(now, ROUTINE_BURST),
        }
    }

    /// Takes a turn back that will not be used.
    pub(crate) fn take_back(&mut self, turn: Turn) {
        match turn.purpose {
            Purpose::Vital => self.vital.free.insert(turn.at),
            Purpose::Routine => self.routine.free.insert(turn.at),
        };
    }

    /// Takes note of an errand that a caller is waiting for. It passes at once, and what nobody waits for gets
    /// the slower for it.
    pub(crate) fn count(&mut self, now: Moment) {
        let reserved = self.vital.reserved;
        // Turns that are given stay given: only what comes later waits, and at most for one burst.
        self.vital.reserved = reserved.max((reserved.max(now) + STEP).min(now + STEP * VITAL_BURST));
    }
}

impl Lane {
    fn reserve(&mut self, now: Moment, burst: u32) -> Moment {
        self.free = self.free.split_off(&now);
        let turn = self.reserved.max(now);
        if let Some(free) = self.free.first().copied().filter(|free| *free < turn - STEP * burst) {
            self.free.remove(&free);
            return free;
        }
        self.reserved = turn + STEP;
        (turn - STEP * burst).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lanes_together_pass_two_a_second_after_the_burst() {
        let mut pace = Pace::default();
        let start = Moment::default() + Duration::from_secs(1_000);
        let mut passed = 0;
        for _ in 0..1_000 {
            for purpose in [Purpose::Vital, Purpose::Routine] {
                passed += u32::from(pace.reserve(start, purpose) - start < Duration::from_secs(60));
            }
        }
        assert!(passed <= 2 * 60 + VITAL_BURST + ROUTINE_BURST, "{passed}");
        assert!(passed >= 2 * 60, "{passed}");
    }

    #[test]
    fn an_ask_takes_no_turn_back_that_was_given() {
        let mut pace = Pace::default();
        let now = Moment::default();
        let last = (0..100).map(|_| pace.reserve(now, Purpose::Vital)).max();
        pace.count(now);
        assert!(Some(pace.reserve(now, Purpose::Vital)) > last);
    }

    #[test]
    fn a_turn_that_is_taken_back_is_the_next_to_be_given() {
        let mut pace = Pace::default();
        let now = Moment::default() + Duration::from_secs(1_000);
        let turns: Vec<_> = (0..100).map(|_| pace.turn(None, now, Purpose::Vital)).collect();
        turns[50..].iter().for_each(|turn| pace.take_back(*turn));
        assert_eq!(pace.turn(None, now, Purpose::Vital).at, turns[50].at);
        assert_eq!(pace.turn(None, turns[60].at, Purpose::Vital).at, turns[60].at, "what has passed is lost");
    }

    #[test]
    fn many_rereads_do_not_delay_a_renewal() {
        let mut pace = Pace::default();
        let now = Moment::default();
        for _ in 0..1_000 {
            pace.reserve(now, Purpose::Routine);
        }
        assert_eq!(pace.reserve(now, Purpose::Vital), now);
    }

    #[test]
    fn a_thousand_asks_delay_what_nobody_waits_for_by_one_burst_at_most() {
        let mut pace = Pace::default();
        let now = Moment::default();
        (0..1_000).for_each(|_| pace.count(now));
        assert!(pace.reserve(now, Purpose::Vital) - now <= STEP);
    }
}

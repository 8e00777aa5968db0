//! At most two requests a second per identity, whatever goes wrong.

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
}

const STEP: Duration = Duration::from_secs(1);
const VITAL_BURST: u32 = 16;
const ROUTINE_BURST: u32 = 4;

impl Pace {
    /// Reserves the next turn and says when it is.
    pub(crate) fn reserve(&mut self, now: Moment, purpose: Purpose) -> Moment {
        match purpose {
            Purpose::Vital => self.vital.reserve(now, VITAL_BURST),
            Purpose::Routine => self.routine.reserve(now, ROUTINE_BURST),
        }
    }

    /// Takes note of an errand that a caller is waiting for. It passes at once, and what nobody waits for gets
    /// the slower for it.
    pub(crate) fn count(&mut self, now: Moment) {
        let burst = STEP * VITAL_BURST;
        self.vital.reserved = (self.vital.reserved.max(now) + STEP).min(now + burst);
    }
}

impl Lane {
    fn reserve(&mut self, now: Moment, burst: u32) -> Moment {
        let turn = self.reserved.max(now);
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

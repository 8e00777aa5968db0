//! Which requests were accepted already: a bounded memory that a flood cannot wash out.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use leasehold_core::Moment;
use uuid::Uuid;

use super::Refusal;

/// How far a request's time may be from the verifier's clock, either way, in seconds.
pub const SKEW_SECONDS: u64 = 120;

/// How many seconds of requests' times share a slice. The shorter, the sooner a slice can be dropped whole; the
/// longer, the fewer there are to look through.
const SLICE_SECONDS: u64 = 30;

/// How many dropped slices are known one by one: those of a day.
const DROPPED: usize = 24 * 3600 / SLICE_SECONDS as usize;

/// The ids of accepted requests, in slices by the time that the requests carry. Times are handed in: the wall clock's, by
/// which a request's time is judged, and the boot clock's, by which ids expire, since nobody can set that one.
#[derive(Debug)]
pub(super) struct Replays {
    /// At most ten while nobody sets the clock, in no order.
    slices: Vec<Slice>,
    /// How many ids all slices hold together.
    length: usize,
    capacity: usize,
    /// Slices that are not remembered any more, and so never accepted again. They are known one by one, so that those of
    /// a time that the clock has shown by mistake bar that time alone.
    dropped: BTreeSet<u64>,
    /// All slices below count as dropped.
    floor: u64,
}

#[derive(Debug)]
struct Slice {
    number: u64,
    ids: HashSet<Uuid>,
    /// By then each of its times is too old, unless the wall clock was set back.
    until: Moment,
}

/// Whether a request of that time may be accepted now.
pub(super) fn is_fresh(timestamp: u64, now: u64) -> bool {
    timestamp.abs_diff(now) <= SKEW_SECONDS
}

impl Replays {
    /// Without any yet, for so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self { slices: Vec::new(), length: 0, capacity, dropped: BTreeSet::new(), floor: 0 }
    }

    /// Remembers a request whose signature is good; says no if that cannot be done.
    pub(super) fn admit(&mut self, id: Uuid, timestamp: u64, now: u64, boot: Moment) -> Result<(), Refusal> {
        self.expire(boot);
        let number = timestamp / SLICE_SECONDS;
        if number < self.floor || self.dropped.contains(&number) || !is_fresh(timestamp, now) {
            return Err(Refusal::Skew);
        }
        if self.slices.iter().any(|slice| slice.ids.contains(&id)) {
            return Err(Refusal::Replay);
        }
        if self.length == self.capacity {
            return Err(Refusal::Full);
        }
        let end = (number + 1) * SLICE_SECONDS + SKEW_SECONDS;
        let slice = self.slice(number);
        slice.until = slice.until.max(boot + Duration::from_secs(end.saturating_sub(now)));
        slice.ids.insert(id);
        self.length += 1;
        Ok(())
    }

    /// Drops the slices of which every time is too old.
    fn expire(&mut self, boot: Moment) {
        for over in self.slices.extract_if(.., |slice| slice.until <= boot) {
            self.length -= over.ids.len();
            self.dropped.insert(over.number);
        }
        while self.dropped.len() > DROPPED {
            self.floor = self.dropped.pop_first().map_or(self.floor, |number| number + 1);
        }
    }

    fn slice(&mut self, number: u64) -> &mut Slice {
        let at = self.slices.iter().position(|slice| slice.number == number).unwrap_or_else(|| {
            self.slices.push(Slice { number, ids: HashSet::new(), until: Moment::default() });
            self.slices.len() - 1
        });
        &mut self.slices[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn replays() -> Replays {
        Replays::new(1000)
    }

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    /// So many seconds after the first moment.
    fn boot(seconds: u64) -> Moment {
        Moment::default() + Duration::from_secs(seconds)
    }

    impl Replays {
        /// At a time of a wall clock that nobody sets.
        fn admit_at(&mut self, id: Uuid, timestamp: u64, now: u64) -> Result<(), Refusal> {
            self.admit(id, timestamp, now, boot(now - NOW))
        }
    }

    #[test]
    fn the_window_ends_a_second_past_the_skew_on_both_sides() {
        let check = |timestamp: u64, expect: Result<(), Refusal>| {
            assert_eq!(replays().admit_at(id(0), timestamp, NOW), expect, "{timestamp}");
        };
        check(NOW, Ok(()));
        check(NOW - SKEW_SECONDS, Ok(()));
        check(NOW + SKEW_SECONDS, Ok(()));
        check(NOW - SKEW_SECONDS - 1, Err(Refusal::Skew));
        check(NOW + SKEW_SECONDS + 1, Err(Refusal::Skew));
        check(0, Err(Refusal::Skew));
        check(u64::MAX, Err(Refusal::Skew));
    }

    #[test]
    fn an_id_is_remembered_until_its_time_is_refused() {
        for ahead in 0..=2 * SKEW_SECONDS {
            let mut replays = replays();
            let timestamp = NOW + SKEW_SECONDS;
            assert_eq!(replays.admit_at(id(0), timestamp, NOW), Ok(()));
            assert_eq!(replays.admit_at(id(0), timestamp, NOW + ahead), Err(Refusal::Replay), "{ahead} s");
            assert_eq!(replays.admit_at(id(0), timestamp, NOW + 2 * SKEW_SECONDS + 1), Err(Refusal::Skew));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_replay() {
        for back_after in [0, 100, 300, 3600, 3 * DAY] {
            let mut replays = replays();
            assert_eq!(replays.admit(id(0), NOW, NOW, boot(0)), Ok(()));
            let later = replays.admit(id(0), NOW, NOW, boot(back_after));
            assert!(matches!(later, Err(Refusal::Replay | Refusal::Skew)), "{back_after} s: {later:?}");
            assert_eq!(replays.admit(id(2), NOW + 3600, NOW + 3600, boot(back_after)), Ok(()));
        }
    }

    /// The clock is wrong for so many seconds of which each brings a request, and then right again.
    fn after_a_leap(leap: u64, seconds: u64) -> Replays {
        let mut replays = Replays::new(usize::MAX);
        assert_eq!(replays.admit(id(0), NOW, NOW, boot(0)), Ok(()));
        for second in (0..seconds).step_by(7) {
            let wrong = NOW + leap + second;
            assert_eq!(replays.admit(Uuid::from_u128(u128::from(wrong)), wrong, wrong, boot(second)), Ok(()));
        }
        replays
    }

    #[test]
    fn a_leap_of_the_clock_does_no_lasting_harm() {
        for (leap, seconds) in [(DAY, 1), (DAY, 600), (30 * DAY, 3600), (DAY, DAY / 2)] {
            let mut replays = after_a_leap(leap, seconds);
            let check = |replays: &mut Replays, id, at: u64, after: u64, expect| {
                assert_eq!(
                    replays.admit(id, NOW + at, NOW + at, boot(after)),
                    expect,
                    "{leap}, {seconds}: {at}"
                );
            };
            check(&mut replays, id(1), seconds, seconds, Ok(()));
            check(&mut replays, id(2), seconds + 300, seconds + 300, Ok(()));
            // What was accepted by mistake is still not accepted twice when its time has come.
            let wrong = Uuid::from_u128(u128::from(NOW + leap));
            check(&mut replays, wrong, leap, leap, Err(Refusal::Skew));
            check(&mut replays, id(3), leap + seconds + 60, leap + seconds + 60, Ok(()));
        }
    }

    #[test]
    fn what_is_full_forgets_nothing_and_has_room_again_when_times_are_over() {
        let mut replays = Replays::new(2);
        assert_eq!(replays.admit_at(id(0), NOW - SKEW_SECONDS, NOW), Ok(()));
        assert_eq!(replays.admit_at(id(1), NOW, NOW), Ok(()));
        assert_eq!(replays.admit_at(id(2), NOW, NOW), Err(Refusal::Full));
        assert_eq!(replays.admit_at(id(0), NOW, NOW), Err(Refusal::Replay));
        let later = NOW + SLICE_SECONDS;
        assert_eq!(replays.admit_at(id(1), later, later), Err(Refusal::Replay));
        assert_eq!(replays.admit_at(id(2), later, later), Ok(()));
        assert_eq!(replays.admit_at(id(3), later, later), Err(Refusal::Full));
    }

    #[test]
    fn never_more_than_ten_slices_and_a_day_of_dropped_ones() {
        let mut replays = Replays::new(usize::MAX);
        for now in (NOW..NOW + 2 * DAY).step_by(20) {
            for timestamp in (now - SKEW_SECONDS..=now + SKEW_SECONDS).step_by(30) {
                replays.admit_at(Uuid::from_u128(u128::from(now * 1000 + timestamp)), timestamp, now).ok();
            }
            assert!(replays.slices.len() <= 10, "{} slices", replays.slices.len());
            assert!(replays.dropped.len() <= DROPPED);
        }
        assert_eq!(replays.admit(id(0), NOW, NOW, boot(2 * DAY)), Err(Refusal::Skew), "by the floor");
    }
}

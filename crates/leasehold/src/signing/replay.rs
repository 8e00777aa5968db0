//! Which requests were accepted already: a bounded memory that a flood cannot wash out.

use std::collections::HashSet;

use uuid::Uuid;

use super::Refusal;

/// How far a request's time may be from the verifier's clock, either way, in seconds.
pub const SKEW_SECONDS: u64 = 120;

/// How many seconds of requests' times share a slice. The shorter, the sooner a slice can be dropped whole; the
/// longer, the fewer there are to look through.
const SLICE_SECONDS: u64 = 30;

/// The ids of accepted requests, in slices by the time that the requests carry. Times are handed in.
#[derive(Debug)]
pub(super) struct Replays {
    /// At most ten, in no order.
    slices: Vec<Slice>,
    /// How many ids all slices hold together.
    length: usize,
    capacity: usize,
    /// What is older is not remembered any more, and so never accepted again. It follows our own clock alone.
    floor: u64,
}

#[derive(Debug)]
struct Slice {
    number: u64,
    ids: HashSet<Uuid>,
}

/// Whether a request of that time may be accepted now.
pub(super) fn is_fresh(timestamp: u64, now: u64) -> bool {
    timestamp.abs_diff(now) <= SKEW_SECONDS
}

impl Replays {
    /// Without any yet, for so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self { slices: Vec::new(), length: 0, capacity, floor: 0 }
    }

    /// Remembers a request whose signature is good; says no if that cannot be done.
    pub(super) fn admit(&mut self, id: Uuid, timestamp: u64, now: u64) -> Result<(), Refusal> {
        self.advance(now);
        if timestamp < self.floor || !is_fresh(timestamp, now) {
            return Err(Refusal::Skew);
        }
        if self.slices.iter().any(|slice| slice.ids.contains(&id)) {
            return Err(Refusal::Replay);
        }
        if self.length == self.capacity {
            return Err(Refusal::Full);
        }
        self.slice(timestamp / SLICE_SECONDS).insert(id);
        self.length += 1;
        Ok(())
    }

    /// Drops the slices of which every time is too old.
    fn advance(&mut self, now: u64) {
        let floor = now.saturating_sub(SKEW_SECONDS);
        if floor > self.floor {
            self.floor = floor;
            self.slices.retain(|slice| slice.number >= floor / SLICE_SECONDS);
            self.length = self.slices.iter().map(|slice| slice.ids.len()).sum();
        }
    }

    fn slice(&mut self, number: u64) -> &mut HashSet<Uuid> {
        let at = self.slices.iter().position(|slice| slice.number == number).unwrap_or_else(|| {
            self.slices.push(Slice { number, ids: HashSet::new() });
            self.slices.len() - 1
        });
        &mut self.slices[at].ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn replays() -> Replays {
        Replays::new(1000)
    }

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    #[test]
    fn the_window_ends_a_second_past_the_skew_on_both_sides() {
        let check = |timestamp: u64, expect: Result<(), Refusal>| {
            assert_eq!(replays().admit(id(0), timestamp, NOW), expect, "{timestamp}");
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
            assert_eq!(replays.admit(id(0), timestamp, NOW), Ok(()));
            assert_eq!(replays.admit(id(0), timestamp, NOW + ahead), Err(Refusal::Replay), "{ahead} s");
            assert_eq!(replays.admit(id(0), timestamp, NOW + 2 * SKEW_SECONDS + 1), Err(Refusal::Skew));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_replay() {
        let mut replays = replays();
        assert_eq!(replays.admit(id(0), NOW, NOW), Ok(()));
        assert_eq!(replays.admit(id(1), NOW + 3600, NOW + 3600), Ok(()));
        assert_eq!(replays.admit(id(0), NOW, NOW), Err(Refusal::Skew));
        assert_eq!(replays.admit(id(2), NOW + 3600, NOW + 3500), Ok(()));
    }

    #[test]
    fn what_is_full_forgets_nothing_and_has_room_again_when_times_are_over() {
        let mut replays = Replays::new(2);
        assert_eq!(replays.admit(id(0), NOW - SKEW_SECONDS, NOW), Ok(()));
        assert_eq!(replays.admit(id(1), NOW, NOW), Ok(()));
        assert_eq!(replays.admit(id(2), NOW, NOW), Err(Refusal::Full));
        assert_eq!(replays.admit(id(0), NOW, NOW), Err(Refusal::Replay));
        let later = NOW + SLICE_SECONDS;
        assert_eq!(replays.admit(id(1), later, later), Err(Refusal::Replay));
        assert_eq!(replays.admit(id(2), later, later), Ok(()));
        assert_eq!(replays.admit(id(3), later, later), Err(Refusal::Full));
    }

    #[test]
    fn never_more_than_ten_slices() {
        let mut replays = Replays::new(usize::MAX);
        for now in NOW..NOW + 60 {
            for timestamp in now - SKEW_SECONDS..=now + SKEW_SECONDS {
                replays.admit(Uuid::from_u128(u128::from(now * 1000 + timestamp)), timestamp, now).ok();
            }
            assert!(replays.slices.len() <= 10, "{} slices", replays.slices.len());
        }
    }
}

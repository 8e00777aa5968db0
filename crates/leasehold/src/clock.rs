//! The one clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use leasehold_core::Moment;

/// Tells the moment on a timeline that goes on while the machine sleeps and that nobody can set back.
///
/// On Linux it is the boot clock. Elsewhere the monotonic clock stands in, which may stop during sleep: there the
/// server's refusal, and not the clock, tells that a lease has ended.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// How many nanoseconds it is ahead of the machine's; none if nobody steers it.
    lead: Option<Arc<AtomicU64>>,
}

/// Lets time pass on a [`Clock`] as it passes while the machine sleeps: all at once.
#[derive(Debug)]
pub struct Steering(Arc<AtomicU64>);

impl Clock {
    /// A clock that can be steered, for tests of what happens after a long sleep.
    ///
    /// ```
    /// use leasehold::clock::Clock;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let (clock, steering) = Clock::steered();
    /// let before = clock.now();
    /// steering.sleep(Duration::from_secs(8 * 3600));
    /// assert!(clock.now() - before >= Duration::from_secs(8 * 3600));
    /// ```
    pub fn steered() -> (Self, Steering) {
        let lead = Arc::new(AtomicU64::new(0));
        (Self { lead: Some(Arc::clone(&lead)) }, Steering(lead))
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment::default() + since_boot() + self.lead()
    }

    /// The wall clock's seconds since 1970, ahead by as much as this clock is.
    pub fn wall_seconds(&self) -> u64 {
        wall_seconds() + self.lead().as_secs()
    }

    fn lead(&self) -> Duration {
        Duration::from_nanos(self.lead.as_ref().map_or(0, |lead| lead.load(Ordering::Relaxed)))
    }
}

impl Steering {
    /// So much time passes at once on the clock and all its clones; at most 584 years in all.
    pub fn sleep(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// The wall clock's seconds since 1970, for what is written down and read by another process or a person.
#[expect(clippy::disallowed_methods, reason = "this is the one file that tells time")]
pub fn wall_seconds() -> u64 {
    seconds_of(SystemTime::now())
}

/// The seconds since 1970 of a point of the wall clock; zero before.
pub fn seconds_of(at: SystemTime) -> u64 {
    at.duration_since(std::time::UNIX_EPOCH).map(|span| span.as_secs()).unwrap_or_default()
}

/// That many seconds after 1970, as the wall clock has it.
pub fn wall_time(seconds: u64) -> Option<SystemTime> {
    std::time::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The point of the wall clock that an RFC 3339 text names; none if it names none.
pub fn wall_time_of(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// A point of the wall clock as RFC 3339, to the second, in UTC.
pub fn wall_text(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_else(|_| "never".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let clock = Clock::default();
        let moments: Vec<_> = (0..100).map(|_| clock.now()).collect();
        assert!(moments.is_sorted());
    }

    #[test]
    fn wall_times_are_written_in_utc() {
        assert_eq!(wall_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(wall_text(u64::MAX), "never");
        let seconds = 1_800_000_000;
        assert_eq!(wall_time_of(&wall_text(seconds)), wall_time(seconds));
        assert_eq!((wall_time_of("yesterday"), wall_time(u64::MAX)), (None, None));
    }
}

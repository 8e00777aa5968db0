//! The one clock.

use std::time::Duration;

use leasehold_core::Moment;

/// Tells the moment on a timeline that goes on while the machine sleeps and that nobody can set back.
///
/// On Linux it is the boot clock. Elsewhere the monotonic clock stands in, which may stop during sleep: there the
/// server's refusal, and not the clock, tells that a lease has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(());

impl Clock {
    /// The present moment.
    pub fn now(self) -> Moment {
        Moment::default() + since_boot()
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
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map(|span| span.as_secs()).unwrap_or_default()
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
    }
}

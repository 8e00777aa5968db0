//! A point on the one timeline; never a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, in nanoseconds since the timeline began. The timeline only moves forward.
///
/// Arithmetic saturates: a lease of ten years, or of ten thousand, is a far point and not an overflow.
///
/// ```
/// use leasehold_core::Moment;
/// use std::time::Duration;
///
/// let start = Moment::default();
/// let later = start + Duration::from_secs(60);
/// assert_eq!(later - start, Duration::from_secs(60));
/// assert_eq!(start - later, Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The far end of the timeline, 584 years from its beginning: what never happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// How much is left until `later`; zero once it has passed.
    pub fn until(self, later: Self) -> Duration {
        later - self
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        if self == Self::NEVER {
            return self;
        }
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Moment::default() - Duration::from_secs(1), Moment::default());
        assert_eq!(Moment::default() + Duration::MAX, Moment::NEVER);
        assert_eq!(Moment::NEVER - Duration::from_secs(1), Moment::NEVER);
    }
}

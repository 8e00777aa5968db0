//! When to renew, refresh and replace; how long to overlap; what to do at the end.

use std::time::Duration;

use crate::moment::Moment;

/// A number from the whole range of `u32`, drawn by the caller once per credential life. It only ever makes
/// things earlier, so that a fleet that was started together does not renew together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Jitter(pub u32);

impl Jitter {
    /// This part of the span: from nothing to nearly all of it.
    pub(crate) fn of(self, span: Duration) -> Duration {
        let part = (span.as_nanos() * u128::from(self.0)) >> 32;
        Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }

    /// Another number that follows from this one, for the `n`th attempt of the same life.
    pub(crate) fn step(self, n: u16) -> Self {
        let mixed =
            (u64::from(self.0) ^ (u64::from(n) << 32) ^ 0x9E37_79B9).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Self((mixed ^ (mixed >> 29)) as u32)
    }
}

/// When a lease is renewed, or replaced if it cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// Between these parts of the lease, in thousandths: `Part { from: 500, to: 750 }` is between a half and
    /// three quarters.
    Part {
        /// The earliest point.
        from: u16,
        /// The latest point.
        to: u16,
    },
    /// When less than this is left: a threshold, or a window before the end.
    Below(Duration),
}

impl Renew {
    /// Between a half and three quarters of the lease.
    pub const USUAL: Self = Self::Part { from: 500, to: 750 };
    /// When a quarter is left.
    pub const QUARTER_LEFT: Self = Self::Part { from: 750, to: 750 };
}

/// An interval with jitter: the first point is between `least` and `most` from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// The shortest interval.
    pub least: Duration,
    /// The longest interval.
    pub most: Duration,
}

impl Every {
    /// The interval without jitter.
    pub const fn exactly(span: Duration) -> Self {
        Self { least: span, most: span }
    }

    pub(crate) fn after(self, now: Moment, jitter: Jitter) -> Moment {
        now + (self.most - jitter.of(self.most.saturating_sub(self.least)))
    }
}

/// How one credential is kept. The few words here cover all that the sources ask for:
///
/// | asked for | written |
/// |---|---|
/// | renew between a half and three quarters | [`Renew::USUAL`] |
/// | `renew_threshold`, 2 h | [`Renew::Below`] |
/// | within five minutes of the end | [`Renew::Below`] |
/// | at a quarter left | [`Renew::QUARTER_LEFT`] |
/// | look up every 300 s, due or not | [`Policy::check`] |
/// | re-read every 60 s plus 5 to 10 s | [`Policy::refresh`] |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When a lease is renewed or replaced.
    pub renew: Renew,
    /// What to ask for at a renewal; the lease's first length if none.
    pub increment: Option<Duration>,
    /// How often a static secret is read again; never if none.
    pub refresh: Option<Every>,
    /// How often a token is looked up, whether a renewal is due or not; never if none.
    pub check: Option<Every>,
    /// When it is told that what is held will end: first when less than this is left, then at each halving; never if
    /// none. A life that is no longer than this and will be renewed or replaced is told of at a quarter.
    pub expiring: Option<Duration>,
    /// How long a replaced credential lives on beside its successor before it is revoked.
    pub overlap: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            renew: Renew::USUAL,
            increment: None,
            refresh: Some(Every { least: Duration::from_secs(65), most: Duration::from_secs(70) }),
            check: None,
            expiring: None,
            overlap: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_makes_things_earlier() {
        let every = Every { least: Duration::from_secs(65), most: Duration::from_secs(70) };
        let start = Moment::default();
        for jitter in [0, 1, u32::MAX / 2, u32::MAX] {
            let span = every.after(start, Jitter(jitter)) - start;
            assert!(span > every.least && span <= every.most, "{jitter}: {span:?}");
        }
    }

    #[test]
    fn steps_of_one_jitter_differ() {
        let steps: std::collections::BTreeSet<_> = (0..100).map(|n| Jitter(7).step(n).0).collect();
        assert_eq!(steps.len(), 100);
    }
}

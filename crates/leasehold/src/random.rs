//! The one source of randomness.

use std::time::Duration;

use leasehold_core::policy::Jitter;
use leasehold_core::{Failure, Kind};

/// A number from the whole range. Where the system has no randomness left, a fixed one: it only spreads load.
pub(crate) fn number() -> u32 {
    getrandom::u32().unwrap_or(0x5EED)
}

/// A random part of a span.
pub(crate) fn part(span: Duration) -> Duration {
    span.mul_f64(f64::from(number()) / f64::from(u32::MAX))
}

/// The jitter of one credential life.
pub(crate) fn jitter() -> Jitter {
    Jitter(number())
}

/// Bytes for keys, salts and nonces. Without real randomness there are none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let drawn = getrandom::fill(&mut bytes);
    drawn.map(|()| bytes).map_err(|_| Failure::new(Kind::Broken, "the system has no randomness"))
}

//! The one source of randomness.

use leasehold_core::policy::Jitter;

/// A number from the whole range. Where the system has no randomness left, a fixed one: it only spreads load.
pub(crate) fn number() -> u32 {
    getrandom::u32().unwrap_or(0x5EED)
}

/// The jitter of one credential life.
pub(crate) fn jitter() -> Jitter {
    Jitter(number())
}

//! What happens to the token of an application in Vault, as a stream.

use std::time::Duration;

use leasehold_core::Kind;

/// Something that happened to the token, or to what Vault is asked for it with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshEvent {
    /// Vault has said what the token is: whatever failed before is over.
    Read,
    /// There is another token than before.
    Rotated,
    /// Vault did not say what the token is. What is there stays.
    Failed {
        /// Of which kind the failure is.
        kind: Kind,
        /// What went wrong.
        message: String,
    },
    /// Vault has not said what the token is for longer than
    /// [`stale_after`](super::TokenRefreshSettings::stale_after). Told once, until it does.
    Stale {
        /// For how long.
        silent: Duration,
    },
    /// What Vault is asked with cannot be kept, or is gone, and no other is to be had; the application's token stays.
    Doomed {
        /// When it ends, or why there is no other.
        message: String,
        /// How long it still lives, zero if it is gone; none if that is not known.
        left: Option<Duration>,
    },
    /// What was told as [`Doomed`](Self::Doomed) is not so any more: what Vault is asked with can be kept after all.
    Lifted,
    /// Vault is asked with another login's token than before.
    LoggedIn,
    /// The listener was slow: so many of the oldest events are lost to it.
    Missed(u64),
}

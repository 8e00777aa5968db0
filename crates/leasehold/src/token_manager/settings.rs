//! What a manager is told at the beginning.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::Policy;
use leasehold_core::policy::{Every, Renew};

use super::advice::Spans;
use super::callbacks::Callbacks;
use crate::clock::Clock;

/// How a [`TokenManager`](super::TokenManager) keeps its token, and whom it tells.
///
/// ```
/// use leasehold::token_manager::TokenManagerSettings;
/// use std::time::Duration;
///
/// let mut settings = TokenManagerSettings::new("/var/lib/app/leasehold")
///     .on_renewal(|seconds| println!("{seconds} s more"))
///     .on_failure(|message| eprintln!("{message}"))
///     .on_expiring(|left| eprintln!("only {left:?} left"));
/// settings.check_interval = Duration::from_secs(600);
/// ```
#[derive(Debug)]
pub struct TokenManagerSettings {
    /// How often the token is looked up, whether a renewal is due or not: 300 s. A revocation is noticed within it.
    pub check_interval: Duration,
    /// The token is renewed, or replaced, when less than this is left: 7200 s. At most half of a life is used, and more
    /// than that is [advised](super::Oddity) against.
    pub renew_threshold: Duration,
    /// It is told that the token ends first when less than this is left, and then at each halving: 24 h. For a token
    /// that lives no longer than this it is a quarter of its life, unless it cannot be kept.
    pub expiring_below: Duration,
    /// With no more than this left the manager is not healthy: an hour, as the contract of `/health/vault` has it. To be
    /// set where tokens live for less than four: it has to be less than what is left at a renewal, which is
    /// `renew_threshold` or half of the life, since otherwise the health is bad at the end of each life, with nothing
    /// wrong and no failure. That is [advised](super::Oddity::HealthBeyondThreshold) against.
    pub healthy_above: Duration,
    /// Where it is written down what must be given back if this process dies.
    pub state_dir: PathBuf,
    /// The clock; a [steered](Clock::steered) one in tests.
    pub clock: Clock,
    /// Locked by nobody: what is to be called on another thread need not be shared by threads.
    callbacks: Mutex<Callbacks>,
}

impl TokenManagerSettings {
    /// The usual settings.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            check_interval: Duration::from_secs(300),
            renew_threshold: Duration::from_secs(2 * 3600),
            expiring_below: Duration::from_secs(24 * 3600),
            healthy_above: Duration::from_secs(3600),
            state_dir: state_dir.into(),
            clock: Clock::default(),
            callbacks: Mutex::default(),
        }
    }

    /// Is called when the token was renewed or replaced, with how many seconds it lives then; `u64::MAX` if it never
    /// ends.
    ///
    /// Each callback has a thread of its own, where its calls come in turn. It may panic, block, or call back into the
    /// manager. While it blocks, 64 of its calls wait and further ones are not made.
    pub fn on_renewal(mut self, callback: impl Fn(u64) + Send + 'static) -> Self {
        self.callbacks().on_renewal = Some(Box::new(callback));
        self
    }

    /// Is called when something has failed, once for each kind of failure until the next success; when it is known that
    /// the token cannot be kept, with the date of its end if that is known; and when it has ended.
    pub fn on_failure(mut self, callback: impl Fn(&str) + Send + 'static) -> Self {
        self.callbacks().on_failure = Some(Box::new(move |message: String| callback(&message)));
        self
    }

    /// Is called when little is left of the token's life, with how much.
    pub fn on_expiring(mut self, callback: impl Fn(Duration) + Send + 'static) -> Self {
        self.callbacks().on_expiring = Some(Box::new(callback));
        self
    }

    /// Whom to call.
    pub(super) fn callbacks(&mut self) -> &mut Callbacks {
        self.callbacks.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// What advice is of.
    pub(super) fn spans(&self) -> Spans {
        let Self { check_interval: check, renew_threshold: threshold, healthy_above, .. } = *self;
        Spans { check, threshold, healthy_above }
    }

    /// The same as the engine says it.
    pub(super) fn policy(&self) -> Policy {
        Policy {
            renew: Renew::Below(self.renew_threshold),
            check: Some(Every::exactly(self.check_interval)),
            expiring: Some(self.expiring_below),
            ..Policy::default()
        }
    }
}

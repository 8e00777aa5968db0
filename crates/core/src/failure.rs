//! What went wrong, named by what a caller does about it.

use std::fmt;
use std::time::Duration;

/// The kinds of failure. Matches on it are exhaustive everywhere, so a new kind does not compile until its
/// retry, exit code, hint and log token are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The token lives, and its policies do not allow this.
    Denied,
    /// The token or lease that was used is dead: expired, revoked or used up.
    Expired,
    /// The request or the configuration is wrong and will stay wrong.
    Invalid,
    /// There is no login that could be tried, or it was refused.
    NeedsLogin,
    /// What was asked for is not there.
    NotFound,
    /// The server is sealed or not initialised.
    Sealed,
    /// The server asks us to slow down.
    Throttled,
    /// No answer: refused, reset, timed out, no leader, a gateway in between.
    Unreachable,
    /// An answer that cannot be right: malformed, too large, an internal error.
    Broken,
}

impl Kind {
    /// All kinds, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Denied,
        Self::Expired,
        Self::Invalid,
        Self::NeedsLogin,
        Self::NotFound,
        Self::Sealed,
        Self::Throttled,
        Self::Unreachable,
        Self::Broken,
    ];

    /// The token for logs, audit and metrics.
    pub fn token(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::NeedsLogin => "needs_login",
            Self::NotFound => "not_found",
            Self::Sealed => "sealed",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
        }
    }

    /// What the engine does about it.
    pub fn course(self) -> Course {
        match self {
            Self::Expired => Course::Dead,
            Self::Sealed | Self::Throttled | Self::Unreachable | Self::Broken => Course::Transient,
            Self::Denied => Course::Denied,
            Self::Invalid | Self::NeedsLogin | Self::NotFound => Course::Misconfigured,
        }
    }
}

/// The four paths that a failure can take through the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Course {
    /// The credential is gone: replace it now.
    Dead,
    /// Try again with a growing delay; what is held stays valid meanwhile.
    Transient,
    /// Say so, keep what is held, and look again now and then.
    Denied,
    /// Say so, keep what is held, and look again now and then, since somebody may mend it.
    Misconfigured,
}

/// Whether the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call would fail again.
    Never,
    /// The call was answered or never sent: it may be made again, at the earliest after the delay that the
    /// server asked for.
    After(Option<Duration>),
    /// The call may have been carried out, its answer was lost. Only what is harmless twice may be repeated.
    Ambiguous,
}

/// One failure: its kind, whether to try again, and one sentence that holds no secret.
///
/// ```
/// use leasehold_core::{Failure, Kind, Retry};
///
/// let failure = Failure::new(Kind::Sealed, "the server at https://vault:8200 is sealed").hint("unseal it first");
/// assert_eq!(failure.kind(), Kind::Sealed);
/// assert_eq!(failure.retry(), Retry::After(None));
/// assert_eq!(failure.to_string(), "the server at https://vault:8200 is sealed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Inner {
    kind: Kind,
    retry: Retry,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure of this kind. The message is one sentence, without a final stop, that may name an address, a
    /// mount, a path or a role, and never a value.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let retry = match kind.course() {
            Course::Transient => Retry::After(None),
            Course::Dead | Course::Denied | Course::Misconfigured => Retry::Never,
        };
        Self(Box::new(Inner { kind, retry, message: message.into(), hint: None }))
    }

    /// The same failure with another word on retrying.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// The same failure as one of another kind, for where the circumstances tell more than the answer.
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same failure with a hint: what a person can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same failure, its message told from further out: `context: message`.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the same call may be made again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What a person can do about it, if anything is known.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_distinct() {
        let mut tokens: Vec<_> = Kind::ALL.iter().map(|kind| kind.token()).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), Kind::ALL.len());
    }

    #[test]
    fn only_transient_failures_are_retried_by_default() {
        for kind in Kind::ALL {
            let transient = kind.course() == Course::Transient;
            assert_eq!(Failure::new(kind, "x").retry() != Retry::Never, transient, "{kind:?}");
        }
    }
}

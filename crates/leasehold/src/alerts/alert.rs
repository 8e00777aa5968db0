//! What is told: one alert, and how severe it is.

use std::time::Duration;

/// How much an alert matters; the greater, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it within hours.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Its name: `info`, `warning` or `critical`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// The credential could not be kept, or has ended.
    Failed {
        /// Of which kind the failure is, in a word. Another kind is another failure, and told again.
        cause: &'static str,
    },
    /// The credential ends soon.
    Expiring {
        /// How long it still lives.
        left: Duration,
    },
    /// It was renewed or replaced.
    Renewed {
        /// How long it lives from now on; none if it never ends.
        ttl: Option<Duration>,
    },
    /// What had failed, or was about to end, is well again. Who was not told of the trouble is not told of its end.
    Recovered,
    /// Nothing: somebody tries whether alerts arrive.
    Test,
}

impl Matter {
    /// Its name, as it goes over the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed",
            Self::Expiring { .. } => "expiring",
            Self::Renewed { .. } => "renewed",
            Self::Recovered => "recovered",
            Self::Test => "test",
        }
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        match self {
            Self::Failed { .. } => Severity::Critical,
            Self::Expiring { .. } => Severity::Warning,
            Self::Renewed { .. } | Self::Recovered | Self::Test => Severity::Info,
        }
    }

    /// Whether something is wrong, until it has recovered.
    pub(super) fn is_trouble(self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Expiring { .. })
    }

    /// Whether the other is not true any more once this is.
    pub(super) fn undoes(self, other: Self) -> bool {
        self == Self::Recovered && other.is_trouble() || self.is_trouble() && other == Self::Recovered
    }

    /// Of what waits, the greatest goes first. The end of a trouble is as urgent as any trouble.
    pub(super) fn rank(self) -> Severity {
        if self == Self::Recovered { Severity::Critical } else { self.severity() }
    }

    /// How long the credential lives, as far as that is told.
    pub(super) fn life(self) -> Option<Duration> {
        match self {
            Self::Expiring { left } => Some(left),
            Self::Renewed { ttl } => ttl,
            Self::Failed { .. } | Self::Recovered | Self::Test => None,
        }
    }

    /// Whether both say the same, but for numbers.
    pub(super) fn is_like(self, other: Self) -> bool {
        let cause = |matter| match matter {
            Self::Failed { cause } => cause,
            _ => "",
        };
        self.name() == other.name() && cause(self) == cause(other)
    }
}

/// Something to be told of a credential. It goes to strangers, so nothing of it may be a secret: the name says which
/// credential is meant, not what it is.
///
/// ```
/// use leasehold::alerts::{Alert, Matter, Severity};
///
/// let alert = Alert::new("database password", Matter::Failed { cause: "denied" }, "its role is gone");
/// assert_eq!(alert.matter.severity(), Severity::Critical);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which credential. Alerts of the same name are about the same trouble.
    pub credential: String,
    /// What about it.
    pub matter: Matter,
    /// What happened, in a sentence.
    pub message: String,
}

impl Alert {
    /// An alert about a credential.
    pub fn new(credential: impl Into<String>, matter: Matter, message: impl Into<String>) -> Self {
        Self { credential: credential.into(), matter, message: message.into() }
    }

    /// Whether it is about the same thing as another.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.credential == other.credential && self.matter.is_like(other.matter)
    }
}

//! Exit codes.

use std::process::ExitCode;

use leasehold::core::Kind;

/// `leasehold doctor` found nothing worse than warnings.
pub(crate) const WARNINGS: u8 = 7;
/// `leasehold doctor` found failures.
pub(crate) const FAILURES: u8 = 8;
/// `leasehold run` itself failed.
pub(crate) const OWN: u8 = 125;
/// The command cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// The command is not found.
pub(crate) const NOT_FOUND: u8 = 127;

/// How a verb ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const OK: Self = Self(0);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The exit code of a verb that failed, other than `run`: by what the caller has to do about it.
impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        Self(match kind {
            Kind::Broken => 1,
            Kind::Invalid => 2,
            Kind::NeedsLogin | Kind::Expired => 3,
            Kind::Denied => 4,
            Kind::NotFound => 5,
            Kind::Sealed | Kind::Throttled | Kind::Unreachable => 6,
        })
    }
}

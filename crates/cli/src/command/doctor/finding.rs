//! What a check found.

use leasehold::core::Failure;
use serde_json::{Value, json};

/// Why somebody is not asked.
pub(super) const OFFLINE: &str = "nobody is asked (--offline)";

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// Nobody looked.
    Skipped,
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// It does not work.
    Failure,
}

impl Status {
    /// All of them, the good ones first.
    pub(super) const ALL: [Self; 4] = [Self::Ok, Self::Skipped, Self::Warning, Self::Failure];

    /// As people and machines read it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }

    /// The number of its colour on a terminal.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Skipped => "2",
            Self::Ok => "32",
            Self::Warning => "33",
            Self::Failure => "31",
        }
    }
}

/// What one check found. Nothing of it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// `NAME`, or `NAME:PROVIDER`.
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// Whether it was mended just now.
    pub(super) is_mended: bool,
    /// It keeps others from being looked at, so that it is told, be it asked for or not.
    pub(super) is_in_the_way: bool,
}

impl Finding {
    pub(super) fn new(id: impl Into<String>, status: Status, message: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status,
            message: message.into(),
            hint: None,
            is_mended: false,
            is_in_the_way: false,
        }
    }

    pub(super) fn ok(id: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(id, Status::Ok, message)
    }

    pub(super) fn warning(id: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(id, Status::Warning, message)
    }

    pub(super) fn skipped(id: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(id, Status::Skipped, message)
    }

    /// What went wrong, with its advice.
    pub(super) fn of(id: impl Into<String>, status: Status, failure: &Failure) -> Self {
        let hint = failure.advice().map(ToOwned::to_owned);
        Self { hint, ..Self::new(id, status, failure.message()) }
    }

    pub(super) fn mended(id: impl Into<String>, message: impl Into<String>) -> Self {
        Self { is_mended: true, ..Self::ok(id, message) }
    }

    pub(super) fn in_the_way(self) -> Self {
        Self { is_in_the_way: true, ..self }
    }

    /// With what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same of each of these.
    pub(super) fn all_skipped(ids: &[&str], message: &str) -> Vec<Self> {
        ids.iter().map(|id| Self::skipped(*id, message)).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "status": self.status.word(), "message": self.message, "hint": self.hint,
            "mended": self.is_mended,
        })
    }
}

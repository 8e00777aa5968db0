//! A failure in the making: its kind, when to ask again, and what is said to a person.

use leasehold_core::{Failure, Kind, Retry};

use super::words::Words;
use crate::call::{Call, Method};
use crate::reply::Reply;

/// When a call may be made again.
#[derive(Clone, Copy)]
pub(super) enum Again {
    /// As the kind of failure says.
    ByKind,
    /// The call may have been carried out.
    Ambiguous,
}

/// What a failure is made of.
pub(super) struct Verdict {
    kind: Kind,
    again: Again,
    says: String,
    hint: &'static str,
}

impl Verdict {
    pub(super) fn new(kind: Kind, again: Again, says: &str) -> Self {
        Self { kind, again, says: says.to_owned(), hint: "" }
    }

    pub(super) fn advising(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Adds the server's own words, unless they might repeat a secret.
    pub(super) fn quoting(mut self, words: &Words, call: &Call) -> Self {
        let quote = words.quote();
        if !quote.is_empty() && !call.has_secret() {
            self.says = format!("{}, saying \"{quote}\"", self.says);
        }
        self
    }

    pub(super) fn into_failure(self, reply: &Reply, call: &Call) -> Failure {
        let status =
            if self.kind == Kind::Broken { format!(", status {}", reply.status) } else { String::new() };
        let failure = Failure::new(self.kind, format!("{}{}{status}", self.says, place(call)));
        let failure = match (self.again, failure.retry()) {
            (Again::Ambiguous, _) => failure.with_retry(Retry::Ambiguous),
            (Again::ByKind, Retry::After(_)) => failure.with_retry(Retry::After(reply.retry_after)),
            (Again::ByKind, _) => failure,
        };
        if self.hint.is_empty() { failure } else { failure.hint(self.hint) }
    }
}

/// ` (reading secret/data/db)`.
pub(super) fn place(call: &Call) -> String {
    let doing = match call.method {
        Method::Get => "reading",
        Method::List => "listing",
        Method::Post | Method::Put => "writing",
        Method::Patch => "patching",
        Method::Delete => "deleting",
    };
    format!(" ({doing} {})", call.plain_path())
}

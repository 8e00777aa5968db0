//! Why a request is refused.

use std::fmt;

/// Why a request is refused: for the audit, and never for the peer, who is told [`ANSWER`](Self::ANSWER).
///
/// It names headers and holds nothing that the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This header is not there.
    MissingHeader(&'static str),
    /// This header is there more than once.
    DoubledHeader(&'static str),
    /// This header is not written as the contract has it.
    MalformedHeader(&'static str),
    /// The request's time is too far from ours, or was while its body came.
    Skew,
    /// There is no token to verify with.
    NoToken,
    /// No token that is good now has made this signature of this request.
    Signature,
    /// A request with this id was accepted before.
    Replay,
    /// More requests of one time were accepted than can be remembered.
    Full,
}

impl Refusal {
    /// What the peer is told, whatever the reason: the body of an answer with status 401.
    pub const ANSWER: &'static str = r#"{"detail":"Unauthorized"}"#;
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingHeader(name) => write!(f, "header {name} is missing"),
            Self::DoubledHeader(name) => write!(f, "header {name} is there more than once"),
            Self::MalformedHeader(name) => write!(f, "header {name} is malformed"),
            Self::Skew => f.write_str("its time is too far from ours"),
            Self::NoToken => f.write_str("there is no token to verify with"),
            Self::Signature => f.write_str("wrong signature"),
            Self::Replay => f.write_str("its id was used before"),
            Self::Full => f.write_str("the memory of ids is full"),
        }
    }
}

impl std::error::Error for Refusal {}

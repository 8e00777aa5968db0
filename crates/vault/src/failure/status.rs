//! What a status means without a text that anybody knows.

use leasehold_core::Kind;

use super::verdict::{Again, Verdict};
use super::words::Words;

/// What the status alone says, and whether the body is the server's.
pub(super) fn verdict(status: u16, words: &Words) -> Verdict {
    use Again::{Ambiguous, ByKind};
    let is_foreign = !words.is_json && !matches!(status, 400 | 413 | 414 | 431);
    let (kind, again, says) = match status {
        300..=399 => (Kind::Unreachable, ByKind, "the server points to another address"),
        408 | 425 => (Kind::Unreachable, ByKind, "the server took too long"),
        412 => (Kind::Throttled, ByKind, "this node has not caught up yet"),
        429 => (Kind::Throttled, ByKind, "the server asks to slow down"),
        400..=471 if is_foreign => (Kind::Unreachable, ByKind, "something in front of the server answered"),
        401 | 403 => (Kind::Denied, ByKind, "the server refuses it"),
        404 => (Kind::NotFound, ByKind, "there is nothing"),
        405 => (Kind::Invalid, ByKind, "this cannot be done at this path"),
        413 | 414 | 431 => (Kind::Invalid, ByKind, "the request is too large"),
        415 => (Kind::Invalid, ByKind, "the server does not take this kind of body"),
        472 => (Kind::Unreachable, ByKind, "this cluster is a disaster-recovery secondary"),
        473 => (Kind::Unreachable, ByKind, "this node is a performance standby"),
        400..=499 => (Kind::Invalid, ByKind, "the server refuses the request as wrong"),
        501 => (Kind::Sealed, ByKind, "the server is not initialised"),
        502..=504 => (Kind::Unreachable, Ambiguous, "a gateway got no answer from the server"),
        500..=599 => (Kind::Broken, Ambiguous, "the server failed"),
        _ => (Kind::Broken, Ambiguous, "the server answered with a status that means nothing"),
    };
    Verdict::new(kind, again, says)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Call;
    use crate::reply::Reply;

    #[test]
    fn a_reply_without_words_is_told_by_its_status() {
        let check = |status, kind, says: &str| {
            let reply = Reply::new(status, None, br#"{"errors":[]}"#.to_vec());
            let failure = verdict(status, &Words::of(&reply)).into_failure(&reply, &Call::get("a"));
            assert_eq!(failure.kind(), kind, "{status} {failure}");
            assert!(failure.message().starts_with(says), "{status} {failure}");
        };
        check(307, Kind::Unreachable, "the server points to another address");
        check(400, Kind::Invalid, "the server refuses the request as wrong");
        check(403, Kind::Denied, "the server refuses it");
        check(405, Kind::Invalid, "this cannot be done at this path");
        check(408, Kind::Unreachable, "the server took too long");
        check(413, Kind::Invalid, "the request is too large");
        check(415, Kind::Invalid, "the server does not take this kind of body");
        check(425, Kind::Unreachable, "the server took too long");
        check(429, Kind::Throttled, "the server asks to slow down");
        check(500, Kind::Broken, "the server failed");
        check(502, Kind::Unreachable, "a gateway got no answer from the server");
        check(999, Kind::Broken, "the server answered with a status that means nothing");
    }
}

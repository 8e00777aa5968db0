//! HMAC-SHA256 of a request, made piece by piece with a token for its key.

use std::fmt::Display;

use hmac::{Hmac, KeyInit, Mac as _};
use http::Request;
use leasehold_core::Secret;
use sha2::Sha256;

use crate::token_cache::is_blank;

use super::Covering;
use super::header::{Claim, Tag};

/// The first line of what [`Covering::Everything`] signs, so that no other use of the token makes the same bytes.
const EVERYTHING: &str = "leasehold-request-2";

/// A signature in the making. Its state is wiped when it goes.
#[derive(Clone, Debug)]
pub(super) struct Mac(Hmac<Sha256>);

impl Mac {
    /// With the head in it already; the body comes next. None from a blank token: everybody has that key.
    pub(super) fn new(token: &Secret, head: &str) -> Option<Self> {
        let key = token.expose().as_bytes();
        let mut mac = Self(Hmac::new_from_slice(key).ok().filter(|_| !is_blank(token))?);
        mac.update(head.as_bytes());
        Some(mac)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn tag(self) -> Tag {
        self.0.finalize().into_bytes().into()
    }
}

/// What is signed before the body. No part holds a line feed, so that it can be read in one way alone.
pub(super) fn head<B>(covering: Covering, claim: &Claim, request: &Request<B>) -> String {
    if covering == Covering::Body {
        return String::new();
    }
    let Claim { agent, timestamp, request_id } = claim;
    // As it is sent: `http://peer?wait=30` asks for `/?wait=30`.
    let path = request.uri().path_and_query().map_or(&"/" as &dyn Display, |path| path);
    format!("{EVERYTHING}\n{agent}\n{timestamp}\n{request_id}\n{}\n{path}\n", request.method())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_token_makes_no_key() {
        assert!(["", " ", "\n"].iter().all(|blank| Mac::new(&Secret::new(*blank), "").is_none()));
    }
}

//! Signing requests.

use std::fmt;

use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::{Builder, Uuid};

use crate::random;
use crate::token_cache::TokenCache;

use super::Covering;
use super::header::{self, Claim};
use super::mac::{Mac, head};

/// Signs requests with the present token of a cache.
#[derive(Clone, Debug)]
pub struct Signer {
    tokens: TokenCache,
    agent: String,
    covering: Covering,
}

/// Why a request could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// There is no token yet.
    NoToken,
    /// The system has no randomness, so there is no id.
    NoRandomness,
}

impl Signer {
    /// None if this cannot be an agent's id: 1 to 128 characters of visible ASCII.
    pub fn new(tokens: TokenCache, agent: &str, covering: Covering) -> Option<Self> {
        Some(Self { tokens, agent: header::agent(agent)?, covering })
    }

    pub(super) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    /// Signs a request whose body is at hand: puts the four headers in, over those of an earlier attempt. Returns the
    /// generation of the token, for [`Attempt`](super::Attempt).
    pub fn sign<B: AsRef<[u8]>>(&self, request: &mut Request<B>) -> Result<u32, Unsigned> {
        let mut signing = self.open(request)?;
        signing.update(request.body().as_ref());
        let signed = signing.finish();
        signed.insert_into(request.headers_mut());
        Ok(signed.generation)
    }

    /// Begins to sign a request with an id of its own at the present time. Its body is given in pieces.
    pub fn open<B>(&self, request: &Request<B>) -> Result<Signing, Unsigned> {
        self.open_at(request, self.tokens.clock().wall_seconds())
    }

    /// As [`open`](Self::open), at that time, in seconds since 1970.
    pub fn open_at<B>(&self, request: &Request<B>, now: u64) -> Result<Signing, Unsigned> {
        let id = random::bytes().map_err(|_| Unsigned::NoRandomness)?;
        self.open_as(request, now, Builder::from_random_bytes(id).into_uuid())
    }

    fn open_as<B>(&self, request: &Request<B>, now: u64, request_id: Uuid) -> Result<Signing, Unsigned> {
        self.tokens.forget_once_over();
        let token = self.tokens.current().ok_or(Unsigned::NoToken)?;
        let claim = Claim { agent: self.agent.clone(), timestamp: now, request_id };
        let mac = Mac::new(token.secret(), &head(self.covering, &claim, request)).ok_or(Unsigned::NoToken)?;
        Ok(Signing { claim, mac, covering: self.covering, generation: token.generation() })
    }
}

/// A request that is being signed.
#[derive(Debug)]
#[must_use = "only `finish` gives a signature"]
pub struct Signing {
    claim: Claim,
    mac: Mac,
    covering: Covering,
    generation: u32,
}

impl Signing {
    /// The next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.mac.update(piece);
    }

    /// The body is whole.
    pub fn finish(self) -> Signed {
        let headers = self.claim.headers(self.covering, &self.mac.tag());
        Signed { headers, generation: self.generation }
    }
}

/// The headers of a signed request.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The four headers, with their names.
    pub headers: [(HeaderName, HeaderValue); 4],
    /// Which token they were made with.
    pub generation: u32,
}

impl Signed {
    /// Puts them in, over any of the same name.
    pub fn insert_into(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "there is no token to sign with",
            Self::NoRandomness => "the system has no randomness",
        })
    }
}

impl std::error::Error for Unsigned {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use base64ct::{Base64, Encoding};
    use leasehold_core::Secret;
    use serde_json::Value;
    use std::time::Duration;

    const VECTORS: &str = include_str!("../../../testkit/vectors/signing.json");

    /// What Python made of the same request with the same time and id.
    #[test]
    fn each_vector_is_signed_to_the_letter() {
        let check = |vector: &Value, covering, expect: &str| {
            let text = |name: &str| vector[name].as_str().unwrap();
            let tokens = TokenCache::new(Clock::default(), Duration::ZERO);
            tokens.rotate(Secret::new(text("token")));
            let signer = Signer::new(tokens, text("agent"), covering).unwrap();
            let request = Request::builder().method(text("method")).uri(text("path")).body(()).unwrap();
            let (now, id) = (vector["timestamp"].as_u64().unwrap(), text("request_id").parse().unwrap());
            let mut signing = signer.open_as(&request, now, id).unwrap();
            let mut body = vec![0; text("body").len()];
            signing.update(Base64::decode(text("body"), &mut body).unwrap());
            let headers = signing.finish().headers.map(|(_, value)| value.to_str().unwrap().to_owned());
            let [agent, time, id, signature] =
                [text("agent"), &now.to_string(), text("request_id"), text(expect)];
            assert_eq!(headers, [agent, time, id, signature], "{vector}");
        };
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        assert!(vectors.len() >= 12);
        for vector in &vectors {
            check(vector, Covering::Body, "body_signature");
            check(vector, Covering::Everything, "everything_signature");
        }
    }
}

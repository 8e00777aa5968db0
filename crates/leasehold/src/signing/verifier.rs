//! Verifying signed requests.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::Request;
use subtle::{Choice, ConstantTimeEq};

use crate::clock::wall_seconds;
use crate::token_cache::TokenCache;

use super::audit::Audit;
use super::header::{Claim, Tag};
use super::mac::{Mac, head};
use super::replay::{self, Replays};
use super::{Covering, Refusal};

/// How many ids are remembered unless it is said otherwise.
const IDS: usize = 1 << 20;

/// Verifies requests against the tokens of a cache, and remembers which it has accepted.
///
/// Each refusal is counted, and told to the `audit` target of tracing: `Request refused` with `timestamp`, `reason`, and
/// the `agent_id` and `request_id` that the request claims. Of one second ten are told so, and then `More requests
/// refused` with their `count`, once the second is over and another request comes, or the verifier goes.
#[derive(Debug)]
pub struct Verifier {
    tokens: TokenCache,
    covering: Covering,
    replays: Mutex<Replays>,
    audit: Audit,
}

/// What is known of a request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Who sent it. With [`Covering::Body`] that is what they say: the token proves that they are one of those who have
    /// it, and not which.
    pub agent: String,
    /// Its id, in lower case.
    pub request_id: String,
    /// When it was signed, in seconds since 1970.
    pub timestamp: u64,
    /// Whether it was signed with the token before the present one.
    pub by_previous: bool,
}

impl Verifier {
    /// Accepts this covering and no other. Remembers 1,048,576 ids.
    pub fn new(tokens: TokenCache, covering: Covering) -> Self {
        Self { tokens, covering, replays: Mutex::new(Replays::new(IDS)), audit: Audit::default() }
    }

    /// Remembers so many ids, and forgets those of before: 150 for each request a second that the service is to bear.
    /// Each takes at most 60 bytes.
    #[must_use]
    pub fn remembering(self, ids: usize) -> Self {
        Self { replays: Mutex::new(Replays::new(ids)), ..self }
    }

    /// How many requests were refused so far: `hmac_verification_failures_total`.
    pub fn failures(&self) -> u64 {
        self.audit.failures()
    }

    /// Judges the headers and takes the tokens to verify with; the body is then given in pieces.
    pub fn open<B>(&self, request: &Request<B>) -> Result<Verification<'_>, Refusal> {
        self.open_at(request, wall_seconds())
    }

    /// As [`open`](Self::open), at that time, in seconds since 1970.
    pub fn open_at<B>(&self, request: &Request<B>, now: u64) -> Result<Verification<'_>, Refusal> {
        let refused = |claim, refusal: &_| self.audit.refused(claim, *refusal, now);
        let read = Claim::read(request.headers(), self.covering);
        let (claim, tag) = read.inspect_err(|refusal| refused(None, refusal))?;
        let macs = self.macs(&claim, request, now);
        let (current, previous) = macs.inspect_err(|refusal| refused(Some(&claim), refusal))?;
        Ok(Verification { verifier: self, claim, tag, current, previous })
    }

    /// One for each token that is good now.
    fn macs<B>(&self, claim: &Claim, request: &Request<B>, now: u64) -> Result<(Mac, Option<Mac>), Refusal> {
        if !replay::is_fresh(claim.timestamp, now) {
            return Err(Refusal::Skew);
        }
        let (current, previous) = self.tokens.both().ok_or(Refusal::NoToken)?;
        let head = head(self.covering, claim, request);
        let mac = |token| Mac::new(token, &head);
        Ok((mac(current.secret()).ok_or(Refusal::NoToken)?, previous.as_ref().and_then(mac)))
    }

    /// Nobody comes here without a good signature.
    fn admit(&self, claim: &Claim, now: u64) -> Result<(), Refusal> {
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        replays.admit(claim.request_id, claim.timestamp, now)
    }
}

/// A request that is being verified.
///
/// It keeps the tokens that were good when its headers came, so that a rotation while the body comes changes nothing.
#[must_use = "only `finish` tells whether the request is good"]
pub struct Verification<'v> {
    verifier: &'v Verifier,
    claim: Claim,
    tag: Tag,
    current: Mac,
    previous: Option<Mac>,
}

impl fmt::Debug for Verification<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verification({:?})", self.claim)
    }
}

impl Verification<'_> {
    /// The next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.current.update(piece);
        if let Some(previous) = &mut self.previous {
            previous.update(piece);
        }
    }

    /// The body is whole. Of the pieces that were given, nothing may be used before this has said yes.
    ///
    /// The body has to come while the request's time is good: a slow one is refused for its skew.
    pub fn finish(self) -> Result<Verified, Refusal> {
        self.finish_at(wall_seconds())
    }

    /// As [`finish`](Self::finish), at that time, in seconds since 1970.
    pub fn finish_at(self, now: u64) -> Result<Verified, Refusal> {
        let Self { verifier, claim, tag, current, previous } = self;
        // Both are compared whatever comes of the first.
        let is_of = |mac: Mac| mac.tag().ct_eq(&tag);
        let (by_current, by_previous) = (is_of(current), previous.map_or(Choice::from(0), is_of));
        let verdict = if bool::from(by_current | by_previous) {
            verifier.admit(&claim, now)
        } else {
            Err(Refusal::Signature)
        };
        verdict.inspect_err(|refusal| verifier.audit.refused(Some(&claim), *refusal, now))?;
        verifier.audit.settle(now);
        Ok(Verified {
            agent: claim.agent,
            request_id: claim.request_id.to_string(),
            timestamp: claim.timestamp,
            by_previous: !bool::from(by_current),
        })
    }
}

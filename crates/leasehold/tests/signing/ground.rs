//! What the tests stand on: a token, its peers, and requests in parts that can be spoilt.

use std::time::Duration;

use http::Request;
use leasehold::clock::{Clock, Steering};
use leasehold::core::Secret;
use leasehold::signing::{Covering, Refusal, Signer, Verified, Verifier};
use leasehold::token_cache::TokenCache;

pub(crate) const OVERLAP: Duration = Duration::from_secs(30);
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const COVERINGS: [Covering; 2] = [Covering::Body, Covering::Everything];

/// A signer and a verifier with one cache between them.
pub(crate) struct Ground {
    pub(crate) tokens: TokenCache,
    pub(crate) signer: Signer,
    pub(crate) verifier: Verifier,
    pub(crate) steering: Steering,
}

impl Ground {
    pub(crate) fn new(covering: Covering) -> Self {
        let (clock, steering) = Clock::steered();
        let tokens = TokenCache::new(clock, OVERLAP);
        tokens.rotate(Secret::new("first"));
        let signer = Signer::new(tokens.clone(), "agent-1", covering).unwrap();
        Self { verifier: Verifier::new(tokens.clone(), covering), tokens, signer, steering }
    }

    pub(crate) fn rotate(&self, token: &str) {
        assert!(self.tokens.rotate(Secret::new(token)));
    }

    /// A signed request of that time.
    pub(crate) fn signed_at(&self, body: &'static str, now: u64) -> Request<&'static str> {
        let mut request = Request::post("/commands?wait=1").body(body).unwrap();
        let mut signing = self.signer.open_at(&request, now).unwrap();
        signing.update(body.as_bytes());
        signing.finish().insert_into(request.headers_mut());
        request
    }

    pub(crate) fn signed(&self) -> Request<&'static str> {
        self.signed_at("reboot", NOW)
    }

    pub(crate) fn verify(&self, request: &Request<&'static str>) -> Result<Verified, Refusal> {
        self.verify_at(request, NOW)
    }

    pub(crate) fn verify_at(&self, request: &Request<&'static str>, now: u64) -> Result<Verified, Refusal> {
        let mut verification = self.verifier.open_at(request, now)?;
        verification.update(request.body().as_bytes());
        verification.finish_at(now)
    }
}

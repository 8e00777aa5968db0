//! Verifying signed requests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use subtle::ConstantTimeEq;

use crate::token_cache::{Token, TokenCache};

use super::audit::Audit;
use super::header::{Claim, Tag};
use super::mac::{Mac, head};
use super::replay::{self, Replays, SKEW_SECONDS};
use super::source::{Refetch, TokenSource};
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
    refetch: Option<Refetch>,
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
        let (replays, audit) = (Mutex::new(Replays::new(IDS)), Audit::default());
        Self { tokens, covering, replays, audit, refetch: None }
    }

    /// Has the tokens read anew when a signature is of none of them, so that it does no harm if a peer has a new token
    /// first. The layer does it for each request; [`Verification::finish_or_refresh`] does it for
    /// those who verify themselves.
    ///
    /// Of all requests together there is one reading at a time, and at most one begins in 10 s, whoever sends what. A
    /// request waits for it for at most 5 s. Those that come in the rest of the 10 s are judged by what was read: while
    /// somebody sends wrong signatures all the time, a peer with a new token may be refused so long.
    #[must_use]
    pub fn refreshed_by(self, source: Arc<impl TokenSource + 'static>) -> Self {
        Self { refetch: Some(Refetch::new(source)), ..self }
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
        self.open_at(request, self.wall_seconds())
    }

    /// As [`open`](Self::open), at that time, in seconds since 1970.
    pub fn open_at<B>(&self, request: &Request<B>, now: u64) -> Result<Verification<'_>, Refusal> {
        let refused = |claim, refusal: &_| self.audit.refused(claim, *refusal, now);
        let read = Claim::read(request.headers(), self.covering);
        let (claim, tag) = read.inspect_err(|refusal| refused(None, refusal))?;
        let head = head(self.covering, &claim, request);
        let macs = if replay::is_fresh(claim.timestamp, now) {
            self.macs(&head).ok_or(Refusal::NoToken)
        } else {
            Err(Refusal::Skew)
        };
        let macs = macs.inspect_err(|refusal| refused(Some(&claim), refusal))?;
        Ok(Verification { verifier: self, claim, head, tag, macs })
    }

    /// One for each token that is good now.
    fn macs(&self, head: &str) -> Option<Macs> {
        let (current, previous) = self.tokens.both()?;
        let keyed = |token: &Token| Mac::new(token.secret(), head).map(|mac| (token.generation(), mac));
        Some(Macs { current: keyed(&current)?, previous: previous.as_deref().and_then(keyed) })
    }

    /// Whether there is a later token than that, which is found out if it is not known.
    async fn has_later(&self, generation: u32) -> bool {
        let has_later = || self.tokens.current().is_some_and(|token| token.generation() > generation);
        if let (false, Some(refetch)) = (has_later(), &self.refetch) {
            refetch.read(self.tokens.clock().now()).await;
        }
        has_later()
    }

    /// Nobody comes here without a good signature.
    fn admit(&self, claim: &Claim, now: u64) -> Result<(), Refusal> {
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        replays.admit(claim.request_id, claim.timestamp, now, self.tokens.clock().now())
    }

    fn wall_seconds(&self) -> u64 {
        self.tokens.clock().wall_seconds()
    }
}

/// Signatures in the making, each with the generation of its token.
struct Macs {
    current: (u32, Mac),
    previous: Option<(u32, Mac)>,
}

impl Macs {
    fn update(&mut self, piece: &[u8]) {
        self.current.1.update(piece);
        if let Some((_, previous)) = &mut self.previous {
            previous.update(piece);
        }
    }

    /// The generation of the token that made this signature. Both are compared whatever comes of the first.
    fn made(&self, tag: &Tag) -> Option<u32> {
        let is_of = |mac: &Mac| bool::from(mac.clone().tag().ct_eq(tag));
        let by_current = is_of(&self.current.1).then_some(self.current.0);
        let by_previous =
            self.previous.as_ref().and_then(|(generation, mac)| is_of(mac).then_some(*generation));
        by_current.or(by_previous)
    }
}

/// A request that is being verified.
///
/// It goes by the tokens that were good when its headers came, and the one that signed it has to be good still when its
/// body is whole: the present one, or the one before it within the overlap.
#[must_use = "only `finish` tells whether the request is good"]
pub struct Verification<'v> {
    verifier: &'v Verifier,
    claim: Claim,
    /// What is signed before the body.
    head: String,
    tag: Tag,
    macs: Macs,
}

impl fmt::Debug for Verification<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verification({:?})", self.claim)
    }
}

impl Verification<'_> {
    /// The next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.macs.update(piece);
    }

    /// For how long its time is good. A body that takes longer need not be received: it is [late](Self::late).
    pub fn time_left(&self) -> Duration {
        let end = self.claim.timestamp.saturating_add(SKEW_SECONDS + 1);
        Duration::from_secs(end.saturating_sub(self.verifier.wall_seconds()))
    }

    /// The request's time was over before its body was whole: it is refused, and counted.
    pub fn late(self) -> Refusal {
        let Self { verifier, claim, .. } = self;
        verifier.audit.refused(Some(&claim), Refusal::Skew, verifier.wall_seconds());
        Refusal::Skew
    }

    /// The body is whole. Of the pieces that were given, nothing may be used before this has said yes.
    ///
    /// The body has to come while the request's time is good: a slow one is refused for its skew.
    pub fn finish(self) -> Result<Verified, Refusal> {
        let now = self.verifier.wall_seconds();
        self.finish_at(now)
    }

    /// As [`finish`](Self::finish), for who has kept the body, which is given again: if the signature is of no token that
    /// is known, the tokens are [read anew](Verifier::refreshed_by), within a runtime of tokio, and it is judged by those
    /// of then. Only what is refused in the end is counted.
    pub async fn finish_or_refresh<P: AsRef<[u8]>>(
        mut self,
        body: impl IntoIterator<Item = P> + Clone,
    ) -> Result<Verified, Refusal> {
        while self.by_previous().is_none() && self.verifier.has_later(self.macs.current.0).await {
            let Some(macs) = self.verifier.macs(&self.head) else { break };
            self.macs = macs;
            body.clone().into_iter().for_each(|piece| self.macs.update(piece.as_ref()));
        }
        self.finish()
    }

    /// Whether it was signed with the token before the present one; none if it was with none that is good now.
    fn by_previous(&self) -> Option<bool> {
        let (generation, (present, previous)) = self.macs.made(&self.tag).zip(self.verifier.tokens.both())?;
        let is_it = |token: &Token| token.generation() == generation;
        if is_it(&present) { Some(false) } else { previous.filter(|token| is_it(token)).map(|_| true) }
    }

    /// As [`finish`](Self::finish), at that time, in seconds since 1970.
    pub fn finish_at(self, now: u64) -> Result<Verified, Refusal> {
        let by_previous = self.by_previous().ok_or(Refusal::Signature);
        let Self { verifier, claim, .. } = self;
        let verdict = by_previous.and_then(|by_previous| verifier.admit(&claim, now).map(|()| by_previous));
        let by_previous =
            verdict.inspect_err(|refusal| verifier.audit.refused(Some(&claim), *refusal, now))?;
        verifier.audit.settle(now);
        Ok(Verified {
            agent: claim.agent,
            request_id: claim.request_id.to_string(),
            timestamp: claim.timestamp,
            by_previous,
        })
    }
}

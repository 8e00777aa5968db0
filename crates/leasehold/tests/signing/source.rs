//! A verifier that has its tokens read anew when a signature is of none of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use http::Request;
use leasehold::clock::{Clock, Steering};
use leasehold::core::Secret;
use leasehold::signing::{Covering, Refusal, Signer, TokenSource, Verified, Verifier};
use leasehold::token_cache::TokenCache;
use tokio::sync::Semaphore;

use crate::ground::{COVERINGS, OVERLAP};

/// Has the newest token, and hands it out when it is let.
struct Source {
    tokens: TokenCache,
    newest: &'static str,
    reads: AtomicUsize,
    leave: Semaphore,
}

impl TokenSource for Source {
    async fn refresh(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.leave.acquire().await.unwrap().forget();
        assert_ne!(self.newest, "panic");
        self.tokens.rotate(Secret::new(self.newest));
    }
}

/// A verifier that has the token `first`, and a peer of it that has `second` already.
struct Sides {
    verifier: Verifier,
    source: Arc<Source>,
    signer: Signer,
    steering: Steering,
}

impl Sides {
    fn new(covering: Covering, newest: &'static str) -> Self {
        let (clock, steering) = Clock::steered();
        let cache = |token| {
            let tokens = TokenCache::new(clock.clone(), OVERLAP);
            tokens.rotate(Secret::new(token));
            tokens
        };
        let (tokens, peers) = (cache("first"), cache("second"));
        let (reads, leave) = (AtomicUsize::new(0), Semaphore::new(0));
        let source = Arc::new(Source { tokens: tokens.clone(), newest, reads, leave });
        let verifier = Verifier::new(tokens, covering).refreshed_by(Arc::clone(&source));
        Self { verifier, source, signer: Signer::new(peers, "agent-1", covering).unwrap(), steering }
    }

    /// A request of the peer, and what comes of it.
    async fn send(&self) -> Result<Verified, Refusal> {
        let pieces = ["re", "boot"];
        let mut request = Request::post("/").body(pieces.concat()).unwrap();
        self.signer.sign(&mut request).unwrap();
        let mut verification = self.verifier.open(&request).unwrap();
        pieces.iter().for_each(|piece| verification.update(piece.as_bytes()));
        verification.finish_or_refresh(pieces).await
    }

    fn reads(&self) -> usize {
        self.source.reads.load(Ordering::Relaxed)
    }

    /// Lets the source go on once it has been asked.
    async fn let_it(&self, expect: usize) {
        while self.reads() < expect {
            tokio::task::yield_now().await;
        }
        self.source.leave.add_permits(1);
    }
}

#[tokio::test]
async fn a_peer_with_a_new_token_waits_and_is_not_refused() {
    for covering in COVERINGS {
        let sides = Sides::new(covering, "second");
        let (all, ()) = join(join_all((0..64).map(|_| sides.send())), sides.let_it(1)).await;
        assert!(
            all.iter().all(|verdict| verdict.as_ref().is_ok_and(|verified| !verified.by_previous)),
            "{all:?}"
        );
        assert_eq!((sides.reads(), sides.verifier.failures()), (1, 0));
    }
}

#[tokio::test]
async fn a_flood_of_bad_signatures_is_no_flood_of_readings() {
    let sides = Sides::new(Covering::Body, "first");
    let refused = Err(Refusal::Signature);
    for readings in 1..=3 {
        let (all, ()) = join(join_all((0..64).map(|_| sides.send())), sides.let_it(readings)).await;
        assert!(all.iter().all(|verdict| *verdict == refused), "{all:?}");
        sides.steering.sleep(Duration::from_secs(9));
        assert_eq!(sides.send().await, refused);
        assert_eq!(sides.reads(), readings, "one in ten seconds");
        sides.steering.sleep(Duration::from_secs(1));
    }
    assert_eq!(sides.verifier.failures(), 3 * 65, "each is counted once");
}

#[tokio::test]
async fn a_reading_ends_also_when_nobody_waits_for_it_any_more() {
    let sides = Sides::new(Covering::Body, "second");
    let gone = tokio::time::timeout(Duration::ZERO, sides.send()).await;
    assert!(gone.is_err());
    let (verdict, ()) = join(sides.send(), sides.let_it(1)).await;
    assert!(verdict.is_ok(), "{verdict:?}");
    assert_eq!(sides.reads(), 1);
}

#[tokio::test]
async fn a_source_that_panics_is_asked_again_later() {
    let sides = Sides::new(Covering::Body, "panic");
    for readings in 1..=2 {
        let (verdict, ()) = join(sides.send(), sides.let_it(readings)).await;
        assert_eq!(verdict, Err(Refusal::Signature));
        sides.steering.sleep(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_waited_for_no_longer_than_five_seconds() {
    let sides = Sides::new(Covering::Body, "second");
    let verdict = tokio::time::timeout(Duration::from_secs(60), sides.send()).await;
    assert_eq!(verdict, Ok(Err(Refusal::Signature)));
}

#[tokio::test]
async fn a_rotation_that_came_with_the_body_needs_no_reading() {
    let sides = Sides::new(Covering::Everything, "third");
    let mut request = Request::post("/").body("reboot").unwrap();
    sides.signer.sign(&mut request).unwrap();
    let mut verification = sides.verifier.open(&request).unwrap();
    verification.update(request.body().as_bytes());
    sides.source.tokens.rotate(Secret::new("second"));
    assert!(verification.finish_or_refresh([request.body()]).await.is_ok());
    assert_eq!(sides.reads(), 0);
}

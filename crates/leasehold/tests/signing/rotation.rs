//! A rotation under load: nobody who signs with a token that is good is refused, and nobody gets in with an older one.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use futures_util::future::join_all;
use http::Request;
use leasehold::clock::{Clock, Steering};
use leasehold::core::Secret;
use leasehold::signing::{Covering, Refusal, Signer, Verified, Verifier};
use leasehold::token_cache::TokenCache;
use leasehold_testkit::record;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::ground::OVERLAP;

const CLIENTS: usize = 64;
/// Threads that the clients share; more than cores, so that a client also stands still in the midst of a request.
const THREADS: usize = 4;
const ROTATIONS: u32 = 200;

/// One service, and all that use it.
struct Service {
    tokens: TokenCache,
    signer: Signer,
    verifier: Verifier,
    steering: Steering,
    /// With which token each client was accepted last.
    accepted: [AtomicU32; CLIENTS],
    count: AtomicU64,
    by_previous: AtomicU64,
    is_over: AtomicBool,
}

impl Service {
    fn new(covering: Covering) -> Self {
        let (clock, steering) = Clock::steered();
        let tokens = TokenCache::new(clock, OVERLAP);
        tokens.rotate(Secret::new("token 1"));
        Self {
            signer: Signer::new(tokens.clone(), "agent-1", covering).unwrap(),
            verifier: Verifier::new(tokens.clone(), covering).remembering(1 << 24),
            tokens,
            steering,
            accepted: std::array::from_fn(|_| AtomicU32::new(0)),
            count: AtomicU64::new(0),
            by_previous: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn signed(&self) -> (Request<&'static str>, u32) {
        let mut request = Request::post("/").body("reboot").unwrap();
        let generation = self.signer.sign(&mut request).unwrap();
        (request, generation)
    }

    /// In each of the steps another client, or a rotation, may come between.
    async fn verify(&self, request: &Request<&'static str>) -> Result<Verified, Refusal> {
        let mut verification = self.verifier.open(request)?;
        yield_now().await;
        verification.update(request.body().as_bytes());
        verification.finish()
    }

    fn verify_now(&self, request: &Request<&'static str>) -> Result<Verified, Refusal> {
        alone().block_on(self.verify(request))
    }

    /// One thread's share of the clients.
    fn clients(&self, accepted: &[AtomicU32]) {
        alone().block_on(join_all(accepted.iter().map(|accepted| self.client(accepted))));
    }

    /// Signs and sends as fast as it can.
    async fn client(&self, accepted: &AtomicU32) {
        while !self.is_over.load(Ordering::Relaxed) {
            let (request, generation) = self.signed();
            yield_now().await;
            let verified = self.verify(&request).await.expect("a good request");
            self.count.fetch_add(1, Ordering::Relaxed);
            self.by_previous.fetch_add(u64::from(verified.by_previous), Ordering::Relaxed);
            accepted.store(generation, Ordering::Release);
        }
    }

    /// Rotates once; the overlap is over when every client has come through with the new token. Returns how many
    /// requests with the old one were refused then.
    fn rotate(&self, generation: u32) -> u64 {
        let old = [(); 3].map(|()| self.signed().0);
        assert!(self.tokens.rotate(Secret::new(format!("token {generation}"))));
        assert!(self.verify_now(&old[0]).is_ok_and(|verified| verified.by_previous), "within the overlap");
        let is_behind = |accepted: &AtomicU32| accepted.load(Ordering::Acquire) < generation;
        while self.accepted.iter().any(is_behind) {
            thread::yield_now();
        }
        self.steering.sleep(OVERLAP);
        let refused = old[1..].iter().map(|request| self.verify_now(request));
        refused.map(|verdict| assert_eq!(verdict, Err(Refusal::Signature), "after the overlap")).count()
            as u64
    }
}

/// What runs tasks on this thread alone.
fn alone() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Ends the clients also when the rotation fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn two_hundred_rotations_refuse_nobody_and_let_no_old_token_in() {
    let service = Service::new(Covering::Body);
    let old: u64 = thread::scope(|scope| {
        for accepted in service.accepted.chunks(CLIENTS / THREADS) {
            scope.spawn(|| service.clients(accepted));
        }
        let _over = Over(&service.is_over);
        (2..ROTATIONS + 2).map(|generation| service.rotate(generation)).sum()
    });
    assert_eq!(service.verifier.failures(), old, "only those with an old token were refused");
    assert_eq!(old, 2 * u64::from(ROTATIONS));
    let (count, by_previous) = (service.count.into_inner(), service.by_previous.into_inner());
    assert!(count >= u64::from(ROTATIONS) * CLIENTS as u64);
    record(
        "signing-rotation",
        &format!(
            "{CLIENTS} clients, {ROTATIONS} rotations: {count} requests accepted, {by_previous} of them with the \
             token before, none refused; of {old} with a token older than the overlap, none accepted"
        ),
    );
}

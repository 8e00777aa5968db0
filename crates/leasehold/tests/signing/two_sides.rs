//! A rotation under load between two that each read the token by themselves: who has it first is left to chance, and
//! nobody who goes by the rules is refused in the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::routing::post;
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use leasehold::clock::{Clock, Steering};
use leasehold::core::Secret;
use leasehold::signing::layer::VerifyLayer;
use leasehold::signing::{Covering, Outbound, Signer, TokenSource, Verified, Verifier};
use leasehold::token_cache::TokenCache;
use leasehold_testkit::record;
use tokio::sync::{Mutex, Notify};
use tokio::task::yield_now;

use crate::ground::OVERLAP;

const CLIENTS: usize = 64;
const ROTATIONS: u32 = 200;
/// In each order some.
const FEW: u32 = 12;
/// Between two questions that are asked because of a refusal, on either side.
const PAUSE: Duration = Duration::from_secs(10);
/// Another one makes another trial.
const SEED: u64 = 0x1EA5_E401D;

/// One side's cache, and its way to where the token is: the number that is there.
struct Side {
    vault: Arc<AtomicU32>,
    tokens: TokenCache,
    turn: Mutex<()>,
    reads: AtomicU64,
}

impl Side {
    fn new(vault: &Arc<AtomicU32>, clock: &Clock) -> Arc<Self> {
        let tokens = TokenCache::new(clock.clone(), OVERLAP);
        tokens.rotate(token(1));
        Arc::new(Self { vault: Arc::clone(vault), tokens, turn: Mutex::default(), reads: AtomicU64::new(0) })
    }
}

impl TokenSource for Side {
    async fn refresh(&self) {
        let _turn = self.turn.lock().await;
        self.reads.fetch_add(1, Ordering::Relaxed);
        let number = self.vault.load(Ordering::Acquire);
        // The answer is on its way.
        yield_now().await;
        self.tokens.rotate(token(number));
    }
}

fn token(number: u32) -> Secret {
    Secret::new(format!("token {number}"))
}

/// What happens by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    by_previous: AtomicU64,
    /// Answers 401, of which some are followed by another attempt.
    answered_401: AtomicU64,
    /// Refused in the end.
    refused: AtomicU64,
    /// Sent with a token older than the overlap, and accepted of these.
    old: AtomicU64,
    old_accepted: AtomicU64,
}

fn add(count: &AtomicU64, whether: bool) {
    count.fetch_add(u64::from(whether), Ordering::Relaxed);
}

fn value(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

struct Trial {
    vault: Arc<AtomicU32>,
    server: Arc<Side>,
    client: Arc<Side>,
    signer: Signer,
    verifier: Arc<Verifier>,
    outbound: Outbound,
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    steering: Steering,
    /// What was signed with an older token comes after the overlap.
    oldest_good: AtomicU32,
    /// With which token each client was accepted last.
    through: [AtomicU32; CLIENTS],
    progress: Notify,
    counts: Counts,
    is_over: AtomicBool,
}

async fn command(Extension(by): Extension<Verified>, body: String) -> String {
    format!("{body} {}", by.by_previous)
}

async fn serve(verifier: &Arc<Verifier>) -> String {
    let router =
        Router::new().route("/", post(command)).layer(VerifyLayer::new(Arc::clone(verifier), 1 << 20));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

impl Trial {
    async fn new() -> Self {
        let (clock, steering) = Clock::steered();
        let vault = Arc::new(AtomicU32::new(1));
        let (server, client) = (Side::new(&vault, &clock), Side::new(&vault, &clock));
        let verifier = Verifier::new(server.tokens.clone(), Covering::Everything);
        let verifier = Arc::new(verifier.refreshed_by(Arc::clone(&server)));
        Self {
            signer: Signer::new(client.tokens.clone(), "agent-1", Covering::Everything).unwrap(),
            url: serve(&verifier).await,
            http: Client::builder(TokioExecutor::new()).build_http(),
            outbound: Outbound::default(),
            oldest_good: AtomicU32::new(1),
            through: std::array::from_fn(|_| AtomicU32::new(1)),
            progress: Notify::new(),
            counts: Counts::default(),
            is_over: AtomicBool::new(false),
            vault,
            server,
            client,
            verifier,
            steering,
        }
    }

    fn command(&self) -> Request<Bytes> {
        Request::post(&self.url).body(Bytes::from_static(b"reboot")).unwrap()
    }

    fn signed(&self) -> (Request<Bytes>, u32) {
        let mut request = self.command();
        let generation = self.signer.sign(&mut request).unwrap();
        (request, generation)
    }

    /// Sends a request, and counts what came of it.
    async fn request(&self, request: Request<Bytes>) -> Result<Response<()>, Infallible> {
        // What fails on the way would be sent again, and count as accepted then.
        let (head, body) = self.http.request(request.map(Full::new)).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(!head.status.is_server_error(), "{}", head.status);
        add(&self.counts.answered_401, head.status == StatusCode::UNAUTHORIZED);
        add(&self.counts.by_previous, body == "reboot true");
        Ok(Response::from_parts(head, ()))
    }

    /// Counts an answer to what was signed with that token, where the oldest good one was `oldest` when it was sent.
    fn count(&self, status: StatusCode, signed: u32, oldest: u32) {
        let is_old = signed < oldest;
        add(&self.counts.old, is_old);
        add(&self.counts.old_accepted, is_old && status == StatusCode::OK);
    }

    /// Sends a request that was signed with an old token.
    async fn send_late(&self, (request, signed): (Request<Bytes>, u32)) -> StatusCode {
        let oldest = self.oldest_good.load(Ordering::Acquire);
        let status = self.request(request).await.unwrap().status();
        self.count(status, signed, oldest);
        status
    }

    /// Sends a request by the rules. What is answered in the end, and with which token it was signed then.
    async fn send(&self) -> (StatusCode, u32) {
        let oldest = AtomicU32::new(0);
        let send = |request| {
            oldest.store(self.oldest_good.load(Ordering::Acquire), Ordering::Relaxed);
            self.request(request)
        };
        let sent = self.outbound.send(&self.signer, &*self.client, &self.command(), send).await.unwrap();
        let status = sent.answer.unwrap().status();
        self.count(status, sent.generation, oldest.into_inner());
        (status, sent.generation)
    }

    /// Sends as fast as it can.
    async fn client(&self, through: &AtomicU32) {
        while !self.is_over.load(Ordering::Relaxed) {
            let (status, signed) = self.send().await;
            add(&self.counts.accepted, status == StatusCode::OK);
            add(&self.counts.refused, status != StatusCode::OK);
            through.store(signed, Ordering::Release);
            self.progress.notify_one();
        }
    }

    /// Returns when that many more requests were answered.
    async fn pause(&self, requests: u64) {
        for _ in 0..requests {
            self.progress.notified().await;
        }
    }

    /// Another token is put there, and both sides have it read in an order left to chance. The overlap is over when every
    /// client has come through with it, or already before the clients hear of it.
    async fn rotate(&self, number: u32, chance: &mut Chance) {
        let old = [self.signed(), self.signed()];
        self.vault.store(number, Ordering::Release);
        let order = chance.below(4);
        let (server, client) = (self.server.refresh(), self.client.refresh());
        match order {
            // The peer who signs is told first, or the other one, or one of them alone.
            0 => _ = (client.await, self.pause(chance.below(128)).await, server.await),
            1 => _ = (server.await, self.pause(chance.below(128)).await, client.await),
            2 => client.await,
            _ => {
                server.await;
                self.end_overlap(number);
            }
        }
        while self.through.iter().any(|through| through.load(Ordering::Acquire) < number) {
            self.progress.notified().await;
        }
        self.end_overlap(number);
        for request in old {
            assert_eq!(self.send_late(request).await, StatusCode::UNAUTHORIZED);
        }
        self.steering.sleep(PAUSE);
    }

    fn end_overlap(&self, number: u32) {
        self.steering.sleep(OVERLAP);
        self.oldest_good.store(number, Ordering::Release);
    }

    async fn rotations(&self, count: u32) {
        let mut chance = Chance(SEED);
        for number in 2..count + 2 {
            self.rotate(number, &mut chance).await;
        }
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Both counts that have to be zero are.
    fn check(&self, rotations: u32) {
        let counts = &self.counts;
        assert_eq!((value(&counts.refused), value(&counts.old_accepted)), (0, 0));
        assert_eq!(self.verifier.failures(), value(&counts.answered_401));
        assert!(value(&counts.accepted) >= u64::from(rotations) * CLIENTS as u64);
        assert!(value(&counts.old) >= 2 * u64::from(rotations));
    }

    fn tell(&self) {
        let Counts { accepted, by_previous, old, .. } = &self.counts;
        let [accepted, by_previous, old] = [accepted, by_previous, old].map(value);
        let [server, client] = [&self.server, &self.client].map(|side| value(&side.reads));
        record(
            "signing-two-sides",
            &format!(
                "{CLIENTS} clients over HTTP, {ROTATIONS} rotations that each side finds out by itself, in random \
                 order: {accepted} requests accepted, {by_previous} of them with the token before, none refused in the \
                 end; of {old} with a token older than the overlap, none accepted; the token was read {server} times by \
                 the verifying side and {client} times by the other"
            ),
        );
    }
}

async fn trial(rotations: u32) -> Arc<Trial> {
    let trial = Arc::new(Trial::new().await);
    let clients = (0..CLIENTS).map(|client| {
        let trial = Arc::clone(&trial);
        tokio::spawn(async move { trial.client(&trial.through[client]).await })
    });
    let clients: Vec<_> = clients.collect();
    trial.rotations(rotations).await;
    join_all(clients).await.into_iter().for_each(|client| client.unwrap());
    trial.check(rotations);
    trial
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotations_in_any_order_refuse_nobody() {
    trial(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn long_two_hundred_rotations_in_any_order_refuse_nobody() {
    trial(ROTATIONS).await.tell();
}

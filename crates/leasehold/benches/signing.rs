//! What reading a rotated token costs many threads, beside the `RwLock<String>` that services use today; and what
//! signing and verifying cost beside the bare HMAC of the crate that makes it. Prints `name value unit` a line.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark tells time"
)]

use std::hint::black_box;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{Covering, Signer, Verifier};
use leasehold::token_cache::{Token, TokenCache};
use nix::sys::resource::{UsageWho, getrusage};
use sha2::Sha256;

const TOKENS: [&str; 2] = [
    "hvs.CAESIJ3nQ4yW8fQ0x5cQm9h2Zr7uT1vK6pL0sD3aE8bN4xGh4KHGh2cy5",
    "hvs.CAESIPp1dX7sB2mV0kR9tL4wQ6eZ8uC3yH5nJ7gF1aO0iKxGh4KHGh2cz8",
];
const OVERLAP: Duration = Duration::from_secs(30);

fn main() {
    for readers in [1, 2, 4, 8] {
        reads(readers);
    }
    for (size, name, calls) in [(1 << 10, "1kib", 100), (1 << 20, "1mib", 1)] {
        signatures(size, name, calls);
    }
}

/// For how long a number of threads reads.
const SPAN: Duration = Duration::from_millis(500);
/// The reads of a chunk.
const READS: u32 = 1000;

/// A byte of the token, so that no contender passes by its text.
fn byte(token: &Token) -> u8 {
    token.secret().expose().as_bytes()[0]
}

/// So many threads read, and one rotates without a pause.
fn reads(readers: usize) {
    let tokens = TokenCache::new(Clock::default(), OVERLAP);
    let rotate = |round: usize| _ = tokens.rotate(Secret::new(TOKENS[round % 2]));
    rotate(0);
    let handle = || {
        let mut reader = tokens.reader();
        move || _ = black_box(reader.current().map(byte))
    };
    let shared = || || _ = black_box(tokens.current().map(|token| byte(&token)));
    let lock = RwLock::new(TOKENS[0].to_owned());
    let write = |round: usize| TOKENS[round % 2].clone_into(&mut lock.write().expect("no panic"));
    let clone = || || drop(black_box(lock.read().expect("no panic").clone()));
    let reader = beside(readers, rotate, handle);
    let current = beside(readers, rotate, shared);
    let locked = beside(readers, write, clone);
    show(&format!("token_reader_{readers}"), reader, "ns");
    show(&format!("token_current_{readers}"), current, "ns");
    show(&format!("token_rwlock_{readers}"), locked, "ns");
    show(&format!("token_rwlock_{readers}_of_reader"), locked / reader, "ratio");
    show(&format!("token_rwlock_{readers}_of_current"), locked / current, "ratio");
}

/// What a read takes, in nanoseconds: the median of those chunks of all threads beside which the writer ran, and in
/// which no thread lost its core. Waiting for a lock counts: then a thread gives its core up.
fn beside<R: FnMut()>(readers: usize, write: impl Fn(usize) + Sync, reader: impl Fn() -> R + Sync) -> f64 {
    let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut chunks: Vec<Duration> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                write(rounds.fetch_add(1, Ordering::Relaxed));
            }
        });
        let threads: Vec<_> =
            (0..readers).map(|_| scope.spawn(|| chunks(reader(), &is_over, &rounds))).collect();
        std::thread::sleep(SPAN);
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(!chunks.is_empty(), "the writer never ran beside a reader: this needs two cores");
    chunks.sort_unstable();
    chunks[chunks.len() / 2].as_nanos() as f64 / f64::from(READS)
}

fn chunks(mut read: impl FnMut(), is_over: &AtomicBool, rounds: &AtomicUsize) -> Vec<Duration> {
    let mut chunks = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let (before, lost, started) = (rounds.load(Ordering::Relaxed), cores_lost(), Instant::now());
        (0..READS).for_each(|_| read());
        let spent = started.elapsed();
        if rounds.load(Ordering::Relaxed) > before && cores_lost() == lost {
            chunks.push(spent);
        }
    }
    chunks
}

/// How often this thread's core was given to another.
fn cores_lost() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).expect("Linux").involuntary_context_switches()
}

/// Rounds in which each contender has its turn. The quickest counts: what is more was the machine's other work.
const ROUNDS: usize = 301;

/// A contender's name and one call of it.
type Contender<'a> = (&'static str, Box<dyn FnMut() + 'a>);

fn signatures(size: usize, name: &str, calls: u32) {
    let body = vec![0x5A; size];
    let [steady, rotated] = [1, 2].map(tokens);
    let mut contenders: [Contender<'_>; 4] = [
        ("hmac", Box::new(|| bare(&body))),
        ("sign", signing(&steady, &body)),
        ("verify", verifying(&steady, &body)),
        ("verify_in_overlap", verifying(&rotated, &body)),
    ];
    let mut quickest = [f64::INFINITY; 4];
    for _ in 0..ROUNDS {
        for ((_, call), least) in contenders.iter_mut().zip(&mut quickest) {
            *least = least.min(time(call, calls));
        }
    }
    for ((contender, _), time) in contenders.iter().zip(quickest) {
        show(&format!("{contender}_{name}"), time, "ns");
        show(&format!("{contender}_{name}_of_bare"), quickest[0] / time, "ratio");
    }
}

/// What a call takes, in nanoseconds.
fn time(call: &mut dyn FnMut(), calls: u32) -> f64 {
    let started = Instant::now();
    (0..calls).for_each(|_| call());
    started.elapsed().as_nanos() as f64 / f64::from(calls)
}

/// With one rotation less behind it than there are tokens.
fn tokens(count: usize) -> TokenCache {
    let tokens = TokenCache::new(Clock::default(), Duration::from_secs(3600));
    TOKENS[..count].iter().for_each(|token| _ = tokens.rotate(Secret::new(*token)));
    tokens
}

fn bare(body: &[u8]) {
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKENS[0].as_bytes()).expect("keys are of any length");
    mac.update(body);
    black_box(mac.finalize().into_bytes());
}

fn signing<'a>(tokens: &TokenCache, body: &'a [u8]) -> Box<dyn FnMut() + 'a> {
    let signer = Signer::new(tokens.clone(), "agent-1", Covering::Everything).expect("a good id");
    let mut request = Request::post("/commands").body(body).expect("a request");
    Box::new(move || _ = black_box(signer.sign(&mut request)))
}

/// One request again and again.
fn verifying<'a>(tokens: &TokenCache, body: &'a [u8]) -> Box<dyn FnMut() + 'a> {
    let signer = Signer::new(tokens.clone(), "agent-1", Covering::Everything).expect("a good id");
    let verifier = Verifier::new(tokens.clone(), Covering::Everything);
    let mut request = Request::post("/commands").body(body).expect("a request");
    signer.sign(&mut request).expect("there is a token");
    // It is accepted once, and then a replay, which is the last thing to be found.
    Box::new(move || {
        let mut verification = verifier.open(&request).expect("good headers");
        verification.update(body);
        _ = black_box(verification.finish());
    })
}

fn show(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.2} {unit}");
}

//! More signed requests than can be remembered, all with good signatures. Alone in its process, whose memory is measured.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test: a failure is a failed test")]

use std::time::Duration;

use http::Request;
use http::header::HeaderValue;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{
    Covering, REQUEST_ID, Refusal, SKEW_SECONDS, Signer, TIMESTAMP, Verified, Verifier,
};
use leasehold::token_cache::TokenCache;
use leasehold_testkit::record;

const NOW: u64 = 1_800_000_000;
const BODY: &str = "reboot";
const IDS: u64 = 1_000_000;
/// What is remembered at most.
const CAPACITY: u64 = 1 << 20;
const MEGABYTES: f64 = 63.0;

/// Requests that differ in what the contract does not sign, so that each is signed already.
struct Flood {
    verifier: Verifier,
    request: Request<()>,
}

impl Flood {
    fn new() -> Self {
        let tokens = TokenCache::new(Clock::steered().0, Duration::from_secs(30));
        tokens.rotate(Secret::new("first"));
        let signer = Signer::new(tokens.clone(), "agent-1", Covering::Body).unwrap();
        let mut request = Request::post("/commands").body(()).unwrap();
        let mut signing = signer.open_at(&request, NOW).unwrap();
        signing.update(BODY.as_bytes());
        signing.finish().insert_into(request.headers_mut());
        Self { verifier: Verifier::new(tokens, Covering::Body), request }
    }

    fn send(&mut self, number: u64) -> Result<Verified, Refusal> {
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let timestamp = NOW - SKEW_SECONDS + number % (2 * SKEW_SECONDS + 1);
        let headers = self.request.headers_mut();
        headers.insert(REQUEST_ID, HeaderValue::from_str(&id).unwrap());
        headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
        let mut verification = self.verifier.open_at(&self.request, NOW)?;
        verification.update(BODY.as_bytes());
        verification.finish_at(NOW)
    }
}

/// What this process has in memory, in MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
}

#[test]
fn long_a_million_ids_are_remembered_within_the_bound_and_a_flood_washes_none_out() {
    let mut flood = Flood::new();
    let before = resident();
    assert!((0..IDS).all(|number| flood.send(number).is_ok()));
    let million = resident() - before;
    assert!((IDS..CAPACITY).all(|number| flood.send(number).is_ok()));
    for number in CAPACITY..CAPACITY + 10_000 {
        assert_eq!(flood.send(number), Err(Refusal::Full));
    }
    for number in (0..CAPACITY).step_by(101) {
        assert_eq!(flood.send(number), Err(Refusal::Replay), "{number}");
    }
    let full = resident() - before;
    assert!(full < MEGABYTES, "{full} MB");
    record(
        "signing-flood",
        &format!(
            "a million ids remembered in {million:.0} MB, as many as there may be in {full:.0} MB; 10,000 more \
             were refused, and none was forgotten"
        ),
    );
}

//! More requests than can be remembered, all with good signatures.

use http::header::HeaderValue;
use leasehold::signing::{Covering, REQUEST_ID, Refusal, SKEW_SECONDS, TIMESTAMP, Verified};
use leasehold_testkit::record;

use crate::ground::{Ground, NOW};

const IDS: u64 = 1_000_000;
/// What is remembered at most.
const CAPACITY: u64 = 1 << 20;
const MEGABYTES: f64 = 63.0;

/// Requests that differ in what the contract does not sign, so that each is signed already.
struct Flood {
    ground: Ground,
    request: http::Request<&'static str>,
}

impl Flood {
    fn send(&mut self, number: u64) -> Result<Verified, Refusal> {
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let timestamp = NOW - SKEW_SECONDS + number % (2 * SKEW_SECONDS + 1);
        let headers = self.request.headers_mut();
        headers.insert(REQUEST_ID, HeaderValue::from_str(&id).unwrap());
        headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
        self.ground.verify(&self.request)
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
    let ground = Ground::new(Covering::Body);
    let mut flood = Flood { request: ground.signed(), ground };
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

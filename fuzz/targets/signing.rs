//! Fuzzes the headers of signed requests: lines of `name: value`, then the body. Nobody who does not have the token is let
//! in, and a signed request stays good whatever other headers come with it.
#![no_main]

use http::{HeaderName, HeaderValue, Request};
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{Covering, Signer, Verifier};
use leasehold::token_cache::TokenCache;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// The headers that a request is judged by.
const OURS: [&str; 5] =
    ["x-agent-id", "x-timestamp", "x-request-id", "x-agent-signature", "x-agent-signature-v2"];

fuzz_target!(|bytes: &[u8]| {
    for covering in [Covering::Body, Covering::Everything] {
        let mut request = Request::post("/commands").body(()).expect("a request");
        let body = fill(&mut request, bytes);
        assert!(!passes(covering, &request, body), "a stranger was let in");

        for name in OURS {
            request.headers_mut().remove(name);
        }
        let mut signed = request.map(|()| body.to_vec());
        let signer = Signer::new(tokens(), "agent-1", covering).expect("a good id");
        signer.sign(&mut signed).expect("there is a token");
        assert!(passes(covering, &signed, body), "{:?}", signed.headers());
    }
});

/// Puts the headers in, and gives the rest back.
fn fill<'a>(request: &mut Request<()>, mut bytes: &'a [u8]) -> &'a [u8] {
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        bytes = rest;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    bytes
}

fn passes<B>(covering: Covering, request: &Request<B>, body: &[u8]) -> bool {
    let verifier = Verifier::new(tokens(), covering).remembering(16);
    let Ok(mut verification) = verifier.open(request) else { return false };
    verification.update(body);
    verification.finish().is_ok()
}

fn tokens() -> TokenCache {
    let tokens = TokenCache::new(Clock::default(), Duration::from_secs(30));
    tokens.rotate(Secret::new("a token that no input has"));
    tokens
}

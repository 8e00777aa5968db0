//! Fuzzes what a reply that is no success means: every one means something, in one short line without a secret.
#![no_main]

use leasehold_core::name::Path;
use leasehold_core::{Course, Kind, Retry, Secret};
use leasehold_vault::{Operation, Reply, failure, secret, token, wrapping};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// The longest line that a failure may be, in bytes: our sentence, the place and two hundred characters of quote.
const LONGEST: usize = 1_500;

fuzz_target!(|input: (u16, Option<u16>, &[u8])| {
    let (status, retry_after, body) = input;
    let reply =
        Reply::new(status, retry_after.map(|seconds| Duration::from_secs(seconds.into())), body.to_vec());
    let Ok(path) = Path::parse("secret/data/db") else { return };
    let reads = secret::Read { path, is_dynamic: false };
    let secretive = wrapping::Unwrap { token: Secret::new("s.1") };
    for call in [reads.call(), token::Lookup(token::Subject::Own).call(), secretive.call()] {
        let failure = failure::classify(&reply, &call);
        let told = failure.message();
        assert!(!told.is_empty() && told.len() < LONGEST, "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
        assert!(!call.has_secret() || !told.contains("saying"), "{told}");
        assert!(failure.retry() != Retry::Never || failure.kind().course() != Course::Transient, "{told}");
        // Only the server's own words tell that a token is dead, and never a gateway's page.
        let is_page = body.trim_ascii_start().starts_with(b"<");
        assert!(failure.kind() != Kind::Expired || !is_page, "{told}");
    }
});

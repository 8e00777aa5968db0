//! The library against a real server, one file a subject.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times, write files and run openssl; a failure is a failed test"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write `json!({..})` in place")]

mod ground;
mod listener;
mod run;

mod client;
mod login;
mod transport;
mod redirect;
mod engine;
mod lives;
mod clocks;
mod probe;
mod stores;

//! The token manager against a real server.

#![allow(
    dead_code,
    unused_imports,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times and share a ground with others; a failure is a failed test"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write `json!({..})` in place")]

#[path = "../real/ground.rs"]
mod ground;
#[path = "../real/run.rs"]
mod run;

mod watched;

mod kinds;
mod blind;
mod outage;
mod listeners;
mod runs;
mod refused;
mod advice;

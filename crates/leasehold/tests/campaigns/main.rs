//! Long trials of the library against a real server: many faults of one sort, counted.

#![allow(
    dead_code,
    unused_imports,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times and start programs and share a ground with others; a failure is a failed test"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write `json!({..})` in place")]

#[path = "../real/ground.rs"]
mod ground;
#[path = "../real/run.rs"]
mod run;

mod figures;

mod revoked;
mod rotation;
mod outage;
mod lost;
mod fleet;

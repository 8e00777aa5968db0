//! The fault matrix: what each fault does to the real binary at a real server, one test a row.
//!
//! The number in a test's name is the row's in `docs/reliability.md`. Each test asserts the row's bound and records what
//! it measured.

#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times, start programs and write files; a failure is a failed test"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write `json!({..})` in place")]

#[path = "../stage/mod.rs"]
mod stage;
mod children;
mod leaks;
mod keyring;
mod memory;
mod cluster;
mod limits;
mod clocks;
mod asking;
mod network;
mod answers;
mod strangers;
mod lives;
mod outage;
mod disk;
mod orphans;

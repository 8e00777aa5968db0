//! Long trials of the library against a real server: many faults of one sort, counted.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times and start programs; a failure is a failed test"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write `json!({..})` in place")]

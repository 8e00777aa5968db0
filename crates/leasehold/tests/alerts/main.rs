//! Alerts: what each service is sent, and what becomes of it when the service does not want it.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times and start programs; a failure is a failed test"
)]

mod ground;

mod answers;
mod webhook;
mod trouble;
mod away;
mod watched;

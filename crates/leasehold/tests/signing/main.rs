//! Signed requests: what is accepted and what is not, one file a subject.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that measure times and read files; a failure is a failed test"
)]

mod ground;

mod vectors;
mod hostile;
mod audit;
mod source;
mod rotation;
mod two_sides;
mod layer;
mod axum;

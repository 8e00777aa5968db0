//! What a service tells of itself, and the examples, which are services.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests that start programs and measure times; a failure is a failed test"
)]

mod asked;
mod program;

mod bodies;
mod examples;

//! Signed requests: who sends one proves that they know the token, without sending it.
//!
//! # The contract
//!
//! | header | what |
//! |---|---|
//! | `X-Agent-Id` | who says that they sent it: 1 to 128 visible ASCII characters |
//! | `X-Timestamp` | when, in UTC seconds since 1970; at most [`SKEW_SECONDS`] from the verifier's clock, either way |
//! | `X-Request-Id` | a UUID with hyphens, another one for each request |
//! | `X-Agent-Signature` | base64, with padding, of HMAC-SHA256(token, the body's bytes) |
//!
//! Each is there once. [`Signer`] makes them, [`Verifier`] judges them; both take the body in pieces and keep none. A
//! signature counts if it is of the present token, or of the one before it within the overlap of the
//! [`TokenCache`](crate::token_cache::TokenCache), both when the headers come and when the body is whole. The peer is
//! told that it is refused; why is a [`Refusal`] for our own eyes.
//!
//! # Who has a new token first
//!
//! Two services that read the token by themselves do not get it at the same time. If the one that verifies is first,
//! the overlap covers the other. If it is second, it reads the token when it meets a signature that it does not know,
//! provided that it was told [where from](Verifier::refreshed_by), and then judges the request again.
//!
//! # What the contract leaves open
//!
//! The signature of the contract is of the body alone ([`Covering::Body`]). So whoever has seen one signed request may
//! send its body again for as long as the token lives, with a time, an id and an agent of their own choice, to any path
//! and by any method. Remembering ids, as the contract asks, stops a request that is sent twice by accident, and
//! nobody who can write a UUID. Such a person can also fill the memory of ids. Remembering the signatures as well was
//! weighed and left out: it would stop the same person for the four minutes after which a bounded memory has to forget,
//! and it would refuse honest agents, since all empty bodies have the same signature until the token rotates. Nothing
//! short of signing the rest helps; until both sides do, TLS is what keeps requests from being seen.
//!
//! [`Covering::Everything`] signs the rest. It uses another header, `X-Agent-Signature-V2`, and the bytes that are
//! signed are six lines, each ended by a line feed, and then the body:
//!
//! ```text
//! leasehold-request-2
//! X-Agent-Id
//! X-Timestamp            in decimal, without leading zeros
//! X-Request-Id           in lower case
//! method
//! path, with the query
//! ```
//!
//! No part can hold a line feed, so no two requests have the same bytes. The host is not signed, since proxies change
//! it: services that share a token accept each other's requests. Some proxies put an `X-Request-Id` of their own in
//! its place, and have to be told not to. One side offers and accepts one covering, never both, so that nobody can
//! ask for the weaker one.
//!
//! # Replays
//!
//! The verifier remembers the ids of requests whose signature is good; others cannot reach its memory. It remembers
//! them by the time that they carry, in slices of 30 s, for as long as such a time would be accepted, by the boot clock:
//! 120 to 150 s for an honest agent. It holds 1,048,576 ids, in at most 63 MB: 7,000 requests a second for ever, or as many at
//! once; a service that bears more says so ([`Verifier::remembering`]). When it is full it refuses what comes new
//! ([`Refusal::Full`]) and forgets nothing, so a flood cannot wash an id out.
//!
//! The memory is of one verifier in one process. A service that restarts, or that runs twice behind one address,
//! accepts once each. If the machine's clock is set back, requests of the times that it has shown before are refused
//! once their slice was dropped: what was accepted then is not remembered any more. A leap that is mended does no
//! more harm than that, as long as the clock was wrong for less than a day: the times that it has shown by mistake are
//! refused when they really come.
//!
//! # An example
//!
//! ```
//! use http::Request;
//! use leasehold::clock::Clock;
//! use leasehold::core::Secret;
//! use leasehold::signing::{Covering, Refusal, Signer, Verifier};
//! use leasehold::token_cache::TokenCache;
//! use std::time::Duration;
//!
//! let tokens = TokenCache::new(Clock::default(), Duration::from_secs(30));
//! tokens.rotate(Secret::new("s3cr3t"));
//! let signer = Signer::new(tokens.clone(), "agent-1", Covering::Body).expect("an id of visible ASCII");
//! let verifier = Verifier::new(tokens, Covering::Body);
//!
//! let mut request = Request::post("/command").body("reboot").expect("a request");
//! signer.sign(&mut request).expect("there is a token");
//!
//! let mut verification = verifier.open(&request).expect("the headers are good");
//! verification.update(request.body().as_bytes());
//! assert_eq!(verification.finish().expect("the signature is good").agent, "agent-1");
//!
//! // The same request once more.
//! let mut verification = verifier.open(&request).expect("the headers are good");
//! verification.update(request.body().as_bytes());
//! assert_eq!(verification.finish(), Err(Refusal::Replay));
//! assert_eq!(verifier.failures(), 1);
//! ```

mod refusal;
mod header;
mod mac;
mod replay;
mod audit;
mod source;
mod signer;
mod verifier;
mod outbound;
mod sending;
#[cfg(feature = "tower")]
pub mod layer;

pub use header::{AGENT_ID, REQUEST_ID, SIGNATURE, SIGNATURE_V2, TIMESTAMP};
pub use outbound::{Attempt, Next, Outbound, Outcome};
pub use refusal::Refusal;
pub use replay::SKEW_SECONDS;
pub use sending::Sent;
pub use signer::{Signed, Signer, Signing, Unsigned};
pub use source::TokenSource;
pub use verifier::{Verification, Verified, Verifier};

/// What a signature is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Covering {
    /// The body alone, as the contract has it; see [what that leaves open](self#what-the-contract-leaves-open).
    #[default]
    Body,
    /// Agent, time, id, method, path and body.
    Everything,
}

//! Vault's and OpenBao's words as values.
//!
//! A thing that can be asked of the server is a small struct, an [`Operation`]: it says what to send (a [`Call`])
//! and what the [`Reply`] means (its answer, or a [`Failure`](leasehold_core::Failure)). Whoever has a transport
//! carries the call out. This crate opens nothing: no socket, no file, no environment, no clock.
//!
//! ```
//! use leasehold_vault::{Operation, Reply, token};
//!
//! let lookup = token::Lookup(token::Subject::Own);
//! assert_eq!(lookup.call().path, "auth/token/lookup-self");
//!
//! let reply = Reply::new(200, None, br#"{"data":{"accessor":"a1","ttl":3600,"renewable":true}}"#.to_vec());
//! let record = lookup.answer(&reply).unwrap();
//! assert_eq!(record.ttl.unwrap().as_secs(), 3600);
//! ```
//!
//! Secrets are [`Secret`](leasehold_core::Secret) from the first byte of parsing: they are unescaped from the body
//! of the reply, which is wiped, straight into their own text. What a parser has to say about a body is cut down to
//! the kind of fault and its place.
//!
//! Modules use only those above them in this list.

mod json;
mod parse;

pub mod call;
pub mod reply;

pub mod failure;
pub mod operation;

pub mod list;

pub mod kv;
pub mod lease;
pub mod login;
pub mod policy;
pub mod secret;
pub mod system;
pub mod token;
pub mod wrapping;

pub use call::{Bearer, Body, Call, Method, Repeat};
pub use list::List;
pub use login::Login;
pub use operation::{Operation, Order, Within, Wrapped};
pub use reply::{Auth, Envelope, LeaseId, Renewal, Reply, TokenKind, WrapInfo};

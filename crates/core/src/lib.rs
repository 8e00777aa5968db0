//! The life of a credential, and nothing else.
//!
//! This crate decides *when* a credential is renewed, refreshed, replaced and revoked. It opens no socket and
//! no file, reads no clock and draws no random number: time and jitter are handed in, errands come out, and
//! whoever drives the [`Ledger`] carries them out. A month of a 30-day token is tested in milliseconds.
//!
//! Modules use only those above them in this list.

pub mod secret;
pub mod moment;
pub mod name;
pub mod failure;
pub mod scope;
pub mod grant;
pub mod policy;
pub mod schedule;
pub mod event;
pub mod errand;
mod pace;
mod lockout;
mod slot;
mod debt;
mod seeded;
pub mod ledger;
#[cfg(test)]
mod model;

pub use failure::{Course, Failure, Kind, Retry};
pub use grant::{Fields, Grant, Holding, Lease};
pub use ledger::Ledger;
pub use moment::Moment;
pub use policy::Policy;
pub use scope::{Scope, SlotId};
pub use secret::Secret;

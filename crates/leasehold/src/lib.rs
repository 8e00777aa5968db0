//! Leasehold keeps every credential on a lease: it obtains, holds, renews, rotates, hands over and revokes
//! credentials from HashiCorp Vault and OpenBao.
//!
//! Modules use only those above them in this list.

pub use leasehold_core as core;
pub use leasehold_vault as vault;

pub mod clock;
mod random;
pub mod transport;
pub mod client;
pub mod identity;
pub mod journal;
pub mod credential;
pub mod worker;
pub mod driver;
pub mod session;
pub mod verify;
pub mod files;
pub mod child;

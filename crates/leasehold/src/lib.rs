//! Leasehold keeps every credential on a lease: it obtains, holds, renews, rotates, hands over and revokes
//! credentials from HashiCorp Vault and OpenBao.
//!
//! # A stay at a server
//!
//! A [`Session`](session::Session) logs in, holds what is asked for, and gives everything back. What it holds is a
//! [`Credential`](credential::Credential): always the present value, read without waiting.
//!
//! ```no_run
//! use leasehold::client::VaultClient;
//! use leasehold::core::name::{Address, Place, Reference};
//! use leasehold::core::{Failure, Policy};
//! use leasehold::identity::{Credentials, Identity, Method, Source};
//! use leasehold::session::{Session, SessionSettings};
//! use leasehold::transport::TransportSettings;
//! use std::time::Duration;
//!
//! # async fn serve(_: &str) {}
//! # async fn example() -> Result<(), Failure> {
//! let address = Address::parse("https://vault.example:8200").expect("an address");
//! let login = Credentials::AppRole {
//!     role_id: Source::File("/etc/app/role-id".into()),
//!     secret_id: Some(Source::File("/etc/app/secret-id".into())),
//!     wrapped_at: None,
//! };
//! let session = Session::start(SessionSettings {
//!     client: VaultClient::new(&TransportSettings::new(vec![address]), None)?,
//!     identity: Identity::Login(Box::new(Method::new(login, None, None))),
//!     state_dir: "/var/lib/app/leasehold".into(),
//!     parent_ttl: Duration::from_secs(60),
//!     start_spread: Duration::ZERO,
//!     policy: Policy::default(),
//! })?;
//!
//! let reference = Reference::parse("vault://database/creds/app").expect("a reference");
//! if let Place::Vault(database) = reference.place() {
//!     let mut database = session.ask(database).await?;
//!     // Both fields are of one lease, which is renewed, and replaced in time, behind your back.
//!     let grant = database.hold().expect("it was just obtained");
//!     serve(grant.fields.field("username").expect("a field").expose()).await;
//!     // Returns when there is another value.
//!     database.changed().await;
//! }
//!
//! // Everything that was obtained is revoked; what could not be is told, and stays in the journal.
//! let owed = session.close(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # One call at a time
//!
//! [`VaultClient`](client::VaultClient) sends single [operations](vault::operation), with the retries that are
//! harmless. [`child`] starts a process with its credentials, and [`files`] gives it some as files in memory.
//!
//! Modules use only those above them in this list.

pub use leasehold_core as core;
pub use leasehold_vault as vault;

pub mod clock;
mod random;
mod hex;
pub mod likeness;
mod locked;
pub mod transport;
pub mod client;
pub mod identity;
pub mod environment;
pub mod journal;
mod swap;
mod published;
pub mod credential;
pub mod secrets;
pub mod token_cache;
pub mod signing;
pub mod worker;
pub mod driver;
pub mod session;
mod prometheus;
pub mod token_manager;
pub mod token_refresh;
#[cfg(feature = "axum")]
pub mod health;
pub mod alerts;
pub mod verify;
pub mod files;
pub mod store;
pub mod manifest;
pub mod env_file;
pub mod probe;
pub mod checks;
pub mod workstation;
pub mod child;

/// The code in the document is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/applications.md")]
struct Applications;

//! What the tests share: clients of a test server, and what is expected of a failure.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::core::name::{self, Address, Namespace, VaultReference};
use leasehold::core::{Failure, Fields, Kind, Secret};
use leasehold::transport::TransportSettings;
use leasehold_testkit::{Server, random_hex};
pub(crate) use leasehold_testkit::{authority, certificate, openssl};

pub(crate) fn settings(addresses: &[&str]) -> TransportSettings {
    TransportSettings::new(addresses.iter().map(|text| Address::parse(text).unwrap()).collect())
}

/// A client with this token.
pub(crate) fn client(addresses: &[&str], token: &str) -> VaultClient {
    let client = VaultClient::new(&settings(addresses), None).unwrap();
    client.set_token(Secret::new(token), None);
    client
}

/// A client with the right of root.
pub(crate) fn root(server: &Server) -> VaultClient {
    client(&[server.address()], server.root_token())
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).unwrap()
}

pub(crate) fn reference(path: &str) -> VaultReference {
    VaultReference { path: name::Path::parse(path).unwrap(), version: None, namespace: None }
}

/// All fields as `name=value`.
pub(crate) fn told(fields: &Fields) -> String {
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
    pairs.join(" ")
}

/// What a person reads of a failure, and by what the engine goes.
pub(crate) fn assert_failure(failure: &Failure, kind: Kind, message: &str, hint: &str) {
    let read = (failure.kind(), failure.message(), failure.advice().unwrap_or_default());
    assert_eq!(read, (kind, message, hint));
}

/// What the future brought, and how long it took.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begin = Instant::now();
    let outcome = future.await;
    (outcome, begin.elapsed())
}

/// Asks until it is so, and says how long it took. Each asking is a call to another process, which paces this.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain");
    }
    begin.elapsed()
}

/// A folder that a test fills and removes.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("leasehold-test-{}", random_hex()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! What the tests share: clients of a test server, and what is expected of a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::core::name::{self, Address, Namespace, VaultReference};
use leasehold::core::{Failure, Fields, Kind, Secret};
use leasehold::transport::TransportSettings;
use leasehold_testkit::{Server, random_hex};

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

/// Runs openssl in this folder and gives what it printed.
pub(crate) fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("`openssl` is needed: run `apt-get install openssl`");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {complaint}");
    output.stdout
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A new authority: `ca.pem` and `ca.key` of the folder.
pub(crate) fn authority(folder: &Path) -> PathBuf {
    openssl(folder, &format!("req -x509 {KEY} -subj /CN=test -days 1 -keyout ca.key -out ca.pem"));
    folder.join("ca.pem")
}

/// `NAME.pem` and `NAME.key`, signed by `ca.pem` of the folder.
pub(crate) fn certificate(folder: &Path, name: &str, extensions: &str, days: i8) {
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    openssl(folder, &format!("req {KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    let sign = format!("-CA ca.pem -CAkey ca.key -days {days} -extfile extensions");
    openssl(folder, &format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
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

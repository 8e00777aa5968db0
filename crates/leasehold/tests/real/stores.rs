//! The stores of a workstation, each on the real thing, and what all of them keep to.

mod kernel;
mod keyring;
mod migrate;
mod prompting;
mod sealed;
mod server;

use std::time::{Duration, SystemTime};

use leasehold::core::name::Entry;
use leasehold::core::{Kind, Secret};
use leasehold::store::Store;
use leasehold_testkit::canary;

/// Names as providers have them, and worse.
const NAMES: [&str; 6] = ["a", "api.openai.com/pro_key", "..", "a/../b.c/", "with space; and @", "ключ"];

fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A service that nobody else uses.
fn service(name: &str) -> Box<str> {
    canary(&format!("service-{name}")).into()
}

fn entry(service: &str, name: &str) -> Entry {
    Entry { service: service.into(), name: name.into() }
}

async fn put(store: &dyn Store, entry: &Entry, secret: &str) {
    store.put(entry, &Secret::new(secret)).await.unwrap();
}

async fn found(store: &dyn Store, entry: &Entry) -> String {
    store.find(entry).await.unwrap().expose().to_owned()
}

async fn listed(store: &dyn Store, service: &str) -> Vec<Entry> {
    store.list(service).await.unwrap().into_iter().map(|listed| listed.entry).collect()
}

/// When an entry that is there was written.
async fn written(store: &dyn Store, entry: &Entry) -> Option<SystemTime> {
    let listed = store.list(&entry.service).await.unwrap();
    listed.iter().find(|listed| listed.entry == *entry).expect("it is there").written
}

/// What each store does alike, with secrets of up to this length.
async fn assert_store(store: &dyn Store, service: &str, largest: usize) {
    assert_nothing_is_there(store, &entry(service, "a")).await;
    assert_secrets_come_back(store, &entry(service, "a"), largest).await;
    let names = NAMES.map(|name| entry(service, name));
    for (entry, secret) in names.iter().zip(["1", "2", "3", "4", "5", "6"]) {
        put(store, entry, secret).await;
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(listed(store, service).await, sorted);
    assert_many_at_once(store, &names).await;
    assert!(store.remove(&names[0]).await.unwrap());
    for (entry, secret) in names.iter().zip(["1", "2", "3", "4", "5", "6"]).skip(1) {
        assert_eq!(found(store, entry).await, secret, "{entry}");
        assert!(store.contains(entry).await.unwrap() && store.remove(entry).await.unwrap(), "{entry}");
    }
    assert_nothing_is_there(store, &names[1]).await;
}

/// Many are put and found as one is, each for itself and in the order given.
async fn assert_many_at_once(store: &dyn Store, names: &[Entry; 6]) {
    let secrets = ["1", "2", "3", "4", "5", "6"].map(Secret::new);
    let rows: Vec<_> = names.iter().cloned().zip(secrets.clone()).rev().collect();
    assert_eq!(store.put_all(&rows).await.into_iter().filter(Result::is_ok).count(), rows.len());
    let missing = entry(&names[0].service, "missing");
    let wanted = [&[missing], &names[..]].concat();
    let mut found = store.find_all(&wanted).await.into_iter();
    assert_eq!(found.next().unwrap().unwrap_err().kind(), Kind::NotFound);
    assert!(found.zip(&secrets).all(|(found, secret)| found.unwrap().is_same(secret)));
}

async fn assert_nothing_is_there(store: &dyn Store, entry: &Entry) {
    let failure = store.find(entry).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::NotFound, "{failure}");
    assert!(failure.advice().is_some(), "{failure}");
    assert!(!store.contains(entry).await.unwrap());
    assert!(!store.remove(entry).await.unwrap());
    assert_eq!(store.list(&entry.service).await.unwrap(), []);
}

async fn assert_secrets_come_back(store: &dyn Store, entry: &Entry, largest: usize) {
    let canary = canary("value");
    let long = "x".repeat(largest);
    for secret in [&*canary, " ", "a\0b", "line\nline\r\n", "\u{feff}é\u{1f600}\"\\", &long, "short again"] {
        put(store, entry, secret).await;
        assert!(store.find(entry).await.unwrap().is_same(&Secret::new(secret)), "{} bytes", secret.len());
    }
    assert_eq!(listed(store, &entry.service).await, std::slice::from_ref(entry));
    assert!(!format!("{store:?} {}", store.title()).contains(&canary));
}

/// When it was written is known and is about now, by clocks that may differ by as much as a minute.
async fn assert_written_now(store: &dyn Store, entry: &Entry) {
    let written = written(store, entry).await.expect("the store notes it");
    let now = SystemTime::now();
    let apart = now.duration_since(written).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(60), "{apart:?}");
}

//! Secrets of the server as a store, on both versions of the engine.

use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::core::{Kind, Policy};
use leasehold::session::{Session, SessionSettings};
use leasehold::store::{ServerStore, Store};
use leasehold_testkit::Server;
use serde_json::{Value, json};

use super::*;
use crate::ground::settings;
use crate::run::brought;

/// How long a session may take to end.
const LIMIT: Duration = Duration::from_secs(5);

/// A session with a token of this policy.
fn session(server: &Server, policy: &str) -> Session {
    server.policy("store", policy);
    let (_, reply) = server.api("POST", "auth/token/create", Some(json!({ "policies": ["store"] })));
    let token = reply["auth"]["client_token"].as_str().unwrap();
    Session::start(SessionSettings {
        client: VaultClient::new(&settings(&[server.address()]), None).unwrap(),
        identity: brought(token),
        state_dir: server.folder().join("state"),
        parent_ttl: Duration::from_secs(60),
        start_spread: Duration::ZERO,
        policy: Policy::default(),
    })
    .unwrap()
}

fn data(server: &Server, path: &str) -> Value {
    server.api("GET", path, None).1["data"].clone()
}

const ALL: &str = r#"
    path "secret/data/ai" { capabilities = ["create", "read", "update", "patch"] }
    path "secret/delete/ai" { capabilities = ["update"] }
    path "kv1/*" { capabilities = ["create", "read", "update", "delete"] }
"#;
/// No patches, and no deletions of versions.
const LITTLE: &str = r#"
    path "secret/data/ai" { capabilities = ["create", "read", "update"] }
    path "kv1/*" { capabilities = ["create", "read", "update", "delete"] }
"#;
const READING: &str = r#"path "secret/data/ai" { capabilities = ["read"] }"#;

fn server() -> Server {
    let server = Server::start();
    let mount = json!({ "type": "kv", "options": { "version": "1" } });
    assert_eq!(server.api("POST", "sys/mounts/kv1", Some(mount)).0, 204);
    server
}

#[tokio::test]
async fn both_versions_are_stores() {
    let server = server();
    let session = session(&server, ALL);
    let store = ServerStore::new(&session);
    assert_store(&store, "secret/ai", 500_000).await;
    assert_store(&store, "kv1/ai", 300_000).await;
    put(&store, &entry("secret/ai", "a"), "x").await;
    assert_written_now(&store, &entry("secret/data/ai", "a")).await;
    put(&store, &entry("kv1/ai", "a"), "x").await;
    assert_eq!(written(&store, &entry("kv1/ai", "a")).await, None);
    session.close(LIMIT).await;
}

#[tokio::test]
async fn other_fields_stay_what_they_are() {
    let server = server();
    let others = json!({ "n": 17, "o": { "a": [1, null] }, "t": "text" });
    for policy in [ALL, LITTLE] {
        server.put_secret("secret/ai", others.clone());
        server.api("POST", "kv1/ai", Some(others.clone()));
        let session = session(&server, policy);
        let store = ServerStore::new(&session);
        for (service, path, pointer) in [("secret/ai", "secret/data/ai", "/data"), ("kv1/ai", "kv1/ai", "")] {
            put(&store, &entry(service, "openai"), "canary").await;
            let with: Value = data(&server, path).pointer(pointer).unwrap().clone();
            assert_eq!(with["openai"], "canary");
            assert!(store.remove(&entry(service, "openai")).await.unwrap());
            assert_eq!(data(&server, path).pointer(pointer).unwrap(), &others, "{service}");
        }
        session.close(LIMIT).await;
    }
}

/// The server keeps ten versions of a secret: a migration must not push out those of before.
#[tokio::test]
async fn many_fields_are_one_version() {
    let server = server();
    let fields: Vec<_> =
        (0..50).map(|n| (entry("secret/ai", &n.to_string()), Secret::new(n.to_string()))).collect();
    server.put_secret("secret/ai", json!({ "first": 1 }));
    for (policy, version) in [(ALL, 2), (LITTLE, 3)] {
        let session = session(&server, policy);
        let answers = ServerStore::new(&session).put_all(&fields).await;
        assert!(answers.len() == 50 && answers.iter().all(Result::is_ok), "{answers:?}");
        let there = data(&server, "secret/data/ai");
        assert_eq!(there["metadata"]["version"], version);
        assert_eq!((&there["data"]["first"], &there["data"]["49"]), (&json!(1), &json!("49")));
        session.close(LIMIT).await;
    }
    let session = session(&server, READING);
    assert_eq!(ServerStore::new(&session).put_all(&fields).await.len(), 1, "the first failure ends it");
    session.close(LIMIT).await;
}

#[tokio::test]
async fn with_its_last_field_a_secret_is_deleted_or_left_empty() {
    let server = server();
    let check = async |policy: &str, is_deleted: bool| {
        let session = session(&server, policy);
        let (store, key) = (ServerStore::new(&session), entry("secret/ai", "openai"));
        put(&store, &key, "canary").await;
        assert!(store.remove(&key).await.unwrap());
        assert!(!store.contains(&key).await.unwrap() && !store.remove(&key).await.unwrap());
        assert_eq!(server.api("GET", "secret/data/ai", None).0 == 404, is_deleted);
        put(&store, &key, "canary-again").await;
        assert_eq!(found(&store, &key).await, "canary-again");
        session.close(LIMIT).await;
    };
    check(ALL, true).await;
    check(LITTLE, false).await;
}

#[tokio::test]
async fn writers_at_once_lose_nothing() {
    let server = server();
    for policy in [ALL, LITTLE] {
        let session = session(&server, policy);
        let store = ServerStore::new(&session);
        let writer = async |writer: u32| {
            for n in 0..10 {
                put(&store, &entry("secret/ai", &format!("{writer}-{n}")), "x").await;
            }
            assert!(store.remove(&entry("secret/ai", &format!("{writer}-0"))).await.unwrap());
        };
        tokio::join!(writer(0), writer(1), writer(2), writer(3));
        assert_eq!(store.list("secret/ai").await.unwrap().len(), 36);
        server.api("DELETE", "secret/metadata/ai", None);
        session.close(LIMIT).await;
    }
}

#[tokio::test]
async fn what_the_token_may_not_and_what_is_no_secret_is_told() {
    let server = server();
    server.put_secret("secret/ai", json!({ "openai": "canary" }));
    let session = session(&server, READING);
    let (store, key) = (ServerStore::new(&session), entry("secret/ai", "openai"));
    assert_eq!(found(&store, &key).await, "canary");
    let denied = [
        store.put(&key, &Secret::new("other")).await.unwrap_err(),
        store.remove(&key).await.unwrap_err(),
        store.find(&entry("secret/other", "a")).await.unwrap_err(),
    ];
    assert!(denied.iter().all(|failure| failure.kind() == Kind::Denied), "{denied:?}");
    assert_eq!(found(&store, &key).await, "canary");
    for path in ["secret", "", "sys/health", "../x"] {
        let failure = store.find(&entry(path, "a")).await.unwrap_err();
        assert!(matches!(failure.kind(), Kind::Invalid | Kind::Denied), "{path}: {failure}");
    }
    session.close(LIMIT).await;
}

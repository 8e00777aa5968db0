//! `VaultClient`: secrets by the paths people write, and what is said when there is none.

use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::core::name::VaultReference;
use leasehold::core::{Kind, Secret};
use leasehold_testkit::{Canaries, Fault, Proxy, Server};
use serde_json::json;

use crate::ground::{assert_failure, client, namespace, reference, root, settings, told};

async fn check(client: &VaultClient, path: &str, expect: &str) {
    let read = client.read_kv_secret(path).await.unwrap_or_else(|failure| panic!("{path}: {failure}"));
    let got = client.get_secret(path).await.unwrap();
    assert_eq!((told(&read), told(&got)), (expect.to_owned(), expect.to_owned()), "{path}");
}

#[tokio::test(flavor = "current_thread")]
async fn secrets_are_read_by_the_paths_that_people_write() {
    let server = Server::start();
    server.engine("old", "kv", json!({ "options": { "version": "1" } }));
    server.engine("team/kv", "kv", json!({ "options": { "version": "2" } }));
    server.engine("team/old", "kv", json!({ "options": { "version": "1" } }));
    server.put_secret("secret/db", json!({ "user": "app", "port": 5432 }));
    server.put_secret("secret/data/x", json!({ "a": "doubled" }));
    server.put_secret("secret/deep/er/db", json!({ "a": "deep" }));
    for (path, body) in [
        ("old/db", json!({ "a": "one" })),
        ("old/data/db", json!({ "a": "named data" })),
        ("team/old/db", json!({ "a": "old team" })),
        ("team/kv/data/db", json!({ "data": { "a": "team" } })),
        ("secret/data/a%20b%2Bc", json!({ "data": { "a": "spaced" } })),
    ] {
        assert!(server.api("POST", path, Some(body)).0 < 300, "{path}");
    }
    let client = root(&server);
    check(&client, "secret/db", "port=5432 user=app").await;
    check(&client, "secret/data/db", "port=5432 user=app").await;
    check(&client, "secret/data/data/x", "a=doubled").await;
    check(&client, "secret/deep/er/db", "a=deep").await;
    check(&client, "secret/a b+c", "a=spaced").await;
    check(&client, "old/db", "a=one").await;
    check(&client, "old/data/db", "a=named data").await;
    check(&client, "team/old/db", "a=old team").await;
    check(&client, "team/kv/db", "a=team").await;
    check(&client, "team/kv/data/db", "a=team").await;
    let token = server.token(json!({ "policies": ["default"], "meta": { "a": "b" } }));
    assert!(!format!("{:?}", client.with_token(Secret::new(&*token))).contains(&token));
}

#[tokio::test(flavor = "current_thread")]
async fn namespaces_are_the_clients_or_the_references() {
    let server = Server::start();
    let root_token = server.root_token();
    server.put_secret("secret/db", json!({ "a": "root" }));
    for (team, parent) in [("team", None), ("inner", Some("team")), ("other", None)] {
        let path = format!("sys/namespaces/{team}");
        assert_eq!(server.api_as(root_token, "POST", &path, None, parent).0, 200);
    }
    for (place, value) in [("team", "team"), ("team/inner", "inner"), ("other", "other")] {
        let mount = json!({ "type": "kv", "options": { "version": "2" } });
        let at = Some(place);
        assert_eq!(server.api_as(root_token, "POST", "sys/mounts/secret", Some(mount), at).0, 204);
        let body = json!({ "data": { "a": value } });
        assert_eq!(server.api_as(root_token, "POST", "secret/data/db", Some(body), at).0, 200);
    }
    let here = root(&server);
    let team = VaultClient::new(&settings(&[server.address()]), Some(namespace("team"))).unwrap();
    team.set_token(Secret::new(root_token), None);
    check(&here, "secret/db", "a=root").await;
    check(&team, "secret/db", "a=team").await;
    check(&here, "team/secret/db", "a=team").await;
    check(&here, "team/secret/data/db", "a=team").await;
    check(&here, "team/inner/secret/db", "a=inner").await;
    check(&team, "inner/secret/db", "a=inner").await;
    for (client, name, expect) in [(&here, "team", "a=team"), (&team, "other", "a=other")] {
        let place = VaultReference { namespace: Some(namespace(name)), ..reference("secret/db") };
        assert_eq!(told(&client.read(&place).await.unwrap().fields), expect);
    }
    check(&here, "secret/db", "a=root").await;
    assert!(team.health_check().await.unwrap().is_up());
    let nowhere = VaultReference { namespace: Some(namespace("nowhere")), ..reference("secret/db") };
    let failure = here.read(&nowhere).await.unwrap_err();
    assert_failure(
        &failure,
        Kind::NotFound,
        "namespace nowhere: the namespace does not exist (reading sys/internal/ui/mounts/secret/db)",
        "check its name",
    );
}

fn at(path: &str, version: u64) -> VaultReference {
    VaultReference { version: Some(version), ..reference(path) }
}

#[tokio::test(flavor = "current_thread")]
async fn versions_and_their_absence() {
    let server = Server::start();
    for (number, value) in ["one", "two", "three", "four"].iter().enumerate() {
        assert_eq!(server.put_secret("secret/db", json!({ "a": value })), number as u64 + 1);
    }
    assert_eq!(server.api("POST", "secret/delete/db", Some(json!({ "versions": [2] }))).0, 204);
    assert_eq!(server.api("PUT", "secret/destroy/db", Some(json!({ "versions": [3] }))).0, 204);
    server.engine("old", "kv", json!({ "options": { "version": "1" } }));
    server.api("POST", "old/db", Some(json!({ "a": "b" })));
    let client = root(&server);
    let newest = client.read(&reference("secret/db")).await.unwrap();
    assert_eq!((told(&newest.fields), newest.version), ("a=four".to_owned(), Some(4)));
    let first = client.read(&at("secret/db", 1)).await.unwrap();
    assert_eq!((told(&first.fields), first.version), ("a=one".to_owned(), Some(1)));
    assert_absences(&client).await;
}

/// What is said of each secret that is not there, on the server of the test above.
async fn assert_absences(client: &VaultClient) {
    let deleted = client.read(&at("secret/db", 2)).await.unwrap_err();
    assert!(deleted.message().starts_with("version 2 of secret/db was deleted at 20"), "{deleted}");
    assert_eq!(deleted.advice(), Some("undelete it, or ask for another version"));
    let cases = [
        (
            at("secret/db", 3),
            Kind::NotFound,
            "version 3 of secret/db was destroyed",
            "ask for another version, or write a new one",
        ),
        (
            at("secret/db", 99),
            Kind::NotFound,
            "there is no version 99 of secret/db",
            "ask for the newest, which needs no version, or check the path",
        ),
        (
            reference("secret/nothing"),
            Kind::NotFound,
            "there is no secret secret/nothing",
            "check the path, or write the secret first",
        ),
        (
            reference("old/nothing"),
            Kind::NotFound,
            "there is no secret old/nothing",
            "check the path, or write the secret first",
        ),
        (
            at("old/db", 1),
            Kind::Invalid,
            "old is of KV version 1, which keeps no versions (asked for old/db)",
            "leave the version out, or have the mount upgraded to version 2",
        ),
        (
            reference("nowhere/db"),
            Kind::Denied,
            "denied: no policy of the token allows to read nowhere/db, or nothing is mounted there",
            "allow it with `path \"nowhere/data/db\" { capabilities = [\"read\"] }` \
             (without `data/` if `nowhere` is not KV version 2)",
        ),
        (at("cubbyhole/db", 1), Kind::Invalid, "cubbyhole/db is not in a KV engine and has no versions", ""),
    ];
    for (reference, kind, message, hint) in cases {
        assert_failure(&client.read(&reference).await.unwrap_err(), kind, message, hint);
    }
    let failure = client.read_kv_secret("secret//db").await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Invalid, "{failure}");
}

/// The part of a hint that is a policy.
fn policy_in(hint: &str) -> &str {
    let (begin, end) = (hint.find("path \"").unwrap(), hint.rfind('}').unwrap());
    &hint[begin..=end]
}

#[tokio::test(flavor = "current_thread")]
async fn a_denied_read_names_the_policy_that_would_allow_it() {
    let server = Server::start();
    let mut canaries = Canaries::default();
    server.put_secret("secret/db", json!({ "a": canaries.plant("value") }));
    server.policy("app", r#"path "secret/data/other" { capabilities = ["read"] }"#);
    let token = server.token(json!({ "policies": ["app"] }));
    canaries.watch(&token);
    let narrow = client(&[server.address()], &token);
    let failure = narrow.read_kv_secret("secret/db").await.unwrap_err();
    assert_failure(
        &failure,
        Kind::Denied,
        "the token's policies do not allow it (reading secret/data/db)",
        r#"path "secret/data/db" { capabilities = ["read"] }"#,
    );
    canaries.assert_absent(format!("{failure:?} {narrow:?}").as_bytes(), "a failure");
    server.policy("app", policy_in(failure.advice().unwrap()));
    assert!(narrow.read_kv_secret("secret/db").await.is_ok());

    // A token that may do nothing at all below the mount is not even told what is mounted.
    server.policy("none", r#"path "elsewhere/*" { capabilities = ["read"] }"#);
    let blind = client(&[server.address()], &server.token(json!({ "policies": ["none"] })));
    let failure = blind.read_kv_secret("secret/data/db").await.unwrap_err();
    assert_failure(
        &failure,
        Kind::Denied,
        "denied: no policy of the token allows to read secret/data/db, or nothing is mounted there",
        "allow it with `path \"secret/data/db\" { capabilities = [\"read\"] }` \
         (without `data/` if `secret` is not KV version 2)",
    );
    server.policy("none", policy_in(failure.advice().unwrap()));
    assert!(blind.read_kv_secret("secret/db").await.is_ok());
}

#[tokio::test(flavor = "current_thread")]
async fn a_mount_that_changes_is_seen_by_a_client_that_knew_the_old_one() {
    let server = Server::start();
    server.engine("app", "kv", json!({ "options": { "version": "1" } }));
    server.api("POST", "app/db", Some(json!({ "a": "one" })));
    let client = root(&server);
    check(&client, "app/db", "a=one").await;
    server.api("DELETE", "sys/mounts/app", None);
    server.engine("app", "kv", json!({ "options": { "version": "2" } }));
    server.put_secret("app/db", json!({ "a": "two" }));
    check(&client, "app/db", "a=two").await;
}

#[tokio::test(flavor = "current_thread")]
async fn tokens_renew_themselves() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "120s", "policies": ["default"] }));
    let client = client(&[server.address()], &token);
    assert!(!client.should_renew_token(), "of a token of unknown end nothing is known");
    let renewal = client.renew_self(Some(Duration::from_secs(600))).await.unwrap();
    assert_eq!(renewal.lease_duration.as_secs(), 600);
    assert!(!client.should_renew_token());
    let clone = client.clone();
    let renewal = client.renew_self(Some(Duration::from_secs(299))).await.unwrap();
    assert_eq!(renewal.lease_duration.as_secs(), 299);
    assert!(client.should_renew_token() && clone.should_renew_token());
    let usual = client.renew_self(None).await.unwrap();
    assert!(usual.lease_duration.as_secs() > 0);
    client.set_token(Secret::new(server.token(json!({ "explicit_max_ttl": "30s" }))), None);
    let capped = client.renew_self(Some(Duration::from_secs(600))).await.unwrap();
    assert!(capped.lease_duration.as_secs() <= 30 && capped.warnings[0].contains("capped"));

    client.set_token(Secret::new(server.root_token()), None);
    let failure = client.renew_self(None).await.unwrap_err();
    let message = "it cannot be renewed (writing auth/token/renew-self)";
    assert_failure(&failure, Kind::Invalid, message, "ask for a new one");
    client.set_token(Secret::new(server.token(json!({ "renewable": false, "ttl": "60s" }))), None);
    let failure = client.renew_self(None).await.unwrap_err();
    assert_failure(&failure, Kind::Invalid, message, "ask for a new one");
    client.set_token(Secret::new("hvs.never"), None);
    let failure = client.renew_self(None).await.unwrap_err();
    let message = "the token is not valid any more (writing auth/token/renew-self)";
    assert_failure(&failure, Kind::Expired, message, "log in again");
}

#[tokio::test(flavor = "current_thread")]
async fn health_is_an_answer_in_every_state() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let client = client(&[&proxy.address()], "");
    let health = client.health_check().await.unwrap();
    assert!(health.is_up() && !health.standby && !health.version.is_empty());
    server.seal();
    let health = client.health_check().await.unwrap();
    assert!(health.initialized && health.sealed && !health.is_up());
    let failure = client.read_kv_secret("secret/db").await.unwrap_err();
    assert_eq!((failure.kind(), failure.advice()), (Kind::Sealed, Some("unseal it first")));
    assert!(failure.message().starts_with("the server is sealed"), "{failure}");
    server.unseal();
    let body = |initialized: bool, sealed: bool, standby: bool| {
        json!({ "initialized": initialized, "sealed": sealed, "standby": standby }).to_string()
    };
    for (status, body, is_up, standby) in [
        (429, body(true, false, true), true, true),
        (472, body(true, false, false), true, false),
        (473, body(true, false, true), true, true),
        (501, body(false, true, false), false, false),
        (503, body(true, true, false), false, false),
    ] {
        proxy.set_for("sys/health", Fault::Answer(status, body), 1);
        let health = client.health_check().await.unwrap();
        assert_eq!((health.is_up(), health.standby), (is_up, standby), "{status}");
    }
    proxy.set(Fault::Answer(502, "<html>bad gateway</html>".into()));
    let failure = client.health_check().await.unwrap_err();
    let message = "a gateway got no answer from the server (reading sys/health)";
    assert_failure(&failure, Kind::Unreachable, message, "");
}

#[tokio::test(flavor = "current_thread")]
async fn a_sealed_server_is_asked_without_a_token_until_it_is_open() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "a": "b" }));
    let proxy = Proxy::start(server.address());
    let client = client(&[&proxy.address()], server.root_token());
    assert!(client.read_kv_secret("secret/db").await.is_ok());
    server.seal();
    for _ in 0..3 {
        assert_eq!(client.read_kv_secret("secret/db").await.unwrap_err().kind(), Kind::Sealed);
    }
    let heads = proxy.heads("").split_off(2);
    let (with, without): (Vec<_>, Vec<_>) = heads.iter().partition(|head| head.contains("x-vault-token"));
    assert_eq!((with.len(), without.len()), (1, 2), "the first was to find out");
    assert!(without.iter().all(|head| head.starts_with("GET /v1/sys/health ")));
    server.unseal();
    assert!(client.read_kv_secret("secret/db").await.is_ok());
}

//! Where the token may be, and what may be there in its place.

use leasehold::client::VaultClient;
use leasehold::core::{Kind, Secret};
use leasehold::token_refresh::{TokenIssuer, TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess};
use leasehold_testkit::Server;
use serde_json::{Value, json};

use crate::ground::{self, namespace, settings};
use crate::panel::{API, Panel, assert_failed, becomes, fallback, place, token};
use crate::run::brought;

/// What the API knows the token by is written there, read, written by an issuer, and read again.
async fn check(server: &Server, team: Option<&str>, prefix: &str, hash: &str, api: &str, version: u8) {
    let write = |text: &str| {
        let fields = json!({ "token": text });
        let body = if version == 2 { json!({ "data": fields }) } else { fields };
        let (status, reply) = server.api_as(server.root_token(), "POST", api, Some(body), team);
        assert!(status < 300, "{api}: {reply}");
    };
    write("first");
    let client = VaultClient::new(&settings(&[server.address()]), team.map(namespace)).unwrap();
    let (place, identity) = (TokenPlace::new(prefix, hash).unwrap(), brought(server.root_token()));
    let state_dir = server.folder().join(format!("state-{}", leasehold_testkit::random_hex()));
    let issuer = TokenIssuer::new(client.with_token(Secret::new(server.root_token())), place.clone());
    let access = VaultAccess { client, identity, place, state_dir };
    let refresh = TokenRefresh::start(TokenRefreshSettings::new(access)).unwrap();
    becomes(&refresh, "first").await;
    write("second");
    assert_eq!(refresh.refresh_now().await, Ok(true), "{prefix}");
    issuer.store_token(&Secret::new("third")).await.unwrap();
    assert_eq!(refresh.refresh_now().await, Ok(true), "{prefix}");
    assert_eq!((token(refresh.tokens()).as_str(), refresh.metrics().token_rotations_total), ("third", 2));
    refresh.stop().await;
}

#[tokio::test]
async fn each_way_to_write_the_place_leads_to_the_token() {
    let server = Server::start();
    for (mount, version) in [("status_panel", "2"), ("kv1", "1"), ("team/kv", "2"), ("team/old", "1")] {
        server.engine(mount, "kv", json!({ "options": { "version": version } }));
    }
    check(&server, None, "status_panel", "default", "status_panel/data/default/token", 2).await;
    check(&server, None, "status_panel/data", "d", "status_panel/data/d/token", 2).await;
    check(&server, None, "secret/status_panel", "d", "secret/data/status_panel/d/token", 2).await;
    check(&server, None, "/secret/data/status_panel/", "e", "secret/data/status_panel/e/token", 2).await;
    check(&server, None, "kv1", "d", "kv1/d/token", 1).await;
    check(&server, None, "kv1/data", "d", "kv1/data/d/token", 1).await;
    check(&server, None, "team/kv", "d", "team/kv/data/d/token", 2).await;
    check(&server, None, "team/kv/data/a", "d", "team/kv/data/a/d/token", 2).await;
    check(&server, None, "team/old/a", "d", "team/old/a/d/token", 1).await;
    check(&server, None, "kv1", "a b?c#d&e", "kv1/a%20b%3Fc%23d&e/token", 1).await;
}

#[tokio::test]
async fn a_namespace_has_tokens_of_its_own() {
    let server = Server::start();
    assert_eq!(server.api("POST", "sys/namespaces/team", None).0, 200);
    for version in [1, 2] {
        let mount = format!("kv{version}");
        let body = json!({ "type": "kv", "options": { "version": version.to_string() } });
        let path = format!("sys/mounts/{mount}");
        assert!(server.api_as(server.root_token(), "POST", &path, Some(body), Some("team")).0 < 300);
        let word = if version == 2 { "data/" } else { "" };
        check(&server, Some("team"), &mount, "d", &format!("{mount}/{word}d/token"), version).await;
    }
}

#[tokio::test]
async fn what_is_no_token_is_told_and_changes_nothing() {
    let panel = Panel::with("good");
    let refresh = TokenRefresh::start(panel.settings(panel.0.address())).unwrap();
    becomes(&refresh, "good").await;
    let (no_text, empty) =
        ("the token in status_panel/d-1/token is no text", "the token in status_panel/d-1/token is empty");
    let no_field = "the secret status_panel/d-1/token has no field `token`";
    let table: [(Value, Kind, &str); 8] = [
        (json!({ "Token": "x" }), Kind::NotFound, no_field),
        (json!({}), Kind::NotFound, no_field),
        (json!({ "token": "" }), Kind::Invalid, empty),
        (json!({ "token": " \t\n" }), Kind::Invalid, empty),
        (json!({ "token": null }), Kind::Invalid, no_text),
        (json!({ "token": 17 }), Kind::Invalid, no_text),
        (json!({ "token": { "token": "x" } }), Kind::Invalid, no_text),
        (json!({ "token": ["x"] }), Kind::Invalid, no_text),
    ];
    for (count, (fields, kind, message)) in (1..).zip(table) {
        panel.put_fields(fields);
        assert_failed(refresh.refresh_now().await, kind, message);
        assert_eq!(token(refresh.tokens()), "good");
        assert_eq!(refresh.health().last_refresh_ok, Some(false), "{message}");
        assert_eq!(refresh.metrics().vault_fetch_errors_total, count, "{message}");
    }
    panel.put("good");
    assert_eq!((refresh.refresh_now().await, refresh.health().last_refresh_ok), (Ok(false), Some(true)));
    panel.put("null");
    assert_eq!(refresh.refresh_now().await, Ok(true));
    assert_eq!(panel.0.api("DELETE", API, None).0, 204);
    let failure = refresh.refresh_now().await.unwrap_err();
    assert!(failure.message().starts_with("version 11 of status_panel/d-1/token was deleted"), "{failure}");
    assert_eq!(panel.0.api("DELETE", &API.replace("/data/", "/metadata/"), None).0, 204);
    assert_failed(refresh.refresh_now().await, Kind::NotFound, "there is no secret status_panel/d-1/token");
    assert_eq!((token(refresh.tokens()).as_str(), refresh.metrics().token_rotations_total), ("null", 1));
    refresh.stop().await;
}

#[tokio::test]
async fn what_the_policies_do_not_allow_is_told_and_the_fallback_is_served() {
    let panel = Panel::with("hidden");
    let mut settings = panel.settings(panel.0.address());
    settings.vault.as_mut().unwrap().identity = brought(&panel.0.token(json!({ "policies": ["default"] })));
    (settings.fallback, _) = fallback("fallback");
    let refresh = TokenRefresh::start(settings).unwrap();
    assert_eq!(refresh.refresh_now().await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(
        (token(refresh.tokens()).as_str(), refresh.health().last_refresh_ok),
        ("fallback", Some(false))
    );
    refresh.stop().await;
}

#[tokio::test]
async fn a_place_in_another_engine_is_told() {
    let panel = Panel::start();
    panel.0.engine("bits", "transit", json!({}));
    let client = ground::root(&panel.0);
    let issuer = TokenIssuer::new(client, TokenPlace::new("bits", "d").unwrap());
    let failure = issuer.store_token(&Secret::new("x")).await.unwrap_err();
    assert_eq!(failure.message(), "bits/d/token is in no key-value engine");
}

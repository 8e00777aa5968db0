//! The routes, on a server of axum: their bodies to the letter, their headers, and what they do not say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use leasehold::client::VaultClient;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::core::name::Address;
use leasehold::health::{Vitals, router};
use leasehold::identity::{Identity, Source};
use leasehold::signing::{Covering, Verifier};
use leasehold::token_cache::TokenCache;
use leasehold::token_manager::{TokenManager, TokenManagerSettings};
use leasehold::token_refresh::{Fallback, TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess};
use leasehold::transport::TransportSettings;
use leasehold_testkit::{Canaries, Fault, Proxy, Server, random_hex};
use serde_json::{Value, json};

use crate::asked::{Answer, ask};

/// Serves until the test ends; `HOST:PORT`.
async fn serve(vitals: Vitals) -> String {
    serve_as(router(vitals)).await
}

async fn serve_as(service: Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

fn client(address: &str) -> VaultClient {
    VaultClient::new(&TransportSettings::new(vec![Address::parse(address).unwrap()]), None).unwrap()
}

fn brought(token: &str) -> Identity {
    Identity::Brought(Source::Value(Secret::new(token)))
}

/// A manager that has its token.
async fn manager(server: &Server, address: &str, token: &str) -> Arc<TokenManager> {
    let settings = TokenManagerSettings::new(server.folder().join(random_hex()));
    let manager = TokenManager::new(client(address), brought(token), settings);
    manager.start().unwrap();
    manager.ready().await.unwrap();
    Arc::new(manager)
}

/// A refresh that has its token, from `secret/D/token`.
async fn refresh(server: &Server, token: &str) -> Arc<TokenRefresh> {
    server.put_secret("secret/D/token", json!({ "token": token }));
    let access = VaultAccess {
        client: client(server.address()),
        identity: brought(server.root_token()),
        place: TokenPlace::new("secret", "D").unwrap(),
        state_dir: server.folder().join(random_hex()),
    };
    let refresh = TokenRefresh::start(TokenRefreshSettings::new(access)).unwrap();
    refresh.refresh_now().await.unwrap();
    Arc::new(refresh)
}

/// A verifier that has refused one request.
fn verifier(token: &str) -> Arc<Verifier> {
    let tokens = TokenCache::new(Clock::default(), Duration::ZERO);
    tokens.rotate(Secret::new(token));
    let verifier = Verifier::new(tokens, Covering::Body);
    assert!(verifier.open(&http::Request::new(())).is_err());
    Arc::new(verifier)
}

/// The text with each number as `0`, so that the rest can be compared to the letter.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('0') => {}
            '0'..='9' => masked.push('0'),
            other => masked.push(other),
        }
    }
    masked
}

fn assert_body(answer: &Answer, status: u16, expect: &str) {
    assert_eq!((answer.status, &*masked(&answer.body)), (status, expect), "{answer:?}");
    assert!(answer.says("cache-control: no-store"), "{answer:?}");
    assert!(answer.says("content-type: application/json"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_is_told_by_two_bodies() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "48h" }));
    let manager = manager(&server, &proxy.address(), &token).await;
    let address = serve(Vitals::default().manager(Arc::clone(&manager))).await;
    let well = concat!(
        r#"{"healthy":true,"ttl_hours":0.0,"renewal_count":0,"failure_count":0,"#,
        r#""last_check":"0-0-0T0:0:0Z"}"#
    );
    let health = ask(&address, "GET /health/vault");
    assert_body(&health, 200, well);
    let hours = serde_json::from_str::<Value>(&health.body).unwrap()["ttl_hours"].as_f64().unwrap();
    assert!((47.9..=48.0).contains(&hours), "{hours}");
    let metrics = concat!(
        r#"{"token_ttl_hours":0.0,"token_ttl_days":0.0,"renewal_count":0,"failure_count":0,"#,
        r#""last_check_ago":0,"needs_renewal":false}"#
    );
    assert_body(&ask(&address, "GET /metrics/vault"), 200, metrics);
    proxy.set(Fault::Refuse);
    assert!(!manager.force_renewal().await);
    assert_body(&ask(&address, "GET /health/vault"), 503, &well.replace("true", "false"));
    assert!(ask(&address, "GET /metrics").body.contains("\nleasehold_failures_total 1\n"));
    assert_eq!(ask(&address, "GET /health").status, 404, "there is no refresh");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_null() {
    let server = Server::start();
    let manager = manager(&server, server.address(), server.root_token()).await;
    let address = serve(Vitals::default().manager(manager)).await;
    let body = ask(&address, "GET /health/vault").body;
    assert!(body.starts_with(r#"{"healthy":true,"ttl_hours":null,"#), "{body}");
    let body = ask(&address, "GET /metrics/vault").body;
    assert!(body.starts_with(r#"{"token_ttl_hours":null,"token_ttl_days":null,"#), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_told_by_one() {
    let server = Server::start();
    let address = serve(Vitals::default().refresh(refresh(&server, "blue").await)).await;
    let expect = r#"{"status":"ok","token_age_seconds":0,"last_refresh_ok":true}"#;
    assert_body(&ask(&address, "GET /health"), 200, expect);
    assert_eq!(ask(&address, "GET /health/vault").status, 404, "there is no manager");

    let fallback = Fallback::of(Source::Value(Secret::new("blue")));
    let without = TokenRefresh::start(TokenRefreshSettings::without_vault(fallback)).unwrap();
    let address = serve(Vitals::default().refresh(Arc::new(without))).await;
    let expect = r#"{"status":"ok","token_age_seconds":0,"last_refresh_ok":null}"#;
    assert_body(&ask(&address, "GET /health"), 200, expect);
}

/// A service that has all three.
async fn full(server: &Server, own: &str, shared: &str) -> String {
    let vitals = Vitals::default().manager(manager(server, server.address(), own).await);
    serve(vitals.refresh(refresh(server, shared).await).verifier(verifier(shared))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_all_in_one_text() {
    let server = Server::start();
    let address = full(&server, server.root_token(), "blue").await;
    let metrics = ask(&address, "GET /metrics");
    assert!(metrics.says("content-type: text/plain; version=0.0.4"), "{metrics:?}");
    let values: Vec<_> = metrics.body.lines().filter(|line| !line.starts_with('#')).map(masked).collect();
    let expect = [
        "leasehold_token_ttl_hours +Inf",
        "leasehold_token_ttl_days +Inf",
        "leasehold_renewals_total 0",
        "leasehold_failures_total 0",
        "leasehold_needs_renewal 0",
        "leasehold_healthy 0",
        "leasehold_last_check_ago_seconds 0",
        "vault_fetch_errors_total 0",
        "token_rotations_total 0",
        "token_age_seconds 0",
        "token_confirmed_ago_seconds 0",
        "last_refresh_ok 0",
        "token_healthy 0",
        "hmac_verification_failures_total 0",
    ];
    assert_eq!(values, expect);
    assert!(metrics.body.ends_with("\nhmac_verification_failures_total 1\n"), "{}", metrics.body);
    assert_eq!(metrics.body.lines().count(), 3 * expect.len(), "each has a help and a kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_have_metrics_of_its_own() {
    let vitals = Vitals::default().verifier(verifier("blue")).without_metrics();
    let mine = vitals.clone();
    let own = axum::routing::get(async move || format!("mine 1\n{}", mine.prometheus()));
    let address = serve_as(Router::new().route("/metrics", own).merge(router(vitals))).await;
    let body = ask(&address, "GET /metrics").body;
    assert!(
        body.starts_with("mine 1\n") && body.ends_with("\nhmac_verification_failures_total 1\n"),
        "{body}"
    );
}

const PATHS: [&str; 4] = ["/health", "/health/vault", "/metrics/vault", "/metrics"];

#[tokio::test(flavor = "multi_thread")]
async fn they_are_read_and_nothing_else() {
    let server = Server::start();
    let address = full(&server, server.root_token(), "blue").await;
    for path in PATHS {
        let whole = ask(&address, &format!("GET {path}"));
        let length = format!("content-length: {}", whole.body.len());
        let head = ask(&address, &format!("HEAD {path}"));
        assert_eq!((head.status, head.says(&length), &*head.body), (200, true, ""), "{path}: {head:?}");
        assert!(head.says("cache-control: no-store"), "{path}: {head:?}");
        for method in ["POST", "PUT", "DELETE"] {
            let answer = ask(&address, &format!("{method} {path}"));
            assert_eq!((answer.status, answer.says("allow: get,head")), (405, true), "{path}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_and_no_server_waited_for() {
    let (server, mut canaries) = (Server::start(), Canaries::default());
    let proxy = Proxy::start(server.address());
    let own = server.token(json!({ "ttl": "1h" }));
    canaries.watch(&own);
    canaries.watch(server.root_token());
    let shared = canaries.plant("shared");
    let manager = manager(&server, &proxy.address(), &own).await;
    let vitals = Vitals::default().manager(Arc::clone(&manager));
    let address = serve(vitals.refresh(refresh(&server, &shared).await).verifier(verifier(&shared))).await;
    proxy.set(Fault::Hang);
    let renewal = tokio::spawn(async move { manager.force_renewal().await });
    proxy.wait_for("renew-self", 1);
    let begun = Instant::now();
    for path in PATHS {
        let answer = ask(&address, &format!("GET {path}"));
        canaries.assert_absent(answer.head.as_bytes(), path);
        canaries.assert_absent(answer.body.as_bytes(), path);
    }
    assert!(!renewal.is_finished() && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    renewal.abort();
}

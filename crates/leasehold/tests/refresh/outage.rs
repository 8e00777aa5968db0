//! The server is away, or its token is.

use std::time::{Duration, Instant};

use leasehold::clock::Clock;
use leasehold::core::Kind;
use leasehold::token_refresh::{AgentHealth, TokenRefresh};
use leasehold_testkit::{Fault, Proxy};
use serde_json::json;

use crate::panel::{API, Panel, becomes, eventually, fallback, token};
use crate::run::{approle, brought, identity};

const POLICY: &str = r#"path "status_panel/data/d-1/token" { capabilities = ["read"] }"#;

#[tokio::test]
async fn away_readers_keep_the_token_and_a_new_one_comes_by_itself() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let mut settings = panel.hasty(&proxy.address());
    let (clock, steering) = Clock::steered();
    settings.clock = clock;
    let refresh = TokenRefresh::start(settings).unwrap();
    becomes(&refresh, "first").await;
    proxy.set(Fault::Refuse);
    eventually(|| refresh.metrics().vault_fetch_errors_total >= 2).await;
    let away = refresh.health();
    assert_eq!((away.status, away.last_refresh_ok, away.code()), ("ok", Some(false), 200));
    assert_eq!(refresh.refresh_now().await.unwrap_err().kind(), Kind::Unreachable);
    steering.sleep(Duration::from_secs(3600));
    let long = refresh.health();
    assert!(long.status == "stale" && long.code() == 200, "{long:?}");
    assert!(long.token_age_seconds.unwrap() >= 3600 && token(refresh.tokens()) == "first", "{long:?}");
    panel.put("second");
    proxy.set(Fault::Pass);
    becomes(&refresh, "second").await;
    let back = refresh.health();
    assert!(back.status == "ok" && back.last_refresh_ok == Some(true) && back.token_age_seconds < Some(5));
    assert_eq!(refresh.metrics().token_rotations_total, 1);
    refresh.stop().await;
}

#[tokio::test]
async fn never_there_the_fallback_is_served_until_vault_says_another() {
    let panel = Panel::with("of vault");
    let proxy = Proxy::start(panel.0.address());
    proxy.set(Fault::Refuse);
    let mut settings = panel.hasty(&proxy.address());
    let (first, stands) = fallback("of the environment");
    settings.fallback = first;
    let refresh = TokenRefresh::start(settings).unwrap();
    assert_eq!(token(refresh.tokens()), "of the environment", "nobody waits for Vault");
    assert!(refresh.refresh_now().await.is_err());
    *stands.lock().unwrap() = "changed".into();
    becomes(&refresh, "changed").await;
    proxy.set(Fault::Pass);
    becomes(&refresh, "of vault").await;
    // Whatever stands in the environment since then is older.
    proxy.set(Fault::Refuse);
    let errors = refresh.metrics().vault_fetch_errors_total;
    eventually(|| refresh.metrics().vault_fetch_errors_total > errors + 1).await;
    assert_eq!((token(refresh.tokens()).as_str(), refresh.metrics().token_rotations_total), ("of vault", 2));
    *stands.lock().unwrap() = "newer".into();
    becomes(&refresh, "newer").await;
    refresh.stop().await;
}

#[tokio::test]
async fn without_a_fallback_there_is_no_token_until_vault_is_there() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    proxy.set(Fault::Refuse);
    let refresh = TokenRefresh::start(panel.settings(&proxy.address())).unwrap();
    assert!(refresh.refresh_now().await.is_err());
    let none = AgentHealth { status: "no_token", token_age_seconds: None, last_refresh_ok: Some(false) };
    assert_eq!((refresh.health(), none.code()), (none.clone(), 503));
    proxy.set(Fault::Pass);
    becomes(&refresh, "first").await;
    assert_eq!(refresh.metrics().token_rotations_total, 0, "the first is no rotation");
    refresh.stop().await;
}

#[tokio::test]
async fn vault_is_asked_after_65_to_70_seconds_and_not_before() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let mut settings = panel.settings(&proxy.address());
    let (clock, steering) = Clock::steered();
    settings.clock = clock;
    let refresh = TokenRefresh::start(settings).unwrap();
    becomes(&refresh, "first").await;
    let reads = || proxy.requests(API).len();
    for round in 0..3 {
        let (before, text) = (reads(), format!("token {round}"));
        panel.put(&text);
        steering.sleep(Duration::from_secs(62));
        // What the loop does on waking: it looks the login's token up.
        eventually(|| proxy.requests("lookup").len() >= round * 2 + 2).await;
        assert_eq!(reads(), before, "62 s after the last");
        steering.sleep(Duration::from_secs(8));
        becomes(&refresh, &text).await;
        assert_eq!(reads(), before + 1, "70 s after the last");
    }
    refresh.stop().await;
}

#[tokio::test]
async fn a_login_that_was_revoked_is_made_again_and_one_that_cannot_be_is_told() {
    let panel = Panel::with("first");
    let role = approle(&panel.0, json!({ "token_ttl": "1h", "token_policies": ["reader"] }));
    panel.0.policy("reader", POLICY);
    let before = panel.0.accessors();
    let brought_token = panel.0.token(json!({ "policies": ["reader"] }));
    let mut settings = panel.settings(panel.0.address());
    settings.vault.as_mut().unwrap().identity = identity(&role);
    let by_login = TokenRefresh::start(settings).unwrap();
    let mut settings = panel.settings(panel.0.address());
    settings.vault.as_mut().unwrap().identity = brought(&brought_token);
    let by_token = TokenRefresh::start(settings).unwrap();
    for refresh in [&by_login, &by_token] {
        becomes(refresh, "first").await;
    }
    panel.put("second");
    for accessor in panel.0.accessors().iter().filter(|accessor| !before.contains(accessor)) {
        let body = json!({ "accessor": accessor });
        assert_eq!(panel.0.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    }
    assert_eq!(by_login.refresh_now().await, Ok(true));
    assert_eq!(token(by_login.tokens()), "second");
    assert_eq!(by_token.refresh_now().await.unwrap_err().kind(), Kind::NeedsLogin);
    assert_eq!(by_token.refresh_now().await.unwrap_err().kind(), Kind::NeedsLogin, "told at once");
    assert_eq!(
        (token(by_token.tokens()).as_str(), by_token.health().last_refresh_ok),
        ("first", Some(false))
    );
    for refresh in [by_login, by_token] {
        refresh.stop().await;
    }
    assert_eq!(panel.0.accessors(), before, "the login was given back");
}

#[tokio::test]
async fn it_stops_at_once_while_the_server_hangs_and_the_token_stays() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let refresh = TokenRefresh::start(panel.hasty(&proxy.address())).unwrap();
    becomes(&refresh, "first").await;
    proxy.set(Fault::Hang);
    eventually(|| proxy.requests(API).len() >= 2).await;
    let (tokens, begun) = (refresh.tokens().clone(), Instant::now());
    refresh.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let failure = refresh.refresh_now().await.unwrap_err();
    assert_eq!((failure.kind(), failure.message()), (Kind::Invalid, "the token refresh does not run"));
    refresh.stop().await;
    drop(refresh);
    assert_eq!(token(&tokens), "first");
}

#[tokio::test]
async fn dropped_it_asks_no_more() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let refresh = TokenRefresh::start(panel.hasty(&proxy.address())).unwrap();
    becomes(&refresh, "first").await;
    let state_dir = panel.0.folder().read_dir().unwrap().flatten().map(|entry| entry.path());
    let state_dir = state_dir.into_iter().find(|path| path.to_string_lossy().contains("state-")).unwrap();
    let journals = || state_dir.join("journal").read_dir().unwrap().count();
    assert_eq!(journals(), 1);
    drop(refresh);
    // Its journal goes with the loop.
    eventually(|| journals() == 0).await;
}

#[test]
fn outside_a_runtime_it_does_not_start() {
    let settings = leasehold::token_refresh::TokenRefreshSettings::without_vault(fallback("x").0);
    let failure = TokenRefresh::start(settings).err().unwrap();
    assert_eq!(failure.message(), "the token refresh is started outside a runtime");
}

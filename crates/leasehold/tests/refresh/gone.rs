//! A refresh that nobody carries out any more, and a fallback that tries to end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold::core::Kind;
use leasehold::token_refresh::{AgentHealth, Fallback, TokenRefresh, TokenRefreshSettings};
use tokio::runtime::Runtime;

use crate::panel::{Panel, assert_failed, becomes, eventually, fallback, token};

fn assert_stopped(health: &AgentHealth, last_refresh_ok: Option<bool>) {
    let expect = AgentHealth { status: "stopped", last_refresh_ok, ..health.clone() };
    assert_eq!((health, health.code()), (&expect, 503));
    assert!(health.token_age_seconds.is_some(), "the token stays: {health:?}");
}

#[test]
fn without_its_runtime_it_says_so() {
    let panel = Panel::with("first");
    let (settings, runtime) = (panel.settings(panel.0.address()), Runtime::new().unwrap());
    let (with_vault, without) = runtime.block_on(async {
        let with_vault = TokenRefresh::start(settings).unwrap();
        becomes(&with_vault, "first").await;
        let without = TokenRefreshSettings::without_vault(fallback("first").0);
        (with_vault, TokenRefresh::start(without).unwrap())
    });
    assert_eq!((with_vault.health().code(), without.health().code()), (200, 200));
    drop(runtime);
    assert_stopped(&with_vault.health(), Some(false));
    assert_stopped(&without.health(), None);
    let answer = Runtime::new().unwrap().block_on(with_vault.refresh_now());
    assert_failed(answer, Kind::Invalid, "the token refresh does not run");
}

#[tokio::test]
async fn stopped_it_says_so() {
    let refresh = TokenRefresh::start(TokenRefreshSettings::without_vault(fallback("first").0)).unwrap();
    refresh.stop().await;
    assert_stopped(&refresh.health(), None);
}

#[tokio::test]
async fn a_fallback_that_panics_ends_nothing() {
    let panel = Panel::with("first");
    let mut settings = panel.hasty(panel.0.address());
    let (is_broken, panics) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let inside = (Arc::clone(&is_broken), Arc::clone(&panics));
    settings.fallback = Fallback::reading(move || {
        let is_broken = inside.0.load(Ordering::Relaxed);
        inside.1.store(is_broken, Ordering::Relaxed);
        assert!(!is_broken, "on purpose");
        None
    });
    let refresh = TokenRefresh::start(settings).unwrap();
    assert!(panics.swap(false, Ordering::Relaxed), "at the start");
    becomes(&refresh, "first").await;
    eventually(|| panics.load(Ordering::Relaxed)).await;
    panel.put("second");
    becomes(&refresh, "second").await;
    let health = refresh.health();
    assert_eq!((health.status, health.last_refresh_ok), ("ok", Some(true)));
    assert_eq!(token(refresh.tokens()), "second");
    refresh.stop().await;
}

//! What a token may not do: look at itself, be renewed, be used once more.

use std::time::Duration;

use leasehold::core::Kind;
use leasehold::token_manager::TokenEvent;
use leasehold_testkit::{Fault, Proxy, Server, wait_for};
use serde_json::json;

use crate::run::{PATIENCE, brought};
use crate::watched::{Watched, client, hasty};

/// A token whose policy says this of a look-up and of a renewal, and allows no more.
fn token(server: &Server, looks: &str, renews: &str, ttl: &str) -> String {
    let name = format!("looks-{looks}-renews-{renews}");
    let rule = |path: &str, capability: &str| {
        format!("path \"auth/token/{path}\" {{ capabilities = [\"{capability}\"] }}\n")
    };
    server.policy(&name, &[rule("lookup-self", looks), rule("renew-self", renews)].concat());
    server.token(json!({ "ttl": ttl, "policies": [name], "no_default_policy": true }))
}

fn is_renewed(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Renewed { .. })
}

fn is_checked(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Checked { .. })
}

fn is_failed(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Failed { .. })
}

fn is_ended(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Ended { .. })
}

#[tokio::test]
async fn what_may_not_look_at_itself_is_renewed_at_once_and_kept() {
    let server = Server::start();
    let token = token(&server, "deny", "update", "5s");
    let mut watched = Watched::start(&server, server.address(), brought(&token));
    watched.manager.ready().await.unwrap();
    let status = watched.manager.status();
    assert!(!status.never_expires() && status.token_ttl.is_some_and(|ttl| ttl <= 5), "{status:?}");
    // A look-up that is denied is none that failed: the token lives.
    watched.wait_for(is_checked).await;
    assert!(watched.manager.force_renewal().await);
    for _ in 0..3 {
        watched.wait_for(is_renewed).await;
    }
    let status = watched.manager.status();
    assert!(status.is_healthy() && status.failure_count == 0, "{status:?}");
    assert!(watched.failures.lock().unwrap().is_empty(), "{:?}", watched.failures);
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_life_that_nobody_knows_is_told_once_and_never_taken_for_endless() {
    let server = Server::start();
    let token = token(&server, "deny", "deny", "5s");
    let mut watched = Watched::start(&server, server.address(), brought(&token));
    for _ in 0..2 {
        watched.wait_for(is_checked).await;
    }
    let status = watched.manager.status();
    assert!(status.life_is_unknown && !status.never_expires() && !status.is_healthy(), "{status:?}");
    assert_eq!((status.token_ttl, status.failure_count), (None, 0));
    assert!(!status.metrics().prometheus().contains("Inf"), "{}", status.metrics().prometheus());
    assert!(watched.manager.token().is_ok() && !watched.manager.force_renewal().await);
    watched.wait_for(is_ended).await;
    let told =
        |part: &str| watched.failures.lock().unwrap().iter().filter(|told| told.contains(part)).count();
    assert_eq!((told("nobody knows"), watched.manager.token().unwrap_err().kind()), (1, Kind::Expired));
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_life_becomes_known_once_a_policy_allows_it() {
    let server = Server::start();
    let token = token(&server, "deny", "deny", "1h");
    let mut watched = Watched::start(&server, server.address(), brought(&token));
    watched.wait_for(is_checked).await;
    server.policy("looks-deny-renews-deny", r#"path "auth/token/renew-self" { capabilities = ["update"] }"#);
    assert!(watched.manager.force_renewal().await);
    let status = watched.manager.status();
    assert!(!status.life_is_unknown && status.token_ttl.is_some() && status.is_healthy(), "{status:?}");
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_token_whose_last_use_was_ours_is_not_served() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "1h", "num_uses": 1, "policies": ["root"] }));
    let watched = Watched::start(&server, server.address(), brought(&token));
    let failure = watched.manager.ready().await.unwrap_err();
    assert!(failure.kind() == Kind::NeedsLogin && failure.message().contains("last use"), "{failure}");
    assert!(watched.manager.token().is_err() && !watched.manager.status().is_healthy());
    watched.failure_with("last use");
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_renewal_that_is_denied_is_answered_each_time() {
    let server = Server::start();
    let token = token(&server, "read", "deny", "1h");
    let watched = Watched::start(&server, server.address(), brought(&token));
    watched.manager.ready().await.unwrap();
    for turn in 0..3 {
        let answer = tokio::time::timeout(PATIENCE / 2, watched.manager.force_renewal()).await;
        assert_eq!(answer.ok(), Some(false), "{turn}");
    }
    assert!(!watched.manager.status().is_healthy(), "a look-up does not make it good");
    watched.failure_with("renew-self");
    // And once it is allowed, the same token is renewed.
    server.policy("looks-read-renews-deny", r#"path "auth/token/*" { capabilities = ["read", "update"] }"#);
    assert!(watched.manager.force_renewal().await && watched.manager.status().is_healthy());
    watched.manager.stop().await;
}

/// An answer of the server to whoever is dead.
fn dead() -> Fault {
    let head = "content-type: application/json\r\n";
    Fault::with_headers(403, head, r#"{"errors":["permission denied"]}"#)
}

#[tokio::test]
async fn a_renewal_refused_as_dead_while_looks_say_alive_is_told_and_slowed_down() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "12s" }));
    let mut settings = hasty(&server);
    settings.renew_threshold = Duration::from_secs(10);
    let mut watched = Watched::start_with(client(&proxy.address(), None), brought(&token), settings);
    watched.manager.ready().await.unwrap();
    proxy.set_for("renew-self", dead(), 1_000);
    watched.wait_for(is_failed).await;
    watched.wait_for(is_checked).await;
    watched.wait_for(is_checked).await;
    assert!(!watched.manager.status().is_healthy(), "looks do not make it good");
    let told = watched.failure_with("renew-self");
    assert!(told.contains("lives until"), "{told}");
    let asked = proxy.requests("renew-self").len();
    assert!(asked <= 2, "{asked} renewals while two looks went by");
    proxy.set(Fault::Pass);
    watched.wait_for(is_renewed).await;
    assert!(watched.manager.status().is_healthy());
    assert_eq!(watched.failures.lock().unwrap().len(), 1, "{:?}", watched.failures);
    watched.manager.stop().await;
}

#[tokio::test]
async fn kinds_of_failure_that_take_turns_are_called_once_each() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "1h" }));
    let mut watched = Watched::start(&server, &proxy.address(), brought(&token));
    watched.manager.ready().await.unwrap();
    let sealed = || Fault::Answer(503, r#"{"errors":["Vault is sealed"]}"#.into());
    for fault in [sealed(), Fault::Refuse, sealed(), Fault::Refuse] {
        proxy.set(fault);
        watched.wait_for(is_failed).await;
    }
    proxy.set(Fault::Pass);
    watched.wait_for(is_checked).await;
    proxy.set(Fault::Refuse);
    watched.wait_for(is_failed).await;
    let told = || watched.failures.lock().unwrap().len();
    let all = wait_for(PATIENCE, || (told() >= 3).then_some(()));
    assert_eq!(
        (all, told()),
        (Some(()), 3),
        "two kinds, and one again after a success: {:?}",
        watched.failures
    );
    watched.manager.stop().await;
}

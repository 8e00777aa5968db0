//! Who is refused with the token, and how soon the manager knows.

use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::core::policy::Every;
use leasehold::core::{Kind, Secret};
use leasehold::token_manager::{TokenEvent, TokenManagerSettings};
use leasehold::token_refresh::{TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess};
use leasehold::vault::token::{Lookup, Subject};
use leasehold_testkit::{Proxy, Server, wait_for};
use serde_json::json;

use crate::run::{PATIENCE, brought, identity};
use crate::watched::{Watched, accessor, client, hasty, state_dir};

/// A manager that does not look by itself.
fn calm(server: &Server) -> TokenManagerSettings {
    let mut settings = hasty(server);
    settings.check_interval = Duration::from_secs(3_600);
    settings
}

fn is_replaced(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Renewed { replaced: true, .. })
}

fn is_ended(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Ended { .. })
}

fn revoke(server: &Server, accessor: &str) {
    let body = json!({ "accessor": accessor });
    assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
}

/// Asks with the client's own token.
async fn ask(client: &VaultClient) -> Result<String, Kind> {
    let looked = client.send(&Lookup(Subject::Own)).await;
    looked.map(|info| info.accessor).map_err(|failure| failure.kind())
}

#[tokio::test]
async fn a_token_whose_last_use_the_application_has_used_up_is_replaced_at_its_next_call() {
    let server = Server::start();
    let options = json!({ "token_ttl": "1h", "token_num_uses": 3 });
    let role = server.approle("app", &["default"], options);
    let own = client(server.address(), None);
    let mut watched = Watched::start_with(own.clone(), identity(&role), calm(&server));
    watched.manager.ready().await.unwrap();
    for turn in 0..3 {
        let mut used = 0;
        while ask(&own).await.is_ok() {
            used += 1;
        }
        assert!((1..=3).contains(&used), "{turn}: {used}");
        watched.wait_for(is_replaced).await;
    }
    assert!(ask(&own).await.is_ok());
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_call_that_is_refused_tells_the_manager() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "1h" }));
    let own = client(server.address(), None);
    let mut watched = Watched::start_with(own.clone(), identity(&role), calm(&server));
    watched.manager.ready().await.unwrap();
    let first = accessor(&watched.manager.token().unwrap());
    assert_eq!(ask(&own).await.as_ref(), Ok(&first));
    revoke(&server, &first);
    assert_eq!(ask(&own).await, Err(Kind::Expired));
    watched.wait_for(is_replaced).await;
    assert!(ask(&own).await.is_ok_and(|second| second != first));
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_flood_of_calls_for_what_is_dead_is_no_flood_of_look_ups() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let own = client(&proxy.address(), None);
    let token = server.token(json!({ "ttl": "1h" }));
    let watched = Watched::start_with(own.clone(), brought(&token), calm(&server));
    watched.manager.ready().await.unwrap();
    let looks = || proxy.requests("auth/token/lookup-self").len();
    let before = looks();
    for _ in 0..50 {
        let other = own.send(&Lookup(Subject::Accessor("of-nobody".into()))).await;
        assert_eq!(other.err().map(|failure| failure.kind()), Some(Kind::Expired));
    }
    assert_eq!(looks(), before, "that says nothing of the token that asks");
    for _ in 0..50 {
        watched.manager.check_now();
        tokio::task::yield_now().await;
    }
    assert!(wait_for(PATIENCE, || (looks() > before).then_some(())).is_some());
    assert!(ask(&own).await.is_ok() && watched.manager.status().is_healthy());
    // One of ours, and one of the manager's.
    assert_eq!(looks() - before, 2);
    watched.manager.stop().await;
}

/// A refresh that reads each second with this token.
fn refresh(server: &Server, token: &str) -> TokenRefresh {
    let access = VaultAccess {
        client: client(server.address(), None),
        identity: brought(token),
        place: TokenPlace::new("secret", "d-1").unwrap(),
        state_dir: state_dir(server),
    };
    let refresh = Every::exactly(Duration::from_secs(1));
    TokenRefresh::start(TokenRefreshSettings { refresh, ..TokenRefreshSettings::new(access) }).unwrap()
}

#[tokio::test]
async fn what_a_refresh_with_the_same_token_is_told_the_manager_hears() {
    let server = Server::start();
    server.put_secret("secret/d-1/token", json!({ "token": "of peers" }));
    server.policy("reads", r#"path "secret/data/d-1/token" { capabilities = ["read"] }"#);
    let token = server.token(json!({ "ttl": "1h", "policies": ["default", "reads"] }));
    let mut watched = Watched::start_with(client(server.address(), None), brought(&token), calm(&server));
    watched.manager.ready().await.unwrap();
    let refresh = refresh(&server, &token);
    assert_eq!(refresh.refresh_now().await, Ok(true));
    let refusals = refresh.refusals();
    revoke(&server, &accessor(&watched.manager.token().unwrap()));
    let manager = &watched.manager;
    let heard = async {
        tokio::select! {
            () = manager.follow(refusals) => panic!("there may be more"),
            () = async { while manager.status().is_healthy() { tokio::task::yield_now().await } } => {}
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
    watched.wait_for(is_ended).await;
    refresh.stop().await;
    watched.manager.stop().await;
}

#[tokio::test]
async fn the_refusals_of_a_refresh_that_is_gone_end() {
    let server = Server::start();
    let refresh = refresh(&server, server.root_token());
    let refusals = refresh.refusals();
    refresh.stop().await;
    drop(refresh);
    let watched = Watched::start(&server, server.address(), brought(server.root_token()));
    tokio::time::timeout(PATIENCE, watched.manager.follow(refusals)).await.unwrap();
    watched.manager.stop().await;
}

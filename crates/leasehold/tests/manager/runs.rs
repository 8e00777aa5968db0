//! Starts and ends: of the manager, of its runtime, and what the client is left with.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use leasehold::core::{Kind, Secret};
use leasehold::token_manager::{Oddity, TokenEvent, TokenManager, TokenManagerSettings, blocking};
use leasehold::vault::token::{Lookup, Subject};
use leasehold_testkit::{Proxy, Server, wait_for};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::run::{PATIENCE, brought, identity};
use crate::watched::{Watched, accessor, client, hasty, state_dir};

#[test]
fn when_its_runtime_is_dropped_it_does_not_run() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "1h" }));
    let client = client(server.address(), None);
    let manager = TokenManager::new(client.clone(), brought(&token), hasty(&server));
    let runtime = Runtime::new().unwrap();
    let begin = async {
        manager.start().unwrap();
        manager.ready().await
    };
    runtime.block_on(begin).unwrap();
    drop(runtime);
    let status = manager.status();
    assert!(!status.running && !status.is_healthy(), "{status:?}");
    assert_eq!(manager.token().unwrap_err().kind(), Kind::Invalid);
    let again = async {
        assert!(manager.ready().await.is_err() && !manager.force_renewal().await);
        assert!(client.send(&Lookup(Subject::Own)).await.is_err(), "the client has no token");
        manager.start().unwrap();
        manager.ready().await.unwrap();
        assert!(manager.status().running && client.send(&Lookup(Subject::Own)).await.is_ok());
        manager.stop().await;
    };
    Runtime::new().unwrap().block_on(again);
}

#[tokio::test]
async fn what_starts_while_it_stops_runs() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "1h" }));
    let client = client(server.address(), None);
    let watched = Watched::start_with(client.clone(), identity(&role), hasty(&server));
    for turn in 0..5 {
        watched.manager.ready().await.unwrap();
        let before = accessor(&watched.manager.token().unwrap());
        let start = async { watched.manager.start() };
        let ((), started) = tokio::join!(watched.manager.stop(), start);
        started.unwrap();
        watched.manager.ready().await.unwrap();
        assert!(watched.manager.status().running && !server.is_alive(&before), "{turn}");
        assert!(client.send(&Lookup(Subject::Own)).await.is_ok(), "{turn}");
        assert!(watched.manager.force_renewal().await, "{turn}");
    }
    watched.manager.stop().await;
}

#[test]
fn without_a_runtime_what_starts_while_it_stops_runs_too() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "1h" }));
    let manager =
        blocking::TokenManager::new(client(server.address(), None), identity(&role), hasty(&server));
    manager.start().unwrap();
    for turn in 0..10 {
        manager.ready().unwrap();
        let begin = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                manager.stop();
            });
            begin.wait();
            (0..50 * turn).for_each(|_| std::thread::yield_now());
            manager.start().unwrap();
        });
        // Whoever came last decides: it runs if the start did.
        manager.start().unwrap();
        manager.ready().unwrap();
        assert!(manager.status().running && manager.token().is_ok(), "{turn}");
    }
}

#[test]
fn without_a_runtime_an_operation_finds_out_that_the_token_is_dead() {
    let server = Server::start();
    let role = server.approle("app", &["default", "reads"], json!({ "token_ttl": "1h" }));
    let mut settings = hasty(&server);
    settings.check_interval = Duration::from_secs(600);
    let manager = blocking::TokenManager::new(client(server.address(), None), identity(&role), settings);
    assert_eq!(manager.send(Lookup(Subject::Own)).unwrap_err().kind(), Kind::Invalid);
    manager.start().unwrap();
    let first = manager.send(Lookup(Subject::Own)).unwrap().accessor;
    let body = json!({ "accessor": first });
    assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    let second = manager.send(Lookup(Subject::Own)).unwrap().accessor;
    assert_ne!(second, first);
    let body = json!({ "accessor": second });
    assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    server.put_secret("secret/db", json!({ "password": "blue" }));
    server.policy("reads", r#"path "secret/data/db" { capabilities = ["read"] }"#);
    let secret = manager.read_kv_secret("secret/db").unwrap();
    assert_eq!(secret.field("password").map(Secret::expose), Some("blue"));
}

#[tokio::test]
async fn the_client_knows_of_renewals_and_of_the_end() {
    let server = Server::start();
    // It lives for two seconds more than five minutes, and once it is renewed for ten.
    let token = server.token(json!({ "ttl": "310s" }));
    let short = json!({ "increment": "302s" });
    assert_eq!(server.api_as(&token, "POST", "auth/token/renew-self", Some(short), None).0, 200);
    let own = client(server.address(), None);
    let watched = Watched::start_with(own.clone(), brought(&token), hasty(&server));
    watched.manager.ready().await.unwrap();
    // Looked up each second, it knows that less than five minutes are left, and after a renewal that more are.
    assert!(wait_for(PATIENCE, || own.should_renew_token().then_some(())).is_some());
    assert!(watched.manager.force_renewal().await && !own.should_renew_token());
    assert!(own.send(&Lookup(Subject::Own)).await.is_ok());
    watched.manager.stop().await;
    let failure = own.send(&Lookup(Subject::Own)).await.unwrap_err();
    assert_eq!((failure.kind(), failure.message()), (Kind::Invalid, "the token manager does not run"));

    let proxy = Proxy::start(server.address());
    let own = client(&proxy.address(), None);
    let token = server.token(json!({ "ttl": "3s", "renewable": false }));
    let mut watched = Watched::start_with(own.clone(), brought(&token), hasty(&server));
    watched.wait_for(|event| matches!(event, TokenEvent::Ended { .. })).await;
    // By a client that has never read there, and so does not know the mount.
    for failure in [own.send(&Lookup(Subject::Own)).await.err(), own.read_kv_secret("secret/db").await.err()]
    {
        let failure = failure.unwrap();
        assert_eq!(failure.kind(), Kind::Expired, "{failure}");
        assert!(failure.message().starts_with("the token ended at 20"), "{failure}");
    }
    assert!(proxy.requests("ui/mounts").is_empty(), "nobody is asked");
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_callback_that_never_returns_mutes_no_other() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "2s", "explicit_max_ttl": "5s" }));
    let (called, calls) = channel();
    let (_never, gate) = channel::<()>();
    let settings = hasty(&server).on_renewal(move |ttl| {
        called.send(ttl).unwrap();
        let _ = gate.recv();
    });
    let mut watched = Watched::start_with(client(server.address(), None), brought(&token), settings);
    watched.wait_for(|event| matches!(event, TokenEvent::Ended { .. })).await;
    assert!(calls.recv_timeout(PATIENCE).is_ok(), "it blocks");
    watched.failure_with("ended at");
    watched.manager.stop().await;
}

#[tokio::test]
async fn advice_does_not_contradict_itself_and_is_not_of_what_is_counted() {
    let server = Server::start();
    let expect = [(Oddity::ThresholdBeyondHalf, 900), (Oddity::HealthBeyondThreshold, 450)];
    let kinds = [
        (json!({ "token_ttl": "50m" }), &expect[..]),
        (json!({ "token_ttl": "50m", "token_num_uses": 9 }), &[]),
    ];
    for (at, (options, expect)) in kinds.into_iter().enumerate() {
        let role = server.approle(&format!("app{at}"), &["default"], options);
        let settings = TokenManagerSettings::new(state_dir(&server));
        let mut watched = Watched::start_with(client(server.address(), None), identity(&role), settings);
        watched.manager.ready().await.unwrap();
        // A second life brings no second advice, and its event comes after all of the first.
        assert!(watched.manager.force_renewal().await);
        watched.wait_for(|event| matches!(event, TokenEvent::Renewed { .. })).await;
        let advice = watched.told.iter().filter_map(|event| match event {
            TokenEvent::Advice(advice) => Some((advice.oddity, advice.right.as_secs())),
            _ => None,
        });
        let advice: Vec<_> = advice.collect();
        assert_eq!(advice, expect);
        watched.manager.stop().await;
    }
}

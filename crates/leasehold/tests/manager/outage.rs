//! The server is away.

use std::time::Duration;

use leasehold::core::Kind;
use leasehold::token_manager::TokenEvent;
use leasehold_testkit::{Fault, Proxy, Server};
use serde_json::json;

use crate::run::{brought, identity};
use crate::watched::Watched;

fn is_failed(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Failed { .. })
}

fn is_ended(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Ended { .. })
}

#[tokio::test]
async fn away_for_several_looks_no_reader_sees_a_failure() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "1h" }));
    let mut watched = Watched::start(&server, &proxy.address(), brought(&token));
    watched.manager.ready().await.unwrap();
    proxy.set(Fault::Refuse);
    // Three attempts take longer than the check interval of a second.
    for _ in 0..3 {
        watched.wait_for(is_failed).await;
        assert_eq!(watched.token(), token);
    }
    assert_eq!(watched.manager.status().health().code(), 503);
    proxy.set(Fault::Pass);
    watched.wait_for(|event| matches!(event, TokenEvent::Checked { .. })).await;
    let status = watched.manager.status();
    assert!(status.failure_count >= 3 && status.health().code() == 200, "{status:?}");
    assert_eq!(watched.failures.lock().unwrap().len(), 1, "called once for the whole outage");
    watched.manager.stop().await;
}

#[tokio::test]
async fn away_for_longer_than_the_token_lives_readers_are_told_when_it_died() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = server.approle("app", &["default"], json!({ "token_ttl": "4s" }));
    let mut watched = Watched::start(&server, &proxy.address(), identity(&role));
    watched.manager.ready().await.unwrap();
    let first = watched.token();
    proxy.set(Fault::Refuse);
    watched.wait_for(is_ended).await;
    let failure = watched.manager.token().unwrap_err();
    assert_eq!(failure.kind(), Kind::Expired, "{failure}");
    assert!(failure.message().starts_with("the token ended at 20"), "{failure}");
    assert_eq!(watched.manager.status().token_ttl, Some(0));
    proxy.set(Fault::Pass);
    let begun = std::time::Instant::now();
    watched.wait_for(|event| matches!(event, TokenEvent::Renewed { .. })).await;
    assert!(watched.token() != first && begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_server_that_was_never_there_is_told_to_readers_and_the_token_comes_when_it_is() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    proxy.set(Fault::Refuse);
    let token = server.token(json!({ "ttl": "1h" }));
    let mut watched = Watched::start(&server, &proxy.address(), brought(&token));
    assert_eq!(watched.manager.ready().await.unwrap_err().kind(), Kind::Unreachable);
    watched.wait_for(is_failed).await;
    assert_eq!(watched.manager.token().unwrap_err().kind(), Kind::Unreachable);
    proxy.set(Fault::Pass);
    watched.wait_for(|event| matches!(event, TokenEvent::Obtained { .. })).await;
    assert_eq!(watched.token(), token);
    assert!(watched.manager.ready().await.is_ok());
    watched.manager.stop().await;
}

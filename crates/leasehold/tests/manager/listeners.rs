//! Those who are told, and those who ask: callbacks, the stream, the forced renewal, start and stop.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use leasehold::clock::Clock;
use leasehold::core::Kind;
use leasehold::token_manager::{
    Oddity, TokenEvent, TokenManager, blocking, start_token_manager, token_manager,
};
use leasehold_testkit::{Fault, Proxy, Server};
use serde_json::json;

use crate::run::{PATIENCE, brought, files, identity};
use crate::watched::{Watched, accessor, client, hasty};

fn is_renewed(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Renewed { .. })
}

#[tokio::test]
async fn a_callback_that_panics_or_never_returns_delays_no_renewal() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "4s" }));
    let (called, calls) = channel();
    let settings = hasty(&server).on_renewal(move |ttl| {
        called.send(ttl).unwrap();
        panic!("on purpose");
    });
    let mut watched = Watched::start_with(client(server.address(), None), brought(&token), settings);
    for _ in 0..2 {
        watched.wait_for(is_renewed).await;
    }
    let told: Vec<_> = (0..2).map(|_| calls.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(told.iter().all(|ttl| (3..=4).contains(ttl)), "{told:?}");
    watched.manager.stop().await;

    let (called, calls) = channel();
    let (_never, gate) = channel::<()>();
    let settings = hasty(&server).on_renewal(move |ttl| {
        called.send(ttl).unwrap();
        let _ = gate.recv();
    });
    let mut watched = Watched::start_with(client(server.address(), None), brought(&token), settings);
    for _ in 0..2 {
        watched.wait_for(is_renewed).await;
    }
    assert_eq!((calls.recv_timeout(PATIENCE).is_ok(), calls.try_recv().is_err()), (true, true), "it blocks");
    let begun = Instant::now();
    watched.manager.stop().await;
    drop(watched);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_callback_may_call_back() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "1h" }));
    let own: Arc<Mutex<Weak<blocking::TokenManager>>> = Arc::default();
    let (inside, (called, calls)) = (Arc::clone(&own), channel());
    let settings = hasty(&server).on_renewal(move |_| {
        let Some(manager) = inside.lock().unwrap().upgrade() else { return };
        let count = manager.status().renewal_count;
        called.send(count).unwrap();
        match count {
            0 | 1 => assert!(manager.force_renewal()),
            _ => manager.stop(),
        }
    });
    let manager = blocking::TokenManager::new(client(server.address(), None), brought(&token), settings);
    let manager = Arc::new(manager);
    *own.lock().unwrap() = Arc::downgrade(&manager);
    manager.start().unwrap();
    manager.ready().unwrap();
    assert!(manager.force_renewal());
    let counts: Vec<_> = (0..2).map(|_| calls.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(counts, [1, 2]);
    let stopped = leasehold_testkit::wait_for(PATIENCE, || (!manager.status().running).then_some(()));
    assert!(stopped.is_some() && manager.token().unwrap_err().kind() == Kind::Invalid);
}

#[tokio::test]
async fn a_forced_renewal_serves_all_who_ask_and_is_counted_when_they_are_told() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "1h" }));
    let watched = Watched::start(&server, &proxy.address(), brought(&token));
    watched.manager.ready().await.unwrap();
    proxy.set_for("renew-self", Fault::Delay(Duration::from_millis(300)), 1);
    let asked = futures_util::future::join_all((0..8).map(|_| watched.manager.force_renewal())).await;
    assert_eq!((asked, proxy.requests("renew-self").len()), (vec![true; 8], 1));
    let status = watched.manager.status();
    assert!(status.renewal_count == 1 && status.last_renewal.is_some(), "{status:?}");
    proxy.set(Fault::Refuse);
    assert!(!watched.manager.force_renewal().await);
    assert_eq!(watched.token(), token, "and what is held stays");
    watched.manager.stop().await;
    assert!(!watched.manager.force_renewal().await);
}

#[tokio::test]
async fn where_a_token_cannot_be_renewed_a_forced_renewal_logs_in() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_type": "batch", "token_ttl": "1h" }));
    let client = client(server.address(), None);
    let watched = Watched::start_with(client.clone(), identity(&role), hasty(&server));
    watched.manager.ready().await.unwrap();
    let first = watched.token();
    assert!(watched.manager.force_renewal().await);
    assert_ne!(watched.token(), first);
    // The client that was given has the new one.
    let record = client.send(&leasehold::vault::token::Lookup(leasehold::vault::token::Subject::Own)).await;
    assert!(record.is_ok());
    watched.manager.stop().await;

    let fixed = server.token(json!({ "ttl": "1h", "renewable": false }));
    let watched = Watched::start(&server, server.address(), brought(&fixed));
    watched.manager.ready().await.unwrap();
    assert!(!watched.manager.force_renewal().await, "nothing to renew, and nothing to log in with");
    assert_eq!(watched.token(), fixed);
    watched.manager.stop().await;
}

#[tokio::test]
async fn starting_twice_is_no_error_and_what_was_stopped_starts_again() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "1h" }));
    let settings = hasty(&server);
    let folder = settings.state_dir.join("journal");
    let watched = Watched::start_with(client(server.address(), None), identity(&role), settings);
    watched.manager.start().unwrap();
    watched.manager.ready().await.unwrap();
    assert_eq!(server.accessors().len(), 2, "one login");
    let first = accessor(&watched.manager.token().unwrap());
    let begun = Instant::now();
    watched.manager.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!server.is_alive(&first) && !watched.manager.status().running);
    assert_eq!(files(&folder), 0, "what was given back is in no journal");
    assert_eq!(watched.manager.token().unwrap_err().kind(), Kind::Invalid);
    watched.manager.start().unwrap();
    watched.manager.ready().await.unwrap();
    assert!(watched.manager.status().running && watched.manager.token().is_ok());
    let second = accessor(&watched.manager.token().unwrap());
    drop(watched);
    let gone = async {
        while server.is_alive(&second) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("what was dropped gives its token back");
}

#[tokio::test]
async fn a_server_that_hangs_delays_no_stop() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = server.approle("app", &["default"], json!({ "token_ttl": "1h" }));
    let watched = Watched::start(&server, &proxy.address(), identity(&role));
    watched.manager.ready().await.unwrap();
    proxy.set(Fault::Hang);
    let begun = Instant::now();
    watched.manager.stop().await;
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn each_oddity_is_told_once() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "4s" }));
    let mut settings = hasty(&server);
    settings.check_interval = Duration::from_secs(1);
    settings.renew_threshold = Duration::from_secs(10);
    let mut watched = Watched::start_with(client(server.address(), None), brought(&token), settings);
    for _ in 0..4 {
        watched.wait_for(is_renewed).await;
    }
    let advice = watched.told.iter().filter_map(|event| match event {
        TokenEvent::Advice(advice) => Some((advice.oddity, advice.right)),
        _ => None,
    });
    let advice: Vec<_> = advice.collect();
    assert_eq!(advice.len(), 2, "{advice:?}");
    assert_eq!(advice[0], (Oddity::ThresholdBeyondHalf, Duration::from_secs(1)));
    assert_eq!(advice[1].0, Oddity::SparseChecks);
    watched.manager.stop().await;
}

#[tokio::test]
async fn what_ends_soon_is_called() {
    let server = Server::start();
    let token = server.token(json!({ "ttl": "8s", "renewable": false }));
    let (called, calls) = channel();
    let settings = hasty(&server).on_expiring(move |left| called.send(left).unwrap());
    let mut watched = Watched::start_with(client(server.address(), None), brought(&token), settings);
    watched.wait_for(|event| matches!(event, TokenEvent::Ended { .. })).await;
    let told: Vec<_> = calls.try_iter().collect();
    assert_eq!(told.len(), 3, "at once, and at each halving down to a second: {told:?}");
    assert!(told.iter().zip([6.0, 3.0, 1.0]).all(|(left, least)| left.as_secs_f64() > least), "{told:?}");
    watched.manager.stop().await;
}

#[tokio::test]
async fn after_hours_asleep_no_dead_token_is_given() {
    let server = Server::start();
    let (clock, steering) = Clock::steered();
    let token = server.token(json!({ "ttl": "1h" }));
    let mut settings = hasty(&server);
    settings.clock = clock;
    let watched = Watched::start_with(client(server.address(), None), brought(&token), settings);
    watched.manager.ready().await.unwrap();
    assert!(watched.manager.token().is_ok());
    steering.sleep(Duration::from_secs(8 * 3_600));
    // The engine has not even woken.
    let failure = watched.manager.token().unwrap_err();
    assert!(failure.kind() == Kind::Expired && failure.message().contains("ended at"), "{failure}");
    assert_eq!((watched.manager.status().token_ttl, watched.manager.status().is_healthy()), (Some(0), false));
    watched.manager.stop().await;
}

#[test]
fn without_a_runtime_a_thread_keeps_the_token() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "4s" }));
    let settings = hasty(&server);
    let plain = TokenManager::new(client(server.address(), None), identity(&role), hasty(&server));
    assert_eq!(plain.start().unwrap_err().kind(), Kind::Invalid, "there is no runtime");
    let manager = blocking::TokenManager::new(client(server.address(), None), identity(&role), settings);
    assert_eq!(manager.ready().unwrap_err().kind(), Kind::Invalid);
    let mut events = manager.events();
    manager.start().unwrap();
    manager.start().unwrap();
    manager.ready().unwrap();
    assert!(events.by_ref().any(|event| is_renewed(&event)));
    assert!(manager.force_renewal() && manager.status().renewal_count >= 2);
    let accessor = accessor(&manager.token().unwrap());
    let begun = Instant::now();
    drop(manager);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!server.is_alive(&accessor) && events.last().is_some());
}

#[tokio::test]
async fn there_is_one_manager_for_the_process() {
    let server = Server::start();
    assert!(token_manager().is_none());
    let token = server.token(json!({ "ttl": "1h" }));
    let client = client(server.address(), None);
    let first = start_token_manager(client.clone(), brought(&token), hasty(&server)).unwrap();
    let second = start_token_manager(client, brought("another"), hasty(&server)).unwrap();
    assert!(std::ptr::eq(first, second) && std::ptr::eq(first, token_manager().unwrap()));
    first.ready().await.unwrap();
    assert_eq!(first.token().unwrap().token().unwrap().expose(), token);
    let mut events = first.events();
    assert!(first.force_renewal().await);
    assert!(matches!(events.next().await, Some(TokenEvent::Renewed { .. } | TokenEvent::Checked { .. })));
    first.stop().await;
}

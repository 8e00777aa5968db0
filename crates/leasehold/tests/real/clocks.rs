//! Row 26: what is served after the machine has slept.

use std::time::{Duration, Instant};

use leasehold::clock::{Clock, Steering};
use leasehold::core::Scope;
use leasehold::core::event::Event;
use leasehold_testkit::{Proxy, Server, record};
use serde_json::json;

use crate::run::{LOGIN, Run, STATIC, accessor, approle, changed, field, identity, journal, token};

/// How long a token lives.
const LIFE: Duration = Duration::from_secs(600);

/// An engine whose clock is steered, logged in through a proxy.
async fn asleep_soon(server: &Server, proxy: &Proxy) -> (Run, Steering) {
    let role = approle(server, json!({ "token_ttl": LIFE.as_secs() }));
    let (clock, steering) = Clock::steered();
    let run = Run::start_by(clock, LIFE, &proxy.address(), identity(&role), &journal(server));
    run.log_in().await;
    (run, steering)
}

fn revoke(server: &Server, accessor: &str) {
    let body = json!({ "accessor": accessor });
    assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
}

#[tokio::test(flavor = "current_thread")]
async fn row_26_after_eight_hours_asleep_no_dead_token_is_served() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let (run, steering) = asleep_soon(&server, &proxy).await;
    let mut login = run.log_in().await;
    let secret = run.secret(STATIC, "secret/db", LOGIN).await.unwrap();
    let dead = token(&login);
    // To the server, too, the token's time is over.
    revoke(&server, &accessor(&login));
    let before = proxy.requests("").len();
    steering.sleep(Duration::from_secs(8 * 3600));
    let woken = Instant::now();
    changed(&mut login).await;
    let withdrawn = woken.elapsed();
    assert!(login.hold().is_none_or(|grant| grant.token().unwrap().expose() != dead));
    while login.hold().is_none() {
        changed(&mut login).await;
    }
    let healthy = woken.elapsed();
    assert!(withdrawn < Duration::from_secs(2), "{withdrawn:?}");
    assert!(healthy < Duration::from_secs(3), "{healthy:?}");
    let after = proxy.requests("").split_off(before);
    assert!(after[0].contains("login"), "nothing was asked with the dead token: {after:?}");
    assert_eq!((proxy.requests("login").len(), field(&secret, "a").as_str()), (2, "one"));
    assert!(run.stop().await.is_empty());
    record(
        "26",
        &format!(
            "eight hours asleep: the dead token is withdrawn {} ms after waking and there is another after {} ms; the \
             dead one was used by no request",
            withdrawn.as_millis(),
            healthy.as_millis()
        ),
    );
}

#[tokio::test(flavor = "current_thread")]
async fn row_26_whoever_asks_the_engine_on_waking_waits_for_a_live_token() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let (run, steering) = asleep_soon(&server, &proxy).await;
    let dead = token(&run.log_in().await);
    steering.sleep(Duration::from_secs(8 * 3600));
    let asked = run.ask(LOGIN, Scope::Login, None).await.unwrap();
    assert_ne!(token(&asked), dead);
    assert_eq!(proxy.requests("login").len(), 2);
    assert!(run.stop().await.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn row_26_after_a_nap_each_token_is_looked_up_once_and_replaced_if_it_was_revoked() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let (mut run, steering) = asleep_soon(&server, &proxy).await;
    let mut login = run.log_in().await;
    let nap = Duration::from_secs(6);
    steering.sleep(nap);
    run.wait_for(1, |event| matches!(event, Event::Checked { slot: LOGIN, .. })).await;
    assert_eq!((login.generation(), proxy.requests("login").len()), (1, 1), "it lives");
    revoke(&server, &accessor(&login));
    steering.sleep(nap);
    let woken = Instant::now();
    changed(&mut login).await;
    while login.hold().is_none() {
        changed(&mut login).await;
    }
    let healthy = woken.elapsed();
    assert!(healthy < Duration::from_secs(3), "{healthy:?}");
    assert_eq!((proxy.requests("lookup-self").len(), proxy.requests("login").len()), (2, 2));
    assert!(run.stop().await.is_empty());
}

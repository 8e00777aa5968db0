//! Every kind of token has its life.

use std::time::Duration;

use leasehold::core::Kind;
use leasehold::token_manager::TokenEvent;
use leasehold::vault::token::{Lookup, Subject};
use leasehold_testkit::{Proxy, Server, record};
use serde_json::{Value, json};

use crate::run::{brought, identity};
use crate::watched::{Watched, accessor, client, hasty};

/// What the server was asked for: renewals, look-ups and logins.
fn asked(proxy: &Proxy) -> [usize; 3] {
    ["renew-self", "lookup-self", "approle/login"].map(|path| proxy.requests(path).len())
}

fn is_renewed(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Renewed { .. })
}

fn is_checked(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Checked { .. })
}

fn is_ended(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Ended { .. })
}

#[tokio::test]
async fn a_root_token_never_ends_and_is_never_renewed() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let mut watched = Watched::start(&server, &proxy.address(), brought(server.root_token()));
    watched.wait_for(is_checked).await;
    let status = watched.manager.status();
    assert!(status.never_expires() && status.is_healthy() && !status.needs_renewal, "{status:?}");
    assert!(!watched.manager.force_renewal().await, "there is nothing to renew");
    assert_eq!(serde_json::to_value(&status).unwrap()["token_ttl"], Value::Null);
    assert_eq!(asked(&proxy)[0], 0);
    watched.manager.stop().await;
    assert!(watched.failures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn renewable_and_periodic_tokens_live_on() {
    let server = Server::start();
    for options in [json!({ "ttl": "4s" }), json!({ "period": "4s" })] {
        let token = server.token(options.clone());
        let mut watched = Watched::start(&server, server.address(), brought(&token));
        for _ in 0..2 {
            watched.wait_for(is_renewed).await;
        }
        let status = watched.manager.status();
        assert_eq!((watched.token(), status.failure_count), (token, 0), "{options}");
        assert!(status.renewal_count >= 2, "{options} {status:?}");
        assert!(status.is_healthy() && watched.failures.lock().unwrap().is_empty(), "{status:?}");
        watched.manager.stop().await;
    }
}

#[tokio::test]
async fn what_was_brought_and_cannot_be_kept_is_told_at_once_with_its_date() {
    let server = Server::start();
    let kinds = [
        json!({ "ttl": "4s", "renewable": false }),
        json!({ "ttl": "4s", "type": "batch", "policies": ["default"] }),
        json!({ "ttl": "4s", "num_uses": 3 }),
        json!({ "ttl": "3s", "explicit_max_ttl": "5s" }),
    ];
    futures_util::future::join_all(kinds.iter().map(|options| see_doom(&server, options))).await;
}

/// Brings such a token and sees it told, served and dead.
async fn see_doom(server: &Server, options: &Value) {
    let token = server.token(options.clone());
    let mut watched = Watched::start(server, server.address(), brought(&token));
    let doomed = watched.wait_for(|event| matches!(event, TokenEvent::Doomed { .. })).await;
    let TokenEvent::Doomed { message, .. } = doomed else { unreachable!("as asked for") };
    assert!(matches!(watched.told[0], TokenEvent::Obtained { .. }), "{options}: {:?}", watched.told);
    assert!(watched.told.len() <= 3, "{options}: {:?}", watched.told);
    assert_eq!(watched.failure_with("nothing to log in with"), message);
    assert!(watched.manager.token().is_ok(), "{options}");
    watched.wait_for(is_ended).await;
    let told = watched.failure_with("ended at");
    let failure = watched.manager.token().unwrap_err();
    assert!(failure.kind() == Kind::Expired && failure.message().starts_with(&told), "{failure}");
    // What was foretold is what came, but for the whole seconds in which the server counts at both ends of a life.
    let (foretold, came) = (date(&message), date(&told));
    assert!(came.abs_diff(foretold) <= 2, "{options}: {message}, {told}");
    let replaced = |event: &&TokenEvent| matches!(event, TokenEvent::Renewed { .. });
    let is_capped = options.get("explicit_max_ttl").is_some();
    assert_eq!(watched.told.iter().filter(replaced).count() > 0, is_capped, "{:?}", watched.told);
    watched.manager.stop().await;
}

/// The seconds since 1970 of the date in a message.
fn date(message: &str) -> u64 {
    let words = message.split([' ', ',']);
    let date = words.filter_map(leasehold::clock::wall_time_of).next().unwrap();
    date.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn with_a_login_each_kind_is_replaced_while_the_old_one_still_works() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "a": "one" }));
    server.policy("app", r#"path "secret/data/db" { capabilities = ["read"] }"#);
    let kinds = [
        json!({ "token_type": "batch", "token_ttl": "4s" }),
        json!({ "token_ttl": "4s", "token_max_ttl": "6s" }),
        json!({ "token_ttl": "4s", "token_explicit_max_ttl": "6s" }),
        json!({ "token_ttl": "4s", "token_num_uses": 5 }),
    ];
    let kinds = kinds.iter().enumerate();
    futures_util::future::join_all(kinds.map(|(at, options)| see_replacement(&server, at, options))).await;
    assert_eq!(server.accessors().len(), 1, "all that could be was given back");
}

/// Logs in for such tokens until the first was replaced.
async fn see_replacement(server: &Server, at: usize, options: &Value) {
    let proxy = Proxy::start(server.address());
    let role = server.approle(&format!("app{at}"), &["app"], options.clone());
    let mut watched = Watched::start(server, &proxy.address(), identity(&role));
    watched.manager.ready().await.unwrap();
    let first = watched.token();
    while watched.token() == first {
        watched.wait_for(is_renewed).await;
    }
    let (status, _) = server.api_as(&first, "GET", "secret/data/db", None, None);
    assert_eq!(status, 200, "{options}: the old one still works");
    assert!(!watched.told.iter().any(is_ended), "{options}: {:?}", watched.told);
    let [renewals, looks, logins] = asked(&proxy);
    let is_counted = options.get("token_num_uses").is_some();
    assert!(logins == 2 && (!is_counted || renewals + looks == 0), "{options}: {renewals} {looks} {logins}");
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_token_with_few_uses_loses_none_to_us_but_the_first() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "1h", "num_uses": 2, "policies": ["root"] }));
    let watched = Watched::start(&server, &proxy.address(), brought(&token));
    watched.manager.ready().await.unwrap();
    assert!(!watched.manager.force_renewal().await);
    let health = |token: &str| server.api_as(token, "GET", "sys/mounts", None, None).0;
    assert_eq!((health(&token), health(&token)), (200, 403), "one use was ours");
    assert_eq!(asked(&proxy), [0, 1, 0]);
    watched.manager.stop().await;
}

#[tokio::test]
async fn what_is_revoked_behind_our_back_is_noticed_by_a_look_and_on_first_use() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "a": "one" }));
    server.policy("app", r#"path "secret/data/db" { capabilities = ["read"] }"#);
    let role = server.approle("app", &["app"], json!({ "token_ttl": "1h" }));
    let mut watched = Watched::start(&server, server.address(), identity(&role));
    watched.manager.ready().await.unwrap();
    let revoke = |watched: &Watched| {
        let body = json!({ "accessor": accessor(&watched.manager.token().unwrap()) });
        assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
        std::time::Instant::now()
    };
    let revoked = revoke(&watched);
    watched.wait_for(is_ended).await;
    let noticed = revoked.elapsed();
    assert!(noticed < Duration::from_secs(2), "within a check interval of 1 s and a round trip: {noticed:?}");
    watched.failure_with("revoked");
    watched.wait_for(is_renewed).await;

    // Nobody looks this time; who uses it finds out.
    watched.manager.stop().await;
    let mut settings = hasty(&server);
    settings.check_interval = Duration::from_secs(600);
    let watched = Watched::start_with(client(server.address(), None), identity(&role), settings);
    watched.manager.ready().await.unwrap();
    let first = watched.token();
    let revoked = revoke(&watched);
    assert!(watched.manager.send(&Lookup(Subject::Own)).await.is_ok());
    let healed = revoked.elapsed();
    assert_ne!(watched.token(), first);
    record(
        "manager",
        &format!(
            "a token that is revoked behind our back is noticed after {} ms with a check interval of 1 s; on first use \
             it is replaced and the use carried out within {} ms",
            noticed.as_millis(),
            healed.as_millis()
        ),
    );
    watched.manager.stop().await;
}

#[tokio::test]
async fn a_token_of_a_namespace_is_kept_there() {
    let server = Server::start();
    assert_eq!(server.api("POST", "sys/namespaces/team", None).0, 200);
    let body = json!({ "ttl": "4s", "policies": ["default"] });
    let (status, reply) =
        server.api_as(server.root_token(), "POST", "auth/token/create", Some(body), Some("team"));
    assert_eq!(status, 200, "{reply}");
    let token = reply["auth"]["client_token"].as_str().unwrap();
    for namespace in [Some("team"), None] {
        let client = client(server.address(), namespace);
        let mut watched = Watched::start_with(client, brought(token), hasty(&server));
        for _ in 0..2 {
            watched.wait_for(is_renewed).await;
        }
        assert!(watched.manager.status().is_healthy(), "{namespace:?}: {:?}", watched.told);
        watched.manager.stop().await;
    }
}

//! Alerts of a token that is kept against a real server.

use std::time::Duration;

use futures_util::stream;
use leasehold::alerts::Alerts;
use leasehold::client::VaultClient;
use leasehold::core::Secret;
use leasehold::core::name::Address;
use leasehold::core::policy::Every;
use leasehold::identity::{Identity, Source};
use leasehold::token_manager::{TokenEvent, TokenManagerSettings, blocking};
use leasehold::token_refresh::{TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess};
use leasehold::transport::TransportSettings;
use leasehold_testkit::{Fault, Proxy, Server, wait_for};
use serde_json::json;

use crate::ground::{Ground, PATIENCE, arrive};

/// A manager that keeps a token of this life through a proxy.
fn keep(server: &Server, proxy: &Proxy, token: &str, threshold: Option<Duration>) -> blocking::TokenManager {
    let settings = TransportSettings::new(vec![Address::parse(&proxy.address()).unwrap()]);
    let client = VaultClient::new(&settings, None).unwrap();
    let mut settings = TokenManagerSettings::new(server.folder().join("state"));
    settings.check_interval = Duration::from_secs(1);
    settings.renew_threshold = threshold.unwrap_or(settings.renew_threshold);
    blocking::TokenManager::new(client, Identity::Brought(Source::Value(Secret::new(token))), settings)
}

#[test]
fn an_outage_is_an_incident_until_it_is_over() {
    let (server, ground) = (Server::start(), Ground::new());
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "1h" }));
    let manager = keep(&server, &proxy, &token, None);

    let alerts = Alerts::start("web-1", ground.sinks().into()).unwrap();
    alerts.watch("the token of billing", manager.stream());
    manager.start().unwrap();
    manager.ready().unwrap();
    proxy.set(Fault::Refuse);
    arrive(&ground.pager_duty, 1);
    arrive(&ground.slack, 1);
    assert_eq!(ground.pager_duty.incidents(), ["leasehold/web-1/the token of billing"]);
    proxy.set(Fault::Pass);
    let is_over = wait_for(PATIENCE, || ground.pager_duty.incidents().is_empty().then_some(()));
    assert!(is_over.is_some(), "{:?}", ground.pager_duty.taken());
    // What is told right before the end goes along.
    assert!(manager.force_renewal());
    manager.stop();
    assert_eq!(alerts.stop_blocking(PATIENCE), 0);

    let events: Vec<_> = ground.webhook.taken().iter().map(|body| body["event"].clone()).collect();
    assert_eq!(events, ["failed", "recovered", "renewed"]);
    assert_eq!((ground.slack.taken().len(), ground.pager_duty.taken().len()), (2, 2), "no renewals");
    for receiver in ground.receivers() {
        let requests = receiver.listener().requests().concat();
        assert!(!requests.contains(&token), "the token is in no alert");
    }
}

#[test]
fn what_was_told_before_the_end_goes_along() {
    let ground = Ground::new();
    for round in 1..=20 {
        let [webhook, ..] = ground.sinks();
        let alerts = Alerts::start("web-1", vec![webhook]).unwrap();
        alerts.watch("db", stream::iter([TokenEvent::Renewed { ttl: None, replaced: false }]));
        assert_eq!(alerts.stop_blocking(PATIENCE), 0);
        assert_eq!(ground.webhook.taken().len(), round);
    }
}

#[test]
fn events_without_end_hold_up_no_other_and_no_end() {
    let ground = Ground::new();
    let [webhook, ..] = ground.sinks();
    let alerts = Alerts::start("web-1", vec![webhook]).unwrap();
    alerts.watch("noisy", stream::repeat(TokenEvent::Checked { ttl: None }));
    alerts.watch("db", stream::iter([TokenEvent::Renewed { ttl: None, replaced: false }]));
    arrive(&ground.webhook, 1);
    assert_eq!(alerts.stop_blocking(PATIENCE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_login_will_die_is_told_at_once_and_again_when_it_has() {
    let (server, ground) = (Server::start(), Ground::new());
    server.put_secret("secret/d/token", json!({ "token": "blue" }));
    let token = server.token(json!({ "ttl": "6s", "renewable": false }));
    let transport = TransportSettings::new(vec![Address::parse(server.address()).unwrap()]);
    let mut settings = TokenRefreshSettings::new(VaultAccess {
        client: VaultClient::new(&transport, None).unwrap(),
        identity: Identity::Brought(Source::Value(Secret::new(&*token))),
        place: TokenPlace::new("secret", "d").unwrap(),
        state_dir: server.folder().join("state"),
    });
    settings.refresh = Every::exactly(Duration::from_secs(1));
    // Longer than between two readings.
    settings.stale_after = Duration::from_secs(3);
    let refresh = TokenRefresh::start(settings).unwrap();
    refresh.refresh_now().await.unwrap();
    let alerts = Alerts::start("web-1", ground.sinks().into()).unwrap();
    // Late, and so it is told first of what is known.
    alerts.watch("the agents' token", refresh.events());
    let causes = || ground.webhook.taken().into_iter().map(|body| body["cause"].clone()).collect::<Vec<_>>();
    let are_told = || ["needs_login", "stale"].iter().all(|cause| causes().contains(&json!(cause)));
    let is_told = wait_for(PATIENCE, || are_told().then_some(()));
    assert!(is_told.is_some(), "{:?}", causes());
    refresh.stop().await;
    assert_eq!(alerts.stop(PATIENCE).await, 0);
    let causes = causes();
    assert_eq!((&causes[0], causes.contains(&json!("needs_login"))), (&json!("doomed"), true), "{causes:?}");
    let told = json!(ground.webhook.taken()).to_string();
    assert!(told.contains("cannot be kept beyond") && !told.contains(&token), "{told}");
}

#[test]
fn renewals_that_are_refused_are_an_incident_before_the_token_ends() {
    let (server, ground) = (Server::start(), Ground::new());
    let proxy = Proxy::start(server.address());
    let token = server.token(json!({ "ttl": "20s" }));
    let manager = keep(&server, &proxy, &token, Some(Duration::from_secs(18)));
    proxy.set_for("renew-self", Fault::Answer(403, r#"{"errors":["permission denied"]}"#.into()), 1_000);
    let alerts = Alerts::start("web-1", ground.sinks().into()).unwrap();
    alerts.watch("the token of billing", manager.stream());
    manager.start().unwrap();
    manager.ready().unwrap();
    arrive(&ground.pager_duty, 1);
    // Look-ups go on meanwhile, and are no recovery.
    let looks = proxy.requests("lookup-self").len();
    let looked = wait_for(PATIENCE, || (proxy.requests("lookup-self").len() >= looks + 2).then_some(()));
    assert!(looked.is_some());
    manager.stop();
    assert_eq!(alerts.stop_blocking(PATIENCE), 0);
    let told = ground.webhook.taken();
    assert_eq!(told[0]["cause"], "expired", "{told:?}");
    assert!(told.iter().all(|body| body["event"] == "failed"), "{told:?}");
}

//! Those who want the token to be read now.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use leasehold::clock::Clock;
use leasehold::core::{Moment, Secret};
use leasehold::identity::Source;
use leasehold::signing::{Attempt, Covering, Next, Outbound, Outcome, Signer, Verifier};
use leasehold::token_cache::TokenCache;
use leasehold::token_refresh::{Fallback, TokenRefresh, TokenRefreshSettings, notice};
use leasehold_testkit::{Fault, Proxy};
use nix::sys::signal::{Signal, raise};

use crate::ground::Folder;
use crate::panel::{API, Panel, becomes, eventually, fallback, token};

#[tokio::test]
async fn one_reading_serves_all_who_ask() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let refresh = TokenRefresh::start(panel.settings(&proxy.address())).unwrap();
    becomes(&refresh, "first").await;
    panel.put("second");
    proxy.set(Fault::Delay(Duration::from_millis(200)));
    let before = proxy.requests(API).len();
    let answers = join_all((0..64).map(|_| refresh.refresh_now())).await;
    assert!(answers.iter().all(|answer| *answer == Ok(true)), "{answers:?}");
    let reads = proxy.requests(API).len() - before;
    assert!((1..=2).contains(&reads), "{reads} readings");
    assert_eq!((refresh.refresh_now().await, token(refresh.tokens()).as_str()), (Ok(false), "second"));
    refresh.stop().await;
}

#[tokio::test]
async fn who_asks_while_it_is_read_hears_of_what_was_written_meanwhile() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let refresh = TokenRefresh::start(panel.settings(&proxy.address())).unwrap();
    becomes(&refresh, "first").await;
    let before = proxy.requests(API).len();
    // The old value is on its way, slowly.
    proxy.set_for(API, Fault::Drip(Duration::from_millis(1)), 1);
    let early = refresh.refresh_now();
    let late = async {
        eventually(|| proxy.requests(API).len() > before).await;
        panel.put("second");
        refresh.refresh_now().await
    };
    let (_, late) = tokio::join!(early, late);
    assert_eq!((late, token(refresh.tokens()).as_str()), (Ok(true), "second"));
    refresh.stop().await;
}

#[tokio::test]
async fn a_signal_or_another_file_is_a_notice() {
    let (panel, folder) = (Panel::with("of vault"), Folder::new());
    let file = folder.0.join("token");
    fs::write(&file, "of the file\n").unwrap();
    let mut settings = panel.settings(panel.0.address());
    settings.fallback = Fallback::of(Source::File(file.clone()));
    let refresh = Arc::new(TokenRefresh::start(settings).unwrap());
    becomes(&refresh, "of vault").await;
    let (hangups, changes) = (notice::hangups().unwrap(), notice::changes(&file));
    let notices = futures_util::stream::select(hangups, changes);
    let follower = Arc::clone(&refresh);
    let following = tokio::spawn(async move { follower.follow(notices).await });

    panel.put("second");
    raise(Signal::SIGHUP).unwrap();
    becomes(&refresh, "second").await;
    fs::write(&file, "changed\n").unwrap();
    becomes(&refresh, "changed").await;
    let next = folder.0.join("next");
    fs::write(&next, "replaced\n").unwrap();
    fs::rename(&next, &file).unwrap();
    becomes(&refresh, "replaced").await;
    fs::remove_file(&file).unwrap();
    panel.put("third");
    becomes(&refresh, "third").await;
    following.abort();
    refresh.stop().await;
}

#[tokio::test]
async fn a_client_that_is_refused_gets_another_token_if_there_is_one() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let refresh = TokenRefresh::start(panel.settings(&proxy.address())).unwrap();
    becomes(&refresh, "first").await;
    let (outbound, now) = (Outbound::default(), Moment::default() + Duration::from_secs(60));
    let refused = |signed: u32| {
        let mut attempt = Attempt::default();
        let present = refresh.tokens().current().unwrap().generation();
        outbound.next(&mut attempt, Outcome::Answer(http::StatusCode::UNAUTHORIZED), signed, present, now)
    };
    let act = |next, signed| outbound.act(next, signed, refresh.tokens(), &refresh);
    panel.put("second");
    let next = refused(1);
    // The second comes while the first one's refresh is under way.
    let waiting = refused(1);
    assert_eq!((next, waiting), (Next::Refresh, Next::Await(Duration::from_secs(10))));
    let acted = tokio::join!(act(waiting, 1), act(next, 1));
    assert_eq!((acted, token(refresh.tokens()).as_str()), ((true, true), "second"));
    assert!(act(refused(1), 1).await, "with the token that came meanwhile");
    // All within ten seconds: nobody reads again, and nobody waits for what will not come.
    let reads = proxy.requests(API).len();
    assert_eq!((refused(2), proxy.requests(API).len()), (Next::Leave, reads));
    assert!(!act(Next::Await(Duration::from_secs(3600)), 2).await, "none is under way");
    assert!(!act(Next::Leave, 1).await);
    assert!(act(Next::Send { after: Duration::ZERO }, 3).await);
    refresh.stop().await;
}

#[tokio::test]
async fn a_peer_that_has_a_new_token_first_makes_the_verifier_read_it_too() {
    let panel = Panel::with("first");
    let refresh = TokenRefresh::start(panel.settings(panel.0.address())).unwrap();
    becomes(&refresh, "first").await;
    let verifier = Verifier::new(refresh.tokens().clone(), Covering::Body).refreshed_by(Arc::new(refresh));
    panel.put("second");
    let peer = TokenCache::new(Clock::default(), Duration::ZERO);
    peer.rotate(Secret::new("second"));
    let signer = Signer::new(peer, "peer", Covering::Body).unwrap();
    let mut request = Request::post("/").body("reboot").unwrap();
    signer.sign(&mut request).unwrap();
    let mut verification = verifier.open(&request).unwrap();
    verification.update(request.body().as_bytes());
    let verified = verification.finish_or_refresh([request.body()]).await;
    assert_eq!(verified.map(|verified| verified.by_previous), Ok(false));
    assert_eq!(verifier.failures(), 0);
}

#[tokio::test]
async fn without_vault_the_fallback_is_served_and_read_at_each_notice() {
    let (first, stands) = fallback("first");
    let refresh = TokenRefresh::start(TokenRefreshSettings::without_vault(first)).unwrap();
    let health = refresh.health();
    assert_eq!((health.status, health.last_refresh_ok, health.code()), ("ok", None, 200));
    assert_eq!(refresh.refresh_now().await, Ok(false));
    *stands.lock().unwrap() = "second".into();
    assert_eq!(refresh.refresh_now().await, Ok(true));
    assert_eq!(refresh.tokens().previous().as_ref().map(Secret::expose), Some("first"));
    assert_eq!(refresh.metrics().vault_fetch_errors_total, 0);
    refresh.stop().await;
}

//! What a service serves that is started anew, with the token of long ago still in its environment.

use http::Request;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{Covering, Signer, Verifier};
use leasehold::token_cache::TokenCache;
use leasehold::token_refresh::TokenRefresh;
use leasehold_testkit::{Fault, Log, Proxy};

use crate::panel::{Panel, becomes, fallback};

/// Whether a request is accepted that was signed with this token.
fn accepts(refresh: &TokenRefresh, token: &str) -> bool {
    let keys = TokenCache::new(Clock::default(), std::time::Duration::ZERO);
    keys.rotate(Secret::new(token));
    let mut request = Request::post("/").body("reboot").unwrap();
    Signer::new(keys, "peer", Covering::Body).unwrap().sign(&mut request).unwrap();
    let verifier = Verifier::new(refresh.tokens().clone(), Covering::Body);
    let mut verification = verifier.open(&request).unwrap();
    verification.update(request.body().as_bytes());
    verification.finish().is_ok()
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_rotated_out_is_refused_as_soon_as_vault_answers_and_that_is_audited() {
    let log = Log::default();
    // While there is only one, what other threads do not listen to is not told to it either.
    let _second = tracing::Dispatch::new(log.clone());
    let _guard = tracing::subscriber::set_default(log.clone());
    let panel = Panel::with("rotated");
    let proxy = Proxy::start(panel.0.address());
    proxy.set(Fault::Refuse);
    let mut settings = panel.hasty(&proxy.address());
    (settings.fallback, _) = fallback("static");
    let refresh = TokenRefresh::start(settings).unwrap();
    assert!(accepts(&refresh, "static"), "there is no other yet");
    proxy.set(Fault::Pass);
    becomes(&refresh, "rotated").await;
    assert!(accepts(&refresh, "rotated") && !accepts(&refresh, "static"));
    assert!(refresh.tokens().previous().is_none());
    assert_eq!(
        (refresh.metrics().token_rotations_total, log.lines(" audit message=Token rotated").len()),
        (1, 1)
    );
    refresh.stop().await;
}

#[tokio::test]
async fn while_vault_has_the_static_token_nothing_happens_and_its_rotation_has_an_overlap() {
    let panel = Panel::with("static");
    let mut settings = panel.settings(panel.0.address());
    (settings.fallback, _) = fallback("static");
    let refresh = TokenRefresh::start(settings).unwrap();
    assert_eq!(refresh.refresh_now().await, Ok(false));
    assert!(accepts(&refresh, "static"));
    panel.put("rotated");
    assert_eq!(refresh.refresh_now().await, Ok(true));
    assert!(accepts(&refresh, "rotated") && accepts(&refresh, "static"));
    assert_eq!(refresh.metrics().token_rotations_total, 1);
    refresh.stop().await;
}

//! What the log and the audit are told.

use leasehold::core::Kind;
use leasehold::token_refresh::{TokenRefresh, TokenRefreshSettings};
use leasehold_testkit::{Canaries, Fault, Log, Proxy};
use serde_json::json;

use crate::panel::{Panel, becomes, fallback};

#[tokio::test(flavor = "current_thread")]
async fn rotations_and_failures_are_told_and_no_secret_is() {
    let (log, mut canaries) = (Log::default(), Canaries::default());
    // While there is only one, what other threads do not listen to is not told to it either.
    let _second = tracing::Dispatch::new(log.clone());
    let _guard = tracing::subscriber::set_default(log.clone());
    let [first, second, environment] = ["first", "second", "environment"].map(|name| canaries.plant(name));
    let panel = Panel::with(&first);
    canaries.watch(panel.0.root_token());
    let proxy = Proxy::start(panel.0.address());
    let mut settings: TokenRefreshSettings = panel.settings(&proxy.address());
    (settings.fallback, _) = fallback(&environment);
    let shown = format!("{settings:?}");
    let refresh = TokenRefresh::start(settings).unwrap();
    becomes(&refresh, &first).await;
    panel.put(&second);
    assert_eq!(refresh.refresh_now().await, Ok(true));
    let rotated = log.lines(" audit ");
    assert_eq!(rotated.len(), 2, "from the environment's, and from the first: {rotated:?}");
    let fields = r"^INFO audit message=Token rotated deployment_hash=.d-1. timestamp=.20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ. age_seconds=\d+$";
    let form = regex_lite::Regex::new(fields).unwrap();
    assert!(rotated.iter().all(|line| form.is_match(&line.replace('"', "."))), "{rotated:?}");

    proxy.set(Fault::Refuse);
    assert_eq!(refresh.refresh_now().await.unwrap_err().kind(), Kind::Unreachable);
    panel.put_fields(json!({ "token": { "canary": first } }));
    proxy.set(Fault::Pass);
    assert_eq!(refresh.refresh_now().await.unwrap_err().kind(), Kind::Invalid);
    let failed = log.lines("Failed to fetch token from Vault");
    assert!(
        failed.iter().all(|line| line.starts_with("WARN ") && line.contains(" will_retry=true")),
        "{failed:?}"
    );
    assert!(
        failed.last().unwrap().contains("error=the token in status_panel/d-1/token is no text"),
        "{failed:?}"
    );
    assert_eq!(failed.len() as u64, refresh.metrics().vault_fetch_errors_total);

    let debug = format!("{refresh:?} {:?} {:?}", refresh.health(), refresh.metrics());
    refresh.stop().await;
    canaries.assert_absent(log.text().as_bytes(), "the log");
    canaries.assert_absent(format!("{shown} {debug}").as_bytes(), "debug texts");
}

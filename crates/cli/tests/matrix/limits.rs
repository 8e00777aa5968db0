//! Rows 15, 17 and 18: a server that limits, refuses for good, or cannot write its audit log.

use std::time::{Duration, Instant};

use leasehold::core::name::{Path, VaultReference};
use leasehold::core::{Fields, Kind, Secret};
use leasehold::vault::kv::Write;
use leasehold_testkit::{Proxy, Server, record};
use serde_json::json;

use crate::cluster::{Kept, Sole, block_on, client};
use crate::stage::{Home, PASSWORD, Run, Stage, soon};

/// A run that ends once the file `go` is there.
fn until_told(home: &Home) -> Run {
    home.run_started(&["--env", PASSWORD], "touch started; until [ -e go ]; do sleep 0.05; done")
}

/// Uses up what a limit allows.
fn exhaust(server: &Server, path: &str) {
    let refused = || (server.api_as("s.nobody", "POST", path, None, None).0 == 429).then_some(());
    soon("the limit is reached", refused);
}

#[test]
fn row_15_a_revocation_that_is_throttled_is_done_by_the_next_run() {
    const REVOKE: &str = "auth/token/revoke-self";
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    let mut run = until_told(&home);
    let token = home.accessor();
    stage.server.limit(REVOKE, 1, 600, false);
    exhaust(&stage.server, REVOKE);
    home.touch("go");
    let begun = Instant::now();
    assert_eq!(run.wait(), 0);
    let (ended, tries) = (begun.elapsed(), proxy.requests(REVOKE).len());
    assert!(run.said().contains("the next leasehold tries again"), "{}", run.said());
    assert_eq!(home.journal().held(), std::slice::from_ref(&token));
    assert!(stage.server.is_alive(&token) && ended < Duration::from_secs(5), "{ended:?}");
    // The burst of one second, and then two in each.
    assert!(tries <= 2 * 5, "{tries} in {ended:?}");
    stage.server.lift_limit();
    // Who comes next waits for it half a second, and the one after that goes on with it.
    assert!((0..3).any(|_| get(&home) == "one" && !stage.server.is_alive(&token)));
    assert_eq!(stage.tokens(), 0);
    record(
        "15",
        &format!(
            "429 without Retry-After at the end of a run: {tries} tries in {:.1} s, then told and in the journal; revoked by \
             the next run, 0 of 1 lost",
            ended.as_secs_f64()
        ),
    );
}

#[test]
fn row_15_a_revocation_waits_until_it_is_let_in() {
    const REVOKE: &str = "auth/token/revoke-self";
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.address());
    stage.server.limit(REVOKE, 1, 2, true);
    // A run that ends late finds nothing used up.
    let ended = soon("a revocation that is refused at first", || {
        let (home, before) = (stage.home_at(&proxy.address()), proxy.requests(REVOKE).len());
        let mut run = until_told(&home);
        exhaust(&stage.server, REVOKE);
        home.touch("go");
        let begun = Instant::now();
        assert_eq!(run.wait(), 0);
        let ended = begun.elapsed();
        assert_eq!((home.journal().held(), stage.tokens()), (vec![], 0), "{}", run.said());
        (proxy.requests(REVOKE).len() >= before + 2).then_some(ended)
    });
    record(
        "15b",
        &format!("429 with Retry-After at the end of a run: revoked after {:.1} s", ended.as_secs_f64()),
    );
}

#[test]
fn row_15_a_renewal_waits_no_longer_than_the_token_lives() {
    const RENEW: &str = "auth/token/renew-self";
    for (key, is_told) in [("15c", false), ("15d", true)] {
        let stage = Stage::with_login(json!({"token_ttl": "8s"}));
        let proxy = Proxy::start(stage.server.address());
        let home = stage.home_at(&proxy.address());
        stage.server.limit(RENEW, 1, 600, is_told);
        exhaust(&stage.server, RENEW);
        let mut run = until_told(&home);
        let (first, begun) = (home.accessor(), Instant::now());
        let second = soon("another token", || home.journal().ever.get(1).cloned());
        let replaced = begun.elapsed();
        assert!(
            stage.server.is_alive(&first),
            "it was replaced before its end, and not after {replaced:?}: {}",
            run.said()
        );
        assert!(stage.server.is_alive(&second) && !run.is_over());
        let tries = proxy.requests(RENEW).len();
        assert!(tries <= 2 * 8, "{tries} in {replaced:?}");
        let told = if is_told { "with Retry-After 600" } else { "without Retry-After" };
        let (replaced, left) = (replaced.as_secs_f64(), 8.0 - replaced.as_secs_f64());
        record(
            key,
            &format!(
                "429 {told} to each renewal of a token of 8 s: {tries} tries, replaced after {replaced:.1} s, {left:.1} s \
                 before its end"
            ),
        );
    }
}

#[test]
fn row_17_a_role_that_is_gone_is_not_asked_for_again_and_again() {
    let stage = Stage::with_login(json!({"token_ttl": "6s"}));
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    let mut run = until_told(&home);
    let token = home.accessor();
    assert_eq!(stage.server.api("DELETE", "auth/approle/role/app", None).0, 204);
    soon("said", || run.said().contains("the role that the token came from is gone").then_some(()));
    soon("the end of the token", || (!stage.server.is_alive(&token)).then_some(()));
    let renewals = proxy.requests("renew-self").len();
    let logins = proxy.requests("approle/login").len() - 1;
    assert!(renewals <= 3 && logins <= 3, "{renewals} renewals, {logins} logins: {}", run.said());
    assert!(!run.is_over(), "the command goes on with what it has");
    record(
        "17",
        &format!(
            "role deleted under a token of 6 s: {renewals} renewal and {logins} logins until its end, told as \"the role \
             that the token came from is gone\"; the command runs on"
        ),
    );
}

#[test]
fn row_17_a_value_that_is_too_large_is_sent_once() {
    // Integrated storage has a limit, memory has none.
    let cluster = Sole::start();
    let proxy = Proxy::start(&cluster.addresses()[cluster.leader()]);
    let client = client(&proxy.address(), cluster.root_token());
    let path = Path::parse("secret/large").unwrap();
    let reference = VaultReference { path: path.clone(), version: None, namespace: None };
    let mount = block_on(client.mount_of(&reference)).unwrap().unwrap();
    let fields = Fields::from_iter([("large", Secret::new("x".repeat(2 << 20)))]);
    let write = Write::new(mount.entry(&path).unwrap(), fields, None).unwrap();
    let failure = block_on(client.send(&write)).unwrap_err();
    assert_eq!(failure.kind(), Kind::Invalid, "{failure}");
    let tries = proxy.requests("secret/data/large").len();
    assert_eq!(tries, 1);
    record("17b", &format!("500 for a value that is too large: {tries} try, told as \"{failure}\""));
}

#[test]
fn row_18_a_server_that_fails_with_good_health_is_not_ready() {
    let stage = Stage::at(Server::start_audited(), json!({"token_ttl": "10s"}));
    let home = stage.home();
    let mut run = until_told(&home);
    let token = Kept::new(&stage.server, &home);
    stage.server.fill_disk();
    assert_eq!(stage.server.api("GET", "sys/health", None).0, 200);
    let begun = Instant::now();
    assert!(!verify(&home), "a login cannot work now");
    let noticed = begun.elapsed();
    assert!(noticed < Duration::from_secs(10), "{noticed:?}");
    // Until the renewal has failed.
    soon("a failed renewal", || run.said().contains("internal error").then_some(()));
    assert!(!run.is_over());
    stage.server.free_disk();
    let freed = Instant::now();
    token.wait(&stage.server, &home);
    let kept = freed.elapsed();
    assert!(verify(&home));
    record(
        "18",
        &format!(
            "audit disk full, health 200: `verify` says not ready after {} ms; the run keeps its token and renews or \
             replaces it {:.1} s after there is space",
            noticed.as_millis(),
            kept.as_secs_f64()
        ),
    );
}

/// Whether `leasehold verify` finds the role in order.
fn verify(home: &Home) -> bool {
    let words = ["leasehold", "verify", "app", "secret/db"];
    home.command(&words).output().unwrap().status.success()
}

/// What `leasehold get` prints.
fn get(home: &Home) -> String {
    let got = home.command(&["leasehold", "get", "-n", "vault://secret/db#password"]).output().unwrap();
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    String::from_utf8(got.stdout).unwrap()
}

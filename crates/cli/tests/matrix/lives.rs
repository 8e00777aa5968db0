//! Tokens that die: refused, revoked, at their cap, beyond renewal; and logins that are refused.

use std::fs;
use std::time::{Duration, Instant};

use leasehold_testkit::{Postgres, Proxy, record, wait_for};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::stage::{Home, Run, Stage, soon};

/// A child that runs until it is told to stop.
const WAIT: &str = "touch started; exec sleep 60";
const SECOND: Duration = Duration::from_secs(1);
/// So many secrets are read with the one token.
const SECRETS: usize = 3;

/// A server behind a proxy, and a home that sees it there.
struct Scene {
    stage: Stage,
    proxy: Proxy,
    home: Home,
}

impl Scene {
    fn new(login: serde_json::Value) -> Self {
        let stage = Stage::with_login(login);
        for at in 0..SECRETS {
            stage.rotate(&format!("secret/s{at}"), "one");
        }
        let proxy = Proxy::start(stage.server.address());
        let home = stage.home_at(&proxy.address());
        Self { stage, proxy, home }
    }

    /// Runs a child with all secrets in files, each read again every second.
    fn run(&self, more: &[&str]) -> Run {
        let files: Vec<_> =
            (0..SECRETS).map(|at| format!("{}=vault://secret/s{at}#password", self.file(at))).collect();
        let files: Vec<_> = files.iter().flat_map(|file| ["--file", file]).collect();
        self.home.run_started(&[&["--refresh-interval", "1s"], &files[..], more].concat(), WAIT)
    }

    fn file(&self, at: usize) -> String {
        self.home.path(&format!("file{at}")).display().to_string()
    }

    /// Writes this into all secrets, and says how long it takes until all files hold it.
    fn rotate(&self, value: &str) -> Duration {
        (0..SECRETS).for_each(|at| self.stage.rotate(&format!("secret/s{at}"), value));
        self.seen(value)
    }

    fn seen(&self, value: &str) -> Duration {
        let begin = Instant::now();
        (0..SECRETS).for_each(|at| self.home.wait_for(&format!("file{at}"), value));
        begin.elapsed()
    }

    fn count(&self, part: &str) -> usize {
        self.proxy.requests(part).len()
    }

    fn revoke(&self, accessor: &str) {
        let body = json!({ "accessor": accessor });
        assert_eq!(self.stage.server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    }
}

/// Ends a run in good order: its child ends by the signal, and no token is left.
fn end(scene: &Scene, mut run: Run) {
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(), 128 + 15);
    let is_clean = || (scene.stage.tokens() == 0).then_some(());
    assert!(wait_for(SECOND, is_clean).is_some(), "{}", run.said());
}

#[test]
fn row_11_a_dead_token_is_looked_up_once_and_replaced_by_one_login() {
    let scene = Scene::new(json!({ "token_ttl": "10m" }));
    let run = scene.run(&[]);
    scene.rotate("two");
    let mut longest = Duration::ZERO;
    for (generation, value) in [(2, "three"), (3, "four")] {
        scene.revoke(&scene.home.accessor());
        scene.proxy.wait_for("lookup-self", generation - 1);
        let begin = Instant::now();
        scene.proxy.wait_for("approle/login", generation);
        soon("a token in place of the dead one", || (scene.stage.tokens() == 1).then_some(()));
        longest = longest.max(begin.elapsed());
        scene.rotate(value);
        assert_eq!((scene.count("lookup-self"), scene.count("approle/login")), (generation - 1, generation));
    }
    assert!(longest < SECOND, "good again after {longest:?}");
    end(&scene, run);
    record(
        "11",
        &format!(
            "2 revocations with {SECRETS} readers of one token: 1 look-up and 1 login each; good again at most {} ms \
             after the first refusal",
            longest.as_millis()
        ),
    );
}

#[test]
fn row_12_what_a_policy_denies_is_no_reason_to_log_in() {
    let scene = Scene::new(json!({ "token_ttl": "10m" }));
    let run = scene.run(&[]);
    scene.rotate("two");
    scene.stage.server.policy("app", r#"path "secret/data/db" { capabilities = ["read"] }"#);
    let denied = || run.said().matches("the token's policies do not allow it").count();
    soon("every reader was refused", || (denied() >= SECRETS).then_some(()));
    assert_eq!((scene.count("lookup-self"), scene.count("approle/login")), (0, 1), "{}", run.said());
    (0..SECRETS).for_each(|at| assert_eq!(scene.home.read(&format!("file{at}")), "two"));
    end(&scene, run);
    record("12", &format!("{} reads denied by policy: 0 look-ups, 0 logins, the values stay", SECRETS));
}

#[test]
fn row_21_a_revoked_token_is_found_out_at_its_first_use() {
    let scene = Scene::new(json!({ "token_ttl": "10m" }));
    let run = scene.run(&[]);
    scene.rotate("two");
    let reads = scene.count("GET /v1/secret/data");
    scene.revoke(&scene.home.accessor());
    let begin = Instant::now();
    scene.proxy.wait_for("approle/login", 2);
    let found = begin.elapsed();
    let used = scene.count("GET /v1/secret/data") - reads;
    scene.rotate("three");
    // Each of the readers may have been on its way.
    assert!(used <= SECRETS && found < 3 * SECOND, "{used} uses, {found:?}");
    end(&scene, run);
    record(
        "21",
        &format!(
            "found out at the first use, {} ms after the revocation (a use each second), by {used} refused reads of \
             {SECRETS} readers",
            found.as_millis()
        ),
    );
}

#[test]
fn row_21_a_run_with_leases_alone_finds_out_when_it_renews() {
    let postgres = Postgres::start();
    let stage = Stage::with_login(json!({ "token_ttl": "10m" }));
    stage.server.database(&postgres, "app", "10m", "1h");
    let home = stage.home();
    let user = format!("{}=vault://database/creds/app#username", home.path("user").display());
    let mut run = home.run_started(&["--parent-ttl", "10s", "--file", &user], WAIT);
    let first = home.read("user");
    let login = home.journal().ever[0].clone();
    let body = json!({ "accessor": login });
    assert_eq!(stage.server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    let begin = Instant::now();
    soon("another user", || (!["", &first].contains(&&*home.read("user"))).then_some(()));
    let found = begin.elapsed();
    assert!(found < 9 * SECOND, "{found:?}");
    assert!(postgres.roles().contains(&home.read("user")));
    run.signal(Signal::SIGTERM);
    run.wait();
    record(
        "21b",
        &format!(
            "with nothing but a lease to keep: another lease {} ms after the revocation, at the renewal of the parent \
             token (ttl 10 s)",
            found.as_millis()
        ),
    );
}

#[test]
fn row_22_a_token_at_its_longest_life_is_replaced_before_and_nobody_notices() {
    let scene = Scene::new(json!({ "token_ttl": "4s", "token_max_ttl": "6s" }));
    let run = scene.run(&[]);
    let begin = Instant::now();
    for generation in 2..=3 {
        scene.proxy.wait_for("approle/login", generation);
        scene.rotate(&format!("value {generation}"));
    }
    let span = begin.elapsed();
    assert_eq!(run.said(), "", "nothing failed");
    assert_eq!(scene.count("lookup-self"), 0, "nobody was refused");
    let reads = scene.count("GET /v1/secret/data");
    end(&scene, run);
    record(
        "22",
        &format!(
            "2 replacements before the cap (6 s) in {:.0} s with an overlap: {reads} reads with the token, 0 failed",
            span.as_secs_f64()
        ),
    );
}

#[test]
fn row_23_a_batch_token_is_never_renewed_and_replaced_before_its_end() {
    let scene = Scene::new(json!({ "token_type": "batch", "token_ttl": "5s" }));
    let run = scene.run(&[]);
    for generation in 2..=3 {
        scene.proxy.wait_for("approle/login", generation);
        scene.rotate(&format!("value {generation}"));
    }
    assert_eq!((run.said(), scene.count("renew")), (String::new(), 0));
    let reads = scene.count("GET /v1/secret/data");
    end(&scene, run);
    record(
        "23",
        &format!("batch tokens of 5 s: 2 replacements before the end, {reads} reads, 0 failed, 0 renewals"),
    );
}

#[test]
fn row_23_a_token_that_cannot_be_renewed_is_read_again_from_its_file() {
    let scene = Scene::new(json!({}));
    let token =
        |ttl: &str| scene.stage.server.token(json!({ "ttl": ttl, "renewable": false, "policies": ["app"] }));
    let file = scene.home.path("token");
    fs::write(&file, token("8s")).unwrap();
    let mut run = scene.run(&["--token-file", file.to_str().unwrap()]);
    fs::write(&file, token("60s")).unwrap();
    soon("the first has ended", || (scene.stage.tokens() == 1).then_some(()));
    scene.rotate("two");
    assert_eq!((run.said(), scene.count("renew")), (String::new(), 0));
    run.signal(Signal::SIGTERM);
    run.wait();
    record(
        "23b",
        "a token file whose token cannot be renewed: the new one is taken before the old one ends, 0 renewals",
    );
}

#[test]
fn row_24_a_lease_that_was_revoked_is_replaced_and_given_back_at_the_end() {
    let postgres = Postgres::start();
    let stage = Stage::with_login(json!({ "token_ttl": "10m" }));
    stage.server.database(&postgres, "app", "6s", "1h");
    let home = stage.home();
    let user = format!("{}=vault://database/creds/app#username", home.path("user").display());
    let mut run = home.run_started(&["--file", &user], WAIT);
    let first = home.read("user");
    let lease = format!(
        "database/creds/app/{}",
        stage.server.leases("database/creds/app")[0].rsplit('/').next().unwrap()
    );
    assert_eq!(
        stage.server.api("POST", "sys/leases/revoke", Some(json!({ "lease_id": lease, "sync": true }))).0,
        204
    );
    let begin = Instant::now();
    soon("another lease", || (!["", &first].contains(&&*home.read("user"))).then_some(()));
    let found = begin.elapsed();
    assert!(found < 6 * SECOND, "{found:?}");
    assert_eq!(postgres.roles().iter().filter(|role| role.starts_with("v-")).count(), 1);
    run.signal(Signal::SIGTERM);
    run.wait();
    soon("nothing is left", || (postgres.roles() == [postgres.user()]).then_some(()));
    record(
        "24",
        &format!(
            "a lease (6 s) revoked by somebody else was replaced {} ms later, at its renewal",
            found.as_millis()
        ),
    );
}

#[test]
fn row_35_a_refused_login_is_tried_three_times_and_again_when_its_file_changes() {
    let scene = Scene::new(json!({ "token_ttl": "4s", "token_max_ttl": "6s" }));
    let file = scene.home.path("secret-id");
    fs::write(&file, scene.stage.secret_id()).unwrap();
    let run = scene.run(&["--secret-id-file", file.to_str().unwrap()]);
    let gone = json!({ "secret_id": scene.stage.secret_id() });
    assert_eq!(scene.stage.server.api("POST", "auth/approle/role/app/secret-id/destroy", Some(gone)).0, 204);
    let good = scene.count("approle/login");
    soon("no other login is tried", || {
        run.said().contains("the login was refused three times").then_some(())
    });
    assert_eq!(scene.count("approle/login") - good, 3);
    soon("the token ended meanwhile", || (scene.stage.tokens() == 0).then_some(()));
    assert_eq!(scene.count("approle/login") - good, 3);

    let (_, fresh) = scene.stage.server.api("POST", "auth/approle/role/app/secret-id", None);
    fs::write(&file, fresh["data"]["secret_id"].as_str().unwrap()).unwrap();
    let begin = Instant::now();
    scene.proxy.wait_for("approle/login", good + 4);
    let back = begin.elapsed();
    assert!(back < 4 * SECOND, "{back:?}");
    scene.rotate("two");
    end(&scene, run);
    record(
        "35",
        &format!(
            "a secret id that is wrong from now on: 3 refused logins, then none; a new one in the file is used {} ms \
             after it was written; at most 4 refused in any 15 min (virtual time)",
            back.as_millis()
        ),
    );
}

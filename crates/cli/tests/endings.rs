//! How a `leasehold run` ends, and what is left when it ends badly.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test harness starts programs and looks at the clock, and a failure is a failed test"
)]

mod stage;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use leasehold_testkit::{Postgres, Server};
use nix::sys::signal::Signal::SIGKILL;
use serde_json::json;
use stage::{Home, PASSWORD, Run, Stage, soon};

/// Goes on until it may finish.
const WAIT: &str = "until [ -e finish ]; do sleep 0.02; done";
const FLAGS: &[&str] = &["--env", PASSWORD];

/// How long leasehold may take to give up on a server that does not answer, with a second of slack.
const CLOSING: Duration = Duration::from_secs(6);

fn begin(home: &Home, flags: &[&str], script: &str) -> Run {
    home.run_started(&[FLAGS, flags].concat(), &format!("touch started; {script}"))
}

#[test]
fn what_a_killed_run_left_is_cleared_by_the_next() {
    let stage = Stage::shared();
    let home = stage.home();
    let link = home.path("link");
    let file = format!("{}=vault://secret/db#password", link.display());
    let script = "trap 'touch stopped; exit' TERM; echo $LEASEHOLD_FILES >folder; touch started";
    let run = home.run_started(&[FLAGS, &["--file", &file]].concat(), &format!("{script}; {WAIT}"));
    let (accessor, folder) = (home.accessor(), PathBuf::from(home.read("folder").trim()));
    run.signal(SIGKILL);
    home.wait_for("stopped", "");
    assert!(stage.server.is_alive(&accessor) && folder.exists());
    assert_eq!(home.journal().held(), [&*accessor]);
    drop(run);
    home.touch("finish");
    let begun = Instant::now();
    assert_eq!(home.run(FLAGS, "exit 4").wait(), 4);
    println!("cleared after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!stage.server.is_alive(&accessor));
    assert_eq!((home.journal().ever, folder.exists()), (vec![], false));
    // The link leads nowhere now, and is replaced.
    assert_eq!(home.run(&[FLAGS, &["--file", &file]].concat(), "grep one link").wait(), 0);
    assert!(link.symlink_metadata().is_err());
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let stage = Stage::new();
    for (flags, code) in [
        (["--env", "P=vault://secret/none#x"], 125),
        (["--env", "P=vault://secret/db#none"], 125),
        (["--env", "P=vault://nowhere/db#x"], 125),
        (["--file", "/proc/nowhere=vault://secret/db#password"], 125),
    ] {
        let home = stage.home();
        let mut run = home.run(&[FLAGS, &flags].concat(), "touch started");
        assert_eq!((run.wait(), stage.tokens()), (code, 0), "{flags:?}: {}", run.said());
        assert!(!home.path("started").exists() && home.journal().ever.is_empty(), "{flags:?}");
        assert!(home.file_folders().is_empty(), "{flags:?}");
    }
}

/// A server that fails while the child runs: the child is untouched, its exit code passes, and what could not be
/// revoked is said and kept.
fn check_server(fail: impl Fn(&mut Server), mend: impl Fn(&mut Server)) -> Duration {
    let mut stage = Stage::new();
    let home = stage.home();
    let mut run = begin(&home, &[], &format!("{WAIT}; exit 7"));
    let accessor = home.accessor();
    fail(&mut stage.server);
    home.touch("finish");
    let finished = Instant::now();
    assert_eq!(run.wait(), 7, "{}", run.said());
    let delay = finished.elapsed();
    assert!(delay < CLOSING, "{delay:?}");
    assert!(run.said().contains(&accessor), "{}", run.said());
    assert_eq!(home.journal().held(), [accessor]);
    mend(&mut stage.server);
    delay
}

#[test]
fn a_server_that_fails_delays_the_end_by_seconds_at_most() {
    thread::scope(|scope| {
        let sealed = scope.spawn(|| check_server(|server| server.seal(), |server| server.unseal()));
        let stopped = scope.spawn(|| check_server(|server| server.stop(), |server| server.cont()));
        let killed = check_server(Server::kill, |_| {});
        let delays = (sealed.join().unwrap(), stopped.join().unwrap(), killed);
        println!("ended after the child, the server sealed, stopped, killed: {delays:?}");
    });
}

#[test]
fn a_revocation_that_is_denied_changes_no_exit_code() {
    // Without the default policy a token may not even revoke itself.
    let stage = Stage::with_login(json!({"token_ttl": "10m", "token_no_default_policy": true}));
    for code in [0, 9] {
        let home = stage.home();
        let mut run = begin(&home, &[], &format!("{WAIT}; exit {code}"));
        let accessor = home.accessor();
        home.touch("finish");
        assert_eq!(run.wait(), code);
        assert!(run.said().contains(&accessor), "{}", run.said());
        assert_eq!(home.journal().held(), [accessor]);
    }
}

#[test]
fn a_short_lease_is_replaced_and_the_child_never_has_an_invalid_pair() {
    let (stage, postgres) = (Stage::new(), Postgres::start());
    stage.server.database(&postgres, "app", "4s", "8s");
    let home = stage.home();
    // Who it is comes from PGUSER and PGPASSWORD.
    let url = postgres.url_for("", "").replace(":@", "");
    let connect = format!("psql --no-psqlrc --command='SELECT 1' {url} >select 2>>refused || exit 9");
    let script = format!(
        "trap 'exit 0' TERM; echo $PGUSER >>users; touch started; until [ -e finish ]; do {connect}; sleep 0.2; done"
    );
    let flags = [
        "--env",
        "PGUSER=vault://database/creds/app#username",
        "--env",
        "PGPASSWORD=vault://database/creds/app#password",
        "--on-change",
        "restart",
    ];
    let begun = Instant::now();
    let mut run = home.run_started(&flags, &script);
    let users = || home.read("users").lines().map(str::to_owned).collect::<Vec<_>>();
    soon("three pairs", || {
        assert!(!run.is_over(), "{:?} {} {}", begun.elapsed(), run.said(), home.read("refused"));
        (users().len() == 3).then_some(())
    });
    println!("three pairs after {:?}", begun.elapsed());
    home.touch("finish");
    assert_eq!((run.wait(), &*home.read("refused")), (0, ""), "{}", run.said());
    let mut distinct = users();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "{:?}", users());
    assert_eq!(stage.tokens(), 0);
    // With its token a lease is doomed; the server ends it a moment later.
    soon("the end of every login", || (postgres.roles() == [postgres.user()]).then_some(()));
    soon("the end of every lease", || stage.server.leases("database/creds/app").is_empty().then_some(()));
}

#[test]
fn a_login_that_ends_is_replaced_and_rotations_still_arrive() {
    let stage = Stage::with_login(json!({"token_ttl": "3s", "token_max_ttl": "6s"}));
    let home = stage.home();
    let script = "echo $LEASEHOLD_FILES >folder; touch started; until grep -q two $LEASEHOLD_FILES/p; do sleep 0.05; done";
    let flags = ["--file", "p=vault://secret/db#password", "--refresh-interval", "1s"];
    let begun = Instant::now();
    let mut run = home.run_started(&flags, script);
    let mut ever = Vec::new();
    soon("the third token", || {
        assert!(!run.is_over(), "{:?} {}", begun.elapsed(), run.said());
        ever = home.journal().ever;
        (ever.len() == 3).then_some(())
    });
    println!("the third token after {:?}", begun.elapsed());
    stage.rotate("secret/db", "two");
    assert_eq!((run.wait(), run.said()), (0, String::new()));
    assert!(!ever.iter().any(|accessor| stage.server.is_alive(accessor)));
    assert_eq!(stage.tokens(), 0);
}

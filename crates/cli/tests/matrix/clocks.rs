//! Rows 25 and 26: clocks that somebody sets, and time that passes while nobody looks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use leasehold_testkit::{Proxy, record};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::stage::{Home, PASSWORD, Run, Stage, soon};

/// What a run waits in.
const WAITING: &str = "touch started; while :; do sleep 0.1; done";
/// The file that says how far the wall clock is off.
const OFFSET: &str = "wall-clock";

/// `leasehold run` with a wall clock of its own, which the file [`OFFSET`] steers. The other clocks are the machine's.
fn with_own_wall_clock(home: &Home, script: &str) -> Command {
    let mut command = home.command(&[env!("CARGO_BIN_EXE_leasehold"), "run", "--env", PASSWORD]);
    command.args(["--", "sh", "-c", script]);
    command.env("LD_PRELOAD", wall_clock_library()).env("FAKETIME_TIMESTAMP_FILE", home.path(OFFSET));
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
    command
}

/// Where Debian's `faketime` has its library.
fn wall_clock_library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let mut candidates = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    candidates.find(|path| path.exists()).expect("libfaketime: `cargo xtask tools` installs it")
}

fn set_wall_clock(home: &Home, offset: &str) {
    fs::write(home.path(OFFSET), offset).unwrap();
}

/// How long so many more renewals took, and how many requests there were in all.
fn renewals(proxy: &Proxy, more: usize) -> (Duration, usize) {
    let (begun, all) = (Instant::now(), proxy.requests("").len());
    let before = proxy.requests("renew").len();
    proxy.wait_for("renew", before + more);
    (begun.elapsed(), proxy.requests("").len() - all)
}

#[test]
fn row_25_a_wall_clock_that_is_set_changes_nothing() {
    // Short enough to be renewed each two seconds.
    let stage = Stage::with_login(json!({"token_ttl": "4s"}));
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    set_wall_clock(&home, "+0");
    let mut run = home.start(&mut with_own_wall_clock(&home, WAITING));
    soon("started", || home.path("started").exists().then_some(()));
    let accessor = home.accessor();
    renewals(&proxy, 1);
    let mut told = Vec::new();
    for offset in ["+3600", "-3600"] {
        set_wall_clock(&home, offset);
        let (time, requests) = renewals(&proxy, 2);
        assert!(time > Duration::from_secs(2) && time < Duration::from_secs(7), "{offset}: {time:?}");
        assert!(requests <= 3, "{offset}: {:?}", proxy.requests(""));
        told.push(format!("{offset} s: two renewals took {:.1} s", time.as_secs_f64()));
    }
    assert!(!run.is_over() && stage.server.is_alive(&accessor), "{}", run.said());
    assert_eq!((proxy.requests("login").len(), home.journal().held().len()), (1, 1));
    end(&mut run);
    assert!(!stage.server.is_alive(&accessor));
    record("25", &format!("token of 4 s; {}; one login, no expiry, nothing more asked", told.join("; ")));
}

#[test]
fn row_25_what_a_dead_run_held_is_revoked_by_a_run_whose_clock_is_wrong() {
    let stage = Stage::new();
    let home = stage.home();
    for (offset, ahead) in [("+3600", 3600), ("-3600", -3600)] {
        let run = home.run_started(&["--env", PASSWORD], WAITING);
        let accessor = home.accessor();
        run.signal(Signal::SIGKILL);
        drop(run);
        set_wall_clock(&home, offset);
        // Who comes next waits for it half a second, and the one after that goes on with it.
        let is_revoked = |_| {
            let mut next = home.start(&mut with_own_wall_clock(&home, "date +%s > seen"));
            assert_eq!(next.wait(), 0, "{offset}: {}", next.said());
            !stage.server.is_alive(&accessor)
        };
        assert!((0..3).any(is_revoked), "{offset}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let off = i64::from(home.number("seen")) - i64::try_from(now).unwrap();
        assert!((off - ahead).abs() < 60, "the clock was steered: {off}");
        fs::remove_file(home.path("started")).unwrap();
    }
}

fn end(run: &mut Run) {
    run.signal(Signal::SIGTERM);
    run.wait();
}

#[test]
fn long_row_26_a_process_that_was_stopped_for_longer_than_its_token_lives_uses_no_dead_token() {
    // What dies younger than ten seconds counts as a failure, and is not obtained again at once.
    let stage = Stage::with_login(json!({"token_ttl": "10s"}));
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    let script = "touch started; while :; do cat \"$LEASEHOLD_FILES/p\" > seen; sleep 0.05; done";
    let mut run =
        home.run_started(&["--file", "p=vault://secret/db#password", "--refresh-interval", "1s"], script);
    let accessor = home.accessor();
    run.signal(Signal::SIGSTOP);
    soon("the token's end", || (!stage.server.is_alive(&accessor)).then_some(()));
    stage.rotate("secret/db", "two");
    let before = proxy.requests("").len();
    let woken = Instant::now();
    run.signal(Signal::SIGCONT);
    proxy.wait_for("login", 2);
    let logged_in = woken.elapsed();
    home.wait_for("seen", "two");
    let seen = woken.elapsed();
    let after: Vec<_> = proxy.requests("").split_off(before);
    assert!(after[0].contains("login"), "the first request uses no token: {after:?}");
    assert_eq!(proxy.requests("login").len(), 2);
    assert!(logged_in < Duration::from_secs(1) && seen < Duration::from_secs(3), "{logged_in:?} {seen:?}");
    assert!(!run.is_over());
    end(&mut run);
    assert_eq!(stage.tokens(), 0);
    record(
        "26b",
        &format!(
            "the process stopped for longer than its token of 10 s lives: logged in again {} ms after it went on, by \
             its first request; the child saw the value that was written meanwhile after {} ms; one login",
            logged_in.as_millis(),
            seen.as_millis()
        ),
    );
}

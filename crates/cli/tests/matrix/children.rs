//! Row 33: what the command starts, and does not stop.

use std::fs;
use std::time::{Duration, Instant};

use leasehold_testkit::record;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::stage::{Home, PASSWORD, Run, Stage, is_dead, soon};

/// One descendant in the command's group, one in a session of its own, and one whose parent has gone: each says its
/// number in a file of its name.
const FAMILY: &str = "sh stay group & setsid sh stay session & (setsid sh stay orphan &)";
const NAMES: [&str; 3] = ["group", "session", "orphan"];
/// Ignores whatever asks it to stop.
const STUBBORN: &str = "trap '' TERM INT HUP; echo $$ >$1; exec sleep 1000";
/// Says that it was asked, and stops.
const POLITE: &str = "trap 'echo $1 >>asked; exit' TERM; echo $$ >$1; while :; do sleep 0.05; done";

/// A second is the bound on the life of a token without its command.
const SECOND: Duration = Duration::from_secs(1);

/// Says that it has started. To be done once its traps are set.
const STARTED: &str = "echo $$ >started";
const WAIT: &str = "until [ -e finish ]; do sleep 0.02; done";

/// Starts a run of a script that has a family of this kind. `WAIT` in it stands for [`STARTED`] and [`WAIT`].
fn begin(home: &Home, flags: &[&str], stay: &str, script: &str) -> Run {
    fs::write(home.path("stay"), stay).unwrap();
    let all_there = "until [ -s group -a -s session -a -s orphan ]; do sleep 0.02; done";
    let script = script.replace("WAIT", &format!("{STARTED}; {WAIT}"));
    home.run_started(&[&["--env", PASSWORD], flags].concat(), &format!("{FAMILY}; {all_there}; {script}"))
}

fn family(home: &Home) -> [i32; 3] {
    NAMES.map(|name| home.number(name))
}

fn survivors(family: &[i32]) -> usize {
    family.iter().filter(|pid| !is_dead(**pid)).count()
}

/// Waits for the end of a token: how long it took.
fn until_dead(accessor: &str) -> Duration {
    let begun = Instant::now();
    soon("the end of the token", || (!Stage::shared().server.is_alive(accessor)).then_some(()));
    begun.elapsed()
}

/// Whether there is such a process, dead or alive: a dead one is gone when its parent has taken note of it.
fn exists(pid: i32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

fn until_gone(pid: i32) {
    soon("the end of the command", || is_dead(pid).then_some(()));
}

#[test]
fn row_33_a_child_that_ignores_term_is_killed_with_all_below_it() {
    let (stage, limit) = (Stage::shared(), Duration::from_millis(500));
    let home = stage.home();
    let mut run =
        begin(&home, &["--stop-timeout", "500ms"], STUBBORN, &format!("trap '' TERM; {STARTED}; wait"));
    let (accessor, child, family) = (home.accessor(), home.number("started"), family(&home));
    assert_eq!(survivors(&family), 3);
    let asked = Instant::now();
    run.signal(SIGTERM);
    until_gone(child);
    let killed = asked.elapsed();
    assert!(killed >= limit && killed < limit + SECOND, "{killed:?}");
    let revoked = until_dead(&accessor);
    assert!(revoked < SECOND, "{revoked:?}");
    assert_eq!((run.wait(), survivors(&family)), (137, 0), "{}", run.said());
    record(
        "33",
        &format!(
            "a command and three descendants that ignore TERM (its group, own session, orphan) and a grace of \
             {limit:?}: killed after {killed:.0?}, 0 survivors; token dead {revoked:.0?} after the command's end"
        ),
    );
}

#[test]
fn row_33_what_a_child_leaves_behind_is_asked_to_stop_and_the_token_does_not_wait_for_it() {
    let stage = Stage::shared();
    let home = stage.home();
    let mut run = begin(&home, &["-v", "--stop-timeout", "3s"], STUBBORN, "WAIT; exit 7");
    let (accessor, child, family) = (home.accessor(), home.number("started"), family(&home));
    home.touch("finish");
    until_gone(child);
    let (ended, revoked) = (Instant::now(), until_dead(&accessor));
    assert!(revoked < SECOND && survivors(&family) == 3 && !run.is_over(), "{revoked:?}");
    assert_eq!((run.wait(), survivors(&family)), (7, 0), "{}", run.said());
    let killed = ended.elapsed();
    assert!(killed > Duration::from_secs(2) && killed < Duration::from_secs(4), "{killed:?}");
    assert!(run.said().contains("left 3 processes running"), "{}", run.said());
    record(
        "33b",
        &format!(
            "three descendants that ignore TERM, left by a command that ends by itself, grace 3 s: token dead \
             {revoked:.0?} after the command's end, descendants dead after {killed:.1?}, 0 survivors"
        ),
    );
}

#[test]
fn row_33_what_stops_when_asked_is_given_the_time() {
    let home = Stage::shared().home();
    let mut run = begin(&home, &[], POLITE, "WAIT");
    let family = family(&home);
    home.touch("finish");
    assert_eq!((run.wait(), survivors(&family)), (0, 0));
    let mut asked: Vec<_> = home.read("asked").lines().map(str::to_owned).collect();
    asked.sort();
    assert_eq!(asked, ["group", "orphan", "session"]);
    assert!(!run.said().contains("leasehold:"), "told without -v: {}", run.said());
}

#[test]
fn row_33_a_signal_leaves_no_more_time() {
    let home = Stage::shared().home();
    let mut run = begin(&home, &["--stop-timeout", "1h"], STUBBORN, "WAIT; exit 3");
    let (child, family) = (home.number("started"), family(&home));
    home.touch("finish");
    // Not before leasehold knows of its end: a signal before that would be the first, and not one too many.
    soon("that leasehold takes note of the end", || (!exists(child)).then_some(()));
    run.signal(SIGTERM);
    assert_eq!((run.wait(), survivors(&family)), (3, 0), "{}", run.said());
}

#[test]
fn row_33_a_restart_leaves_nothing_of_the_command_before() {
    let stage = Stage::shared();
    stage.rotate("secret/restarted", "one");
    let home = stage.home();
    let flags = ["--on-change", "restart", "--refresh-interval", "1s", "--stop-timeout", "300ms"];
    let secret = ["--env", "Q=vault://secret/restarted#password"];
    let script = "trap 'exit 0' TERM; echo $Q >>values; WAIT";
    let mut run = begin(&home, &[&flags[..], &secret].concat(), STUBBORN, script);
    let family = family(&home);
    stage.rotate("secret/restarted", "two");
    home.wait_for("values", "two");
    assert_eq!(survivors(&family), 0);
    home.touch("finish");
    assert_eq!(run.wait(), 0);
}

#[test]
fn row_33_when_leasehold_is_killed_its_child_is_told() {
    let home = Stage::shared().home();
    let run = begin(&home, &[], POLITE, "trap 'touch told; exit' TERM; WAIT");
    let (child, family) = (home.number("started"), family(&home));
    let killed = Instant::now();
    run.signal(SIGKILL);
    home.wait_for("told", "");
    until_gone(child);
    let ended = killed.elapsed();
    assert!(ended < SECOND, "{ended:?}");
    record(
        "33c",
        &format!("leasehold itself killed: its command had the stop signal and ended after {ended:.0?}"),
    );
    // What the command itself started is its own affair then.
    family.into_iter().for_each(end);
}

/// Ends a process of the test's own.
fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), SIGKILL);
}

#[test]
fn orphans_are_waited_for_while_the_command_runs() {
    let home = Stage::shared().home();
    let orphans = "for n in 1 2 3 4 5 6 7 8 9; do (sh -c 'sleep 0.1; echo over >>orphans' &); done";
    let mut run = begin(&home, &[], POLITE, &format!("{orphans}; WAIT"));
    soon("the end of the orphans", || (home.read("orphans").lines().count() == 9).then_some(()));
    soon("nothing dead that nobody waits for", || (dead_children(run.pid()) == 0).then_some(()));
    home.touch("finish");
    assert_eq!(run.wait(), 0);
}

/// How many children of a process have ended and were not waited for.
fn dead_children(parent: i32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(&format!(") Z {parent} "))).count()
}

#[test]
fn what_our_caller_started_is_not_ours_to_end() {
    let home = Stage::shared().home();
    let script =
        "sleep 1000 & echo $! >sidecar; exec leasehold run --env P=vault://secret/db#password -- true";
    let mut run = home.start(&mut home.command(&["sh", "-c", script]));
    assert_eq!(run.wait(), 0, "{}", run.said());
    let sidecar = home.number("sidecar");
    assert!(!is_dead(sidecar));
    end(sidecar);
}

//! Signals to `leasehold run` without a terminal: what reaches the child, and how both end.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test harness starts programs and looks at the clock, and a failure is a failed test"
)]

mod stage;

use std::time::{Duration, Instant};

use leasehold_testkit::{Fault, Proxy};
use nix::sys::signal::Signal::{self, *};
use stage::{Home, PASSWORD, Run, Stage, is_dead, soon};

/// Says that it has started and goes on until it may finish.
const WAIT: &str = "echo $$ >started; until [ -e finish ]; do sleep 0.02; done";

/// How long giving everything back to a server that does not answer may take, with a second of slack.
const CLOSING: Duration = Duration::from_secs(6);

const FLAGS: &[&str] = &["--env", PASSWORD];

fn begin(home: &Home, flags: &[&str], script: &str) -> Run {
    home.run_started(&[FLAGS, flags].concat(), script)
}

#[test]
fn each_signal_reaches_the_child_once() {
    let home = Stage::shared().home();
    let signals = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT, SIGTERM];
    let names = signals.map(|signal| &signal.as_str()[3..]);
    let traps = names.map(|name| format!("trap 'echo {name} >>got' {name};")).concat();
    // A trap waits for a command in the foreground, and is told of two signals as of one.
    let wait = WAIT.replace("sleep 0.02", "sleep 0.02 & wait $!");
    let mut run = begin(&home, &[], &format!("{traps} {wait}"));
    for (signal, name) in signals.into_iter().zip(names) {
        run.signal(signal);
        home.wait_for("got", name);
    }
    // Whoever is to stop is woken as well.
    soon("the last CONT", || (home.read("got").matches("CONT").count() == 2).then_some(()));
    home.touch("finish");
    assert_eq!(run.wait(), 0);
    let expect = names.into_iter().chain(["CONT"]).collect::<Vec<_>>();
    assert_eq!(home.read("got").lines().collect::<Vec<_>>(), expect);
}

#[test]
fn a_child_that_dies_of_a_signal_gives_128_and_its_number() {
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM] {
        let home = Stage::shared().home();
        let mut run = begin(&home, &[], "touch started; exec sleep 60");
        run.signal(signal);
        assert_eq!(run.wait(), 128 + signal as i32, "{signal}");
        assert_eq!(run.said(), "", "{signal}");
    }
}

#[test]
fn a_child_that_handles_term_ends_with_its_own_code() {
    let home = Stage::shared().home();
    let mut run = begin(&home, &[], &format!("trap 'exit 3' TERM; {WAIT}"));
    run.signal(SIGTERM);
    assert_eq!(run.wait(), 3);
}

/// A child that ignores the stop signal and has a child that does too.
const STUBBORN: &str = "trap '' TERM; sleep 60 & echo $! >grandchild; echo $$ >started; wait";

#[test]
fn a_child_that_ignores_term_is_killed_with_its_group() {
    let limit = Duration::from_millis(400);
    for terms in [1, usize::MAX] {
        let stage = Stage::shared();
        let home = stage.home();
        let mut run = begin(&home, &["--stop-timeout", "400ms"], STUBBORN);
        let (accessor, grandchild) = (home.accessor(), home.number("grandchild"));
        let asked = Instant::now();
        run.signal(SIGTERM);
        let mut sent = 1;
        soon("the child's end", || {
            // A second one does not put the end off.
            if sent < terms && !is_dead(run.pid()) {
                run.signal(SIGTERM);
                sent += 1;
            }
            is_dead(home.number("started")).then_some(())
        });
        let died = Instant::now();
        assert_eq!(run.wait(), 137);
        let (killed, late) = (died - asked, died.elapsed());
        println!("killed after {killed:?}, ended {late:?} later");
        assert!(killed >= limit && killed < limit * 10, "{killed:?}");
        assert!(!stage.server.is_alive(&accessor) && late < Duration::from_secs(1), "{late:?}");
        soon("the grandchild's end", || is_dead(grandchild).then_some(()));
        assert!(run.said().contains("did not stop in time"), "{}", run.said());
    }
}

#[test]
fn a_signal_before_the_start_ends_leasehold_and_leaves_nothing() {
    let stage = Stage::new();
    let check = |part: &str, signal: Signal| {
        let proxy = Proxy::start(stage.server.address());
        proxy.set_for(part, Fault::Hang, usize::MAX);
        let home = stage.home_at(&proxy.address());
        let mut run = home.run(FLAGS, "touch started");
        proxy.wait_for(part, 1);
        let asked = Instant::now();
        run.signal(signal);
        assert_eq!(run.wait(), 128 + signal as i32, "{part} {signal}: {}", run.said());
        println!("{signal} while {part} hangs: ended after {:?}", asked.elapsed());
        assert!(asked.elapsed() < CLOSING, "{:?}", asked.elapsed());
        assert_eq!(home.journal().held(), [""; 0], "{part} {signal}");
        assert!(!home.path("started").exists());
    };
    let check = &check;
    std::thread::scope(|scope| {
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            scope.spawn(move || check("auth/approle/login", signal));
            scope.spawn(move || check("secret/data/db", signal));
        }
    });
    assert_eq!(stage.tokens(), 0);
}

#[test]
fn what_cannot_be_given_back_before_the_start_is_in_the_journal() {
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.address());
    proxy.set_for("secret/data/db", Fault::Hang, usize::MAX);
    let home = stage.home_at(&proxy.address());
    let mut run = home.run(FLAGS, "touch started");
    proxy.wait_for("secret/data/db", 1);
    stage.server.stop();
    let asked = Instant::now();
    run.signal(SIGTERM);
    assert_eq!(run.wait(), 143);
    println!("SIGTERM while the server is stopped: ended after {:?}", asked.elapsed());
    assert!(asked.elapsed() < CLOSING, "{:?}", asked.elapsed());
    stage.server.cont();
    assert!(run.said().contains(&home.accessor()), "{}", run.said());
}

/// A secret of one test alone, rotated while a run that restarts its child looks at it often.
struct Rotation {
    home: Home,
    path: String,
}

impl Rotation {
    fn of(name: &str) -> Self {
        let rotation = Self { home: Stage::shared().home(), path: format!("secret/{name}") };
        rotation.to("one");
        rotation
    }

    fn to(&self, value: &str) {
        Stage::shared().rotate(&self.path, value);
    }

    fn begin(&self, flags: &[&str], script: &str) -> Run {
        let secret = format!("P=vault://{}#password", self.path);
        let usual = ["--env", &secret, "--refresh-interval", "1s"];
        self.home.run_started(&[&usual, flags].concat(), script)
    }
}

#[test]
fn a_child_that_ignores_term_is_restarted_all_the_same() {
    let rotation = Rotation::of("stubborn");
    let (home, flags) = (&rotation.home, ["--on-change", "restart", "--stop-timeout", "200ms"]);
    let mut run = rotation.begin(&flags, &format!("trap '' TERM; echo $P >>values; {WAIT}"));
    rotation.to("two");
    home.wait_for("values", "two");
    home.touch("finish");
    assert_eq!(run.wait(), 0);
    assert_eq!(home.read("values"), "one\ntwo\n");
}

#[test]
fn a_signal_during_a_restart_ends_everything() {
    for signal in [SIGTERM, SIGINT, SIGQUIT] {
        let rotation = Rotation::of(&format!("during-{signal}"));
        let home = &rotation.home;
        let script = "trap '' INT QUIT; trap 'touch stopping' TERM; echo $P >>values";
        let mut run = rotation.begin(&["--on-change", "restart"], &format!("{script}; {WAIT}; exit 5"));
        rotation.to("two");
        home.wait_for("stopping", "");
        run.signal(signal);
        home.touch("finish");
        assert_eq!((run.wait(), &*home.read("values")), (5, "one\n"), "{signal}");
    }
}

#[test]
fn the_stop_signal_is_what_asks_the_child_to_stop() {
    let rotation = Rotation::of("stop-signal");
    let (home, flags) = (&rotation.home, ["--on-change", "restart", "--stop-signal", "INT"]);
    let script =
        format!("trap 'echo INT >>got; exit 4' INT; trap 'echo TERM >>got' TERM; echo $P >>values; {WAIT}");
    let mut run = rotation.begin(&flags, &script);
    rotation.to("two");
    home.wait_for("values", "two");
    run.signal(SIGTERM);
    assert_eq!((run.wait(), &*home.read("got")), (4, "INT\nINT\n"));
    // Also when leasehold is killed.
    let run = rotation.begin(&flags, &script);
    home.wait_for("values", "two\ntwo");
    run.signal(SIGKILL);
    home.wait_for("got", "INT\nINT\nINT");
}

#[test]
fn a_rotation_is_not_lost_among_signals() {
    let rotation = Rotation::of("storm");
    let (home, flags) = (&rotation.home, ["--on-change", "signal:USR1"]);
    let mut run = rotation.begin(&flags, &format!("trap 'touch seen' USR1; {WAIT}"));
    rotation.to("two");
    soon("the rotation", || {
        run.signal(SIGWINCH);
        home.path("seen").exists().then_some(())
    });
    home.touch("finish");
    assert_eq!(run.wait(), 0);
}

#[test]
fn the_child_has_the_signal_settings_of_the_caller() {
    let home = Stage::shared().home();
    let mask =
        |signals: &[Signal]| signals.iter().fold(0_u64, |mask, signal| mask | 1 << (*signal as i32 - 1));
    let caller =
        ["env", "--ignore-signal=HUP", "--block-signal=USR2", env!("CARGO_BIN_EXE_leasehold"), "run"];
    let start = |script: &str| {
        let words = [&caller, FLAGS, &["--", "sh", "-c", script]].concat();
        home.start(&mut home.command(&words))
    };
    assert_eq!(start("exec grep -E 'Sig(Blk|Ign)' /proc/self/status >masks").wait(), 0);
    let masks = home.read("masks");
    let masks: Vec<_> = masks.lines().map(|line| u64::from_str_radix(&line[8..], 16).unwrap()).collect();
    // Above are the signals that the C library keeps for itself.
    let all = u64::from(u32::MAX >> 1);
    assert_eq!(masks.iter().map(|mask| mask & all).collect::<Vec<_>>(), [mask(&[SIGUSR2]), mask(&[SIGHUP])]);
    let mut run = start(WAIT);
    home.number("started");
    run.signal(SIGHUP);
    home.touch("finish");
    assert_eq!(run.wait(), 0, "{}", run.said());
}

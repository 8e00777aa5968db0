//! A server that is away for some seconds: what a run holds goes on, and a new command says what is wrong.

use std::time::{Duration, Instant};

use leasehold_testkit::{Fault, Proxy, record, wait_for};
use nix::sys::signal::Signal;

use crate::stage::Stage;

/// How soon a command says that the server is away, its own start included.
const ANSWER: Duration = Duration::from_secs(2);
const BACK: Duration = Duration::from_secs(5);
/// How long the server is away.
const OUTAGE: Duration = Duration::from_secs(3);

#[test]
fn outage_a_run_goes_on_and_a_new_command_says_what_is_wrong() {
    let stage = Stage::with_login(serde_json::json!({ "token_ttl": "10m" }));
    let proxy = Proxy::start(stage.server.address());
    let (home, other) = (stage.home_at(&proxy.address()), stage.home_at(&proxy.address()));
    let file = format!("{}=vault://secret/db#password", home.path("file").display());
    let child = "touch started; exec sleep 60";
    let mut run = home.run_started(&["--refresh-interval", "1s", "--file", &file], child);
    let (mut slowest, mut longest) = (Duration::ZERO, Duration::ZERO);
    for (at, (begin, exit, end)) in AWAY.iter().enumerate() {
        begin(&stage, &proxy);
        let asked = Instant::now();
        let mut get = other.run(&["--env", "P=vault://secret/db#password"], "true");
        assert_eq!(get.wait(), *exit, "{}", get.said());
        slowest = slowest.max(asked.elapsed());
        let is_harmed = || (run.is_over() || home.read("file").is_empty()).then_some(());
        let harmed = wait_for(OUTAGE.saturating_sub(asked.elapsed()), is_harmed);
        assert!(harmed.is_none(), "{}", run.said());
        end(&stage, &proxy);
        let back = Instant::now();
        stage.rotate("secret/db", &format!("value {at}"));
        home.wait_for("file", &format!("value {at}"));
        longest = longest.max(back.elapsed());
    }
    assert!(slowest < ANSWER, "{slowest:?}");
    assert!(longest < BACK + Duration::from_secs(1), "{longest:?}");
    assert_eq!(proxy.requests("approle/login").len(), 2, "nobody logged in again");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(), 143);
    record(
        "outage-run",
        &format!(
            "a run over outages of 3 s (refused, sealed): its child and files stay, a rotation is seen {} ms after the \
             server is back; a new command ends after {} ms and says why",
            longest.as_millis(),
            slowest.as_millis()
        ),
    );
}

/// How the server goes away, how a new command ends then, and how the server comes back.
type Away = (fn(&Stage, &Proxy), i32, fn(&Stage, &Proxy));

const AWAY: [Away; 2] = [
    (|_, proxy| proxy.set(Fault::Refuse), 125, |_, proxy| proxy.set(Fault::Pass)),
    (|stage, _| stage.server.seal(), 125, |stage, _| stage.server.unseal()),
];

//! A `leasehold run` that tells of its troubles, and one that has none.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test harness starts programs and looks at the clock, and a failure is a failed test"
)]

mod stage;

use std::fs;
use std::time::{Duration, Instant};

use leasehold_testkit::{Canaries, Fault, Manner, Proxy, Receiver, ReceiverKind, canary};
use serde_json::{Value, json};
use stage::{Home, PASSWORD, Stage, soon};

const WAIT: &str = "touch started; until [ -e finish ]; do sleep 0.02; done";
const FLAGS: &[&str] = &["--env", PASSWORD, "--refresh-interval", "1s"];

/// Those who are told.
struct Told {
    webhook: Receiver,
    pager_duty: Receiver,
    canaries: Canaries,
    keys: [String; 2],
}

impl Told {
    fn new() -> Self {
        let keys = ["signing", "routing"].map(canary);
        let mut canaries = Canaries::default();
        keys.iter().for_each(|key| canaries.watch(key));
        let webhook = Receiver::start(ReceiverKind::Webhook, "");
        Self { webhook, pager_duty: Receiver::start(ReceiverKind::PagerDuty, &keys[1]), canaries, keys }
    }

    /// Names them in the configuration of a home.
    fn configure(&self, home: &Home) {
        fs::write(home.path("signing"), &self.keys[0]).unwrap();
        fs::write(home.path("routing"), &self.keys[1]).unwrap();
        let place = |name: &str| format!("file://{}", home.path(name).display());
        let (hook, pager) = (self.webhook.address(), self.pager_duty.address());
        let (signing, routing) = (place("signing"), place("routing"));
        let text = format!(
            "[alerts.hook]\nto = 'webhook'\nurl = '{hook}'\nsecret = '{signing}'\n\
             [alerts.oncall]\nto = 'pagerduty'\naddress = '{pager}'\nrouting_key = '{routing}'\n"
        );
        let folder = home.path(".config/leasehold");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.toml"), text).unwrap();
    }

    fn events(&self) -> Vec<Value> {
        self.webhook.taken().iter().map(|body| json!([body["event"], body["credential"]])).collect()
    }
}

#[test]
fn an_outage_during_a_run_is_an_incident_until_it_is_over() {
    let (stage, mut told) = (Stage::new(), Told::new());
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    told.configure(&home);
    let password = canary("password");
    told.canaries.watch(&password);
    told.canaries.watch(stage.secret_id());
    stage.rotate("secret/db", &password);
    let mut run = home.run_started(FLAGS, WAIT);
    proxy.set(Fault::Refuse);
    let incident = soon("an incident", || told.pager_duty.incidents().pop());
    assert!(incident.starts_with("leasehold/") && incident.ends_with("/vault://secret/db"), "{incident}");
    proxy.set(Fault::Pass);
    soon("the end of the incident", || told.pager_duty.incidents().is_empty().then_some(()));
    home.touch("finish");
    assert_eq!(run.wait(), 0);
    let events = told.events();
    assert!(events.contains(&json!(["failed", "vault://secret/db"])), "{events:?}");
    assert!(events.contains(&json!(["recovered", "vault://secret/db"])), "{events:?}");
    for (receiver, place) in [(&told.webhook, "the webhook"), (&told.pager_duty, "the incident")] {
        let requests = receiver.listener().requests().concat().replace(&told.keys[1], "");
        told.canaries.assert_absent(requests.as_bytes(), place);
    }
    told.canaries.assert_absent(run.said().as_bytes(), "the log");
}

#[test]
fn where_all_is_well_nobody_is_asked_and_no_secret_read() {
    let (stage, told) = (Stage::new(), Told::new());
    let home = stage.home();
    told.configure(&home);
    fs::remove_file(home.path("signing")).unwrap();
    fs::remove_file(home.path("routing")).unwrap();
    let mut run = home.run(&["--env", PASSWORD], "true");
    assert_eq!((run.wait(), run.said().as_str()), (0, ""));
    assert_eq!((told.webhook.listener().connections(), told.pager_duty.listener().connections()), (0, 0));
}

#[test]
fn a_run_that_cannot_begin_is_told_and_waits_for_nobody_for_long() {
    let (stage, told) = (Stage::new(), Told::new());
    let proxy = Proxy::start(stage.server.address());
    proxy.set(Fault::Answer(400, r#"{"errors":["invalid role or secret ID"]}"#.into()));
    let home = stage.home_at(&proxy.address());
    told.configure(&home);
    told.webhook.behave([Manner::Silent]);
    let begun = Instant::now();
    let mut run = home.run(&["--env", PASSWORD], "true");
    assert_eq!(run.wait(), 125);
    // Three seconds for the sinks, and three for the server, at the same time.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(run.said().contains("were not delivered in time"), "{}", run.said());
    assert!(!told.pager_duty.incidents().is_empty(), "{}", run.said());
}

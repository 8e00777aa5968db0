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
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use leasehold_testkit::{Canaries, Fault, Manner, Proxy, Receiver, ReceiverKind, canary, wait_for};
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

    /// A home that sees the server through a proxy, and names them.
    fn home_behind_a_proxy(&self, stage: &Stage) -> (Proxy, Home) {
        let proxy = Proxy::start(stage.server.address());
        let home = stage.home_at(&proxy.address());
        self.configure(&home);
        (proxy, home)
    }

    fn events(&self) -> Vec<Value> {
        self.webhook.taken().iter().map(|body| json!([body["event"], body["credential"]])).collect()
    }
}

/// The place of the routing key answers nobody, until something is written there.
fn hang(home: &Home) -> PathBuf {
    let fifo = home.path("routing");
    fs::remove_file(&fifo).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fifo
}

#[test]
fn an_outage_during_a_run_is_an_incident_until_it_is_over() {
    let (stage, mut told) = (Stage::new(), Told::new());
    let (proxy, home) = told.home_behind_a_proxy(&stage);
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
    let of_run = |body: &Value| (body["server"] == proxy.address(), body["command"] == "sh");
    assert!(
        told.webhook.taken().iter().all(|body| of_run(body) == (true, true)),
        "{:?}",
        told.webhook.taken()
    );
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

#[test]
fn a_mistyped_path_is_no_alert_for_whoever_starts_the_run_sees_it() {
    let (stage, told) = (Stage::new(), Told::new());
    let home = stage.home();
    told.configure(&home);
    let mut run = home.run(&["--env", "P=vault://secret/tpyo#password"], "true");
    assert_eq!(run.wait(), 125, "{}", run.said());
    assert_eq!((told.webhook.listener().connections(), told.pager_duty.listener().connections()), (0, 0));
}

#[test]
fn an_outage_that_outlasts_the_run_is_no_incident_after_it() {
    let (stage, told) = (Stage::new(), Told::new());
    let (proxy, home) = told.home_behind_a_proxy(&stage);
    let mut run = home.run_started(FLAGS, WAIT);
    proxy.set(Fault::Refuse);
    soon("an incident", || told.pager_duty.incidents().pop());
    home.touch("finish");
    assert_eq!(run.wait(), 0);
    assert_eq!(told.pager_duty.incidents(), Vec::<String>::new(), "{}", run.said());
}

#[test]
fn two_users_of_a_host_have_incidents_of_their_own() {
    let (stage, told) = (Stage::new(), Told::new());
    let proxy = Proxy::start(stage.server.address());
    let homes = [stage.home_at(&proxy.address()), stage.home_at(&proxy.address())];
    homes.iter().for_each(|home| told.configure(home));
    let mut runs = homes.each_ref().map(|home| home.run_started(FLAGS, WAIT));
    proxy.set(Fault::Refuse);
    let of_db = |incident: &String| incident.ends_with("/vault://secret/db");
    let count = || told.pager_duty.incidents().into_iter().filter(of_db).count();
    soon("two incidents", || (count() == 2).then_some(()));
    homes[0].touch("finish");
    assert_eq!(runs[0].wait(), 0);
    assert_eq!(count(), 1, "the other's is still open: {:?}", told.pager_duty.incidents());
    homes[1].touch("finish");
    assert_eq!(runs[1].wait(), 0);
}

#[test]
fn a_place_that_hangs_stops_nothing_and_is_told_when_it_answers() {
    let (stage, told) = (Stage::with_login(json!({"token_ttl": "6s"})), Told::new());
    let (proxy, home) = told.home_behind_a_proxy(&stage);
    let fifo = hang(&home);
    let mut run = home.run_started(FLAGS, WAIT);
    proxy.set(Fault::Answer(500, "{}".into()));
    soon("an alert to the other sink", || told.events().pop());
    let before = proxy.requests("").len();
    soon("requests as before", || (proxy.requests("").len() >= before + 5).then_some(()));
    fs::write(&fifo, &told.keys[1]).unwrap();
    soon("an incident", || told.pager_duty.incidents().pop());
    proxy.set(Fault::Pass);
    home.touch("finish");
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_place_that_never_answers_delays_the_end_by_seconds() {
    let (stage, told) = (Stage::new(), Told::new());
    let (proxy, home) = told.home_behind_a_proxy(&stage);
    hang(&home);
    let mut run = home.run_started(FLAGS, WAIT);
    proxy.set(Fault::Refuse);
    soon("an alert to the other sink", || told.events().pop());
    home.touch("finish");
    let begun = Instant::now();
    assert_eq!(run.wait(), 0);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(run.said().contains("were not delivered in time"), "{}", run.said());
}

#[test]
fn a_token_with_a_last_day_is_an_incident_from_the_beginning_and_its_end_says_so() {
    let (stage, told) = (Stage::new(), Told::new());
    let home = stage.home();
    told.configure(&home);
    let token = stage.server.token(json!({ "ttl": "10s", "renewable": false, "policies": ["app"] }));
    let words = ["leasehold", "run", "--env", PASSWORD, "--", "sh", "-c", WAIT];
    let mut command = home.command(&words);
    let mut run = home.start(command.env("VAULT_TOKEN", &token).env_remove("VAULT_ROLE_ID"));
    soon("the end", || told.pager_duty.taken().iter().any(|body| cause(body) == "ended").then_some(()));
    // It is brought and refused again, which is no other trouble.
    soon("a refusal", || run.said().contains("not valid").then_some(()));
    home.touch("finish");
    assert_eq!(run.wait(), 0);
    let of_login: Vec<_> = told.pager_duty.taken().into_iter().filter(is_of_login).collect();
    let [doomed, between @ .., ended, resolved] = &of_login[..] else { panic!("{of_login:#?}") };
    assert_eq!([cause(doomed), cause(ended)], ["doomed", "ended"]);
    // Where the server's clock is ahead, it says so a moment before.
    assert!(between.iter().all(|body| cause(body) == "needs_login"), "{between:#?}");
    assert!(summary(doomed).contains("cannot be kept beyond"), "{doomed}");
    assert!(summary(ended).contains("it has ended"), "{ended}");
    assert_eq!(resolved["event_action"], "resolve");
    let texts = json!([told.pager_duty.taken(), told.webhook.taken()]).to_string();
    assert!(!texts.contains("unreachable") && !texts.contains(&token), "{texts}");
}

fn cause(incident: &Value) -> &str {
    incident["payload"]["custom_details"]["cause"].as_str().unwrap_or_default()
}

fn summary(incident: &Value) -> &str {
    incident["payload"]["summary"].as_str().unwrap_or_default()
}

fn is_of_login(incident: &Value) -> bool {
    incident["dedup_key"].as_str().is_some_and(|key| key.ends_with("/the login"))
}

#[test]
fn long_a_sink_whose_secret_comes_later_is_told_of_what_is_still_so() {
    let (stage, told) = (Stage::new(), Told::new());
    let (proxy, home) = told.home_behind_a_proxy(&stage);
    fs::remove_file(home.path("routing")).unwrap();
    let mut run = home.run_started(FLAGS, WAIT);
    proxy.set(Fault::Refuse);
    soon("a word of it", || run.said().contains("an alert was not delivered yet").then_some(()));
    fs::write(home.path("routing"), &told.keys[1]).unwrap();
    // It is looked for once a minute.
    let incident = wait_for(Duration::from_secs(90), || told.pager_duty.incidents().pop());
    assert!(incident.is_some(), "{}", run.said());
    home.touch("finish");
    assert_eq!(run.wait(), 0);
}

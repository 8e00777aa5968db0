//! Troubles and their ends: told once, counted where there are too many, and never at the cost of anybody else.

use std::time::{Duration, Instant};

use leasehold::alerts::{Alert, Alerts, Matter, Sink};
use leasehold_testkit::Manner;
use serde_json::{Value, json};

use crate::ground::{
    Ground, PATIENCE, SEALED, alert, arrive, asked, curious, given_up, log, refused, steered,
};

fn of(values: &[Value], key: &str) -> Vec<Value> {
    values.iter().map(|value| value[key].clone()).collect()
}

#[tokio::test]
async fn a_trouble_is_told_once_and_so_is_its_end() {
    let ground = Ground::new();
    let (alerts, steering) = steered(ground.sinks());
    (0..100).for_each(|_| alerts.send(&alert(SEALED)));
    arrive(&ground.pager_duty, 1);
    assert_eq!(ground.pager_duty.incidents(), ["leasehold/web-1/db"]);
    steering.sleep(Duration::from_secs(3_600));
    alerts.send(&alert(SEALED));
    ground.receivers().into_iter().for_each(|receiver| arrive(receiver, 2));
    alerts.send(&alert(Matter::Recovered));
    alerts.send(&alert(Matter::Recovered));
    ground.receivers().into_iter().for_each(|receiver| arrive(receiver, 3));
    alerts.send(&Alert::new("other", Matter::Recovered, "of nothing"));
    assert_eq!(alerts.stop(PATIENCE).await, 0);
    let actions = of(&ground.pager_duty.taken(), "event_action");
    assert_eq!(actions, ["trigger", "trigger", "resolve"], "with one reminder");
    assert_eq!(of(&ground.webhook.taken(), "event"), ["failed", "failed", "recovered"]);
    assert_eq!((ground.slack.taken().len(), ground.pager_duty.incidents()), (3, vec![]));
}

#[tokio::test]
async fn too_many_are_counted_and_said_in_the_next() {
    let ground = Ground::new();
    let [_, slack, _] = ground.sinks();
    let (alerts, steering) = steered([curious(slack)]);
    let renewed = |number: usize| Alert::new(format!("c{number}"), Matter::Renewed { ttl: None }, "renewed");
    (0..10).for_each(|number| alerts.send(&renewed(number)));
    arrive(&ground.slack, 10);
    (10..13).for_each(|number| alerts.send(&renewed(number)));
    steering.sleep(Duration::from_secs(60));
    alerts.send(&renewed(13));
    assert_eq!(alerts.stop(PATIENCE).await, 0);
    let taken = ground.slack.taken();
    let last = taken.last().unwrap()["text"].as_str().unwrap();
    assert_eq!(taken.len(), 11);
    assert!(last.starts_with(":information_source: c13: renewed; 3 more in the last 6"), "{last}");
}

#[tokio::test]
async fn a_sink_that_hangs_delays_no_other_and_nobody_who_tells() {
    let ground = Ground::new();
    ground.slack.behave([Manner::Silent]);
    let (alerts, _steering) = steered(ground.sinks());
    alerts.send(&alert(SEALED));
    asked(&ground.slack, 1);
    let begun = Instant::now();
    for number in 0..10_000 {
        alerts.send(&Alert::new(format!("c{number}"), SEALED, "sealed"));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    arrive(&ground.pager_duty, 10);
    arrive(&ground.webhook, 10);
    assert!(ground.slack.taken().is_empty());
    let begun = Instant::now();
    let left = alerts.stop(Duration::from_millis(200)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // Those waiting for a turn at the two that answer, and all that the hanging one may keep.
    assert!((4_097..=3 * 4_097).contains(&left), "{left}");
}

#[test]
fn without_a_runtime_and_after_the_end() {
    let ground = Ground::new();
    let alerts = Alerts::start("web-1", ground.sinks().into()).unwrap();
    alerts.send(&alert(SEALED));
    assert_eq!(alerts.stop_blocking(PATIENCE), 0);
    assert_eq!(ground.receivers().map(|receiver| receiver.taken().len()), [1; 3]);
    assert_eq!(alerts.stop_blocking(PATIENCE), 0, "once more");
    alerts.send(&Alert::new("late", SEALED, "sealed"));
    assert_eq!(alerts.stop_blocking(Duration::ZERO), 3, "what comes later is not sent");
    // A drop still sends what waits.
    let alerts = Alerts::start("web-2", ground.sinks().into()).unwrap();
    alerts.send(&alert(SEALED));
    drop(alerts);
    ground.receivers().into_iter().for_each(|receiver| arrive(receiver, 2));
}

#[test]
fn nobody_is_connected_to_before_an_alert_is_due() {
    let ground = Ground::new();
    let alerts = Alerts::start("web-1", ground.sinks().into()).unwrap();
    alerts.send(&alert(Matter::Recovered));
    assert_eq!(alerts.stop_blocking(PATIENCE), 0);
    assert_eq!(ground.receivers().map(|receiver| receiver.listener().connections()), [0; 3]);
}

#[test]
fn no_secret_is_in_any_payload_but_its_own_or_in_the_log() {
    let ground = Ground::new();
    ground.receivers().into_iter().for_each(|receiver| receiver.behave([Manner::Restricted]));
    let sinks = ground.sinks().into_iter().chain([Sink::log("log")]).collect();
    let alerts = Alerts::start("web-1", sinks).unwrap();
    alerts.send(&alert(SEALED));
    ground.receivers().into_iter().for_each(|receiver| refused(receiver, 1));
    assert_eq!(alerts.stop_blocking(Duration::ZERO), 3, "what was refused waits for another try");
    let log = log().text();
    ground.canaries.assert_absent(log.as_bytes(), "the log");
    assert!(log.contains("db: the server is sealed"), "{log}");
    // Each secret goes to its own place, and the one that is signed with nowhere.
    let requests = ground.receivers().map(|receiver| receiver.listener().requests().concat());
    ground.canaries.assert_absent(requests[0].as_bytes(), "what the webhook got");
    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    ground.canaries.assert_absent(body.as_bytes(), "what Slack got to read");
    ground.canaries.assert_absent(head.split_once("\r\n").unwrap().1.as_bytes(), "Slack's headers");
    let event: Value = serde_json::from_str(requests[2].split_once("\r\n\r\n").unwrap().1).unwrap();
    ground.canaries.assert_absent(event["payload"].to_string().as_bytes(), "what people at PagerDuty see");
    assert_ne!(event["routing_key"], json!(null));
}

#[test]
fn what_is_given_up_is_told_to_the_log_without_a_secret() {
    let ground = Ground::new();
    ground.receivers().into_iter().for_each(|receiver| receiver.behave([Manner::Restricted]));
    let alerts = Alerts::start("web-1", ground.sinks().map(curious).into()).unwrap();
    alerts.send(&alert(Matter::Expiring { left: Duration::from_secs(60) }));
    ground.receivers().into_iter().for_each(|receiver| given_up(receiver, 1));
    assert_eq!(alerts.stop_blocking(Duration::ZERO), 0);
    ground.canaries.assert_absent(log().text().as_bytes(), "the log");
}

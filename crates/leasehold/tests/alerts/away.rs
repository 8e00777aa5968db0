//! Sinks that are away, or cannot be found yet: what they should know reaches them in the end.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leasehold::alerts::{Alert, Matter, Severity, Sink};
use leasehold::clock::Steering;
use leasehold::core::{Failure, Kind, Secret};
use leasehold_testkit::{Manner, Receiver, wait_for};

use crate::ground::{Ground, PATIENCE, SEALED, alert, arrive, asked, steered};

const ENDED: Matter = Matter::Failed { cause: "ended" };
const INCIDENT: &str = "leasehold/web-1/db";

/// Lets the time pass that a sink is left in peace, until this is so.
fn pass(steering: &Steering, mut is_so: impl FnMut() -> bool) -> bool {
    let passed = wait_for(PATIENCE, || {
        steering.sleep(Duration::from_secs(60));
        is_so().then_some(())
    });
    passed.is_some()
}

/// A sink that is away for so many tries while it is to be told of this.
fn away(receiver: &Receiver, steering: &Steering, tries: usize, tell: impl FnOnce()) {
    let before = receiver.listener().requests().len();
    receiver.behave(vec![Manner::Down; tries]);
    tell();
    let all = pass(steering, || receiver.listener().requests().len() >= before + tries);
    assert!(all, "{:?}", receiver.listener().requests());
}

#[tokio::test]
async fn long_an_end_and_a_recovery_wait_for_a_sink_that_is_away() {
    let ground = Ground::new();
    let [_, _, pager] = ground.sinks();
    let (alerts, steering) = steered([pager]);
    let receiver = &ground.pager_duty;
    away(receiver, &steering, 12, || alerts.send(&alert(ENDED)));
    assert!(pass(&steering, || receiver.incidents() == [INCIDENT]), "the end is told");
    away(receiver, &steering, 12, || alerts.send(&alert(Matter::Recovered)));
    assert!(pass(&steering, || receiver.incidents().is_empty()), "the incident is resolved");
    assert_eq!(alerts.stop(PATIENCE).await, 0);
}

#[tokio::test]
async fn what_fails_again_while_its_end_waits_stays_an_incident() {
    let ground = Ground::new();
    let [_, _, pager] = ground.sinks();
    let (alerts, steering) = steered([pager]);
    alerts.send(&alert(ENDED));
    (0..9).for_each(|name| alerts.send(&Alert::new(name.to_string(), SEALED, "sealed")));
    arrive(&ground.pager_duty, 10);
    alerts.send(&alert(Matter::Recovered));
    alerts.send(&alert(ENDED));
    alerts.send(&Alert::new("last", SEALED, "sealed"));
    assert!(pass(&steering, || ground.pager_duty.taken().len() == 11));
    assert_eq!(alerts.stop(PATIENCE).await, 0);
    let incidents = ground.pager_duty.incidents();
    assert!(incidents.iter().any(|incident| incident == INCIDENT), "{incidents:?}");
}

#[tokio::test]
async fn a_recovery_finds_room_among_seventy_failures() {
    let ground = Ground::new();
    let [_, _, pager] = ground.sinks();
    let (alerts, steering) = steered([pager]);
    alerts.send(&alert(SEALED));
    arrive(&ground.pager_duty, 1);
    (0..70).for_each(|name| alerts.send(&Alert::new(name.to_string(), SEALED, "sealed")));
    arrive(&ground.pager_duty, 10);
    alerts.send(&alert(Matter::Recovered));
    assert!(pass(&steering, || ground.pager_duty.taken().len() == 72));
    let incidents = ground.pager_duty.incidents();
    assert_eq!((incidents.len(), incidents.contains(&INCIDENT.to_owned())), (70, false));
    assert_eq!(alerts.stop(PATIENCE).await, 0);
}

#[tokio::test]
async fn nothing_is_waited_for_that_cannot_go_in_time() {
    let ground = Ground::new();
    let [_, slack, _] = ground.sinks();
    ground.slack.behave([Manner::Restricted]);
    let (alerts, _steering) = steered([slack]);
    alerts.send(&alert(SEALED));
    asked(&ground.slack, 1);
    let begun = Instant::now();
    assert_eq!(alerts.stop(PATIENCE).await, 1);
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_sink_whose_secret_comes_later_is_told_and_asked_for_it_again_when_it_refuses() {
    let (ground, place) = (Ground::new(), Arc::new(Mutex::new(None::<String>)));
    let (read, looks) = (Arc::clone(&place), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&looks);
    let sink = Sink::later("team", Severity::Warning, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let found =
            read.lock().unwrap().clone().ok_or_else(|| Failure::new(Kind::NotFound, "nothing is there"));
        async { Sink::slack("team", &Secret::new(found?)) }
    });
    let (alerts, steering) = steered([sink]);
    alerts.send(&Alert::new("db", Matter::Renewed { ttl: None }, "it wants no such thing"));
    alerts.send(&alert(ENDED));
    assert!(pass(&steering, || looks.load(Ordering::Relaxed) >= 3), "it is looked for again");
    *place.lock().unwrap() = Some(format!("{}x", ground.slack.address()));
    assert!(pass(&steering, || !ground.slack.listener().requests().is_empty()), "the old secret is refused");
    *place.lock().unwrap() = Some(ground.slack.address());
    assert!(pass(&steering, || ground.slack.taken().len() == 1));
    assert_eq!(alerts.stop(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_place_that_hangs_holds_up_no_other_sink_and_no_end_and_is_asked_once() {
    let (ground, looks) = (Ground::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&looks);
    let hanging = Sink::later("hanging", Severity::Warning, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        pending()
    });
    let [_, slack, _] = ground.sinks();
    let (alerts, _steering) = steered([hanging, slack]);
    alerts.send(&alert(ENDED));
    arrive(&ground.slack, 1);
    let begun = Instant::now();
    assert_eq!(alerts.stop(Duration::from_secs(7)).await, 1, "one time-out and more");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(looks.load(Ordering::Relaxed), 1);
}

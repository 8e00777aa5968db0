//! What each answer of a service comes to.

use std::time::{Duration, Instant};

use leasehold::alerts::{Matter, Sink};
use leasehold::core::{Kind, Retry, Secret};
use leasehold_testkit::{Hole, Listener, Manner};

use crate::ground::{Ground, PATIENCE, SEALED, alert, arrive, refused, steered};

#[tokio::test]
async fn a_test_reaches_each_service_and_leaves_no_incident() {
    let ground = Ground::new();
    for sink in ground.sinks() {
        assert_eq!(sink.test("web-1").await, Ok(()), "{sink:?}");
    }
    assert_eq!(Sink::log("log").test("web-1").await, Ok(()));
    let taken = ground.receivers().map(|receiver| receiver.taken().len());
    assert_eq!((taken, ground.pager_duty.incidents()), ([1, 1, 2], vec![]));
    let [trigger, resolve] = &ground.pager_duty.taken()[..] else { panic!("two events") };
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
}

#[tokio::test]
async fn each_answer_is_a_failure_of_its_kind_that_tells_no_secret() {
    let stranger = Listener::stranger();
    let elsewhere = |status| Manner::Elsewhere(status, stranger.address());
    let later = Retry::After(None);
    let rows = [
        (Manner::Huge, None),
        (Manner::Portal, None),
        (Manner::Restricted, Some((Kind::Invalid, Retry::Never))),
        (Manner::Firewall, Some((Kind::Denied, Retry::Never))),
        (Manner::Hurried, Some((Kind::Throttled, Retry::After(Some(Duration::from_secs(1)))))),
        (Manner::Down, Some((Kind::Broken, later))),
        (elsewhere(301), Some((Kind::Invalid, Retry::Never))),
        (elsewhere(307), Some((Kind::Invalid, Retry::Never))),
    ];
    let ground = Ground::new();
    for (manner, expect) in rows {
        for (sink, receiver) in ground.sinks().iter().zip(ground.receivers()) {
            receiver.behave([manner.clone()]);
            let failure = sink.test("web-1").await.err();
            let told = failure.as_ref().map(|failure| (failure.kind(), failure.retry()));
            assert_eq!(told, expect, "{sink:?} {manner:?}");
            ground.canaries.assert_absent(format!("{failure:?}").as_bytes(), "a failure");
        }
    }
    assert!(stranger.requests().is_empty(), "nothing goes where a redirect leads to");
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_in_time() {
    let (ground, hole) = (Ground::new(), Hole::open());
    let gone = Sink::slack("gone", &Secret::new("http://127.0.0.1:1/canary")).unwrap();
    let silent =
        Sink::slack("hole", &Secret::new(format!("http://127.0.0.1:{}/canary", hole.port()))).unwrap();
    ground.slack.behave([Manner::Silent]);
    ground.webhook.behave([Manner::Dripping]);
    let [webhook, slack, _] = ground.sinks();
    let begun = Instant::now();
    let results = tokio::join!(gone.test("a"), silent.test("a"), slack.test("a"), webhook.test("a"));
    let kinds = [&results.0, &results.1, &results.2].map(|result| result.as_ref().unwrap_err().kind());
    assert_eq!(kinds, [Kind::Unreachable; 3], "{results:?}");
    assert_eq!(results.3, Ok(()), "the status has come: what drips after it counts for nothing");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(!format!("{results:?}").contains("canary"));
}

#[tokio::test]
async fn a_service_that_is_down_or_hurried_gets_it_later() {
    let ground = Ground::new();
    ground.receivers().into_iter().for_each(|receiver| receiver.behave([Manner::Down, Manner::Hurried]));
    let (alerts, _steering) = steered(ground.sinks());
    alerts.send(&alert(SEALED));
    ground.receivers().into_iter().for_each(|receiver| arrive(receiver, 1));
    for receiver in ground.receivers() {
        assert_eq!(receiver.listener().requests().len(), 3);
    }
    assert_eq!(alerts.stop(Duration::ZERO).await, 0);
}

#[tokio::test]
async fn who_refuses_is_not_sent_the_same_at_once_again() {
    let ground = Ground::new();
    ground.slack.behave([Manner::Restricted]);
    let [_, slack, _] = ground.sinks();
    let (alerts, steering) = steered([slack]);
    alerts.send(&alert(SEALED));
    refused(&ground.slack, 1);
    // The failure goes on, and is told again once the sink had its peace.
    for attempt in 0..100 {
        alerts.send(&alert(Matter::Failed { cause: ["sealed", "unreachable"][attempt % 2] }));
    }
    assert_eq!(ground.slack.listener().requests().len(), 1);
    steering.sleep(Duration::from_secs(60));
    arrive(&ground.slack, 2);
    alerts.stop(PATIENCE).await;
    assert_eq!(ground.slack.taken().len(), 2);
}

//! The desktop's keyring: GNOME's, on a bus of the test's own, with Python's `keyring` beside us.

use std::time::Duration;

use leasehold::core::name::Entry;
use leasehold::core::{Failure, Kind};
use leasehold::store::{Keyring, Store};
use leasehold_testkit::Desktop;

use super::*;
use crate::ground::timed;

/// The limit, and what a busy machine may add to it.
const LIMIT: Duration = Duration::from_secs(5);

const DELETE: &str = "delete it, which deletes all of them, and set it again";

fn keyring(desktop: &Desktop) -> Keyring {
    Keyring::at(&desktop.bus())
}

fn key() -> Entry {
    entry("agent_vault", "api.openai.com/pro_key")
}

/// Each way to use it fails in this way, and in time.
async fn assert_fails(keyring: &Keyring, kind: Kind, message: &str, hint: &str) {
    let (secret, key) = (Secret::new("canary"), key());
    let check = |what: &str, outcome: (Result<(), Failure>, Duration)| {
        let failure = outcome.0.expect_err(what);
        assert_eq!((failure.kind(), failure.advice()), (kind, Some(hint)), "{what}: {failure}");
        assert!(failure.message().contains(message), "{what}: {failure}");
        assert!(outcome.1 < LIMIT, "{what}: {:?}", outcome.1);
    };
    check("find", timed(async { keyring.find(&key).await.map(|_| ()) }).await);
    check("put", timed(keyring.put(&key, &secret)).await);
    check("remove", timed(async { keyring.remove(&key).await.map(|_| ()) }).await);
}

#[tokio::test]
async fn the_keyring_is_a_store() {
    let desktop = Desktop::start();
    let keyring = keyring(&desktop);
    assert_store(&keyring, "agent_vault", 1 << 20).await;
    put(&keyring, &key(), "canary").await;
    assert_written_now(&keyring, &key()).await;
    assert!(keyring.absence().await.is_none());
}

#[tokio::test]
async fn an_entry_that_is_written_twice_is_one_item() {
    let desktop = Desktop::start();
    let keyring = keyring(&desktop);
    for secret in ["one", "two", "two"] {
        put(&keyring, &key(), secret).await;
    }
    let (secret, new) = (Secret::new("three"), entry("agent_vault", "new"));
    let at_once = tokio::join!(keyring.put(&new, &secret), keyring.put(&new, &secret));
    assert_eq!(at_once, (Ok(()), Ok(())));
    for entry in [&key(), &new] {
        assert_eq!(desktop.count(&["service", "agent_vault", "username", &entry.name]), 1, "{entry}");
    }
    assert_eq!(found(&keyring, &key()).await, "two");
}

#[tokio::test]
async fn pythons_keyring_and_ours_read_one_another() {
    let desktop = Desktop::start();
    let (keyring, key) = (keyring(&desktop), key());
    let python = |verb: &str, secret: &str| desktop.python(&[verb, &key.service, &key.name], secret);
    put(&keyring, &key, "from-leasehold").await;
    assert_eq!(python("get", "").as_deref(), Some("from-leasehold"));
    // It writes over ours, and does not put another beside it.
    python("set", "from-python").expect("it stores");
    assert_eq!(found(&keyring, &key).await, "from-python");
    put(&keyring, &key, "from-leasehold-again").await;
    assert_eq!(python("get", "").as_deref(), Some("from-leasehold-again"));
    python("del", "").expect("it deletes");
    assert!(!keyring.contains(&key).await.unwrap());

    python("set", "new-from-python").expect("it stores");
    assert_eq!(found(&keyring, &key).await, "new-from-python");
    assert_eq!(listed(&keyring, "agent_vault").await, std::slice::from_ref(&key));
    put(&keyring, &key, "replaced").await;
    assert_eq!(python("get", "").as_deref(), Some("replaced"));
    assert_eq!(desktop.count(&["service", "agent_vault"]), 1);
    assert!(keyring.remove(&key).await.unwrap());
    assert_eq!(python("get", ""), None);
}

#[tokio::test]
async fn a_locked_keyring_says_so_and_tells_what_it_may() {
    let mut desktop = Desktop::start();
    let keyring = keyring(&desktop);
    put(&keyring, &key(), "canary").await;
    assert_eq!(keyring.expect_open().await, Ok(()));
    desktop.lock_keyring();
    assert_eq!(keyring.expect_open().await.unwrap_err().kind(), Kind::Sealed);
    let hint = "unlock it at the desktop, or by logging in there";
    assert_fails(&keyring, Kind::Sealed, "is locked", hint).await;
    let new = keyring.put(&entry("agent_vault", "new"), &Secret::new("x")).await.unwrap_err();
    assert_eq!((new.kind(), new.advice()), (Kind::Sealed, Some(hint)));
    assert!(keyring.contains(&key()).await.unwrap());
    assert_eq!(keyring.list("agent_vault").await.unwrap_err().kind(), Kind::Sealed, "it tells no names");
    assert!(keyring.absence().await.is_none(), "a locked one is one");
}

#[tokio::test]
async fn absent_denied_mute_and_ambiguous_are_told_apart() {
    let nowhere = Keyring::at("unix:path=/nowhere/bus");
    let start = "on a machine without a desktop, start one: dbus-run-session, and a keyring in it";
    assert_fails(&nowhere, Kind::Unreachable, "no D-Bus session answers", start).await;
    assert!(nowhere.absence().await.is_some());

    let bare = Desktop::without_keyring();
    let install = "install and start one, such as gnome-keyring";
    assert_fails(&keyring(&bare), Kind::Unreachable, "no keyring on the session's D-Bus", install).await;
    assert!(keyring(&bare).absence().await.is_some());

    let mut new = bare;
    new.lock_keyring();
    let failure = keyring(&new).put(&key(), &Secret::new("x")).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Unreachable, "it is not put where it would be forgotten: {failure}");
    assert_eq!(keyring(&new).absence().await.unwrap(), failure);

    let denying = Desktop::denying_keyring();
    let settings = "see its settings for which programs may use it";
    assert_fails(&keyring(&denying), Kind::Denied, "refuses", settings).await;

    let desktop = Desktop::start();
    for program in ["one", "two"] {
        let attributes = ["service", "agent_vault", "username", &key().name, "application", program];
        desktop.put_with(&attributes, program);
    }
    let failure = keyring(&desktop).find(&key()).await.unwrap_err();
    assert_eq!((failure.kind(), failure.advice()), (Kind::Invalid, Some(DELETE)), "{failure}");
    assert!(failure.message().contains("several entries"), "{failure}");
    assert_eq!(keyring(&desktop).put(&key(), &Secret::new("x")).await.unwrap_err(), failure);
    assert!(keyring(&desktop).remove(&key()).await.unwrap());
    assert_eq!(desktop.count(&["service", "agent_vault"]), 0);
    desktop.stop_keyring();
    let (mute, took) = timed(keyring(&desktop).contains(&key())).await;
    let mute = mute.unwrap_err();
    assert_eq!(mute.kind(), Kind::Unreachable, "{mute}");
    assert!(mute.message().contains("no answer") && mute.advice().unwrap().contains("or hang"), "{mute}");
    assert!(took < LIMIT, "{took:?}");
}

#[tokio::test]
async fn a_keyring_may_die_between_two_calls_and_come_back() {
    let mut desktop = Desktop::start();
    let keyring = keyring(&desktop);
    put(&keyring, &key(), "canary").await;
    desktop.kill_keyring();
    let failure = keyring.find(&key()).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Unreachable, "{failure}");
    desktop.start_keyring();
    assert_eq!(found(&keyring, &key()).await, "canary");
}

#[tokio::test]
async fn a_keyring_may_die_in_the_middle_of_a_call() {
    let mut desktop = Desktop::start();
    let keyring = keyring(&desktop);
    put(&keyring, &key(), "canary").await;
    desktop.stop_keyring();
    let (key, secret) = (key(), Secret::new("new"));
    for mut call in [keyring.put(&key, &secret), Box::pin(async { keyring.find(&key).await.map(|_| ()) })] {
        let under_way = tokio::time::timeout(Duration::from_secs(1), &mut call).await;
        assert!(under_way.is_err(), "a stopped keyring answers nothing: {under_way:?}");
        desktop.kill_keyring();
        let (outcome, took) = timed(call).await;
        let failure = outcome.unwrap_err();
        assert_eq!(failure.kind(), Kind::Unreachable, "{failure}");
        assert!(failure.message().contains("broke off"), "{failure}");
        assert!(took < Duration::from_secs(2), "it does not wait for its limit: {took:?}");
        desktop.start_keyring();
        desktop.stop_keyring();
    }
}

#[tokio::test]
async fn what_is_no_text_is_told_and_kept() {
    let desktop = Desktop::start();
    let keyring = keyring(&desktop);
    desktop.put_with(&["service", "agent_vault", "username", &key().name], b"\xff\xfe");
    let failure = keyring.find(&key()).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Invalid, "{failure}");
    assert!(failure.message().contains("is no text"), "{failure}");
    assert!(keyring.contains(&key()).await.unwrap());
}

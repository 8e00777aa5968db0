//! Small things that no life depends on for long, each of which a change to the ledger could lose unseen.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::event::Event;
use leasehold_core::ledger::Input;
use leasehold_core::policy::{Every, Renew};
use leasehold_core::{Failure, Kind, Policy, Retry, Scope, SlotId};
use world::{Fault, Terms, World, seconds, terms};

const ALL: &[&str] = &["login", "create", "read", "reread", "renew", "lookup", "revoke"];

fn checked_each(span: u64) -> Policy {
    Policy { check: Some(Every::exactly(seconds(span))), ..Policy::default() }
}

/// What was told to have failed in a slot, with the number of attempts.
fn failures(world: &World, of: SlotId) -> Vec<(Kind, &str, u16)> {
    let failures = world.events.iter().filter_map(|event| match event {
        Event::Failed { slot, failure, attempt } if *slot == of => Some((failure, *attempt)),
        _ => None,
    });
    failures.map(|(failure, attempt)| (failure.kind(), failure.message(), attempt)).collect()
}

#[test]
fn who_asks_for_what_is_there_is_told_of_no_failure() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(1));
    world.login();
    assert_eq!((failures(&world, slot), world.count("login")), (vec![], 1));
}

#[test]
fn nothing_is_asked_for_with_a_token_that_is_given_back() {
    let mut world = World { latency: seconds(5), ..World::default() };
    let login = world.login();
    world.tell(Input::Release(login));
    let slot = world.secret(1);
    assert_eq!(failures(&world, slot), [(Kind::Invalid, "the token to ask with is given back", 0)]);
}

#[test]
fn what_was_given_back_can_be_asked_for_anew() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(1));
    world.tell(Input::Release(slot));
    world.pass(seconds(10));
    world.login();
    world.pass(seconds(1));
    assert!(world.served(slot).is_some());
    assert_eq!(failures(&world, slot), []);
}

#[test]
fn who_comes_later_is_told_what_is_wrong_at_once() {
    let mut world = World { fault: Some(Fault { words: ALL, kind: Kind::Denied }), ..World::default() };
    let slot = world.login();
    world.pass(Duration::from_millis(500));
    assert_eq!(failures(&world, slot), [(Kind::Denied, "fault", 1)]);
    world.login();
    assert_eq!(failures(&world, slot), [(Kind::Denied, "fault", 1); 2]);
    let below = world.secret(1);
    assert_eq!(failures(&world, below), [(Kind::Denied, "fault", 1)]);
}

#[test]
fn nothing_is_asked_for_with_a_token_until_the_verdict_on_it() {
    let mut world = World::default();
    let login = world.login();
    world.pass(seconds(60));
    world.latency = seconds(5);
    world.tell(Input::Reject(login, 1));
    world.pass(seconds(1));
    world.secret(1);
    assert_eq!((world.count("lookup"), world.count("read")), (1, 0));
    world.pass(seconds(10));
    assert_eq!((world.count("lookup"), world.count("read")), (1, 1));
}

#[test]
fn that_a_token_is_found_dead_is_no_failure_of_what_waits_for_another() {
    let mut world = World::default();
    let login = world.login();
    world.pass(seconds(60));
    let id = world.served(login).unwrap();
    world.revoke(&id);
    world.latency = seconds(5);
    world.tell(Input::Reject(login, 1));
    let slot = world.secret(1);
    world.pass(seconds(20));
    assert_eq!((failures(&world, slot), world.value(slot)), (vec![], Some("one")));
}

#[test]
fn a_lease_that_is_gone_when_it_is_renewed_is_replaced_after_a_look_at_its_token() {
    let mut world = World::default();
    let login = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(60));
    let id = world.served(slot).unwrap();
    world.revoke(&id);
    world.tell(Input::Hurry(slot));
    world.pass(seconds(10));
    assert_eq!((world.count("lookup"), world.count("read")), (1, 2), "{:?}", world.calls);
    assert!(world.faults.is_empty() && world.served(login).is_some(), "{:?}", world.faults);
}

#[test]
fn in_a_hurry_what_never_ends_is_looked_up_and_what_ends_is_renewed() {
    let check = |ttl: Option<Duration>, word: &str, other: &str| {
        let mut world = World { login: Terms { ttl, ..terms(1) }, ..World::default() };
        let slot = world.login();
        world.pass(seconds(60));
        world.tell(Input::Hurry(slot));
        world.pass(seconds(10));
        assert_eq!((world.count(word), world.count(other)), (1, 0), "{ttl:?}");
    };
    check(None, "lookup", "renew");
    check(Some(seconds(3_600)), "renew", "lookup");
}

#[test]
fn nothing_is_renewed_within_a_second_of_its_login() {
    let mut world = World { login: terms(60), ..World::default() };
    let policy = Policy { renew: Renew::Part { from: 0, to: 0 }, ..Policy::default() };
    world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(5));
    let first = world.calls.iter().find(|(_, word)| *word == "renew").unwrap().0;
    assert!(first - world.calls[0].0 >= seconds(1), "{:?}", world.calls);
}

#[test]
fn a_look_up_that_finds_less_life_moves_the_renewal() {
    let mut world = World::default();
    let slot = world.ask(0, Scope::Login, None, checked_each(60));
    world.pass(seconds(30));
    let (id, ends) = (world.served(slot).unwrap(), world.now + seconds(300));
    world.entries.get_mut(&id).unwrap().ends = Some(ends);
    world.pass(seconds(290));
    assert!(world.count("renew") >= 1);
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn what_a_look_up_found_not_renewable_is_replaced_and_no_renewal_is_tried() {
    let mut world = World::default();
    let slot = world.ask(0, Scope::Login, None, checked_each(60));
    world.pass(seconds(30));
    let id = world.served(slot).unwrap();
    world.entries.get_mut(&id).unwrap().renewable = false;
    world.pass(seconds(3_500));
    assert_eq!((world.count("renew"), world.count("login")), (0, 2));
}

#[test]
fn attempts_are_counted_from_the_last_success() {
    let mut world = World::default();
    let slot = world.ask(0, Scope::Login, None, checked_each(60));
    world.pass(seconds(30));
    for _ in 0..2 {
        world.fault = Some(Fault { words: ALL, kind: Kind::Unreachable });
        world.tell(Input::Hurry(slot));
        world.pass(Duration::from_millis(500));
        world.fault = None;
        world.pass(seconds(120));
    }
    assert_eq!(failures(&world, slot), [(Kind::Unreachable, "fault", 1); 2]);
}

#[test]
fn a_server_may_ask_to_wait_until_a_replacement_must_be_there() {
    fn throttled(task: &Task) -> Option<Failure> {
        let slow = Failure::new(Kind::Throttled, "slow").with_retry(Retry::After(Some(seconds(120))));
        matches!(task, Task::Renew(..)).then_some(slow)
    }
    let mut world = World { login: terms(100), rule: Some(throttled), ..World::default() };
    world.login();
    world.pass(seconds(99));
    let [login, _, second] = world.calls[..3] else { panic!("{:?}", world.calls) };
    let waited = second.0 - login.0;
    assert!(waited >= seconds(89) && waited < seconds(95), "{:?}", world.calls);
}

#[test]
fn a_token_that_lived_for_seconds_is_replaced_after_a_pause() {
    let check = |ttl: u64, pause: Duration| {
        let mut world = World { login: terms(ttl), ..World::default() };
        world.login();
        world.pass(Duration::from_millis(500));
        world.sleep(seconds(ttl));
        let woke = world.now;
        world.pass(seconds(10));
        let next = world.calls.iter().find(|(at, word)| *word == "login" && *at >= woke).unwrap().0;
        assert!(next - woke >= pause, "{ttl}: {:?}", world.calls);
    };
    check(5, seconds(1));
    check(3_600, seconds(0));
}

#[test]
fn a_static_secret_that_is_refused_is_read_again_at_once_though_a_reading_failed() {
    let mut world = World::default();
    world.login();
    let slot = world.secret(1);
    world.pass(seconds(60));
    world.fault = Some(Fault { words: &["reread"], kind: Kind::Denied });
    world.tell(Input::Hurry(slot));
    world.pass(seconds(2));
    world.fault = None;
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(5));
    assert_eq!(world.count("reread"), 2);
}

#[test]
fn a_threshold_beyond_half_of_a_life_is_told_once_and_no_other() {
    let check = |policy: Policy, told: usize| {
        let login = Terms { max_ttl: Some(seconds(3_600)), ..terms(3_600) };
        let mut world = World { login, ..World::default() };
        world.ask(0, Scope::Login, None, policy);
        world.pass(seconds(10_000));
        let clamped = world.events.iter().filter(|event| matches!(event, Event::Clamped { .. }));
        assert_eq!(clamped.count(), told);
        assert!(world.count("login") > 2);
    };
    check(Policy::default(), 0);
    check(Policy { renew: Renew::Below(seconds(7_200)), ..Policy::default() }, 1);
}

#[test]
fn a_token_that_is_gone_when_it_is_renewed_is_looked_up_and_replaced() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(60));
    let id = world.served(slot).unwrap();
    world.revoke(&id);
    world.tell(Input::Hurry(slot));
    world.pass(seconds(10));
    assert_eq!((world.count("renew"), world.count("lookup"), world.count("login")), (1, 1, 2));
}

#[test]
fn a_renewal_that_is_refused_is_followed_by_nothing_for_a_second() {
    let mut world =
        World { fault: Some(Fault { words: &["renew"], kind: Kind::Denied }), ..World::default() };
    let policy = Policy { renew: Renew::Part { from: 0, to: 0 }, ..Policy::default() };
    world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(10));
    let [_, renewal, next] = world.calls[..3] else { panic!("{:?}", world.calls) };
    assert_eq!((renewal.1, next.1), ("renew", "login"));
    assert!(next.0 - renewal.0 >= seconds(1), "{:?}", world.calls);
}

#[test]
fn nobody_waits_for_a_verdict_that_does_not_come() {
    let mut world = World::default();
    world.login();
    let slot = world.secret(1);
    world.pass(seconds(60));
    world.fault = Some(Fault { words: &["lookup"], kind: Kind::Unreachable });
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(1));
    world.tell(Input::Hurry(slot));
    world.pass(seconds(5));
    assert!(world.count("lookup") >= 1 && world.count("reread") == 1, "{:?}", world.calls);
}

#[test]
fn what_is_said_of_a_token_that_has_ended_meanwhile_does_not_matter() {
    let mut world = World { login: terms(20), ..World::default() };
    let slot = world.login();
    world.pass(seconds(5));
    world.latency = seconds(25);
    world.fault = Some(Fault { words: &["renew"], kind: Kind::Denied });
    world.tell(Input::Hurry(slot));
    world.pass(seconds(26));
    assert_eq!((world.served(slot), failures(&world, slot)), (None, vec![]));
}

#[test]
fn what_was_replaced_is_given_back_at_once_when_all_ends() {
    let login = Terms { max_ttl: Some(seconds(3_600)), ..terms(3_600) };
    let mut world = World { login, ..World::default() };
    world.login();
    while world.count("login") < 2 {
        world.pass(seconds(1));
    }
    world.pass(seconds(1));
    assert_eq!(world.alive().len(), 2, "the old one lives on beside the new one");
    world.tell(Input::Stop);
    world.pass(seconds(2));
    assert_eq!(world.alive(), <[&str; 0]>::default());
}

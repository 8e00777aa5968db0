//! Small things that no life depends on for long, each of which a change to the ledger could lose unseen.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::Input;
use leasehold_core::policy::{Every, Renew};
use leasehold_core::{Failure, Kind, Policy, Retry, Scope};
use world::{ALL, Fate, Fault, Terms, World, fixed, seconds, terms};

fn checked_each(span: u64) -> Policy {
    Policy { check: Some(Every::exactly(seconds(span))), ..Policy::default() }
}

#[test]
fn who_asks_for_what_is_there_is_told_of_no_failure() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(60));
    world.fail(&["renew"], Kind::Unreachable);
    world.tell(Input::Hurry(slot));
    world.pass(Duration::from_millis(500));
    world.login();
    let below = world.secret(1);
    let told = [(Kind::Unreachable, "fault", 1)];
    assert_eq!((world.failures(slot), world.failures(below), world.count("login")), (told.into(), vec![], 1));
}

#[test]
fn who_asks_for_what_is_under_way_again_is_told_of_no_failure() {
    let mut world = World::default();
    world.fail(ALL, Kind::Unreachable);
    let slot = world.login();
    world.pass(Duration::from_millis(100));
    world.mend();
    world.latency = seconds(5);
    world.pass(seconds(4));
    world.login();
    assert_eq!((world.failures(slot), world.count("login")), (vec![(Kind::Unreachable, "fault", 1)], 2));
}

#[test]
fn nothing_is_asked_for_with_a_token_that_is_given_back() {
    let mut world = World { latency: seconds(5), ..World::default() };
    let login = world.login();
    world.tell(Input::Release(login));
    let slot = world.secret(1);
    assert_eq!(world.failures(slot), [(Kind::Invalid, "the token to ask with is given back", 0)]);
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
    assert_eq!(world.failures(slot), []);
}

#[test]
fn who_comes_later_is_told_what_is_wrong_at_once() {
    let mut world = World { fault: Some(Fault { words: ALL, kind: Kind::Denied }), ..World::default() };
    let slot = world.login();
    world.pass(Duration::from_millis(500));
    assert_eq!(world.failures(slot), [(Kind::Denied, "fault", 1)]);
    world.login();
    assert_eq!(world.failures(slot), [(Kind::Denied, "fault", 1); 2]);
    let below = world.secret(1);
    assert_eq!(world.failures(below), [(Kind::Denied, "fault", 1)]);
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
    assert_eq!((world.failures(slot), world.value(slot)), (vec![], Some("one")));
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
        world.fail(ALL, Kind::Unreachable);
        world.tell(Input::Hurry(slot));
        world.pass(Duration::from_millis(500));
        world.mend();
        world.pass(seconds(120));
    }
    assert_eq!(world.failures(slot), [(Kind::Unreachable, "fault", 1); 2]);
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
    world.fail(&["reread"], Kind::Denied);
    world.tell(Input::Hurry(slot));
    world.pass(seconds(2));
    world.mend();
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
    world.fail(&["lookup"], Kind::Unreachable);
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
    world.fail(&["renew"], Kind::Denied);
    world.tell(Input::Hurry(slot));
    world.pass(seconds(26));
    assert_eq!((world.served(slot), world.failures(slot)), (None, vec![]));
}

#[test]
fn what_was_replaced_is_given_back_at_once_when_all_ends() {
    let login = Terms { max_ttl: Some(seconds(3_600)), ..terms(3_600) };
    let mut world = World { login, ..World::default() };
    world.login();
    world.pass_until(seconds(1), |world| world.count("login") == 2);
    world.pass(seconds(1));
    assert_eq!(world.alive().len(), 2, "the old one lives on beside the new one");
    world.tell(Input::Stop);
    world.pass(seconds(2));
    assert_eq!(world.alive(), <[&str; 0]>::default());
}

#[test]
fn a_token_that_is_revoked_again_and_again_is_replaced_once_a_second() {
    let mut world = World::default();
    let slot = world.login();
    for generation in 1..=10 {
        world.pass_until(Duration::from_millis(10), |world| world.served(slot).is_some());
        world.revoke(&world.served(slot).unwrap());
        world.tell(Input::Reject(slot, generation));
        world.pass(Duration::from_millis(50));
    }
    let logins: Vec<_> = world.calls.iter().filter(|(_, word)| *word == "login").map(|(at, _)| *at).collect();
    let pauses = logins.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(pauses.clone().all(|pause| pause >= seconds(1)), "{:?}", pauses.collect::<Vec<_>>());
}

#[test]
fn what_waits_for_a_verdict_ends_at_its_time_all_the_same() {
    let mut world = World { lease: fixed(50), ..World::default() };
    let login = world.login();
    let slot = world.dynamic(1);
    let started = world.now;
    world.pass(seconds(5));
    // The token is under way for half a minute, and then its look-up for another.
    world.fates = [Some(Fate::Lost), Some(Fate::Lost)].into();
    world.tell(Input::Hurry(login));
    world.tell(Input::Reject(slot, 1));
    world.pass_until(Duration::from_millis(5), |world| world.served(slot).is_none());
    assert!(world.ended(slot, End::Expired) && world.faults.is_empty(), "{:?}", world.faults);
    assert_eq!(world.count("lookup"), 1, "no verdict yet");
    assert_eq!(world.now, started + seconds(50) + Duration::from_millis(5));
}

#[test]
fn a_static_secret_is_read_again_when_the_server_says_so() {
    let mut world = World { refresh_in: Some(seconds(100)), ..World::default() };
    world.login();
    world.ask(1, world::secret("secret/db"), Some(0), Policy { refresh: None, ..Policy::default() });
    world.pass(seconds(950));
    assert_eq!(world.count("reread"), 9);
}

#[test]
fn a_renewal_that_gives_less_than_it_was_asked_for_is_the_last() {
    let login = Terms { ours: false, ..terms(100) };
    let mut world = World { login, usual: Some(seconds(50)), ..World::default() };
    world.login();
    world.pass(seconds(150));
    assert_eq!((world.count("renew"), world.count("login")), (1, 2), "{:?}", world.calls);
}

#[test]
fn a_look_up_that_counts_whole_seconds_moves_nothing() {
    let check = |less: Duration, is_moved: bool| {
        let mut world = World::default();
        let slot = world.ask(0, Scope::Login, None, checked_each(60));
        world.pass(seconds(30));
        let expiry = |world: &World| world.ledger.status_of(slot).and_then(|status| status.expiry);
        let before = expiry(&world);
        let id = world.served(slot).unwrap();
        let entry = world.entries.get_mut(&id).unwrap();
        entry.ends = entry.ends.map(|ends| ends - less);
        world.pass(seconds(60));
        assert_eq!((expiry(&world) != before, world.count("lookup")), (is_moved, 1), "{less:?}");
    };
    check(Duration::from_millis(1_500), false);
    check(Duration::from_millis(2_500), true);
}

#[test]
fn a_lease_that_is_refused_is_asked_for_once_a_minute_and_never_given_up() {
    let mut world = World::default();
    world.login();
    world.fail(&["read"], Kind::Denied);
    world.dynamic(1);
    world.pass(seconds(600));
    assert!((10..=14).contains(&world.count("read")), "{}", world.count("read"));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Halted { .. })));
}

#[test]
fn after_the_hard_instant_a_server_may_ask_to_wait_for_half_of_what_is_left() {
    fn throttled(task: &Task) -> Option<Failure> {
        let slow = Failure::new(Kind::Throttled, "slow").with_retry(Retry::After(Some(seconds(120))));
        matches!(task, Task::Renew(..)).then_some(slow)
    }
    // What was brought is renewed to its end.
    let login = Terms { ours: false, ..terms(1_000) };
    let mut world = World { login, rule: Some(throttled), ..World::default() };
    world.login();
    let end = world.now + seconds(1_000);
    world.pass(seconds(1_000));
    let tries = world.calls.iter().filter(|(_, word)| *word == "renew").map(|(at, _)| end - *at);
    let left: Vec<_> = tries.filter(|left| *left < seconds(99) && *left > seconds(5)).collect();
    assert!(left.len() > 3, "{left:?}");
    for pair in left.windows(2) {
        assert!(pair[1] <= pair[0] / 2 && pair[1] + seconds(1) > pair[0] / 2, "{left:?}");
    }
}

#[test]
fn a_lease_that_is_gone_is_replaced_at_once_though_another_was_refused_before() {
    let mut world = World { lease: fixed(600), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    world.fail(&["read"], Kind::Denied);
    world.pass_until(seconds(1), |world| world.count("read") == 4);
    world.mend();
    world.revoke(&world.served(slot).unwrap());
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(1));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

//! What lives on a token that is replaced: it follows, and ends with the old one where it cannot.

mod world;

use std::time::Duration;

use leasehold_core::event::End;
use leasehold_core::ledger::Input;
use leasehold_core::{Kind, Policy, Scope, SlotId};
use world::{Batch, Fate, Terms, World, fixed, seconds, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A login, a token below it that was replaced, and a lease that stands on the old one and cannot follow.
fn left_behind(login: Terms) -> (World, [SlotId; 3]) {
    let mut world = World { login, lease: fixed(600), ..World::default() };
    let family = world.family();
    let first = world.served(family[1]);
    world.replace_alone(family[1], Kind::Denied);
    world.pass(Duration::from_millis(100));
    assert!(first.is_some() && world.served(family[1]) != first, "it was replaced");
    (world, family)
}

#[test]
fn what_was_asked_for_while_its_token_was_replaced_follows_the_new_one() {
    let login = Terms { max_ttl: Some(seconds(100)), ..terms(100) };
    let mut world = World { login, lease: terms(HOUR), ..World::default() };
    let token = world.login();
    world.pass(seconds(1));
    let first = world.served(token).unwrap();
    world.latency = seconds(3);
    world.pass_until(seconds(1), |world| world.count("login") == 2);
    let slot = world.dynamic(1);
    for _ in 0..60 {
        world.pass(seconds(1));
        assert!(world.served(slot).is_none_or(|lease| world.is_alive(&lease)), "at {:?}", world.now);
    }
    assert!(!world.is_alive(&first), "given back after the overlap");
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_lives_on_a_replaced_token_ends_with_the_login_and_not_before() {
    for is_revoked in [false, true] {
        let (mut world, [login, _, slot]) = left_behind(terms(60));
        world.pass(seconds(200));
        assert!(world.is_alive(&world.served(slot).expect("its token and the login live")));
        if is_revoked {
            world.revoke(&world.served(login).unwrap());
            world.tell(Input::Reject(login, 1));
            world.pass(seconds(1));
            assert!(world.served(slot).is_none() && world.ended(slot, End::Revoked));
        }
        assert!(world.faults.is_empty(), "{:?}", world.faults);
    }
}

#[test]
fn a_token_is_kept_for_what_lives_on_one_that_was_replaced_before_it() {
    let lease = fixed(HOUR);
    let mut world = World { login: terms(30 * DAY), lease, ..World::default() };
    world.login();
    let policy = || Policy { overlap: Duration::ZERO, ..Policy::default() };
    let upper = world.ask(1, Scope::Child, Some(0), policy());
    let lower = world.ask(2, Scope::Child, Some(1), policy());
    let slot = world.ask(3, world::secret("database/creds/app"), Some(2), policy());
    world.pass(seconds(1));
    let lease = world.served(slot).unwrap();
    world.replace_alone(lower, Kind::Unreachable);
    world.pass(seconds(1));
    world.tell(Input::Hurry(upper));
    world.pass(seconds(HOUR / 4));
    assert!(world.served(slot) == Some(lease.clone()) && world.is_alive(&lease), "{:?}", world.faults);
}

#[test]
fn a_refusal_that_was_meant_for_a_replaced_token_is_no_refusal() {
    let mut world = World::default();
    let login = world.login();
    world.pass(seconds(60));
    world.revoke(&world.served(login).unwrap());
    world.fates = [Some(Fate::Late(seconds(5)))].into();
    let slot = world.dynamic(1);
    world.tell(Input::Reject(login, 1));
    world.pass(seconds(6));
    assert!(world.is_alive(&world.served(slot).expect("asked again with the new token")));
    assert_eq!(world.count("lookup"), 1);
}

#[test]
fn what_lives_on_a_batch_token_that_was_replaced_keeps_the_token_above_it() {
    let lease = fixed(HOUR);
    let login = Terms { max_ttl: Some(seconds(1_000)), ..terms(1_000) };
    let mut world = World { login, lease, batch: Batch::Children, ..World::default() };
    let [token, middle, slot] = world.family();
    let (first, batch, lease) = (world.served(token), world.served(middle), world.served(slot).unwrap());
    world.fail(&["read"], Kind::Unreachable);
    world.pass(seconds(900));
    assert!(world.served(token) != first && world.served(middle) != batch, "both were replaced");
    assert!(world.served(slot) == Some(lease.clone()) && world.is_alive(&lease), "{:?}", world.faults);
    assert_eq!(world.ledger.owed().count(), 1, "the first login; a batch token cannot be revoked");
    world.pass(seconds(101));
    assert_eq!(world.served(slot), None, "it has ended with the first login");
    world.mend();
    world.pass(seconds(10));
    world.tell(Input::Stop);
    world.pass(seconds(5));
    assert!(world.alive().is_empty() && world.ledger.is_settled(), "{:?}", world.alive());
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_lives_on_a_replaced_token_ends_with_a_login_of_which_nobody_knows_whether_it_lives() {
    let (mut world, [login, parent, slot]) = left_behind(terms(60));
    world.pass(seconds(1));
    // The renewal of the login is carried out, but its answer and all others are lost.
    world.fates = [Some(Fate::Garbled); 100].into();
    world.pass_until(Duration::from_millis(100), |world| {
        let has_ended = world.ended(login, End::Expired);
        assert!(has_ended || world.served(slot).is_some(), "its token and the login live");
        has_ended
    });
    assert_eq!((world.served(parent), world.served(slot)), (None, None));
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_lives_on_a_replaced_token_ends_with_a_login_that_was_replaced_after_it() {
    let (mut world, [_, _, slot]) = left_behind(Terms { ours: false, ..fixed(60) });
    world.pass(seconds(50));
    assert_eq!((world.count("create"), world.count("login")), (3, 2));
    assert!(world.is_alive(&world.served(slot).expect("the first login lives")));
    world.pass(seconds(9));
    assert_eq!(world.served(slot), None);
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_was_asked_for_with_a_replaced_token_and_comes_after_the_login_ended_is_not_served() {
    let login = Terms { ours: false, ..fixed(60) };
    let mut world = World { login, lease: fixed(600), ..World::default() };
    world.login();
    let parent = world.child(1);
    world.pass(seconds(36));
    world.latency = seconds(28);
    let slot = world.ask(2, world::secret("database/creds/app"), Some(1), Policy::default());
    world.latency = Duration::from_millis(5);
    world.replace_alone(parent, Kind::Denied);
    world.pass(seconds(20));
    assert_eq!((world.count("create"), world.count("login")), (3, 2));
    world.pass(seconds(10));
    assert_eq!(world.served(slot), None);
    world.mend();
    world.pass(seconds(60));
    assert!(world.is_alive(&world.served(slot).unwrap()) && world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn a_static_secret_outlives_all_tokens_above_it() {
    let mut world =
        World { login: Terms { ours: false, ..fixed(60) }, lease: fixed(600), ..World::default() };
    world.login();
    let parent = world.child(1);
    let policy = Policy { refresh: None, ..Policy::default() };
    let slot = world.ask(2, world::secret("secret/db"), Some(1), policy);
    world.pass(seconds(35));
    world.tell(Input::Hurry(parent));
    world.pass(seconds(65));
    assert_eq!((world.count("login"), world.count("read"), world.value(slot)), (3, 1, Some("one")));
}

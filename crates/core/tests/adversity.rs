//! Lives in adversity: outages, leaps in time, refusals, and what dies at the wrong moment.

mod world;

use std::time::Duration;

use leasehold_core::event::{End, Event};
use leasehold_core::ledger::Input;
use leasehold_core::{Kind, SlotId};
use world::{ALL, Fate, Terms, World, seconds, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn a_short_token_below_a_lasting_one_is_good_soon_after_a_sleep() {
    let mut world = World { login: terms(30 * DAY), lease: terms(300), ..World::default() };
    world.login();
    let parent = world.child(1);
    world.pass(seconds(10));
    world.sleep(seconds(8 * HOUR));
    world.pass(seconds(3));
    assert!(world.is_alive(&world.served(parent).unwrap()));
}

#[test]
fn a_lease_in_another_namespace_is_kept_when_its_token_dies_and_given_back_in_the_end() {
    let mut world = World { realm: ".X8LMRm", ..World::default() };
    let token = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(60));
    let lease = world.served(slot).unwrap();
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(60));
    assert_eq!(world.served(slot), Some(lease), "it lives");
    world.tell(Input::Stop);
    world.pass(seconds(5));
    assert!(world.alive().is_empty(), "{:?}", world.alive());
}

#[test]
fn a_suspicion_outlives_an_outage() {
    let mut world = World::default();
    let token = world.login();
    world.pass(seconds(60));
    world.fail(ALL, Kind::Unreachable);
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(60));
    assert!(world.served(token).is_some(), "nobody said that it is dead");
    world.mend();
    world.pass(seconds(7));
    assert!(world.is_alive(&world.served(token).unwrap()));
}

#[test]
fn an_outage_does_not_count_as_a_refusal() {
    let mut world = World::default();
    world.fail(ALL, Kind::Unreachable);
    let token = world.login();
    world.pass(seconds(60));
    world.fail(ALL, Kind::NeedsLogin);
    let is_refusal =
        |event: &Event| matches!(event, Event::Failed { failure, .. } if failure.kind() == Kind::NeedsLogin);
    world.pass_until(Duration::from_millis(100), |world| world.events.iter().any(is_refusal));
    world.mend();
    world.pass(seconds(5));
    assert!(world.served(token).is_some());
}

#[test]
fn a_token_that_cannot_be_replaced_is_renewed_after_all() {
    let mut world = World::default();
    let token = world.login();
    world.pass(seconds(1_700));
    world.fail(ALL, Kind::Unreachable);
    world.pass(seconds(1_700));
    world.fail(&["login"], Kind::NeedsLogin);
    world.pass(seconds(DAY));
    assert!(!world.ended(token, End::Expired));
    assert!(world.is_alive(&world.served(token).unwrap()));
}

#[test]
fn whoever_waits_for_what_is_given_back_is_told() {
    let mut world = World { latency: seconds(3), ..World::default() };
    world.login();
    let slot = world.secret(1);
    world.tell(Input::Release(SlotId(0)));
    let told = |slot: SlotId| move |event: &Event| matches!(event, Event::Failed { slot: told, .. } if *told == slot);
    assert!(world.events.iter().any(told(SlotId(0))) && world.events.iter().any(told(slot)));
    let before = world.events.len();
    world.login();
    assert!(world.events[before..].iter().any(told(SlotId(0))), "a second ask too");
}

#[test]
fn a_lease_in_a_hurry_is_renewed_and_not_looked_up() {
    let mut world = World::default();
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(60));
    world.tell(Input::Hurry(slot));
    world.pass(seconds(60));
    assert_eq!((world.count("renew"), world.count("lookup")), (1, 0));
}

#[test]
fn what_hangs_below_a_brought_token_is_given_back_even_if_nobody_knows_whether_that_lives() {
    let mut world = World { login: Terms { ours: false, ..terms(40) }, ..World::default() };
    let token = world.login();
    let slot = world.child(1);
    world.pass(seconds(1));
    let child = world.served(slot).unwrap();
    world.fates = [Some(Fate::Lost)].into();
    world.pass(seconds(42));
    assert!(world.ended(token, End::Expired), "it could not know better");
    world.pass(seconds(10));
    assert!(!world.is_alive(&child));
}

#[test]
fn a_lease_whose_token_ended_is_gone_even_where_a_later_token_was_to_revoke_it() {
    let mut world = World::default();
    let token = world.login();
    world.pass(seconds(60));
    world.fates = [Some(Fate::Late(seconds(5)))].into();
    world.dynamic(1);
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(2));
    world.revoke(&world.served(token).expect("the second login"));
    world.pass(seconds(5));
    assert_eq!((world.count("revoke"), world.ledger.owed().count()), (1, 0));
}

#[test]
fn a_lease_that_was_refused_is_replaced_whatever_becomes_of_its_token() {
    for is_token_dead in [false, true] {
        let mut world = World { realm: ".X8LMRm", ..World::default() };
        let token = world.login();
        let slot = world.dynamic(1);
        world.pass(seconds(60));
        let lease = world.served(slot).unwrap();
        world.revoke(&lease);
        if is_token_dead {
            world.revoke(&world.served(token).unwrap());
        }
        world.tell(Input::Reject(slot, 1));
        world.pass(seconds(5));
        assert!(world.is_alive(&world.served(slot).unwrap()), "{is_token_dead}");
        assert!(world.faults.is_empty(), "{:?}", world.faults);
    }
}

#[test]
fn a_lease_that_could_not_be_renewed_during_an_outage_is_replaced_at_once_after_it() {
    let mut world = World { lease: terms(710), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(2));
    world.revoke(&world.served(slot).unwrap());
    world.fail(&["lookup"], Kind::Unreachable);
    world.pass(seconds(650));
    assert!(world.count("renew") > 2, "refused again and again");
    world.mend();
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(10));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn what_hangs_below_a_brought_token_is_given_back_whatever_a_renewal_may_have_given_that() {
    let mut world = World { login: Terms { ours: false, ..terms(40) }, ..World::default() };
    let token = world.login();
    let slot = world.child(1);
    world.pass(seconds(1));
    let child = world.served(slot).unwrap();
    world.tell(Input::Hurry(token));
    world.sleep(seconds(100));
    assert!(world.ended(token, End::Expired), "it could not know better");
    world.pass(seconds(10));
    assert!(!world.is_alive(&child));
}

#[test]
fn a_renewal_that_is_refused_does_not_hold_up_the_replacement() {
    let mut world = World { lease: terms(60), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    world.revoke(&world.served(slot).unwrap());
    // So nobody can tell whether it is the lease that is gone, or the token.
    world.fail(&["lookup"], Kind::Unreachable);
    world.pass(seconds(60));
    assert!(world.count("renew") > 0 && !world.ended(slot, End::Expired));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

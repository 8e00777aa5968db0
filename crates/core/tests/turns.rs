//! Crowds: many want something at once, and what matters most goes first.

mod world;

use std::time::Duration;

use leasehold_core::event::End;
use leasehold_core::ledger::Input;
use leasehold_core::policy::Every;
use leasehold_core::{Kind, Policy, Scope};
use world::{ALL, Terms, World, fixed, seconds, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn a_thousand_rereads_do_not_cost_the_token() {
    let mut world = World::default();
    let policy = Policy { check: Some(Every::exactly(seconds(300))), ..Policy::default() };
    let token = world.ask(0, Scope::Login, None, policy);
    for slot in 1..=4_000 {
        world.secret(slot);
    }
    world.pass(seconds(3 * HOUR));
    assert!(!world.ended(token, End::Expired));
    assert_eq!(world.count("login"), 1);
}

#[test]
fn a_hundred_hurries_do_not_keep_a_login_waiting() {
    let mut world = World::default();
    let token = world.login();
    let slots: Vec<_> = (1..=20).map(|slot| world.dynamic(slot)).collect();
    world.pass(seconds(60));
    for slot in &slots {
        (0..100).for_each(|_| world.tell(Input::Hurry(*slot)));
    }
    world.pass(seconds(60));
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(60));
    assert!(world.is_alive(&world.served(token).unwrap()));
}

#[test]
fn turns_that_could_not_be_used_are_not_saved_up() {
    let mut world = World { lease: terms(DAY), ..World::default() };
    let token = world.login();
    for slot in 1..=300 {
        world.dynamic(slot);
    }
    world.pass(seconds(60));
    // All have to move, one a second. In the midst of it the token dies again, and there is no other for a while.
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(30));
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 2));
    world.fail(&["login"], Kind::Sealed);
    world.pass(seconds(600));
    let before = world.calls.len();
    world.mend();
    world.pass(seconds(20));
    assert!(world.calls.len() - before <= 2 * 20 + 22, "{}", world.calls.len() - before);
}

#[test]
fn what_cannot_be_given_back_at_the_end_is_tried_at_the_same_pace() {
    let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, ..World::default() };
    world.login();
    for slot in 1..=200 {
        world.dynamic(slot);
    }
    world.pass(seconds(60));
    world.fail(ALL, Kind::Unreachable);
    world.tell(Input::Stop);
    let before = world.calls.len();
    world.pass(seconds(300));
    assert!(world.calls.len() - before <= 200 + 300 + 22, "{}", world.calls.len() - before);
    world.mend();
    world.pass(seconds(300));
    assert_eq!((world.alive().len(), world.ledger.is_settled()), (1, true));
}

#[test]
fn what_is_missing_goes_before_what_could_not_be_given_back() {
    let lease = fixed(HOUR);
    let mut world = World { lease, ..World::default() };
    let login = world.login();
    let slots: Vec<_> = (1..=60).map(|slot| world.dynamic(slot)).collect();
    world.fail(&["revoke"], Kind::Unreachable);
    world.pass(seconds(1));
    slots.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(100));
    assert_eq!(world.ledger.owed().count(), 60);
    let (lost, kept) = slots.split_at(5);
    for slot in lost {
        world.revoke(&world.served(*slot).unwrap());
        world.tell(Input::Reject(*slot, world.ledger.status_of(*slot).unwrap().generation));
    }
    world.pass(seconds(10));
    for slot in lost.iter().chain(kept) {
        assert!(world.is_alive(&world.served(*slot).unwrap()));
    }
    assert!(world.served(login).is_some());
}

#[test]
fn what_is_missing_goes_before_debts_even_where_a_token_took_its_turn() {
    let lease = fixed(HOUR);
    let mut world = World { lease, ..World::default() };
    let login = world.login();
    let slots: Vec<_> = (1..=30).map(|slot| world.dynamic(slot)).collect();
    let child = world.child(31);
    world.fail(&["revoke"], Kind::Unreachable);
    world.pass(seconds(1));
    slots.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(100));
    let lost = slots[0];
    for slot in [lost, child] {
        world.revoke(&world.served(slot).unwrap());
    }
    for slot in [lost, child] {
        world.tell(Input::Reject(slot, world.ledger.status_of(slot).unwrap().generation));
    }
    world.pass(seconds(10));
    for slot in [login, lost, child] {
        assert!(world.is_alive(&world.served(slot).unwrap()));
    }
}

#[test]
fn what_waits_for_its_turn_waits_for_it_even_when_its_slot_is_released() {
    let login = Terms { ours: false, ..fixed(5) };
    let mut world =
        World { login, lease: fixed(138), latency: Duration::from_millis(667), ..World::default() };
    let policy = Policy { overlap: seconds(0), ..Policy::default() };
    world.ask(0, Scope::Login, None, policy.clone());
    let child = world.ask(1, Scope::Child, Some(0), policy.clone());
    world.ask(2, Scope::Child, Some(1), policy);
    world.pass(seconds(577));
    let owed = world.ledger.owed().count();
    world.tell(Input::Release(child));
    world.pass(seconds(10));
    let peak = world.peak(seconds(10));
    assert!(peak <= 2 * 10 + 20, "{peak} calls in 10 s, {owed} were owed");
}

#[test]
fn nobody_takes_a_turn_of_another_identity() {
    let mut world = World { lease: fixed(HOUR), ..World::default() };
    world.login();
    let tokens: Vec<_> = (1..=40).map(|slot| world.child(slot)).collect();
    world.ask(100, Scope::Login, None, Policy::default());
    let lease = |slot| world.ask(slot, world::secret("database/creds/app"), Some(100), Policy::default());
    let leases: Vec<_> = (101..=160).map(lease).collect();
    world.pass(seconds(120));
    leases.iter().chain(&tokens).for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(10));
    let replaced = world.count("create") - tokens.len();
    assert!((16..=16 + 10 + 2).contains(&replaced), "{replaced}");
}

#[test]
fn the_turn_of_what_is_released_is_free() {
    let mut world = World { lease: fixed(HOUR), ..World::default() };
    world.login();
    let slots: Vec<_> = (1..=60).map(|slot| world.dynamic(slot)).collect();
    let last = world.dynamic(61);
    world.pass(seconds(120));
    slots.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    slots.iter().for_each(|slot| world.tell(Input::Release(*slot)));
    let first = world.served(last);
    world.tell(Input::Hurry(last));
    world.pass(seconds(2));
    assert!(world.served(last) != first);
}

#[test]
fn the_pace_of_an_identity_outlives_what_is_asked_for_with_it() {
    let mut world = World::default();
    world.login();
    let slots: Vec<_> = (1..=60).map(|slot| world.dynamic(slot)).collect();
    let other = world.secret(61);
    world.pass(seconds(120));
    let (first, rest) = slots.split_at(30);
    first.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.tell(Input::Release(other));
    rest.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(5));
    assert!((16..=16 + 5 + 1).contains(&world.count("renew")), "{}", world.count("renew"));
}

#[test]
fn the_pace_of_an_identity_goes_with_it_unless_something_is_owed() {
    let check = |leases: u32, is_kept: bool| {
        let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, ..World::default() };
        let login = world.login();
        for slot in 1..=leases {
            world.dynamic(slot);
        }
        world.pass(seconds(1));
        world.fail(&["revoke"], Kind::Unreachable);
        world.tell(Input::Release(login));
        world.pass(seconds(10));
        // Each is tried once without a turn, and then at the pace that the asks have left.
        assert!(world.count("revoke") <= leases as usize + 10 + 2, "{}", world.count("revoke"));
        let left = format!("{:?}", world.ledger);
        assert!(left.contains("slots: {}") && left.contains("paces: {}") != is_kept, "{left}");
    };
    check(0, false);
    check(60, true);
}

#[test]
fn what_comes_when_its_slot_is_released_is_given_back_at_the_pace_of_its_identity() {
    let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, ..World::default() };
    world.login();
    world.pass(seconds(1));
    world.latency = seconds(40);
    let slots: Vec<_> = (1..=40).map(|slot| world.dynamic(slot)).collect();
    world.latency = Duration::from_millis(5);
    world.fail(&["revoke", "read"], Kind::Unreachable);
    world.pass(seconds(35));
    slots.iter().for_each(|slot| world.tell(Input::Release(*slot)));
    world.pass(seconds(10));
    assert_eq!(world.ledger.owed().count(), slots.len());
    let before = world.calls.len();
    world.pass(seconds(20));
    let tries = world.calls.len() - before;
    assert!((15..=20 + 16 + 2).contains(&tries), "{tries}");
}

//! What is told: each fact once, and each failure to those whom it concerns.

mod world;

use std::time::Duration;

use leasehold_core::event::{End, Event};
use leasehold_core::ledger::Input;
use leasehold_core::{Kind, SlotId};
use world::{Terms, World, fixed, seconds};

#[test]
fn a_static_secret_that_was_read_again_is_told_to_have_changed_or_not() {
    let mut world = World::default();
    world.login();
    let slot = world.secret(1);
    let mut check = |value: &str, expect: &[bool]| {
        world.secret = value.into();
        world.tell(Input::Hurry(slot));
        world.pass(seconds(2));
        let changes = world.events.iter().filter_map(|event| match event {
            Event::Refreshed { changed, .. } => Some(*changed),
            _ => None,
        });
        assert_eq!(changes.collect::<Vec<_>>(), expect, "{value}");
    };
    // The first reading was under way.
    check("one", &[]);
    check("one", &[false]);
    check("two", &[false, true]);
}

#[test]
fn who_has_a_value_is_told_of_no_failure_of_its_token() {
    let mut world = World::default();
    let login = world.login();
    let slot = world.secret(1);
    world.pass(seconds(60));
    world.fail(&["login"], Kind::Denied);
    world.revoke(&world.served(login).unwrap());
    world.tell(Input::Reject(login, 1));
    world.pass(seconds(60));
    assert!(world.ended(login, End::Revoked) && world.value(slot) == Some("one"));
    assert_eq!(world.failures(slot), []);
}

#[test]
fn who_waits_for_a_login_with_what_has_expired_is_told() {
    let mut world = World::default();
    world.fail(&["login"], Kind::Expired);
    world.login();
    let slot = world.secret(1);
    world.pass(Duration::from_millis(500));
    assert_eq!(world.failures(slot), [(Kind::Expired, "fault", 0)]);
    world.pass(seconds(60));
    assert!(world.events.contains(&Event::Halted { slot: SlotId(0) }));
    let later = world.secret(2);
    assert_eq!(world.failures(later), [(Kind::Expired, "fault", 3)], "no login will be tried");
}

#[test]
fn what_is_found_dead_leaves_the_journal() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(60));
    let holding = world.values[&slot].lease.holding.clone();
    world.revoke(&world.served(slot).unwrap());
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(1));
    assert!(world.events.contains(&Event::Settled { slot, holding }), "{:?}", world.events);
}

#[test]
fn a_status_tells_of_every_slot_and_when_what_it_holds_ends() {
    let mut world = World { login: Terms { ttl: None, ..fixed(0) }, lease: fixed(600), ..World::default() };
    let asked = world.now;
    world.login();
    world.dynamic(1);
    world.secret(2);
    world.pass(seconds(60));
    let lease = Some(asked + Duration::from_millis(5) + seconds(600));
    let told: Vec<_> = world.ledger.status().map(|status| (status.slot, status.expiry)).collect();
    assert_eq!(told, [(SlotId(0), None), (SlotId(1), lease), (SlotId(2), None)]);
}

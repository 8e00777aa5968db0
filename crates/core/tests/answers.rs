//! Answers that are lost, late, come twice, or belong to another question.

mod world;

use std::time::Duration;

use leasehold_core::event::{End, Event};
use leasehold_core::ledger::Input;
use leasehold_core::{Kind, Policy, Scope};
use world::{Fate, World, fixed, seconds, terms};

const HOUR: u64 = 3_600;

#[test]
fn what_comes_after_its_token_died_is_not_served() {
    let mut world = World::default();
    let token = world.login();
    world.pass(seconds(100));
    let fates = [Some(Fate::Late(seconds(5)))];
    world.fates = fates.into();
    let slot = world.dynamic(1);
    world.revoke(&world.served(token).unwrap());
    world.fail(&["login", "create", "read"], Kind::Sealed);
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(10));
    assert_eq!(world.served(slot), None);
    world.mend();
    world.pass(seconds(10));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn what_ended_on_its_way_is_not_published() {
    let mut world = World { latency: seconds(10), ..World::default() };
    let slot = world.login();
    world.sleep_before_tick(seconds(2 * HOUR));
    let obtained = |event: &Event| matches!(event, Event::Obtained { .. });
    assert!(!world.events.iter().any(obtained), "{:?}", world.events);
    world.latency = Duration::from_millis(5);
    world.pass(seconds(10));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn an_answer_that_comes_twice_does_not_cost_the_value() {
    for delay in [0, 20, 5_000] {
        let fates = [Some(Fate::Doubled(seconds(delay)))];
        let mut world = World { fates: fates.into(), ..World::default() };
        let slot = world.login();
        world.pass(seconds(2 * HOUR));
        assert!(world.is_alive(&world.served(slot).unwrap()));
        assert_eq!((world.count("login"), world.count("revoke")), (1, 0));
    }
}

#[test]
fn a_renewal_whose_answer_is_lost_leaves_nothing_behind() {
    let mut world = World { login: terms(40), ..World::default() };
    let slot = world.login();
    world.pass(seconds(1));
    let first = world.served(slot).unwrap();
    world.fates = [Some(Fate::Lost)].into();
    world.pass(seconds(45));
    assert!(world.ended(slot, End::Expired), "it could not know better");
    assert!(!world.is_alive(&first), "and gave it back");
}

#[test]
fn an_answer_to_another_question_is_a_failure_and_not_asked_for_again_at_once() {
    let mut world = World { fates: [Some(Fate::Crossed); 4].into(), ..World::default() };
    let slot = world.login();
    world.pass(seconds(1));
    assert_eq!(world.count("login"), 1);
    let failure = world.ledger.status_of(slot).unwrap().failure;
    assert_eq!(failure.map(|failure| failure.kind()), Some(Kind::Broken));
    world.pass(seconds(30));
    assert!(world.is_alive(&world.served(slot).unwrap()));
    world.fates = [Some(Fate::Crossed)].into();
    world.tell(Input::Stop);
    world.pass(Duration::from_millis(100));
    assert_eq!((world.ledger.is_settled(), world.count("revoke")), (false, 1));
    world.pass(seconds(10));
    assert_eq!((world.ledger.is_settled(), world.count("revoke")), (true, 2));
}

#[test]
fn a_renewal_whose_answer_is_lost_does_not_shorten_a_life() {
    for increment in [60, 600] {
        let mut world = World::default();
        let policy = Policy { increment: Some(seconds(increment)), ..Policy::default() };
        let slot = world.ask(0, Scope::Login, None, policy);
        world.pass(seconds(60));
        world.fates = [Some(Fate::Lost)].into();
        world.tell(Input::Hurry(slot));
        assert_eq!(world.count("renew"), 1);
        for _ in 0..2 * HOUR {
            world.pass(seconds(1));
            assert!(world.is_alive(&world.served(slot).expect("always a token")));
        }
        assert!(world.faults.is_empty(), "{:?}", world.faults);
    }
}

#[test]
fn what_was_answered_late_is_owed_until_it_has_ended_for_sure() {
    let login = fixed(100);
    let mut world = World { login, latency: seconds(20), ..World::default() };
    world.login();
    world.pass(seconds(21));
    world.fail(&["revoke"], Kind::Denied);
    world.tell(Input::Stop);
    for (span, owed) in [(98, 1), (1, 0)] {
        world.pass(seconds(span));
        assert_eq!(world.ledger.owed().count(), owed, "the server may have counted from its answer on");
    }
}

#[test]
fn what_comes_late_is_owed_while_the_token_lives_that_it_was_obtained_with() {
    let mut world = World { login: fixed(200), lease: fixed(300), ..World::default() };
    let policy = Policy { overlap: seconds(60), ..Policy::default() };
    let login = world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(120));
    world.fates = [Some(Fate::Late(seconds(55)))].into();
    world.dynamic(1);
    let late = world.entries.keys().find(|id| id.starts_with("lease")).unwrap().clone();
    world.pass(seconds(54));
    assert_eq!(world.count("login"), 2);
    // It is found dead when the late lease is to be revoked with it.
    world.revoke(&world.served(login).unwrap());
    world.pass(seconds(2));
    for _ in 0..60 {
        let is_owed = world.ledger.owed().any(|(_, holding, _)| format!("{holding:?}").contains(&late));
        assert!(is_owed || !world.is_alive(&late), "at {:?}", world.now);
        world.pass(seconds(1));
    }
    assert!(!world.is_alive(&late));
}

#[test]
fn what_comes_after_its_slot_was_released_is_given_back() {
    let mut world = World::default();
    world.login();
    world.pass(seconds(1));
    world.fates = [Some(Fate::Late(seconds(40)))].into();
    let slot = world.dynamic(1);
    world.pass(seconds(38));
    world.tell(Input::Release(slot));
    world.pass(seconds(10));
    let leases: Vec<_> = world.alive().into_iter().filter(|id| id.starts_with("lease")).collect();
    assert_eq!((leases, world.ledger.owed().count()), (vec![], 0));
}

#[test]
fn what_comes_so_late_that_nobody_knows_its_token_does_not_fall_with_another() {
    let mut world = World { login: terms(200), realm: ".X8LMRm", ..World::default() };
    let login = world.login();
    world.pass(seconds(100));
    world.dynamic(1);
    // Its answer is heard after the second sleep.
    world.sleep(seconds(300));
    world.fail(&["revoke"], Kind::Unreachable);
    world.sleep(seconds(60));
    world.pass(seconds(10));
    world.revoke(&world.served(login).unwrap());
    world.mend();
    world.tell(Input::Stop);
    world.pass(seconds(300));
    let owed: Vec<_> = world.ledger.owed().map(|(_, holding, _)| format!("{holding:?}")).collect();
    let left: Vec<_> = world.alive().into_iter().filter(|id| id.starts_with("lease")).collect();
    assert!(
        !left.is_empty() && left.iter().all(|id| owed.iter().any(|owed| owed.contains(id))),
        "{left:?} {owed:?}"
    );
}

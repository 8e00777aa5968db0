//! What comes late: answers to errands that were given up.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::ledger::Input;
use leasehold_core::{Failure, Kind, Policy, Scope};
use world::{Fate, Terms, World, seconds, terms};

const HOUR: u64 = 3_600;

fn fixed(ttl: u64) -> Terms {
    Terms { renewable: false, ..terms(ttl) }
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
    world.rule = Some(|task| match task {
        Task::Revoke(_) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
    world.sleep(seconds(60));
    world.pass(seconds(10));
    world.revoke(&world.served(login).unwrap());
    world.rule = None;
    world.tell(Input::Stop);
    world.pass(seconds(300));
    let owed: Vec<_> = world.ledger.owed().map(|(_, holding, _)| format!("{holding:?}")).collect();
    let left: Vec<_> = world.alive().into_iter().filter(|id| id.starts_with("lease")).collect();
    assert!(
        !left.is_empty() && left.iter().all(|id| owed.iter().any(|owed| owed.contains(id))),
        "{left:?} {owed:?}"
    );
}

#[test]
fn what_is_missing_goes_before_debts_even_where_a_token_took_its_turn() {
    let lease = Terms { renewable: false, ..terms(HOUR) };
    let mut world = World { lease, ..World::default() };
    let login = world.login();
    let slots: Vec<_> = (1..=30).map(|slot| world.dynamic(slot)).collect();
    let child = world.ask(31, Scope::Child, Some(0), Policy::default());
    world.rule = Some(|task| match task {
        Task::Revoke(_) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
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

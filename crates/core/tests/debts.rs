//! What has to be given back: what is owed, for how long, and what falls with its token.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::event::End;
use leasehold_core::ledger::Input;
use leasehold_core::{Failure, Kind, Policy, Scope, SlotId};
use world::{ALL, Fate, Terms, World, fixed, seconds, terms};

const HOUR: u64 = 3_600;

#[test]
fn what_ended_with_its_token_is_not_revoked() {
    let mut world = World { login: fixed(60), lease: fixed(600), ..World::default() };
    let [_, _, slot] = world.family();
    world.fail(&["login"], Kind::Denied);
    world.pass(seconds(120));
    assert!(world.ended(slot, End::Expired));
    assert_eq!((world.count("revoke"), world.ledger.owed().count()), (0, 0));
}

#[test]
fn what_ended_with_a_token_that_was_brought_and_replaced_is_not_revoked() {
    let login = Terms { ours: false, ..fixed(60) };
    let mut world = World { login, lease: fixed(600), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    world.fail(&["read"], Kind::Denied);
    world.pass(seconds(70));
    assert!(world.count("login") == 2 && world.ended(slot, End::Expired));
    assert_eq!((world.count("revoke"), world.ledger.owed().count()), (0, 0));
}

#[test]
fn what_was_found_dead_is_not_revoked_whatever_a_renewal_may_have_given_it() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(60));
    world.fates = [Some(Fate::Garbled)].into();
    world.tell(Input::Hurry(slot));
    world.pass(Duration::from_millis(100));
    world.revoke(&world.served(slot).unwrap());
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(5));
    assert!(world.ended(slot, End::Revoked) && world.count("login") == 2);
    assert_eq!(world.count("revoke"), 0);
}

#[test]
fn what_stands_on_a_token_that_may_live_on_is_owed() {
    let mut world = World { lease: terms(100), ..World::default() };
    world.login();
    let parent = world.child(1);
    world.pass(seconds(1));
    world.lease = fixed(600);
    let slot = world.ask(2, world::secret("database/creds/app"), Some(1), Policy::default());
    world.pass(seconds(39));
    let lease = world.served(slot).unwrap();
    // The server renews the token, which nobody hears of; nothing else is renewed, obtained or revoked.
    world.fates = [Some(Fate::Lost)].into();
    world.tell(Input::Hurry(parent));
    world.fail(&["renew", "read", "revoke"], Kind::Unreachable);
    world.pass(seconds(62));
    assert!(world.ended(slot, End::Expired) && world.served(parent).is_some(), "{:?}", world.events);
    assert!(world.is_alive(&lease) && world.is_owed(&lease));
    world.mend();
    world.pass(seconds(30));
    assert!(!world.is_alive(&lease));
}

#[test]
fn a_token_is_owed_until_what_a_renewal_may_have_given_it_is_over() {
    let check = |is_carried_out: bool, after: u64, owed: usize| {
        let mut world = World { login: terms(100), ..World::default() };
        world.login();
        world.pass(seconds(40));
        world.fates = [is_carried_out.then_some(Fate::Garbled)].into();
        if !is_carried_out {
            world.fail(ALL, Kind::Unreachable);
        }
        world.tell(Input::Hurry(SlotId(0)));
        world.fail(ALL, Kind::Unreachable);
        world.pass(seconds(after));
        assert_eq!((world.ended(SlotId(0), End::Expired), world.ledger.owed().count()), (true, owed));
        assert_eq!(world.count("revoke") > 0, is_carried_out);
    };
    check(true, 65, 1);
    check(true, 99, 1);
    check(true, 101, 0);
    check(false, 65, 0);
}

#[test]
fn what_comes_late_and_twice_is_owed_once() {
    let mut world = World::default();
    world.login();
    world.pass(seconds(1));
    world.latency = seconds(40);
    world.fates = [Some(Fate::Doubled(seconds(5)))].into();
    world.dynamic(1);
    world.latency = Duration::from_millis(5);
    world.fail(&["revoke"], Kind::Unreachable);
    world.pass(seconds(50));
    assert_eq!(world.ledger.owed().count(), 1);
}

#[test]
fn what_is_released_ends_with_what_it_had_before_and_nothing_of_others() {
    let mut world = World { lease: fixed(HOUR), ..World::default() };
    world.login();
    let policy = Policy { overlap: seconds(60), ..Policy::default() };
    let slots =
        [1, 2].map(|slot| world.ask(slot, world::secret("database/creds/app"), Some(0), policy.clone()));
    world.pass(seconds(60));
    let old = slots.map(|slot| world.served(slot).unwrap());
    slots.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(5));
    assert!(old.iter().all(|id| world.is_alive(id)) && world.ledger.owed().count() == 2);
    world.tell(Input::Release(slots[0]));
    world.pass(seconds(2));
    assert_eq!(old.map(|id| world.is_alive(&id)), [false, true]);
}

/// A world with a login that was brought, and a lease that comes when nobody waits for it and the login has died, and no
/// other can be had.
fn late_after_its_token(realm: &'static str) -> World {
    let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, realm, ..World::default() };
    let login = world.login();
    world.pass(seconds(1));
    world.fates = [Some(Fate::Late(seconds(40)))].into();
    world.dynamic(1);
    let token = world.served(login).unwrap_or_default();
    world.revoke(&token);
    world.fail(&["login"], Kind::Unreachable);
    world.tell(Input::Reject(login, 1));
    world.pass(seconds(60));
    assert_eq!((world.served(login), world.ended(login, End::Revoked)), (None, true));
    world
}

#[test]
fn what_comes_after_its_token_was_found_dead_is_tried_once() {
    let world = late_after_its_token("");
    assert_eq!((world.count("revoke"), world.ledger.owed().count()), (1, 0));
}

#[test]
fn what_comes_from_another_namespace_after_its_token_was_found_dead_is_owed() {
    let mut world = late_after_its_token(".X8LMRm");
    assert_eq!(world.ledger.owed().count(), 1);
    world.mend();
    world.pass(seconds(90));
    assert_eq!(world.ledger.owed().count(), 0);
    let left = world.alive().into_iter().filter(|id| id.starts_with("lease"));
    assert_eq!(left.count(), 1, "the one that is served");
}

#[test]
fn what_stood_on_a_token_that_turns_out_dead_is_tried_once() {
    let login = Terms { ours: false, ..terms(40) };
    let mut world = World { login, lease: fixed(HOUR), ..World::default() };
    let login = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    world.fates = [Some(Fate::Lost)].into();
    world.tell(Input::Hurry(login));
    world.revoke(&world.served(login).unwrap());
    world.fail(&["login", "lookup", "renew"], Kind::Unreachable);
    world.pass(seconds(60));
    assert!(world.ended(login, End::Expired) && world.ended(slot, End::Expired));
    assert_eq!((world.count("revoke"), world.ledger.owed().count()), (1, 0));
}

#[test]
fn what_stood_on_a_token_that_was_brought_is_owed_past_its_end() {
    let login = Terms { ours: false, ..fixed(60) };
    let mut world = World { login, lease: fixed(HOUR), ..World::default() };
    let login = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    let (token, lease) = (world.served(login).unwrap(), world.served(slot).unwrap());
    // Whoever brought it renews it.
    world.entries.get_mut(&token).unwrap().ends = None;
    world.fail(&["revoke"], Kind::Unreachable);
    world.pass(seconds(64));
    assert!(world.served(login) != Some(token) && world.is_alive(&lease) && world.is_owed(&lease));
    world.mend();
    world.pass(seconds(10));
    assert!(!world.is_alive(&lease));
}

#[test]
fn what_became_due_in_a_sleep_is_given_back_at_the_usual_pace() {
    let (mut world, slots) = crowd();
    slots.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(100));
    assert_eq!((world.ledger.owed().count(), world.count("revoke")), (CROWD, 0), "they live on for a while");
    world.sleep(seconds(300));
    world.pass(seconds(1));
    let given_back = world.count("revoke");
    assert!((10..=22).contains(&given_back), "{given_back}");
    world.pass(seconds(100));
    assert_eq!((world.ledger.owed().count(), world.count("revoke")), (0, CROWD));
}

#[test]
fn what_is_released_is_given_back_at_once() {
    let (mut world, slots) = crowd();
    slots.iter().for_each(|slot| world.tell(Input::Release(*slot)));
    world.pass(seconds(1));
    assert_eq!((world.ledger.owed().count(), world.count("revoke")), (0, CROWD));
}

#[test]
fn what_waits_for_its_turn_is_given_back_at_once_when_all_ends() {
    let (mut world, slots) = crowd();
    slots.iter().for_each(|slot| world.tell(Input::Hurry(*slot)));
    world.pass(seconds(100));
    world.sleep(seconds(300));
    assert!(world.ledger.owed().count() > CROWD / 2);
    world.tell(Input::Stop);
    world.pass(seconds(1));
    assert_eq!((world.ledger.owed().count(), world.count("revoke")), (0, 2 * CROWD));
}

const CROWD: usize = 60;

/// A login that was brought, and many leases below it that live on for long when they are replaced.
fn crowd() -> (World, Vec<SlotId>) {
    let login = Terms { ours: false, ..terms(HOUR) };
    let mut world = World { login, lease: fixed(HOUR), ..World::default() };
    world.login();
    let policy = Policy { overlap: seconds(200), ..Policy::default() };
    let ask = |slot| world.ask(slot, world::secret("database/creds/app"), Some(0), policy.clone());
    let slots = (1..).take(CROWD).map(ask).collect();
    world.pass(seconds(60));
    (world, slots)
}

#[test]
fn a_token_goes_as_soon_as_what_held_it_up() {
    let mut world = World { realm: ".X8LMRm", ..World::default() };
    let login = world.login();
    world.dynamic(1);
    world.pass(seconds(60));
    assert_eq!(world.alive().len(), 2);
    world.tell(Input::Release(login));
    world.pass(Duration::from_millis(50));
    assert_eq!((world.alive(), world.count("revoke")), (vec![], 2));
}

#[test]
fn what_was_not_revoked_by_a_dead_token_is_revoked_by_the_next() {
    let mut world = World { realm: ".X8LMRm", lease: fixed(HOUR), ..World::default() };
    let login = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(60));
    let lease = world.served(slot).unwrap();
    world.tell(Input::Hurry(slot));
    world.pass(seconds(1));
    world.revoke(&world.served(login).unwrap());
    world.pass(seconds(60));
    assert!(world.is_owed(&lease) && world.count("revoke") > 0);
    world.tell(Input::Reject(login, 1));
    world.pass(seconds(60));
    assert!(!world.is_alive(&lease) && world.ledger.owed().count() == 0);
}

#[test]
fn what_is_released_with_a_dead_token_is_owed_and_not_tried_again() {
    let mut world = World { realm: ".X8LMRm", ..World::default() };
    let login = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(60));
    let lease = world.served(slot).unwrap();
    world.revoke(&world.served(login).unwrap());
    world.tell(Input::Release(slot));
    world.pass(seconds(100));
    assert!(world.is_owed(&lease) && world.ledger.is_settled());
    assert_eq!(world.count("revoke"), 1);
}

#[test]
fn what_was_to_end_with_a_token_that_may_not_be_revoked_is_revoked_by_itself() {
    fn no_tokens(task: &Task) -> Option<Failure> {
        let is_token = matches!(task, Task::Revoke(grant) if grant.token().is_some());
        is_token.then(|| Failure::new(Kind::Denied, "not this one"))
    }
    let mut world = World { lease: fixed(HOUR), rule: Some(no_tokens), ..World::default() };
    let [_, parent, slot] = world.family();
    let lease = world.served(slot).unwrap();
    world.tell(Input::Hurry(parent));
    world.pass(seconds(100));
    assert!(world.served(slot) != Some(lease.clone()) && !world.is_alive(&lease));
}

#[test]
fn a_token_is_kept_for_what_was_asked_for_with_it() {
    let mut world = World { login: fixed(HOUR), ..World::default() };
    let policy = Policy { overlap: Duration::ZERO, ..Policy::default() };
    let login = world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(60));
    let first = world.served(login).unwrap();
    world.latency = seconds(10);
    world.dynamic(1);
    world.latency = Duration::from_millis(5);
    world.tell(Input::Hurry(login));
    world.pass(seconds(9));
    assert!(world.served(login) != Some(first.clone()) && world.is_alive(&first));
    world.pass(seconds(60));
    assert!(!world.is_alive(&first));
}

#[test]
fn what_cannot_be_revoked_and_never_ends_is_waited_for_no_more() {
    let mut world = World { login: Terms { ttl: None, ..fixed(0) }, ..World::default() };
    world.login();
    world.pass(seconds(60));
    world.fail(&["revoke"], Kind::Denied);
    world.tell(Input::Stop);
    world.pass(seconds(1));
    assert_eq!((world.ledger.owed().count(), world.ledger.deadline()), (1, None));
}

#[test]
fn nothing_is_kept_of_an_errand_that_was_given_up_a_minute_ago() {
    let mut world = World::default();
    world.login();
    world.pass(seconds(1));
    world.fates = [Some(Fate::Lost)].into();
    world.dynamic(1);
    let keeps = |world: &World| format!("{:?}", world.ledger).contains("Stray");
    world.pass(seconds(40));
    assert!(keeps(&world), "what it obtained may come yet");
    world.pass(seconds(60));
    world.tell(Input::Tick);
    assert!(!keeps(&world));
}

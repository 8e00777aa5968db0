//! Lives in adversity: lost, late and doubled answers, leaps in time, crowds, and what dies at the wrong moment.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::Input;
use leasehold_core::policy::Every;
use leasehold_core::{Failure, Kind, Policy, Scope, SlotId};
use world::{Batch, Fate, Terms, World, seconds, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn what_was_asked_for_while_its_token_was_replaced_follows_the_new_one() {
    let login = Terms { max_ttl: Some(seconds(100)), ..terms(100) };
    let mut world = World { login, lease: terms(HOUR), ..World::default() };
    let token = world.login();
    world.pass(seconds(1));
    let first = world.served(token).unwrap();
    world.latency = seconds(3);
    while world.count("login") < 2 {
        world.pass(seconds(1));
    }
    let slot = world.dynamic(1);
    for _ in 0..60 {
        world.pass(seconds(1));
        assert!(world.served(slot).is_none_or(|lease| world.is_alive(&lease)), "at {:?}", world.now);
    }
    assert!(!world.is_alive(&first), "given back after the overlap");
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_comes_after_its_token_died_is_not_served() {
    let mut world = World::default();
    let token = world.login();
    world.pass(seconds(100));
    let fates = [Some(Fate::Late(seconds(5)))];
    world.fates = fates.into();
    let slot = world.dynamic(1);
    world.revoke(&world.served(token).unwrap());
    world.rule = Some(|task| match task {
        Task::Obtain(_) => Some(Failure::new(Kind::Sealed, "sealed")),
        _ => None,
    });
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(10));
    assert_eq!(world.served(slot), None);
    world.rule = None;
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
    world.rule = Some(|task| match task {
        Task::Obtain(Scope::Login) => Some(Failure::new(Kind::Sealed, "sealed")),
        _ => None,
    });
    world.pass(seconds(600));
    let before = world.calls.len();
    world.rule = None;
    world.pass(seconds(20));
    assert!(world.calls.len() - before <= 2 * 20 + 22, "{}", world.calls.len() - before);
}

#[test]
fn a_short_token_below_a_lasting_one_is_good_soon_after_a_sleep() {
    let mut world = World { login: terms(30 * DAY), lease: terms(300), ..World::default() };
    world.login();
    let parent = world.ask(1, Scope::Child, Some(0), Policy::default());
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
    world.rule = Some(|_| Some(Failure::new(Kind::Unreachable, "refused")));
    world.revoke(&world.served(token).unwrap());
    world.tell(Input::Reject(token, 1));
    world.pass(seconds(60));
    assert!(world.served(token).is_some(), "nobody said that it is dead");
    world.rule = None;
    world.pass(seconds(7));
    assert!(world.is_alive(&world.served(token).unwrap()));
}

#[test]
fn an_outage_does_not_count_as_a_refusal() {
    let mut world =
        World { rule: Some(|_| Some(Failure::new(Kind::Unreachable, "refused"))), ..World::default() };
    let token = world.login();
    world.pass(seconds(60));
    world.rule = Some(|_| Some(Failure::new(Kind::NeedsLogin, "invalid secret id")));
    while world
        .events
        .iter()
        .all(|event| !matches!(event, Event::Failed { failure, .. } if failure.kind() == Kind::NeedsLogin))
    {
        world.pass(Duration::from_millis(100));
    }
    world.rule = None;
    world.pass(seconds(5));
    assert!(world.served(token).is_some());
}

#[test]
fn a_token_that_cannot_be_replaced_is_renewed_after_all() {
    let mut world = World::default();
    let token = world.login();
    world.pass(seconds(1_700));
    world.rule = Some(|_| Some(Failure::new(Kind::Unreachable, "refused")));
    world.pass(seconds(1_700));
    world.rule = Some(|task| match task {
        Task::Obtain(Scope::Login) => Some(Failure::new(Kind::NeedsLogin, "the secret id is used up")),
        _ => None,
    });
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
fn what_cannot_be_given_back_at_the_end_is_tried_at_the_same_pace() {
    let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, ..World::default() };
    world.login();
    for slot in 1..=200 {
        world.dynamic(slot);
    }
    world.pass(seconds(60));
    world.rule = Some(|_| Some(Failure::new(Kind::Unreachable, "refused")));
    world.tell(Input::Stop);
    let before = world.calls.len();
    world.pass(seconds(300));
    assert!(world.calls.len() - before <= 200 + 300 + 22, "{}", world.calls.len() - before);
    world.rule = None;
    world.pass(seconds(300));
    assert_eq!((world.alive().len(), world.ledger.is_settled()), (1, true));
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
fn what_lives_on_a_replaced_token_ends_with_the_login_and_not_before() {
    for is_revoked in [false, true] {
        let mut world =
            World { login: terms(60), lease: Terms { renewable: false, ..terms(600) }, ..World::default() };
        let login = world.login();
        let parent = world.ask(1, Scope::Child, Some(0), Policy::default());
        let slot = world.ask(2, world::secret("database/creds/app"), Some(1), Policy::default());
        world.pass(seconds(1));
        let first = world.served(parent).unwrap();
        // The parent is replaced, and the lease cannot follow.
        world.rule = Some(|task| match task {
            Task::Obtain(Scope::Secret(_)) => Some(Failure::new(Kind::Denied, "no more of these")),
            _ => None,
        });
        world.tell(Input::Hurry(parent));
        world.pass(seconds(200));
        assert_ne!(world.served(parent).unwrap(), first);
        assert!(world.is_alive(&world.served(slot).expect("its token and the login live")));
        if is_revoked {
            world.revoke(&world.served(login).unwrap());
            world.tell(Input::Reject(login, 1));
            world.pass(seconds(1));
            assert_eq!(world.served(slot), None);
        }
        assert!(world.faults.is_empty(), "{:?}", world.faults);
    }
}

#[test]
fn a_token_is_kept_for_what_lives_on_one_that_was_replaced_before_it() {
    let lease = Terms { renewable: false, ..terms(HOUR) };
    let mut world = World { login: terms(30 * DAY), lease, ..World::default() };
    world.login();
    let policy = || Policy { overlap: Duration::ZERO, ..Policy::default() };
    let upper = world.ask(1, Scope::Child, Some(0), policy());
    let lower = world.ask(2, Scope::Child, Some(1), policy());
    let slot = world.ask(3, world::secret("database/creds/app"), Some(2), policy());
    world.pass(seconds(1));
    let lease = world.served(slot).unwrap();
    world.rule = Some(|task| match task {
        Task::Obtain(Scope::Secret(_)) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
    world.tell(Input::Hurry(lower));
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
fn what_hangs_below_a_brought_token_is_given_back_even_if_nobody_knows_whether_that_lives() {
    let mut world = World { login: Terms { ours: false, ..terms(40) }, ..World::default() };
    let token = world.login();
    let slot = world.ask(1, Scope::Child, Some(0), Policy::default());
    world.pass(seconds(1));
    let child = world.served(slot).unwrap();
    world.fates = [Some(Fate::Lost)].into();
    world.pass(seconds(42));
    assert!(world.ended(token, End::Expired), "it could not know better");
    world.pass(seconds(10));
    assert!(!world.is_alive(&child));
}

#[test]
fn what_lives_on_a_batch_token_that_was_replaced_keeps_the_token_above_it() {
    let lease = Terms { renewable: false, ..terms(HOUR) };
    let login = Terms { max_ttl: Some(seconds(1_000)), ..terms(1_000) };
    let mut world = World { login, lease, batch: Batch::Children, ..World::default() };
    let token = world.login();
    let middle = world.ask(1, Scope::Child, Some(0), Policy::default());
    let slot = world.ask(2, world::secret("database/creds/app"), Some(1), Policy::default());
    world.pass(seconds(1));
    let (first, batch, lease) = (world.served(token), world.served(middle), world.served(slot).unwrap());
    world.rule = Some(|task| match task {
        Task::Obtain(Scope::Secret(_)) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
    world.pass(seconds(900));
    assert!(world.served(token) != first && world.served(middle) != batch, "both were replaced");
    assert!(world.served(slot) == Some(lease.clone()) && world.is_alive(&lease), "{:?}", world.faults);
    assert_eq!(world.ledger.owed().count(), 1, "the first login; a batch token cannot be revoked");
    world.pass(seconds(101));
    assert_eq!(world.served(slot), None, "it has ended with the first login");
    world.rule = None;
    world.pass(seconds(10));
    world.tell(Input::Stop);
    world.pass(seconds(5));
    assert!(world.alive().is_empty() && world.ledger.is_settled(), "{:?}", world.alive());
    assert!(world.faults.is_empty(), "{:?}", world.faults);
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
    world.rule = Some(|task| match task {
        Task::Check(_) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
    world.pass(seconds(650));
    assert!(world.count("renew") > 2, "refused again and again");
    world.rule = None;
    world.tell(Input::Reject(slot, 1));
    world.pass(seconds(10));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn what_lives_on_a_replaced_token_ends_with_a_login_of_which_nobody_knows_whether_it_lives() {
    let lease = Terms { renewable: false, ..terms(600) };
    let mut world = World { login: terms(60), lease, ..World::default() };
    let login = world.login();
    let parent = world.ask(1, Scope::Child, Some(0), Policy::default());
    let slot = world.ask(2, world::secret("database/creds/app"), Some(1), Policy::default());
    world.pass(seconds(1));
    let first = world.served(parent).unwrap();
    world.rule = Some(|task| match task {
        Task::Obtain(Scope::Secret(_)) => Some(Failure::new(Kind::Denied, "no more of these")),
        _ => None,
    });
    world.tell(Input::Hurry(parent));
    world.pass(seconds(1));
    assert_ne!(world.served(parent).unwrap(), first);
    // The renewal of the login is carried out, but its answer and all others are lost.
    world.fates = [Some(Fate::Garbled); 100].into();
    while !world.ended(login, End::Expired) {
        assert!(world.served(slot).is_some(), "its token and the login live");
        world.pass(Duration::from_millis(100));
    }
    assert_eq!((world.served(parent), world.served(slot)), (None, None));
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_lives_on_a_replaced_token_ends_with_a_login_that_was_replaced_after_it() {
    let login = Terms { renewable: false, ours: false, ..terms(60) };
    let mut world = World { login, lease: Terms { renewable: false, ..terms(600) }, ..World::default() };
    world.login();
    let parent = world.ask(1, Scope::Child, Some(0), Policy::default());
    let slot = world.ask(2, world::secret("database/creds/app"), Some(1), Policy::default());
    world.pass(seconds(1));
    world.rule = Some(|task| match task {
        Task::Obtain(Scope::Secret(_)) => Some(Failure::new(Kind::Denied, "no more of these")),
        _ => None,
    });
    world.tell(Input::Hurry(parent));
    world.pass(seconds(50));
    assert_eq!((world.count("create"), world.count("login")), (3, 2));
    assert!(world.is_alive(&world.served(slot).expect("the first login lives")));
    world.pass(seconds(9));
    assert_eq!(world.served(slot), None);
    assert!(world.faults.is_empty(), "{:?}", world.faults);
}

#[test]
fn what_was_answered_late_is_owed_until_it_has_ended_for_sure() {
    let login = Terms { renewable: false, ..terms(100) };
    let mut world = World { login, latency: seconds(20), ..World::default() };
    world.login();
    world.pass(seconds(21));
    world.rule = Some(|task| match task {
        Task::Revoke(_) => Some(Failure::new(Kind::Denied, "no right to")),
        _ => None,
    });
    world.tell(Input::Stop);
    for (span, owed) in [(98, 1), (1, 0)] {
        world.pass(seconds(span));
        assert_eq!(world.ledger.owed().count(), owed, "the server may have counted from its answer on");
    }
}

#[test]
fn what_hangs_below_a_brought_token_is_given_back_whatever_a_renewal_may_have_given_that() {
    let mut world = World { login: Terms { ours: false, ..terms(40) }, ..World::default() };
    let token = world.login();
    let slot = world.ask(1, Scope::Child, Some(0), Policy::default());
    world.pass(seconds(1));
    let child = world.served(slot).unwrap();
    world.tell(Input::Hurry(token));
    world.sleep(seconds(100));
    assert!(world.ended(token, End::Expired), "it could not know better");
    world.pass(seconds(10));
    assert!(!world.is_alive(&child));
}

#[test]
fn what_is_missing_goes_before_what_could_not_be_given_back() {
    let lease = Terms { renewable: false, ..terms(HOUR) };
    let mut world = World { lease, ..World::default() };
    let login = world.login();
    let slots: Vec<_> = (1..=60).map(|slot| world.dynamic(slot)).collect();
    world.rule = Some(|task| match task {
        Task::Revoke(_) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
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
fn a_renewal_that_is_refused_does_not_hold_up_the_replacement() {
    let mut world = World { lease: terms(60), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    world.revoke(&world.served(slot).unwrap());
    // So nobody can tell whether it is the lease that is gone, or the token.
    world.rule = Some(|task| match task {
        Task::Check(_) => Some(Failure::new(Kind::Unreachable, "no answer")),
        _ => None,
    });
    world.pass(seconds(60));
    assert!(world.count("renew") > 0 && !world.ended(slot, End::Expired));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

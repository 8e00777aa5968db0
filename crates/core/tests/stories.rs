//! The lives of credentials, told in virtual time.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::{Input, Stage};
use leasehold_core::policy::{Every, Renew};
use leasehold_core::{Failure, Kind, Policy, Retry, Scope, SlotId};
use world::{Terms, World, seconds, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn a_month_of_a_thirty_day_token_checked_every_five_minutes() {
    let mut world = World { login: terms(30 * DAY), ..World::default() };
    let policy = Policy {
        renew: Renew::Below(seconds(7_200)),
        check: Some(Every::exactly(seconds(300))),
        ..Policy::default()
    };
    let slot = world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(31 * DAY));
    assert_eq!(world.count("login"), 1);
    assert_eq!(world.count("renew"), 1, "renewed once, at two hours before its end");
    assert!(world.count("lookup") >= 31 * 288 - 20, "{}", world.count("lookup"));
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn a_renewable_token_is_renewed_between_a_half_and_three_quarters_and_never_right_after_login() {
    let mut world = World::default();
    world.login();
    world.pass(seconds(10 * HOUR));
    let renewals: Vec<_> = world.calls.iter().filter(|(_, word)| *word == "renew").collect();
    assert!((13..=20).contains(&renewals.len()), "{}", renewals.len());
    let first = renewals[0].0 - world.calls[0].0;
    assert!(first >= seconds(1_800) && first <= seconds(2_701), "{first:?}");
    assert_eq!(world.count("login"), 1);
}

#[test]
fn at_its_max_ttl_a_token_is_replaced_while_the_old_one_still_works() {
    let login = Terms { max_ttl: Some(seconds(2 * HOUR)), ..terms(HOUR) };
    let mut world = World { login, ..World::default() };
    let slot = world.login();
    world.pass(Duration::from_millis(10));
    for _ in 0..20 * HOUR {
        world.pass(seconds(1));
        assert!(world.is_alive(&world.served(slot).expect("always a token")), "at {:?}", world.now);
    }
    assert!((10..=30).contains(&world.count("login")), "{}", world.count("login"));
    assert!(!world.ended(slot, End::Expired));
    // Old tokens are given back after the overlap: two live at the most.
    assert!(world.alive().len() <= 2, "{:?}", world.alive());
}

#[test]
fn a_lease_follows_its_token_when_that_is_replaced() {
    let login = Terms { max_ttl: Some(seconds(HOUR)), ..terms(HOUR) };
    let mut world = World { login, lease: terms(10 * HOUR), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    for _ in 0..10 * HOUR {
        world.pass(seconds(1));
        assert!(world.is_alive(&world.served(slot).expect("always a lease")), "at {:?}", world.now);
    }
    assert!(world.count("read") > 5, "{}", world.count("read"));
    world.tell(Input::Stop);
    world.pass(seconds(5));
    assert!(world.alive().is_empty(), "{:?}", world.alive());
}

#[test]
fn what_was_replaced_lives_on_beside_its_successor_even_when_all_tokens_above_it_are_replaced() {
    let login = Terms { max_ttl: Some(seconds(HOUR)), ..terms(HOUR) };
    let mut world = World { login, lease: terms(600), ..World::default() };
    world.login();
    world.ask(1, Scope::Child, Some(0), Policy::default());
    let slots: Vec<_> = (2..32)
        .map(|slot| world.ask(slot, world::secret("database/creds/app"), Some(1), Policy::default()))
        .collect();
    world.pass(seconds(1));
    let mut checked = 0;
    for _ in 0..3 * HOUR {
        world.pass(seconds(1));
        for slot in &slots {
            assert!(world.is_alive(&world.served(*slot).expect("always a lease")), "at {:?}", world.now);
        }
        let due =
            |(at, _): &&(leasehold_core::Moment, String)| (20..21).contains(&(world.now - *at).as_secs());
        for (_, old) in world.replaced.iter().filter(due) {
            checked += 1;
            assert!(world.is_alive(old), "{old} was cut off");
        }
    }
    assert!(checked >= 90, "{checked}");
    world.pass(seconds(300));
    let revocations = world.count("revoke");
    assert!(revocations <= world.count("login"), "one call takes a whole tree along: {revocations}");
    world.tell(Input::Stop);
    world.pass(seconds(5));
    assert!(world.alive().is_empty(), "{:?}", world.alive());
}

#[test]
fn what_is_not_renewable_is_never_renewed() {
    let login = Terms { renewable: false, ..terms(600) };
    let mut world = World { login, ..World::default() };
    let slot = world.login();
    world.pass(seconds(HOUR));
    assert_eq!(world.count("renew"), 0);
    assert!(world.count("login") >= 8);
    assert!(world.is_alive(&world.served(slot).unwrap()));
}

#[test]
fn a_static_secret_is_read_again_and_published_only_when_it_changed() {
    let mut world = World::default();
    world.login();
    let slot = world.secret(1);
    world.pass(seconds(700));
    assert_eq!((world.count("read"), world.count("reread")), (1, 10));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Replaced { slot: SlotId(1), .. })));
    world.secret = "two".into();
    world.pass(seconds(71));
    assert_eq!(world.value(slot), Some("two"));
    assert!(world.events.contains(&Event::Replaced { slot, generation: 2 }));
}

#[test]
fn an_outage_withdraws_nothing_and_is_over_within_five_seconds() {
    let mut world = World::default();
    let token = world.login();
    let slot = world.secret(1);
    world.pass(seconds(1_790));
    world.rule = Some(|_| Some(Failure::new(Kind::Unreachable, "connection refused")));
    let before = world.calls.len();
    world.pass(seconds(600));
    assert_eq!(world.value(slot), Some("one"));
    assert!(world.served(token).is_some());
    let status = world.ledger.status_of(slot).unwrap();
    assert_eq!(
        (status.stage, status.failure.map(|failure| failure.kind())),
        (Stage::Live, Some(Kind::Unreachable))
    );
    assert!(world.calls.len() - before <= 2 * 600 + 20, "{}", world.calls.len() - before);
    world.rule = None;
    world.secret = "two".into();
    world.pass(seconds(6));
    assert_eq!(world.value(slot), Some("two"));
}

#[test]
fn a_token_that_outlives_the_outage_is_renewed_and_one_that_does_not_is_obtained_again() {
    for (outage, logins) in [(1_000, 1), (8_000, 2)] {
        let mut world = World::default();
        let slot = world.login();
        world.pass(seconds(1_700));
        world.rule = Some(|_| Some(Failure::new(Kind::Sealed, "sealed")));
        world.pass(seconds(outage));
        assert_eq!(world.ended(slot, End::Expired), logins == 2);
        world.rule = None;
        world.pass(seconds(6));
        assert!(world.is_alive(&world.served(slot).unwrap()));
        assert_eq!(world.entries.len(), logins, "no login while sealed that left a token behind");
    }
}

#[test]
fn revoked_behind_our_back_is_good_again_within_a_second_with_one_login_for_all() {
    let mut world = World::default();
    let token = world.login();
    let slots: Vec<_> = (1..=10).map(|slot| world.dynamic(slot)).collect();
    world.pass(seconds(100));
    world.revoke(&world.served(token).unwrap());
    for slot in &slots {
        world.tell(Input::Reject(*slot, 1));
    }
    world.pass(seconds(1));
    assert_eq!((world.count("lookup"), world.count("login")), (1, 2));
    for slot in slots {
        assert!(world.is_alive(&world.served(slot).expect("obtained again")));
    }
    assert!(world.ended(token, End::Revoked));
}

#[test]
fn a_lease_revoked_behind_our_back_is_replaced_and_the_token_is_not() {
    let mut world = World::default();
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(100));
    world.revoke(&world.served(slot).unwrap());
    world.pass(seconds(HOUR));
    assert!(world.is_alive(&world.served(slot).unwrap()));
    assert_eq!(world.count("login"), 1);
}

#[test]
fn a_renewal_that_is_refused_turns_into_a_replacement_with_overlap() {
    let mut world = World::default();
    let slot = world.login();
    world.rule = Some(|task| match task {
        Task::Renew(..) => Some(Failure::new(Kind::Denied, "no renew-self")),
        _ => None,
    });
    for _ in 0..10 * HOUR {
        world.pass(seconds(1));
        assert!(world.is_alive(&world.served(slot).expect("always a token")));
    }
    assert!(world.count("login") <= 15, "{}", world.count("login"));
    assert!(world.count("renew") <= world.count("login") + 1);
}

#[test]
fn a_renewal_that_is_throttled_for_longer_than_the_token_lives_turns_into_a_replacement() {
    for (ttl, asked) in
        [(8, None), (8, Some(seconds(600))), (60, Some(seconds(600))), (HOUR, Some(seconds(100)))]
    {
        let mut world = World { login: terms(ttl), ..World::default() };
        let slot = world.login();
        world.rule = Some(match asked.map(|asked| asked.as_secs()) {
            None => |task| throttled(task, None),
            Some(100) => |task| throttled(task, Some(seconds(100))),
            Some(_) => |task| throttled(task, Some(seconds(600))),
        });
        for _ in 0..6 * ttl {
            world.pass(seconds(1));
            assert!(world.is_alive(&world.served(slot).expect("always a token")), "{ttl} s, {asked:?}");
        }
        assert!(!world.ended(slot, End::Expired), "{ttl} s, {asked:?}");
        assert!(world.count("login") <= 12, "{ttl} s, {asked:?}: {}", world.count("login"));
    }
}

/// Every renewal is to be made again, at the earliest after this.
fn throttled(task: &Task, asked: Option<Duration>) -> Option<Failure> {
    let is_renewal = matches!(task, Task::Renew(..));
    is_renewal.then(|| Failure::new(Kind::Throttled, "slower").with_retry(Retry::After(asked)))
}

#[test]
fn a_denied_login_is_tried_four_times_in_a_quarter_of_an_hour_and_no_more() {
    let mut world = World {
        rule: Some(|_| Some(Failure::new(Kind::NeedsLogin, "invalid role or secret ID"))),
        ..World::default()
    };
    world.login();
    world.pass(seconds(899));
    assert!(world.calls.len() <= 4, "{:?}", world.calls);
    world.rule = None;
    world.tell(Input::Hurry(SlotId(0)));
    world.pass(seconds(1));
    assert!(world.served(SlotId(0)).is_some(), "a new secret id is tried at once");
}

#[test]
fn in_no_state_more_than_two_requests_a_second() {
    type Story = (&'static str, fn(&mut World));
    let stories: [Story; 6] = [
        ("a lease of no length", |world| world.login.ttl = Some(Duration::ZERO)),
        ("a lease of one second", |world| world.login.ttl = Some(seconds(1))),
        ("renewals refused, short lives", |world| {
            world.login = terms(3);
            world.rule = Some(|task| match task {
                Task::Renew(..) => Some(Failure::new(Kind::Denied, "x")),
                _ => None,
            });
        }),
        ("dead on arrival", |world| {
            world.rule = Some(|task| match task {
                Task::Obtain(Scope::Login) => None,
                _ => Some(Failure::new(Kind::Expired, "permission denied")),
            });
        }),
        ("everything throttled", |world| world.rule = Some(|_| Some(Failure::new(Kind::Throttled, "x")))),
        ("everything broken", |world| world.rule = Some(|_| Some(Failure::new(Kind::Broken, "x")))),
    ];
    for (what, set_up) in stories {
        let mut world = World::default();
        set_up(&mut world);
        world.login();
        for slot in 1..=5 {
            world.secret(slot);
        }
        for slot in 6..=10 {
            world.dynamic(slot);
        }
        world.pass(seconds(300));
        let (minute, all) = (world.peak(seconds(60)), world.calls.len());
        assert!(minute <= 120 + 30, "{what}: {minute} calls in one minute");
        assert!(all <= 600 + 30, "{what}: {all} calls in five minutes");
    }
}

#[test]
fn stop_gives_everything_back_with_one_call() {
    let mut world = World::default();
    world.login();
    for slot in 1..=5 {
        world.dynamic(slot);
    }
    world.ask(6, Scope::Child, Some(0), Policy::default());
    world.pass(seconds(10));
    assert_eq!(world.alive().len(), 7);
    world.tell(Input::Stop);
    world.pass(seconds(1));
    assert!(world.alive().is_empty());
    assert_eq!(world.count("revoke"), 1, "a token takes along what lives on it");
    assert!(world.ledger.is_settled());
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Settled { .. })).count(), 7);
}

#[test]
fn a_lease_in_another_namespace_does_not_end_with_its_token_and_is_revoked_before_it() {
    let mut world = World { realm: ".X8LMRm", ..World::default() };
    world.login();
    world.dynamic(1);
    world.dynamic(2);
    world.pass(seconds(10));
    world.tell(Input::Stop);
    world.pass(seconds(1));
    assert!(world.alive().is_empty(), "{:?}", world.alive());
    assert!(world.ledger.is_settled());
    assert_eq!(world.count("revoke"), 3);

    // Where that is refused, it is owed, and the token is revoked all the same.
    let mut world = World { realm: ".X8LMRm", ..World::default() };
    world.login();
    world.dynamic(1);
    world.pass(seconds(10));
    world.rule = Some(|task| match task {
        Task::Revoke(grant) if grant.token().is_none() => Some(Failure::new(Kind::Denied, "no")),
        _ => None,
    });
    world.tell(Input::Stop);
    world.pass(seconds(1));
    assert_eq!(world.alive().len(), 1);
    assert_eq!(world.ledger.owed().count(), 1);
}

#[test]
fn a_lease_that_may_not_be_revoked_by_itself_is_settled_when_its_token_is() {
    let lease = Terms { max_ttl: Some(seconds(200)), ..terms(100) };
    let mut world = World { lease, ..World::default() };
    world.login();
    world.dynamic(1);
    world.rule = Some(|task| match task {
        Task::Revoke(grant) if grant.token().is_none() => {
            Some(Failure::new(Kind::Denied, "no sys/leases/revoke"))
        }
        _ => None,
    });
    world.pass(seconds(195));
    assert_eq!(world.ledger.owed().count(), 1, "the lease that was replaced");
    world.tell(Input::Stop);
    world.pass(seconds(1));
    assert_eq!(world.ledger.owed().count(), 0);
    assert!(world.alive().is_empty());
}

#[test]
fn what_comes_after_stop_is_given_back_too() {
    let mut world = World { latency: seconds(3), ..World::default() };
    world.login();
    world.tell(Input::Stop);
    assert!(!world.ledger.is_settled(), "a login is under way");
    world.pass(seconds(10));
    assert_eq!(world.count("revoke"), 1);
    assert!(world.alive().is_empty());
    assert!(world.ledger.is_settled());
}

#[test]
fn a_lease_that_comes_after_stop_is_given_back_by_the_token_it_was_asked_with() {
    let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, ..World::default() };
    let token = world.login();
    world.pass(seconds(1));
    let token = world.served(token).unwrap();
    world.latency = seconds(3);
    world.dynamic(1);
    world.tell(Input::Stop);
    world.pass(seconds(10));
    assert_eq!(world.alive(), [token.as_str()]);
    assert_eq!((world.ledger.owed().count(), world.ledger.is_settled()), (0, true));
}

#[test]
fn a_token_that_the_caller_brought_is_not_revoked_but_what_hangs_below_it_is() {
    let mut world = World { login: Terms { ours: false, ..terms(HOUR) }, ..World::default() };
    let token = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(10));
    let (token, lease) = (world.served(token).unwrap(), world.served(slot).unwrap());
    world.tell(Input::Stop);
    world.pass(seconds(2));
    assert!(world.is_alive(&token));
    assert!(!world.is_alive(&lease));
}

#[test]
fn a_token_that_was_brought_near_its_end_is_renewed_to_its_full_length() {
    let login = Terms { ours: false, ..terms(20) };
    let mut world = World { login, usual: Some(seconds(HOUR)), ..World::default() };
    let slot = world.login();
    world.pass(seconds(HOUR));
    assert!(world.is_alive(&world.served(slot).unwrap()));
    assert!(world.count("renew") <= 3, "{}", world.count("renew"));
}

#[test]
fn a_revocation_that_is_refused_is_owed_and_said() {
    let mut world = World::default();
    let slot = world.login();
    world.pass(seconds(10));
    world.rule = Some(|_| Some(Failure::new(Kind::Denied, "no")));
    world.tell(Input::Stop);
    world.pass(seconds(2));
    assert!(world.ledger.is_settled());
    assert_eq!(world.ledger.owed().count(), 1);
    assert!(
        world.events.iter().any(|event| matches!(event, Event::Owed { slot: owed, .. } if *owed == slot))
    );
}

#[test]
fn a_revocation_during_an_outage_is_repeated_until_it_is_done() {
    let mut world = World::default();
    world.login();
    world.pass(seconds(10));
    world.rule = Some(|_| Some(Failure::new(Kind::Unreachable, "refused")));
    world.tell(Input::Stop);
    world.pass(seconds(60));
    assert!(!world.ledger.is_settled());
    world.rule = None;
    world.pass(seconds(6));
    assert!(world.ledger.is_settled() && world.alive().is_empty());
}

#[test]
fn eight_hours_asleep_no_dead_token_is_served_on_waking() {
    let mut world = World::default();
    let token = world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(10));
    let asleep = world.served(slot).unwrap();
    world.sleep(seconds(8 * HOUR));
    assert_eq!((world.served(token), world.served(slot)), (None, None), "dead tokens are withdrawn first");
    world.pass(seconds(2));
    assert!(world.is_alive(&world.served(slot).unwrap()));
    assert_ne!(world.served(slot).unwrap(), asleep);
}

#[test]
fn a_lease_ends_with_its_token_whatever_its_own_length_says() {
    let login = Terms { renewable: false, ..terms(60) };
    let mut world = World { login, lease: terms(HOUR), ..World::default() };
    world.login();
    let slot = world.dynamic(1);
    world.pass(seconds(1));
    let status = world.ledger.status_of(slot).unwrap();
    assert!(status.expiry.unwrap() - world.now <= seconds(60), "{status:?}");
    world.rule = Some(|_| Some(Failure::new(Kind::Unreachable, "refused")));
    world.pass(seconds(61));
    assert_eq!(world.served(slot), None);
}

#[test]
fn a_second_ask_joins_the_first() {
    let mut world = World::default();
    world.login();
    for _ in 0..10 {
        world.secret(1);
    }
    world.pass(seconds(1));
    assert_eq!(world.count("read"), 1);
}

#[test]
fn whoever_asks_below_a_login_that_fails_is_told_why() {
    let mut world = World { rule: Some(|_| Some(Failure::new(Kind::Sealed, "sealed"))), ..World::default() };
    world.login();
    let slot = world.secret(1);
    world.pass(seconds(1));
    let told = |event: &Event| matches!(event, Event::Failed { slot: told, failure, .. } if *told == slot && failure.kind() == Kind::Sealed);
    assert!(world.events.iter().any(told));
}

#[test]
fn a_threshold_longer_than_the_lease_is_clamped_and_said_once() {
    let mut world = World { login: terms(HOUR), ..World::default() };
    let policy = Policy { renew: Renew::Below(seconds(7_200)), ..Policy::default() };
    world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(DAY));
    let clamped = world.events.iter().filter(|event| matches!(event, Event::Clamped { .. })).count();
    assert_eq!((clamped, world.count("login")), (1, 1));
    assert!(world.count("renew") <= 60, "{}", world.count("renew"));
}

#[test]
fn a_root_token_is_never_renewed() {
    let login = Terms { ttl: None, ours: false, ..terms(0) };
    let mut world = World { login, ..World::default() };
    world.login();
    world.pass(seconds(365 * DAY));
    assert_eq!(world.calls.len(), 1);
}

#[test]
fn a_late_answer_is_given_back_and_a_lost_one_does_not_stop_the_task() {
    let mut world = World { latency: seconds(40), ..World::default() };
    let slot = world.login();
    world.pass(seconds(29));
    world.latency = Duration::from_millis(5);
    world.pass(seconds(60));
    assert!(world.is_alive(&world.served(slot).expect("the second login")));
    assert_eq!((world.count("login"), world.count("revoke")), (2, 1));
    assert_eq!(world.alive().len(), 1);
}

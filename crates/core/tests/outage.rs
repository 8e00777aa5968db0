//! Outages from a second to ten minutes, in virtual time: what is held meanwhile, how soon all is well again, and how
//! few calls that takes.

mod world;

use std::time::Duration;

use leasehold_core::errand::Task;
use leasehold_core::event::Event;
use leasehold_core::ledger::Input;
use leasehold_core::policy::Renew;
use leasehold_core::{Failure, Kind, Policy, Scope, SlotId};
use world::{Terms, World, seconds, secret, terms};

const LOGIN: SlotId = SlotId(0);
const OUTAGES: [u64; 9] = [1, 2, 3, 5, 10, 30, 60, 300, 600];
/// How soon a token is good once the server is back.
const BOUND: Duration = Duration::from_secs(5);

/// A login, a token below it that lives `parent` seconds, one static secret, and as many leases below that token.
fn world(login: u64, parent: u64, leases: u32) -> World {
    let mut world = World { login: terms(login), lease: terms(parent), ..World::default() };
    world.login();
    world.ask(1, Scope::Child, Some(0), Policy::default());
    world.pass(seconds(1));
    world.lease = terms(600);
    world.ask(2, secret("secret/db"), Some(0), Policy::default());
    for slot in 3..3 + leases {
        world.ask(slot, secret("database/creds/app"), Some(1), Policy::default());
    }
    // The burst of the beginning is over.
    world.pass(seconds(100));
    world
}

fn is_good(world: &World, slot: SlotId) -> bool {
    world.served(slot).is_some_and(|id| id.is_empty() || world.is_alive(&id))
}

fn outage(world: &mut World, length: u64, kind: Kind) {
    let rule = match kind {
        Kind::Sealed => |_: &_| Some(Failure::new(Kind::Sealed, "sealed")),
        _ => |_: &_| Some(Failure::new(Kind::Unreachable, "connection refused")),
    };
    world.rule = Some(rule);
    world.pass(seconds(length));
    world.rule = None;
}

/// How long it takes until all of these are good.
fn recovery(world: &mut World, slots: std::ops::Range<u32>) -> Duration {
    let back = world.now;
    while !slots.clone().all(|slot| is_good(world, SlotId(slot))) {
        assert!(world.now - back < seconds(300), "never good again");
        world.pass(Duration::from_millis(10));
    }
    world.now - back
}

#[test]
fn tokens_are_good_within_five_seconds_and_nothing_storms() {
    for kind in [Kind::Unreachable, Kind::Sealed] {
        for length in OUTAGES {
            // One login outlives every outage, one is due when it begins, one dies on the way.
            for login in [3_600, 120, 8] {
                let mut world = world(login, login / 2, 10);
                let before = world.calls.len();
                outage(&mut world, length, kind);
                let during = world.calls.len() - before;
                assert!(during <= 2 * length as usize + 20, "{during} calls in {length} s, {login}");
                let tokens = recovery(&mut world, 0..2);
                assert!(tokens <= BOUND, "{length} s, {login}: tokens good after {tokens:?}");
                // Where the pace is used up, leases that died follow one a second.
                let all = tokens + recovery(&mut world, 2..13);
                assert!(all <= BOUND + seconds(10), "{length} s, {login}: all good after {all:?}");
                world.pass(seconds(60));
                let peak = world.peak(seconds(10));
                assert!(peak <= 20 + 20, "{length} s, {login}: {peak} calls in ten seconds");
            }
        }
    }
}

#[test]
fn what_is_held_is_served_to_its_end_and_a_new_ask_is_told_the_true_state() {
    for (kind, length) in [(Kind::Unreachable, 30), (Kind::Sealed, 450)] {
        let mut world = world(3_600, 3_600, 3);
        let held: Vec<_> = (0..6).map(|slot| world.served(SlotId(slot))).collect();
        let rule = match kind {
            Kind::Sealed => |_: &_| Some(Failure::new(Kind::Sealed, "sealed")),
            _ => |_: &_| Some(Failure::new(Kind::Unreachable, "connection refused")),
        };
        world.rule = Some(rule);
        for moment in 0..length {
            world.pass(seconds(1));
            let now: Vec<_> = (0..6).map(|slot| world.served(SlotId(slot))).collect();
            assert_eq!(now, held, "after {moment} s");
        }
        for slot in [100, 101] {
            let from = world.events.len();
            let slot = world.secret(slot);
            world.pass(Duration::from_millis(10));
            let told = |event: &Event| matches!(event, Event::Failed { slot: told, failure, .. } if *told == slot && failure.kind() == kind);
            assert!(world.events[from..].iter().any(told), "{kind:?}");
        }
    }
}

/// Here the pace wins: docs/decisions/0017. The figures are told by `cargo test -- --nocapture`.
#[test]
fn with_a_hundred_leases_the_tokens_come_first_and_the_leases_follow_one_a_second() {
    for length in [10, 60, 600] {
        let mut world = world(60, 60, 100);
        world.pass(seconds(300));
        outage(&mut world, length, Kind::Unreachable);
        let tokens = recovery(&mut world, 0..2);
        assert!(tokens <= BOUND, "{length} s: tokens good after {tokens:?}");
        let from = world.now;
        let mut good_at = Vec::new();
        while good_at.len() < 100 {
            let good = (3..103).filter(|slot| is_good(&world, SlotId(*slot))).count();
            good_at.resize(good.max(good_at.len()), world.now - from);
            assert!(world.now - from < seconds(300), "{length} s: only {good} leases are good");
            world.pass(Duration::from_millis(100));
        }
        println!(
            "{length} s: tokens {tokens:?}, leases {:?} {:?} {:?}",
            good_at[0], good_at[49], good_at[99]
        );
    }
}

#[test]
fn a_token_goes_before_a_hundred_leases_that_wait() {
    let mut world = world(10_000, 10_000, 100);
    for slot in 3..103 {
        world.tell(Input::Hurry(SlotId(slot)));
    }
    let before = world.count("renew");
    world.tell(Input::Hurry(LOGIN));
    world.pass(seconds(2));
    let first = world.events.iter().any(|event| matches!(event, Event::Renewed { slot: LOGIN, .. }));
    assert!(first, "the login waits behind {} leases", world.count("renew") - before);
    let renewed = world.count("renew") - before;
    assert!(renewed <= 20, "{renewed} renewals in two seconds");
}

#[test]
fn a_wrong_secret_is_tried_three_times_and_again_when_it_changes_four_times_in_a_quarter_of_an_hour() {
    let mut world = World {
        rule: Some(|_| Some(Failure::new(Kind::NeedsLogin, "invalid role or secret ID"))),
        ..World::default()
    };
    world.login();
    world.pass(seconds(24 * 3_600));
    assert_eq!(world.count("login"), 3, "a day later");
    let halts = world.events.iter().filter(|event| matches!(event, Event::Halted { .. })).count();
    let status = world.ledger.status_of(LOGIN).unwrap();
    assert_eq!((halts, status.is_halted, status.due), (1, true, None), "said once");

    // The secret changes each minute, and is always wrong.
    for _ in 0..120 {
        world.tell(Input::Hurry(LOGIN));
        world.pass(seconds(60));
    }
    let peak = world.peak(seconds(900));
    assert!(peak <= 4, "{peak} refused logins in a quarter of an hour");
    assert!(world.count("login") >= 3 + 4 * 7, "{}", world.count("login"));

    world.rule = None;
    world.tell(Input::Hurry(LOGIN));
    world.pass(seconds(901));
    assert!(is_good(&world, LOGIN));
}

#[test]
fn a_token_is_renewed_while_logins_are_halted() {
    let mut world = World { login: terms(100), ..World::default() };
    world.login();
    world.pass(seconds(10));
    let refuse = |task: &_| match task {
        Task::Obtain(Scope::Login) => Some(Failure::new(Kind::NeedsLogin, "refused")),
        Task::Check(_) => Some(Failure::new(Kind::Denied, "no lookup-self")),
        _ => None,
    };
    world.rule = Some(refuse);
    for _ in 0..5 {
        world.tell(Input::Reject(LOGIN, 1));
        world.pass(seconds(100));
    }
    assert_eq!((world.count("login"), world.count("lookup")), (1, 5));
    assert!(is_good(&world, LOGIN), "a look-up that is refused is no refused login");
}

#[test]
fn a_token_of_six_seconds_is_replaced_for_an_hour_without_a_gap() {
    let login = Terms { max_ttl: Some(seconds(6)), ..terms(6) };
    let mut world = World { login, latency: Duration::from_millis(300), ..World::default() };
    let renew = Renew::Part { from: 300, to: 400 };
    let policy = Policy { renew, overlap: seconds(1), ..Policy::default() };
    world.ask(0, Scope::Login, None, policy);
    world.pass(seconds(1));
    for moment in 0..36_000 {
        world.pass(Duration::from_millis(100));
        assert!(is_good(&world, LOGIN), "a gap after {moment} tenths of a second");
    }
    assert!(world.count("login") >= 900, "{}", world.count("login"));
}

//! A token that an application keeps for months: looked up now and then, renewed by a threshold, and told of before it
//! ends.

mod world;

use std::time::Duration;

use leasehold_core::event::{End, Event};
use leasehold_core::ledger::{Input, SlotStatus};
use leasehold_core::policy::{Every, Renew};
use leasehold_core::{Kind, Lease, Policy, Scope, SlotId};
use world::{Batch, Terms, World, fixed, seconds, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
const CHECK: u64 = 300;

fn policy() -> Policy {
    Policy {
        renew: Renew::Below(seconds(2 * HOUR)),
        check: Some(Every::exactly(seconds(CHECK))),
        expiring: Some(seconds(DAY)),
        ..Policy::default()
    }
}

/// A world with such a token in slot 0.
fn managed(login: Terms, more: Lease) -> World {
    managed_in(World { usual: login.ttl, login, more, ..World::default() })
}

fn managed_in(mut world: World) -> World {
    world.ask(0, Scope::Login, None, policy());
    world.pass(seconds(1));
    world
}

fn brought(mut terms: Terms) -> Terms {
    terms.ours = false;
    terms
}

fn status(world: &World) -> SlotStatus {
    world.status(SlotId(0))
}

/// What was left whenever it was told that the end is near, in seconds.
fn warnings(world: &World) -> Vec<u64> {
    let left = world.events.iter().filter_map(|event| match event {
        Event::Expiring { left, .. } => Some(left.as_secs()),
        _ => None,
    });
    left.collect()
}

/// What happens to a token right after it is there.
type Fate = fn(&mut World);

/// There is no other token, and nothing to log in with.
fn alone(world: &mut World) {
    world.fail(&["login"], Kind::Denied);
}

/// A namespace and a period are the server's business: such tokens are as renewable ones without a longest life.
#[test]
fn every_kind_of_token_has_its_life() {
    let endless = Terms { ttl: None, ..fixed(0) };
    let capped = Terms { max_ttl: Some(seconds(12 * HOUR)), ..terms(4 * HOUR) };
    // Of one day: whether it is renewed, for how many hours it is looked up, how many logins are tried (of many, nine;
    // three that are refused are the last), and whether there is still one.
    let check = |name: &str, kind: (Terms, Batch, bool), fate: Fate, expect: (bool, usize, usize, bool)| {
        let (login, batch, is_counted) = kind;
        let more = Lease { is_counted, ..Lease::STATIC };
        let mut world = managed_in(World { usual: login.ttl, login, batch, more, ..World::default() });
        fate(&mut world);
        world.pass(seconds(DAY));
        let is_there = world.values.contains_key(&SlotId(0));
        let (renewed, looked, logins) = (world.count("renew"), world.count("lookup"), world.count("login"));
        let hours = (looked * CHECK as usize).div_ceil(HOUR as usize);
        assert_eq!((renewed > 0, hours, logins.min(9), is_there), expect, "{name}: {looked} {logins}");
        assert!(world.faults.is_empty(), "{name}: {:?}", world.faults);
    };
    let usual = |terms: Terms| (terms, Batch::None, false);
    let by_batch = |terms: Terms| (terms, Batch::All, false);
    let counted = |terms: Terms| (terms, Batch::None, true);
    let nothing: Fate = |_| {};
    let revoked: Fate = |world| world.revoke(&world.served(SlotId(0)).unwrap());
    let revoked_and_alone: Fate = |world| {
        world.revoke(&world.served(SlotId(0)).unwrap());
        alone(world);
    };
    check("root", usual(brought(endless.clone())), nothing, (false, 24, 1, true));
    check("root, revoked", usual(brought(endless)), revoked_and_alone, (false, 1, 4, false));
    check("renewable, by login", usual(terms(4 * HOUR)), nothing, (true, 24, 1, true));
    check("renewable, by login, revoked", usual(terms(4 * HOUR)), revoked, (true, 24, 2, true));
    check("renewable, brought", usual(brought(terms(4 * HOUR))), alone, (true, 24, 1, true));
    let renewable = usual(brought(terms(4 * HOUR)));
    check("renewable, brought, revoked", renewable, revoked_and_alone, (false, 1, 4, false));
    check("capped, by login", usual(capped.clone()), nothing, (true, 24, 3, true));
    check("capped, brought", usual(brought(capped)), alone, (true, 12, 4, false));
    check("not renewable, by login", usual(fixed(4 * HOUR)), nothing, (false, 24, 9, true));
    check("not renewable, brought", usual(brought(fixed(4 * HOUR))), alone, (false, 4, 4, false));
    check("batch, by login", by_batch(fixed(4 * HOUR)), nothing, (false, 24, 9, true));
    check("batch, brought", by_batch(brought(fixed(4 * HOUR))), alone, (false, 4, 4, false));
    check("counted, by login", counted(terms(4 * HOUR)), nothing, (false, 0, 9, true));
    check("counted, brought", counted(brought(terms(4 * HOUR))), alone, (false, 0, 4, false));
}

#[test]
fn what_cannot_be_kept_is_known_to_end_from_the_beginning() {
    let check = |terms: Terms, longest: Option<u64>, expect: Option<u64>| {
        let world = managed(terms, Lease { longest: longest.map(seconds), ..Lease::STATIC });
        let begun = world.calls[0].0;
        assert_eq!(status(&world).last.map(|last| (last - begun).as_secs()), expect, "{longest:?}");
    };
    check(brought(fixed(4 * HOUR)), None, Some(4 * HOUR));
    check(brought(terms(4 * HOUR)), None, None);
    check(brought(terms(4 * HOUR)), Some(MONTH), Some(MONTH));
    check(Terms { ttl: None, ..brought(fixed(0)) }, None, None);
}

#[test]
fn a_brought_token_that_reached_its_longest_life_is_known_to_end() {
    let login = Terms { max_ttl: Some(seconds(6 * HOUR)), ..brought(terms(4 * HOUR)) };
    let mut world = managed(login, Lease::STATIC);
    let begun = world.calls[0].0;
    assert_eq!(status(&world).last, None);
    world.pass(seconds(4 * HOUR + 60));
    let last = status(&world).last.expect("the renewal gave less than was asked for");
    assert!((last - begun).as_secs().abs_diff(6 * HOUR) <= 1, "{:?}", last - begun);
}

#[test]
fn the_end_is_told_at_a_day_and_then_at_each_halving() {
    let mut world = managed(brought(fixed(MONTH)), Lease::STATIC);
    // It may not even be read again.
    world.fail(&["login"], Kind::Denied);
    world.pass(seconds(MONTH));
    let told = warnings(&world);
    assert_eq!(told[..4], [DAY, 12 * HOUR, 6 * HOUR, 3 * HOUR]);
    assert_eq!((told.len(), told.last()), (17, Some(&1)));
    assert!(world.ended(SlotId(0), End::Expired));
}

#[test]
fn with_a_day_of_warning_a_month_is_told_of_and_renewed_and_a_short_life_only_where_it_is_not_renewed() {
    let mut world = managed(terms(MONTH), Lease::STATIC);
    world.pass(seconds(2 * MONTH));
    // Four times in each life: the threshold of two hours comes before an hour and a half.
    assert_eq!(warnings(&world), [DAY, 12 * HOUR, 6 * HOUR, 3 * HOUR].repeat(2));
    assert_eq!((world.count("renew"), world.count("login")), (2, 1));

    let mut world = managed(terms(4 * HOUR), Lease::STATIC);
    world.pass(seconds(DAY));
    assert_eq!(warnings(&world), []);
    world.fail(&["renew", "login"], Kind::Unreachable);
    world.pass(seconds(5 * HOUR));
    assert_eq!(warnings(&world)[..3], [HOUR, HOUR / 2, HOUR / 4]);
}

#[test]
fn a_brought_token_with_little_left_is_told_of_at_once_and_once_for_a_time_asleep() {
    let mut world = managed(brought(fixed(10 * HOUR)), Lease::STATIC);
    assert_eq!(warnings(&world), [10 * HOUR - 1], "an answer takes a few milliseconds");
    world.sleep(seconds(7 * HOUR));
    let told = warnings(&world);
    assert!(told.len() == 2 && told[1].abs_diff(3 * HOUR) <= 2, "{told:?}");
}

#[test]
fn a_token_that_was_brought_and_is_read_again_is_no_other() {
    let mut world = managed(brought(fixed(4 * HOUR)), Lease::STATIC);
    let lease = world.dynamic(1);
    world.pass(seconds(1));
    let held = world.values[&SlotId(0)].clone();
    // The same token is found where it was found before.
    world.same = Some(held);
    world.pass(seconds(3 * HOUR));
    assert!(world.count("login") > 1, "it was read again");
    assert_eq!(status(&world).generation, 1);
    let replaced = |event: &Event| matches!(event, Event::Replaced { slot: SlotId(0), .. });
    assert!(!world.events.iter().any(replaced));
    assert_eq!(world.status(lease).generation as usize, world.count("read"));
    world.pass(seconds(HOUR + 1));
    assert!(world.ended(SlotId(0), End::Expired), "and it does not live longer by it");
}

#[test]
fn a_forced_renewal_is_one_with_that_under_way_and_is_not_lost_by_a_look_up() {
    let mut world = managed(terms(MONTH), Lease::STATIC);
    for _ in 0..3 {
        world.tell(Input::Hurry(SlotId(0)));
    }
    world.pass(seconds(1));
    assert_eq!(world.count("renew"), 1, "three asks, one renewal");

    // A look-up is under way that finds another end; the renewal comes after it.
    world.tell(Input::Reject(SlotId(0), 1));
    let name = world.served(SlotId(0)).unwrap();
    let looked = world.count("lookup");
    world.entries.get_mut(&name).unwrap().ends = Some(world.now + seconds(20 * DAY));
    world.tell(Input::Hurry(SlotId(0)));
    world.pass(seconds(3));
    assert_eq!((world.count("renew"), world.count("lookup")), (2, looked.max(1)));
}

#[test]
fn what_was_revoked_behind_our_back_is_noticed_within_one_check() {
    let mut world = managed(terms(MONTH), Lease::STATIC);
    world.pass(seconds(DAY));
    world.revoke(&world.served(SlotId(0)).unwrap());
    let revoked = world.now;
    world.pass_until(seconds(1), |world| world.ended(SlotId(0), End::Revoked));
    assert!(world.now - revoked <= seconds(CHECK + 1), "{:?}", world.now - revoked);
    world.pass(seconds(2));
    assert_eq!((world.count("login"), status(&world).generation), (2, 2));
}

#[test]
fn a_denied_look_up_says_of_a_token_that_may_not_look_that_it_lives() {
    let check = |is_blind, expect: (bool, bool)| {
        let mut world = managed(brought(terms(4 * HOUR)), Lease { is_blind, ..Lease::STATIC });
        world.fail(&["lookup"], Kind::Denied);
        world.pass(seconds(HOUR));
        let has = |is_it: fn(&Event) -> bool| world.events.iter().any(is_it);
        let told =
            (has(|it| matches!(it, Event::Checked { .. })), has(|it| matches!(it, Event::Failed { .. })));
        assert_eq!(told, expect, "{is_blind}");
        assert!(world.values.contains_key(&SlotId(0)) && world.count("lookup") > 10, "{is_blind}");
    };
    check(true, (true, false));
    check(false, (false, true));
}

#[test]
fn a_renewal_refused_while_looks_go_well_stays_known_and_is_tried_once_a_minute() {
    // With a login there is a replacement at the hard instant.
    let check = |terms: Terms, kind, most: usize| {
        let mut world = managed(terms, Lease::STATIC);
        world.fail(&["renew"], kind);
        world.pass(seconds(3 * HOUR));
        let looks = world.count("lookup");
        assert!(
            looks > 30 && (1..=most).contains(&world.count("renew")),
            "{kind:?} {}",
            world.count("renew")
        );
        assert!(status(&world).failure.is_some(), "{kind:?}: no look-up makes it good");
        world.mend();
        world.tell(Input::Hurry(SlotId(0)));
        world.pass(seconds(3));
        // What is read again is renewed with the next ask.
        world.tell(Input::Hurry(SlotId(0)));
        world.pass(seconds(3));
        assert_eq!((status(&world).failure, status(&world).generation), (None, 1), "{kind:?}");
    };
    // At most once in 45 s in the second half of the life.
    check(brought(terms(4 * HOUR)), Kind::Expired, 82);
    check(terms(4 * HOUR), Kind::Expired, 82);
}

#[test]
fn an_outage_of_two_days_within_a_month_withdraws_nothing() {
    let mut world = managed(terms(MONTH), Lease::STATIC);
    world.pass(seconds(10 * DAY));
    world.fail(world::ALL, Kind::Unreachable);
    world.pass(seconds(2 * DAY));
    assert!(world.values.contains_key(&SlotId(0)) && status(&world).attempts > 1_000);
    world.mend();
    world.pass(Duration::from_secs(5));
    assert_eq!((status(&world).attempts, status(&world).generation), (0, 1));
}

#[test]
fn an_outage_beyond_the_end_of_a_month_serves_nothing_dead_and_is_over_in_seconds() {
    let mut world = managed(terms(MONTH), Lease::STATIC);
    world.pass(seconds(MONTH - DAY));
    world.fail(world::ALL, Kind::Unreachable);
    let end = status(&world).expiry.map_or(Duration::ZERO, |end| end - world.now);
    world.pass(end - seconds(1));
    assert!(world.values.contains_key(&SlotId(0)));
    world.pass(seconds(1));
    assert!(world.ended(SlotId(0), End::Expired) && world.values.is_empty());
    world.mend();
    world.pass(seconds(5));
    assert_eq!((status(&world).generation, status(&world).attempts), (2, 0));
}

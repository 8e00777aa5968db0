//! What a ledger of 100,000 live slots costs. Prints `name value unit` a line.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark tells time"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::errand::{Done, Errand, Outcome, Standing, Task};
use leasehold_core::ledger::{Ask, Input, Output};
use leasehold_core::name::{Place, Reference};
use leasehold_core::policy::Jitter;
use leasehold_core::{Fields, Grant, Holding, Lease, Ledger, Moment, Policy, Scope, Secret, SlotId};

const SLOTS: u32 = 100_000;
const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

fn main() {
    let values: Vec<_> = (0..SLOTS).map(grant).collect();
    let before = resident();
    let (mut ledger, start) = filled(values);
    let after = resident();
    println!("bytes_per_slot {} B", (after - before) / u64::from(SLOTS));
    println!(
        "tick_nothing_due {:.0} ns",
        nanoseconds(1_000_000, || {
            ledger.handle(black_box(start), Input::Tick);
            black_box(ledger.poll().is_some());
        })
    );
    println!("due_slot {:.0} ns", due_slots(&mut ledger));
}

/// A ledger in which a login holds, below it, as many leases of ten years.
fn filled(values: Vec<Grant>) -> (Ledger, Moment) {
    let mut ledger = Ledger::default();
    let now = Moment::default();
    let policy = Arc::new(Policy::default());
    let ask = |slot, scope, asker| Ask { slot, scope, asker, policy: Arc::clone(&policy), jitter: Jitter(1) };
    ledger.handle(now, Input::Ask(ask(SlotId(0), Scope::Login, None)));
    answer(&mut ledger, now, || Outcome::Granted(token()));
    let scope = reference();
    for (at, value) in values.into_iter().enumerate() {
        let slot = SlotId(1 + u32::try_from(at).expect("few"));
        ledger.handle(now, Input::Ask(ask(slot, scope.clone(), Some(SlotId(0)))));
        let mut value = Some(value);
        answer(&mut ledger, now, || Outcome::Granted(value.take().expect("asked once")));
    }
    (ledger, now)
}

/// What one due slot costs: its errand comes out, and its result goes in.
fn due_slots(ledger: &mut Ledger) -> f64 {
    let rounds = 50_000;
    let standing = Standing { ttl: Some(YEARS), renewable: true, capped: false };
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let now = ledger.deadline().expect("something is always planned");
        let started = Instant::now();
        ledger.handle(now, Input::Tick);
        while let Some(output) = ledger.poll() {
            if let Output::Do(errand) = output {
                ledger.handle(now, Input::Done(done(&errand, Outcome::Standing(standing))));
            }
        }
        spent += started.elapsed();
    }
    spent.as_nanos() as f64 / f64::from(rounds)
}

fn answer(ledger: &mut Ledger, now: Moment, mut outcome: impl FnMut() -> Outcome) {
    while let Some(output) = ledger.poll() {
        if let Output::Do(errand) = output {
            assert!(matches!(errand.task, Task::Obtain(_)), "only asks are answered here");
            ledger.handle(now, Input::Done(done(&errand, outcome())));
        }
    }
}

fn done(errand: &Errand, outcome: Outcome) -> Done {
    let jitter =
        Jitter(u32::try_from(errand.id.0 % 0xFFFF_FFFF).expect("in range").wrapping_mul(0x9E37_79B9));
    Done {
        errand: errand.id,
        slot: errand.slot,
        result: Ok(outcome),
        round_trip: Duration::from_millis(3),
        jitter,
    }
}

fn token() -> Grant {
    let holding = Holding::Token { accessor: Some("login".into()) };
    let lease = Lease { holding, ttl: None, renewable: false, ours: true, ..Lease::STATIC };
    let fields = Fields::from_iter([(Grant::TOKEN, Secret::new("s.login"))]);
    Grant { fields, lease, version: None, refresh_in: None }
}

fn grant(at: u32) -> Grant {
    let holding = Holding::Lease { id: format!("database/creds/app/{at:024}").into() };
    let lease = Lease { holding, ttl: Some(YEARS), renewable: true, ours: true, ..Lease::STATIC };
    let fields = [("username", format!("v-approle-app-{at}")), ("password", format!("{at:020}"))];
    let fields = fields.into_iter().map(|(name, value)| (name, Secret::new(value))).collect::<Fields>();
    Grant { fields, lease, version: None, refresh_in: None }
}

fn reference() -> Scope {
    let reference = Reference::parse("vault://database/creds/app").expect("a reference");
    match reference.place() {
        Place::Vault(vault) => Scope::Secret(vault.clone()),
        Place::Env(_) | Place::File(_) | Place::Stored(..) => unreachable!("a vault reference"),
    }
}

fn nanoseconds(rounds: u32, mut work: impl FnMut()) -> f64 {
    let started = Instant::now();
    (0..rounds).for_each(|_| work());
    started.elapsed().as_nanos() as f64 / f64::from(rounds)
}

/// The resident memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4_096
}

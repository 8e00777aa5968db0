//! Random lives of a ledger, and a judge who holds the laws against them: whatever callers, server, network and clock do.
#![allow(dead_code, reason = "a test harness of which each test uses a part")]

use std::time::Duration;

use leasehold_core::ledger::Input;
use leasehold_core::policy::Every;
use leasehold_core::{Course, Holding, Kind, Policy, Scope, SlotId};
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{self, ALL, Batch, Fate, Terms, World, seconds};

/// What the pace lets pass at once: both bursts, and one each that is due in that moment.
const BURST: usize = 16 + 4 + 2;
/// One call of each slot may pass in the moment after its turn, since a turn is good for two seconds.
const SLACK: usize = 2 * 2;

/// A slot of the tree that every life is told of: 0 is a login, 1 a token below it.
const SLOTS: u32 = 7;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Ask(u32),
    Pass(Duration),
    /// The clock is suspended; on waking the answers of meanwhile are heard before or after the clock is looked at.
    Sleep(Duration, bool),
    Hurry(u32),
    Release(u32),
    /// Somebody revokes it behind our back, and its user is refused.
    Revoke(u32),
    /// Its user is refused, and it was not revoked.
    Reject(u32),
    Break(&'static [&'static str], Kind),
    Mend,
    Fate(Vec<Option<Fate>>),
    Login(Terms),
    Lease(Terms),
    Realm(&'static str),
    Secret(String, Option<Duration>),
    Latency(Duration),
}

/// How one life begins.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    login: Terms,
    lease: Terms,
    overlap: u64,
    check: Option<u64>,
    increment: Option<u64>,
    batch: Batch,
    jitter: u32,
}

fn span(most: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        3 => (0..2_000u64).prop_map(Duration::from_millis),
        3 => (0..60u64).prop_map(seconds),
        2 => (0..most).prop_map(seconds),
    ]
}

fn terms(ours: bool) -> impl Strategy<Value = Terms> {
    let ttl = prop_oneof![1 => 5..60u64, 9 => 60..900u64, 2 => 100_000..1_000_000u64];
    let max = prop_oneof![2 => Just(None), 2 => (1..6u64).prop_map(Some)];
    (ttl, max, prop::bool::weighted(0.8)).prop_map(move |(ttl, max, renewable)| Terms {
        ttl: Some(seconds(ttl)),
        max_ttl: max.map(|times| seconds(ttl * times)),
        renewable,
        ours,
    })
}

fn fate() -> impl Strategy<Value = Option<Fate>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fate::Lost)),
        1 => Just(Some(Fate::Garbled)),
        1 => Just(Some(Fate::Crossed)),
        1 => span(100).prop_map(|span| Some(Fate::Late(span))),
        1 => span(100).prop_map(|span| Some(Fate::Doubled(span))),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let slot = || 0..SLOTS;
    let words =
        || select(vec![ALL, ALL, ALL, &["renew"], &["revoke"], &["lookup"], &["login", "create", "read"]]);
    let honest: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.course() != Course::Dead).collect();
    let broken = prop_oneof![
        4 => words().prop_map(|words| (words, Kind::Unreachable)),
        1 => (words(), select(honest)),
        // What is dead is told by a look-up alone: other calls may say so wrongly.
        1 => select(vec![&["renew"] as &[_], &["create", "read", "reread"]]).prop_map(|words| (words, Kind::Expired)),
    ];
    prop_oneof![
        6 => slot().prop_map(Step::Ask),
        8 => span(600).prop_map(Step::Pass),
        2 => (span(5_000), any::<bool>()).prop_map(|(span, is_heard)| Step::Sleep(span, is_heard)),
        2 => slot().prop_map(Step::Hurry),
        1 => slot().prop_map(Step::Release),
        2 => slot().prop_map(Step::Revoke),
        1 => slot().prop_map(Step::Reject),
        2 => broken.prop_map(|(words, kind)| Step::Break(words, kind)),
        2 => Just(Step::Mend),
        2 => prop::collection::vec(fate(), 1..4).prop_map(Step::Fate),
        1 => terms(true).prop_map(Step::Login),
        1 => terms(true).prop_map(Step::Lease),
        1 => select(vec!["", ".X8LMRm"]).prop_map(Step::Realm),
        1 => ("[a-z]", prop::option::of((0..100u64).prop_map(seconds))).prop_map(|(a, b)| Step::Secret(a, b)),
        1 => (0..4_000u64).prop_map(|span| Step::Latency(Duration::from_millis(span))),
    ]
}

pub(crate) fn start() -> impl Strategy<Value = Start> {
    (
        prop::bool::weighted(0.8).prop_flat_map(terms),
        terms(true),
        select(vec![0, 5, 30]),
        prop::option::weighted(0.3, 10..400u64),
        prop::option::weighted(0.2, 1..900u64),
        prop_oneof![7 => Just(Batch::None), 2 => Just(Batch::Children), 1 => Just(Batch::All)],
        any::<u32>(),
    )
        .prop_map(|(login, lease, overlap, check, increment, batch, jitter)| Start {
            login,
            lease,
            overlap,
            check,
            increment,
            batch,
            jitter,
        })
}

/// A world, and what a judge has to know of it.
pub(crate) struct Life {
    pub(crate) world: World,
    policy: Policy,
    ours: bool,
    /// The slots that were asked for, in this life's numbers, which are never used twice.
    wanted: [Option<SlotId>; SLOTS as usize],
    numbers: u32,
    /// How many calls callers may have caused.
    asks: usize,
    /// How many identities there were, each with a pace of its own: what was owed by one that was released may be given
    /// back while the next one lives.
    identities: usize,
    /// The worst that was broken since all was well.
    worst: Option<Course>,
    /// Something lives so shortly that all together need more than one call a second: then the pace wins.
    is_hasty: bool,
}

impl Life {
    pub(crate) fn new(start: Start) -> Self {
        let world = World {
            login: start.login.clone(),
            lease: start.lease,
            usual: usual(&start.login),
            jitter: start.jitter,
            batch: start.batch,
            ..World::default()
        };
        let policy = Policy {
            overlap: seconds(start.overlap),
            check: start.check.map(|span| Every::exactly(seconds(span))),
            increment: start.increment.map(seconds),
            ..Policy::default()
        };
        let ours = start.login.ours;
        let is_brief = start.increment.is_some_and(|span| span < 60);
        let is_hasty = is_short(&world.login) || is_short(&world.lease) || is_brief;
        Self {
            world,
            policy,
            ours,
            wanted: [None; SLOTS as usize],
            numbers: 0,
            asks: 0,
            identities: 1,
            worst: None,
            is_hasty,
        }
    }

    /// Asks for a slot, and for what it is asked for with. They form a tree: 0 is a login, 1 and 2 tokens below it,
    /// then leases and a static secret below either.
    fn ask(&mut self, at: u32) -> SlotId {
        if let Some(slot) = self.wanted[at as usize] {
            return slot;
        }
        let (asker, scope) = match at {
            0 => (None, Scope::Login),
            1 => (Some(0), Scope::Child),
            2 => (Some(1), Scope::Child),
            3 => (Some(0), world::secret("database/creds/app")),
            4 => (Some(1), world::secret("database/creds/app")),
            5 => (Some(2), world::secret("database/creds/app")),
            _ => (Some(1), world::secret("secret/db")),
        };
        let asker = asker.map(|asker| self.ask(asker).0);
        self.asks += 1;
        self.numbers += 1;
        let slot = self.world.ask(self.numbers, scope, asker, self.policy.clone());
        self.wanted[at as usize] = Some(slot);
        slot
    }

    fn release(&mut self, at: u32) {
        let Some(slot) = self.wanted[at as usize] else { return };
        let below: &[usize] = match at {
            0 => &[0, 1, 2, 3, 4, 5, 6],
            1 => &[1, 2, 4, 5, 6],
            2 => &[2, 5],
            _ => &[at as usize],
        };
        below.iter().for_each(|at| self.wanted[*at] = None);
        self.asks += below.len();
        self.identities += usize::from(at == 0);
        self.world.tell(Input::Release(slot));
    }

    fn reject(&mut self, slot: SlotId) {
        if let Some(status) = self.world.ledger.status_of(slot) {
            self.asks += 2;
            self.world.tell(Input::Reject(slot, status.generation));
        }
    }

    pub(crate) fn take(&mut self, step: Step) {
        let wanted = |life: &Self, at: u32| life.wanted[at as usize];
        match step {
            Step::Ask(at) => drop(self.ask(at)),
            Step::Pass(span) => self.world.pass(span),
            Step::Sleep(span, true) => self.world.sleep_before_tick(span),
            Step::Sleep(span, false) => self.world.sleep(span),
            Step::Release(at) => self.release(at),
            Step::Hurry(at) => {
                if let Some(slot) = wanted(self, at) {
                    self.asks += 1;
                    self.world.tell(Input::Hurry(slot));
                }
            }
            Step::Revoke(at) => {
                if let Some((slot, id)) = wanted(self, at).and_then(|it| Some((it, self.world.served(it)?))) {
                    self.world.revoke(&id);
                    self.reject(slot);
                }
            }
            Step::Reject(at) => {
                if let Some(slot) = wanted(self, at) {
                    self.reject(slot);
                }
            }
            Step::Break(words, kind) => {
                self.world.fail(words, kind);
                let rank = |course| course != Course::Transient;
                if self.worst.is_none_or(|worst| !rank(worst)) {
                    self.worst = Some(kind.course());
                }
            }
            Step::Mend => self.mend(),
            Step::Fate(fates) => self.world.fates = fates.into(),
            Step::Login(terms) => {
                self.is_hasty |= is_short(&terms);
                self.world.usual = usual(&terms).max(self.world.usual);
                self.world.login = Terms { ours: self.ours, ..terms };
            }
            Step::Lease(terms) => {
                self.is_hasty |= is_short(&terms);
                self.world.lease = terms;
            }
            Step::Realm(realm) => self.world.realm = realm,
            Step::Secret(value, refresh_in) => {
                self.world.secret = value;
                self.world.refresh_in = refresh_in;
            }
            Step::Latency(span) => self.world.latency = span,
        }
    }

    /// Ends what was broken. Whatever is wanted is good again within ten seconds; within a quarter of an hour where
    /// logins may have been refused.
    fn mend(&mut self) {
        self.world.mend();
        if self.world.fates.iter().any(Option::is_some) || !self.world.under_way.is_empty() {
            self.world.fates.clear();
            // What went astray is given up after its time.
            self.world.pass(seconds(31));
        }
        let worst = self.worst.take();
        for slot in self.wanted.into_iter().flatten() {
            if self.world.served(slot).is_some_and(|id| !id.is_empty() && !self.world.is_alive(&id)) {
                self.reject(slot);
            }
        }
        let is_long = worst.is_some_and(|worst| worst != Course::Transient);
        self.world.latency = Duration::from_millis(5);
        if let Some(login) = self.wanted[0].filter(|_| is_long) {
            // Whoever mended the login says so: what was refused too often is tried no more by itself.
            self.asks += 1;
            self.world.tell(Input::Hurry(login));
        }
        self.world.pass(seconds(if is_long { 902 } else { 10 }));
        for (at, slot) in self.wanted.into_iter().enumerate() {
            let Some(slot) = slot else { continue };
            let served = self.world.served(slot);
            let is_good = served.as_ref().is_some_and(|id| id.is_empty() || self.world.is_alive(id));
            if !is_good && !self.is_hasty {
                self.world.broken(&format!("{at} has no good value after {worst:?}: {served:?}"));
            }
        }
    }

    /// What holds after every step.
    pub(crate) fn judge(&mut self) {
        let served: Vec<_> = self.world.values.values().map(|grant| world::name(grant)).collect();
        for id in served {
            if self.world.is_over(&id) {
                self.world.broken(&format!("{id} is served past its end"));
            }
        }
        let is_wanted = |slot: &SlotId| !self.world.values.contains_key(slot);
        let is_pending = self.wanted.iter().flatten().any(is_wanted)
            || !self.world.under_way.is_empty() && !self.world.ledger.is_settled()
            || self.world.ledger.owed().any(|(_, _, refusal)| refusal.is_none());
        // What waits for a login that was refused too often was told so, and waits for nothing.
        let is_halted = self.world.ledger.status().any(|status| status.is_halted);
        if is_pending && !is_halted && self.world.ledger.deadline().is_none() {
            self.world.broken("something is pending and nothing is planned");
        }
        if self.world.ledger.deadline().is_some_and(|at| at <= self.world.now) {
            self.world.broken("something that was due is not done");
        }
    }

    /// In any span: two calls a second, after the burst, beside what callers asked for.
    fn judge_pace(&mut self) {
        for span in [10, 60, 600] {
            let most = (2 * span as usize + BURST) * self.identities + SLACK + self.asks;
            let peak = self.world.peak(seconds(span));
            if peak > most {
                self.world.broken(&format!("{peak} calls in {span} s"));
            }
        }
    }

    /// Gives everything back, and looks what is left.
    pub(crate) fn end(&mut self) {
        self.judge_pace();
        self.world.mend();
        self.world.fates.clear();
        self.wanted = [None; SLOTS as usize];
        self.world.tell(Input::Stop);
        self.judge();
        // What was tried before is given back at the usual pace: one a second.
        let backlog = self.world.ledger.owed().count() as u64;
        self.world.pass(seconds(300 + backlog));
        self.judge();
        let owed: Vec<_> = self.world.ledger.owed().filter_map(|(_, holding, _)| label(holding)).collect();
        let left = self.world.alive().into_iter().filter(|id| self.world.entries[*id].is_owed);
        let lost: Vec<_> = left.filter(|id| !owed.iter().any(|owed| owed == id)).map(String::from).collect();
        if !lost.is_empty() {
            self.world.broken(&format!("left behind: {lost:?}"));
        }
        if !self.world.ledger.is_settled() || !self.world.values.is_empty() {
            self.world.broken("not settled");
        }
    }
}

fn is_short(terms: &Terms) -> bool {
    terms.ttl.is_some_and(|ttl| ttl < seconds(60))
}

/// What a renewal gives that asks for nothing: never less than what was brought. What shortens a life in silence, while
/// nobody hears of it, cannot be known.
fn usual(terms: &Terms) -> Option<Duration> {
    terms.ttl.max(Some(seconds(3_600)))
}

fn label(holding: &Holding) -> Option<String> {
    match holding {
        Holding::Token { accessor } => accessor.as_deref().map(Into::into),
        Holding::Lease { id } => Some((**id).into()),
        Holding::Nothing => None,
    }
}

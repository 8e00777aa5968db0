//! The ledger under a model checker: every order of asks, answers, faults, steps of the clock and stops, up to a bound.
//!
//! A state is a whole ledger with a server, a network and a clock around it. From each state the checker takes every
//! step that the budget allows, and after each it holds the laws. The budget counts what is out of the ordinary: faults
//! of the network and the server, acts of the callers, and steps of the clock; what is in order costs nothing.

mod fingerprint;
mod server;
mod state;

use std::sync::Arc;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::errand::{Errand, Task};
use crate::failure::Kind;
use crate::ledger::{Input, Ledger};
use crate::name::{Place, Reference};
use crate::policy::Policy;
use crate::scope::{Scope, SlotId};
use crate::seeded::Seeded;
use server::{Customs, Terms};
use state::{LAWS, Letter, Stage, State, failure, law};

/// What is still allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    /// Faults of the network and the server, and sleeps.
    faults: u8,
    /// What callers do, asks and the stop apart, and what is revoked behind our back.
    acts: u8,
    /// Steps of the clock to what is due next.
    ticks: u8,
}

/// One world to explore.
#[derive(Clone, Debug)]
struct Plan {
    customs: Customs,
    /// The slots from 0 on, each with the slot that it is asked for with.
    slots: Vec<(Scope, Option<u32>)>,
    policy: Arc<Policy>,
    budget: Budget,
    /// The burst of the pace is used up.
    is_winded: bool,
}

#[derive(Clone, Debug)]
struct Worlds {
    plans: Vec<Plan>,
    seeded: Option<Seeded>,
}

/// A state of one of the worlds.
#[derive(Clone, Debug, Hash, PartialEq)]
struct Point {
    plan: usize,
    left: Budget,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ask(u32),
    Hurry(u32),
    Reject(u32),
    /// Somebody revokes what is served, behind our back.
    Revoke(u32),
    Release(u32),
    Stop,
    /// It is carried out and heard in the same moment.
    Answer(usize),
    /// It is carried out later, or never.
    Delay(usize),
    /// It is carried out; the answer comes later, or never.
    Part(usize),
    /// It is carried out, and a failure comes instead of the answer.
    Garble(usize),
    /// It is carried out, and heard now and once more.
    Double(usize),
    /// It is not carried out.
    Fail(usize, Kind),
    /// The answer that was on its way is heard.
    Hear(usize),
    Tick,
    /// The clock leaps past every end, and nobody has looked at it yet.
    Sleep,
}

impl Model for Worlds {
    type State = Point;
    type Action = Action;

    fn init_states(&self) -> Vec<Point> {
        self.plans.iter().enumerate().map(|(at, plan)| self.beginning(at, plan)).collect()
    }

    fn actions(&self, point: &Point, actions: &mut Vec<Action>) {
        if point.state.broken.is_some() {
            return;
        }
        let plan = &self.plans[point.plan];
        asks(plan, point, actions);
        acts(point, actions);
        for (at, letter) in point.state.network.iter().enumerate() {
            answers(point, at, letter, actions);
        }
        clock(point, actions);
    }

    fn next_state(&self, point: &Point, action: Action) -> Option<Point> {
        let mut point = point.clone();
        let plan = &self.plans[point.plan];
        point.pay(action);
        point.take(plan, action);
        if point.state.is_stopped && point.is_quiet() && !point.state.see_all_given_back(&plan.customs) {
            point.state.blame(law::ALL_GIVEN_BACK);
        }
        Some(point)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LAWS[0], holds::<0>),
            Property::always(LAWS[1], holds::<1>),
            Property::always(LAWS[2], holds::<2>),
            Property::always(LAWS[3], holds::<3>),
            Property::always(LAWS[4], holds::<4>),
            Property::always(LAWS[5], holds::<5>),
            Property::always(LAWS[6], holds::<6>),
            Property::always(LAWS[7], holds::<7>),
        ]
    }
}

fn holds<const LAW: usize>(_: &Worlds, point: &Point) -> bool {
    point.state.broken != Some(LAWS[LAW])
}

fn asks(plan: &Plan, point: &Point, actions: &mut Vec<Action>) {
    let asked = &point.state.asked;
    for (at, (_, asker)) in (0..).zip(&plan.slots) {
        if !asked.contains(&at) && asker.is_none_or(|asker| asked.contains(&asker)) {
            actions.push(Action::Ask(at));
        }
    }
    if !asked.is_empty() && !point.state.is_stopped {
        actions.push(Action::Stop);
    }
}

fn acts(point: &Point, actions: &mut Vec<Action>) {
    if point.left.acts == 0 || point.state.is_stopped {
        return;
    }
    for &at in &point.state.asked {
        actions.extend([Action::Hurry(at), Action::Release(at)]);
        if let Some(served) = point.state.served.get(&SlotId(at)) {
            actions.push(Action::Reject(at));
            if point.state.server.is_alive(*served, point.state.now) {
                actions.push(Action::Revoke(at));
            }
        }
    }
}

fn answers(point: &Point, at: usize, letter: &Letter, actions: &mut Vec<Action>) {
    let is_young = point.state.now - letter.sent < Errand::PATIENCE;
    match letter.stage {
        Stage::Answered(_) | Stage::Copied(_) => actions.push(Action::Hear(at)),
        Stage::Delayed if is_young => actions.push(Action::Answer(at)),
        Stage::Delayed => {}
        Stage::Prompt => {
            actions.push(Action::Answer(at));
            if point.left.faults > 0 {
                actions.extend([Action::Delay(at), Action::Part(at), Action::Garble(at), Action::Double(at)]);
                actions.extend(failures(&letter.errand).iter().map(|kind| Action::Fail(at, *kind)));
            }
        }
    }
}

/// How an errand can fail, one kind for each course. What is dead is told by a look-up alone: other calls may say so
/// wrongly.
fn failures(errand: &Errand) -> &'static [Kind] {
    match errand.task {
        Task::Obtain(Scope::Login) => &[Kind::Unreachable, Kind::NeedsLogin],
        Task::Obtain(_) | Task::Renew(..) => &[Kind::Unreachable, Kind::Denied, Kind::Invalid, Kind::Expired],
        Task::Refresh(_) | Task::Check(_) | Task::Revoke(_) => &[Kind::Unreachable, Kind::Denied],
    }
}

fn clock(point: &Point, actions: &mut Vec<Action>) {
    let deadline = point.state.ledger.deadline();
    let is_late = deadline.is_some_and(|at| at <= point.state.now);
    if is_late || deadline.is_some() && point.is_quiet() && point.left.ticks > 0 {
        actions.push(Action::Tick);
    }
    if point.left.faults > 0 && !is_late && !point.state.served.is_empty() {
        actions.push(Action::Sleep);
    }
}

impl Point {
    /// Whether nothing is on its way that comes at once.
    fn is_quiet(&self) -> bool {
        !self.state.network.iter().any(|letter| matches!(letter.stage, Stage::Prompt))
    }

    fn pay(&mut self, action: Action) {
        let Budget { faults, acts, ticks } = &mut self.left;
        let purse = match action {
            Action::Hurry(_) | Action::Reject(_) | Action::Revoke(_) | Action::Release(_) => acts,
            Action::Delay(_) | Action::Part(_) | Action::Garble(_) | Action::Double(_) => faults,
            Action::Fail(..) | Action::Sleep => faults,
            Action::Tick => ticks,
            Action::Ask(_) | Action::Stop | Action::Answer(_) | Action::Hear(_) => return,
        };
        *purse = purse.saturating_sub(1);
    }

    fn take(&mut self, plan: &Plan, action: Action) {
        let state = &mut self.state;
        match action {
            Action::Ask(at) => {
                let (scope, asker) = plan.slots[at as usize].clone();
                state.ask(at, scope, asker, &plan.policy);
            }
            Action::Hurry(at) => state.tell(Input::Hurry(SlotId(at))),
            Action::Reject(at) => {
                let generation = state.ledger.status_of(SlotId(at)).map_or(0, |status| status.generation);
                state.tell(Input::Reject(SlotId(at), generation));
            }
            Action::Revoke(at) => {
                if let Some(served) = state.served.get(&SlotId(at)) {
                    state.server.revoke(*served);
                }
            }
            Action::Release(at) => state.tell(Input::Release(SlotId(at))),
            Action::Stop => state.tell(Input::Stop),
            Action::Tick => state.tick(),
            Action::Sleep => sleep(plan, state),
            Action::Answer(at)
            | Action::Delay(at)
            | Action::Part(at)
            | Action::Garble(at)
            | Action::Double(at)
            | Action::Fail(at, _)
            | Action::Hear(at) => deliver(plan, state, at, action),
        }
    }
}

/// What becomes of a letter.
fn deliver(plan: &Plan, state: &mut State, at: usize, action: Action) {
    let mut letter = state.network.remove(at);
    let errand = letter.errand.clone();
    let answer = |state: &mut State| state.carry_out(&plan.customs, &errand);
    match action {
        Action::Answer(_) => {
            let result = answer(state);
            state.hear(&letter, result);
        }
        Action::Delay(_) => {
            letter.stage = Stage::Delayed;
            state.network.push(letter);
        }
        Action::Part(_) => {
            letter.stage = Stage::Answered(answer(state));
            state.network.push(letter);
        }
        Action::Garble(_) => {
            drop(answer(state));
            state.hear(&letter, Err(failure(Kind::Unreachable)));
        }
        Action::Double(_) => {
            let result = answer(state);
            state.network.push(Letter { stage: Stage::Copied(result.clone()), ..letter.clone() });
            state.hear(&letter, result);
        }
        Action::Fail(_, kind) => state.hear(&letter, Err(crate::Failure::new(kind, "fault"))),
        _ => {
            if let Stage::Answered(result) | Stage::Copied(result) = letter.stage.clone() {
                state.hear(&letter, result);
            }
        }
    }
}

/// What is on its way to the server is carried out meanwhile.
fn sleep(plan: &Plan, state: &mut State) {
    for at in 0..state.network.len() {
        if matches!(state.network[at].stage, Stage::Prompt) {
            let errand = state.network[at].errand.clone();
            state.network[at].stage = Stage::Answered(state.carry_out(&plan.customs, &errand));
        }
    }
    let longest = plan.customs.login.ttl.max(plan.customs.below.ttl);
    state.now = state.now + longest + Duration::from_secs(10);
}

impl Worlds {
    fn beginning(&self, at: usize, plan: &Plan) -> Point {
        let mut ledger = Ledger::default();
        ledger.seeded = self.seeded;
        let mut point = Point { plan: at, left: plan.budget, state: State::new(ledger) };
        if plan.is_winded {
            point.take(plan, Action::Ask(0));
            point.take(plan, Action::Answer(0));
            for _ in 0..16 {
                point.take(plan, Action::Hurry(0));
                if !point.is_quiet() {
                    point.take(plan, Action::Answer(0));
                }
            }
        }
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults, acts and steps of the clock.
    type Bounds = [u8; 3];

    fn terms(ttl: u64, renewable: bool) -> Terms {
        Terms { ttl: Duration::from_secs(ttl), renewable }
    }

    fn lease() -> Scope {
        match Reference::parse("vault://database/creds/app").map(|reference| reference.place().clone()) {
            Ok(Place::Vault(reference)) => Scope::Secret(reference),
            other => unreachable!("{other:?}"),
        }
    }

    /// A login, and a lease that claims to live longer than that.
    fn pair([faults, acts, ticks]: Bounds) -> Plan {
        let customs = Customs { login: terms(100, true), below: terms(160, true), ..Customs::default() };
        Plan {
            customs,
            slots: vec![(Scope::Login, None), (lease(), Some(0))],
            policy: Arc::new(Policy { overlap: Duration::from_secs(20), ..Policy::default() }),
            budget: Budget { faults, acts, ticks },
            is_winded: false,
        }
    }

    /// The same, with a token between the two.
    fn chain(bounds: Bounds) -> Plan {
        let slots = vec![(Scope::Login, None), (Scope::Child, Some(0)), (lease(), Some(1))];
        Plan { slots, ..pair(bounds) }
    }

    fn foreign(bounds: Bounds) -> Plan {
        let plan = pair(bounds);
        Plan { customs: Customs { is_foreign: true, ..plan.customs }, ..plan }
    }

    fn brought(bounds: Bounds) -> Plan {
        let plan = pair(bounds);
        Plan { customs: Customs { is_brought: true, ..plan.customs }, ..plan }
    }

    fn batch(bounds: Bounds) -> Plan {
        let plan = chain(bounds);
        let customs = Customs { is_batch: true, login: terms(100, false), ..plan.customs };
        Plan { customs, ..plan }
    }

    /// Nothing can be renewed.
    fn fixed(bounds: Bounds) -> Plan {
        let plan = pair(bounds);
        let customs = Customs { login: terms(100, false), below: terms(160, false), ..plan.customs };
        Plan { customs, ..plan }
    }

    fn winded(bounds: Bounds) -> Plan {
        Plan { is_winded: true, ..pair(bounds) }
    }

    fn checker(plans: Vec<Plan>, seeded: Option<Seeded>, threads: usize) -> impl Checker<Worlds> {
        let checker = Worlds { plans, seeded }.checker().threads(threads);
        checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
    }

    fn check(key: &str, plans: Vec<Plan>) {
        let (worlds, mut states, mut depth) = (plans.len(), 0, 0);
        for plan in plans {
            let told = format!("{:?} of {:?}", plan.budget, plan.customs);
            let checker = checker(vec![plan], None, 2);
            let broken = checker.discoveries().into_iter().map(|(law, path)| (law, path.into_actions()));
            assert_eq!(broken.collect::<Vec<_>>(), [], "{told}");
            (states, depth) = (states + checker.unique_state_count(), depth.max(checker.max_depth()));
        }
        let told = format!("{states} states of {worlds} plans, up to {depth} steps deep: no law is broken");
        eprintln!("model: {told}");
        leasehold_testkit::record(key, &told);
    }

    #[test]
    fn no_order_of_events_breaks_a_law() {
        check(
            "model",
            vec![
                pair([1, 1, 1]),
                pair([1, 0, 4]),
                pair([2, 0, 1]),
                chain([1, 0, 2]),
                chain([0, 1, 1]),
                foreign([1, 1, 0]),
                foreign([1, 0, 2]),
                brought([1, 0, 2]),
                batch([1, 0, 1]),
                fixed([1, 0, 3]),
                winded([0, 4, 0]),
            ],
        );
    }

    #[test]
    fn long_no_order_of_more_events_breaks_a_law() {
        check(
            "model-long",
            vec![
                pair([1, 1, 2]),
                pair([2, 0, 2]),
                chain([1, 0, 3]),
                foreign([1, 1, 1]),
                brought([2, 0, 1]),
                batch([1, 0, 2]),
                fixed([2, 0, 3]),
                winded([0, 5, 1]),
            ],
        );
    }

    #[test]
    fn each_seeded_mistake_is_found_and_no_other_law_is_blamed() {
        let check = |mistake: Seeded, plan: Plan, law: &str| {
            let found = checker(vec![plan], Some(mistake), 1).discoveries();
            assert_eq!(found.keys().collect::<Vec<_>>(), [&law], "{mistake:?}");
        };
        check(Seeded::LiveOn, fixed([1, 0, 3]), law::SERVED_IN_TIME);
        check(Seeded::FailureEnds, pair([1, 0, 1]), law::WITHDRAWN_AT_ITS_END);
        check(Seeded::CutOff, fixed([1, 0, 4]), law::REVOKED_UNUSED);
        check(Seeded::HurryTwice, pair([0, 2, 0]), law::ONE_ERRAND);
        check(Seeded::ForgetLate, pair([1, 0, 1]), law::NOTHING_FORGOTTEN);
        check(Seeded::TryOnce, pair([1, 0, 1]), law::ALL_GIVEN_BACK);
        check(Seeded::NoDeadline, pair([0, 0, 0]), law::DEADLINE);
        check(Seeded::NoPace, winded([0, 5, 0]), law::PACE);
    }
}

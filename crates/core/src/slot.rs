//! One credential's life: what is held, what is under way, what went wrong, and what comes next.
//!
//! A slot knows nothing of other slots. What it needs to know of the token it is asked for with is handed in as
//! its [`Ground`].

mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::errand::{Errand, ErrandId, Standing};
use crate::failure::{Course, Failure, Retry};
use crate::grant::{Grant, Holding};
use crate::lockout::Lockout;
use crate::moment::Moment;
use crate::pace::{Purpose, Turn};
use crate::policy::{Jitter, Policy};
use crate::schedule::{self, FLOOR, Instants};
use crate::scope::{Scope, SlotId};

pub(crate) use trouble::Trouble;

/// A life shorter than this counts as a failure: what dies at once is not obtained again at once.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// How much less than asked for a renewal may give before it counts as capped, and how long an answer may take before
/// it matters when the server began to count.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    pub(crate) scope: Scope,
    /// The slot of the token this one is asked for with, and the identity at the root of the tree.
    pub(crate) asker: Option<SlotId>,
    pub(crate) root: SlotId,
    pub(crate) children: BTreeSet<SlotId>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) jitter: Jitter,
    /// Counts the values that were published; the first is 1.
    pub(crate) generation: u32,
    pub(crate) held: Option<Held>,
    pub(crate) flight: Option<Box<Flight>>,
    pub(crate) trouble: Trouble,
    pub(crate) lockout: Lockout,
    /// Somebody was refused with this token: look whether it lives.
    pub(crate) is_suspected: bool,
    /// Waits, at the longest until this moment, for the verdict on its asker.
    pub(crate) parked: Option<Moment>,
    /// The turn that the pace has given to the next errand.
    pub(crate) turn: Option<Turn>,
    pub(crate) has_told_clamp: bool,
    pub(crate) is_released: bool,
    /// The moment at which the ledger's timer stands.
    pub(crate) armed: Option<Moment>,
}

/// What is held at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) grant: Arc<Grant>,
    /// When it was asked for.
    pub(crate) obtained: Moment,
    /// Since when its instants count: when it was asked for, or last renewed.
    pub(crate) begun: Moment,
    /// By its own terms; what ends it may be the ground.
    pub(crate) at: Instants,
    /// Whether a renewal is expected to give it more life.
    pub(crate) extends: bool,
    /// It has to be replaced now, whatever its instants say.
    pub(crate) is_overdue: bool,
    /// Somebody was refused with it, and no verdict has come on the token it was obtained with.
    pub(crate) is_doubted: bool,
    /// The asker's generation it was obtained with, and when that one ends if it was replaced since.
    pub(crate) ground: u32,
    pub(crate) ceiling: Option<Moment>,
    /// It is in another namespace than the token it was obtained with, and does not end with that.
    pub(crate) is_foreign: bool,
    /// When it is read again or looked up.
    pub(crate) routine: Moment,
    /// How much the last renewal asked for.
    pub(crate) asked: Duration,
    /// Until when it may live on the server by a renewal whose answer was lost, or where the answer was slow.
    pub(crate) afterlife: Moment,
    /// How much was left when it was last told that it will end.
    pub(crate) told: Option<Duration>,
}

/// An errand under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) errand: ErrandId,
    pub(crate) step: Step,
    pub(crate) started: Moment,
    pub(crate) deadline: Moment,
    /// The token it is done with, by whose right what it obtains is given back if nobody wants it any more.
    pub(crate) asker: Option<Arc<Grant>>,
    /// The generation of that token, and when it ends if it was replaced or lost since.
    pub(crate) ground: u32,
    pub(crate) ceiling: Option<Moment>,
}

impl Flight {
    /// Whether its token was found dead after that was replaced or lost.
    pub(crate) fn is_outdated(&self, failure: &Failure) -> bool {
        self.step != Step::Check && self.ceiling.is_some() && failure.kind().course() == Course::Dead
    }

    /// Whether it was a look-up that no policy allows.
    pub(crate) fn is_denied_look(&self, failure: &Failure) -> bool {
        self.step == Step::Check && failure.kind().course() == Course::Denied
    }
}

/// What comes next for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Obtain,
    Replace,
    Renew,
    Refresh,
    Check,
    /// The errand under way was never answered.
    GiveUp,
    /// The verdict on the asker never came.
    Unpark,
    /// It is told that what is held will end.
    Warn,
    /// What is held ends.
    Expire,
}

impl Step {
    /// Whether its errand may leave something behind on the server.
    pub(crate) fn may_obtain(self) -> bool {
        matches!(self, Self::Obtain | Self::Replace)
    }

    pub(crate) fn purpose(self) -> Purpose {
        match self {
            Self::Refresh | Self::Check => Purpose::Routine,
            Self::Obtain
            | Self::Replace
            | Self::Renew
            | Self::GiveUp
            | Self::Unpark
            | Self::Warn
            | Self::Expire => Purpose::Vital,
        }
    }
}

/// What a slot stands on: the token it is asked for with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground {
    pub(crate) is_live: bool,
    pub(crate) generation: u32,
    pub(crate) expiry: Moment,
}

impl Ground {
    /// What a login stands on.
    pub(crate) const ROCK: Self = Self { is_live: true, generation: 0, expiry: Moment::NEVER };
}

impl Held {
    /// When it ends: by its own terms, or with the token it was obtained with.
    pub(crate) fn expiry(&self, ground: &Ground) -> Moment {
        if !self.is_grounded() {
            return self.at.expiry;
        }
        let below = if ground.generation == self.ground { Some(ground.expiry) } else { self.ceiling };
        self.at.expiry.min(below.unwrap_or(Moment::NEVER))
    }

    /// Whether it ends with the token it was obtained with.
    pub(crate) fn is_grounded(&self) -> bool {
        !self.is_foreign && !self.grant.lease.is_static()
    }

    /// When it ends as far as it can tell by itself. A token that ends takes along what lives on it.
    pub(crate) fn own_end(&self) -> Moment {
        self.at.expiry.min(self.ceiling.unwrap_or(Moment::NEVER))
    }

    /// Whether it ends by itself, as far as is known.
    pub(crate) fn may_end(&self) -> bool {
        self.at.expiry < Moment::NEVER || self.grant.lease.is_blind
    }

    /// Whether a login comes instead of a renewal.
    fn is_left_to_login(&self) -> bool {
        self.grant.lease.ours && !self.extends
    }

    /// How long it lives from when it was obtained or last renewed; none if it does not end.
    pub(crate) fn life(&self) -> Option<Duration> {
        (self.at.expiry < Moment::NEVER).then(|| self.at.expiry - self.begun)
    }

    /// When it ends however often it is renewed; none if that is not known.
    pub(crate) fn last(&self) -> Option<Moment> {
        let own = (!self.extends).then_some(self.at.expiry);
        let longest = self.grant.lease.longest.map(|span| self.obtained + span);
        own.into_iter().chain(longest).filter(|at| *at < Moment::NEVER).min()
    }

    /// When it is told next that it will end.
    fn warning(&self, policy: &Policy) -> Option<(Moment, Step)> {
        let below = policy.expiring?;
        let life = self.at.expiry - self.begun;
        let is_doomed = !self.extends && !self.grant.lease.ours;
        let first = if life > below || is_doomed { below } else { life / 4 };
        let left = self.told.map_or(first, |told| told / 2);
        (left >= FLOOR).then(|| (self.at.expiry - left, Step::Warn))
    }

    /// Notes that it is told now, and says how much is left.
    pub(crate) fn tell(&mut self, now: Moment) -> Duration {
        let left = self.at.expiry - now;
        self.told = Some(left);
        left
    }

    /// Moves the end. What has more life than before is told of anew.
    fn move_end(&mut self, expiry: Moment) {
        if expiry - self.at.expiry > SLACK {
            self.told = None;
        }
        self.at.expiry = expiry;
    }

    /// The vital step, and when.
    fn vital(&self, not_before: Moment, trouble: &Trouble) -> (Moment, Step) {
        if self.is_overdue {
            return (not_before, Step::Replace);
        }
        // It could only be asked for what it is, and each question uses it up.
        if self.grant.lease.is_counted && !self.grant.lease.ours {
            return (Moment::NEVER, Step::Replace);
        }
        let renewal = trouble.renewal.filter(|_| self.extends).unwrap_or_default();
        let at = self.at.soft.max(not_before).max(renewal);
        // From the hard instant on a renewal that failed is no plan, unless there is no other, or the other was refused.
        let is_early = at < self.at.hard || at == self.at.soft;
        let renews = self.extends && (is_early || !self.grant.lease.ours || trouble.is_refused());
        (at, if renews { Step::Renew } else { Step::Replace })
    }
}

impl Slot {
    /// What comes next, and when; nothing while it waits for its asker.
    pub(crate) fn next(&self, ground: &Ground) -> Option<(Moment, Step)> {
        let expire = self.held.as_ref().map(|held| (held.own_end(), Step::Expire));
        let warning = self.held.as_ref().and_then(|held| held.warning(&self.policy));
        let steps = [expire, warning, self.waiting(), self.errand(ground)];
        steps.into_iter().flatten().filter(|(at, _)| *at < Moment::NEVER).min_by_key(|(at, _)| *at)
    }

    /// The end of what is being waited for.
    fn waiting(&self) -> Option<(Moment, Step)> {
        match (&self.flight, self.parked) {
            (Some(flight), _) => Some((flight.deadline, Step::GiveUp)),
            (None, Some(until)) => Some((until, Step::Unpark)),
            (None, None) => None,
        }
    }

    /// The next errand, if one may start: at most one is under way, and none without a token to ask with.
    fn errand(&self, ground: &Ground) -> Option<(Moment, Step)> {
        if self.flight.is_some() || self.parked.is_some() || self.is_released || !ground.is_live {
            return None;
        }
        let turn = |purpose| self.turn.map_or(Moment::default(), |turn| turn.bound(purpose));
        let not_before = self.trouble.not_before.max(turn(Purpose::Vital));
        let Some(held) = &self.held else {
            return Some((not_before.max(self.lockout.gate()), Step::Obtain));
        };
        if self.is_suspected {
            return Some((not_before, Step::Check));
        }
        let routine = held.routine.max(self.trouble.not_before).max(turn(Purpose::Routine));
        let routine = (routine, if held.grant.lease.is_static() { Step::Refresh } else { Step::Check });
        let vital = match held.vital(not_before, &self.trouble) {
            (at, Step::Replace) => (at.max(self.lockout.gate()), Step::Replace),
            other => other,
        };
        Some(if vital.0 <= routine.0 { vital } else { routine })
    }

    /// Takes a new grant over and hands the old one back. Says whether the policy's threshold was clamped.
    pub(crate) fn accept(&mut self, grant: Grant, life: Life) -> (Option<Held>, bool) {
        self.jitter = life.jitter;
        self.generation += 1;
        self.is_suspected = false;
        self.parked = None;
        self.lockout.accept();
        self.settle();
        let (held, clamped) = self.hold(grant, life);
        (self.held.replace(held), clamped)
    }

    fn hold(&self, grant: Grant, life: Life) -> (Held, bool) {
        let expiry = life.expiry(&grant);
        let (at, clamped) =
            schedule::instants(self.policy.renew, life.begun, expiry, life.round_trip, life.jitter);
        let at = Instants { soft: at.soft.max((life.begun + FLOOR).min(at.hard)), ..at };
        let held = Held {
            extends: grant.lease.renewable && !grant.lease.is_counted,
            routine: self.routine(&grant, life.begun),
            grant: Arc::new(grant),
            obtained: life.begun,
            begun: life.begun,
            at,
            is_overdue: life.ceiling.is_some(),
            is_doubted: false,
            ground: life.ground,
            ceiling: life.ceiling,
            is_foreign: life.is_foreign,
            asked: Duration::ZERO,
            afterlife: Moment::default(),
            told: None,
        };
        (held, clamped)
    }

    /// Whether this is the token that is held already, which the caller brought: read again, it is no other.
    pub(crate) fn has_brought(&self, grant: &Grant) -> bool {
        let is_same = |held: &Held| !held.grant.lease.ours && held.grant.fields.is_same(&grant.fields);
        !grant.lease.ours && grant.token().is_some() && self.held.as_ref().is_some_and(is_same)
    }

    /// Goes on with a token that was brought, by what was found when it was read again.
    pub(crate) fn bring_again(&mut self, grant: Grant, life: Life) {
        self.lockout.accept();
        self.settle_by_look();
        let (again, _) = self.hold(grant, life);
        if let Some(held) = &mut self.held {
            let told = held.told.filter(|_| again.at.expiry - held.at.expiry <= SLACK);
            *held = Held { afterlife: held.afterlife, told, ..again };
        }
    }

    fn routine(&self, grant: &Grant, now: Moment) -> Moment {
        let every = match &grant.lease.holding {
            Holding::Nothing => self.policy.refresh,
            Holding::Token { .. } => self.policy.check,
            // Only tokens are looked up.
            Holding::Lease { .. } => return Moment::NEVER,
        };
        if grant.lease.is_counted {
            return Moment::NEVER;
        }
        let own = every.map_or(Moment::NEVER, |every| every.after(now, self.jitter));
        own.min(grant.refresh_in.map_or(Moment::NEVER, |span| now + span.max(FLOOR)))
    }

    /// Notes that a static secret was read again and is as it was.
    pub(crate) fn reread(&mut self, grant: &Grant, started: Moment) {
        self.settle();
        let routine = self.routine(grant, started);
        if let Some(held) = &mut self.held {
            held.routine = routine;
        }
    }

    /// What a renewal asks for: never less than is left, since one whose answer is lost must not make the life shorter.
    /// What was brought may be near its end: its length is known to the server alone.
    pub(crate) fn ask_for(&mut self, now: Moment) -> Option<Duration> {
        let increment = self.policy.increment;
        let held = self.held.as_mut()?;
        let left = Duration::from_secs((held.at.expiry - now).as_millis().div_ceil(1_000) as u64);
        let own = held.grant.lease.ttl.filter(|_| held.grant.lease.ours);
        let asked = increment.or(own).map(|asked| asked.max(left));
        held.asked = asked.or(held.grant.lease.ttl).unwrap_or_default();
        asked
    }

    /// Notes the terms after a renewal. One that gives less than it was asked for is the last: from now on a
    /// replacement is planned. Returns whether it can be renewed again.
    pub(crate) fn renewed(&mut self, standing: Standing, started: Moment, round_trip: Duration) -> bool {
        self.settle();
        let (renew, jitter) = (self.policy.renew, self.jitter);
        let Some(held) = &mut self.held else { return false };
        held.afterlife = Moment::default();
        let granted = standing.ttl.unwrap_or(Duration::MAX);
        let is_full = !standing.capped && granted.saturating_add(SLACK) >= held.asked && !granted.is_zero();
        held.extends = standing.renewable && is_full;
        if !granted.is_zero() {
            held.begun = started;
            held.move_end(standing.ttl.map_or(Moment::NEVER, |ttl| started + ttl));
        }
        (held.at, _) = schedule::instants(renew, started, held.at.expiry, round_trip, jitter);
        held.extends
    }

    /// Notes the terms that a look-up found.
    pub(crate) fn checked(&mut self, standing: Standing, started: Moment, round_trip: Duration) {
        self.seen(started);
        let (renew, jitter) = (self.policy.renew, self.jitter);
        let Some(held) = &mut self.held else { return };
        held.afterlife = Moment::default();
        held.extends &= standing.renewable;
        let expiry = standing.ttl.map_or(Moment::NEVER, |ttl| started + ttl);
        // A look-up counts whole seconds, so a small difference is no news and must not move the schedule.
        let moved = held.at.expiry.max(expiry) - held.at.expiry.min(expiry);
        if moved > SLACK * 2 {
            held.move_end(expiry);
            let soft = held.at.soft;
            (held.at, _) = schedule::instants(renew, held.begun, expiry, round_trip, jitter);
            // What somebody has asked for meanwhile is still to be done.
            if soft <= started + round_trip {
                held.at.soft = soft.min(held.at.soft);
            }
        }
    }

    /// Notes that a look-up found it alive.
    pub(crate) fn seen(&mut self, started: Moment) {
        self.settle_by_look();
        let routine = self.held.as_ref().map(|held| self.routine(&held.grant, started));
        if let Some(held) = &mut self.held {
            held.routine = routine.unwrap_or(Moment::NEVER);
        }
    }

    /// Whether it may not look at itself.
    pub(crate) fn is_blind(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.grant.lease.is_blind)
    }

    /// Gives up on renewing what is held: a replacement is planned for what is left of its life.
    pub(crate) fn stop_renewing(&mut self, now: Moment) {
        let (renew, jitter) = (self.policy.renew, self.jitter);
        if let Some(held) = &mut self.held
            && held.extends
        {
            held.extends = false;
            (held.at, _) = schedule::instants(renew, now, held.at.expiry, Duration::ZERO, jitter);
        }
    }

    /// Notes that what was obtained with this generation of the asker, a replaced one, ends at this moment at the latest.
    pub(crate) fn cap(&mut self, generation: u32, end: Moment) {
        let held = self.held.as_mut().filter(|held| held.is_grounded() && held.ground == generation);
        let flight = self.flight.as_mut().filter(|flight| flight.ground == generation);
        let ceilings = [held.map(|held| &mut held.ceiling), flight.map(|flight| &mut flight.ceiling)];
        for ceiling in ceilings.into_iter().flatten() {
            *ceiling = Some(ceiling.map_or(end, |ceiling| ceiling.min(end)));
        }
    }

    /// Notes that a renewal may have been carried out, whose answer was lost or will not be heard. How much one gives
    /// that asked for nothing, the server alone knows.
    fn doubt(&mut self, carried_out: Moment) {
        let is_asked = self.policy.increment.is_some();
        if let Some(held) = &mut self.held {
            let is_known = is_asked || held.grant.lease.ours;
            let until = if is_known { carried_out + held.asked } else { Moment::NEVER };
            held.afterlife = held.afterlife.max(until);
        }
    }

    /// Notes that the server may have counted the life from as late as now.
    pub(crate) fn outlive(&mut self, started: Moment, now: Moment, ttl: Option<Duration>) {
        if let (Some(held), Some(ttl)) = (&mut self.held, ttl)
            && now - started > SLACK
        {
            held.afterlife = now + ttl;
        }
    }

    /// Notes what a failure leaves open.
    pub(crate) fn doubt_failed(&mut self, step: Step, failure: &Failure, now: Moment) {
        if step == Step::Renew && failure.retry() == Retry::Ambiguous {
            self.doubt(now);
        }
    }

    /// Lets go of what is held.
    pub(crate) fn drop_held(&mut self) -> Option<Held> {
        if let Some(flight) = self.flight.as_ref().filter(|flight| flight.step == Step::Renew) {
            self.doubt(flight.started + Errand::PATIENCE);
        }
        self.held.take()
    }

    /// Lets go of what is held because it is dead, and says what it was.
    pub(crate) fn lose(&mut self, now: Moment) -> Option<Held> {
        let held = self.drop_held()?;
        self.is_suspected = false;
        if now - held.obtained < SHORT_LIFE {
            self.trouble.attempts = self.trouble.attempts.saturating_add(1);
            let wait = schedule::backoff(self.trouble.attempts, self.jitter);
            self.trouble.not_before = self.trouble.not_before.max(now + wait);
        }
        Some(held)
    }

    /// Lets the next errand start at once.
    pub(crate) fn hurry(&mut self, now: Moment) {
        self.parked = None;
        self.lockout.open();
        self.trouble.not_before = now;
        self.trouble.renewal = self.trouble.renewal.map(|_| now);
    }
}

/// What a new life begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When it was asked for: the server cannot have counted from earlier.
    pub(crate) begun: Moment,
    pub(crate) round_trip: Duration,
    pub(crate) jitter: Jitter,
    /// As in [`Held`].
    pub(crate) ground: u32,
    pub(crate) ceiling: Option<Moment>,
    pub(crate) is_foreign: bool,
}

impl Life {
    /// The life that this grant begins with.
    pub(crate) fn new(flight: &Flight, grant: &Grant, round_trip: Duration, jitter: Jitter) -> Self {
        let is_foreign = flight.asker.as_ref().is_some_and(|asker| grant.is_foreign(asker));
        let is_grounded = !is_foreign && !grant.lease.is_static();
        Self {
            begun: flight.started,
            round_trip,
            jitter,
            ground: flight.ground,
            ceiling: flight.ceiling.filter(|_| is_grounded),
            is_foreign,
        }
    }

    /// When the grant ends by its own terms.
    fn expiry(&self, grant: &Grant) -> Moment {
        grant.lease.ttl.map_or(Moment::NEVER, |ttl| self.begun + ttl)
    }

    /// Whether it is over before it begins: the answer was long on its way, or its token has ended meanwhile.
    pub(crate) fn is_over(&self, grant: &Grant, now: Moment) -> bool {
        self.expiry(grant).min(self.ceiling.unwrap_or(Moment::NEVER)) <= now
    }
}

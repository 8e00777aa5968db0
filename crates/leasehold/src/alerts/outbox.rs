//! What one sink has still to be told, and what it was told before. It knows no clock and opens nothing: time and
//! results are handed in, letters come out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use leasehold_core::policy::Jitter;
use leasehold_core::schedule::delay;
use leasehold_core::{Failure, Moment, Retry};

use super::alert::{Alert, Matter, Severity};
use super::allowance::Allowance;

/// How many alerts may wait.
const ROOM: usize = 64;
/// How often it is tried to send one.
const TRIES: u16 = 5;
/// Of how many credentials it is known what was told.
const CREDENTIALS: usize = 4096;

/// The alerts of one sink.
#[derive(Debug)]
pub(super) struct Outbox {
    /// How long until the same failure is told again.
    reminder: Duration,
    waiting: VecDeque<(Alert, Moment)>,
    under_way: Option<Draft>,
    /// Before this nothing is sent: the sink has failed, or asked for it.
    not_before: Moment,
    allowance: Allowance,
    told: BTreeMap<String, Told>,
    left_out: LeftOut,
}

/// An alert that is being sent.
#[derive(Debug)]
struct Draft {
    letter: Letter,
    tries: u16,
}

/// An alert as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) alert: Alert,
    /// When it happened.
    pub(super) at: Moment,
    /// What was not sent before it.
    pub(super) left_out: LeftOut,
}

/// Alerts that were not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) count: u64,
    /// Since when.
    pub(super) since: Moment,
}

/// What the sink knows of one credential.
#[derive(Debug, Default)]
struct Told {
    /// When it was last told, or might have been, of trouble.
    last: Moment,
    failures: BTreeMap<&'static str, Moment>,
    /// How much was left, and when that was told.
    expiring: Option<(Duration, Moment)>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Letter),
    /// Nothing before this moment.
    Wait(Moment),
    /// Nothing.
    Rest,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// It is tried again.
    Postponed,
    GivenUp,
}

impl Outbox {
    pub(super) fn new(reminder: Duration) -> Self {
        Self {
            reminder,
            waiting: VecDeque::new(),
            under_way: None,
            not_before: Moment::default(),
            allowance: Allowance::default(),
            told: BTreeMap::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Takes an alert, unless it is no news. What is critical waits for its turn; of the rest, what cannot go soon is
    /// left out.
    pub(super) fn put(&mut self, alert: Alert, now: Moment) {
        if alert.matter == Matter::Recovered {
            // What is over before it was told is not told any more.
            self.waiting
                .retain(|(other, _)| other.credential != alert.credential || !other.matter.is_trouble());
        }
        if !self.is_news(&alert, now) {
            return;
        }
        let is_urgent = alert.matter.rank() == Severity::Critical;
        let has_turn = self.waiting.len() < self.allowance.left(now);
        match self.waiting.len() < ROOM && (is_urgent || has_turn) {
            true => self.waiting.push_back((alert, now)),
            false => self.left_out.add(LeftOut { count: 1, since: now }),
        }
    }

    fn is_news(&self, alert: &Alert, now: Moment) -> bool {
        let mut queued = self.waiting.iter().map(|(other, _)| other).chain(self.sending());
        if queued.any(|other| other.is_like(alert)) {
            return false;
        }
        let told = self.told.get(&alert.credential);
        let is_old = |at: Moment| now - at < self.reminder;
        match alert.matter {
            Matter::Failed { cause } => {
                !told.and_then(|told| told.failures.get(cause)).is_some_and(|at| is_old(*at))
            }
            // A halving, with room for what was told late.
            Matter::Expiring { left } => {
                let expiring = told.and_then(|told| told.expiring);
                !expiring.is_some_and(|(before, at)| left > before / 4 * 3 && is_old(at))
            }
            Matter::Recovered => {
                let is_troubled =
                    |other: &Alert| other.credential == alert.credential && other.matter.is_trouble();
                told.is_some() || self.sending().is_some_and(is_troubled)
            }
            Matter::Renewed { .. } | Matter::Test => true,
        }
    }

    fn sending(&self) -> Option<&Alert> {
        self.under_way.as_ref().map(|draft| &draft.letter.alert)
    }

    /// What is to be done at this moment. What was to be sent and is not reported as [`done`](Self::done) is to be sent
    /// again.
    pub(super) fn next(&mut self, now: Moment) -> Step {
        if now < self.not_before && self.count() > 0 {
            return Step::Wait(self.not_before);
        }
        if self.under_way.is_none() {
            let Some(first) = self.first() else { return Step::Rest };
            if let Err(at) = self.allowance.take(now) {
                return Step::Wait(at);
            }
            self.under_way = self.waiting.remove(first).map(|(alert, at)| {
                let left_out = std::mem::take(&mut self.left_out);
                Draft { letter: Letter { alert, at, left_out }, tries: 0 }
            });
        }
        self.under_way.as_ref().map_or(Step::Rest, |draft| Step::Send(draft.letter.clone()))
    }

    /// The most urgent of those that wait, and of several the one that came first.
    fn first(&self) -> Option<usize> {
        let ranks = self.waiting.iter().map(|(alert, _)| alert.matter.rank()).enumerate();
        ranks.rev().max_by_key(|(_, rank)| *rank).map(|(at, _)| at)
    }

    /// What came of the letter that was to be sent.
    pub(super) fn done(&mut self, result: Result<(), &Failure>, now: Moment, jitter: Jitter) -> Fate {
        let Some(mut draft) = self.under_way.take() else { return Fate::Delivered };
        self.note(&draft.letter.alert, result.is_ok(), now);
        let Err(failure) = result else { return Fate::Delivered };
        draft.tries += 1;
        self.not_before = now + delay(failure, false, draft.tries, jitter);
        if failure.retry() != Retry::Never && draft.tries < TRIES {
            self.under_way = Some(draft);
            return Fate::Postponed;
        }
        self.left_out.add(draft.letter.left_out);
        self.left_out.add(LeftOut { count: 1, since: draft.letter.at });
        Fate::GivenUp
    }

    /// Takes note of what the sink knows now. What may have reached it has to be taken back some day; only what surely
    /// has need not be told again.
    fn note(&mut self, alert: &Alert, is_sure: bool, now: Moment) {
        match alert.matter {
            Matter::Recovered if is_sure => {
                self.told.remove(&alert.credential);
            }
            matter if matter.is_trouble() => {
                self.make_room(&alert.credential);
                let told = self.told.entry(alert.credential.clone()).or_default();
                told.last = now;
                match matter {
                    Matter::Failed { cause } if is_sure => _ = told.failures.insert(cause, now),
                    Matter::Expiring { left } if is_sure => told.expiring = Some((left, now)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Forgets what was told longest ago, where too much is known.
    fn make_room(&mut self, credential: &str) {
        if self.told.len() < CREDENTIALS || self.told.contains_key(credential) {
            return;
        }
        let oldest = self.told.iter().min_by_key(|(_, told)| told.last).map(|(name, _)| name.clone());
        oldest.map(|name| self.told.remove(&name));
    }

    /// How many alerts are still to be sent.
    pub(super) fn count(&self) -> usize {
        self.waiting.len() + usize::from(self.under_way.is_some())
    }
}

impl LeftOut {
    fn add(&mut self, more: Self) {
        if self.count == 0 || more.count > 0 && more.since < self.since {
            self.since = more.since;
        }
        self.count += more.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Kind;
    use std::ops::RangeInclusive;

    const HOUR: Duration = Duration::from_secs(3600);
    const SEALED: Matter = Matter::Failed { cause: "sealed" };
    const DENIED: Matter = Matter::Failed { cause: "denied" };
    const RENEWED: Matter = Matter::Renewed { ttl: None };

    fn at(second: u64) -> Moment {
        Moment::default() + Duration::from_secs(1_000_000 + second)
    }

    fn expiring(hours: u32) -> Matter {
        Matter::Expiring { left: HOUR * hours }
    }

    fn alert(name: &str, matter: Matter) -> Alert {
        Alert::new(name, matter, "")
    }

    fn failure(kind: Kind) -> Failure {
        Failure::new(kind, "no")
    }

    /// An outbox whose sink takes everything at once.
    struct Open(Outbox);

    impl Open {
        fn new() -> Self {
            Self(Outbox::new(HOUR))
        }

        /// What goes out when this comes in.
        fn tell(&mut self, name: &str, matter: Matter, second: u64) -> Vec<Matter> {
            self.0.put(alert(name, matter), at(second));
            self.drain(second).iter().map(|letter| letter.alert.matter).collect()
        }

        fn drain(&mut self, second: u64) -> Vec<Letter> {
            let mut sent = Vec::new();
            while let Step::Send(letter) = self.0.next(at(second)) {
                assert_eq!(self.0.done(Ok(()), at(second), Jitter(0)), Fate::Delivered);
                sent.push(letter);
            }
            sent
        }
    }

    #[test]
    fn the_same_is_told_once_until_it_recovers_or_for_a_reminder() {
        let mut open = Open::new();
        let mut check = |matter, second, is_told| {
            let expect = if is_told { vec![matter] } else { vec![] };
            assert_eq!(open.tell("a", matter, second), expect, "{matter:?} {second}");
        };
        check(Matter::Recovered, 0, false);
        check(SEALED, 1, true);
        check(SEALED, 2, false);
        check(DENIED, 3, true);
        check(SEALED, 4, false);
        check(SEALED, 3_600, false);
        check(SEALED, 3_601, true);
        check(Matter::Recovered, 3_700, true);
        check(Matter::Recovered, 3_701, false);
        check(SEALED, 3_702, true);
        for (hours, is_told) in [(24, true), (23, false), (12, true), (12, false), (6, true)] {
            check(expiring(hours), 10_000, is_told);
        }
        check(Matter::Recovered, 20_000, true);
        check(expiring(24), 20_001, true);
        check(RENEWED, 20_002, true);
        check(RENEWED, 20_003, true);
        assert_eq!(open.tell("b", SEALED, 20_004), [SEALED], "another credential");
    }

    #[test]
    fn what_is_over_before_it_was_told_is_not_told() {
        let mut outbox = Outbox::new(HOUR);
        outbox.put(alert("a", SEALED), at(0));
        outbox.put(alert("b", SEALED), at(0));
        outbox.put(alert("a", Matter::Recovered), at(1));
        assert!(matches!(outbox.next(at(1)), Step::Send(letter) if letter.alert == alert("b", SEALED)));
        // This one is on its way: its end has to be told.
        outbox.put(alert("b", Matter::Recovered), at(2));
        assert_eq!(outbox.done(Ok(()), at(3), Jitter(0)), Fate::Delivered);
        let Step::Send(letter) = outbox.next(at(3)) else { panic!("nothing more") };
        assert_eq!(letter.alert, alert("b", Matter::Recovered));
    }

    #[test]
    fn a_sink_that_fails_is_left_in_peace_and_told_later() {
        let check = |failure: Failure, tries: u16, wait: RangeInclusive<u64>, last: Fate| {
            let mut outbox = Outbox::new(HOUR);
            outbox.put(alert("a", SEALED), at(0));
            let (mut now, mut fate) = (at(0), Fate::Delivered);
            for attempt in 1..=tries {
                assert!(matches!(outbox.next(now), Step::Send(_)), "{failure} {attempt}");
                fate = outbox.done(Err(&failure), now, Jitter(u32::MAX / 7));
                outbox.put(alert("z", SEALED), now);
                let Step::Wait(until) = outbox.next(now) else { panic!("it waits: {failure}") };
                assert!(wait.contains(&(until - now).as_secs()), "{failure}: {:?}", until - now);
                now = until;
            }
            assert_eq!(
                (fate, outbox.count()),
                (last, if last == Fate::GivenUp { 1 } else { 2 }),
                "{failure}"
            );
        };
        let after = |span| failure(Kind::Throttled).with_retry(Retry::After(Some(span)));
        check(failure(Kind::Unreachable), 4, 1..=4, Fate::Postponed);
        check(failure(Kind::Unreachable), 5, 1..=4, Fate::GivenUp);
        check(after(Duration::from_secs(30)), 2, 30..=30, Fate::Postponed);
        check(after(HOUR), 1, 120..=120, Fate::Postponed);
        check(failure(Kind::Invalid), 1, 45..=60, Fate::GivenUp);
        check(failure(Kind::Denied), 1, 45..=60, Fate::GivenUp);
    }

    #[test]
    fn what_was_given_up_is_counted_told_again_and_taken_back() {
        let mut outbox = Outbox::new(HOUR);
        outbox.put(alert("a", SEALED), at(0));
        assert!(matches!(outbox.next(at(1)), Step::Send(_)));
        assert_eq!(outbox.done(Err(&failure(Kind::Invalid)), at(2), Jitter(0)), Fate::GivenUp);
        // It may have got there all the same.
        outbox.put(alert("a", Matter::Recovered), at(3));
        outbox.put(alert("a", SEALED), at(4));
        let sent = Open(outbox).drain(100);
        let told: Vec<_> = sent.iter().map(|letter| (letter.alert.matter, letter.left_out.count)).collect();
        assert_eq!(told, [(Matter::Recovered, 1), (SEALED, 0)]);
        assert_eq!((sent[0].left_out.since, sent[1].at), (at(0), at(4)));
    }

    #[test]
    fn what_is_left_out_is_counted_in_the_next() {
        let mut open = Open::new();
        let mut letters = Vec::new();
        for second in 0..40 {
            open.0.put(alert("a", RENEWED), at(second));
            letters.extend(open.drain(second));
        }
        assert_eq!(letters.len(), 10 + 39 / 6);
        // What is critical waits for its turn.
        open.0.put(alert("a", SEALED), at(40));
        assert_eq!(open.0.next(at(40)), Step::Wait(at(42)));
        letters.extend(open.drain(42));
        let last = letters.last().map(|letter| letter.left_out);
        assert_eq!(last, Some(LeftOut { count: 3, since: at(37) }));
        let left_out: u64 = letters.iter().map(|letter| letter.left_out.count).sum();
        assert_eq!(left_out + letters.len() as u64, 41, "each is told, or counted once");
        assert_eq!(open.drain(60), [], "it is said once");
    }

    #[test]
    fn the_most_urgent_goes_first() {
        let mut outbox = Outbox::new(HOUR);
        for (name, matter) in [("a", RENEWED), ("b", expiring(1)), ("c", SEALED), ("d", SEALED)] {
            outbox.put(alert(name, matter), at(0));
        }
        let sent = Open(outbox).drain(0);
        let names: Vec<_> = sent.iter().map(|letter| &*letter.alert.credential).collect();
        assert_eq!(names, ["c", "d", "b", "a"]);
    }

    #[test]
    fn ten_thousand_credentials_need_no_more_room() {
        let mut outbox = Outbox::new(HOUR);
        for name in 0..10_000 {
            outbox.put(alert(&name.to_string(), SEALED), at(0));
        }
        assert_eq!((outbox.count(), outbox.left_out.count), (ROOM, 10_000 - ROOM as u64));
        for name in 0..10_000 {
            outbox.note(&alert(&name.to_string(), SEALED), true, at(name));
        }
        assert_eq!(outbox.told.len(), CREDENTIALS);
        assert!(outbox.told.contains_key("9999") && !outbox.told.contains_key("0"));
    }
}

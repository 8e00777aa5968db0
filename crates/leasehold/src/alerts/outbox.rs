//! What one sink should know, and what it knows. It knows no clock and opens nothing: time and results are handed in,
//! letters come out, which are the difference. What is critical, and its end, goes out until it is taken.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::policy::Jitter;
use leasehold_core::schedule::delay;
use leasehold_core::{Failure, Moment, Retry};

use super::alert::{Alert, Matter, Severity};
use super::allowance::Allowance;

/// How often it is tried to send what is not urgent. After as many failures in a row the sink is asked less and less.
const TRIES: u16 = 5;
/// How long a sink that fails is left in peace at most.
const PEACE: Duration = Duration::from_secs(300);
/// Of how many credentials alerts may wait, and of how many it is known what was told.
const CREDENTIALS: usize = 4096;

/// The alerts of one sink.
#[derive(Debug)]
pub(super) struct Outbox {
    /// How long until the same failure is told again.
    reminder: Duration,
    /// What it should know and does not, by credential. Either troubles or their end are among it, never both.
    waiting: BTreeMap<String, Vec<Letter>>,
    under_way: Option<Letter>,
    /// Before this nothing is sent: the sink has failed, or asked for it.
    not_before: Moment,
    /// How often it has failed since it last took something.
    failures: u16,
    allowance: Allowance,
    told: BTreeMap<String, Told>,
    left_out: LeftOut,
}

/// An alert as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) alert: Alert,
    /// When it happened.
    pub(super) at: Moment,
    /// What was not sent before it.
    pub(super) left_out: LeftOut,
    /// How often it was sent in vain.
    tries: u16,
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
    /// It is tried again soon, unless it is over by then.
    Postponed,
    /// The sink refuses it, or has failed for long: it is tried again less and less often.
    Overdue,
    GivenUp,
}

impl Outbox {
    pub(super) fn new(reminder: Duration) -> Self {
        Self {
            reminder,
            waiting: BTreeMap::new(),
            under_way: None,
            not_before: Moment::default(),
            failures: 0,
            allowance: Allowance::default(),
            told: BTreeMap::new(),
            left_out: LeftOut::default(),
        }
    }

    /// Takes an alert, unless it is no news. What is critical waits for its turn; of the rest, what cannot go soon is
    /// left out.
    pub(super) fn put(&mut self, alert: Alert, now: Moment) {
        self.withdraw(&alert);
        if !self.is_news(&alert, now) {
            return;
        }
        let is_urgent = alert.matter.rank() == Severity::Critical;
        // The end of what was told needs no room: as many may wait as were told.
        let has_room = alert.matter == Matter::Recovered
            || self.waiting.len() < CREDENTIALS
            || self.waiting.contains_key(&alert.credential);
        match has_room && (is_urgent || self.count_waiting() < self.allowance.left(now)) {
            true => self.keep(Letter { alert, at: now, left_out: LeftOut::default(), tries: 0 }),
            false => self.left_out.add(LeftOut { count: 1, since: now }),
        }
    }

    /// Takes back what waits and is not true any more: troubles when they are over, and their end when there is another.
    fn withdraw(&mut self, alert: &Alert) {
        let Some(letters) = self.waiting.get_mut(&alert.credential) else { return };
        let left_out = &mut self.left_out;
        letters.retain(|letter| {
            let stays = !alert.matter.undoes(letter.alert.matter);
            if !stays && letter.tries > 0 {
                left_out.add(LeftOut { count: 1, since: letter.at });
            }
            stays
        });
        if letters.is_empty() {
            self.waiting.remove(&alert.credential);
        }
    }

    fn keep(&mut self, letter: Letter) {
        self.waiting.entry(letter.alert.credential.clone()).or_default().push(letter);
    }

    fn is_news(&self, alert: &Alert, now: Moment) -> bool {
        let waiting = self.waiting.get(&alert.credential).into_iter().flatten();
        if waiting.chain(&self.under_way).any(|letter| letter.alert.is_like(alert)) {
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
            Matter::Recovered => told.is_some() || self.is_sending_trouble_of(&alert.credential),
            Matter::Renewed { .. } | Matter::Test => true,
        }
    }

    fn is_sending_trouble_of(&self, credential: &str) -> bool {
        let sending = self.under_way.as_ref().map(|letter| &letter.alert);
        sending.is_some_and(|alert| alert.credential == credential && alert.matter.is_trouble())
    }

    /// What is to be done at this moment. What was to be sent and is not reported as [`done`](Self::done) is to be sent
    /// again.
    pub(super) fn next(&mut self, now: Moment) -> Step {
        if self.under_way.is_none() {
            if self.waiting.is_empty() {
                return Step::Rest;
            }
            if now < self.not_before {
                return Step::Wait(self.not_before);
            }
            if let Err(at) = self.allowance.take(now) {
                return Step::Wait(at);
            }
            self.under_way = self.take_first();
        }
        self.under_way.clone().map_or(Step::Rest, Step::Send)
    }

    /// The most urgent of those that wait. Of several that which was tried least, so that one that is never taken holds
    /// up no other, and then that which came first.
    fn take_first(&mut self) -> Option<Letter> {
        let rank = |letter: &Letter| (letter.alert.matter.rank(), Reverse((letter.tries, letter.at)));
        let all = self
            .waiting
            .iter()
            .flat_map(|(name, letters)| letters.iter().enumerate().map(move |it| (name, it)));
        // Of equals the last is the greatest.
        let all: Vec<_> = all.collect();
        let (name, (at, _)) = all.into_iter().rev().max_by_key(|(_, (_, letter))| rank(letter))?;
        let name = name.clone();
        let letters = self.waiting.get_mut(&name)?;
        let letter = letters.remove(at);
        if letters.is_empty() {
            self.waiting.remove(&name);
        }
        if let Some(told) = self.told.get_mut(&name).filter(|_| letter.alert.matter == Matter::Recovered) {
            // From here on it may know of no trouble.
            *told = Told { last: told.last, ..Told::default() };
        }
        Some(Letter { left_out: std::mem::take(&mut self.left_out), ..letter })
    }

    /// What came of the letter that was to be sent.
    pub(super) fn done(&mut self, result: Result<(), &Failure>, now: Moment, jitter: Jitter) -> Fate {
        let Some(mut letter) = self.under_way.take() else { return Fate::Delivered };
        self.note(&letter.alert, result.is_ok(), now);
        let Err(failure) = result else {
            self.failures = 0;
            return Fate::Delivered;
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause(failure, self.failures, jitter);
        self.left_out.add(std::mem::take(&mut letter.left_out));
        letter.tries = letter.tries.saturating_add(1);
        let is_urgent = letter.alert.matter.rank() == Severity::Critical;
        let is_stuck = failure.retry() == Retry::Never || letter.tries >= TRIES;
        if self.is_undone(&letter.alert) || is_stuck && !is_urgent {
            self.left_out.add(LeftOut { count: 1, since: letter.at });
            return Fate::GivenUp;
        }
        self.keep(letter);
        if is_stuck { Fate::Overdue } else { Fate::Postponed }
    }

    /// Whether something waits that came later and says that this is not true any more.
    fn is_undone(&self, alert: &Alert) -> bool {
        let mut waiting = self.waiting.get(&alert.credential).into_iter().flatten();
        waiting.any(|letter| letter.alert.matter.undoes(alert.matter))
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
        self.count_waiting() + usize::from(self.under_way.is_some())
    }

    fn count_waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}

/// How long a sink is left in peace after so many failures in a row: twice as long with each, once they are many.
fn pause(failure: &Failure, failures: u16, jitter: Jitter) -> Duration {
    let usual = delay(failure, false, failures, jitter);
    let doublings = u32::from(failures.saturating_add(1).saturating_sub(TRIES)).min(8);
    usual.max((usual * (1 << doublings)).min(PEACE))
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
        let check = |matter, failure: Failure, tries: u16, wait: RangeInclusive<u64>, last: Fate| {
            let mut outbox = Outbox::new(HOUR);
            outbox.put(alert("a", matter), at(0));
            let (mut now, mut fate) = (at(0), Fate::Delivered);
            for attempt in 1..=tries {
                assert!(matches!(outbox.next(now), Step::Send(_)), "{failure} {attempt}");
                fate = outbox.done(Err(&failure), now, Jitter(u32::MAX / 7));
                if let Step::Wait(until) = outbox.next(now) {
                    assert!(
                        attempt < tries || wait.contains(&(until - now).as_secs()),
                        "{failure}: {:?}",
                        until - now
                    );
                    now = until;
                }
            }
            let left = usize::from(last != Fate::GivenUp);
            assert_eq!((fate, outbox.count()), (last, left), "{failure}");
        };
        let after = |span| failure(Kind::Throttled).with_retry(Retry::After(Some(span)));
        check(SEALED, failure(Kind::Unreachable), 4, 1..=4, Fate::Postponed);
        check(SEALED, failure(Kind::Unreachable), 5, 2..=8, Fate::Overdue);
        check(SEALED, failure(Kind::Unreachable), 500, 250..=300, Fate::Overdue);
        check(RENEWED, failure(Kind::Unreachable), 5, 0..=0, Fate::GivenUp);
        check(SEALED, after(Duration::from_secs(30)), 2, 30..=30, Fate::Postponed);
        check(SEALED, after(HOUR), 1, 120..=120, Fate::Postponed);
        check(SEALED, failure(Kind::Invalid), 1, 45..=60, Fate::Overdue);
        check(SEALED, failure(Kind::Denied), 9, 250..=300, Fate::Overdue);
        check(RENEWED, failure(Kind::Denied), 1, 0..=0, Fate::GivenUp);
    }

    #[test]
    fn what_comes_once_waits_for_a_sink_that_is_away_for_a_day() {
        let check = |before: &[Matter], once: Matter| {
            let mut open = Open::new();
            before.iter().for_each(|matter| _ = open.tell("a", *matter, 0));
            open.0.put(alert("a", once), at(1));
            let (mut now, mut tries) = (at(1), 0);
            while now < at(86_400) {
                match open.0.next(now) {
                    Step::Send(_) => {
                        open.0.done(Err(&failure(Kind::Unreachable)), now, Jitter(0));
                        tries += 1;
                    }
                    Step::Wait(until) => now = until,
                    Step::Rest => panic!("{once:?} is lost"),
                }
            }
            let sent = open.drain(86_400 + 300);
            assert_eq!(sent.iter().map(|letter| letter.alert.matter).collect::<Vec<_>>(), [once]);
            assert!((280..400).contains(&tries), "{tries}");
        };
        check(&[], Matter::Failed { cause: "ended" });
        check(&[SEALED], Matter::Recovered);
    }

    #[test]
    fn the_sink_knows_in_the_end_what_is_so() {
        // Each: what comes, `-` for a letter that is taken, `x` for one that is lost, `>` for one that goes its way.
        let check = |course: &[&'static str], expect: &[Matter]| {
            let (mut outbox, mut sent) = (Outbox::new(HOUR), Vec::new());
            let lost = failure(Kind::Unreachable);
            for (second, step) in (0..).map(|step| at(step * 1_000)).zip(course) {
                match *step {
                    ">" => _ = outbox.next(second),
                    "x" => _ = (outbox.next(second), outbox.done(Err(&lost), second, Jitter(0))),
                    "-" => {
                        let Step::Send(letter) = outbox.next(second) else {
                            panic!("nothing to send: {course:?}")
                        };
                        outbox.done(Ok(()), second, Jitter(0));
                        sent.push(letter.alert.matter);
                    }
                    "well" => outbox.put(alert("a", Matter::Recovered), second),
                    cause => outbox.put(alert("a", Matter::Failed { cause }), second),
                }
            }
            sent.extend(Open(outbox).drain(900_000).iter().map(|letter| letter.alert.matter));
            assert_eq!(sent, expect, "{course:?}");
        };
        let well = Matter::Recovered;
        check(&["sealed", "-", "well", "sealed"], &[SEALED]);
        check(&["sealed", "-", "well", "denied"], &[SEALED, DENIED]);
        check(&["sealed", "-", "well", ">", "sealed"], &[SEALED, well, SEALED]);
        check(&["sealed", "-", "well", "x", "sealed"], &[SEALED, SEALED]);
        check(&["sealed", "-", "well", ">", "sealed", "x"], &[SEALED, SEALED]);
        check(&["sealed", "-", "well", ">", "sealed", "well"], &[SEALED, well]);
        check(&["sealed", ">", "well", "sealed"], &[SEALED]);
        check(&["sealed", ">", "well", "x"], &[well]);
        check(&["sealed", "x", "well"], &[well]);
        check(&["sealed", "well"], &[]);
        check(&["sealed", "x", "denied"], &[DENIED, SEALED]);
    }

    #[test]
    fn one_that_is_never_taken_holds_up_no_other() {
        let mut outbox = Outbox::new(HOUR);
        outbox.put(alert("bad", SEALED), at(0));
        (0..5).for_each(|name| outbox.put(alert(&name.to_string(), SEALED), at(1)));
        let (mut now, mut taken) = (at(1), 0);
        while now < at(1_000) {
            match outbox.next(now) {
                Step::Send(letter) if letter.alert.credential == "bad" => {
                    outbox.done(Err(&failure(Kind::Invalid)), now, Jitter(0));
                }
                Step::Send(_) => {
                    outbox.done(Ok(()), now, Jitter(0));
                    taken += 1;
                }
                Step::Wait(until) => now = until,
                Step::Rest => panic!("the bad one is lost"),
            }
        }
        assert_eq!((taken, outbox.count()), (5, 1));
    }

    #[test]
    fn what_was_not_taken_is_counted_and_taken_back() {
        let mut outbox = Outbox::new(HOUR);
        outbox.put(alert("a", SEALED), at(0));
        assert!(matches!(outbox.next(at(1)), Step::Send(_)));
        assert_eq!(outbox.done(Err(&failure(Kind::Invalid)), at(2), Jitter(0)), Fate::Overdue);
        // It may have got there all the same.
        outbox.put(alert("a", Matter::Recovered), at(3));
        let sent = Open(outbox).drain(100);
        let told: Vec<_> = sent.iter().map(|letter| (letter.alert.matter, letter.left_out)).collect();
        assert_eq!(told, [(Matter::Recovered, LeftOut { count: 1, since: at(0) })]);
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
        assert_eq!((outbox.count(), outbox.left_out.count), (CREDENTIALS, 10_000 - CREDENTIALS as u64));
        // The end of a trouble needs no room.
        outbox.put(alert("7", Matter::Recovered), at(0));
        assert_eq!(outbox.count(), CREDENTIALS - 1);
        for name in 0..10_000 {
            outbox.note(&alert(&name.to_string(), SEALED), true, at(name));
        }
        assert_eq!(outbox.told.len(), CREDENTIALS);
        assert!(outbox.told.contains_key("9999") && !outbox.told.contains_key("0"));
    }
}

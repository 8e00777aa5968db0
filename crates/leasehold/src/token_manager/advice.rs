//! What is odd about the settings, given the token that they are for.

use std::fmt;
use std::time::Duration;

/// How often a token should be looked up.
const USUAL_CHECK: Duration = Duration::from_secs(300);
/// Looked up more often than this, a token that lives for long only makes work.
const SHORT_CHECK: Duration = Duration::from_secs(60);
/// A life for which that is so.
const LONG_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How many looks should fall into the time in which the token may be renewed.
const LOOKS: u32 = 3;

/// One setting that does not fit, with the value that would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is odd.
    pub oddity: Oddity,
    /// The setting's value.
    pub value: Duration,
    /// The value that would be right.
    pub right: Duration,
}

/// What can be odd about the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oddity {
    /// `renew_threshold` is longer than half of the token's life, or even than all of it, so that it would be renewed all
    /// the time; half of the life is used.
    ThresholdBeyondHalf,
    /// `renew_threshold` is shorter than a few check intervals: an outage between two looks may be noticed too late.
    ThresholdWithinChecks,
    /// `check_interval` is too long for a token that lives this short: a few do not fit into half of its life.
    SparseChecks,
    /// `check_interval` is under a minute for a token that lives for days.
    HastyChecks,
    /// `healthy_above` is not less than what is left when the token is renewed: near the end of each of its lives the
    /// health is bad, with nothing wrong.
    HealthBeyondThreshold,
}

impl Oddity {
    /// The setting that it is about.
    pub fn setting(self) -> &'static str {
        match self {
            Self::ThresholdBeyondHalf | Self::ThresholdWithinChecks => "renew_threshold",
            Self::SparseChecks | Self::HastyChecks => "check_interval",
            Self::HealthBeyondThreshold => "healthy_above",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::ThresholdBeyondHalf => "longer than half of the token's life",
            Self::ThresholdWithinChecks => "shorter than three check intervals",
            Self::SparseChecks => "long for a token that lives this short",
            Self::HastyChecks => "short for a token that lives this long",
            Self::HealthBeyondThreshold => "not less than what is left at a renewal",
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (setting, reason) = (self.oddity.setting(), self.oddity.reason());
        let (value, right) = (self.value.as_secs_f64(), self.right.as_secs_f64());
        write!(f, "{setting} of {value} s is {reason}: {right} s would be right")
    }
}

/// The settings that advice is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    pub(super) check: Duration,
    pub(super) threshold: Duration,
    pub(super) healthy_above: Duration,
}

/// What is odd for a token of this life, with values that fit each other. Of one that was brought only the rest is known
/// until it is renewed, so nothing is too long for it before that.
pub(super) fn advise(spans: Spans, life: Duration, is_whole: bool) -> Vec<Advice> {
    let Spans { check, threshold, healthy_above } = spans;
    let is_beyond = is_whole && threshold > life / 2;
    let few = check.saturating_mul(LOOKS);
    let fits = !is_whole || few <= life / 2;
    let right = match (is_beyond, fits) {
        (false, _) => threshold,
        (true, true) => few.max(life / 4),
        (true, false) => life / 4,
    };
    let beyond = is_beyond.then_some((Oddity::ThresholdBeyondHalf, threshold, right));
    let within = match fits {
        true => (Oddity::ThresholdWithinChecks, threshold, few),
        false => (Oddity::SparseChecks, check, right.min(life / 4) / LOOKS),
    };
    let within = (right < few).then_some(within);
    let is_hasty = check < SHORT_CHECK && life > LONG_LIFE;
    let hasty = is_hasty.then_some((Oddity::HastyChecks, check, USUAL_CHECK));
    let left = if fits { right.max(few) } else { right };
    let ill = (healthy_above >= left).then_some((Oddity::HealthBeyondThreshold, healthy_above, left / 2));
    let all = [beyond, within, hasty, ill].into_iter().flatten();
    all.map(|(oddity, value, right)| Advice { oddity, value, right }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    const MONTH: u64 = 30 * DAY;

    /// What is told of these settings, in seconds.
    fn told([check, threshold, healthy]: [u64; 3], life: u64, is_whole: bool) -> Vec<(Oddity, u64)> {
        let [check, threshold, healthy_above, life] =
            [check, threshold, healthy, life].map(Duration::from_secs);
        let advice = advise(Spans { check, threshold, healthy_above }, life, is_whole);
        advice.iter().map(|it| (it.oddity, it.right.as_secs())).collect()
    }

    #[test]
    fn each_oddity_is_told_with_the_right_value() {
        let check = |interval, threshold, life, is_whole, expect: &[(Oddity, u64)]| {
            let found = told([interval, threshold, 0], life, is_whole);
            assert_eq!(found, expect, "{interval} {threshold} {life}");
        };
        check(300, 2 * HOUR, MONTH, true, &[]);
        check(300, 2 * HOUR, HOUR, true, &[(Oddity::ThresholdBeyondHalf, HOUR / 4)]);
        check(300, 2 * HOUR, HOUR, false, &[]);
        for (life, right) in [(1_800, 900), (2_400, 900), (3_000, 900), (3_599, 900), (4_000, 1_000)] {
            check(300, 2 * HOUR, life, true, &[(Oddity::ThresholdBeyondHalf, right)]);
        }
        check(300, MONTH, MONTH, true, &[(Oddity::ThresholdBeyondHalf, MONTH / 4)]);
        check(300, 20 * DAY, MONTH, true, &[(Oddity::ThresholdBeyondHalf, MONTH / 4)]);
        check(300, MONTH / 2 + 1, MONTH, true, &[(Oddity::ThresholdBeyondHalf, MONTH / 4)]);
        check(300, MONTH / 2, MONTH, true, &[]);
        check(300, 899, MONTH, true, &[(Oddity::ThresholdWithinChecks, 900)]);
        check(300, 900, MONTH, true, &[]);
        check(59, 2 * HOUR, MONTH, true, &[(Oddity::HastyChecks, 300)]);
        check(59, 2 * HOUR, 4 * HOUR, true, &[]);
        let both = [(Oddity::ThresholdBeyondHalf, 150), (Oddity::SparseChecks, 50)];
        check(300, 2 * HOUR, 600, true, &both);
        check(50, 150, 600, true, &[]);
    }

    #[test]
    fn health_is_to_be_good_until_a_renewal_is_due() {
        let check = |spans, life, expect: Option<u64>| {
            let found = told(spans, life, true);
            let right = found.iter().find(|(oddity, _)| *oddity == Oddity::HealthBeyondThreshold);
            assert_eq!(right.map(|(_, right)| *right), expect, "{spans:?} {life}: {found:?}");
        };
        let usual = [300, 2 * HOUR, HOUR];
        check(usual, MONTH, None);
        check(usual, 4 * HOUR, None);
        // By the right threshold of a quarter.
        check(usual, 3 * HOUR, Some(3 * HOUR / 8));
        check(usual, HOUR, Some(HOUR / 8));
        check([300, 2 * HOUR, HOUR / 8], HOUR, None);
        check([300, HOUR, HOUR], MONTH, Some(HOUR / 2));
        check([300, HOUR + 1, HOUR], MONTH, None);
        check([HOUR, HOUR, 2 * HOUR], MONTH, None);
        check([300, 150, 200], 600, Some(75));
    }

    #[test]
    fn what_is_advised_is_not_advised_against() {
        for life in [60, 600, HOUR, 3 * HOUR, DAY, MONTH] {
            let mut spans = [300, 2 * HOUR, HOUR];
            for (oddity, right) in told(spans, life, true) {
                let at = ["check_interval", "renew_threshold", "healthy_above"];
                let at = at.iter().position(|name| *name == oddity.setting()).unwrap();
                spans[at] = right;
            }
            assert_eq!(told(spans, life, true), [], "{life}: {spans:?}");
        }
    }

    #[test]
    fn advice_is_one_sentence() {
        let [check, threshold] = [10, 7_200].map(Duration::from_secs);
        let spans = Spans { check, threshold, healthy_above: Duration::ZERO };
        let advice = advise(spans, LONG_LIFE * 30, true);
        assert_eq!(
            advice[0].to_string(),
            "check_interval of 10 s is short for a token that lives this long: 300 s would be right"
        );
    }
}

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
    /// `renew_threshold` is longer than the token lives, which would be renewed all the time; half of the life is used.
    ThresholdBeyondLife,
    /// `renew_threshold` is shorter than a few check intervals: an outage between two looks may be noticed too late.
    ThresholdWithinChecks,
    /// `check_interval` is too long for a token that lives this short: a few do not fit into half of its life.
    SparseChecks,
    /// `check_interval` is under a minute for a token that lives for days.
    HastyChecks,
}

impl Oddity {
    /// The setting that it is about.
    pub fn setting(self) -> &'static str {
        match self {
            Self::ThresholdBeyondLife | Self::ThresholdWithinChecks => "renew_threshold",
            Self::SparseChecks | Self::HastyChecks => "check_interval",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::ThresholdBeyondLife => "longer than the token lives",
            Self::ThresholdWithinChecks => "shorter than three check intervals",
            Self::SparseChecks => "long for a token that lives this short",
            Self::HastyChecks => "short for a token that lives this long",
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

/// What is odd for a token of this life, with values that fit each other. Of one that was brought only the rest is known
/// until it is renewed, so nothing is too long for it before that.
pub(super) fn advise(check: Duration, threshold: Duration, life: Duration, is_whole: bool) -> Vec<Advice> {
    let is_beyond = is_whole && threshold > life;
    let few = check.saturating_mul(LOOKS);
    let fits = !is_whole || few <= life / 2;
    let right = match (is_beyond, fits) {
        (false, _) => threshold,
        (true, true) => few.max(life / 4),
        (true, false) => life / 4,
    };
    let beyond = is_beyond.then_some((Oddity::ThresholdBeyondLife, threshold, right));
    let within = match fits {
        true => (Oddity::ThresholdWithinChecks, threshold, few),
        false => (Oddity::SparseChecks, check, right.min(life / 4) / LOOKS),
    };
    let within = (right < few).then_some(within);
    let is_hasty = check < SHORT_CHECK && life > LONG_LIFE;
    let hasty = is_hasty.then_some((Oddity::HastyChecks, check, USUAL_CHECK));
    let all = [beyond, within, hasty].into_iter().flatten();
    all.map(|(oddity, value, right)| Advice { oddity, value, right }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_oddity_is_told_with_the_right_value() {
        const HOUR: u64 = 3_600;
        const MONTH: u64 = 720 * HOUR;
        let check = |interval, threshold, life, is_whole, expect: &[(Oddity, u64)]| {
            let span = Duration::from_secs;
            let advice = advise(span(interval), span(threshold), span(life), is_whole);
            let found: Vec<_> = advice.iter().map(|it| (it.oddity, it.right.as_secs())).collect();
            assert_eq!(found, expect, "{interval} {threshold} {life}");
        };
        check(300, 2 * HOUR, MONTH, true, &[]);
        check(300, 2 * HOUR, HOUR, true, &[(Oddity::ThresholdBeyondLife, HOUR / 4)]);
        check(300, 2 * HOUR, HOUR, false, &[]);
        for (life, right) in [(1_800, 900), (2_400, 900), (3_000, 900), (3_599, 900), (4_000, 1_000)] {
            check(300, 2 * HOUR, life, true, &[(Oddity::ThresholdBeyondLife, right)]);
        }
        check(300, 899, MONTH, true, &[(Oddity::ThresholdWithinChecks, 900)]);
        check(300, 900, MONTH, true, &[]);
        check(59, 2 * HOUR, MONTH, true, &[(Oddity::HastyChecks, 300)]);
        check(59, 2 * HOUR, 3 * HOUR, true, &[]);
        let both = [(Oddity::ThresholdBeyondLife, 150), (Oddity::SparseChecks, 50)];
        check(300, 2 * HOUR, 600, true, &both);
        check(50, 150, 600, true, &[]);
    }

    #[test]
    fn advice_is_one_sentence() {
        let advice = advise(Duration::from_secs(10), Duration::from_secs(7_200), LONG_LIFE * 30, true);
        assert_eq!(
            advice[0].to_string(),
            "check_interval of 10 s is short for a token that lives this long: 300 s would be right"
        );
    }
}

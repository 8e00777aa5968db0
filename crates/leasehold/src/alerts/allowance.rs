//! How many alerts a sink may be sent: a few at once, and then one in a while.

use std::time::Duration;

use leasehold_core::Moment;

/// How many may go at once after a quiet time.
const BURST: u32 = 10;
/// How often one may go in the long run.
const STEP: Duration = Duration::from_secs(6);

/// A bucket of turns, kept as the one instant from which it would be full.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance {
    full_at: Moment,
}

impl Allowance {
    /// How many may go at this moment.
    pub(super) fn left(&self, now: Moment) -> usize {
        let missing = (self.full_at - now).as_nanos().div_ceil(STEP.as_nanos());
        (BURST as usize).saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX))
    }

    /// Takes a turn, or says when there will be one.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Moment> {
        if self.left(now) == 0 {
            return Err((self.full_at - STEP * (BURST - 1)).max(now));
        }
        self.full_at = self.full_at.max(now) + STEP;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_and_then_one_in_a_while() {
        let mut allowance = Allowance::default();
        let start = Moment::default() + Duration::from_secs(1_000);
        let at_once = (0..100).filter(|_| allowance.take(start).is_ok()).count();
        assert_eq!((at_once, allowance.left(start)), (10, 0));
        assert_eq!(allowance.take(start), Err(start + STEP));
        let second = |second| start + Duration::from_secs(second);
        let passed = (1..=600).filter(|at| allowance.take(second(*at)).is_ok()).count();
        assert_eq!(passed, 100);
        assert_eq!(allowance.left(second(600 + 59)), 9);
        assert_eq!(allowance.left(second(100_000)), 10, "what was not used is not saved up");
    }
}

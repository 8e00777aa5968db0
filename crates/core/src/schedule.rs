//! Pure timing: instants from policy, lease, round trip and jitter.

use std::time::Duration;

use crate::failure::{Course, Failure, Retry};
use crate::moment::Moment;
use crate::policy::{Jitter, Renew};

/// The shortest time between two errands of the same slot that nobody asked for.
pub(crate) const FLOOR: Duration = Duration::from_secs(1);
/// The longest delay after a transient failure. A server that is back is noticed within it, and a token that died
/// meanwhile is good again within five seconds.
const CEILING: Duration = Duration::from_secs(4);
/// How often something that is refused is looked at again, since somebody may mend it.
const PROBE: Duration = Duration::from_secs(60);
/// The longest delay that a server may impose by `Retry-After`.
const PATIENCE: Duration = Duration::from_secs(120);
/// The least margin before an expiry.
const MARGIN: Duration = Duration::from_secs(2);

/// The three instants of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// Renewal starts, or replacement if it cannot be renewed.
    pub soft: Moment,
    /// A replacement must be there.
    pub hard: Moment,
    /// It ends.
    pub expiry: Moment,
}

/// What is left between the hard instant and the expiry: the largest of a tenth of the life, two seconds and
/// three round trips; at most half of the life.
pub fn margin(life: Duration, round_trip: Duration) -> Duration {
    (life / 10).max(MARGIN).max(round_trip * 3).min(life / 2)
}

/// The instants of a life from `begun` to `expiry`, and whether the policy's threshold had to be clamped
/// because it is longer than the life.
pub fn instants(
    renew: Renew,
    begun: Moment,
    expiry: Moment,
    round_trip: Duration,
    jitter: Jitter,
) -> (Instants, bool) {
    if expiry == Moment::NEVER {
        return (Instants { soft: expiry, hard: expiry, expiry }, false);
    }
    let life = expiry - begun;
    let (soft, margin, clamped) = match renew {
        Renew::Part { from, to } => {
            let (from, to) = (part(life, from.min(to)), part(life, to));
            (begun + (to - jitter.of(to - from)), margin(life, round_trip), false)
        }
        // A tenth of a month is three days: more than a threshold of two hours asks for, so the threshold
        // bounds the margin too.
        Renew::Below(left) => {
            let used = left.min(life / 2);
            (expiry - used - jitter.of(used / 10), margin(life.min(used * 5), round_trip), used < left)
        }
    };
    let hard = expiry - margin;
    (Instants { soft: soft.min(hard), hard, expiry }, clamped)
}

fn part(span: Duration, thousandths: u16) -> Duration {
    let nanos = span.as_nanos() * u128::from(thousandths.min(1000)) / 1000;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How long to wait after the `attempt`th failure in a row (from 1 on).
pub fn delay(failure: &Failure, is_login: bool, attempt: u16, jitter: Jitter) -> Duration {
    let jitter = jitter.step(attempt);
    match failure.kind().course() {
        Course::Transient => {
            let asked = match failure.retry() {
                Retry::After(Some(asked)) => asked.min(PATIENCE),
                Retry::After(None) | Retry::Never | Retry::Ambiguous => Duration::ZERO,
            };
            backoff(attempt, jitter).max(asked)
        }
        // How often it may be refused at all is told elsewhere.
        Course::Dead | Course::Denied | Course::Misconfigured if is_login => backoff(attempt, jitter),
        Course::Dead | Course::Denied | Course::Misconfigured => PROBE - jitter.of(PROBE / 4),
    }
}

/// Between the floor and twice as much with each attempt, up to the ceiling.
pub(crate) fn backoff(attempt: u16, jitter: Jitter) -> Duration {
    let most = FLOOR * (1 << attempt.min(3));
    FLOOR + jitter.of(most.min(CEILING) - FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    const EDGES: [Jitter; 3] = [Jitter(0), Jitter(u32::MAX / 2), Jitter(u32::MAX)];

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn check(renew: Renew, life: u64, earliest: u64, latest: u64, clamped: bool) {
        let begun = Moment::default() + seconds(1_000);
        for jitter in EDGES {
            let (at, was_clamped) = instants(renew, begun, begun + seconds(life), seconds(0), jitter);
            let soft = at.soft - begun;
            assert!(soft >= seconds(earliest) && soft <= seconds(latest), "{renew:?} {life}: {soft:?}");
            assert!(at.soft <= at.hard && at.hard < at.expiry, "{at:?}");
            assert_eq!(was_clamped, clamped, "{renew:?} {life}");
        }
    }

    #[test]
    fn soft_instants() {
        const HOUR: u64 = 3600;
        const MONTH: u64 = 720 * HOUR;
        check(Renew::USUAL, 1_000, 500, 750, false);
        check(Renew::QUARTER_LEFT, MONTH, 540 * HOUR, 540 * HOUR, false);
        check(Renew::Below(seconds(7_200)), MONTH, 717 * HOUR, 718 * HOUR, false);
        check(Renew::Below(seconds(300)), HOUR, 3_270, 3_300, false);
        // A threshold longer than the lease is clamped to half of it: never a renewal right after login.
        check(Renew::Below(seconds(7_200)), HOUR, 1_620, 1_800, true);
        // The margin of two seconds wins over the policy in a short life.
        check(Renew::QUARTER_LEFT, 4, 2, 2, false);
        check(Renew::Part { from: 1_000, to: 1_000 }, 100, 90, 90, false);
    }

    #[test]
    fn the_margin_is_the_largest_of_three() {
        assert_eq!(margin(seconds(1_000), seconds(0)), seconds(100));
        assert_eq!(margin(seconds(10), seconds(0)), seconds(2));
        assert_eq!(margin(seconds(10), seconds(1)), seconds(3));
        assert_eq!(margin(seconds(2), seconds(9)), seconds(1));
    }

    #[test]
    fn what_never_ends_is_never_due() {
        let (at, _) = instants(Renew::USUAL, Moment::default(), Moment::NEVER, seconds(0), Jitter(9));
        assert_eq!(at.soft, Moment::NEVER);
    }

    #[test]
    fn ten_years_are_fine() {
        let years = seconds(10 * 365 * 24 * 3600);
        let (at, _) =
            instants(Renew::USUAL, Moment::default(), Moment::default() + years, seconds(0), Jitter(0));
        assert_eq!(at.soft - Moment::default(), years / 4 * 3);
    }

    #[test]
    fn delays_have_a_floor_and_a_ceiling() {
        for jitter in EDGES {
            for attempt in 1..100 {
                let transient = delay(&Failure::new(Kind::Unreachable, "x"), false, attempt, jitter);
                assert!(transient >= FLOOR && transient <= CEILING, "{attempt}: {transient:?}");
                let denied = delay(&Failure::new(Kind::Denied, "x"), false, attempt, jitter);
                assert!(denied >= seconds(45) && denied <= PROBE, "{attempt}: {denied:?}");
            }
        }
    }

    #[test]
    fn a_servers_wish_is_heeded_within_reason() {
        let throttled =
            |wait| Failure::new(Kind::Throttled, "x").with_retry(Retry::After(Some(seconds(wait))));
        assert_eq!(delay(&throttled(9), false, 1, Jitter(0)), seconds(9));
        assert_eq!(delay(&throttled(1_000_000), false, 1, Jitter(0)), PATIENCE);
    }
}

//! What a client does about an answer: refresh the token, send again, or leave it.

use std::time::Duration;

use http::StatusCode;
use leasehold_core::Moment;
use tokio::sync::watch;

/// Between two wishes for a refresh, of all requests together.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How often a request is sent again after 5xx or silence.
const RETRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The rules for requests to one peer, shared by all of them.
///
/// After 401 or 403 a refresh of the token is asked for, at most once in ten seconds, and the request is sent once
/// more with the new token; after 5xx or no answer at all it is sent again after 2, 4 and 8 s. Each time it is signed
/// anew, with another id: the peer cannot tell that it had it before. So a request that must not be carried out twice
/// is sent once and without these rules.
///
/// [`send`](Self::send) goes by them with any client. Who signs a body in pieces asks for the [`next`](Self::next) step
/// after each answer and has it [done](Self::act):
///
/// ```
/// use http::StatusCode;
/// use leasehold::core::Moment;
/// use leasehold::signing::{Attempt, Next, Outbound, Outcome};
/// use std::time::Duration;
///
/// let (outbound, now) = (Outbound::default(), Moment::default());
/// let mut attempt = Attempt::default();
/// // Signed with the first token, which is still the present one.
/// let next = outbound.next(&mut attempt, Outcome::Answer(StatusCode::UNAUTHORIZED), 1, 1, now);
/// assert_eq!(next, Next::Refresh);
/// // The token was read, and is another one.
/// outbound.refreshed();
/// // Signed with the second.
/// let next = outbound.next(&mut attempt, Outcome::Answer(StatusCode::BAD_GATEWAY), 2, 2, now);
/// assert_eq!(next, Next::Send { after: Duration::from_secs(2) });
/// let next = outbound.next(&mut attempt, Outcome::Answer(StatusCode::OK), 2, 2, now);
/// assert_eq!(next, Next::Leave);
/// ```
#[derive(Debug, Default)]
pub struct Outbound {
    last: watch::Sender<Option<Refresh>>,
}

/// The refresh that was last asked for.
#[derive(Clone, Copy, Debug)]
struct Refresh {
    asked: Moment,
    is_under_way: bool,
}

/// What one request has behind it.
#[derive(Debug, Default)]
pub struct Attempt {
    was_refused: bool,
    failures: u32,
}

/// What came of sending a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer answered.
    Answer(StatusCode),
    /// It did not.
    Silence,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Hand the outcome on, good or bad.
    Leave,
    /// Have the token refreshed, and say when that is [over](Outbound::refreshed); if there is another one then, sign anew
    /// and send, else hand the outcome on.
    Refresh,
    /// The refresh that another request asked for is under way. Wait [until it is over](Outbound::wait), at most so long;
    /// if there is another token then, sign anew and send, else hand the outcome on.
    Await(Duration),
    /// Sign anew and send, after that pause.
    Send {
        /// The pause; zero for at once.
        after: Duration,
    },
}

impl Outbound {
    /// What to do after `outcome`, where `signed` is the generation of the token that the request was signed with and
    /// `present` that of the present one.
    pub fn next(
        &self,
        attempt: &mut Attempt,
        outcome: Outcome,
        signed: u32,
        present: u32,
        now: Moment,
    ) -> Next {
        match outcome {
            Outcome::Answer(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                self.refused(attempt, signed != present, now)
            }
            Outcome::Answer(status) if !status.is_server_error() => Next::Leave,
            Outcome::Answer(_) | Outcome::Silence => attempt.failed(),
        }
    }

    fn refused(&self, attempt: &mut Attempt, is_old: bool, now: Moment) -> Next {
        if std::mem::replace(&mut attempt.was_refused, true) {
            return Next::Leave;
        }
        if is_old {
            return Next::Send { after: Duration::ZERO };
        }
        let mut next = Next::Refresh;
        self.last.send_if_modified(|last| {
            let left = last.map_or(Duration::ZERO, |last| now.until(last.asked + REFRESH_PAUSE));
            match last {
                Some(last) if !left.is_zero() && last.is_under_way => next = Next::Await(left),
                Some(_) if !left.is_zero() => next = Next::Leave,
                _ => *last = Some(Refresh { asked: now, is_under_way: true }),
            }
            next == Next::Refresh
        });
        next
    }

    /// The refresh that was asked for is over, whether it has brought another token or not. Those who wait for it go on,
    /// and for the rest of the ten seconds nobody waits: who is refused then is refused rightly.
    pub fn refreshed(&self) {
        self.last.send_modify(|last| {
            if let Some(last) = last {
                last.is_under_way = false;
            }
        });
    }

    /// Returns once no refresh is under way.
    pub async fn wait(&self) {
        let is_over = |last: &Option<Refresh>| last.is_none_or(|last| !last.is_under_way);
        // It is not closed while we are here.
        let _ = self.last.subscribe().wait_for(is_over).await;
    }
}

impl Attempt {
    fn failed(&mut self) -> Next {
        if self.failures == RETRIES {
            return Next::Leave;
        }
        self.failures += 1;
        Next::Send { after: pause(self.failures) }
    }
}

/// Before the so-manyth time that it is sent again.
fn pause(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: (u32, u32) = (1, 2);
    const PRESENT: (u32, u32) = (2, 2);

    fn answer(status: u16) -> Outcome {
        Outcome::Answer(StatusCode::from_u16(status).unwrap())
    }

    fn send(seconds: u64) -> Next {
        Next::Send { after: Duration::from_secs(seconds) }
    }

    /// One request's outcomes in turn, with the generations, and what is done about each.
    fn check(outbound: &Outbound, at: u64, steps: &[(Outcome, (u32, u32), Next)]) {
        let (mut attempt, now) = (Attempt::default(), Moment::default() + Duration::from_secs(at));
        for (step, (outcome, (signed, present), expect)) in steps.iter().enumerate() {
            let next = outbound.next(&mut attempt, *outcome, *signed, *present, now);
            assert_eq!(next, *expect, "step {step} at {at} s");
        }
    }

    #[test]
    fn a_refused_request_is_sent_once_more_with_another_token() {
        for status in [401, 403] {
            let refused = answer(status);
            let outbound = Outbound::default();
            check(&outbound, 0, &[(refused, PRESENT, Next::Refresh), (refused, PRESENT, Next::Leave)]);
            let rest = Duration::from_secs(6);
            check(&outbound, 4, &[(refused, PRESENT, Next::Await(rest)), (refused, PRESENT, Next::Leave)]);
            check(&outbound, 4, &[(refused, OLD, send(0)), (refused, OLD, Next::Leave)]);
            // The refresh is over and has brought nothing else, so there is nothing to wait for.
            outbound.refreshed();
            check(&outbound, 5, &[(refused, PRESENT, Next::Leave)]);
            check(&outbound, 5, &[(refused, OLD, send(0)), (refused, OLD, Next::Leave)]);
            check(&outbound, 10, &[(refused, PRESENT, Next::Refresh)]);
        }
    }

    #[test]
    fn failures_are_sent_again_three_times() {
        for failed in [answer(500), answer(503), Outcome::Silence] {
            let steps = [send(2), send(4), send(8), Next::Leave].map(|next| (failed, PRESENT, next));
            check(&Outbound::default(), 0, &steps);
        }
    }

    #[test]
    fn both_kinds_of_trouble_have_their_own_count() {
        let steps = [
            (answer(502), PRESENT, send(2)),
            (answer(401), PRESENT, Next::Refresh),
            (Outcome::Silence, PRESENT, send(4)),
            (answer(403), PRESENT, Next::Leave),
        ];
        check(&Outbound::default(), 0, &steps);
    }

    #[test]
    fn what_is_neither_is_left() {
        for status in [200, 204, 302, 400, 404, 409, 422, 429] {
            check(&Outbound::default(), 0, &[(answer(status), PRESENT, Next::Leave)]);
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<u64> = (1..=7).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}

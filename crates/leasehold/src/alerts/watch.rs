//! What becomes of a credential, as alerts.

use std::time::Duration;

use leasehold_core::{Kind, Moment};

use super::alert::{Alert, Matter};
use crate::token_manager::TokenEvent;
use crate::token_refresh::RefreshEvent;

/// How far a renewal has to go beyond a known end, to be more than the same end, measured again.
const SLACK: Duration = Duration::from_secs(2);

/// Follows one credential: makes alerts of what happens to it, and knows when trouble is over.
///
/// ```
/// use leasehold::alerts::{Matter, Watch};
/// use leasehold::clock::Clock;
/// use leasehold::core::Kind;
/// use leasehold::token_manager::TokenEvent;
///
/// let (now, mut watch) = (Clock::default().now(), Watch::new("the token of billing"));
/// let event = TokenEvent::Failed { kind: Kind::Sealed, message: "the server is sealed".into(), attempt: 1 };
/// assert_eq!(watch.hear(&event, now)[0].matter, Matter::Failed { cause: "sealed" });
/// let alerts = watch.hear(&TokenEvent::Checked { ttl: None }, now);
/// assert_eq!(alerts[0].matter, Matter::Recovered);
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    credential: String,
    trouble: Trouble,
    /// In these words the server said that what is held is dead. Its end comes next, or else it only refuses to renew it.
    doubt: Option<String>,
    /// It has ended, and nothing has gone well since.
    has_ended: bool,
}

/// What [`Alerts::watch`](super::Alerts::watch) can hear. What happens to something of one's own is told in the words of
/// a [`TokenEvent`].
pub trait Happening: Send {
    /// The alerts that it is worth, in their order.
    fn alerts(&self, watch: &mut Watch, now: Moment) -> Vec<Alert>;
}

impl Happening for TokenEvent {
    fn alerts(&self, watch: &mut Watch, now: Moment) -> Vec<Alert> {
        watch.hear(self, now)
    }
}

impl Happening for RefreshEvent {
    fn alerts(&self, watch: &mut Watch, now: Moment) -> Vec<Alert> {
        watch.hear_refresh(self, now).into_iter().collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// Over once anything goes well.
    Failing,
    /// Over once it is renewed or replaced: that it lives says nothing.
    Refused,
    /// Over once it is replaced, or there is life beyond this.
    Ending(Moment),
}

impl Watch {
    /// Of a credential by this name, which is well so far.
    pub fn new(credential: impl Into<String>) -> Self {
        Self { credential: credential.into(), trouble: Trouble::None, doubt: None, has_ended: false }
    }

    /// The alerts that an event is worth, in their order.
    pub fn hear(&mut self, event: &TokenEvent, now: Moment) -> Vec<Alert> {
        let told = match event {
            TokenEvent::Obtained { .. } => self.recovery(true),
            TokenEvent::Renewed { ttl, replaced } => {
                let recovery = self.recovery(*replaced || self.is_outlived(*ttl, now));
                let renewed = self.alert(Matter::Renewed { ttl: *ttl }, renewed(*ttl, *replaced));
                return recovery.into_iter().chain([renewed]).collect();
            }
            TokenEvent::Checked { .. } if self.trouble == Trouble::Failing && self.doubt.is_none() => {
                self.recovery(true)
            }
            TokenEvent::Expiring { left } => {
                self.ends_at(now + *left);
                Some(self.alert(Matter::Expiring { left: *left }, format!("it ends in {}", span(*left))))
            }
            TokenEvent::Failed { kind, message, .. } => self.failure(*kind, message),
            TokenEvent::Doomed { message, left } => {
                self.ends_at(now + left.unwrap_or_default());
                Some(self.alert(Matter::Failed { cause: "doomed" }, message.clone()))
            }
            TokenEvent::Lifted => self.reprieve(),
            TokenEvent::Ended { message } => {
                self.doubt = None;
                self.has_ended = true;
                self.trouble = Trouble::Ending(now);
                Some(self.alert(Matter::Failed { cause: "ended" }, message.clone()))
            }
            TokenEvent::Checked { .. } => {
                let doubt = self.doubt.take();
                doubt.map(|why| self.trouble_with(Trouble::Refused, Kind::Expired.token(), why))
            }
            TokenEvent::Advice(_) => None,
            TokenEvent::Missed(lost) => self.miss(*lost),
        };
        told.into_iter().collect()
    }

    /// The same for an application's token that is read from Vault. That it is read does not save the login that it is
    /// read with, nor does another one of it.
    fn hear_refresh(&mut self, event: &RefreshEvent, now: Moment) -> Option<Alert> {
        match event {
            RefreshEvent::Read => self.recovery(self.trouble == Trouble::Failing),
            RefreshEvent::Rotated => Some(self.alert(Matter::Renewed { ttl: None }, renewed(None, true))),
            RefreshEvent::Failed { kind, message } => {
                Some(self.trouble_with(Trouble::Failing, kind.token(), message.clone()))
            }
            RefreshEvent::Stale { silent } => {
                let message = format!("nobody has said for {} whether it is still good", span(*silent));
                Some(self.trouble_with(Trouble::Failing, "stale", message))
            }
            RefreshEvent::Doomed { message, left } => {
                self.ends_at(now + left.unwrap_or_default());
                let is_over = *left == Some(Duration::ZERO);
                let when =
                    if is_over { "it is not read any more" } else { "it will not be read for much longer" };
                let message = format!("{when}: {message}");
                Some(self.alert(Matter::Failed { cause: "doomed" }, message))
            }
            RefreshEvent::LoggedIn | RefreshEvent::Lifted => self.reprieve(),
            RefreshEvent::Missed(lost) => self.miss(*lost),
        }
    }

    fn failure(&mut self, kind: Kind, message: &str) -> Option<Alert> {
        let trouble = if kind == Kind::Expired { Trouble::Refused } else { Trouble::Failing };
        // What has ended is refused ever after: that is the same trouble, and no other.
        if self.has_ended && matches!(kind, Kind::Expired | Kind::NeedsLogin) {
            let message = format!("it has ended, and there is no other: {message}");
            return Some(self.alert(Matter::Failed { cause: "ended" }, message));
        }
        // What is dead is told by its end, which comes next. If it is found alive, or refused again, it is told then.
        if trouble == Trouble::Refused && self.doubt.take().is_none() && self.trouble != trouble {
            self.doubt = Some(message.to_owned());
            return None;
        }
        Some(self.trouble_with(trouble, kind.token(), message.to_owned()))
    }

    fn trouble_with(&mut self, trouble: Trouble, cause: &'static str, message: String) -> Alert {
        self.trouble = match self.trouble {
            Trouble::None | Trouble::Failing => trouble,
            known => known,
        };
        self.alert(Matter::Failed { cause }, message)
    }

    /// What fails is told again and again, and an end is not: whether there was a trouble, or the end of one, is not
    /// known. The next that goes well is told as a recovery, which goes to those alone who know of a trouble.
    fn miss(&mut self, lost: u64) -> Option<Alert> {
        tracing::warn!(lost, "events were missed: their alerts are not sent");
        if self.trouble == Trouble::None {
            self.trouble = Trouble::Failing;
        }
        None
    }

    fn ends_at(&mut self, end: Moment) {
        self.trouble = match self.trouble {
            Trouble::Ending(known) => Trouble::Ending(known.max(end)),
            Trouble::None | Trouble::Failing | Trouble::Refused => Trouble::Ending(end),
        };
    }

    /// No end is near any more.
    fn reprieve(&mut self) -> Option<Alert> {
        self.recovery(matches!(self.trouble, Trouble::Ending(_)))
    }

    /// Whether a life from now on goes beyond the trouble.
    fn is_outlived(&self, ttl: Option<Duration>, now: Moment) -> bool {
        match (self.trouble, ttl) {
            (Trouble::Ending(end), Some(ttl)) => now + ttl > end + SLACK,
            _ => true,
        }
    }

    /// The end of the trouble, if there was any and it is over.
    fn recovery(&mut self, is_over: bool) -> Option<Alert> {
        self.doubt = self.doubt.take().filter(|_| !is_over);
        let was_trouble = is_over && self.trouble != Trouble::None;
        was_trouble.then(|| {
            self.trouble = Trouble::None;
            self.has_ended = false;
            self.alert(Matter::Recovered, "it is well again".into())
        })
    }

    fn alert(&self, matter: Matter, message: String) -> Alert {
        Alert::new(&*self.credential, matter, message)
    }
}

fn renewed(ttl: Option<Duration>, replaced: bool) -> String {
    let what = if replaced { "it was replaced" } else { "it was renewed" };
    ttl.map_or_else(|| what.into(), |ttl| format!("{what}, for {}", span(ttl)))
}

/// A span in its two largest units, such as `1d 6h`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let begin = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let parts = units[begin..].iter().take(2).map(|(length, name)| {
        let count = rest / length;
        rest %= length;
        (count, name)
    });
    let parts: Vec<_> =
        parts.filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    if parts.is_empty() { "0 s".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn failed(kind: Kind) -> TokenEvent {
        TokenEvent::Failed { kind, message: "no".into(), attempt: 1 }
    }

    fn renewed(hours: u32) -> TokenEvent {
        TokenEvent::Renewed { ttl: Some(HOUR * hours), replaced: false }
    }

    fn doomed(hours: u32) -> TokenEvent {
        TokenEvent::Doomed { message: "it ends".into(), left: Some(HOUR * hours) }
    }

    const REPLACED: TokenEvent = TokenEvent::Renewed { ttl: Some(HOUR), replaced: true };
    const ENDED: TokenEvent = TokenEvent::Ended { message: String::new() };
    const CHECKED: TokenEvent = TokenEvent::Checked { ttl: None };
    const OBTAINED: TokenEvent = TokenEvent::Obtained { ttl: None };

    #[test]
    fn each_trouble_ends_when_it_is_over() {
        let check = |events: &[TokenEvent], expect: &[&str]| {
            let mut watch = Watch::new("a");
            let start = Moment::default() + HOUR * 1_000;
            let told: Vec<_> = events.iter().flat_map(|event| watch.hear(event, start)).collect();
            let told: Vec<_> = told.iter().map(|alert| alert.matter.name()).collect();
            assert_eq!(told, expect, "{events:?}");
        };
        let expiring = TokenEvent::Expiring { left: HOUR };
        check(&[OBTAINED, CHECKED, renewed(1)], &["renewed"]);
        check(&[failed(Kind::Sealed), CHECKED, CHECKED], &["failed", "recovered"]);
        check(&[failed(Kind::Sealed), renewed(1)], &["failed", "recovered", "renewed"]);
        check(&[expiring.clone(), CHECKED, renewed(1)], &["expiring", "renewed"]);
        check(&[expiring.clone(), renewed(2)], &["expiring", "recovered", "renewed"]);
        check(&[expiring, failed(Kind::Sealed), CHECKED, OBTAINED], &["expiring", "failed", "recovered"]);
        // A renewal up to the last day is none beyond it.
        check(&[doomed(48), renewed(24), renewed(48)], &["failed", "renewed", "renewed"]);
        check(&[doomed(48), renewed(720)], &["failed", "recovered", "renewed"]);
        check(&[failed(Kind::Expired), ENDED, CHECKED, OBTAINED], &["failed", "recovered"]);
        check(&[doomed(48), ENDED, renewed(24)], &["failed", "failed", "recovered", "renewed"]);
        // It is replaced by one that lives shorter and longer: what matters is that it is another.
        check(&[doomed(48), REPLACED], &["failed", "recovered", "renewed"]);
        check(&[doomed(48), REPLACED, doomed(1)], &["failed", "recovered", "renewed", "failed"]);
        check(&[doomed(48), OBTAINED], &["failed", "recovered"]);
        // Its life was not known, and a look-up tells it.
        let unknown = TokenEvent::Doomed { message: "nobody knows".into(), left: None };
        check(&[unknown, CHECKED, TokenEvent::Lifted, TokenEvent::Lifted], &["failed", "recovered"]);
        check(&[failed(Kind::Sealed), TokenEvent::Lifted, CHECKED], &["failed", "recovered"]);
        // It is refused once more as dead after it has ended: told, as the same failure.
        check(&[ENDED, failed(Kind::Expired), OBTAINED], &["failed", "failed", "recovered"]);
        let mut watch = Watch::new("a");
        for event in [ENDED, failed(Kind::NeedsLogin), failed(Kind::Expired)] {
            assert_eq!(watch.hear(&event, Moment::default())[0].matter, Matter::Failed { cause: "ended" });
        }
        // Renewals are refused, and look-ups are not.
        let refused = || failed(Kind::Expired);
        check(&[refused(), ENDED], &["failed"]);
        check(
            &[refused(), CHECKED, CHECKED, refused(), renewed(1)],
            &["failed", "failed", "recovered", "renewed"],
        );
        check(&[failed(Kind::Sealed), refused(), CHECKED, CHECKED], &["failed", "failed"]);
        check(&[refused(), refused(), CHECKED, renewed(1)], &["failed", "recovered", "renewed"]);
        check(&[refused(), renewed(1), refused()], &["renewed"]);
        // What was missed may have been the end of a trouble, or one.
        check(&[TokenEvent::Missed(9)], &[]);
        check(&[TokenEvent::Missed(9), CHECKED, CHECKED], &["recovered"]);
    }

    #[test]
    fn a_refresh_and_its_login_have_troubles_of_their_own() {
        let check = |events: &[RefreshEvent], expect: &[&str]| {
            let (mut watch, now) = (Watch::new("a"), Moment::default() + HOUR);
            let told: Vec<_> = events.iter().flat_map(|event| event.alerts(&mut watch, now)).collect();
            let told: Vec<_> = told
                .iter()
                .map(|alert| match alert.matter {
                    Matter::Failed { cause } => cause,
                    matter => matter.name(),
                })
                .collect();
            assert_eq!(told, expect, "{events:?}");
        };
        let failed = || RefreshEvent::Failed { kind: Kind::Sealed, message: "no".into() };
        let (stale, read) = (|| RefreshEvent::Stale { silent: HOUR }, || RefreshEvent::Read);
        let doomed = || RefreshEvent::Doomed { message: "it ends".into(), left: Some(HOUR) };
        check(&[RefreshEvent::LoggedIn, read(), RefreshEvent::Rotated, read()], &["renewed"]);
        check(&[failed(), failed(), stale(), read(), read()], &["sealed", "sealed", "stale", "recovered"]);
        // Neither reading nor a rotation gives the login another day.
        check(&[doomed(), read(), RefreshEvent::Rotated], &["doomed", "renewed"]);
        check(&[doomed(), failed(), RefreshEvent::LoggedIn], &["doomed", "sealed", "recovered"]);
        check(&[doomed(), read(), RefreshEvent::Lifted, RefreshEvent::Lifted], &["doomed", "recovered"]);
        check(&[failed(), RefreshEvent::Lifted, read()], &["sealed", "recovered"]);
        check(&[RefreshEvent::Missed(3), read()], &["recovered"]);
    }

    #[test]
    fn a_login_that_is_gone_reads_nothing_any_more() {
        let check = |left, expect: &str| {
            let event = RefreshEvent::Doomed { message: "it ends".into(), left };
            let told = event.alerts(&mut Watch::new("a"), Moment::default());
            assert_eq!(told[0].message, expect);
        };
        check(Some(Duration::ZERO), "it is not read any more: it ends");
        check(Some(HOUR), "it will not be read for much longer: it ends");
        check(None, "it will not be read for much longer: it ends");
    }

    #[test]
    fn spans_in_words() {
        let check = |seconds, expect: &str| assert_eq!(span(Duration::from_secs(seconds)), expect);
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(86_399, "23 h 59 min");
        check(86_401, "1 d");
        check(30 * 86_400 + 7_200, "30 d 2 h");
    }
}

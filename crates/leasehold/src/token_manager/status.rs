//! What is known of the token, and the bodies that tell it.

use std::time::Duration;

use leasehold_core::event::{End, Event};
use leasehold_core::ledger::SlotStatus;
use leasehold_core::{Failure, Moment};
use serde::Serialize;

use crate::clock::wall_text;
use crate::credential::Credential;
use crate::prometheus::{self, Sample};

/// Two ends this close are the same: the server counts whole seconds, and so do its look-ups.
pub(super) const SLACK: Duration = Duration::from_secs(3);

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) moment: Moment,
    /// Seconds since 1970.
    pub(super) wall: u64,
}

impl Instant {
    /// Another moment as the wall clock has it, in words.
    pub(super) fn date(self, at: Moment) -> String {
        let ahead = (at - self.moment).as_secs();
        wall_text((self.wall + ahead).saturating_sub((self.moment - at).as_secs()))
    }
}

/// What is known of the token. Written by the keeper alone, and seen whole by everybody.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) is_running: bool,
    /// The reader's half of the token; none before the first.
    pub(super) credential: Option<Credential>,
    is_held: bool,
    /// It may not look at itself.
    is_blind: bool,
    /// It has a few uses, and each counts.
    is_counted: bool,
    pub(super) expiry: Option<Moment>,
    life: Option<Duration>,
    last_check: Option<Instant>,
    last_renewal: Option<Instant>,
    renewals: u64,
    failures: u64,
    failures_since_success: u64,
    /// What went wrong last, since the last success.
    pub(super) failure: Option<Failure>,
    /// When the last token ended and why, if there is none since.
    pub(super) ended: Option<(String, End)>,
}

impl View {
    /// Takes note of an event, and of how things stand after it.
    pub(super) fn note(&mut self, event: &Event, status: Option<&SlotStatus>, now: Instant) {
        let expiry = self.expiry;
        let lease = status.and_then(|status| status.lease.as_ref());
        (self.is_held, self.is_blind) = (lease.is_some(), lease.is_some_and(|lease| lease.is_blind));
        self.is_counted = lease.is_some_and(|lease| lease.is_counted);
        self.expiry = status.and_then(|status| status.expiry);
        self.life = status.and_then(|status| status.life);
        match event {
            Event::Obtained { .. } | Event::Replaced { .. } | Event::Renewed { .. } => {
                self.succeed(now);
                if is_renewal(event, status) {
                    self.renewals += 1;
                    self.last_renewal = Some(now);
                }
            }
            // A renewal that failed is made good by a renewal.
            Event::Checked { .. } if is_in_trouble(status) => self.last_check = Some(now),
            Event::Checked { .. } => self.succeed(now),
            Event::Failed { failure, .. } => self.fail(failure, now),
            Event::Ended { end, .. } => self.ended = Some(death(*end, expiry, now)),
            _ => {}
        }
    }

    fn succeed(&mut self, now: Instant) {
        self.last_check = Some(now);
        self.failures_since_success = 0;
        (self.failure, self.ended) = (None, None);
    }

    fn fail(&mut self, failure: &Failure, now: Instant) {
        self.last_check = Some(now);
        self.failures += 1;
        self.failures_since_success += 1;
        self.failure = Some(failure.clone());
    }

    /// Whether there is a token.
    pub(super) fn is_live(&self) -> bool {
        self.is_running && self.is_held
    }

    /// Whether there is one that a look-up takes nothing away from.
    pub(super) fn may_be_looked_up(&self) -> bool {
        self.is_live() && !self.is_counted
    }

    /// What is known when the next run begins: there is no token yet, and the counts go on.
    pub(super) fn next(&self) -> Self {
        Self {
            is_running: true,
            last_check: self.last_check,
            last_renewal: self.last_renewal,
            renewals: self.renewals,
            failures: self.failures,
            failures_since_success: self.failures_since_success,
            ..Self::default()
        }
    }

    /// Nobody keeps it any more.
    pub(super) fn stop(&mut self) {
        (self.is_running, self.is_held, self.expiry) = (false, false, None);
    }

    /// What can be told of it at this moment.
    pub(super) fn status(&self, now: Moment, threshold: Duration, healthy_above: Duration) -> Status {
        let left = match (self.is_held, self.expiry) {
            (false, _) => Some(Duration::ZERO),
            (true, expiry) => expiry.map(|expiry| expiry - now),
        };
        let is_unknown = self.is_held && self.is_blind && self.expiry.is_none();
        let due = self.life.map_or(threshold, |life| threshold.min(life / 2));
        Status {
            running: self.is_running,
            last_check: self.last_check.map(|at| wall_text(at.wall)),
            last_renewal: self.last_renewal.map(|at| wall_text(at.wall)),
            renewal_count: self.renewals,
            failure_count: self.failures,
            token_ttl: left.map(|left| left.as_secs()),
            token_ttl_hours: left.map(hours),
            needs_renewal: left.is_some_and(|left| left < due),
            failures_since_success: self.failures_since_success,
            last_check_ago: self.last_check.map(|at| (now - at.moment).as_secs()),
            life_is_unknown: is_unknown,
            healthy_above,
        }
    }
}

/// When what has ended died, and of what: by its own terms, or, as far as it is known, now. The server may
/// say of what ends by itself that it is dead while we give it another second.
fn death(end: End, expiry: Option<Moment>, now: Instant) -> (String, End) {
    let expiry = expiry.filter(|expiry| *expiry - now.moment <= SLACK);
    match (end, expiry) {
        (End::Expired | End::Revoked, Some(expiry)) => (now.date(expiry.min(now.moment)), End::Expired),
        (end, _) => (now.date(now.moment), end),
    }
}

/// Whether there is more life than before: a renewal, or a new token in place of the old one.
pub(super) fn is_renewal(event: &Event, status: Option<&SlotStatus>) -> bool {
    match event {
        Event::Renewed { .. } | Event::Replaced { .. } => true,
        Event::Obtained { .. } => status.is_some_and(|status| status.generation > 1),
        _ => false,
    }
}

/// Whether something failed that the event does not make good.
pub(super) fn is_in_trouble(status: Option<&SlotStatus>) -> bool {
    status.is_some_and(|status| status.failure.is_some())
}

fn hours(left: Duration) -> f64 {
    left.as_secs_f64() / 3600.0
}

/// A snapshot of the manager. Serialized, it has these keys and no others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Whether the token is kept.
    pub running: bool,
    /// When the server was asked last, with or without success (ISO 8601, UTC).
    pub last_check: Option<String>,
    /// When the token was renewed last, or replaced (ISO 8601, UTC).
    pub last_renewal: Option<String>,
    /// How often it was renewed or replaced.
    pub renewal_count: u64,
    /// How many attempts have failed, ever.
    pub failure_count: u64,
    /// How many seconds it lives; 0 without a token, `None` (`null`) if it never ends or nobody knows when.
    pub token_ttl: Option<u64>,
    /// The same in hours.
    pub token_ttl_hours: Option<f64>,
    /// Whether less is left than the threshold, or than half of a short life. Never so if it never ends, or nobody knows
    /// when.
    pub needs_renewal: bool,
    /// How many attempts have failed since the last that went well.
    #[serde(skip)]
    pub failures_since_success: u64,
    /// How many seconds ago the server was asked last.
    #[serde(skip)]
    pub last_check_ago: Option<u64>,
    /// Whether nobody knows when the token ends: its policies allow neither its look-up nor its renewal.
    #[serde(skip)]
    pub life_is_unknown: bool,
    #[serde(skip)]
    healthy_above: Duration,
}

impl Status {
    /// Whether the token never ends: a root token. It is never renewed.
    pub fn never_expires(&self) -> bool {
        self.token_ttl.is_none() && !self.life_is_unknown
    }

    /// Whether the token is kept, is known to have more than an hour left or never to end, and nothing has failed since
    /// the last success; what a renewal failed in, only a renewal or another token makes good. Where tokens live shorter,
    /// [`healthy_above`](super::TokenManagerSettings::healthy_above) says otherwise. How many uses are left of a token
    /// that has only a few is not looked at.
    pub fn is_healthy(&self) -> bool {
        let is_long = match self.token_ttl_hours {
            Some(left) => left > hours(self.healthy_above),
            None => !self.life_is_unknown,
        };
        self.running && is_long && self.failures_since_success == 0
    }

    /// The body of `/health/vault`.
    pub fn health(&self) -> Health {
        Health {
            healthy: self.is_healthy(),
            ttl_hours: self.token_ttl_hours,
            renewal_count: self.renewal_count,
            failure_count: self.failure_count,
            last_check: self.last_check.clone(),
        }
    }

    /// The body of `/metrics/vault`.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            token_ttl_hours: self.token_ttl_hours,
            token_ttl_days: self.token_ttl_hours.map(|hours| hours / 24.0),
            renewal_count: self.renewal_count,
            failure_count: self.failure_count,
            last_check_ago: self.last_check_ago,
            needs_renewal: self.needs_renewal,
            life_is_unknown: self.life_is_unknown,
            is_healthy: self.is_healthy(),
        }
    }
}

/// The body of `/health/vault`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// As [`Status::is_healthy`] says.
    pub healthy: bool,
    /// How many hours the token lives; `null` if it never ends, or, where it is not healthy, if nobody knows when.
    pub ttl_hours: Option<f64>,
    /// How often it was renewed or replaced.
    pub renewal_count: u64,
    /// How many attempts have failed, ever.
    pub failure_count: u64,
    /// When the server was asked last (ISO 8601, UTC).
    pub last_check: Option<String>,
}

impl Health {
    /// The status code to answer with: 200 or 503.
    pub fn code(&self) -> u16 {
        if self.healthy { 200 } else { 503 }
    }
}

/// The body of `/metrics/vault`, to be answered with 200.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// How many hours the token lives; `null` if it never ends or nobody knows when.
    pub token_ttl_hours: Option<f64>,
    /// The same in days.
    pub token_ttl_days: Option<f64>,
    /// How often it was renewed or replaced.
    pub renewal_count: u64,
    /// How many attempts have failed, ever.
    pub failure_count: u64,
    /// How many seconds ago the server was asked last.
    pub last_check_ago: Option<u64>,
    /// Whether less is left than the threshold.
    pub needs_renewal: bool,
    /// As [`Status::life_is_unknown`] says.
    #[serde(skip)]
    pub life_is_unknown: bool,
    /// As [`Status::is_healthy`] says.
    #[serde(skip)]
    pub is_healthy: bool,
}

impl Metrics {
    /// The same in Prometheus' text format (`text/plain; version=0.0.4`). What never ends is `+Inf`; what is not known
    /// is left out.
    pub fn prometheus(&self) -> String {
        prometheus::text(self.samples())
    }

    /// The same, a number each.
    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample> + use<> {
        let is_unknown = self.life_is_unknown;
        let or_never = |span: Option<f64>| span.or((!is_unknown).then_some(f64::INFINITY));
        let hours = or_never(self.token_ttl_hours).map(|left| {
            let help = "Hours that the token lives.";
            Sample::gauge("leasehold_token_ttl_hours", help, left)
        });
        let days = or_never(self.token_ttl_days)
            .map(|left| Sample::gauge("leasehold_token_ttl_days", "Days that the token lives.", left));
        let ago = self.last_check_ago.map(|ago| {
            let help = "Seconds since the server was asked last.";
            Sample::gauge("leasehold_last_check_ago_seconds", help, ago as f64)
        });
        let rows = [
            Sample::counter("leasehold_renewals_total", "Renewals and replacements.", self.renewal_count),
            Sample::counter("leasehold_failures_total", "Attempts that failed.", self.failure_count),
            Sample::flag(
                "leasehold_needs_renewal",
                "1 if less is left than the threshold.",
                self.needs_renewal,
            ),
            Sample::flag("leasehold_healthy", "1 if /health/vault answers with 200.", self.is_healthy),
        ];
        hours.into_iter().chain(days).chain(rows).chain(ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{Kind, SlotId};
    use serde_json::{json, to_value};

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: u64 = 1_800_000_000;

    fn at(second: u64) -> Instant {
        let start = Moment::default() + Duration::from_secs(1_000_000);
        Instant { moment: start + Duration::from_secs(second), wall: DAY + second }
    }

    fn held(hours: Option<u32>) -> View {
        let expiry = hours.map(|hours| at(0).moment + HOUR * hours);
        let life = hours.map(|hours| HOUR * hours);
        View { is_running: true, is_held: true, expiry, life, ..View::default() }
    }

    fn status(view: &View, second: u64) -> Status {
        view.status(at(second).moment, HOUR * 2, HOUR)
    }

    fn failed() -> Event {
        Event::Failed { slot: SlotId(0), failure: Failure::new(Kind::Sealed, "sealed"), attempt: 1 }
    }

    #[test]
    fn the_bodies_have_the_agreed_keys() {
        let mut view = held(Some(48));
        view.succeed(at(0));
        let status = status(&view, 3_600);
        let expect = json!({
            "running": true, "last_check": "2027-01-15T08:00:00Z", "last_renewal": null, "renewal_count": 0,
            "failure_count": 0, "token_ttl": 47 * 3_600, "token_ttl_hours": 47.0, "needs_renewal": false,
        });
        assert_eq!(to_value(&status).unwrap(), expect);
        let expect = json!({
            "healthy": true, "ttl_hours": 47.0, "renewal_count": 0, "failure_count": 0,
            "last_check": "2027-01-15T08:00:00Z",
        });
        assert_eq!((to_value(status.health()).unwrap(), status.health().code()), (expect, 200));
        let expect = json!({
            "token_ttl_hours": 47.0, "token_ttl_days": 47.0 / 24.0, "renewal_count": 0, "failure_count": 0,
            "last_check_ago": 3_600, "needs_renewal": false,
        });
        assert_eq!(to_value(status.metrics()).unwrap(), expect);
    }

    #[test]
    fn health_and_need_go_by_what_is_left() {
        let check = |view: View, second, healthy, needs| {
            let status = status(&view, second);
            assert_eq!((status.is_healthy(), status.needs_renewal), (healthy, needs), "{view:?} {second}");
        };
        check(held(Some(48)), 0, true, false);
        check(held(Some(48)), 46 * 3_600, true, false);
        check(held(Some(48)), 46 * 3_600 + 1, true, true);
        check(held(Some(48)), 47 * 3_600, false, true);
        check(held(Some(48)), 99 * 3_600, false, true);
        check(held(Some(3)), 0, true, false);
        check(held(Some(3)), 5_401, true, true);
        check(held(None), 0, true, false);
        check(View::default(), 0, false, true);
        check(View { is_running: true, ..View::default() }, 0, false, true);
    }

    #[test]
    fn a_failure_counts_for_ever_and_makes_ill_until_the_next_success() {
        let mut view = held(None);
        view.note(&failed(), None, at(1));
        view.is_held = true;
        let ill = status(&view, 1);
        assert_eq!((ill.health().code(), ill.failure_count, ill.last_check_ago), (503, 1, Some(0)));
        view.succeed(at(2));
        let well = status(&view, 2);
        assert_eq!((well.health().code(), well.failure_count), (200, 1));
    }

    #[test]
    fn prometheus_text() {
        let text = status(&held(None), 0).metrics().prometheus();
        let values: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expect = [
            "leasehold_token_ttl_hours +Inf",
            "leasehold_token_ttl_days +Inf",
            "leasehold_renewals_total 0",
            "leasehold_failures_total 0",
            "leasehold_needs_renewal 0",
            "leasehold_healthy 1",
        ];
        assert_eq!(values, expect);
        assert_eq!(text.lines().count(), 3 * expect.len());
    }

    #[test]
    fn a_death_is_dated_by_its_cause() {
        let ended = |end| Event::Ended { slot: SlotId(0), end };
        let check = |end, second, expect: &str, cause| {
            let mut view = held(Some(1));
            view.note(&ended(end), None, at(second));
            assert_eq!(view.ended, Some((expect.to_owned(), cause)));
        };
        check(End::Expired, 4_000, "2027-01-15T09:00:00Z", End::Expired);
        check(End::Revoked, 3_600, "2027-01-15T09:00:00Z", End::Expired);
        check(End::Revoked, 3_597, "2027-01-15T08:59:57Z", End::Expired);
        check(End::Revoked, 1_000, "2027-01-15T08:16:40Z", End::Revoked);
    }
}

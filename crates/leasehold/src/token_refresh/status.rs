//! What is known of the refresh, and the bodies that tell it.

use std::time::Duration;

use leasehold_core::Moment;
use serde::Serialize;

use super::events::RefreshEvent;
use crate::prometheus::{self, Sample};
use crate::signing::Verifier;
use crate::token_manager::Doom;

/// What is known. Written by one task alone, and seen whole by everybody.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Whether Vault's last answer was good; none if there is no Vault.
    pub(super) last_refresh_ok: Option<bool>,
    /// When Vault last said what the token is; until then, when the refresh was started.
    pub(super) confirmed: Moment,
    pub(super) fetch_errors: u64,
    pub(super) rotations: u64,
    /// Nobody refreshes any more.
    pub(super) is_stopped: bool,
    /// That what Vault is asked with cannot be kept, and since when that is known.
    pub(super) doom: Option<(Doom, Moment)>,
}

impl View {
    /// From now on nobody knows whether Vault's last answer is still true.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.last_refresh_ok = self.last_refresh_ok.map(|_| false);
    }

    /// The health of a token of this age at this moment.
    pub(super) fn health(&self, age: Option<u64>, now: Moment, stale_after: Duration) -> AgentHealth {
        let is_stale = self.last_refresh_ok.is_some() && now - self.confirmed > stale_after;
        let status = match age {
            _ if self.is_stopped => "stopped",
            None => "no_token",
            Some(_) if is_stale => "stale",
            Some(_) => "ok",
        };
        AgentHealth { status, token_age_seconds: age, last_refresh_ok: self.last_refresh_ok }
    }

    /// What was told of the login and is still so.
    pub(super) fn standing(&self, now: Moment) -> Option<RefreshEvent> {
        let (Doom { message, left }, since) = self.doom.clone()?;
        Some(RefreshEvent::Doomed { message, left: left.map(|left| left.saturating_sub(now - since)) })
    }

    /// The numbers of a token of this health at this moment.
    pub(super) fn metrics(&self, health: AgentHealth, now: Moment) -> RefreshMetrics {
        let confirmed_ago = health.last_refresh_ok.map(|_| (now - self.confirmed).as_secs());
        RefreshMetrics {
            vault_fetch_errors_total: self.fetch_errors,
            token_rotations_total: self.rotations,
            hmac_verification_failures_total: None,
            health,
            confirmed_ago,
        }
    }
}

/// The body of `/health`.
///
/// | status | |
/// |---|---|
/// | `ok` | there is a token, and Vault, where there is one, has confirmed it of late |
/// | `stale` | there is a token, but Vault has not said for ten minutes what it is |
/// | `no_token` | there is none, so that nothing can be signed or verified |
/// | `stopped` | the refresh was stopped, its runtime is gone, or it has panicked: no rotation will be noticed |
///
/// A token that is old is no fault: it is as old as its last rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentHealth {
    /// `ok`, `stale`, `no_token` or `stopped`.
    pub status: &'static str,
    /// How many seconds ago the token became the present one; `null` without one.
    pub token_age_seconds: Option<u64>,
    /// Whether Vault's last answer was good; `null` if Vault is not configured.
    pub last_refresh_ok: Option<bool>,
}

impl AgentHealth {
    /// The status code to answer with: 503 without a token or a refresh, else 200. That Vault is away is no reason to have a service
    /// restarted that goes on with the token it has.
    pub fn code(&self) -> u16 {
        if matches!(self.status, "ok" | "stale") { 200 } else { 503 }
    }
}

/// The counters; serialized, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefreshMetrics {
    /// How often Vault did not say what the token is.
    pub vault_fetch_errors_total: u64,
    /// How often the token was replaced by another.
    pub token_rotations_total: u64,
    /// How many requests were refused; `None` (left out) where none are verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hmac_verification_failures_total: Option<u64>,
    /// What `/health` says.
    #[serde(skip)]
    pub health: AgentHealth,
    /// How many seconds ago Vault said what the token is, or else the refresh was started; `None` if Vault is not
    /// configured.
    #[serde(skip)]
    pub confirmed_ago: Option<u64>,
}

impl RefreshMetrics {
    /// The same with what this verifier has refused.
    #[must_use]
    pub fn with_failures_of(self, verifier: &Verifier) -> Self {
        Self { hmac_verification_failures_total: Some(verifier.failures()), ..self }
    }

    /// The same in Prometheus' text format (`text/plain; version=0.0.4`).
    pub fn prometheus(&self) -> String {
        prometheus::text(self.samples())
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample> + use<> {
        self.counters().chain(self.gauges())
    }

    /// What is not known, or means nothing without Vault, is left out.
    fn gauges(&self) -> impl Iterator<Item = Sample> + use<> {
        let AgentHealth { token_age_seconds, last_refresh_ok, .. } = self.health;
        let is_well = self.health.code() == 200;
        let age = token_age_seconds.map(|age| {
            Sample::gauge("token_age_seconds", "Seconds since the token became the present one.", age as f64)
        });
        let confirmed = self.confirmed_ago.map(|ago| {
            let help = "Seconds since Vault last said what the token is.";
            Sample::gauge("token_confirmed_ago_seconds", help, ago as f64)
        });
        let ok = last_refresh_ok
            .map(|is_ok| Sample::flag("last_refresh_ok", "1 if Vault's last answer was good.", is_ok));
        let well = Sample::flag("token_healthy", "1 if /health answers with 200.", is_well);
        [age, confirmed, ok, Some(well)].into_iter().flatten()
    }

    fn counters(&self) -> impl Iterator<Item = Sample> + use<> {
        let errors = self.vault_fetch_errors_total;
        let counters = [
            Sample::counter("vault_fetch_errors_total", "Failed fetches from Vault.", errors),
            Sample::counter("token_rotations_total", "Rotations of the token.", self.token_rotations_total),
        ];
        counters.into_iter().chain(self.hmac_verification_failures_total.map(Sample::refusals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_health_is_that_of_the_contract() {
        let check = |last_refresh_ok, age, silent, expect: &str, code| {
            let (view, limit) = (View { last_refresh_ok, ..View::default() }, Duration::from_secs(600));
            let health = view.health(age, Moment::default() + Duration::from_secs(silent), limit);
            assert_eq!((serde_json::to_string(&health).unwrap().as_str(), health.code()), (expect, code));
        };
        let ok = r#"{"status":"ok","token_age_seconds":120,"last_refresh_ok":true}"#;
        check(Some(true), Some(120), 70, ok, 200);
        let failed = r#"{"status":"ok","token_age_seconds":120,"last_refresh_ok":false}"#;
        check(Some(false), Some(120), 600, failed, 200);
        let stale = r#"{"status":"stale","token_age_seconds":120,"last_refresh_ok":false}"#;
        check(Some(false), Some(120), 601, stale, 200);
        let off = r#"{"status":"ok","token_age_seconds":9000,"last_refresh_ok":null}"#;
        check(None, Some(9000), 9000, off, 200);
        let none = r#"{"status":"no_token","token_age_seconds":null,"last_refresh_ok":false}"#;
        check(Some(false), None, 1, none, 503);
    }

    #[test]
    fn the_counters_have_the_names_of_the_contract() {
        let (view, now) = (View { fetch_errors: 2, rotations: 1, ..View::default() }, Moment::default());
        let metrics = view.metrics(view.health(None, now, Duration::ZERO), now);
        let names = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let text = metrics.prometheus();
        let expect = ["vault_fetch_errors_total 2", "token_rotations_total 1", "token_healthy 0"];
        assert_eq!(names(&text), expect, "{text}");
        let whole = RefreshMetrics { hmac_verification_failures_total: Some(7), ..metrics };
        assert!(whole.prometheus().contains("\nhmac_verification_failures_total 7\n"));
    }

    #[test]
    fn the_numbers_of_health_can_be_alerted_on() {
        let view = View { last_refresh_ok: Some(true), ..View::default() };
        let check = |seconds, age, expect: &[&str]| {
            let now = Moment::default() + Duration::from_secs(seconds);
            let text = view.metrics(view.health(age, now, Duration::from_secs(600)), now).prometheus();
            let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).skip(2).collect();
            assert_eq!(lines, expect, "{text}");
        };
        let [asked, ok] = ["token_confirmed_ago_seconds 70", "last_refresh_ok 1"];
        check(70, Some(601), &["token_age_seconds 601", asked, ok, "token_healthy 1"]);
        check(70, None, &[asked, ok, "token_healthy 0"]);
    }
}

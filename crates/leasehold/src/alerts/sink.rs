//! To whom alerts go.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Failure, Kind, Secret};

use super::alert::{Alert, Matter, Severity};
use super::target::Target;

/// Where PagerDuty takes events.
const PAGER_DUTY: &str = "https://events.pagerduty.com";
/// Where it takes them at each of its addresses.
const ENQUEUE: &str = "/v2/enqueue";
/// How long until the same failure is told again.
const REMINDER: Duration = Duration::from_secs(3600);

/// Somebody who is told of alerts.
///
/// A webhook's URL and a routing key are secrets: who has them can write in your name. They are sent where they belong,
/// and shown nowhere.
///
/// ```
/// use leasehold::alerts::{Severity, Sink};
/// use leasehold::core::{Failure, Secret};
///
/// # fn example(url: Secret, routing_key: Secret) -> Result<(), Failure> {
/// let mut team = Sink::slack("team", &url)?;
/// team.least = Severity::Info;
/// let sinks = vec![Sink::log("log"), team, Sink::pager_duty("on call", &routing_key)?];
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sink {
    /// What it is called where it fails.
    pub name: String,
    /// What matters less is not sent. The end of a trouble is told to whoever was told of the trouble.
    pub least: Severity,
    /// How long until a failure that lasts is told again.
    pub reminder: Duration,
    /// Part of the name of an incident at PagerDuty, beside source and credential, where those tell two apart that have
    /// nothing to do with each other: two users of one host, for example. Usually empty.
    pub scope: String,
    pub(super) channel: Channel,
}

/// How a sink is spoken to.
#[derive(Clone)]
pub(super) enum Channel {
    Log,
    Webhook { target: Target, secret: Option<Secret> },
    Slack(Target),
    PagerDuty { target: Target, routing_key: Secret },
    Later(Opener),
}

/// Finds out how a sink is spoken to.
pub(super) type Opener = Arc<dyn Fn() -> Opening + Send + Sync>;
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Sink, Failure>> + Send>>;

impl Sink {
    /// The log, told of everything: lines at the levels error, warn and info with the target `alerts`.
    pub fn log(name: &str) -> Self {
        Self::new(name, Severity::Info, Channel::Log)
    }

    /// A URL that takes JSON, told of everything; [what it gets](crate::alerts#the-webhook). With a secret the requests
    /// are signed with it.
    ///
    /// # Errors
    ///
    /// `Invalid` if the URL is none, or none with TLS; or if the secret is empty.
    pub fn webhook(name: &str, url: &Secret, secret: Option<&Secret>) -> Result<Self, Failure> {
        let secret = secret.map(|secret| filled(secret, "the secret of a webhook")).transpose()?;
        Ok(Self::new(name, Severity::Info, Channel::Webhook { target: Target::parse(url)?, secret }))
    }

    /// A channel of Slack by its incoming webhook, told of warnings and what is worse.
    ///
    /// # Errors
    ///
    /// `Invalid` if the URL is none, or none with TLS.
    pub fn slack(name: &str, url: &Secret) -> Result<Self, Failure> {
        Ok(Self::new(name, Severity::Warning, Channel::Slack(Target::parse(url)?)))
    }

    /// A service of PagerDuty by its integration's routing key, told of what is critical: one incident for each
    /// credential, resolved when that has recovered. It is never told of renewals, which are no incidents.
    ///
    /// # Errors
    ///
    /// `Invalid` if the key is empty.
    pub fn pager_duty(name: &str, routing_key: &Secret) -> Result<Self, Failure> {
        Self::pager_duty_at(name, PAGER_DUTY, routing_key)
    }

    /// The same at another of PagerDuty's addresses, such as `https://events.eu.pagerduty.com`.
    ///
    /// # Errors
    ///
    /// `Invalid` if the key is empty, or the address is none, or none with TLS.
    pub fn pager_duty_at(name: &str, address: &str, routing_key: &Secret) -> Result<Self, Failure> {
        let routing_key = filled(routing_key, "the routing key of PagerDuty")?;
        let target = Target::parse(&Secret::new(address))?;
        if !target.is_bare() {
            let message = "the address of PagerDuty is https://HOST, without a path";
            return Err(Failure::new(Kind::Invalid, message));
        }
        let target = target.at(ENQUEUE);
        Ok(Self::new(name, Severity::Critical, Channel::PagerDuty { target, routing_key }))
    }

    /// A sink whose secrets are read when the first alert is due, and again after it has refused us. That may take 5 s
    /// each time; if it fails or takes longer, the alert waits as it does for a sink that does not answer. Of what is
    /// read, only how the sink is spoken to counts, and that it does not want to be told something.
    ///
    /// ```
    /// use leasehold::alerts::{Severity, Sink};
    /// use leasehold::core::Secret;
    ///
    /// let sink = Sink::later("team", Severity::Warning, || async {
    ///     Sink::slack("team", &Secret::new("https://hooks.slack.com/services/T0/B0/x"))
    /// });
    /// assert_eq!(sink.least, Severity::Warning);
    /// ```
    pub fn later<F>(name: &str, least: Severity, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Self, Failure>> + Send + 'static,
    {
        Self::new(name, least, Channel::Later(Arc::new(move || Box::pin(open()))))
    }

    fn new(name: &str, least: Severity, channel: Channel) -> Self {
        Self { name: name.into(), least, reminder: REMINDER, scope: String::new(), channel }
    }

    /// Whether it may be told of this. Whether it is any news is another question.
    pub(super) fn wants(&self, alert: &Alert) -> bool {
        match alert.matter {
            Matter::Recovered | Matter::Test => true,
            Matter::Renewed { .. } if matches!(self.channel, Channel::PagerDuty { .. }) => false,
            matter => matter.severity() >= self.least,
        }
    }
}

impl Channel {
    /// Where it is reached; the log is here.
    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Self::Log | Self::Later(_) => None,
            Self::Webhook { target, .. } | Self::Slack(target) | Self::PagerDuty { target, .. } => {
                Some(target)
            }
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("Log"),
            Self::Later(_) => f.write_str("Later"),
            Self::Webhook { target, .. } => write!(f, "Webhook({target:?})"),
            Self::Slack(target) => write!(f, "Slack({target:?})"),
            Self::PagerDuty { target, .. } => write!(f, "PagerDuty({target:?})"),
        }
    }
}

fn filled(secret: &Secret, what: &str) -> Result<Secret, Failure> {
    let trimmed = secret.expose().trim();
    match trimmed.is_empty() {
        true => Err(Failure::new(Kind::Invalid, format!("{what} is empty"))),
        false => Ok(Secret::new(trimmed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sink_wants_what_matters_enough() {
        let url = Secret::new("https://a.example/canary");
        let sinks = [
            Sink::log("log"),
            Sink::webhook("hook", &url, None).unwrap(),
            Sink::slack("team", &url).unwrap(),
            Sink::pager_duty("on call", &Secret::new("canary")).unwrap(),
        ];
        assert!(!format!("{sinks:?}").contains("canary"), "{sinks:?}");
        let check = |matter: Matter, expect: [bool; 4]| {
            let wanted = sinks.each_ref().map(|sink| sink.wants(&Alert::new("a", matter, "")));
            assert_eq!(wanted, expect, "{matter:?}");
        };
        check(Matter::Failed { cause: "x" }, [true; 4]);
        check(Matter::Expiring { left: Duration::ZERO }, [true, true, true, false]);
        check(Matter::Renewed { ttl: None }, [true, true, false, false]);
        check(Matter::Recovered, [true; 4]);
        check(Matter::Test, [true; 4]);
    }

    #[test]
    fn pager_duty_has_no_path() {
        let check = |address: &str, expect: bool| {
            let sink = Sink::pager_duty_at("a", address, &Secret::new("key"));
            assert_eq!(sink.is_ok(), expect, "{address}");
        };
        check("https://events.eu.pagerduty.com", true);
        check("https://events.eu.pagerduty.com/", true);
        check("https://events.eu.pagerduty.com/v2/enqueue", false);
        check("https://events.eu.pagerduty.com?a=b", false);
    }

    #[test]
    fn an_empty_secret_is_none() {
        let url = Secret::new("https://a.example/");
        assert!(Sink::pager_duty("a", &Secret::new(" \n")).is_err());
        assert!(Sink::webhook("a", &url, Some(&Secret::new(""))).is_err());
    }
}

//! Those who are told of alerts: `[alerts.NAME]`.

use std::time::Duration;

use leasehold::alerts::{Severity, Sink};
use leasehold::core::name::{Place, Reference};
use leasehold::core::{Failure, Secret};
use leasehold::workstation::Workstation;

use super::duration;
use super::fault::{ConfigFault, Trouble};
use super::key::{self, Key};
use super::layers::Layers;
use super::raw::RawSink;
use super::text::{Origin, Text};

/// One who is told. No secret of it was read yet.
#[derive(Clone, Debug)]
pub(crate) struct SinkSettings {
    pub(crate) name: String,
    /// Where it was written.
    pub(crate) origin: Origin,
    least: Option<Severity>,
    reminder: Option<Duration>,
    channel: Channel,
}

#[derive(Clone, Debug)]
enum Channel {
    Log,
    Webhook { url: Url, secret: Option<Reference> },
    Slack { url: Reference },
    PagerDuty { routing_key: Reference, address: Option<String> },
}

/// A webhook's URL: as it is, or where it rests if it is a secret.
#[derive(Clone, Debug)]
enum Url {
    Plain(String),
    At(Reference),
}

/// How a sink is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Log,
    Webhook,
    Slack,
    PagerDuty,
}

/// What only some sinks have.
const PARTS: [&Key; 4] = [&key::ALERT_URL, &key::ALERT_SECRET, &key::ALERT_ROUTING_KEY, &key::ALERT_ADDRESS];

impl Way {
    const ALL: [Self; 4] = [Self::Log, Self::Webhook, Self::Slack, Self::PagerDuty];

    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::PagerDuty => "pagerduty",
        }
    }

    /// What it is told of at least where nothing else is said.
    fn least(self) -> Severity {
        match self {
            Self::Log | Self::Webhook => Severity::Info,
            Self::Slack => Severity::Warning,
            Self::PagerDuty => Severity::Critical,
        }
    }

    /// The part without which it cannot be, and one that it may have.
    fn parts(self) -> [Option<&'static Key>; 2] {
        match self {
            Self::Log => [None, None],
            Self::Webhook => [Some(&key::ALERT_URL), Some(&key::ALERT_SECRET)],
            Self::Slack => [Some(&key::ALERT_URL), None],
            Self::PagerDuty => [Some(&key::ALERT_ROUTING_KEY), Some(&key::ALERT_ADDRESS)],
        }
    }

    fn parse(text: &str) -> Result<Self, Trouble> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let way = Self::ALL.into_iter().find(|way| way.name() == text);
        way.ok_or_else(|| Trouble::at(0, format!("alerts go to {}", known())))
    }

    /// Tells what is there and does not belong there, and what is missing.
    fn check(self, name: &Text, layers: &mut Layers) {
        let alien = PARTS.iter().filter(|part| !self.parts().contains(&Some(**part)));
        let given = |part: &&&Key| layers.winner(part).map(|text| (part.name, text));
        let alien = alien
            .filter_map(|part| given(&part))
            .map(|(part, text)| text.fault(format!("`{}` means nothing to {}", short(part), self.name())));
        let missing = self.parts()[0].filter(|part| layers.winner(part).is_none());
        let missing = missing.map(|part| name.fault(format!("{} needs `{}`", self.name(), short(part.name))));
        let faults: Vec<_> = alien.chain(missing).collect();
        layers.faults.extend(faults);
    }

    fn channel(self, layers: &mut Layers) -> Option<Channel> {
        Some(match self {
            Self::Log => Channel::Log,
            Self::Webhook => Channel::Webhook {
                url: layers.one(&key::ALERT_URL, parse_url)?,
                secret: layers.one(&key::ALERT_SECRET, parse_place),
            },
            Self::Slack => Channel::Slack { url: layers.one(&key::ALERT_URL, parse_place)? },
            Self::PagerDuty => Channel::PagerDuty {
                address: layers.one(&key::ALERT_ADDRESS, parse_host),
                routing_key: layers.one(&key::ALERT_ROUTING_KEY, parse_place)?,
            },
        })
    }
}

impl Channel {
    fn way(&self) -> Way {
        match self {
            Self::Log => Way::Log,
            Self::Webhook { .. } => Way::Webhook,
            Self::Slack { .. } => Way::Slack,
            Self::PagerDuty { .. } => Way::PagerDuty,
        }
    }
}

impl SinkSettings {
    /// A sink as it was written; none if it has faults.
    pub(super) fn settle(raw: RawSink, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let mut layers = Layers::default();
        raw.given.into_iter().for_each(|(key, texts)| layers.put(key, texts));
        let sink = Self::read(&raw.name, &mut layers);
        let is_good = layers.faults.is_empty();
        faults.append(&mut layers.faults);
        sink.filter(|_| is_good)
    }

    fn read(name: &Text, layers: &mut Layers) -> Option<Self> {
        let least = layers.one(&key::ALERT_LEAST, parse_severity);
        let reminder = layers.one(&key::ALERT_REMINDER, duration::parse);
        if layers.winner(&key::ALERT_TO).is_none() {
            let known = Way::ALL.map(Way::name).join(", ");
            layers.faults.push(name.fault("`to` is missing: where its alerts go").hint(known));
        }
        let way = layers.one(&key::ALERT_TO, Way::parse)?;
        way.check(name, layers);
        let channel = way.channel(layers)?;
        Some(Self { name: name.secret().expose().into(), origin: name.origin(), least, reminder, channel })
    }

    /// The sink, whose secrets are read from their places when the first alert is due.
    pub(crate) fn later(
        &self,
        scope: &str,
        workstation: impl Fn() -> Result<Workstation<'static>, Failure> + Send + Sync + 'static,
    ) -> Sink {
        let settings = self.clone();
        let mut sink = Sink::later(&self.name, self.least.unwrap_or(self.channel.way().least()), move || {
            let (settings, workstation) = (settings.clone(), workstation());
            async move { settings.open(&workstation?).await }
        });
        sink.reminder = self.reminder.unwrap_or(sink.reminder);
        sink.scope = scope.to_owned();
        sink
    }

    /// The sink, with its secrets read from their places.
    pub(crate) async fn open(&self, workstation: &Workstation<'_>) -> Result<Sink, Failure> {
        let find = async |place: &Reference| workstation.find(place).await;
        let mut sink = match &self.channel {
            Channel::Log => Sink::log(&self.name),
            Channel::Webhook { url, secret } => {
                let url = match url {
                    Url::Plain(url) => Secret::new(&**url),
                    Url::At(place) => find(place).await?,
                };
                let secret = match secret {
                    Some(place) => Some(find(place).await?),
                    None => None,
                };
                Sink::webhook(&self.name, &trimmed(&url), secret.as_ref())?
            }
            Channel::Slack { url } => Sink::slack(&self.name, &trimmed(&find(url).await?))?,
            Channel::PagerDuty { routing_key, address } => {
                let key = find(routing_key).await?;
                match address {
                    Some(address) => Sink::pager_duty_at(&self.name, address, &key)?,
                    None => Sink::pager_duty(&self.name, &key)?,
                }
            }
        };
        sink.least = self.least.unwrap_or(sink.least);
        sink.reminder = self.reminder.unwrap_or(sink.reminder);
        Ok(sink)
    }

    /// How it is told, in a word.
    pub(crate) fn way(&self) -> &'static str {
        self.channel.way().name()
    }

    /// Whether its alerts can be seen where the log shows nothing but warnings and what is worse.
    pub(crate) fn is_seen_in_warnings(&self) -> bool {
        self.channel.way() != Way::Log
    }

    /// The value as it is shown: `slack, warning` where a least severity was given.
    pub(super) fn shown(&self) -> String {
        let least = self.least.map(|least| format!(", {}", least.name())).unwrap_or_default();
        format!("{}{least}", self.way())
    }
}

/// The name within its section.
fn short(name: &'static str) -> &'static str {
    name.split_once('.').map_or(name, |(_, short)| short)
}

/// What a file holds often ends with a line end.
fn trimmed(secret: &Secret) -> Secret {
    Secret::new(secret.expose().trim())
}

fn parse_severity(text: &str) -> Result<Severity, Trouble> {
    let known = || Severity::ALL.map(Severity::name).join(", ");
    Severity::of_name(text).ok_or_else(|| Trouble::at(0, format!("a severity is one of {}", known())))
}

/// Parses where a secret rests. What does not look like a reference may be the secret, and is not shown.
fn parse_place(text: &str) -> Result<Reference, Trouble> {
    let here = "a secret of an alert sink is named by its place";
    let hint = "such as keyring://leasehold/slack, sealed://, kernel://, file:///path or env://NAME";
    let reference = Reference::parse(text).map_err(|_| Trouble::unseen(here).hint(hint))?;
    match reference.place() {
        Place::Vault(_) => {
            Err(Trouble::at(0, "an alert may be about the server, so its secrets rest elsewhere").hint(hint))
        }
        _ => Ok(reference),
    }
}

fn parse_url(text: &str) -> Result<Url, Trouble> {
    match text.starts_with("https://") || text.starts_with("http://") {
        true => parse_address(text).map(Url::Plain),
        false => parse_place(text).map(Url::At),
    }
}

/// Takes an address of PagerDuty.
fn parse_host(text: &str) -> Result<String, Trouble> {
    let sink = Sink::pager_duty_at("", text, &Secret::new("key"));
    sink.map(|_| text.to_owned()).map_err(|failure| Trouble::unseen(failure.message()))
}

/// Takes what a webhook may be sent to. It may be a secret as a whole, so it is not shown.
fn parse_address(text: &str) -> Result<String, Trouble> {
    let sink = Sink::webhook("", &Secret::new(text), None);
    sink.map(|_| text.to_owned()).map_err(|failure| Trouble::unseen(failure.message()))
}

#[cfg(test)]
mod tests {
    use super::super::raw::{Trust, read};
    use super::super::text::SourceFile;
    use super::*;
    use std::sync::Arc;

    fn settle(text: &str) -> Result<Vec<String>, Vec<String>> {
        let file = Arc::new(SourceFile { path: "l.toml".into(), text: format!("[alerts.a]\n{text}") });
        let mut faults = Vec::new();
        let raw = read(&file, Trust::Own, &mut faults).sinks;
        let sinks: Vec<_> =
            raw.into_iter().filter_map(|raw| SinkSettings::settle(raw, &mut faults)).collect();
        match faults.is_empty() {
            true => Ok(sinks.iter().map(SinkSettings::shown).collect()),
            false => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn sinks_that_are_right() {
        let check =
            |text: &str, expect: &str| assert_eq!(settle(text), Ok(vec![expect.to_owned()]), "{text}");
        check("to = 'log'", "log");
        check("to = 'log'\nleast = 'warning'\nreminder = '4h'", "log, warning");
        check("to = 'webhook'\nurl = 'https://a.example/x'", "webhook");
        check("to = 'webhook'\nurl = 'env://HOOK'\nsecret = 'keyring://a/b'", "webhook");
        check("to = 'slack'\nurl = 'file:///run/slack'\nleast = 'critical'", "slack, critical");
        check("to = 'pagerduty'\nrouting_key = 'sealed://a/b'", "pagerduty");
        check(
            "to = 'pagerduty'\nrouting_key = 'env://K'\naddress = 'https://events.eu.pagerduty.com'",
            "pagerduty",
        );
    }

    #[test]
    fn faults_tell_their_place_and_no_secret() {
        let check = |text: &str, expect: &str| {
            let faults = settle(text).unwrap_err().concat();
            assert!(faults.contains(expect) && !faults.contains("canary"), "{text}: {faults}");
        };
        check("", "l.toml:1:9: `to` is missing");
        check("to = 'mail'", "l.toml:2:7: alerts go to log, webhook, slack, pagerduty\n  mail");
        check("to = 'slack'", "l.toml:1:9: slack needs `url`");
        check(
            "to = 'slack'\nurl = 'https://hooks.slack.com/services/canary'",
            "is named by its place\n  hint: such as",
        );
        check("to = 'pagerduty'\nrouting_key = 'canary'", "l.toml:3:15: a secret of an alert sink");
        check("to = 'pagerduty'\nrouting_key = 'vault://secret/a#b'", "rest elsewhere");
        check("to = 'pagerduty'\nurl = 'env://A'", "`url` means nothing to pagerduty");
        check(
            "to = 'pagerduty'\nrouting_key = 'env://A'\naddress = 'https://a.example/canary'",
            "https://HOST, without a path",
        );
        check("to = 'webhook'\nurl = 'http://a.example/canary'", "begins with https://");
        check("to = 'webhook'\nurl = 'https://u:canary@a.example'", "without a name or password");
        check("to = 'log'\nleast = 'high'", "a severity is one of info, warning, critical");
        check("to = 'log'\nlest = 'high'", "did you mean `least`?");
    }
}

//! What each service is sent: one alert in its own words.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::alert::{Alert, Matter, Severity};
use super::origin::Origin;
use crate::clock::wall_text;
use crate::hex::hex;
use leasehold_core::Secret;

/// The longest text, in characters. PagerDuty takes 1,024.
const LONGEST: usize = 1_000;
/// The longest key of an incident that PagerDuty takes.
const LONGEST_KEY: usize = 255;

/// An alert with what goes along with it.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) alert: &'a Alert,
    /// Who tells.
    pub(super) origin: &'a Origin,
    /// What tells its incidents from others of the same source, or nothing.
    pub(super) scope: &'a str,
    /// When it happened, in seconds since 1970.
    pub(super) wall: u64,
    /// How many were not sent before it, and within which time.
    pub(super) left_out: Option<(u64, Duration)>,
}

impl Message<'_> {
    /// The sentence, with what was left out: `a: sealed; 3 more in the last 60 s`.
    pub(super) fn sentence(&self) -> String {
        let Alert { credential, message, .. } = self.alert;
        let more = self.left_out.map(|(count, within)| {
            let seconds = within.as_secs().max(1);
            format!("; {count} more in the last {seconds} s")
        });
        let more = more.unwrap_or_default();
        let text = plain(&format!("{credential}: {message}"), LONGEST - more.len());
        format!("{text}{more}")
    }

    /// The body of a webhook.
    pub(super) fn webhook(&self) -> Value {
        let Alert { credential, matter, message } = self.alert;
        json!({
            "version": 1,
            "event": matter.name(),
            "severity": matter.severity().name(),
            "credential": plain(credential, LONGEST),
            "source": plain(&self.origin.source, LONGEST),
            "server": self.server(),
            "command": self.command(),
            "message": plain(message, LONGEST),
            "time": wall_text(self.wall),
            "cause": cause(*matter),
            "ttl_seconds": matter.life().map(|life| life.as_secs()),
            "left_out": self.left_out.map_or(0, |(count, _)| count),
        })
    }

    /// The body of an incoming webhook of Slack. Nothing of the text is taken for a command or a link.
    pub(super) fn slack(&self) -> Value {
        let sign = match (self.alert.matter, self.alert.matter.severity()) {
            (Matter::Recovered, _) => ":white_check_mark:",
            (_, Severity::Critical) => ":rotating_light:",
            (_, Severity::Warning) => ":warning:",
            (_, Severity::Info) => ":information_source:",
        };
        let text = format!("{} ({})", self.sentence(), plain(&self.origin.to_string(), LONGEST));
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        json!({ "text": format!("{sign} {text}"), "unfurl_links": false, "unfurl_media": false })
    }

    /// An event of PagerDuty: the end of a trouble resolves its incident, and all else triggers one.
    pub(super) fn pager_duty(&self, routing_key: &Secret) -> Value {
        let Alert { credential, matter, .. } = self.alert;
        let key = self.incident();
        if *matter == Matter::Recovered {
            return json!({
                "routing_key": routing_key.expose(), "event_action": "resolve", "dedup_key": key,
            });
        }
        json!({
            "routing_key": routing_key.expose(),
            "event_action": "trigger",
            "dedup_key": key,
            "client": "Leasehold",
            "payload": {
                "summary": self.sentence(),
                "source": plain(&self.origin.source, LONGEST),
                "severity": matter.severity().name(),
                "timestamp": wall_text(self.wall),
                "component": plain(credential, LONGEST),
                "class": matter.name(),
                "custom_details": {
                    "server": self.server(),
                    "command": self.command(),
                    "cause": cause(*matter),
                    "ttl_seconds": matter.life().map(|life| life.as_secs()),
                },
            },
        })
    }

    fn server(&self) -> Option<String> {
        self.origin.server().map(|server| plain(&server, LONGEST))
    }

    fn command(&self) -> Option<String> {
        self.origin.command.as_deref().map(|command| plain(command, LONGEST))
    }

    /// One incident for each credential of each source and scope. Nothing of the scope can be read.
    fn incident(&self) -> String {
        let scope = match self.scope.is_empty() {
            true => String::new(),
            false => format!("/{:.16}", digest(self.scope)),
        };
        let key = format!("leasehold/{}{scope}/{}", self.origin.source, self.alert.credential);
        if key.len() <= LONGEST_KEY { key } else { format!("leasehold/{}", digest(&key)) }
    }
}

fn cause(matter: Matter) -> Option<&'static str> {
    match matter {
        Matter::Failed { cause } => Some(cause),
        _ => None,
    }
}

fn digest(text: &str) -> String {
    hex(Sha256::digest(text.as_bytes()))
}

/// One line, and no longer than that.
fn plain(text: &str, longest: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::name::Address;

    fn check(alert: &Alert, read: fn(&Message<'_>) -> Value, expect: &Value) {
        let left_out = Some((3, Duration::from_secs(60)));
        let message = Message { alert, origin: &origin(), scope: "", wall: 1_800_000_000, left_out };
        assert_eq!(&read(&message), expect);
    }

    fn origin() -> Origin {
        let servers = vec![Address::parse("https://vault.example:8200").unwrap()];
        Origin { servers, command: Some("psql".into()), ..Origin::from("web-1") }
    }

    fn failed() -> Alert {
        Alert::new("db", Matter::Failed { cause: "sealed" }, "it is <!channel> & sealed\nreally")
    }

    #[test]
    fn a_webhook_gets_everything() {
        let expect = json!({
            "version": 1, "event": "failed", "severity": "critical", "credential": "db", "source": "web-1",
            "server": "https://vault.example:8200", "command": "psql",
            "message": "it is <!channel> & sealed really", "time": "2027-01-15T08:00:00Z", "cause": "sealed",
            "ttl_seconds": null, "left_out": 3,
        });
        check(&failed(), |message| message.webhook(), &expect);
    }

    #[test]
    fn slack_gets_a_line_that_calls_nobody() {
        let text = ":rotating_light: db: it is &lt;!channel&gt; &amp; sealed really; 3 more in the last 60 s \
                    (web-1, psql, https://vault.example:8200)";
        let expect = json!({ "text": text, "unfurl_links": false, "unfurl_media": false });
        check(&failed(), |message| message.slack(), &expect);
    }

    #[test]
    fn pager_duty_gets_an_incident_and_its_end() {
        let read = |message: &Message<'_>| message.pager_duty(&Secret::new("key"));
        let left = Duration::from_secs(60);
        let expect = json!({
            "routing_key": "key", "event_action": "trigger", "dedup_key": "leasehold/web-1/db", "client": "Leasehold",
            "payload": {
                "summary": "db: ends soon; 3 more in the last 60 s", "source": "web-1", "severity": "warning",
                "timestamp": "2027-01-15T08:00:00Z", "component": "db", "class": "expiring",
                "custom_details": {
                    "server": "https://vault.example:8200", "command": "psql", "cause": null, "ttl_seconds": 60,
                },
            },
        });
        check(&Alert::new("db", Matter::Expiring { left }, "ends soon"), read, &expect);
        let expect = json!({
            "routing_key": "key", "event_action": "resolve", "dedup_key": "leasehold/web-1/db",
        });
        check(&Alert::new("db", Matter::Recovered, ""), read, &expect);
    }

    #[test]
    fn a_scope_has_incidents_of_its_own() {
        let check = |scope: &str, expect: &str| {
            let message = Message { alert: &failed(), origin: &origin(), scope, wall: 0, left_out: None };
            assert_eq!(message.incident(), expect);
        };
        check("", "leasehold/web-1/db");
        check("abc", "leasehold/web-1/ba7816bf8f01cfea/db");
    }

    #[test]
    fn texts_are_cut_and_keys_stay_apart() {
        let key = |name: String| {
            let alert = Alert::new(name, Matter::Test, "ü".repeat(5_000));
            let message = Message {
                alert: &alert,
                origin: &Origin::from("s"),
                scope: "",
                wall: 0,
                left_out: Some((7, Duration::ZERO)),
            };
            let sentence = message.sentence();
            assert!(sentence.chars().count() <= LONGEST && sentence.ends_with("; 7 more in the last 1 s"));
            message.incident()
        };
        let (long, other) = (key("n".repeat(300)), key("n".repeat(301)));
        assert!(long.len() <= LONGEST_KEY && long != other, "{long}");
    }
}

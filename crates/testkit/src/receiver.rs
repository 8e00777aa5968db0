//! Those who are sent alerts: a loopback server that judges them as each service does, and misbehaves on demand.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::listener::{Listener, answer};
use crate::providers::{Manner, misbehave};

/// Whom a [`Receiver`] plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverKind {
    /// Anything that takes JSON.
    Webhook,
    /// An incoming webhook of Slack.
    Slack,
    /// PagerDuty's Events API v2.
    PagerDuty,
}

/// A receiver of alerts on a loopback port, until the test process ends.
///
/// ```
/// use leasehold_testkit::{Manner, Receiver, ReceiverKind};
///
/// let receiver = Receiver::start(ReceiverKind::PagerDuty, "0123456789abcdef0123456789abcdef");
/// // Somebody triggers an incident at `receiver.address()`, after two attempts:
/// receiver.behave([Manner::Down, Manner::Hurried]);
/// assert!(receiver.incidents().is_empty());
/// ```
pub struct Receiver {
    listener: Listener,
    state: Arc<Mutex<State>>,
    kind: ReceiverKind,
    secret: String,
}

#[derive(Default)]
struct State {
    /// How the next requests are answered; honestly once these are used up.
    manners: VecDeque<Manner>,
    taken: Vec<Value>,
    incidents: BTreeSet<String>,
}

impl Receiver {
    /// One that knows this secret: the last part of Slack's URL, or a routing key. A webhook has none.
    pub fn start(kind: ReceiverKind, secret: &str) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let (known, shared) = (secret.to_owned(), Arc::clone(&state));
        let listener = Listener::speaking(move |request, stream| {
            let mut state = shared.lock().expect("nobody panics with it");
            let manner = state.manners.pop_front().unwrap_or(Manner::Honest);
            let whole = match manner {
                Manner::Honest => state.take(kind, &known, request),
                // What the sender says comes back, as it does from a service that explains too much.
                Manner::Restricted => answer(400, "", request),
                Manner::Hurried => answer(429, "retry-after: 1\r\n", "rate_limited"),
                _ => Vec::new(),
            };
            drop(state);
            respond(&manner, &whole, stream)
        });
        Self { listener, state, kind, secret: secret.to_owned() }
    }

    /// The next requests are answered so, one each; those after them honestly.
    pub fn behave(&self, manners: impl IntoIterator<Item = Manner>) {
        self.state.lock().expect("nobody panics with it").manners.extend(manners);
    }

    /// What is configured: Slack's URL, or the address of PagerDuty.
    pub fn address(&self) -> String {
        let base = self.listener.address();
        match self.kind {
            ReceiverKind::Webhook => format!("{base}/hook?team=ops"),
            ReceiverKind::Slack => format!("{base}/services/T0/B0/{}", self.secret),
            ReceiverKind::PagerDuty => base,
        }
    }

    /// The bodies that were accepted.
    pub fn taken(&self) -> Vec<Value> {
        self.state.lock().expect("nobody panics with it").taken.clone()
    }

    /// PagerDuty's open incidents, by their keys.
    pub fn incidents(&self) -> Vec<String> {
        self.state.lock().expect("nobody panics with it").incidents.iter().cloned().collect()
    }

    /// What it heard, accepted or not.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

fn respond(manner: &Manner, whole: &[u8], stream: &mut TcpStream) -> bool {
    misbehave(manner, "ok", stream).unwrap_or_else(|| stream.write_all(whole).is_ok())
}

impl State {
    fn take(&mut self, kind: ReceiverKind, secret: &str, request: &str) -> Vec<u8> {
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        let path = head.split(' ').nth(1).unwrap_or_default();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let refusal = match kind {
            _ if !head.starts_with("POST ") => Some((405, "method")),
            ReceiverKind::Webhook => body.as_object().is_none().then_some((400, "no JSON")),
            ReceiverKind::Slack => slack(path, secret, &body),
            ReceiverKind::PagerDuty => self.pager_duty(path, secret, &body),
        };
        let good = match kind {
            ReceiverKind::Webhook => (204, ""),
            ReceiverKind::Slack => (200, "ok"),
            ReceiverKind::PagerDuty => (202, r#"{"status":"success","message":"Event processed"}"#),
        };
        if refusal.is_none() {
            self.taken.push(body);
        }
        let (status, text) = refusal.unwrap_or(good);
        answer(status, "", text)
    }

    fn pager_duty(&mut self, path: &str, key: &str, event: &Value) -> Option<(u16, &'static str)> {
        let invalid = Some((400, r#"{"status":"invalid event","message":"Event object is invalid"}"#));
        let text =
            |value: &Value, most: usize| value.as_str().is_some_and(|it| !it.is_empty() && it.len() <= most);
        if path != "/v2/enqueue" || event["routing_key"] != json!(key) || !text(&event["dedup_key"], 255) {
            return invalid;
        }
        let incident = event["dedup_key"].as_str().unwrap_or_default().to_owned();
        let payload = &event["payload"];
        let is_severity =
            ["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap_or(""));
        match event["event_action"].as_str() {
            Some("trigger")
                if text(&payload["summary"], 1024) && text(&payload["source"], 1024) && is_severity =>
            {
                self.incidents.insert(incident);
            }
            Some("resolve") => _ = self.incidents.remove(&incident),
            _ => return invalid,
        }
        None
    }
}

fn slack(path: &str, secret: &str, body: &Value) -> Option<(u16, &'static str)> {
    if path != format!("/services/T0/B0/{secret}") {
        return Some((404, "no_service"));
    }
    body["text"].as_str().is_none_or(str::is_empty).then_some((400, "invalid_payload"))
}

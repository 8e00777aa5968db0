//! One try to deliver one alert.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Bytes;
use leasehold_core::{Failure, Kind, Retry, Secret};
use tokio::sync::{Mutex, OnceCell};

use super::alert::Severity;
use super::message::Message;
use super::sink::{Channel, Opener, Opening, Sink};
use super::target::Target;
use crate::clock::Clock;
use crate::signing::{Covering, Signer};
use crate::token_cache::TokenCache;
use crate::transport::{Receipt, Transport, TransportSettings};

/// How long a sink may take for its answer, and its secrets to be read.
const LIMIT: Duration = Duration::from_secs(5);
/// How we call ourselves in signed requests.
const AGENT: &str = "leasehold";

/// The way to one sink. It is made when the first alert is due.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    way: Way,
    later: Mutex<Later>,
}

/// A sink that is opened when an alert is due.
#[derive(Default)]
struct Later {
    /// Stays when its time is over: what hangs is waited for again, and not begun again.
    opening: Option<Opening>,
    opened: Option<Arc<(Sink, Way)>>,
}

impl Delivery {
    /// Tells the sink, once.
    pub(super) async fn send(&self, sink: &Sink, message: &Message<'_>) -> Result<(), Failure> {
        let Channel::Later(open) = &sink.channel else { return self.way.send(sink, message).await };
        let mut later = self.later.lock().await;
        let opened = later.open(open).await?;
        let (sink, way) = &*opened;
        if !sink.wants(message.alert) {
            return Ok(());
        }
        let result = way.send(sink, message).await;
        if result.as_ref().is_err_and(|failure| matches!(failure.kind(), Kind::Denied | Kind::NotFound)) {
            // By now another secret may be at its place.
            later.opened = None;
        }
        result
    }
}

impl Later {
    async fn open(&mut self, open: &Opener) -> Result<Arc<(Sink, Way)>, Failure> {
        if let Some(opened) = &self.opened {
            return Ok(Arc::clone(opened));
        }
        let opening = self.opening.get_or_insert_with(|| open());
        let late = |_| Failure::new(Kind::Unreachable, "the secrets of the sink could not be read in time");
        let opened = tokio::time::timeout(LIMIT, opening).await.map_err(late)?;
        self.opening = None;
        let opened = Arc::new((opened?, Way::default()));
        self.opened = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("opened", &self.opened).finish_non_exhaustive()
    }
}

/// How a sink is reached.
#[derive(Debug, Default)]
struct Way(OnceCell<Transport>);

impl Way {
    async fn send(&self, sink: &Sink, message: &Message<'_>) -> Result<(), Failure> {
        let Some(target) = sink.channel.target() else {
            log(message);
            return Ok(());
        };
        // The hints of the transport are about a Vault.
        let plain =
            |failure: Failure| Failure::new(failure.kind(), failure.message()).with_retry(failure.retry());
        let settings = TransportSettings {
            connect_timeout: LIMIT,
            try_timeout: LIMIT,
            ..TransportSettings::new(vec![target.address().clone()])
        };
        let transport =
            self.0.get_or_try_init(|| async { Transport::new(&settings) }).await.map_err(plain)?;
        let receipt = transport.post(request(&sink.channel, target, message)?).await.map_err(plain)?;
        judge(&sink.channel, target, &receipt)
    }
}

fn log(message: &Message<'_>) {
    let (event, credential) = (message.alert.matter.name(), &message.alert.credential);
    let (text, server) = (message.sentence(), message.origin.server());
    let (server, command) = (server.as_deref(), message.origin.command.as_deref());
    match message.alert.matter.severity() {
        Severity::Critical => tracing::error!(target: "alerts", event, credential, server, command, "{text}"),
        Severity::Warning => tracing::warn!(target: "alerts", event, credential, server, command, "{text}"),
        Severity::Info => tracing::info!(target: "alerts", event, credential, server, command, "{text}"),
    }
}

fn request(channel: &Channel, target: &Target, message: &Message<'_>) -> Result<Request<Bytes>, Failure> {
    let (body, secret) = match channel {
        Channel::Webhook { secret, .. } => (message.webhook(), secret.as_ref()),
        Channel::Slack(_) | Channel::Log | Channel::Later(_) => (message.slack(), None),
        Channel::PagerDuty { routing_key, .. } => (message.pager_duty(routing_key), None),
    };
    let invalid = |_| Failure::new(Kind::Invalid, "the URL of an alert sink cannot be asked for");
    let request = Request::post(target.url().expose()).body(Bytes::from(body.to_string()));
    let mut request = request.map_err(invalid)?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    secret.map(|secret| sign(&mut request, secret)).transpose()?;
    Ok(request)
}

/// Signs it with the present time, so that each try has a time and an id of its own.
fn sign(request: &mut Request<Bytes>, secret: &Secret) -> Result<(), Failure> {
    let broken = || Failure::new(Kind::Broken, "an alert could not be signed");
    let keys = TokenCache::new(Clock::default(), Duration::ZERO);
    keys.rotate(secret.clone());
    let signer = Signer::new(keys, AGENT, Covering::Everything).ok_or_else(broken)?;
    signer.sign(request).map(drop).map_err(|_| broken())
}

/// What an answer means: 2xx that it was taken, and whatever else is said counts for nothing.
fn judge(channel: &Channel, target: &Target, receipt: &Receipt) -> Result<(), Failure> {
    let status = StatusCode::from_u16(receipt.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let failure = |kind, what: &str| {
        let reason = reason(channel, &receipt.said).map(|reason| format!(": {reason}")).unwrap_or_default();
        Failure::new(
            kind,
            format!("{} {what} ({status}){reason}", target.address(), status = status.as_u16()),
        )
    };
    let later = |failure: Failure| failure.with_retry(Retry::After(receipt.retry_after));
    Err(match status.as_u16() {
        200..300 => return Ok(()),
        300..400 => failure(Kind::Invalid, "redirects the alert, which is not followed")
            .hint("name the URL that it leads to, if that is yours"),
        401 | 403 => failure(Kind::Denied, "refuses the alert").hint(mend(channel)),
        404 | 410 => failure(Kind::NotFound, "does not know the place of the alert").hint(mend(channel)),
        408 | 425 => later(failure(Kind::Unreachable, "did not take the alert in time")),
        429 => later(failure(Kind::Throttled, "wants fewer alerts")),
        400..500 => failure(Kind::Invalid, "refuses the alert").hint(mend(channel)),
        _ => later(failure(Kind::Broken, "could not take the alert")),
    })
}

/// The words by which Slack says why. Nothing else that a sink says is repeated: it may hold what it was sent.
const REASONS: [&str; 12] = [
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_blocks",
    "invalid_payload",
    "invalid_token",
    "no_service",
    "no_team",
    "no_text",
    "rate_limited",
    "team_disabled",
    "user_not_found",
];

fn reason(channel: &Channel, said: &[u8]) -> Option<&'static str> {
    let is_slack = matches!(channel, Channel::Slack(_));
    REASONS.into_iter().find(|reason| is_slack && reason.as_bytes() == said.trim_ascii())
}

/// What can be done where a sink does not take what we send.
fn mend(channel: &Channel) -> &'static str {
    match channel {
        Channel::Slack(_) => "was the webhook deleted, or its channel archived? make another in Slack",
        Channel::PagerDuty { .. } => {
            "is the key that of an integration \"Events API v2\", and does the service live in this region?"
        }
        Channel::Webhook { .. } => "is the URL right, and does it know our secret?",
        Channel::Log | Channel::Later(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let url = Secret::new("https://hooks.example/canary");
        let slack = Sink::slack("team", &url).unwrap().channel;
        let wait = Some(Duration::from_secs(7));
        let check = |status, said: &'static str, expect: Result<(), (Kind, Retry)>| {
            let receipt = Receipt { status, retry_after: wait, said: Bytes::from_static(said.as_bytes()) };
            let result = judge(&slack, slack.target().unwrap(), &receipt);
            let told = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert!(!told.contains("canary"), "{told}");
            assert_eq!(told.contains("no_service"), said.contains("no_service"), "{told}");
            assert_eq!(result.map_err(|failure| (failure.kind(), failure.retry())), expect, "{status}");
        };
        let later = Retry::After(wait);
        check(200, "ok", Ok(()));
        check(202, "", Ok(()));
        check(302, "", Err((Kind::Invalid, Retry::Never)));
        check(400, "canary", Err((Kind::Invalid, Retry::Never)));
        check(403, "", Err((Kind::Denied, Retry::Never)));
        check(404, "no_service\n", Err((Kind::NotFound, Retry::Never)));
        check(408, "", Err((Kind::Unreachable, later)));
        check(422, "", Err((Kind::Invalid, Retry::Never)));
        check(429, "", Err((Kind::Throttled, later)));
        check(500, "", Err((Kind::Broken, later)));
        check(503, "", Err((Kind::Broken, later)));
        check(999, "", Err((Kind::Broken, later)));
    }
}

//! What the tests stand on: receivers, sinks for them, a clock that can be steered, and the log.

use std::ops::Deref;
use std::sync::OnceLock;
use std::time::Duration;

use leasehold::alerts::{Alert, Alerts, Matter, Severity, Sink};
use leasehold::clock::{Clock, Steering};
use leasehold::core::Secret;
use leasehold_testkit::{Canaries, Log, Receiver, ReceiverKind, random_hex, wait_for};

/// How long something may take on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) const SEALED: Matter = Matter::Failed { cause: "sealed" };

/// What all tests of this process tell the log. A subscriber of one thread would not hear the courier.
pub(crate) fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).expect("the only log here");
        log
    })
}

/// A receiver, and the name of its sink, which no other has.
pub(crate) struct Place {
    receiver: Receiver,
    name: String,
}

impl Place {
    fn new(kind: ReceiverKind, secret: &str) -> Self {
        Self { receiver: Receiver::start(kind, secret), name: format!("{kind:?}-{}", random_hex()) }
    }

    fn url(&self) -> Secret {
        Secret::new(self.address())
    }

    /// What the log says of its sink.
    pub(crate) fn log(&self) -> Vec<String> {
        log().lines(&format!("sink={:?}", self.name))
    }
}

impl Deref for Place {
    type Target = Receiver;

    fn deref(&self) -> &Receiver {
        &self.receiver
    }
}

/// One receiver of each kind, whose secrets are canaries.
pub(crate) struct Ground {
    pub(crate) canaries: Canaries,
    pub(crate) webhook: Place,
    pub(crate) slack: Place,
    pub(crate) pager_duty: Place,
    secrets: [String; 3],
}

impl Ground {
    pub(crate) fn new() -> Self {
        log();
        let mut canaries = Canaries::default();
        let secrets = ["webhook", "slack", "pager_duty"].map(|name| canaries.plant(name));
        Self {
            canaries,
            webhook: Place::new(ReceiverKind::Webhook, ""),
            slack: Place::new(ReceiverKind::Slack, &secrets[1]),
            pager_duty: Place::new(ReceiverKind::PagerDuty, &secrets[2]),
            secrets,
        }
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::new(&*self.secrets[0])
    }

    /// A sink for each receiver, with what it is told of by default.
    pub(crate) fn sinks(&self) -> [Sink; 3] {
        let [webhook, slack, pager] = self.receivers();
        let key = Secret::new(&*self.secrets[2]);
        [
            Sink::webhook(&webhook.name, &webhook.url(), Some(&self.secret())).unwrap(),
            Sink::slack(&slack.name, &slack.url()).unwrap(),
            Sink::pager_duty_at(&pager.name, &pager.address(), &key).unwrap(),
        ]
    }

    pub(crate) fn receivers(&self) -> [&Place; 3] {
        [&self.webhook, &self.slack, &self.pager_duty]
    }
}

/// Alerts by a clock that can be steered.
pub(crate) fn steered(sinks: impl Into<Vec<Sink>>) -> (Alerts, Steering) {
    let (clock, steering) = Clock::steered();
    (Alerts::start_by(clock, "web-1", sinks.into()).unwrap(), steering)
}

/// The same for everything that happens.
pub(crate) fn curious(mut sink: Sink) -> Sink {
    sink.least = Severity::Info;
    sink
}

pub(crate) fn alert(matter: Matter) -> Alert {
    Alert::new("db", matter, "the server is sealed")
}

/// Waits until a receiver has taken so many, and our side knows it.
pub(crate) fn arrive(place: &Place, count: usize) {
    known(place, "an alert is delivered", count);
    assert!(place.taken().len() >= count);
}

/// Waits until a receiver has refused so many, and our side knows it.
pub(crate) fn refused(place: &Place, count: usize) {
    known(place, "an alert was not delivered yet", count);
}

/// Waits until so many are given up that a receiver has refused.
pub(crate) fn given_up(place: &Place, count: usize) {
    known(place, "an alert was not delivered: ", count);
}

/// Waits until the log says this so often of the sink.
fn known(place: &Place, what: &str, count: usize) {
    let is_so = || place.log().iter().filter(|line| line.contains(what)).count() >= count;
    let waited = wait_for(PATIENCE, || is_so().then_some(()));
    assert!(waited.is_some(), "{:?} {:?}", place.log(), place.listener().requests());
}

/// Waits until a receiver was asked so often. Our side may wait for the answer still.
pub(crate) fn asked(place: &Place, count: usize) {
    let asked = wait_for(PATIENCE, || (place.listener().requests().len() >= count).then_some(()));
    assert!(asked.is_some(), "{:?}", place.listener().requests());
}

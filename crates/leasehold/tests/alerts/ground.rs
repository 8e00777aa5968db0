//! What the tests stand on: receivers, sinks for them, and a clock that can be steered.

use std::time::Duration;

use leasehold::alerts::{Alert, Alerts, Matter, Severity, Sink};
use leasehold::clock::{Clock, Steering};
use leasehold::core::Secret;
use leasehold_testkit::{Canaries, Receiver, ReceiverKind, wait_for};

/// How long something may take on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) const SEALED: Matter = Matter::Failed { cause: "sealed" };

/// One receiver of each kind, whose secrets are canaries.
pub(crate) struct Ground {
    pub(crate) canaries: Canaries,
    pub(crate) webhook: Receiver,
    pub(crate) slack: Receiver,
    pub(crate) pager_duty: Receiver,
    secrets: [String; 3],
}

impl Ground {
    pub(crate) fn new() -> Self {
        let mut canaries = Canaries::default();
        let secrets = ["webhook", "slack", "pager_duty"].map(|name| canaries.plant(name));
        Self {
            canaries,
            webhook: Receiver::start(ReceiverKind::Webhook, ""),
            slack: Receiver::start(ReceiverKind::Slack, &secrets[1]),
            pager_duty: Receiver::start(ReceiverKind::PagerDuty, &secrets[2]),
            secrets,
        }
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::new(&*self.secrets[0])
    }

    /// A sink for each receiver, with what it is told of by default.
    pub(crate) fn sinks(&self) -> [Sink; 3] {
        let url = |receiver: &Receiver| Secret::new(receiver.address());
        [
            Sink::webhook("webhook", &url(&self.webhook), Some(&self.secret())).unwrap(),
            Sink::slack("slack", &url(&self.slack)).unwrap(),
            Sink::pager_duty_at("pager", &self.pager_duty.address(), &Secret::new(&*self.secrets[2]))
                .unwrap(),
        ]
    }

    pub(crate) fn receivers(&self) -> [&Receiver; 3] {
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

/// Waits until a receiver has taken so many.
pub(crate) fn arrive(receiver: &Receiver, count: usize) {
    let taken = wait_for(PATIENCE, || (receiver.taken().len() >= count).then_some(()));
    assert!(taken.is_some(), "{:?}", receiver.listener().requests());
}

/// Waits until a receiver was asked so often.
pub(crate) fn asked(receiver: &Receiver, count: usize) {
    let asked = wait_for(PATIENCE, || (receiver.listener().requests().len() >= count).then_some(()));
    assert!(asked.is_some(), "{:?}", receiver.listener().requests());
}

//! Alerts of what comes of a command's credentials while it runs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use leasehold::alerts::{Alert, Alerts, Matter, Sink, Watch};
use leasehold::clock::Clock;
use leasehold::core::event::{End, Event};
use leasehold::core::{Failure, SlotId};
use leasehold::session::Session;
use leasehold::token_manager::TokenEvent;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Order;
use crate::command::workstation::{host_name, workstation};
use crate::ui::Ui;

/// How long what waits is still sent at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Those who are told, and of what. Without a session there is nothing to tell, and where nobody is told nothing is
/// listened to.
pub(super) struct Alarms<'a> {
    order: &'a Order<'a>,
    ui: Ui,
    events: Option<Receiver<Event>>,
    watches: HashMap<SlotId, Watch>,
    /// What is to be told as soon as there is somebody to tell.
    due: Vec<Alert>,
    /// None before the first alert: until then no secret of a sink is read.
    alerts: Option<Alerts>,
}

impl<'a> Alarms<'a> {
    /// Listens from now on.
    pub(super) fn of(order: &'a Order<'a>, session: Option<&Session>, ui: Ui) -> Self {
        let session = session.filter(|_| !order.settings.sinks.is_empty());
        let events = session.map(|session| session.engine().events());
        Self { order, ui, events, watches: HashMap::new(), due: Vec::new(), alerts: None }
    }

    /// Tells what happens, until this is dropped.
    pub(super) async fn listen(&mut self, session: Option<&Session>) -> Infallible {
        let (Some(session), Some(_)) = (session, &self.events) else { return std::future::pending().await };
        loop {
            let Some(events) = &mut self.events else { return std::future::pending().await };
            match events.recv().await {
                Ok(event) => self.hear(&event, session),
                Err(RecvError::Lagged(lost)) => self.ui.warn(&format!("{lost} events are told in no alert")),
                Err(RecvError::Closed) => self.events = None,
            }
            self.tell().await;
        }
    }

    /// Takes note of what has happened and was not heard yet.
    pub(super) fn hear_rest(&mut self, session: Option<&Session>) {
        let Some((session, mut events)) = session.zip(self.events.take()) else { return };
        while let Ok(event) = events.try_recv() {
            self.hear(&event, session);
        }
    }

    /// Tells what is left to tell, for a short time.
    pub(super) async fn end(mut self) {
        // What is not told by then is counted below.
        let _ = tokio::time::timeout(FAREWELL, self.tell()).await;
        let untold = match self.alerts {
            Some(alerts) => alerts.stop(FAREWELL).await,
            None => self.due.len(),
        };
        if untold > 0 {
            self.ui.warn(&format!("{untold} alerts were not delivered in time"));
        }
    }

    fn hear(&mut self, event: &Event, session: &Session) {
        let Some((slot, event)) = translated(event) else { return };
        let watch = self.watches.entry(slot).or_insert_with(|| Watch::new(session.name_of(slot)));
        let alerts = watch.hear(&event, Clock::default().now());
        // Of a short run each renewal is none of anybody's business.
        self.due.extend(alerts.into_iter().filter(|alert| !matches!(alert.matter, Matter::Renewed { .. })));
    }

    async fn tell(&mut self) {
        if self.due.is_empty() {
            return;
        }
        if self.alerts.is_none() {
            self.alerts = self.open().await.map_err(|failure| self.ui.warn(failure.message())).ok();
        }
        let Some(alerts) = &self.alerts else { return };
        self.due.drain(..).for_each(|alert| alerts.send(&alert));
    }

    /// Reads the secrets of the sinks. One that cannot be read does not silence the others.
    async fn open(&self) -> Result<Alerts, Failure> {
        let workstation = workstation(&self.order.settings, self.order.environment)?;
        let mut sinks: Vec<Sink> = Vec::new();
        for sink in self.order.settings.sinks.values() {
            match sink.open(&workstation).await {
                Ok(sink) => sinks.push(sink),
                Err(failure) => self.ui.warn(&format!("{} is not told of alerts: {failure}", sink.name)),
            }
        }
        Alerts::start(&host_name(), sinks)
    }
}

/// An event of the engine in the words of a token's; none if it is nobody's trouble.
fn translated(event: &Event) -> Option<(SlotId, TokenEvent)> {
    Some(match event {
        Event::Obtained { slot, ttl } => (*slot, TokenEvent::Obtained { ttl: *ttl }),
        Event::Renewed { slot, ttl, .. } => (*slot, TokenEvent::Renewed { ttl: *ttl }),
        Event::Replaced { slot, .. } => (*slot, TokenEvent::Obtained { ttl: None }),
        Event::Refreshed { slot, .. } => (*slot, TokenEvent::Checked { ttl: None }),
        Event::Checked { slot, ttl } => (*slot, TokenEvent::Checked { ttl: *ttl }),
        Event::Expiring { slot, left } => (*slot, TokenEvent::Expiring { left: *left }),
        Event::Failed { slot, failure, attempt } => {
            let message = failure.message().to_owned();
            (*slot, TokenEvent::Failed { kind: failure.kind(), message, attempt: *attempt })
        }
        Event::Halted { slot } => {
            let message =
                "the login is refused, and none is tried until what we log in with changes".to_owned();
            (*slot, TokenEvent::Doomed { message, left: None })
        }
        Event::Ended { slot, end } => {
            let message = match end {
                End::Expired => "it has ended before there was another",
                End::Revoked => "it was revoked",
                End::Released => return None,
            };
            (*slot, TokenEvent::Ended { message: message.to_owned() })
        }
        Event::Clamped { .. } | Event::Settled { .. } | Event::Owed { .. } => return None,
    })
}

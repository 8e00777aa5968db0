//! Alerts of what comes of a command's credentials while it runs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use leasehold::alerts::{Alert, Alerts, Matter, Origin, Watch};
use leasehold::clock::Clock;
use leasehold::core::event::{End, Event};
use leasehold::core::{Failure, Kind, Moment, SlotId};
use leasehold::session::Session;
use leasehold::token_manager::{Doom, Outlook, Prospect, TokenEvent};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Order;
use crate::command::workstation::{host_name, workstation};
use crate::config::settings::Settings;
use crate::ui::Ui;

/// A token's last day is told when it is this near. Most commands have long ended by then, and a token of eight hours is no
/// incident of each of them.
const NEAR: Duration = Duration::from_secs(3600);

/// How long what waits is still sent at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The settings that say which server is asked, and who asks.
const SCOPE: [&str; 2] = ["server.", "login."];

/// Those who are told, and of what. Without a session there is nothing to tell, and where nobody is told nothing is
/// listened to.
pub(super) struct Alarms<'a> {
    order: &'a Order<'a>,
    ui: Ui,
    events: Option<Receiver<Event>>,
    watches: HashMap<SlotId, (String, Watch)>,
    outlook: Outlook,
    /// What is known of the login's last day and was not told yet, and when that is.
    doom: Option<(Doom, Option<Moment>)>,
    /// None before the first alert: until then there is no thread, and no secret of a sink is read.
    alerts: Option<Alerts>,
}

impl<'a> Alarms<'a> {
    /// Listens from now on.
    pub(super) fn of(order: &'a Order<'a>, session: Option<&Session>, ui: Ui) -> Self {
        let session = session.filter(|_| !order.settings.sinks.is_empty());
        let events = session.map(|session| session.engine().events());
        Self {
            order,
            ui,
            events,
            watches: HashMap::new(),
            outlook: Outlook::default(),
            doom: None,
            alerts: None,
        }
    }

    /// Tells what happens, until this is dropped.
    pub(super) async fn listen(&mut self, session: Option<&Session>) -> Infallible {
        let (Some(session), Some(_)) = (session, &self.events) else { return std::future::pending().await };
        loop {
            let Some(events) = &mut self.events else { return std::future::pending().await };
            match events.recv().await {
                Ok(event) => self.hear(&event, session).await,
                Err(RecvError::Lagged(lost)) => self.miss(lost),
                Err(RecvError::Closed) => self.events = None,
            }
        }
    }

    /// Takes note of what has happened and was not heard yet.
    pub(super) async fn hear_rest(&mut self, session: Option<&Session>) {
        let Some((session, mut events)) = session.zip(self.events.take()) else { return };
        while let Ok(event) = events.try_recv() {
            self.hear(&event, session).await;
        }
    }

    /// Tells what is left to tell, for a short time. What a command needed that has ended is no trouble any more.
    pub(super) async fn end(mut self) {
        let Some(alerts) = self.alerts.take() else { return };
        if self.order.is_prepared.get() {
            let names = self.watches.values().map(|(name, _)| name);
            names.for_each(|name| alerts.send(&Alert::new(name, Matter::Recovered, "the command has ended")));
        }
        let untold = alerts.stop(FAREWELL).await;
        if untold > 0 {
            self.ui.warn(&format!("{untold} alerts were not delivered in time"));
        }
    }

    async fn hear(&mut self, event: &Event, session: &Session) {
        if let Some(told) = translated(event) {
            self.note(event.slot(), &told, session);
        }
        if event.slot() == session.login_slot() {
            self.look_ahead(event, session).await;
        }
    }

    /// Tells that the login's token cannot be kept, once its end is near.
    async fn look_ahead(&mut self, event: &Event, session: &Session) {
        let (slot, now) = (session.login_slot(), Clock::default().now());
        let status = if is_news(event) { session.engine().status_of(slot).await } else { None };
        match status.and_then(|status| self.outlook.learn(&status, now)) {
            Some(Prospect::Doomed(doom)) => {
                let end = doom.left.map(|left| now + left);
                self.doom = Some((doom, end));
            }
            Some(Prospect::Lifted) => {
                self.doom = None;
                self.note(slot, &TokenEvent::Lifted, session);
            }
            None => {}
        }
        let is_near = |(_, end): &mut (Doom, Option<Moment>)| end.is_none_or(|end| end - now <= NEAR);
        if let Some((Doom { message, .. }, end)) = self.doom.take_if(is_near) {
            self.note(slot, &TokenEvent::Doomed { message, left: end.map(|end| end - now) }, session);
        }
    }

    fn note(&mut self, slot: SlotId, event: &TokenEvent, session: &Session) {
        if !self.order.is_prepared.get() && is_seen(event) {
            return;
        }
        let (_, watch) = self.watches.entry(slot).or_insert_with(|| {
            let name = session.name_of(slot);
            (name.clone(), Watch::new(name))
        });
        let alerts = watch.hear(event, Clock::default().now());
        // Of a short run each renewal is none of anybody's business.
        alerts
            .iter()
            .filter(|alert| !matches!(alert.matter, Matter::Renewed { .. }))
            .for_each(|alert| self.tell(alert));
    }

    fn miss(&mut self, lost: u64) {
        self.ui.warn(&format!("{lost} events are told in no alert"));
        let now = Clock::default().now();
        self.watches.values_mut().for_each(|(_, watch)| _ = watch.hear(&TokenEvent::Missed(lost), now));
    }

    fn tell(&mut self, alert: &Alert) {
        if self.alerts.is_none() {
            self.alerts = self.open().map_err(|failure| self.ui.warn(failure.message())).ok();
        }
        self.alerts.iter().for_each(|alerts| alerts.send(alert));
    }

    /// Of the command its name alone: what follows may be anything.
    fn origin(&self) -> Origin {
        let Order { settings, command, .. } = self.order;
        let name = command.first().and_then(|word| Path::new(word).file_name());
        Origin {
            servers: settings.server.addresses.clone(),
            command: name.map(|name| name.to_string_lossy().into_owned()),
            ..Origin::from(&*host_name())
        }
    }

    /// Opens nothing yet: the secrets of a sink are read by the thread that sends, so that a place that hangs holds up
    /// nobody else.
    fn open(&self) -> Result<Alerts, Failure> {
        let Order { settings, environment, .. } = self.order;
        let scope = scope(settings);
        let sinks = settings.sinks.values().map(|sink| {
            let (settings, environment) = (settings.clone(), (*environment).clone());
            sink.later(&scope, move || workstation(&settings, &environment))
        });
        Alerts::start(self.origin(), sinks.collect())
    }
}

/// What tells our incidents from those of other runs on this host: the server, the login and whose state it is.
fn scope(settings: &Settings) -> String {
    let rows = settings.origins().iter().filter(|row| SCOPE.iter().any(|part| row.key.starts_with(part)));
    let values = rows.map(|row| format!("{}={}", row.key, row.value.as_deref().unwrap_or_default()));
    let state = format!("{}", settings.state_dir.display());
    values.chain([state]).collect::<Vec<_>>().join("\n")
}

/// Whether whoever has started us sees this as the reason why the command is not started.
fn is_seen(event: &TokenEvent) -> bool {
    matches!(event, TokenEvent::Failed { kind: Kind::NotFound | Kind::Invalid, .. })
}

/// Whether an event may tell new terms.
fn is_news(event: &Event) -> bool {
    use Event::{Checked, Obtained, Renewed, Replaced};
    matches!(event, Obtained { .. } | Replaced { .. } | Renewed { .. } | Checked { .. })
}

/// An event of the engine in the words of a token's; none if it is nobody's trouble.
fn translated(event: &Event) -> Option<TokenEvent> {
    Some(match event {
        Event::Obtained { ttl, .. } => TokenEvent::Obtained { ttl: *ttl },
        Event::Renewed { ttl, .. } => TokenEvent::Renewed { ttl: *ttl, replaced: false },
        // What is read anew is there as if for the first time.
        Event::Replaced { .. } | Event::Refreshed { .. } => TokenEvent::Obtained { ttl: None },
        Event::Checked { ttl, .. } => TokenEvent::Checked { ttl: *ttl },
        Event::Expiring { left, .. } => TokenEvent::Expiring { left: *left },
        Event::Failed { failure, attempt, .. } => {
            let message = failure.message().to_owned();
            TokenEvent::Failed { kind: failure.kind(), message, attempt: *attempt }
        }
        Event::Halted { .. } => TokenEvent::Doomed {
            message: "the login is refused, and none is tried until what we log in with changes".to_owned(),
            left: None,
        },
        Event::Ended { end, .. } => {
            let message = match end {
                End::Expired => "it has ended, and there is no other",
                End::Revoked => "it was revoked",
                End::Released => return None,
            };
            TokenEvent::Ended { message: message.to_owned() }
        }
        Event::Clamped { .. } | Event::Settled { .. } | Event::Owed { .. } => return None,
    })
}

//! Alerts: who has to know that a credential cannot be kept, and that it is well again.
//!
//! ```no_run
//! use leasehold::alerts::{Alerts, Sink};
//! use leasehold::core::{Failure, Secret};
//! use leasehold::token_manager::TokenManager;
//!
//! # async fn example(manager: TokenManager, slack: Secret, routing_key: Secret) -> Result<(), Failure> {
//! let sinks = vec![Sink::log("log"), Sink::slack("team", &slack)?, Sink::pager_duty("on call", &routing_key)?];
//! let alerts = Alerts::start("billing", sinks)?;
//! alerts.watch("the token of billing", manager.events());
//! # Ok(())
//! # }
//! ```
//!
//! # What is told
//!
//! | what | severity | when |
//! |---|---|---|
//! | failed | critical | the credential could not be kept or replaced, is known to have a last day, or has ended |
//! | expiring | warning | less than 24 h are left, and at each halving (as the manager's settings say) |
//! | renewed | info | it was renewed or replaced |
//! | recovered | info | the trouble is over; told to whoever was told of it |
//!
//! The same failure is told once, until it recovers; if it lasts, again after an hour ([`Sink::reminder`]). What is over
//! before it could be told is not told at all.
//!
//! # How it is sent
//!
//! On a thread of its own, so that neither a renewal nor another sink waits for a sink that hangs. Each sink is sent ten
//! alerts at once, and then one each 6 s. One try takes 5 s at most. After a try in vain the next comes after the engine's
//! own delays, after a refusal within a minute; from the fifth on they grow, up to five minutes. `Retry-After` is heeded
//! up to two minutes.
//!
//! What is critical, and the end of a trouble, is sent until it is taken or not true any more: what waits is what the sink
//! should know of a credential and does not, of 4,096 credentials at most. The rest is left out where it has no turn, is
//! refused, or was sent five times in vain; the next alert says how much was.
//!
//! Addresses are reached by TLS, or on this machine. No redirect is followed, no proxy of the environment is used, and of
//! an answer nothing but its status counts. An alert holds names, times and sentences, and no secret.
//!
//! # The webhook
//!
//! A POST with a JSON object:
//!
//! | key | what |
//! |---|---|
//! | `version` | 1 |
//! | `event` | `failed`, `expiring`, `renewed`, `recovered` or `test` |
//! | `severity` | `critical`, `warning` or `info` |
//! | `credential` | its name |
//! | `source` | who tells |
//! | `server` | the addresses of the server that it is of; else null |
//! | `command` | the name of the command that has it; else null |
//! | `message` | a sentence |
//! | `time` | when it happened (RFC 3339, UTC, to the second) |
//! | `cause` | of a failure: its kind, such as `denied` or `unreachable`; `doomed`, `ended`; else null |
//! | `ttl_seconds` | of what expires or was renewed: how long it lives; else null |
//! | `left_out` | how many alerts were not sent before this one |
//!
//! With a secret it is a [signed request](crate::signing) that covers everything, of the agent `leasehold`: the headers
//! `X-Agent-Id`, `X-Timestamp`, `X-Request-Id`, and `X-Agent-Signature-V2`, in which the time, the method and the path are
//! signed along with the body. A [`Verifier`](crate::signing::Verifier) with
//! [`Covering::Everything`](crate::signing::Covering::Everything) accepts it, once.

mod alert;
mod origin;
mod allowance;
mod target;
mod sink;
mod message;
mod outbox;
mod delivery;
mod watch;
mod courier;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::Stream;
use leasehold_core::Failure;

use courier::{Courier, Desk};
use delivery::Delivery;
use message::Message;
use sink::Channel;

pub use alert::{Alert, Matter, Severity};
pub use origin::Origin;
pub use sink::Sink;
pub use watch::{Happening, Watch};

use crate::clock::{Clock, wall_seconds};

/// Sends alerts to its sinks. Dropped, it still sends for two seconds what waits, if the process lives that long.
#[derive(Debug)]
pub struct Alerts {
    desks: Arc<[Arc<Desk>]>,
    clock: Clock,
    courier: Mutex<Option<Courier>>,
}

impl Alerts {
    /// Starts the thread that sends. Nobody is connected to before an alert is due.
    ///
    /// `origin` says in each alert who tells: the service's name, or that and [more](Origin).
    ///
    /// # Errors
    ///
    /// `Broken` if there can be no thread.
    pub fn start(origin: impl Into<Origin>, sinks: Vec<Sink>) -> Result<Self, Failure> {
        Self::start_by(Clock::default(), origin, sinks)
    }

    /// The same by a clock that may be [steered](Clock::steered).
    ///
    /// # Errors
    ///
    /// `Broken` if there can be no thread.
    pub fn start_by(clock: Clock, origin: impl Into<Origin>, sinks: Vec<Sink>) -> Result<Self, Failure> {
        let origin = Arc::new(origin.into());
        let desk = |sink| Arc::new(Desk::new(sink, Arc::clone(&origin), clock.clone()));
        let desks: Arc<[_]> = sinks.into_iter().map(desk).collect();
        let courier = Mutex::new(Some(Courier::start(Arc::clone(&desks))?));
        Ok(Self { desks, clock, courier })
    }

    /// Tells all sinks that want to know. Waits for nobody.
    pub fn send(&self, alert: &Alert) {
        self.desks.iter().for_each(|desk| desk.put(alert));
    }

    /// Tells what happens to a credential, until there are no more events or this is stopped; what happened before the
    /// stop is told yet. The events are those of
    /// [`TokenManager::events`](crate::token_manager::TokenManager::events), of
    /// [its twin without a runtime](crate::token_manager::blocking::TokenManager::stream), or of
    /// [`TokenRefresh::events`](crate::token_refresh::TokenRefresh::events).
    pub fn watch(
        &self,
        credential: &str,
        events: impl Stream<Item = impl Happening> + Send + Unpin + 'static,
    ) {
        let courier = self.courier.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(courier) = &*courier else { return };
        let (desks, clock, mut watch) = (Arc::clone(&self.desks), self.clock.clone(), Watch::new(credential));
        courier.listen(events, move |event| {
            for alert in event.alerts(&mut watch, clock.now()) {
                desks.iter().for_each(|desk| desk.put(&alert));
            }
        });
    }

    /// Sends what waits, for at most this long, and says how many alerts are left. What comes later is not sent.
    pub async fn stop(&self, limit: Duration) -> usize {
        if let Some(courier) = self.take() {
            // If the thread has ended by itself, this is known below.
            let _ = courier.end.send(limit);
            let _ = courier.ended.await;
        }
        self.desks.iter().map(|desk| desk.count()).sum()
    }

    /// As [`stop`](Self::stop), for services without a runtime.
    pub fn stop_blocking(&self, limit: Duration) -> usize {
        if let Some(courier) = self.take() {
            // If the thread has ended by itself, this is known below.
            let _ = courier.end.send(limit);
            let _ = courier.ended.blocking_recv();
        }
        self.desks.iter().map(|desk| desk.count()).sum()
    }

    fn take(&self) -> Option<Courier> {
        self.courier.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Sink {
    /// Tries the sink with an alert that says that it is a test, once; of PagerDuty the incident is resolved at once.
    ///
    /// # Errors
    ///
    /// Why the sink does not take alerts, with a hint.
    pub async fn test(&self, origin: impl Into<Origin>) -> Result<(), Failure> {
        let (delivery, origin) = (Delivery::default(), origin.into());
        let ends = matches!(self.channel, Channel::PagerDuty { .. }).then_some(Matter::Recovered);
        for matter in [Matter::Test].into_iter().chain(ends) {
            let alert =
                Alert::new("test", matter, "this tests the alerts of leasehold, and nothing is wrong");
            let message = Message {
                alert: &alert,
                origin: &origin,
                scope: &self.scope,
                wall: wall_seconds(),
                left_out: None,
            };
            delivery.send(self, &message).await.map_err(|failure| match matter {
                Matter::Recovered => {
                    failure.context("the incident of this test was not resolved, and stays open")
                }
                _ => failure,
            })?;
        }
        Ok(())
    }
}

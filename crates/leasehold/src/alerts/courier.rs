//! Takes alerts from the outboxes to the sinks, on a thread of its own: one sink that hangs holds up no other, and
//! whoever tells waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use leasehold_core::{Failure, Kind, Moment};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinSet, coop};

use super::alert::Alert;
use super::delivery::Delivery;
use super::message::Message;
use super::origin::Origin;
use super::outbox::{Fate, Letter, Outbox, Step};
use super::sink::Sink;
use crate::clock::{Clock, wall_seconds};
use crate::random;

/// How long what waits is still sent when nobody says how long.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// How long those who listen may take at the end to hear what is there already, which is no wait for anything.
const HEARING: Duration = Duration::from_secs(1);
/// The longest sleep, after which the clock is looked at: the machine may have slept.
const NAP: Duration = Duration::from_secs(1);

/// One sink, and what it has still to be told.
#[derive(Debug)]
pub(super) struct Desk {
    sink: Sink,
    origin: Arc<Origin>,
    clock: Clock,
    outbox: Mutex<Outbox>,
    delivery: Delivery,
    /// Rings when there is something new.
    bell: Notify,
    /// Until when something is still sent; none while there is no end.
    end: OnceLock<Moment>,
}

impl Desk {
    pub(super) fn new(sink: Sink, origin: Arc<Origin>, clock: Clock) -> Self {
        Self {
            outbox: Mutex::new(Outbox::new(sink.reminder)),
            sink,
            origin,
            clock,
            delivery: Delivery::default(),
            bell: Notify::new(),
            end: OnceLock::new(),
        }
    }

    /// Takes an alert for this sink. Waits for nobody.
    pub(super) fn put(&self, alert: &Alert) {
        if self.sink.wants(alert) {
            self.outbox().put(alert.clone(), self.clock.now());
            self.bell.notify_one();
        }
    }

    /// How many alerts are still to be sent.
    pub(super) fn count(&self) -> usize {
        self.outbox().count()
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, limit: Duration) {
        // Closed once: the first limit counts.
        let _ = self.end.set(self.clock.now() + limit);
        self.bell.notify_one();
    }

    /// Sends what is put here, until it is closed and nothing is left that could go in time.
    async fn serve(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let step = self.outbox().next(now);
            match step {
                Step::Send(letter) => self.deliver(&letter).await,
                Step::Wait(until) if self.end.get().is_some_and(|end| until > *end) => return,
                Step::Wait(until) => {
                    // Whether it is time or something came is the same: it is looked again.
                    let _ = tokio::time::timeout(NAP.min(until - now), self.bell.notified()).await;
                }
                Step::Rest if self.end.get().is_some() => return,
                Step::Rest => self.bell.notified().await,
            }
        }
    }

    async fn deliver(&self, letter: &Letter) {
        let (now, wall) = (self.clock.now(), wall_seconds());
        let left_out = (letter.left_out.count > 0).then_some(letter.left_out);
        let message = Message {
            alert: &letter.alert,
            origin: &self.origin,
            scope: &self.sink.scope,
            wall: wall.saturating_sub((now - letter.at).as_secs()),
            left_out: left_out.map(|it| (it.count, now - it.since)),
        };
        let result = self.delivery.send(&self.sink, &message).await;
        let fate = self.outbox().done(result.as_ref().map(drop), self.clock.now(), random::jitter());
        match &result {
            Ok(()) => tracing::debug!(
                sink = self.sink.name,
                credential = letter.alert.credential,
                "an alert is delivered"
            ),
            Err(failure) => self.tell(letter, failure, fate),
        }
    }

    fn tell(&self, letter: &Letter, failure: &Failure, fate: Fate) {
        let (sink, kind, credential) = (&self.sink.name, failure.kind().token(), &letter.alert.credential);
        let hint = failure.advice();
        match fate {
            Fate::Delivered | Fate::Postponed => {
                tracing::info!(sink, kind, credential, "an alert is sent again: {failure}");
            }
            Fate::Overdue => {
                tracing::error!(sink, kind, credential, hint, "an alert was not delivered yet: {failure}");
            }
            Fate::GivenUp => {
                tracing::error!(sink, kind, credential, hint, "an alert was not delivered: {failure}");
            }
        }
    }
}

/// The thread that carries.
#[derive(Debug)]
pub(super) struct Courier {
    runtime: Handle,
    /// Ends it within this time; as dropping it does within [`FAREWELL`].
    pub(super) end: oneshot::Sender<Duration>,
    pub(super) ended: oneshot::Receiver<()>,
    /// Whether it is over for those who listen, each of whom holds a receiver of it.
    over: watch::Sender<bool>,
}

impl Courier {
    /// Starts the thread. Nobody is connected to.
    pub(super) fn start(desks: Arc<[Arc<Desk>]>) -> Result<Self, Failure> {
        let broken =
            |error: std::io::Error| Failure::new(Kind::Broken, format!("no thread for alerts: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let handle = runtime.handle().clone();
        let (end, ending) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let over = watch::Sender::new(false);
        let listeners = over.clone();
        let thread = thread::Builder::new().name("leasehold-alerts".into());
        thread.spawn(move || carry(runtime, &desks, ending, &listeners, done)).map_err(broken)?;
        Ok(Self { runtime: handle, end, ended, over })
    }

    /// Hears all that is told on a stream: until that ends, or this does, and then what is there already.
    pub(super) fn listen<T: Send>(
        &self,
        mut told: impl Stream<Item = T> + Send + Unpin + 'static,
        mut hear: impl FnMut(T) + Send + 'static,
    ) {
        let mut over = self.over.subscribe();
        self.runtime.spawn(async move {
            while let Some(item) = next(&mut told, &mut over).await {
                hear(item);
                // One that is never silent leaves the others their turn.
                coop::consume_budget().await;
            }
        });
    }
}

/// What is told next; once it is over only what is there already.
async fn next<T>(told: &mut (impl Stream<Item = T> + Unpin), over: &mut watch::Receiver<bool>) -> Option<T> {
    tokio::select! {
        biased;
        item = told.next() => item,
        _ = over.wait_for(|over| *over) => None,
    }
}

fn carry(
    runtime: Runtime,
    desks: &[Arc<Desk>],
    ending: oneshot::Receiver<Duration>,
    listeners: &watch::Sender<bool>,
    done: oneshot::Sender<()>,
) {
    runtime.block_on(async {
        let mut couriers: JoinSet<()> = desks.iter().map(|desk| Arc::clone(desk).serve()).collect();
        let limit = ending.await.unwrap_or(FAREWELL);
        // What happened before the end goes along, so those who listen end first.
        listeners.send_replace(true);
        let _ = tokio::time::timeout(HEARING, listeners.closed()).await;
        desks.iter().for_each(|desk| desk.close(limit));
        let all = async { while couriers.join_next().await.is_some() {} };
        // What is not sent by then is counted by whoever asks.
        let _ = tokio::time::timeout(limit, all).await;
    });
    // Nobody waits for a name that is still being looked up.
    runtime.shutdown_background();
    // Whoever started it may have gone.
    let _ = done.send(());
}

//! The one loop: it tells the ledger what happened, and does what the ledger says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::errand::{Done, Errand};
use leasehold_core::event::Event;
use leasehold_core::ledger::{Ask, Input, Ledger, Output, SlotStatus};
use leasehold_core::{Failure, Kind, Moment, Policy, Scope, SlotId};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use crate::credential::{Credential, Publisher};
use crate::journal::What;
use crate::random;
use crate::worker::Worker;

/// The loop sleeps at most so long, so that a machine that slept is noticed soon.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How many events a listener may lag behind.
const EVENTS: usize = 256;

/// The reasons to wake.
enum Message {
    Ask(Ask, oneshot::Sender<Result<Credential, Failure>>),
    Tell(Input),
    Status(oneshot::Sender<Vec<SlotStatus>>),
    Stop(Duration, oneshot::Sender<Vec<Owed>>),
}

/// Something that could not be given back.
#[derive(Clone, Debug)]
pub struct Owed {
    /// What it is, by accessor or lease id.
    pub what: What,
    /// Why it was not possible; none if there was no time.
    pub failure: Option<Failure>,
}

/// Keeps credentials good until it is stopped. Dropped without [`stop`](Self::stop), it leaves what it holds to the
/// journal.
#[derive(Debug)]
pub struct Engine {
    messages: mpsc::UnboundedSender<Message>,
    events: broadcast::Sender<Event>,
    task: JoinHandle<()>,
}

impl Engine {
    /// Starts the loop on the present runtime.
    pub fn start(worker: Arc<Worker>) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS);
        let driver = Driver {
            ledger: Ledger::default(),
            worker,
            inbox,
            errands: JoinSet::new(),
            publishers: HashMap::new(),
            waiters: HashMap::new(),
            events: events.clone(),
            stop: None,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the engine joins it in `stop`, and aborts it when dropped"
        )]
        let task = tokio::spawn(driver.run());
        Self { messages, events, task }
    }

    /// Asks for a credential and waits until it is there, or until it is known why it is not. A slot that is asked
    /// for twice is fetched once.
    pub async fn ask(
        &self,
        slot: SlotId,
        scope: Scope,
        asker: Option<SlotId>,
        policy: Arc<Policy>,
    ) -> Result<Credential, Failure> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { slot, scope, asker, policy, jitter: random::jitter() };
        self.post(Message::Ask(ask, answer));
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Tells the engine that somebody was refused with this generation of a credential.
    pub fn reject(&self, slot: SlotId, generation: u32) {
        self.post(Message::Tell(Input::Reject(slot, generation)));
    }

    /// Renews, or reads again, now.
    pub fn hurry(&self, slot: SlotId) {
        self.post(Message::Tell(Input::Hurry(slot)));
    }

    /// Gives one credential, and what hangs below it, back.
    pub fn release(&self, slot: SlotId) {
        self.post(Message::Tell(Input::Release(slot)));
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// A snapshot of every credential.
    pub async fn status(&self) -> Vec<SlotStatus> {
        let (answer, answered) = oneshot::channel();
        self.post(Message::Status(answer));
        answered.await.unwrap_or_default()
    }

    /// Gives everything back, for at most this long, and says what could not be.
    pub async fn stop(mut self, limit: Duration) -> Vec<Owed> {
        let (answer, answered) = oneshot::channel();
        self.post(Message::Stop(limit, answer));
        let owed = answered.await.unwrap_or_default();
        // A loop that panicked has nothing more to say; what it held is in the journal.
        let _ = (&mut self.task).await;
        owed
    }

    fn post(&self, message: Message) {
        // A loop that has ended drops the answer's other half, which is what the asker then sees.
        let _ = self.messages.send(message);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn stopped() -> Failure {
    Failure::new(Kind::Broken, "the engine has stopped")
}

struct Driver {
    ledger: Ledger,
    worker: Arc<Worker>,
    inbox: mpsc::UnboundedReceiver<Message>,
    errands: JoinSet<Done>,
    publishers: HashMap<SlotId, Publisher>,
    waiters: HashMap<SlotId, Vec<oneshot::Sender<Result<Credential, Failure>>>>,
    events: broadcast::Sender<Event>,
    stop: Option<(Moment, oneshot::Sender<Vec<Owed>>)>,
}

impl Driver {
    async fn run(mut self) {
        loop {
            self.carry_on();
            if self.is_over() {
                break;
            }
            let nap = self.nap();
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.receive(message),
                    None => break,
                },
                Some(done) = self.errands.join_next() => match done {
                    Ok(done) => self.tell(Input::Done(done)),
                    // The ledger gives an errand up by itself when nothing comes of it.
                    Err(error) => tracing::error!(%error, "an errand failed inside"),
                },
                () = tokio::time::sleep(nap) => self.tell(Input::Tick),
            }
        }
        self.finish();
    }

    fn tell(&mut self, input: Input) {
        self.ledger.handle(Clock::default().now(), input);
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Ask(ask, answer) => self.receive_ask(ask, answer),
            Message::Tell(input) => self.tell(input),
            Message::Status(answer) => {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(self.ledger.status().collect());
            }
            Message::Stop(limit, answer) => {
                self.stop = Some((Clock::default().now() + limit, answer));
                self.tell(Input::Stop);
            }
        }
    }

    fn receive_ask(&mut self, ask: Ask, answer: oneshot::Sender<Result<Credential, Failure>>) {
        let publisher = self.publishers.entry(ask.slot).or_insert_with(|| Publisher::new(ask.slot));
        if publisher.is_live() {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(Ok(publisher.credential()));
            return;
        }
        self.waiters.entry(ask.slot).or_default().push(answer);
        self.tell(Input::Ask(ask));
    }

    /// Does all that the ledger says.
    fn carry_on(&mut self) {
        while let Some(output) = self.ledger.poll() {
            match output {
                Output::Do(errand) => self.dispatch(errand),
                Output::Publish { slot, generation, grant } => {
                    if let Some(publisher) = self.publishers.get(&slot) {
                        publisher.publish(generation, grant);
                        let credential = publisher.credential();
                        self.answer(slot, &Ok(credential));
                    }
                }
                Output::Withdraw { slot, .. } => {
                    if let Some(publisher) = self.publishers.get(&slot) {
                        publisher.withdraw();
                    }
                }
                Output::Note(event) => self.note(event),
            }
        }
    }

    fn dispatch(&mut self, errand: Errand) {
        let worker = Arc::clone(&self.worker);
        self.errands.spawn(async move {
            let clock = Clock::default();
            let started = clock.now();
            let result = worker.carry_out(&errand).await;
            let round_trip = clock.now() - started;
            Done { errand: errand.id, slot: errand.slot, result, round_trip, jitter: random::jitter() }
        });
    }

    fn note(&mut self, event: Event) {
        log(&event);
        match &event {
            Event::Failed { slot, failure, .. }
                if self.publishers.get(slot).is_none_or(|publisher| !publisher.is_live()) =>
            {
                self.answer(*slot, &Err(failure.clone()));
            }
            Event::Settled { holding, .. } => self.strike(What::of(holding)),
            _ => {}
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn answer(&mut self, slot: SlotId, result: &Result<Credential, Failure>) {
        for waiter in self.waiters.remove(&slot).into_iter().flatten() {
            // Whoever asked may have gone meanwhile.
            let _ = waiter.send(result.clone());
        }
    }

    fn strike(&self, what: Option<What>) {
        if let Some(Err(failure)) = what.map(|what| self.worker.journal.strike(&what)) {
            tracing::warn!(kind = failure.kind().token(), "{failure}");
        }
    }

    fn nap(&self) -> Duration {
        let now = Clock::default().now();
        let stop = self.stop.as_ref().map(|(at, _)| *at);
        let next = [self.ledger.deadline(), stop].into_iter().flatten().min();
        next.map_or(LONGEST_SLEEP, |at| (at - now).min(LONGEST_SLEEP))
    }

    fn is_over(&self) -> bool {
        self.stop.as_ref().is_some_and(|(at, _)| self.ledger.is_settled() || Clock::default().now() >= *at)
    }

    /// Says what is left.
    fn finish(mut self) {
        let owed = self.ledger.owed().filter_map(|(_, holding, failure)| {
            Some(Owed { what: What::of(holding)?, failure: failure.cloned() })
        });
        if let Some((_, answer)) = self.stop.take() {
            // Whoever stopped us may have gone meanwhile.
            let _ = answer.send(owed.collect());
        }
    }
}

/// Events as log lines: names, counts and times.
fn log(event: &Event) {
    match event {
        Event::Failed { slot, failure, attempt } => {
            tracing::warn!(slot = slot.0, kind = failure.kind().token(), attempt, "{failure}");
        }
        // Whoever stops the engine is told of what is still owed then; much of it goes along with its token before.
        Event::Owed { slot, failure, .. } => {
            tracing::info!(
                slot = slot.0,
                kind = failure.kind().token(),
                "could not be given back: {failure}"
            );
        }
        Event::Clamped { slot, life } => {
            tracing::warn!(
                slot = slot.0,
                life = life.as_secs(),
                "the renewal threshold is longer than half of the lease, which is used instead"
            );
        }
        Event::Ended { slot, end } => tracing::info!(slot = slot.0, ?end, "ended"),
        Event::Obtained { slot, ttl } => {
            tracing::info!(slot = slot.0, ttl = ttl.map(|ttl| ttl.as_secs()), "obtained");
        }
        Event::Replaced { slot, generation } => tracing::info!(slot = slot.0, generation, "replaced"),
        Event::Renewed { slot, ttl, extends } => {
            tracing::debug!(slot = slot.0, ttl = ttl.map(|ttl| ttl.as_secs()), extends, "renewed");
        }
        Event::Refreshed { slot, changed } => tracing::debug!(slot = slot.0, changed, "read again"),
        Event::Checked { slot, ttl } => {
            tracing::debug!(slot = slot.0, ttl = ttl.map(|ttl| ttl.as_secs()), "looked up");
        }
        Event::Settled { slot, .. } => tracing::debug!(slot = slot.0, "given back"),
    }
}

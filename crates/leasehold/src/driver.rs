//! The one loop: it tells the ledger what happened, and does what the ledger says.

mod log;
mod probe;
mod waiters;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::errand::{Done, Errand, Task};
use leasehold_core::event::Event;
use leasehold_core::ledger::{Ask, Input, Ledger, Output, SlotStatus};
use leasehold_core::{Failure, Grant, Holding, Kind, Moment, Policy, Scope, SlotId};
use leasehold_vault::call::Bearer;
use leasehold_vault::operation::Operation;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::client::VaultClient;
use crate::clock::Clock;
use crate::credential::{Credential, Publisher};
use crate::identity::Stamp;
use crate::journal::What;
use crate::random;
use crate::worker::Worker;

use log::log;
use probe::probe;
use waiters::{Answer, Waiters};

/// The loop looks at the clock at least this often. Its timers stand still while the machine sleeps, so this is how long
/// after waking it notices.
const LONGEST_NAP: Duration = Duration::from_secs(1);
/// More than this between two looks, and the machine or the process has slept.
const LEAP: Duration = Duration::from_secs(5);
/// How many events a listener may lag behind.
const EVENTS: usize = 256;

/// The reasons to wake.
enum Wake {
    Message(Message),
    Done(Result<Done, JoinError>),
    Probed(Result<Result<(), Failure>, JoinError>),
    Tick,
    /// The engine was dropped.
    Orphaned,
}

/// What the loop is told from outside.
enum Message {
    Ask(Ask, Answer),
    Refused(SlotId, Option<Arc<Grant>>, Answer),
    Tell(Input),
    Status(oneshot::Sender<Vec<SlotStatus>>),
    StatusOf(SlotId, oneshot::Sender<Option<SlotStatus>>),
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
    /// None once it was joined.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the loop on the present runtime.
    pub fn start(worker: Arc<Worker>) -> Self {
        Self::start_by(Clock::default(), worker)
    }

    /// Starts the loop by a clock that may be [steered](Clock::steered).
    pub fn start_by(clock: Clock, worker: Arc<Worker>) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS);
        let driver = Driver {
            looked: clock.now(),
            clock,
            ledger: Ledger::default(),
            worker,
            inbox,
            errands: JoinSet::new(),
            publishers: HashMap::new(),
            waiters: Waiters::default(),
            probe: JoinSet::new(),
            halted: BTreeSet::new(),
            tried: Stamp::default(),
            seen: Stamp::default(),
            events: events.clone(),
            stop: None,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the engine joins it in `stop`, and aborts it when dropped"
        )]
        let task = tokio::spawn(driver.run());
        Self { messages, events, task: Mutex::new(Some(task)) }
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

    /// What is good in place of a grant with which somebody was refused: its successor, or the same grant if it lives.
    /// However many were refused with it, the engine looks it up once and replaces it once. Without a grant: what is
    /// good once there is something again.
    ///
    /// # Errors
    ///
    /// Why it is not known whether the grant lives, or why there is no successor; `Unreachable` within two seconds if
    /// the server does not answer.
    pub async fn successor(&self, slot: SlotId, refused: Option<Arc<Grant>>) -> Result<Arc<Grant>, Failure> {
        let (answer, answered) = oneshot::channel();
        self.post(Message::Refused(slot, refused, answer));
        let credential = answered.await.unwrap_or_else(|_| Err(stopped()))?;
        credential
            .hold()
            .ok_or_else(|| Failure::new(Kind::Unreachable, "what was obtained has ended already"))
    }

    /// Carries an operation out with the present value of a token. If that turns out to be dead, which is to say that
    /// nothing was carried out, it is done once more with the successor.
    ///
    /// # Errors
    ///
    /// Those of the operation, and those of [`successor`](Self::successor).
    pub async fn send<O: Operation>(
        &self,
        client: &VaultClient,
        token: &Credential,
        operation: &O,
    ) -> Result<O::Answer, Failure> {
        // A token of the operation's own, such as one to be looked up, may be dead in its own right.
        if !matches!(operation.call().bearer, Bearer::Client) {
            return client.send(operation).await;
        }
        self.act(client, token, |client| async move { client.send(operation).await }).await
    }

    /// Does something with a client that has the present value of a token, and once more with the successor's if that
    /// was dead.
    pub(crate) async fn act<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        client: &VaultClient,
        token: &Credential,
        act: impl Fn(VaultClient) -> F,
    ) -> Result<T, Failure> {
        let with =
            |grant: &Grant| grant.token().map_or_else(|| client.clone(), |it| client.with_token(it.clone()));
        let grant = match token.hold() {
            Some(grant) => grant,
            None => self.successor(token.slot(), None).await?,
        };
        let refused = match act(with(&grant)).await {
            Err(failure) if failure.kind() == Kind::Expired => failure,
            result => return result,
        };
        let next = self.successor(token.slot(), Some(Arc::clone(&grant))).await?;
        if Arc::ptr_eq(&next, &grant) {
            return Err(refused);
        }
        act(with(&next)).await
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

    /// A snapshot of one credential; none if nobody has asked for it, or it was given back.
    pub async fn status_of(&self, slot: SlotId) -> Option<SlotStatus> {
        let (answer, answered) = oneshot::channel();
        self.post(Message::StatusOf(slot, answer));
        answered.await.ok().flatten()
    }

    /// Gives everything back, for at most this long, and says what could not be. Whoever asks for something later is
    /// told that the engine has stopped.
    pub async fn stop(&self, limit: Duration) -> Vec<Owed> {
        let (answer, answered) = oneshot::channel();
        self.post(Message::Stop(limit, answer));
        let owed = answered.await.unwrap_or_default();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A loop that panicked has nothing more to say; what it held is in the journal.
            let _ = task.await;
        }
        owed
    }

    fn post(&self, message: Message) {
        // A loop that has ended drops the answer's other half, which is what the asker then sees.
        let _ = self.messages.send(message);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

fn stopped() -> Failure {
    Failure::new(Kind::Broken, "the engine has stopped")
}

struct Driver {
    clock: Clock,
    /// When the clock was last looked at.
    looked: Moment,
    ledger: Ledger,
    worker: Arc<Worker>,
    inbox: mpsc::UnboundedReceiver<Message>,
    errands: JoinSet<Done>,
    publishers: HashMap<SlotId, Publisher>,
    waiters: Waiters,
    /// Asks the server, for those who wait, whether it is there at all.
    probe: JoinSet<Result<(), Failure>>,
    /// The logins that are not tried again until what we log in with changes.
    halted: BTreeSet<SlotId>,
    /// What we log in with, as it was at the last try and at the last look.
    tried: Stamp,
    seen: Stamp,
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
            match self.wake().await {
                Wake::Message(message) => self.receive(message),
                Wake::Done(done) => self.conclude(done),
                Wake::Probed(Ok(Err(failure))) => self.waiters.give_up(self.clock.now(), &failure),
                Wake::Probed(_) => self.waiters.wait_on(self.clock.now()),
                Wake::Tick => self.look(),
                Wake::Orphaned => break,
            }
        }
        self.finish();
    }

    /// Sleeps until there is a reason to wake.
    async fn wake(&mut self) -> Wake {
        let nap = self.nap();
        tokio::select! {
            message = self.inbox.recv() => message.map_or(Wake::Orphaned, Wake::Message),
            Some(done) = self.errands.join_next() => Wake::Done(done),
            Some(probed) = self.probe.join_next() => Wake::Probed(probed),
            () = tokio::time::sleep(nap) => Wake::Tick,
        }
    }

    fn tell(&mut self, input: Input) {
        self.ledger.handle(self.clock.now(), input);
    }

    /// Looks at the clock and does what is due. After a sleep each token is looked up before it is used again: what
    /// did not end by the clock may have been revoked meanwhile.
    fn look(&mut self) {
        let now = self.clock.now();
        let has_slept = now - self.looked > LEAP;
        self.looked = now;
        self.ledger.handle(now, Input::Tick);
        if has_slept {
            let is_token = |grant: Arc<Grant>| matches!(grant.lease.holding, Holding::Token { .. });
            let held = self.publishers.values().map(Publisher::credential);
            for token in held.filter(|credential| credential.hold().is_some_and(is_token)) {
                self.ledger.handle(now, Input::Reject(token.slot(), token.generation()));
            }
        }
        self.look_at_login();
        self.probe(now);
        self.carry_on();
    }

    /// Tries a login again that was refused too often, once what we log in with has changed and settled.
    fn look_at_login(&mut self) {
        if self.halted.is_empty() {
            return;
        }
        let stamp = self.worker.identity.stamp();
        if stamp != self.tried && stamp == self.seen {
            tracing::info!("what we log in with has changed: the login is tried again");
            std::mem::take(&mut self.halted).into_iter().for_each(|slot| self.tell(Input::Hurry(slot)));
        }
        self.seen = stamp;
    }

    /// When the server is to be asked next. With other addresses to go to, an errand that hangs goes there.
    fn probe_at(&self) -> Option<Moment> {
        let has_others = self.worker.client.addresses().nth(1).is_some();
        self.waiters.probe_at().filter(|_| self.probe.is_empty() && !has_others)
    }

    /// Asks whether the server is there at all once somebody has waited for a while: an errand may take longer than that,
    /// and a server that hangs is not to be waited for.
    fn probe(&mut self, now: Moment) {
        if self.probe_at().is_none_or(|at| at > now) {
            return;
        }
        self.probe.spawn(probe(self.worker.client.clone()));
    }

    fn conclude(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(done) => self.tell(Input::Done(done)),
            // The ledger gives an errand up by itself when nothing comes of it.
            Err(error) => tracing::error!(%error, "an errand failed inside"),
        }
        self.look();
    }

    fn receive(&mut self, message: Message) {
        // Nobody is given what ended while we slept.
        self.look();
        match message {
            Message::Ask(ask, answer) => self.receive_ask(ask, answer),
            Message::Refused(slot, refused, answer) => self.receive_refused(slot, refused.as_ref(), answer),
            Message::Tell(input) => self.tell(input),
            Message::Status(answer) => {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(self.ledger.status().collect());
            }
            Message::StatusOf(slot, answer) => {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(self.ledger.status_of(slot));
            }
            Message::Stop(limit, answer) => {
                self.stop = Some((self.clock.now() + limit, answer));
                self.tell(Input::Stop);
            }
        }
    }

    fn receive_ask(&mut self, ask: Ask, answer: Answer) {
        let publisher = self.publishers.entry(ask.slot).or_insert_with(|| Publisher::new(ask.slot));
        if publisher.is_live() {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(Ok(publisher.credential()));
            return;
        }
        self.waiters.add(ask.slot, self.clock.now(), answer);
        self.tell(Input::Ask(ask));
    }

    /// Somebody was refused with a grant. Where that was replaced meanwhile, the successor is the answer.
    fn receive_refused(&mut self, slot: SlotId, refused: Option<&Arc<Grant>>, answer: Answer) {
        let Some(credential) = self.publishers.get(&slot).map(Publisher::credential) else {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(Err(Failure::new(Kind::Invalid, "nobody has asked for it")));
            return;
        };
        let is_refused = |held: &Arc<Grant>| refused.is_some_and(|refused| Arc::ptr_eq(held, refused));
        if credential.hold().is_some_and(|held| !is_refused(&held)) {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(Ok(credential));
            return;
        }
        let generation = credential.generation();
        self.waiters.add(slot, self.clock.now(), answer);
        self.tell(Input::Reject(slot, generation));
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
                        self.waiters.answer(slot, &Ok(credential));
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
        if matches!(errand.task, Task::Obtain(Scope::Login)) {
            self.tried = self.worker.identity.stamp();
        }
        let (worker, clock) = (Arc::clone(&self.worker), self.clock.clone());
        self.errands.spawn(async move {
            let started = clock.now();
            let result = worker.carry_out(&errand).await;
            let round_trip = clock.now() - started;
            Done { errand: errand.id, slot: errand.slot, result, round_trip, jitter: random::jitter() }
        });
    }

    fn note(&mut self, event: Event) {
        log(&event);
        match &event {
            Event::Failed { slot, failure, attempt } => self.tell_failure(*slot, failure, *attempt),
            Event::Checked { slot, .. } | Event::Refreshed { slot, changed: false } => self.acquit(*slot),
            Event::Halted { slot } => {
                self.seen = self.tried.clone();
                self.halted.insert(*slot);
            }
            Event::Settled { holding, .. } => self.strike(What::of(holding)),
            _ => {}
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn tell_failure(&mut self, slot: SlotId, failure: &Failure, attempt: u16) {
        let Some(credential) = self.publishers.get(&slot).map(Publisher::credential) else { return };
        if let Some(verdict) = waiters::verdict(credential, failure, attempt) {
            self.waiters.answer(slot, &verdict);
        }
    }

    /// What somebody was refused with is good: the refusal had another reason.
    fn acquit(&mut self, slot: SlotId) {
        if let Some(credential) = self.publishers.get(&slot).map(Publisher::credential) {
            self.waiters.answer(slot, &Ok(credential));
        }
    }

    fn strike(&self, what: Option<What>) {
        if let Some(Err(failure)) = what.map(|what| self.worker.journal.strike(&what)) {
            tracing::warn!(kind = failure.kind().token(), "{failure}");
        }
    }

    fn nap(&self) -> Duration {
        let stop = self.stop.as_ref().map(|(at, _)| *at);
        let next = [self.ledger.deadline(), stop, self.probe_at()].into_iter().flatten().min();
        next.map_or(LONGEST_NAP, |at| (at - self.clock.now()).min(LONGEST_NAP))
    }

    fn is_over(&self) -> bool {
        self.stop.as_ref().is_some_and(|(at, _)| self.ledger.is_settled() || self.clock.now() >= *at)
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

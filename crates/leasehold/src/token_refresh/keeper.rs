//! Follows what the engine reads, and those who want it to be read now.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::event::{End, Event};
use leasehold_core::ledger::{SlotStatus, Stage};
use leasehold_core::name::VaultReference;
use leasehold_core::{Failure, Kind, Policy, SlotId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use super::judge::Judge;
use super::place::TokenPlace;
use crate::credential::Credential;
use crate::session::Session;
use crate::token_manager::{Doom, Outlook, Prospect};

/// How long giving a login back may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The clock is looked at again after this: the machine may have slept, and timers with it.
const NAP: Duration = Duration::from_secs(1);

/// Somebody wants the token to be read now, and to know how that went.
pub(super) type Order = oneshot::Sender<Result<(), Failure>>;

/// Lives as long as the refresh runs and Vault is configured.
pub(super) struct Keeper {
    judge: Judge,
    session: Arc<Session>,
    place: TokenPlace,
    reference: VaultReference,
    policy: Arc<Policy>,
    slot: SlotId,
    heard: broadcast::Receiver<Event>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Those who are answered by the next result.
    waiting: Vec<Order>,
    /// Those who came while the secret was being read, and so perhaps after it was changed.
    late: Vec<Order>,
    credential: Option<Credential>,
    /// How long the login's token can be kept.
    outlook: Outlook,
}

/// Serves the fallback's token, which is read again at each order.
pub(super) async fn run_without_vault(mut judge: Judge, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        judge.ask_fallback();
        // Whoever asked may have gone meanwhile.
        let _ = order.send(Ok(()));
    }
}

impl Keeper {
    pub(super) fn new(
        judge: Judge,
        session: Session,
        place: TokenPlace,
        policy: Policy,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let reference = place.reference();
        Self {
            slot: session.slot(&reference),
            heard: session.engine().events(),
            session: Arc::new(session),
            policy: Arc::new(policy),
            waiting: Vec::new(),
            late: Vec::new(),
            credential: None,
            outlook: Outlook::default(),
            judge,
            place,
            reference,
            orders,
        }
    }

    /// Keeps the token until there is nobody left who could order something.
    pub(super) async fn run(mut self) {
        let (session, reference) = (Arc::clone(&self.session), self.reference.clone());
        let (policy, mut asking) = (Arc::clone(&self.policy), JoinSet::new());
        // What comes of it is among the events.
        asking.spawn(async move { session.keep(&reference, policy).await.map(|_| ()) });
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.take_order(order).await,
                    None => break,
                },
                heard = self.heard.recv() => match heard {
                    Ok(event) => self.follow(&event).await,
                    Err(RecvError::Lagged(_)) => self.take().await,
                    Err(RecvError::Closed) => break,
                },
                () = silence(self.judge.stale_in()) => self.judge.tell_stale(),
            }
        }
        for owed in self.session.end(FAREWELL).await {
            tracing::warn!("the login could not be given back: it lives until its end ({:?})", owed.what);
        }
    }

    async fn status_of(&self, slot: SlotId) -> Option<SlotStatus> {
        self.session.engine().status_of(slot).await
    }

    async fn take_order(&mut self, order: Order) {
        let stage = self.status_of(self.slot).await.map(|status| status.stage);
        match stage {
            Some(Stage::Fetching | Stage::Refreshing) => self.late.push(order),
            _ => {
                self.waiting.push(order);
                self.hurry().await;
            }
        }
    }

    /// Has the secret read now. A login that cannot be had is tried at its own pace.
    async fn hurry(&mut self) {
        match self.login_trouble().await {
            Some(failure) => self.answer(&Err(failure)),
            None => self.session.engine().hurry(self.slot),
        }
    }

    /// Why there is no login; none while there is one, or while it is not known.
    async fn login_trouble(&self) -> Option<Failure> {
        let login = self.status_of(self.session.login_slot()).await?;
        // That a token is dead is no answer while it is being replaced.
        let is_answer = |failure: &Failure| failure.kind() != Kind::Expired || login.is_halted;
        if login.lease.is_some() { None } else { login.failure.filter(is_answer) }
    }

    async fn follow(&mut self, event: &Event) {
        if is_refusal(event) {
            self.judge.hear_refusal();
        }
        if event.slot() == self.session.login_slot() {
            self.follow_login(event).await;
        }
        match event {
            Event::Obtained { slot, .. }
            | Event::Replaced { slot, .. }
            | Event::Refreshed { slot, changed: false }
                if *slot == self.slot =>
            {
                self.take().await;
            }
            Event::Failed { slot, failure, .. } => {
                let is_missed = self.hinders(*slot).await;
                if is_missed {
                    self.fail(failure).await;
                }
            }
            _ => {}
        }
    }

    /// Tells what becomes of the token that Vault is asked with, as far as it concerns what is to come.
    async fn follow_login(&mut self, event: &Event) {
        match event {
            Event::Halted { .. } => return self.judge.hear_doom(self.halt().await),
            Event::Obtained { .. } | Event::Replaced { .. } => self.judge.hear_login(),
            Event::Renewed { .. } | Event::Checked { .. } => {}
            _ => return,
        }
        let Some(status) = self.status_of(self.session.login_slot()).await else { return };
        match self.outlook.learn(&status, self.judge.now()) {
            Some(Prospect::Doomed(doom)) => self.judge.hear_doom(doom),
            Some(Prospect::Lifted) => self.judge.hear_reprieve(),
            None => {}
        }
    }

    /// That no login is tried any more, and how long the last one's token lives.
    async fn halt(&self) -> Doom {
        let login = self.status_of(self.session.login_slot()).await.filter(|login| login.lease.is_some());
        let left = login.map_or(Some(Duration::ZERO), |login| Some(login.expiry? - self.judge.now()));
        let message = "the login is refused, and none is tried until what we log in with changes";
        Doom { message: message.to_owned(), left }
    }

    /// Whether the secret cannot be read because of a failure in this slot.
    async fn hinders(&self, slot: SlotId) -> bool {
        let status = self.status_of(slot).await;
        match slot == self.slot {
            // What is wrong with the login is told of the login.
            true => status.is_none_or(|status| status.failure.is_some()),
            // One that cannot be renewed is good until its end.
            false => slot == self.session.login_slot() && status.is_none_or(|status| status.lease.is_none()),
        }
    }

    /// Hears what the secret says now.
    async fn take(&mut self) {
        if self.credential.is_none() {
            // It is there, so that nobody waits.
            self.credential = self.session.keep(&self.reference, Arc::clone(&self.policy)).await.ok();
        }
        let Some(grant) = self.credential.as_ref().and_then(Credential::hold) else { return };
        let token = self.place.token_of(&grant);
        match &token {
            Ok(token) => self.judge.hear_vault(token),
            Err(failure) => self.judge.miss_vault(failure),
        }
        self.conclude(&token.map(|_| ())).await;
    }

    async fn fail(&mut self, failure: &Failure) {
        self.judge.miss_vault(failure);
        // What was read with a dead token is read again with the next one.
        if failure.kind() != Kind::Expired {
            self.conclude(&Err(failure.clone())).await;
        }
    }

    /// Answers those who waited. Whoever came late is next.
    async fn conclude(&mut self, result: &Result<(), Failure>) {
        self.answer(result);
        if !self.late.is_empty() {
            self.waiting.append(&mut self.late);
            self.hurry().await;
        }
    }

    fn answer(&mut self, result: &Result<(), Failure>) {
        for order in self.waiting.drain(..) {
            // Whoever asked may have gone meanwhile.
            let _ = order.send(result.clone());
        }
    }
}

/// Returns after that time, or before to have it measured again; never without one.
async fn silence(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left.clamp(Duration::from_millis(1), NAP)).await,
        None => std::future::pending().await,
    }
}

/// Whether Vault has refused what we came with, be it the login's or what the secret was to be read with.
fn is_refusal(event: &Event) -> bool {
    match event {
        Event::Failed { failure, .. } => matches!(failure.kind(), Kind::Expired | Kind::Denied),
        Event::Ended { end, .. } => *end == End::Revoked,
        _ => false,
    }
}

//! Follows what the engine does with the token, and tells it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::SlotStatus;
use leasehold_core::{Failure, Grant, Kind, Moment};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use super::advice::{Advice, Oddity, advise};
use super::callbacks::Callers;
use super::events::TokenEvent;
use super::not_yet;
use super::outlook::{Doom, Outlook, Prospect};
use super::run::Reign;
use super::settings::TokenManagerSettings;
use super::status::{Instant, View, is_in_trouble, is_renewal};
use crate::client::VaultClient;
use crate::clock::wall_seconds;
use crate::credential::Credential;
use crate::session::Session;

/// How long giving the token back may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// The same token is not suspected again before this: what a caller was told to be dead may be something else that was in
/// the call, such as a lease.
const ACQUITTED_FOR: Duration = Duration::from_secs(10);

/// What a manager shares with the keepers of all its runs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: TokenManagerSettings,
    pub(super) events: broadcast::Sender<TokenEvent>,
    pub(super) callers: Callers,
}

impl Shared {
    fn now(&self) -> Instant {
        Instant { moment: self.settings.clock.now(), wall: wall_seconds() }
    }

    fn emit(&self, event: TokenEvent) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}

/// Somebody wants the token to be renewed now, and to know whether it was.
pub(super) type Order = oneshot::Sender<bool>;

/// Lives as long as the manager runs.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    reign: Reign,
    session: Arc<Session>,
    /// The application's, by which it tells that it was refused.
    client: VaultClient,
    heard: broadcast::Receiver<Event>,
    orders: mpsc::UnboundedReceiver<Order>,
    waiting: Vec<Order>,
    /// Which generation was looked up last because somebody was refused with it, and when.
    suspected: Option<(u32, Moment)>,
    /// The kinds of failure that were told since the last success.
    told_failures: BTreeSet<Kind>,
    outlook: Outlook,
    told_advice: BTreeSet<Oddity>,
}

impl Keeper {
    /// Follows this session from now on; it ends when there is nobody left who could order something.
    pub(super) fn new(
        shared: Arc<Shared>,
        reign: Reign,
        session: Arc<Session>,
        client: VaultClient,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let heard = session.engine().events();
        Self {
            shared,
            reign,
            session,
            client,
            heard,
            orders,
            waiting: Vec::new(),
            suspected: None,
            told_failures: BTreeSet::new(),
            outlook: Outlook::default(),
            told_advice: BTreeSet::new(),
        }
    }

    /// Keeps the token until the end, and gives it back then.
    pub(super) async fn run(mut self) {
        let session = Arc::clone(&self.session);
        let mut asking = JoinSet::new();
        // Why there is no token is among the events.
        asking.spawn(async move { session.log_in().await.map(|_| ()) });
        loop {
            let acquitted_for = self.acquitted_for();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.force(order).await,
                    None => break,
                },
                heard = self.heard.recv() => match heard {
                    Ok(event) => self.follow(&event).await,
                    Err(RecvError::Lagged(lost)) => self.catch_up(lost).await,
                    Err(RecvError::Closed) => break,
                },
                () = doubt(&self.client, acquitted_for) => self.suspect(),
            }
        }
        let Self { reign, session, waiting, .. } = self;
        drop((reign, waiting));
        for owed in session.end(FAREWELL).await {
            tracing::warn!("the token could not be given back: it lives until its end ({:?})", owed.what);
        }
    }

    async fn status(&self) -> Option<SlotStatus> {
        self.session.engine().status_of(self.session.login_slot()).await
    }

    /// Renews now, unless that is senseless. Where a renewal is under way already, this is it.
    async fn force(&mut self, order: Order) {
        let status = self.status().await;
        if status.as_ref().is_some_and(is_senseless) {
            // Whoever asked may have gone meanwhile.
            let _ = order.send(false);
            return;
        }
        self.waiting.push(order);
        self.session.engine().hurry(self.session.login_slot());
    }

    /// Has the token looked up that somebody was refused with: by the application's own calls, or elsewhere.
    fn suspect(&mut self) {
        let Some(generation) = self.generation().filter(|_| self.reign.view().is_live()) else { return };
        self.suspected = Some((generation, self.shared.settings.clock.now()));
        self.session.engine().reject(self.session.login_slot(), generation);
    }

    fn generation(&self) -> Option<u32> {
        self.reign.view().credential.as_ref().map(Credential::generation)
    }

    /// For how long the present token is above suspicion still.
    fn acquitted_for(&self) -> Duration {
        let suspected = self.suspected.filter(|(of, _)| self.generation() == Some(*of));
        suspected.map_or(Duration::ZERO, |(_, at)| self.shared.settings.clock.now().until(at + ACQUITTED_FOR))
    }

    fn answer(&mut self, is_renewed: bool) {
        for order in self.waiting.drain(..) {
            // Whoever asked may have gone meanwhile.
            let _ = order.send(is_renewed);
        }
    }

    async fn follow(&mut self, event: &Event) {
        let taken = match event {
            Event::Obtained { .. } | Event::Replaced { .. } => self.take_over().await,
            _ => None,
        };
        self.note(event, taken).await;
    }

    /// A token and what is known of it are seen at once: who finds the one finds the other.
    async fn note(&mut self, event: &Event, taken: Option<Credential>) {
        let status = self.status().await;
        let now = self.shared.now();
        let credential = taken.or_else(|| self.reign.view().credential.clone());
        self.hand_over(event, credential.as_ref(), left(status.as_ref(), now));
        self.reign.change(|view| {
            view.credential = credential;
            view.note(event, status.as_ref(), now);
        });
        self.withdraw(event, now);
        self.tell(event, status.as_ref(), now);
        if let Some(status) = &status {
            if is_news(event) {
                self.look_ahead(status, now);
            }
            self.tell_advice(event, status);
        }
        self.conclude(event, status.as_ref());
    }

    async fn take_over(&self) -> Option<Credential> {
        // Whoever doubts meant the one before.
        let _ = self.client.doubted_token().now_or_never();
        // It is there, so that nobody waits.
        self.session.log_in().await.ok().cloned()
    }

    /// Tells the client which token there is, and for how long.
    fn hand_over(&self, event: &Event, credential: Option<&Credential>, left: Option<Duration>) {
        let grant = credential.filter(|_| is_news(event)).and_then(Credential::hold);
        if let Some(token) = grant.as_ref().and_then(|grant| grant.token()) {
            self.reign.hand_over(token, left);
        }
    }

    /// Leaves with the client why there is no token, if there is none.
    fn withdraw(&self, event: &Event, now: Instant) {
        if matches!(event, Event::Ended { .. } | Event::Failed { .. })
            && let Err(why) = live(&self.reign.view(), now)
        {
            self.reign.withdraw(why);
        }
    }

    fn tell(&mut self, event: &Event, status: Option<&SlotStatus>, now: Instant) {
        let left = left(status, now);
        match event {
            Event::Obtained { .. } | Event::Replaced { .. } | Event::Renewed { .. } => {
                let replaced = !matches!(event, Event::Renewed { .. });
                self.tell_success(is_renewal(event, status), replaced, left);
            }
            Event::Checked { .. } => {
                if !is_in_trouble(status) {
                    self.told_failures.clear();
                }
                self.shared.emit(TokenEvent::Checked { ttl: left });
            }
            Event::Expiring { left, .. } => {
                self.shared.callers.expiring.call(*left);
                self.shared.emit(TokenEvent::Expiring { left: *left });
            }
            Event::Failed { failure, attempt, .. } => self.tell_failure(failure, *attempt, status, now),
            Event::Ended { end, .. } => self.tell_end(*end),
            Event::Halted { .. } => self.tell_halt(status, now),
            _ => {}
        }
    }

    fn tell_success(&mut self, is_renewal: bool, replaced: bool, ttl: Option<Duration>) {
        self.told_failures.clear();
        if !is_renewal {
            return self.shared.emit(TokenEvent::Obtained { ttl });
        }
        self.shared.callers.renewal.call(ttl.map_or(u64::MAX, |ttl| ttl.as_secs()));
        self.shared.emit(TokenEvent::Renewed { ttl, replaced });
    }

    /// Each kind of failure is called once until something goes well: an outage brings one every few seconds.
    fn tell_failure(&mut self, failure: &Failure, attempt: u16, status: Option<&SlotStatus>, now: Instant) {
        let message = failure.message().to_owned();
        // Where what is held is dead, its end is told next.
        let is_dead = failure.kind() == Kind::Expired && !is_held_in_trouble(status);
        if !is_dead && self.told_failures.insert(failure.kind()) {
            let until = self.reign.view().expiry.map(|expiry| now.date(expiry));
            let until = until.map(|date| format!("; the token that is held lives until {date}"));
            self.shared.callers.failure.call(format!("{message}{}", until.unwrap_or_default()));
        }
        self.shared.emit(TokenEvent::Failed { kind: failure.kind(), message, attempt });
    }

    fn tell_end(&mut self, end: End) {
        let Some(message) = obituary(&self.reign.view()).filter(|_| end != End::Released) else {
            return;
        };
        self.shared.callers.failure.call(message.clone());
        self.shared.emit(TokenEvent::Ended { message });
    }

    fn tell_halt(&self, status: Option<&SlotStatus>, now: Instant) {
        let end = status.and_then(|status| status.expiry);
        let until = end.map(|end| format!("; the token that is held ends at {}", now.date(end)));
        let message = format!(
            "the login is refused, and none is tried until what we log in with changes{}",
            until.unwrap_or_default()
        );
        self.doom(Doom { message, left: end.map(|end| end - now.moment) });
    }

    fn look_ahead(&mut self, status: &SlotStatus, now: Instant) {
        match self.outlook.learn(status, now.moment) {
            Some(Prospect::Doomed(doom)) => self.doom(doom),
            Some(Prospect::Lifted) => self.shared.emit(TokenEvent::Lifted),
            None => {}
        }
    }

    fn doom(&self, Doom { message, left }: Doom) {
        tracing::warn!("{message}");
        self.shared.callers.failure.call(message.clone());
        self.shared.emit(TokenEvent::Doomed { message, left });
    }

    /// Each oddity is told once. What is counted is neither looked up nor renewed, so that no setting is of it.
    fn tell_advice(&mut self, event: &Event, status: &SlotStatus) {
        let lease = status.lease.as_ref().filter(|lease| is_news(event) && !lease.is_counted);
        let (Some(life), Some(lease)) = (status.life, lease) else { return };
        let is_whole = lease.ours || matches!(event, Event::Renewed { extends: true, .. });
        for advice in advise(self.shared.settings.spans(), life, is_whole) {
            if self.told_advice.insert(advice.oddity) {
                self.advise(advice);
            }
        }
    }

    fn advise(&self, advice: Advice) {
        tracing::warn!("{advice}");
        self.shared.emit(TokenEvent::Advice(advice));
    }

    /// Answers those who wait for a renewal, once it is known.
    fn conclude(&mut self, event: &Event, status: Option<&SlotStatus>) {
        match event {
            Event::Obtained { .. } | Event::Replaced { .. } | Event::Renewed { .. } => self.answer(true),
            Event::Failed { .. } | Event::Ended { .. } | Event::Halted { .. } => self.answer(false),
            // What was brought was only read again.
            Event::Checked { .. } if status.is_some_and(is_last) => self.answer(false),
            // That the renewal follows is not left to what was due before.
            Event::Checked { .. } if !self.waiting.is_empty() => {
                self.session.engine().hurry(self.session.login_slot());
            }
            _ => {}
        }
    }

    /// What was missed is told by how things stand.
    async fn catch_up(&mut self, lost: u64) {
        tracing::warn!(lost, "events were missed");
        let taken = self.take_over().await;
        let status = self.status().await;
        let ttl = left(status.as_ref(), self.shared.now());
        let slot = self.session.login_slot();
        let seen = match status.as_ref().and_then(|status| status.failure.clone()) {
            Some(failure) => Event::Failed { slot, failure, attempt: 1 },
            None => Event::Checked { slot, ttl },
        };
        self.note(&seen, taken).await;
        self.shared.emit(TokenEvent::Missed(lost));
    }
}

/// Returns when somebody doubts the client's token, or has meanwhile, but not before that time is over.
async fn doubt(client: &VaultClient, after: Duration) {
    tokio::time::sleep(after).await;
    client.doubted_token().await;
}

/// Whether an event may tell new terms.
fn is_news(event: &Event) -> bool {
    matches!(
        event,
        Event::Obtained { .. } | Event::Replaced { .. } | Event::Renewed { .. } | Event::Checked { .. }
    )
}

/// How long the token still lives, if that is known.
fn left(status: Option<&SlotStatus>, now: Instant) -> Option<Duration> {
    status.and_then(|status| Some(status.expiry? - now.moment))
}

/// Whether what failed leaves what is held alive: what a look-up finds dead is not held any more.
fn is_held_in_trouble(status: Option<&SlotStatus>) -> bool {
    is_in_trouble(status) && status.is_some_and(|status| status.lease.is_some())
}

/// Whether what is held is a token that was brought and gets no more life, as far as is known.
fn is_last(status: &SlotStatus) -> bool {
    let is_brought = status.lease.as_ref().is_some_and(|lease| !lease.ours);
    is_brought && status.last == status.expiry
}

/// Whether a renewal makes no sense: the token never ends, or was brought and each use of it counts.
fn is_senseless(status: &SlotStatus) -> bool {
    let Some(lease) = &status.lease else { return false };
    status.expiry.is_none() && !lease.is_blind || lease.is_counted && !lease.ours
}

/// When and why the last token ended; none while there is one.
pub(super) fn obituary(view: &View) -> Option<String> {
    let (date, end) = view.ended.as_ref()?;
    Some(match end {
        End::Expired => format!("the token ended at {date}"),
        End::Revoked => format!("the token was revoked: it was found dead at {date}"),
        End::Released => format!("the token was given back at {date}"),
    })
}

/// The token as one of the grants that a reader holds, unless it has ended.
pub(super) fn live(view: &View, now: Instant) -> Result<Arc<Grant>, Failure> {
    if let Some(expiry) = view.expiry.filter(|expiry| *expiry <= now.moment) {
        return Err(Failure::new(Kind::Expired, format!("the token ended at {}", now.date(expiry))));
    }
    if let Some(grant) = view.credential.as_ref().and_then(|credential| credential.hold()) {
        return Ok(grant);
    }
    let why = view.failure.as_ref().map(|failure| format!(", and there is no other: {failure}"));
    Err(match obituary(view) {
        Some(ended) => Failure::new(Kind::Expired, format!("{ended}{}", why.unwrap_or_default())),
        None => view.failure.clone().unwrap_or_else(not_yet),
    })
}

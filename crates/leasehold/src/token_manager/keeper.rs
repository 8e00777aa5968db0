//! Follows what the engine does with the token, and tells it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use leasehold_core::event::{End, Event};
use leasehold_core::ledger::SlotStatus;
use leasehold_core::{Failure, Grant, Kind, Moment};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use super::advice::{Advice, Oddity, advise};
use super::callbacks::{Caller, Notice};
use super::events::TokenEvent;
use super::settings::TokenManagerSettings;
use super::status::{Instant, SLACK, View, is_renewal};
use crate::client::VaultClient;
use crate::clock::wall_seconds;
use crate::credential::Credential;
use crate::session::Session;

/// How long giving the token back may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a manager and its keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: VaultClient,
    pub(super) settings: TokenManagerSettings,
    pub(super) view: ArcSwap<View>,
    /// Rings when the view has changed.
    pub(super) changed: Notify,
    pub(super) events: broadcast::Sender<TokenEvent>,
    pub(super) caller: Caller,
}

impl Shared {
    pub(super) fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
        self.changed.notify_waiters();
    }

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
    session: Arc<Session>,
    heard: broadcast::Receiver<Event>,
    orders: mpsc::UnboundedReceiver<Order>,
    waiting: Vec<Order>,
    /// Of which kind the last failure was that was told since the last success.
    told_failure: Option<Kind>,
    /// The end that was told to be the last.
    told_end: Option<Moment>,
    told_advice: BTreeSet<Oddity>,
}

impl Keeper {
    /// Follows this session from now on; it ends when there is nobody left who could order something.
    pub(super) fn new(
        shared: Arc<Shared>,
        session: Arc<Session>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let heard = session.engine().events();
        Self {
            shared,
            session,
            heard,
            orders,
            waiting: Vec::new(),
            told_failure: None,
            told_end: None,
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
            }
        }
        self.shared.change(View::stop);
        for owed in self.session.end(FAREWELL).await {
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
        self.shared.change(|view| {
            view.credential = taken.or(view.credential.take());
            view.note(event, status.as_ref(), now);
        });
        self.tell(event, status.as_ref(), now);
        if let Some(status) = &status {
            self.tell_last(event, status, now);
            self.tell_advice(event, status);
        }
        self.conclude(event, status.as_ref());
    }

    /// Gives the new token to the client.
    async fn take_over(&self) -> Option<Credential> {
        // It is there, so that nobody waits.
        let credential = self.session.log_in().await.ok()?.clone();
        if let Some((token, ttl)) = credential.hold().and_then(|it| Some((it.token()?.clone(), it.lease.ttl)))
        {
            self.shared.client.set_token(token, ttl);
        }
        Some(credential)
    }

    fn tell(&mut self, event: &Event, status: Option<&SlotStatus>, now: Instant) {
        let left = status.and_then(|status| Some(status.expiry? - now.moment));
        match event {
            Event::Obtained { .. } | Event::Replaced { .. } | Event::Renewed { .. } => {
                self.tell_success(is_renewal(event, status), left);
            }
            Event::Checked { .. } => {
                self.told_failure = None;
                self.shared.emit(TokenEvent::Checked { ttl: left });
            }
            Event::Expiring { left, .. } => {
                self.shared.caller.call(Notice::Expiring(*left));
                self.shared.emit(TokenEvent::Expiring { left: *left });
            }
            Event::Failed { failure, attempt, .. } => self.tell_failure(failure, *attempt, now),
            Event::Ended { end, .. } => self.tell_end(*end),
            Event::Halted { .. } => self.tell_halt(status, now),
            _ => {}
        }
    }

    fn tell_success(&mut self, is_renewal: bool, ttl: Option<Duration>) {
        self.told_failure = None;
        if !is_renewal {
            return self.shared.emit(TokenEvent::Obtained { ttl });
        }
        self.shared.caller.call(Notice::Renewal(ttl.map_or(u64::MAX, |ttl| ttl.as_secs())));
        self.shared.emit(TokenEvent::Renewed { ttl });
    }

    /// Each kind of failure is called once until something goes well: an outage brings one every few seconds.
    fn tell_failure(&mut self, failure: &Failure, attempt: u16, now: Instant) {
        let message = failure.message().to_owned();
        let is_news = self.told_failure.replace(failure.kind()) != Some(failure.kind());
        // Where what is held is dead, its end is told next.
        if is_news && failure.kind() != Kind::Expired {
            let until = self.shared.view.load().expiry.map(|expiry| now.date(expiry));
            let until = until.map(|date| format!("; the token that is held lives until {date}"));
            self.shared.caller.call(Notice::Failure(format!("{message}{}", until.unwrap_or_default())));
        }
        self.shared.emit(TokenEvent::Failed { kind: failure.kind(), message, attempt });
    }

    fn tell_end(&mut self, end: End) {
        let Some(message) = obituary(&self.shared.view.load()).filter(|_| end != End::Released) else {
            return;
        };
        self.shared.caller.call(Notice::Failure(message.clone()));
        self.shared.emit(TokenEvent::Ended { message });
    }

    fn tell_halt(&self, status: Option<&SlotStatus>, now: Instant) {
        let end = status.and_then(|status| status.expiry);
        let until = end.map(|end| format!("; the token that is held ends at {}", now.date(end)));
        let message = format!(
            "the login is refused, and none is tried until what we log in with changes{}",
            until.unwrap_or_default()
        );
        self.doom(message, end.map(|end| end - now.moment));
    }

    /// Says so once when it becomes known that a token that was brought has a last day.
    fn tell_last(&mut self, event: &Event, status: &SlotStatus, now: Instant) {
        let is_brought = status.lease.as_ref().is_some_and(|lease| !lease.ours);
        let Some(last) = status.last.filter(|_| is_brought && is_news(event)) else { return };
        let is_told = self.told_end.is_some_and(|told| last.max(told) - last.min(told) <= SLACK);
        self.told_end = Some(last);
        if !is_told {
            let date = now.date(last);
            let message =
                format!("the token cannot be kept beyond {date}, and there is nothing to log in with");
            self.doom(message, Some(last - now.moment));
        }
    }

    fn doom(&self, message: String, left: Option<Duration>) {
        tracing::warn!("{message}");
        self.shared.caller.call(Notice::Failure(message.clone()));
        self.shared.emit(TokenEvent::Doomed { message, left });
    }

    /// Each oddity is told once.
    fn tell_advice(&mut self, event: &Event, status: &SlotStatus) {
        let Some(life) = status.life.filter(|_| is_news(event)) else { return };
        let is_ours = status.lease.as_ref().is_some_and(|lease| lease.ours);
        let is_whole = is_ours || matches!(event, Event::Renewed { extends: true, .. });
        let TokenManagerSettings { check_interval, renew_threshold, .. } = self.shared.settings;
        for advice in advise(check_interval, renew_threshold, life, is_whole) {
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
            // A renewal follows, unless what was brought was only read again.
            Event::Checked { .. } if status.is_some_and(is_last) => self.answer(false),
            _ => {}
        }
    }

    /// What was missed is told by how things stand.
    async fn catch_up(&mut self, lost: u64) {
        tracing::warn!(lost, "events were missed");
        let taken = self.take_over().await;
        let status = self.status().await;
        let ttl = status.as_ref().and_then(|status| Some(status.expiry? - self.shared.now().moment));
        let slot = self.session.login_slot();
        let seen = match status.as_ref().and_then(|status| status.failure.clone()) {
            Some(failure) => Event::Failed { slot, failure, attempt: 1 },
            None => Event::Checked { slot, ttl },
        };
        self.note(&seen, taken).await;
        self.shared.emit(TokenEvent::Missed(lost));
    }
}

/// Whether an event may tell new terms.
fn is_news(event: &Event) -> bool {
    matches!(
        event,
        Event::Obtained { .. } | Event::Replaced { .. } | Event::Renewed { .. } | Event::Checked { .. }
    )
}

/// Whether what is held is a token that was brought and gets no more life.
fn is_last(status: &SlotStatus) -> bool {
    let is_brought = status.lease.as_ref().is_some_and(|lease| !lease.ours);
    is_brought && status.last.is_some() && status.last == status.expiry
}

/// Whether a renewal makes no sense: the token never ends, or was brought and each use of it counts.
fn is_senseless(status: &SlotStatus) -> bool {
    let Some(lease) = &status.lease else { return false };
    status.expiry.is_none() || lease.is_counted && !lease.ours
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
        None => {
            view.failure.clone().unwrap_or_else(|| Failure::new(Kind::Unreachable, "there is no token yet"))
        }
    })
}

//! One token that an application keeps for as long as it runs: renewed, replaced in time, and told of.

mod callbacks;
mod advice;
mod status;
mod outlook;
mod events;
mod settings;
mod run;
mod keeper;
pub mod blocking;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::stream::{Stream, StreamExt};
use leasehold_core::errand::Errand;
use leasehold_core::{Failure, Fields, Grant, Kind};
use leasehold_vault::operation::Operation;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::client::VaultClient;
use crate::clock::wall_seconds;
use crate::identity::Identity;
use crate::session::{Session, SessionSettings};

use callbacks::Callers;
use keeper::{Keeper, Order, Shared};
use run::{Reign, Run};
use status::Instant;

pub use advice::{Advice, Oddity};
pub use events::TokenEvent;
pub(crate) use events::stream;
pub use outlook::{Doom, Outlook, Prospect};
pub use settings::TokenManagerSettings;
pub use status::{Health, Metrics, Status};

/// How many events a listener may lag behind.
pub(crate) const EVENTS: usize = 256;
/// What is obtained by a login lives as long as the server lets it: whoever embeds this goes by the token's own life.
pub(crate) const UNSHORTENED: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Keeps one token alive, by the engine's one loop: a token that was brought, or that of a login.
///
/// What cannot be renewed is replaced by a new login while the old one still works. Where there is nothing to log in
/// with, `on_failure` is told the date of the end as soon as it is known:
///
/// | token | what becomes of it |
/// |---|---|
/// | root | never ends and is never renewed; looked up, since it may be revoked |
/// | renewable, periodic | renewed below `renew_threshold` |
/// | at its longest life, not renewable, batch | replaced by a login; without one its last day is told |
/// | with a few uses | neither looked up nor renewed, which would use it up; replaced by a login. How many are left nobody knows: that the last is used up is noticed by the first call that is refused |
/// | that may not look itself up | renewed at once, which tells its life; what may not be renewed either has an unknown life, which is told |
/// | revoked | noticed at the next look-up, or by the first call that is refused, and replaced by a login |
///
/// The present token is always in the client that was given, and all its clones, with how long it lives. Once it has ended
/// and while the manager does not run, there is none, and calls of the client say why.
///
/// ```no_run
/// use leasehold::client::VaultClient;
/// use leasehold::core::{Failure, Secret, name::Address};
/// use leasehold::identity::{Identity, Source};
/// use leasehold::token_manager::{TokenManager, TokenManagerSettings};
/// use leasehold::transport::TransportSettings;
///
/// # async fn example() -> Result<(), Failure> {
/// let address = Address::parse("https://vault.example:8200").expect("an address");
/// let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
/// let token = Identity::Brought(Source::Value(Secret::new("s.token")));
/// let settings = TokenManagerSettings::new("/var/lib/app/leasehold")
///     .on_failure(|message| eprintln!("the token: {message}"));
/// let manager = TokenManager::new(client.clone(), token, settings);
/// manager.start()?;
/// manager.ready().await?;
///
/// let secret = client.read_kv_secret("secret/db").await?;
/// assert!(manager.status().running);
/// manager.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// Dropped, it stops by itself: what it obtained is given back if the runtime lives for another second, and otherwise by
/// the next start with the same `state_dir`.
#[derive(Debug)]
pub struct TokenManager {
    shared: Arc<Shared>,
    client: VaultClient,
    identity: Identity,
    /// The last that was started.
    run: ArcSwap<Run>,
    running: Mutex<Option<Running>>,
}

/// What there is while it runs. The keeper ends once the way to it is dropped.
#[derive(Debug)]
struct Running {
    run: Arc<Run>,
    orders: mpsc::UnboundedSender<Order>,
    session: Arc<Session>,
    keeper: JoinHandle<()>,
}

impl TokenManager {
    /// A manager that does not run yet. From the start on it puts the token into `client`.
    pub fn new(client: VaultClient, identity: Identity, mut settings: TokenManagerSettings) -> Self {
        let callers = Callers::start(std::mem::take(settings.callbacks()));
        let (events, _) = broadcast::channel(EVENTS);
        let shared = Arc::new(Shared { settings, events, callers });
        Self { shared, client, identity, run: ArcSwap::default(), running: Mutex::default() }
    }

    /// Starts on the present runtime, and does not wait for the server. To start what runs is only a warning.
    ///
    /// # Errors
    ///
    /// `Invalid` outside a runtime, for which there is [`blocking`]; and whatever is wrong with the `state_dir`.
    pub fn start(&self) -> Result<(), Failure> {
        let mut running = self.running();
        if running.as_ref().is_some_and(|running| running.run.view().is_running) {
            tracing::warn!("the token manager runs already");
            return Ok(());
        }
        let runtime = Handle::try_current()
            .map_err(|_| Failure::new(Kind::Invalid, "the token manager is started outside a runtime"))?;
        let session = Arc::new(self.open()?);
        let (orders, inbox) = mpsc::unbounded_channel();
        let (run, reign) = self.begin();
        let client = self.client.clone();
        let keeper = Keeper::new(Arc::clone(&self.shared), reign, Arc::clone(&session), client, inbox);
        *running = Some(Running { run, orders, session, keeper: runtime.spawn(keeper.run()) });
        Ok(())
    }

    /// A new run, to which the client belongs from now on.
    fn begin(&self) -> (Arc<Run>, Reign) {
        let before = self.run.load();
        before.leave_client();
        let (run, reign) = Reign::begin(self.client.clone(), &before.view());
        self.run.store(Arc::clone(&run));
        (run, reign)
    }

    fn open(&self) -> Result<Session, Failure> {
        let settings = SessionSettings {
            client: self.client.clone(),
            identity: self.identity.clone(),
            state_dir: self.shared.settings.state_dir.clone(),
            parent_ttl: UNSHORTENED,
            start_spread: Duration::ZERO,
            policy: self.shared.settings.policy(),
        };
        Session::start_by(self.shared.settings.clock.clone(), settings)
    }

    /// Waits until there is a token.
    ///
    /// # Errors
    ///
    /// Why there is none; it is tried on in the background.
    pub async fn ready(&self) -> Result<(), Failure> {
        let (session, run) = self.of_running(|it| (Arc::clone(&it.session), Arc::clone(&it.run)))?;
        session.log_in().await?;
        loop {
            let changed = run.changed.notified();
            let view = run.view();
            match (view.is_running, &view.credential) {
                (false, _) => return Err(stopped()),
                (true, Some(_)) => return Ok(()),
                (true, None) => changed.await,
            }
        }
    }

    /// Stops, and gives back what a login has obtained, for at most a second. A token that was brought stays as it is.
    pub async fn stop(&self) {
        let Some(running) = self.running().take() else { return };
        drop(running.orders);
        // A keeper that panicked has nothing more to say; what it held is in the journal.
        let _ = running.keeper.await;
    }

    /// How things stand, as far as it is known. Waits for nobody.
    pub fn status(&self) -> Status {
        let settings = &self.shared.settings;
        let now = settings.clock.now();
        self.run.load().view().status(now, settings.renew_threshold, settings.healthy_above)
    }

    /// The present token, to be kept for the length of a request. Waits for nobody.
    ///
    /// # Errors
    ///
    /// `Expired` with when it has ended, if there is no other yet; why there has never been one; `Invalid` if the
    /// manager does not run.
    pub fn token(&self) -> Result<Arc<Grant>, Failure> {
        let view = self.run.load().view();
        if !view.is_running {
            return Err(stopped());
        }
        let now = Instant { moment: self.shared.settings.clock.now(), wall: wall_seconds() };
        keeper::live(&view, now)
    }

    /// Renews the token now, whether it is due or not, and says whether that went well: by a renewal, by a new login
    /// where there is one and a renewal is not possible, or by another token in the file that it was brought in. One
    /// renewal serves all who ask for it while it is under way. A token that never ends is not renewed.
    pub async fn force_renewal(&self) -> bool {
        let (order, done) = oneshot::channel();
        let is_sent = self.running().as_ref().is_some_and(|running| running.orders.send(order).is_ok());
        let done = tokio::time::timeout(Errand::PATIENCE, done);
        is_sent && matches!(done.await, Ok(Ok(true)))
    }

    /// Carries an operation out with the present token. If that turns out to be dead, it is replaced where that is
    /// possible, and the operation is done once more.
    ///
    /// # Errors
    ///
    /// Those of the operation, and why there is no token.
    pub async fn send<O: Operation>(&self, operation: &O) -> Result<O::Answer, Failure> {
        let session = self.session()?;
        let token = session.log_in().await?;
        session.engine().send(&self.client, token, operation).await
    }

    /// The newest version of a KV secret, as [`VaultClient::read_kv_secret`] reads it, in the way of
    /// [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Those of the reading, and why there is no token.
    pub async fn read_kv_secret(&self, path: &str) -> Result<Fields, Failure> {
        let session = self.session()?;
        let token = session.log_in().await?;
        let read = |client: VaultClient| async move { client.read_kv_secret(path).await };
        session.engine().act(&self.client, token, read).await
    }

    /// Has the token looked up now, since somebody was refused with it whom the manager does not hear of. Returns at
    /// once. However many ask, it is looked up once, and the same token once in ten seconds at most: who asks meanwhile
    /// is served after them. One with a few uses is not looked up, which might cost the last.
    pub fn check_now(&self) {
        if self.run.load().view().may_be_looked_up() {
            self.client.doubt_token();
        }
    }

    /// Has the token looked up at each notice, until there are no more: such as those of
    /// [`TokenRefresh::refusals`](crate::token_refresh::TokenRefresh::refusals), where both have the same token. To be
    /// run beside the service: as a task, or in a `select`.
    pub async fn follow(&self, notices: impl Stream<Item = ()>) {
        let mut notices = std::pin::pin!(notices);
        while notices.next().await.is_some() {
            self.check_now();
        }
    }

    /// What is good in place of a token that was refused: its successor, or the same one if it lives.
    ///
    /// # Errors
    ///
    /// Why there is no token that is good.
    pub async fn successor(&self, refused: Arc<Grant>) -> Result<Arc<Grant>, Failure> {
        let session = self.session()?;
        session.engine().successor(session.login_slot(), Some(refused)).await
    }

    /// The client that has the present token, as long as there is one. Once it has ended, before
    /// the first and while the manager does not run, calls of the client fail and say so, and the server is not asked. A
    /// token that was put there by hand before the start stays until there is the manager's.
    ///
    /// A call of the client that finds the token dead, because it was revoked or has used up its last use, fails, and is
    /// not repeated as [`send`](Self::send) repeats it; but the manager hears of it and has the token looked up and
    /// replaced at once, as by [`check_now`](Self::check_now).
    pub fn client(&self) -> &VaultClient {
        &self.client
    }

    /// What happens from now on, through stops and starts. A listener that lags more than 256 events behind loses the
    /// oldest, and is told how many.
    pub fn events(&self) -> impl Stream<Item = TokenEvent> + Send + Unpin + 'static {
        stream(self.shared.events.subscribe(), TokenEvent::Missed)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> Result<Arc<Session>, Failure> {
        self.of_running(|running| Arc::clone(&running.session))
    }

    fn of_running<T>(&self, part: impl FnOnce(&Running) -> T) -> Result<T, Failure> {
        self.running().as_ref().map(part).ok_or_else(stopped)
    }
}

fn not_yet() -> Failure {
    Failure::new(Kind::Unreachable, "there is no token yet")
}

fn stopped() -> Failure {
    Failure::new(Kind::Invalid, "the token manager does not run")
}

static OF_THIS_PROCESS: OnceLock<TokenManager> = OnceLock::new();

/// Starts the manager of this process. Whoever comes first decides about its settings; it is started by each call, which
/// for one that runs is only a warning.
///
/// # Errors
///
/// Those of [`TokenManager::start`].
pub fn start_token_manager(
    client: VaultClient,
    identity: Identity,
    settings: TokenManagerSettings,
) -> Result<&'static TokenManager, Failure> {
    let manager = OF_THIS_PROCESS.get_or_init(|| TokenManager::new(client, identity, settings));
    manager.start()?;
    Ok(manager)
}

/// The manager of this process; none before [`start_token_manager`].
pub fn token_manager() -> Option<&'static TokenManager> {
    OF_THIS_PROCESS.get()
}

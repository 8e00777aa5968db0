//! The token of an application that lives in Vault's key-value engine: read again and again, swapped under its readers,
//! and given out.

mod place;
mod settings;
mod events;
mod status;
mod judge;
mod keeper;
pub mod notice;
mod shown;
mod issuer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::stream::{self, Stream, StreamExt};
use leasehold_core::errand::Errand;
use leasehold_core::{Failure, Kind};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::session::{Session, SessionSettings};
use crate::signing::TokenSource;
use crate::token_cache::TokenCache;
use crate::token_manager::{self, EVENTS, UNSHORTENED};

use judge::{Judge, Shared};
use keeper::{Keeper, Order, run_without_vault};
use status::View;

pub use events::RefreshEvent;
pub use issuer::TokenIssuer;
pub use place::TokenPlace;
pub use settings::{Fallback, TokenRefreshSettings, VaultAccess};
pub use shown::{Rotation, RotationPlan};
pub use status::{AgentHealth, RefreshMetrics};

/// Keeps a deployment's token the one that Vault has, by the engine's one loop.
///
/// It is read each 60 s plus 5 to 10 s, and when somebody asks for it. Another value is swapped into the
/// [`TokenCache`], counted, and told to the `audit` target of tracing: `Token rotated` with `deployment_hash`,
/// `timestamp` and the `age_seconds` of the token that went. A failure is a warning, and what is there stays: the secret
/// has no end of its own. It is tried again at the engine's pace.
///
/// | Vault | served |
/// |---|---|
/// | not configured | the fallback's token |
/// | has not answered yet | the fallback's token |
/// | has another token than it had | that; its first word takes the place of a fallback of before the start without an overlap |
/// | has the same, or fails | the fallback's if it was changed since it was last read, else the same as before |
/// | has no secret there, none with a `token`, or none that is a text | as if it failed |
///
/// ```no_run
/// use leasehold::signing::{Covering, Verifier};
/// use leasehold::token_refresh::{TokenRefresh, TokenRefreshSettings, notice};
/// use std::sync::Arc;
///
/// # async fn example() -> Result<(), leasehold::core::Failure> {
/// let settings = TokenRefreshSettings::from_environment(|name| std::env::var_os(name), "/var/lib/app/leasehold")?;
/// let refresh = Arc::new(TokenRefresh::start(settings)?);
/// let verifier = Verifier::new(refresh.tokens().clone(), Covering::Body);
///
/// let (follower, hangups) = (Arc::clone(&refresh), notice::hangups()?);
/// tokio::spawn(async move { follower.follow(hangups).await });
///
/// let body = refresh.health();
/// let counters = refresh.metrics().with_failures_of(&verifier).prometheus();
/// refresh.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// Dropped, it stops by itself, as a [`TokenManager`](crate::token_manager::TokenManager) does. The token stays in the
/// cache.
#[derive(Debug)]
pub struct TokenRefresh {
    shared: Arc<Shared>,
    /// None once it was stopped. The keeper ends when the way to it is dropped.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    orders: mpsc::UnboundedSender<Order>,
    keeper: JoinHandle<()>,
}

impl TokenRefresh {
    /// Starts on the present runtime. The fallback's token is served when this returns; Vault is not waited for.
    ///
    /// # Errors
    ///
    /// `Invalid` outside a runtime; and whatever is wrong with the `state_dir`.
    pub fn start(settings: TokenRefreshSettings) -> Result<Self, Failure> {
        let runtime = Handle::try_current()
            .map_err(|_| Failure::new(Kind::Invalid, "the token refresh is started outside a runtime"))?;
        let policy = settings.policy();
        let TokenRefreshSettings { vault, deployment, fallback, overlap, stale_after, clock, .. } = settings;
        let view = View {
            last_refresh_ok: vault.as_ref().map(|_| false),
            confirmed: clock.now(),
            ..View::default()
        };
        let tokens = TokenCache::new(clock.clone(), overlap);
        let (view, refused) = (ArcSwap::from_pointee(view), watch::Sender::new(()));
        let (events, _) = broadcast::channel(EVENTS);
        let shared = Shared { tokens, view, clock: clock.clone(), stale_after, refused, events };
        let shared = Arc::new(shared);
        let judge = Judge::new(Arc::clone(&shared), deployment, fallback);
        let (orders, inbox) = mpsc::unbounded_channel();
        let keeper = match vault {
            None => runtime.spawn(run_without_vault(judge, inbox)),
            Some(VaultAccess { client, identity, place, state_dir }) => {
                let session = SessionSettings {
                    client,
                    identity,
                    state_dir,
                    parent_ttl: UNSHORTENED,
                    start_spread: Duration::ZERO,
                    policy: policy.clone(),
                };
                let session = Session::start_by(clock, session)?;
                runtime.spawn(Keeper::new(judge, session, place, policy, inbox).run())
            }
        };
        Ok(Self { shared, running: Mutex::new(Some(Running { orders, keeper })) })
    }

    /// The token, and the one before it. Clones see all rotations.
    pub fn tokens(&self) -> &TokenCache {
        &self.shared.tokens
    }

    /// Has the token read now, and says whether it is another one than before. Without Vault, the fallback is read.
    ///
    /// One reading serves all who ask before it begins; those who ask while one is under way share the next, since
    /// theirs may be the news that it came too early for.
    ///
    /// # Errors
    ///
    /// Why it was not possible to find out, `Invalid` if it was stopped. What is served stays as it is.
    pub async fn refresh_now(&self) -> Result<bool, Failure> {
        let before = self.generation();
        let result = self.read().await;
        if self.generation() != before {
            return Ok(true);
        }
        result.map(|()| false)
    }

    async fn read(&self) -> Result<(), Failure> {
        let (order, done) = oneshot::channel();
        let is_sent = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref().is_some_and(|running| running.orders.send(order).is_ok())
        };
        if !is_sent {
            return Err(stopped());
        }
        match tokio::time::timeout(Errand::PATIENCE, done).await {
            Ok(result) => result.unwrap_or_else(|_| Err(stopped())),
            Err(_) => Err(Failure::new(Kind::Unreachable, "no answer in time")),
        }
    }

    fn generation(&self) -> u32 {
        self.shared.tokens.current().map_or(0, |token| token.generation())
    }

    /// Has the token read at each notice, until there are no more. To be run beside the service: as a task, or in a
    /// `select`.
    pub async fn follow(&self, notices: impl Stream<Item = ()>) {
        let mut notices = std::pin::pin!(notices);
        while notices.next().await.is_some() {
            // Why it was not possible is among the warnings.
            let _ = self.refresh_now().await;
        }
    }

    /// A notice whenever Vault refuses who we are, from now on; several at once may be one. For a
    /// [`TokenManager`](crate::token_manager::TokenManager::follow) that keeps the same token, and would notice that it
    /// is dead at its next look-up only.
    pub fn refusals(&self) -> impl Stream<Item = ()> + Send + Unpin + 'static {
        let refused = self.shared.refused.subscribe();
        let next =
            |mut refused: watch::Receiver<()>| async move { Some((refused.changed().await.ok()?, refused)) };
        Box::pin(stream::unfold(refused, next))
    }

    /// What happens from now on, after what is known already of a login that cannot be kept. A listener that lags more than 256 events behind loses the oldest, and is told how many.
    /// [`Alerts::watch`](crate::alerts::Alerts::watch) takes it.
    pub fn events(&self) -> impl Stream<Item = RefreshEvent> + Send + Unpin + 'static {
        let shared = &self.shared;
        let told = token_manager::stream(shared.events.subscribe(), RefreshEvent::Missed);
        let standing = shared.view.load().standing(shared.clock.now());
        stream::iter(standing).chain(told)
    }

    /// The body of `/health`. Waits for nobody.
    pub fn health(&self) -> AgentHealth {
        self.shared.health()
    }

    /// The counters, and what `/health` says. Waits for nobody.
    pub fn metrics(&self) -> RefreshMetrics {
        self.shared.view.load().metrics(self.shared.health(), self.shared.clock.now())
    }

    /// Stops, and gives back what a login has obtained, for at most a second. The token stays in the cache.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { orders, keeper }) = running else { return };
        drop(orders);
        // A keeper that panicked has nothing more to say; what it held is in the journal.
        let _ = keeper.await;
    }
}

/// For a verifier or a client whose peers may have a new token first.
impl TokenSource for TokenRefresh {
    async fn refresh(&self) {
        // Why it was not possible is among the warnings.
        let _ = self.refresh_now().await;
    }
}

fn stopped() -> Failure {
    Failure::new(Kind::Invalid, "the token refresh does not run")
}

//! The same for services without a runtime: the manager lives on a thread of its own.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::stream::Stream;
use leasehold_core::{Failure, Fields, Grant, Kind};
use leasehold_vault::operation::Operation;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::events::heard;
use super::settings::TokenManagerSettings;
use super::status::Status;
use super::{TokenEvent, stopped};
use crate::client::VaultClient;
use crate::identity::Identity;

/// A [`TokenManager`](super::TokenManager) whose methods block, in the same words. The client is used on the manager's
/// thread, by [`read_kv_secret`](Self::read_kv_secret) and [`send`](Self::send): whoever needs one elsewhere makes another.
///
/// ```no_run
/// use leasehold::client::VaultClient;
/// use leasehold::core::{Failure, Secret, name::Address};
/// use leasehold::identity::{Identity, Source};
/// use leasehold::token_manager::{TokenManagerSettings, blocking::TokenManager};
/// use leasehold::transport::TransportSettings;
///
/// # fn example() -> Result<(), Failure> {
/// let address = Address::parse("https://vault.example:8200").expect("an address");
/// let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
/// let token = Identity::Brought(Source::Value(Secret::new("s.token")));
/// let manager = TokenManager::new(client, token, TokenManagerSettings::new("/var/lib/app/leasehold"));
/// manager.start()?;
/// manager.ready()?;
/// let body = manager.status().health();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TokenManager {
    manager: Arc<super::TokenManager>,
    running: Mutex<Option<Running>>,
}

/// The thread, and how it is told to end: by dropping this.
#[derive(Debug)]
struct Running {
    runtime: Handle,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl TokenManager {
    /// A manager that does not run yet.
    pub fn new(client: VaultClient, identity: Identity, settings: TokenManagerSettings) -> Self {
        let manager = super::TokenManager::new(client, identity, settings);
        Self { manager: Arc::new(manager), running: Mutex::default() }
    }

    /// Starts, and does not wait for the server. To start what runs is only a warning.
    ///
    /// # Errors
    ///
    /// `Broken` if there can be no thread; and whatever is wrong with the `state_dir`.
    pub fn start(&self) -> Result<(), Failure> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            tracing::warn!("the token manager runs already");
            return Ok(());
        }
        *running = Some(launch(Arc::clone(&self.manager))?);
        Ok(())
    }

    /// Stops, and gives back what a login has obtained, for at most a second. Whoever starts meanwhile waits for that.
    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { end, thread, .. }) = running.take() else { return };
        drop(end);
        // A thread that panicked has nothing more to say; what it held is in the journal.
        let _ = thread.join();
    }

    /// Waits until there is a token.
    ///
    /// # Errors
    ///
    /// Why there is none; it is tried on in the background.
    pub fn ready(&self) -> Result<(), Failure> {
        self.wait(|manager| async move { manager.ready().await }).unwrap_or_else(|| Err(stopped()))
    }

    /// As [`TokenManager::status`](super::TokenManager::status). Waits for nobody.
    pub fn status(&self) -> Status {
        self.manager.status()
    }

    /// As [`TokenManager::token`](super::TokenManager::token). Waits for nobody.
    ///
    /// # Errors
    ///
    /// When it has ended, or why there is none.
    pub fn token(&self) -> Result<Arc<Grant>, Failure> {
        self.manager.token()
    }

    /// As [`TokenManager::force_renewal`](super::TokenManager::force_renewal).
    pub fn force_renewal(&self) -> bool {
        self.wait(|manager| async move { manager.force_renewal().await }).unwrap_or(false)
    }

    /// As [`TokenManager::send`](super::TokenManager::send): an operation with the present token, done once more with
    /// another one if that is dead. It is done on the manager's thread, and so handed over.
    ///
    /// # Errors
    ///
    /// Those of the operation, and why there is no token.
    pub fn send<O>(&self, operation: O) -> Result<O::Answer, Failure>
    where
        O: Operation<Answer: Send> + Send + Sync + 'static,
    {
        let answer = self.wait(|manager| async move { manager.send(&operation).await });
        answer.unwrap_or_else(|| Err(stopped()))
    }

    /// As [`TokenManager::read_kv_secret`](super::TokenManager::read_kv_secret).
    ///
    /// # Errors
    ///
    /// Those of the reading, and why there is no token.
    pub fn read_kv_secret(&self, path: &str) -> Result<Fields, Failure> {
        let path = path.to_owned();
        let secret = self.wait(|manager| async move { manager.read_kv_secret(&path).await });
        secret.unwrap_or_else(|| Err(stopped()))
    }

    /// As [`TokenManager::check_now`](super::TokenManager::check_now). Waits for nobody.
    pub fn check_now(&self) {
        self.manager.check_now();
    }

    /// As [`TokenManager::successor`](super::TokenManager::successor).
    ///
    /// # Errors
    ///
    /// Why there is no token that is good.
    pub fn successor(&self, refused: Arc<Grant>) -> Result<Arc<Grant>, Failure> {
        let successor = self.wait(|manager| async move { manager.successor(refused).await });
        successor.unwrap_or_else(|| Err(stopped()))
    }

    /// What happens from now on; each item is waited for, and not on a thread of a runtime.
    pub fn events(&self) -> impl Iterator<Item = TokenEvent> + Send + 'static {
        let mut receiver = self.manager.shared.events.subscribe();
        std::iter::from_fn(move || heard(receiver.blocking_recv(), TokenEvent::Missed))
    }

    /// The same for somebody who has a runtime, such as [`Alerts`](crate::alerts::Alerts).
    pub fn stream(&self) -> impl Stream<Item = TokenEvent> + Send + Unpin + 'static {
        self.manager.events()
    }

    /// Does something on the manager's thread and waits for it; none if the manager does not run.
    fn wait<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        act: impl FnOnce(Arc<super::TokenManager>) -> F,
    ) -> Option<T> {
        let runtime = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.as_ref()?.runtime.clone()
        };
        let (answer, answered) = sync_channel(1);
        let future = act(Arc::clone(&self.manager));
        runtime.spawn(async move {
            // Whoever asked waits for it.
            let _ = answer.send(future.await);
        });
        answered.recv().ok()
    }
}

impl Drop for TokenManager {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the thread and waits until the manager runs on it, which asks nobody.
fn launch(manager: Arc<super::TokenManager>) -> Result<Running, Failure> {
    let broken = |error: std::io::Error| Failure::new(Kind::Broken, format!("no thread: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let handle = runtime.handle().clone();
    let (end, ended) = oneshot::channel::<()>();
    let (started, start) = sync_channel(1);
    let live = async move {
        // Whoever starts it waits for this.
        let _ = started.send(manager.start());
        // It ends when the other half is dropped.
        let _ = ended.await;
        manager.stop().await;
    };
    let thread = thread::Builder::new().name("leasehold-token".into());
    let thread = thread.spawn(move || runtime.block_on(live)).map_err(broken)?;
    start.recv().unwrap_or_else(|_| Err(stopped()))?;
    Ok(Running { runtime: handle, end, thread })
}

static OF_THIS_PROCESS: OnceLock<TokenManager> = OnceLock::new();

/// As [`start_token_manager`](super::start_token_manager), for a process without a runtime.
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

//! Where a verifier's tokens come from, asked when a signature is of none of them.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::Moment;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

/// Between the beginnings of two readings: a flood of bad signatures is no flood of questions.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a request waits for a reading.
const PATIENCE: Duration = Duration::from_secs(5);
/// A reading that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(60);

/// Who can have the token read anew: a [`TokenRefresh`](crate::token_refresh::TokenRefresh), or one's own.
pub trait TokenSource: Send + Sync {
    /// Reads the token, and rotates the cache if it is another one.
    fn refresh(&self) -> impl Future<Output = ()> + Send;
}

/// One reading.
type Reading = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads for all requests together, one reading at a time.
pub(super) struct Refetch {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    last: Mutex<Option<Run>>,
}

/// A reading, under way or over.
struct Run {
    begun: Moment,
    /// Closed when it is over, whatever the end.
    over: watch::Receiver<()>,
}

impl Refetch {
    pub(super) fn new(source: Arc<impl TokenSource + 'static>) -> Self {
        let read = move || -> Reading {
            let source = Arc::clone(&source);
            Box::pin(async move { source.refresh().await })
        };
        Self { read: Box::new(read), last: Mutex::default() }
    }

    /// Waits for the reading that is under way, or for a new one if the last one began long enough ago.
    pub(super) async fn read(&self, now: Moment) {
        if let Some(mut over) = self.under_way(now) {
            // In time or not: the tokens tell what came of it.
            let _ = timeout(PATIENCE, over.changed()).await;
        }
    }

    fn under_way(&self, now: Moment) -> Option<watch::Receiver<()>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(run) if run.over.has_changed().is_ok() => Some(run.over.clone()),
            Some(run) if now < run.begun + PAUSE => None,
            _ => {
                let over = self.begin()?;
                *last = Some(Run { begun: now, over: over.clone() });
                Some(over)
            }
        }
    }

    /// As a task of its own, so that it ends also when those who wait for it go away. None outside a runtime.
    fn begin(&self) -> Option<watch::Receiver<()>> {
        let runtime = Handle::try_current().ok()?;
        let ((end, over), reading) = (watch::channel(()), (self.read)());
        runtime.spawn(async move {
            // Dropped at the end, be it by a panic.
            let _end = end;
            let _ = timeout(LONGEST, reading).await;
        });
        Some(over)
    }
}

impl fmt::Debug for Refetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refetch(..)")
    }
}

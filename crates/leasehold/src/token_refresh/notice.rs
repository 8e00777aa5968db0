//! Notices that there may be another token: a signal, a file that has changed.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use leasehold_core::{Failure, Kind};
use tokio::signal::unix::{SignalKind, signal};

use crate::identity::{Identity, Source};

/// How often a file is looked at. The kernel would tell of changes at once, but not on every file system.
const LOOK: Duration = Duration::from_secs(1);

/// A notice for each SIGHUP from now on, which does not end this process any more.
///
/// # Errors
///
/// `Broken` if the system does not let us listen, `Invalid` outside a runtime.
pub fn hangups() -> Result<impl Stream<Item = ()> + Send + Unpin + 'static, Failure> {
    tokio::runtime::Handle::try_current()
        .map_err(|_| Failure::new(Kind::Invalid, "signals are listened to outside a runtime"))?;
    let signal = signal(SignalKind::hangup());
    let signal = signal
        .map_err(|error| Failure::new(Kind::Broken, format!("cannot listen to SIGHUP: {}", error.kind())))?;
    let hangups = stream::unfold(signal, |mut signal| async move { Some((signal.recv().await?, signal)) });
    Ok(Box::pin(hangups))
}

/// A notice each time the file looks other than before: it was written, replaced, made or removed. Never ends.
pub fn changes(file: impl Into<PathBuf>) -> impl Stream<Item = ()> + Send + Unpin + 'static {
    let file = Identity::Brought(Source::File(file.into()));
    let seen = file.stamp();
    Box::pin(stream::unfold((file, seen), |(file, seen)| async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let stamp = file.stamp();
            if stamp != seen {
                return Some(((), (file, stamp)));
            }
        }
    }))
}

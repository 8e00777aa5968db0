//! What happens to the token, as a stream.

use std::time::Duration;

use futures_util::stream::{self, Stream};
use leasehold_core::Kind;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::advice::Advice;

/// Something that happened to the token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenEvent {
    /// The first token is there.
    Obtained {
        /// How long it lives; `None` if it never ends, or nobody knows when.
        ttl: Option<Duration>,
    },
    /// It was renewed, or replaced by a new one.
    Renewed {
        /// How long it lives from now on; `None` if it never ends.
        ttl: Option<Duration>,
        /// Whether it is another token now.
        replaced: bool,
    },
    /// It was looked up and lives.
    Checked {
        /// How long it lives.
        ttl: Option<Duration>,
    },
    /// It ends soon.
    Expiring {
        /// How long it still lives.
        left: Duration,
    },
    /// An attempt to keep it, or to get one, has failed. What is held stays good.
    Failed {
        /// Of which kind the failure is.
        kind: Kind,
        /// What went wrong.
        message: String,
        /// How many failed in a row.
        attempt: u16,
    },
    /// It cannot be kept beyond its end, and there is nothing to log in with.
    Doomed {
        /// When it ends, in words; or that nobody knows when.
        message: String,
        /// How long it still lives; none if that is not known, or there is no token.
        left: Option<Duration>,
    },
    /// What was told as [`Doomed`](Self::Doomed) is not so any more: it can be kept after all, or there is another.
    Lifted,
    /// It has ended.
    Ended {
        /// When and why.
        message: String,
    },
    /// A setting does not fit the token.
    Advice(Advice),
    /// The listener was slow: so many of the oldest events are lost to it.
    Missed(u64),
}

/// The next event; none once there will be no other.
pub(super) fn heard<T>(received: Result<T, RecvError>, missed: fn(u64) -> T) -> Option<T> {
    match received {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(lost)) => Some(missed(lost)),
        Err(RecvError::Closed) => None,
    }
}

/// All events from now on; where some were lost to a slow listener, how many.
pub(crate) fn stream<T: Clone + Send + 'static>(
    receiver: Receiver<T>,
    missed: fn(u64) -> T,
) -> impl Stream<Item = T> + Send + Unpin + 'static {
    Box::pin(stream::unfold(receiver, move |mut receiver| async move {
        let event = heard(receiver.recv().await, missed)?;
        Some((event, receiver))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use tokio::sync::broadcast;

    #[tokio::test]
    async fn a_slow_listener_loses_the_oldest_and_is_told() {
        let (sender, receiver) = broadcast::channel(2);
        for attempt in 1..=5 {
            let message = "sealed".to_owned();
            sender.send(TokenEvent::Failed { kind: Kind::Sealed, message, attempt }).unwrap();
        }
        drop(sender);
        let events: Vec<_> = stream(receiver, TokenEvent::Missed).collect().await;
        let attempts = events.iter().skip(1).map(|event| match event {
            TokenEvent::Failed { attempt, .. } => *attempt,
            other => panic!("{other:?}"),
        });
        assert_eq!((&events[0], attempts.collect::<Vec<_>>()), (&TokenEvent::Missed(3), vec![4, 5]));
    }
}

//! What the application wants to be told of, on a thread of its own.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// How many calls may wait while one is under way.
const QUEUE: usize = 64;

/// None if nobody wants to be called.
type Callback<F> = Option<Box<F>>;

/// Who is called of what. None of them may hold the manager itself alive; it is reached through
/// [`token_manager`](super::token_manager) or a [`Weak`](std::sync::Weak).
#[derive(Default)]
pub(super) struct Callbacks {
    pub(super) on_renewal: Callback<dyn Fn(u64) + Send>,
    pub(super) on_failure: Callback<dyn Fn(&str) + Send>,
    pub(super) on_expiring: Callback<dyn Fn(Duration) + Send>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callbacks")
    }
}

/// One call.
#[derive(Debug)]
pub(super) enum Notice {
    Renewal(u64),
    Failure(String),
    Expiring(Duration),
}

/// The way to the thread that calls. It ends with the last call after this is dropped; nobody waits for it, since a
/// callback may take for ever.
#[derive(Debug)]
pub(super) struct Caller(Option<SyncSender<Notice>>);

impl Caller {
    /// Starts the thread, unless nobody wants to be called.
    pub(super) fn start(callbacks: Callbacks) -> Self {
        let Callbacks { on_renewal, on_failure, on_expiring } = &callbacks;
        if on_renewal.is_none() && on_failure.is_none() && on_expiring.is_none() {
            return Self(None);
        }
        let (sender, notices) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("leasehold-callbacks".into());
        match thread.spawn(move || call_all(&callbacks, &notices)) {
            Ok(_) => Self(Some(sender)),
            Err(error) => {
                tracing::error!(%error, "no thread for the callbacks: none is called");
                Self(None)
            }
        }
    }

    /// Calls, in turn. Never waits: where too many calls wait already, this one is not made.
    pub(super) fn call(&self, notice: Notice) {
        let Some(sender) = &self.0 else { return };
        if let Err(TrySendError::Full(notice)) = sender.try_send(notice) {
            tracing::warn!("a callback takes long, and {QUEUE} calls wait: {notice:?} is not told");
        }
    }
}

fn call_all(callbacks: &Callbacks, notices: &Receiver<Notice>) {
    for notice in notices {
        // Whatever a callback breaks is its own.
        if catch_unwind(AssertUnwindSafe(|| call(callbacks, &notice))).is_err() {
            tracing::error!("a callback panicked at {notice:?}");
        }
    }
}

fn call(callbacks: &Callbacks, notice: &Notice) {
    match notice {
        Notice::Renewal(ttl) => callbacks.on_renewal.iter().for_each(|call| call(*ttl)),
        Notice::Failure(message) => callbacks.on_failure.iter().for_each(|call| call(message)),
        Notice::Expiring(left) => callbacks.on_expiring.iter().for_each(|call| call(*left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_callback_that_panics_or_blocks_stops_nobody() {
        let (called, calls) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let callbacks = Callbacks {
            on_renewal: Some(Box::new(move |ttl| {
                called.send(ttl).unwrap();
                gate.recv().unwrap();
            })),
            on_failure: Some(Box::new(|message| panic!("{message}"))),
            on_expiring: None,
        };
        let caller = Caller::start(callbacks);
        caller.call(Notice::Failure("on purpose".into()));
        caller.call(Notice::Expiring(Duration::ZERO));
        caller.call(Notice::Renewal(1));
        assert_eq!(calls.recv(), Ok(1), "after the panic");
        // It blocks now: so many wait, and the rest is dropped without waiting.
        (2..1_000).for_each(|ttl| caller.call(Notice::Renewal(ttl)));
        drop(caller);
        (0..=QUEUE).for_each(|_| go.send(()).unwrap());
        assert_eq!(calls.iter().collect::<Vec<_>>(), (2..2 + QUEUE as u64).collect::<Vec<_>>());
    }
}

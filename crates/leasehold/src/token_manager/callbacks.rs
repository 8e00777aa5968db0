//! What the application wants to be told of, on threads of its own.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// How many calls may wait while one is under way.
const QUEUE: usize = 64;

/// None if nobody wants to be called.
type Callback<T> = Option<Box<dyn Fn(T) + Send>>;

/// Who is called of what. None of them may hold the manager itself alive; it is reached through
/// [`token_manager`](super::token_manager) or a [`Weak`](std::sync::Weak).
#[derive(Default)]
pub(super) struct Callbacks {
    pub(super) on_renewal: Callback<u64>,
    pub(super) on_failure: Callback<String>,
    pub(super) on_expiring: Callback<Duration>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callbacks")
    }
}

/// The ways to those who are called. Each has a thread of its own, so that one that blocks mutes no other.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) renewal: Caller<u64>,
    pub(super) failure: Caller<String>,
    pub(super) expiring: Caller<Duration>,
}

impl Callers {
    /// Starts a thread for each callback that there is.
    pub(super) fn start(callbacks: Callbacks) -> Self {
        let Callbacks { on_renewal, on_failure, on_expiring } = callbacks;
        Self {
            renewal: Caller::start("on_renewal", on_renewal),
            failure: Caller::start("on_failure", on_failure),
            expiring: Caller::start("on_expiring", on_expiring),
        }
    }
}

/// The way to the thread that calls one callback. It ends with the last call after this is dropped; nobody waits for it,
/// since a callback may take for ever.
#[derive(Debug)]
pub(super) struct Caller<T> {
    name: &'static str,
    sender: Option<SyncSender<T>>,
}

impl<T: fmt::Debug + Send + 'static> Caller<T> {
    fn start(name: &'static str, callback: Callback<T>) -> Self {
        let Some(callback) = callback else { return Self { name, sender: None } };
        let (sender, notices) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name(format!("leasehold-{name}"));
        let call_all = move || notices.into_iter().for_each(|notice| call(name, &callback, notice));
        match thread.spawn(call_all) {
            Ok(_) => Self { name, sender: Some(sender) },
            Err(error) => {
                tracing::error!(%error, "no thread for {name}, which is never called");
                Self { name, sender: None }
            }
        }
    }

    /// Calls, in turn. Never waits: where too many calls wait already, this one is not made.
    pub(super) fn call(&self, notice: T) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(notice)) = sender.try_send(notice) {
            tracing::warn!("{} takes long, and {QUEUE} calls wait: {notice:?} is not told", self.name);
        }
    }
}

fn call<T>(name: &str, callback: &dyn Fn(T), notice: T) {
    // Whatever a callback breaks is its own.
    if catch_unwind(AssertUnwindSafe(|| callback(notice))).is_err() {
        tracing::error!("{name} panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_callback_that_panics_or_blocks_stops_nobody() {
        let (called, calls) = mpsc::channel();
        let (told, failures) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let callbacks = Callbacks {
            on_renewal: Some(Box::new(move |ttl| {
                called.send(ttl).unwrap();
                gate.recv().unwrap();
            })),
            on_failure: Some(Box::new(move |message| {
                assert_ne!(message, "on purpose");
                told.send(message).unwrap();
            })),
            on_expiring: None,
        };
        let callers = Callers::start(callbacks);
        callers.expiring.call(Duration::ZERO);
        callers.renewal.call(1);
        assert_eq!(calls.recv(), Ok(1));
        // It blocks now: so many wait, and the rest is dropped without waiting.
        (2..1_000).for_each(|ttl| callers.renewal.call(ttl));
        // The other is called all the same, also after a panic.
        callers.failure.call("on purpose".into());
        callers.failure.call("after it".into());
        assert_eq!(failures.recv().as_deref(), Ok("after it"));
        drop(callers);
        (0..=QUEUE).for_each(|_| go.send(()).unwrap());
        assert_eq!(calls.iter().collect::<Vec<_>>(), (2..2 + QUEUE as u64).collect::<Vec<_>>());
    }
}

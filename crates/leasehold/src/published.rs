//! A value that is replaced under its readers: the writer's half, and the reader's at the cost of one plain load.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Cache};
use tokio::sync::watch;

use crate::swap::{Bell, Place, Swap};

/// Where the value is, for both halves.
type Shelf<T> = Arc<ArcSwapOption<T>>;

/// The writer's half.
pub(crate) type Writer<T> = Swap<Shelf<T>, watch::Sender<u32>>;

impl<T> Place for Shelf<T> {
    type Value = Arc<T>;

    fn put(&self, value: Option<Arc<T>>) {
        self.store(value);
    }
}

impl Bell for watch::Sender<u32> {
    fn ring(&self, generation: Option<u32>) {
        self.send_modify(|last| *last = generation.unwrap_or(*last));
    }
}

impl<T> Writer<T> {
    /// Without a value yet.
    pub(crate) fn empty() -> Self {
        Self { place: Arc::default(), bell: watch::Sender::new(0) }
    }

    /// What `question` sees in the present value.
    pub(crate) fn look<R>(&self, question: impl FnOnce(&T) -> R) -> Option<R> {
        self.place.load().as_deref().map(question)
    }

    /// Puts another form of the same value there, of which nobody needs to be told.
    pub(crate) fn replace(&self, change: impl FnOnce(&T) -> T) {
        if let Some(changed) = self.look(change) {
            self.place.put(Some(Arc::new(changed)));
        }
    }

    /// Whether there is a value.
    pub(crate) fn is_live(&self) -> bool {
        self.place.load().is_some()
    }

    /// A reader's half.
    pub(crate) fn reader(&self) -> Reader<T> {
        Reader { value: Arc::clone(&self.place), last: None, generation: self.bell.subscribe() }
    }
}

/// A reader's half. No reader ever waits for a writer.
pub(crate) struct Reader<T> {
    value: Shelf<T>,
    /// What this handle gave last. Made at the first question, so that a handle nobody asks keeps no value.
    last: Option<Cache<Shelf<T>, Option<Arc<T>>>>,
    generation: watch::Receiver<u32>,
}

impl<T> Reader<T> {
    /// The present value, which this handle keeps until it is asked again or dropped.
    pub(crate) fn current(&mut self) -> Option<&T> {
        self.last.get_or_insert_with(|| Cache::new(Arc::clone(&self.value))).load().as_deref()
    }

    /// The present value, to be kept by the caller.
    pub(crate) fn hold(&self) -> Option<Arc<T>> {
        self.value.load_full()
    }

    /// Counts the values from 1 on; zero before the first.
    pub(crate) fn generation(&self) -> u32 {
        *self.generation.borrow()
    }

    /// Returns when the value has changed since the last call, or was withdrawn. `false` once there will be no other.
    pub(crate) async fn changed(&mut self) -> bool {
        self.generation.changed().await.is_ok()
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), last: self.last.clone(), generation: self.generation.clone() }
    }
}

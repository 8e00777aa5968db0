//! A store that gave no answer is not asked again for a while: each question would take its whole time anew.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};
use tokio::time::Instant;

use super::{Answer, Answers, Listed, Store};

/// What takes so long and has no answer then is mute. A store that works takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is left alone.
const PAUSE: Duration = Duration::from_secs(10);

/// Since when a store is mute, and what it was told with. Clones are of the same store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silence(Arc<Mutex<Option<(Instant, Failure)>>>);

impl Silence {
    /// Why the store is not asked now, if it is not.
    pub(crate) fn reason(&self) -> Option<Failure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(since, _)| since.elapsed() < PAUSE).map(|(_, failure)| failure.clone())
    }

    /// Asks, unless it is mute.
    pub(crate) async fn heed<T>(
        &self,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if let Some(failure) = self.reason() {
            return Err(failure);
        }
        let began = Instant::now();
        let answer = question.await;
        if let Err(failure) = &answer {
            self.note(began, failure);
        }
        answer
    }

    /// The same of many things at once.
    pub(crate) async fn heed_all<T: Clone>(
        &self,
        count: usize,
        question: impl Future<Output = Vec<Result<T, Failure>>>,
    ) -> Vec<Result<T, Failure>> {
        if let Some(failure) = self.reason() {
            return vec![Err(failure); count];
        }
        let began = Instant::now();
        let answers = question.await;
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .for_each(|failure| self.note(began, failure));
        answers
    }

    /// This came of a question that was put then. Whether it is mute is known by the time it took.
    pub(crate) fn note(&self, began: Instant, failure: &Failure) {
        if failure.kind() == Kind::Unreachable && began.elapsed() >= PATIENCE {
            let known = Some((Instant::now(), failure.clone()));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
        }
    }
}

/// A store that is left alone while it is mute.
#[derive(Clone)]
pub(crate) struct Heeded<'s> {
    pub(crate) store: Arc<dyn Store + 's>,
    pub(crate) silence: Silence,
}

impl fmt::Debug for Heeded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Store for Heeded<'_> {
    fn title(&self) -> String {
        self.store.title()
    }

    fn find<'a>(&'a self, entry: &'a Entry) -> Answer<'a, Secret> {
        Box::pin(self.silence.heed(self.store.find(entry)))
    }

    fn find_all<'a>(&'a self, entries: &'a [Entry]) -> Answers<'a, Secret> {
        Box::pin(self.silence.heed_all(entries.len(), self.store.find_all(entries)))
    }

    fn put<'a>(&'a self, entry: &'a Entry, secret: &'a Secret) -> Answer<'a, ()> {
        Box::pin(self.silence.heed(self.store.put(entry, secret)))
    }

    fn put_all<'a>(&'a self, entries: &'a [(Entry, Secret)]) -> Answers<'a, ()> {
        Box::pin(self.silence.heed_all(entries.len(), self.store.put_all(entries)))
    }

    fn remove<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(self.silence.heed(self.store.remove(entry)))
    }

    fn contains<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(self.silence.heed(self.store.contains(entry)))
    }

    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Listed>> {
        Box::pin(self.silence.heed(self.store.list(service)))
    }
}

//! The reader's half of a credential: the present value at the cost of an atomic load.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use leasehold_core::{Grant, SlotId};
use tokio::sync::watch;

/// A credential that is kept good behind the reader's back. Cheap to clone; all clones see the same.
///
/// No reader ever waits for a writer: [`current`](Self::current) is an atomic load, whatever the engine is doing.
#[derive(Clone)]
pub struct Credential {
    slot: SlotId,
    value: Arc<ArcSwapOption<Grant>>,
    generation: watch::Receiver<u32>,
}

impl Credential {
    /// The present value; none before the first and after the last.
    pub fn current(&self) -> Guard<Option<Arc<Grant>>> {
        self.value.load()
    }

    /// The present value, to be kept for the length of a request. It stays as it is while a new one is published.
    pub fn hold(&self) -> Option<Arc<Grant>> {
        self.value.load_full()
    }

    /// Counts the values from 1 on; zero before the first.
    pub fn generation(&self) -> u32 {
        *self.generation.borrow()
    }

    /// Returns when the value has changed since the last call, or was withdrawn. `false` once there will be no
    /// other.
    pub async fn changed(&mut self) -> bool {
        self.generation.changed().await.is_ok()
    }

    /// The slot in which the engine keeps it.
    pub fn slot(&self) -> SlotId {
        self.slot
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, generation {})", self.slot.0, self.generation())
    }
}

/// The writer's half.
#[derive(Debug)]
pub struct Publisher {
    slot: SlotId,
    value: Arc<ArcSwapOption<Grant>>,
    generation: watch::Sender<u32>,
}

impl Publisher {
    /// A credential without a value yet.
    pub fn new(slot: SlotId) -> Self {
        Self { slot, value: Arc::default(), generation: watch::Sender::new(0) }
    }

    /// From now on this is the value.
    pub fn publish(&self, generation: u32, grant: Arc<Grant>) {
        self.value.store(Some(grant));
        self.generation.send_replace(generation);
    }

    /// There is no value any more.
    pub fn withdraw(&self) {
        self.value.store(None);
        self.generation.send_modify(|_| {});
    }

    /// A reader's half.
    pub fn credential(&self) -> Credential {
        Credential {
            slot: self.slot,
            value: Arc::clone(&self.value),
            generation: self.generation.subscribe(),
        }
    }

    /// Whether there is a value.
    pub fn is_live(&self) -> bool {
        self.value.load().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::{Fields, Lease, Secret};

    fn grant(text: &str) -> Arc<Grant> {
        let fields = Fields::from_iter([("value", Secret::new(text))]);
        Arc::new(Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None })
    }

    fn seen(credential: &Credential) -> Option<String> {
        let grant = credential.current();
        Some(grant.as_ref()?.fields.field("value")?.expose().to_owned())
    }

    #[test]
    fn a_guard_keeps_its_value_while_another_is_published() {
        let publisher = Publisher::new(SlotId(1));
        let credential = publisher.credential();
        assert_eq!((seen(&credential), credential.generation()), (None, 0));
        publisher.publish(1, grant("one"));
        let held = credential.hold().unwrap();
        publisher.publish(2, grant("two"));
        assert_eq!((seen(&credential).as_deref(), credential.generation()), (Some("two"), 2));
        assert_eq!(held.fields.field("value").unwrap().expose(), "one");
        publisher.withdraw();
        assert_eq!(seen(&credential), None);
    }

    #[test]
    fn debug_shows_no_value() {
        let publisher = Publisher::new(SlotId(1));
        publisher.publish(1, grant("canary"));
        assert!(!format!("{:?} {publisher:?}", publisher.credential()).contains("canary"));
    }
}

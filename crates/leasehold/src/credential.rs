//! The reader's half of a credential: the present value at the cost of one plain load.

use std::fmt;
use std::sync::Arc;

use leasehold_core::{Grant, SlotId};

use crate::published::{Reader, Writer};

/// A credential that is kept good behind the reader's back. Cheap to clone; all clones see the same.
///
/// No reader ever waits for a writer. Each task has a clone of its own and asks it with
/// [`current`](Self::current), which writes to no memory that another core looks at; a handle that is shared is
/// asked with [`hold`](Self::hold).
///
/// ```
/// use leasehold::core::{Fields, Grant, Lease, Secret, SlotId};
/// use leasehold::credential::Publisher;
/// use std::sync::Arc;
///
/// let publisher = Publisher::new(SlotId(1));
/// let mut credential = publisher.credential();
/// assert!(credential.current().is_none());
///
/// let fields = Fields::from_iter([("password", Secret::new("blue"))]);
/// publisher.publish(1, Arc::new(Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None }));
/// let password = credential.current().and_then(|grant| grant.fields.field("password"));
/// assert_eq!(password.map(Secret::expose), Some("blue"));
/// ```
#[derive(Clone)]
pub struct Credential {
    slot: SlotId,
    reader: Reader<Grant>,
}

impl Credential {
    /// The present value; none before the first and after the last.
    ///
    /// No clock is read here. After the machine has slept, what ended meanwhile is given for one more second; whoever
    /// must not be given it asks the engine again, which looks at the clock first.
    ///
    /// The handle keeps what it gave until it is asked again or dropped, so the memory of a secret that was
    /// replaced or withdrawn is wiped no earlier than that.
    pub fn current(&mut self) -> Option<&Grant> {
        self.reader.current()
    }

    /// The present value, to be kept for the length of a request. It stays as it is while a new one is published.
    ///
    /// Costs about 30 ns, and more while other cores do the same or publish; the handle keeps nothing.
    pub fn hold(&self) -> Option<Arc<Grant>> {
        self.reader.hold()
    }

    /// Counts the values from 1 on; zero before the first.
    pub fn generation(&self) -> u32 {
        self.reader.generation()
    }

    /// Returns when the value has changed since the last call, or was withdrawn. `false` once there will be no
    /// other.
    pub async fn changed(&mut self) -> bool {
        self.reader.changed().await
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
    writer: Writer<Grant>,
}

impl Publisher {
    /// A credential without a value yet.
    pub fn new(slot: SlotId) -> Self {
        Self { slot, writer: Writer::empty() }
    }

    /// From now on this is the value.
    pub fn publish(&self, generation: u32, grant: Arc<Grant>) {
        self.writer.publish(generation, grant);
    }

    /// There is no value any more.
    pub fn withdraw(&self) {
        self.writer.withdraw();
    }

    /// A reader's half.
    pub fn credential(&self) -> Credential {
        Credential { slot: self.slot, reader: self.writer.reader() }
    }

    /// Whether there is a value.
    pub fn is_live(&self) -> bool {
        self.writer.is_live()
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

    fn seen(credential: &mut Credential) -> Option<String> {
        Some(credential.current()?.fields.field("value")?.expose().to_owned())
    }

    #[test]
    fn a_held_value_stays_while_another_is_published() {
        let publisher = Publisher::new(SlotId(1));
        let mut credential = publisher.credential();
        assert_eq!((seen(&mut credential), credential.generation()), (None, 0));
        publisher.publish(1, grant("one"));
        let held = credential.hold().unwrap();
        publisher.publish(2, grant("two"));
        assert_eq!((seen(&mut credential).as_deref(), credential.generation()), (Some("two"), 2));
        assert_eq!(held.fields.field("value").unwrap().expose(), "one");
        publisher.withdraw();
        assert_eq!(seen(&mut credential), None);
    }

    #[test]
    fn a_handle_keeps_what_it_gave_last_and_nothing_else() {
        let publisher = Publisher::new(SlotId(1));
        let (first, second) = (grant("one"), grant("two"));
        let holders = || (Arc::strong_count(&first), Arc::strong_count(&second));
        publisher.publish(1, Arc::clone(&first));
        let mut credential = publisher.credential();
        assert_eq!(holders(), (2, 1), "a handle that was not asked keeps nothing");
        credential.current();
        publisher.publish(2, Arc::clone(&second));
        assert_eq!(holders(), (2, 2), "the first is kept by the handle alone");
        credential.current();
        assert_eq!(holders(), (1, 3), "and let go when the handle is asked again");
    }

    #[test]
    fn debug_shows_no_value() {
        let publisher = Publisher::new(SlotId(1));
        publisher.publish(1, grant("canary"));
        assert!(!format!("{:?} {publisher:?}", publisher.credential()).contains("canary"));
    }
}

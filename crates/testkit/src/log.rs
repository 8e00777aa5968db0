//! What a program tells of itself: every event of `tracing`, and the fields of its spans, a line each.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A subscriber that keeps lines: `WARN alerts message=.. credential="db"`. Cheap to clone; all clones keep the same.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    /// All of it.
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// The lines with this in them.
    pub fn lines(&self, part: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(part)).map(ToOwned::to_owned).collect()
    }

    /// The events of one target, without their level and target.
    pub fn of_target(&self, target: &str) -> Vec<String> {
        let text = self.text();
        let events =
            text.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix(target)?.strip_prefix(' '));
        events.map(ToOwned::to_owned).collect()
    }

    fn line(&self, metadata: &Metadata<'_>, fields: impl FnOnce(&mut Fields)) {
        let mut line = Fields(format!("{} {}", metadata.level(), metadata.target()));
        fields(&mut line);
        writeln!(self.0.lock().unwrap(), "{}", line.0.replace('\n', " ")).unwrap();
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        self.line(event.metadata(), |line| event.record(line));
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.line(attributes.metadata(), |line| attributes.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

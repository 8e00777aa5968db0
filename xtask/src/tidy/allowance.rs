//! The short list of what may be longer than the house allows.

use super::Finding;
use crate::step::Outcome;
use leasehold_testkit::workspace;
use std::fs;

const LIST: &str = "xtask/tidy-allow.txt";

/// The lines of the list, and which of them were needed.
pub(super) struct Allowance {
    lines: Vec<Line>,
}

struct Line {
    number: usize,
    name: String,
    has_reason: bool,
    used: bool,
}

impl Allowance {
    pub(super) fn read() -> Outcome<Self> {
        let text = fs::read_to_string(workspace().join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let kept = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let lines = kept.map(|(index, line)| {
            let (name, reason) = line.split_once(' ').unwrap_or((line, ""));
            Line {
                number: index + 1,
                name: name.to_owned(),
                has_reason: !reason.trim().is_empty(),
                used: false,
            }
        });
        Self { lines: lines.collect() }
    }

    /// Whether that file or function stands in the list with a reason.
    pub(super) fn permits(&mut self, name: &str) -> bool {
        let line = self.lines.iter_mut().find(|line| line.name == name && line.has_reason);
        line.map(|line| line.used = true).is_some()
    }

    /// Lines that permitted nothing.
    pub(super) fn unused(self) -> impl Iterator<Item = Finding> {
        let idle = self.lines.into_iter().filter(|line| !line.used);
        idle.map(|line| {
            let why = if line.has_reason { "nothing here is too long" } else { "a reason is missing" };
            Finding { path: LIST.to_owned(), line: line.number, text: format!("{}: {why}", line.name) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_permits_what_it_names_and_idle_ones_are_found() {
        let mut list = Allowance::parse("# why\n\na.rs:main one table\nb.rs\nc.rs no longer so\n");
        assert!(list.permits("a.rs:main"));
        assert!(!list.permits("a.rs") && !list.permits("b.rs"));
        let idle: Vec<String> = list.unused().map(|finding| finding.to_string()).collect();
        assert_eq!(
            idle,
            [
                "xtask/tidy-allow.txt:4: b.rs: a reason is missing",
                "xtask/tidy-allow.txt:5: c.rs: nothing here is too long"
            ]
        );
    }
}

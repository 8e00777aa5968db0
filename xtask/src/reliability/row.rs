//! One row of the page: a fault or a campaign, and what was measured of it.

use crate::step::Outcome;
use leasehold_testkit::workspace;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What the page tells of a row beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// `6` of a fault, `orphans` of a campaign.
    pub(super) name: &'static str,
    pub(super) fault: &'static str,
    pub(super) bound: &'static str,
    /// What `bao agent` or `bao proxy` does in its place.
    pub(super) agent: &'static str,
}

/// Measured lines by the keys that they were recorded under.
pub(super) type Figures = BTreeMap<String, String>;

/// Where the trials put their lines.
pub(super) fn folder() -> PathBuf {
    workspace().join("target/reliability")
}

/// The rows of a table as it stands in its file.
pub(super) fn rows(table: &'static str) -> Outcome<Vec<Row>> {
    table.lines().map(row).collect()
}

fn row(line: &'static str) -> Outcome<Row> {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    match cells[..] {
        [name, fault, bound, agent] => Ok(Row { name, fault, bound, agent }),
        _ => Err(format!("a row has four cells: {line}")),
    }
}

/// All that was recorded.
pub(super) fn figures() -> Outcome<Figures> {
    let folder = folder();
    let unreadable = |error| format!("{}: {error}", folder.display());
    let mut figures = Figures::new();
    for file in folder.read_dir().map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        figures.insert(key, fs::read_to_string(&path).map_err(unreadable)?.trim().to_owned());
    }
    Ok(figures)
}

impl Row {
    /// The row's lines of those that were recorded; taken away from them.
    pub(super) fn take(&self, figures: &mut Figures) -> Outcome<Vec<String>> {
        let (mine, others) = std::mem::take(figures).into_iter().partition(|(key, _)| self.owns(key));
        *figures = others;
        let mine: Figures = mine;
        match mine.is_empty() {
            true => Err(format!("`{}` has no figure: {}", self.name, self.source())),
            false => Ok(mine.into_values().collect()),
        }
    }

    /// A row's keys are its name, in two digits if it is a number, alone or with a letter or `-WORD` behind it.
    fn owns(&self, key: &str) -> bool {
        let rest = key.strip_prefix(&format!("{:0>2}", self.name));
        rest.is_some_and(|rest| {
            rest.len() < 2 && rest.bytes().all(|b| b.is_ascii_lowercase()) || rest.starts_with('-')
        })
    }

    fn source(&self) -> String {
        match self.name {
            "fuzz" | "mutants" => format!("run `cargo xtask {}`", self.name),
            _ => "no trial recorded one".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_four_cells() {
        let expect = Row { name: "6", fault: "a hang", bound: "none waits", agent: "" };
        assert_eq!(row("| 6 | a hang | none waits | |"), Ok(expect));
        assert!(row("| 6 | a hang | none waits |").unwrap_err().contains("four cells"));
    }

    #[test]
    fn keys_are_of_one_row() {
        let check = |name, key: &str, expect: bool| {
            assert_eq!(Row { name, fault: "", bound: "", agent: "" }.owns(key), expect, "{name} {key}");
        };
        check("6", "06", true);
        check("6", "06b", true);
        check("6", "06-cluster", true);
        check("6", "6", false);
        check("6", "065", false);
        check("1", "15", false);
        check("15", "15", true);
        check("lost", "lost", true);
        check("lost", "lost-logins", true);
        check("lost", "lostandfound", false);
    }

    #[test]
    fn a_row_takes_its_own_lines_and_needs_one() {
        let row = |name| Row { name, fault: "", bound: "", agent: "" };
        let mut figures: Figures =
            [("06", "b"), ("06b", "a"), ("07", "c")].map(|(key, line)| (key.into(), line.into())).into();
        assert_eq!(row("6").take(&mut figures), Ok(vec!["b".to_owned(), "a".to_owned()]));
        assert!(row("6").take(&mut figures).unwrap_err().contains("`6` has no figure"));
        assert!(row("fuzz").take(&mut figures).unwrap_err().contains("cargo xtask fuzz"));
        assert_eq!(figures.len(), 1);
    }
}

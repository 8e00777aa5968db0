//! The pages that we write: tables, and the files.

use crate::step::{Outcome, say};
use leasehold_testkit::workspace;
use std::fs;

/// How the columns after the first stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Columns {
    /// To the right.
    Figures,
    /// To the left, as the first.
    Words,
}

/// A table.
pub(crate) fn table(columns: Columns, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule = if columns == Columns::Figures { "---:|" } else { "---|" };
    let rule = format!("|---|{}\n", rule.repeat(head.len().saturating_sub(1)));
    line(&head) + &rule + &rows.into_iter().map(|row| line(&row)).collect::<String>()
}

/// Writes a file of the repository.
pub(crate) fn write(path: &str, text: &str) -> Outcome {
    say(&format!("writing {path}"));
    fs::write(workspace().join(path), text).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_rule_below_its_head() {
        let check = |columns, rule: &str| {
            let rows = [vec!["a".to_owned(), "1".to_owned()]];
            let expect = format!("| name | value |\n{rule}\n| a | 1 |\n");
            assert_eq!(table(columns, &["name", "value"], rows), expect);
        };
        check(Columns::Figures, "|---|---:|");
        check(Columns::Words, "|---|---|");
    }
}

//! What the benchmarks inside the crates print: `name value unit` a line.

use crate::step::{Outcome, cargo, output, say};
use std::collections::BTreeMap;

/// Values by their names.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<String, f64>);

/// Each benchmark, by package and name.
const BENCHES: [[&str; 2]; 3] =
    [["leasehold-core", "ledger"], ["leasehold", "current"], ["leasehold", "signing"]];

impl Figures {
    /// Builds all benchmarks before it runs the first, so that no compiler runs beside one.
    pub(super) fn measure() -> Outcome<Self> {
        let mut figures = Self::default();
        for build in [true, false] {
            for [package, bench] in BENCHES {
                say(&format!(
                    "{} the benchmark `{bench}` of {package}",
                    if build { "building" } else { "running" }
                ));
                let mut command = cargo(["bench", "--quiet", "--package", package, "--bench", bench]);
                figures.read(&output(command.args(build.then_some("--no-run")))?);
            }
        }
        Ok(figures)
    }

    /// The value of that name.
    pub(super) fn value(&self, name: &str) -> Outcome<f64> {
        self.0.get(name).copied().ok_or_else(|| format!("no benchmark printed `{name}`"))
    }

    fn read(&mut self, text: &str) {
        for line in text.lines() {
            if let [name, value, _unit] = line.split(' ').collect::<Vec<_>>()[..]
                && let Ok(value) = value.parse()
            {
                self.0.insert(name.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_three_words_are_figures() {
        let mut figures = Figures::default();
        figures.read("due_slot 420 ns\n\nmeasured with care\nhold_paced 1.5 ns\n");
        assert_eq!(figures.value("due_slot"), Ok(420.0));
        assert_eq!(figures.value("hold_paced"), Ok(1.5));
        assert!(figures.value("due").unwrap_err().contains("`due`"));
    }
}

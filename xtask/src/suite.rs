//! Every test, with the real servers that it needs; the long ones in a full run.

use crate::step::{Outcome, cargo, run, say};
use crate::tools;

/// What is to be run.
#[derive(Debug, Default, PartialEq)]
struct Plan<'a> {
    full: bool,
    filter: Option<&'a str>,
}

/// Gets what is missing, builds the binary and runs the tests: `[--full] [FILTER]`.
pub(crate) fn test(words: &[&str]) -> Outcome {
    let plan = plan(words)?;
    let server = tools::server()?;
    tools::packages()?;
    say(&format!("server: {}", server.display()));
    for round in plan.rounds() {
        run(cargo(["build", "--package", "leasehold-cli"]).args(round.features))?;
        let mut tests = cargo(["test", "--workspace", "--no-fail-fast"]);
        tests.args(round.features).args(plan.filter).args(round.after());
        run(tests.env("LEASEHOLD_SERVER_BIN", &server))?;
    }
    Ok(())
}

/// One run of the tests.
#[derive(Debug, PartialEq)]
struct Round {
    features: &'static [&'static str],
    has_long: bool,
}

impl Plan<'_> {
    /// Long tests run once in a full run, and if the filter names one.
    fn rounds(&self) -> Vec<Round> {
        let is_named = self.filter.is_some_and(|filter| filter.contains("long_"));
        let first = Round { features: &[], has_long: self.full || is_named };
        let second = self.full.then_some(Round { features: &["--all-features"], has_long: false });
        std::iter::once(first).chain(second).collect()
    }
}

impl Round {
    /// What the tests themselves are told. A long one has a name that begins with `long_`.
    fn after(&self) -> &'static [&'static str] {
        if self.has_long { &[] } else { &["--", "--skip", "long_"] }
    }
}

fn plan<'a>(words: &[&'a str]) -> Outcome<Plan<'a>> {
    let mut plan = Plan::default();
    for word in words {
        match *word {
            "--full" => plan.full = true,
            flag if flag.starts_with('-') => {
                return Err(format!("`test` knows no {flag}: see `cargo xtask help`"));
            }
            filter if plan.filter.is_none() => plan.filter = Some(filter),
            second => return Err(format!("`test` takes one filter, and {second} is a second")),
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_a_plan() {
        let check =
            |words: &[&str], full, filter| assert_eq!(plan(words), Ok(Plan { full, filter }), "{words:?}");
        check(&[], false, None);
        check(&["--full"], true, None);
        check(&["rotation"], false, Some("rotation"));
        check(&["rotation", "--full"], true, Some("rotation"));
        let check_error = |words: &[&str], expect: &str| {
            let error = plan(words).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check_error(&["--fast"], "knows no --fast");
        check_error(&["a", "b"], "b is a second");
    }

    #[test]
    fn tests_of_length_run_once_and_when_they_are_named() {
        let check = |words: &[&str], expect: &[bool]| {
            let rounds = plan(words).unwrap().rounds();
            let skips = rounds.iter().map(|round| !round.after().is_empty()).collect::<Vec<_>>();
            assert_eq!(skips, expect, "{words:?}");
        };
        check(&[], &[true]);
        check(&["row_05"], &[true]);
        check(&["long_row_05"], &[false]);
        check(&["--full"], &[false, true]);
    }
}

//! Every test, with the real servers that it needs.

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
    for features in rounds(&plan) {
        run(cargo(["build", "--package", "leasehold-cli"]).args(*features))?;
        let mut tests = cargo(["test", "--workspace", "--no-fail-fast"]);
        run(tests.args(*features).args(plan.filter).env("LEASEHOLD_SERVER_BIN", &server))?;
    }
    Ok(())
}

/// The features of each round.
fn rounds(plan: &Plan<'_>) -> &'static [&'static [&'static str]] {
    if plan.full { &[&[], &["--all-features"]] } else { &[&[]] }
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
}

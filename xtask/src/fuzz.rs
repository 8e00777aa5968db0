//! Fuzzes what comes from outside: the programs of `fuzz/`, one after the other.

use crate::step::{Outcome, run, say};
use crate::surroundings::commit;
use crate::tools;
use leasehold_testkit::{record, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The targets, and the longest input of each in bytes.
const TARGETS: [(&str, u32); 8] = [
    ("reply", 4_096),
    ("failure", 4_096),
    ("journal", 4_096),
    ("config", 2_048),
    ("names", 512),
    ("ledger", 128),
    ("workstation", 2_048),
    ("signing", 1_024),
];

/// How long each target runs in CI, in seconds.
const SMOKE: u32 = 20;
/// From this many seconds on a run counts as one that tells something.
const TELLING: u32 = 600;

/// What is to be run.
#[derive(Debug, PartialEq)]
struct Plan<'a> {
    seconds: u32,
    target: Option<&'a str>,
}

/// Builds all targets, and runs each until its time is over or something is found: `[--seconds N] [TARGET]`.
pub(crate) fn fuzz(words: &[&str]) -> Outcome {
    let plan = plan(words)?;
    let program = tools::cargo_fuzz()?;
    say("building what is fuzzed");
    run(&mut cargo_fuzz(&program, "build"))?;
    for (target, longest) in TARGETS.iter().filter(|(name, _)| plan.target.is_none_or(|only| only == *name)) {
        let told = one(&program, target, *longest, plan.seconds)?;
        say(&told);
        if plan.seconds >= TELLING {
            record(&format!("fuzz-{target}"), &format!("{told}, at {}", commit()?));
        }
    }
    Ok(())
}

/// Runs one target. What it finds is kept in `target/fuzz/found/`, what it learns in `target/fuzz/corpus/`. A commit is not
/// to fail by chance: a short run takes the same way each time, and begins with the seeds alone.
fn one(program: &Path, target: &str, longest: u32, seconds: u32) -> Outcome<String> {
    say(&format!("fuzzing {target} for {seconds} s"));
    let folder = workspace().join("target/fuzz");
    let is_short = seconds < TELLING;
    let corpus = folder.join(if is_short { "smoke" } else { "corpus" }).join(target);
    let found = folder.join("found");
    let log = folder.join(format!("{target}.log"));
    let unwritable = |error| format!("{}: {error}", folder.display());
    if is_short && corpus.exists() {
        fs::remove_dir_all(&corpus).map_err(unwritable)?;
    }
    [&corpus, &found].into_iter().try_for_each(fs::create_dir_all).map_err(unwritable)?;
    let mut command = cargo_fuzz(program, "run");
    command.arg(target).arg(&corpus).arg(workspace().join("fuzz/seeds").join(target));
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={longest}"));
    command.args(["-rss_limit_mb=1024", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/{target}-", found.display()));
    // The machine of a short run may be a slow one.
    command.args(if is_short { &["-seed=1", "-timeout=120"][..] } else { &["-timeout=20"] });
    let status = run(command.stderr(fs::File::create(&log).map_err(unwritable)?));
    let text = String::from_utf8_lossy(&fs::read(&log).map_err(unwritable)?).into_owned();
    status.map_err(|_| finding(target, &log, &text))?;
    told(target, seconds, &text).ok_or_else(|| format!("{target} told no figures: see {}", log.display()))
}

fn cargo_fuzz(program: &Path, verb: &str) -> Command {
    let mut command = Command::new(program);
    // There is no unsafe code of ours for a sanitizer to watch, and without one the stable compiler will do.
    command.arg(verb).args(["--sanitizer=none", "--codegen-units=16", "--target-dir"]);
    command.arg(workspace().join("target/fuzz/build")).current_dir(workspace());
    // The flags are cargo-fuzz's own business.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    command
}

/// What a reader needs of a finding: what broke, and where the input is.
fn finding(target: &str, log: &Path, text: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.contains("panicked at")).take(4);
    let input =
        text.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("", |(_, path)| path);
    let lines: String = lines.map(|line| format!("\n  {line}")).collect();
    format!("{target} found something{lines}\n  input: {input}\n  all: {}", log.display())
}

/// The figures that libFuzzer prints at its end, as a sentence.
fn told(target: &str, seconds: u32, text: &str) -> Option<String> {
    let after = |mark: &str| {
        let (_, rest) = text.rsplit_once(mark)?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (runs, edges) = (after("stat::number_of_executed_units:")?, after("cov:")?);
    Some(format!("`{target}`: {runs} executions in {seconds} s, {edges} edges, nothing found"))
}

fn plan<'a>(words: &[&'a str]) -> Outcome<Plan<'a>> {
    let (seconds, rest) = match words {
        ["--seconds", number, rest @ ..] => {
            let seconds = number.parse().ok().filter(|seconds| *seconds > 0);
            (seconds.ok_or_else(|| format!("--seconds takes a number from 1 on, and not {number}"))?, rest)
        }
        rest => (SMOKE, rest),
    };
    match rest {
        [] => Ok(Plan { seconds, target: None }),
        [name] if TARGETS.iter().any(|(known, _)| known == name) => Ok(Plan { seconds, target: Some(name) }),
        other => Err(format!(
            "`fuzz` knows no {}: there are {}",
            other.join(" "),
            TARGETS.map(|(name, _)| name).join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_a_plan() {
        let check = |words: &[&str], seconds, target| {
            assert_eq!(plan(words), Ok(Plan { seconds, target }), "{words:?}");
        };
        check(&[], 20, None);
        check(&["--seconds", "600"], 600, None);
        check(&["reply"], 20, Some("reply"));
        check(&["--seconds", "5", "ledger"], 5, Some("ledger"));
        for words in [&["--seconds", "0"][..], &["--seconds"], &["weather"], &["reply", "ledger"]] {
            assert!(plan(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn figures_are_those_of_the_end() {
        let text = "#2 INITED cov: 5 ft: 6\n#9 DONE cov: 31 ft: 70\nstat::number_of_executed_units: 9\n";
        let expect = "`names`: 9 executions in 7 s, 31 edges, nothing found";
        assert_eq!(told("names", 7, text).as_deref(), Some(expect));
        assert_eq!(told("names", 7, "cov: x"), None);
    }

    #[test]
    fn a_finding_tells_what_broke_and_where_the_input_is() {
        let text = "#1\nthread 'x' panicked at a.rs:1:\nno\nTest unit written to /f/names-crash-1\n";
        let told = finding("names", Path::new("/f/names.log"), text);
        for expect in ["panicked at a.rs:1", "input: /f/names-crash-1", "/f/names.log"] {
            assert!(told.contains(expect), "{told}");
        }
    }

    #[test]
    fn each_target_has_its_program_and_seeds() {
        for (name, _) in TARGETS {
            let path = |part: &str| workspace().join("fuzz").join(part);
            assert!(path(&format!("targets/{name}.rs")).is_file(), "{name}");
            assert!(path(&format!("seeds/{name}")).is_dir(), "{name}");
        }
    }
}

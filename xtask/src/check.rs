//! What CI wants of each commit, one line a step, stopping at the first that fails.

use crate::step::{Outcome, cargo, output, run, say};
use crate::{tidy, tools};
use leasehold_testkit::workspace;
use std::process::Command;
use std::time::Instant;

type Step = (&'static str, fn() -> Outcome);

const STEPS: &[Step] = &[
    ("fmt", || run(&mut cargo(["fmt", "--all", "--check"]))),
    ("tidy", tidy::tidy),
    ("clippy", || {
        run(&mut cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    }),
    ("deny", deny),
    ("doc", doc),
    ("unit tests", || {
        run(&mut cargo(["test", "--quiet", "--workspace", "--lib", "--bins", "--", "--skip", "long_"]))
    }),
    ("doc tests", || run(&mut cargo(["test", "--quiet", "--workspace", "--doc"]))),
];

/// All steps in their order, and a summary.
pub(crate) fn check() -> Outcome {
    let begin = Instant::now();
    let mut times = Vec::new();
    for (name, step) in STEPS {
        say(name);
        let start = Instant::now();
        step().map_err(|error| format!("{name}: {error}"))?;
        times.push(format!("{name} {:.1} s", start.elapsed().as_secs_f32()));
        say(&format!("{name}: good, {:.1} s", start.elapsed().as_secs_f32()));
    }
    say(&format!("all good in {:.1} s: {}", begin.elapsed().as_secs_f32(), times.join(", ")));
    Ok(())
}

/// Licences, sources and banned crates; all that can be judged without the network.
pub(crate) fn deny() -> Outcome {
    say("advisories need the network and are looked at by `cargo xtask deny --advisories`");
    output(cargo_deny()?.args(["bans", "licenses", "sources"])).map(drop)
}

/// Known faults of the crates in use; fetches the advisory database.
pub(crate) fn deny_advisories() -> Outcome {
    run(cargo_deny()?.arg("advisories"))
}

fn cargo_deny() -> Outcome<Command> {
    let mut command = Command::new(tools::cargo_deny()?);
    command.args(["--workspace", "check", "--hide-inclusion-graph"]).current_dir(workspace());
    Ok(command)
}

/// The libraries' documentation, as a user gets it.
fn doc() -> Outcome {
    run(cargo(["doc", "--quiet", "--no-deps", "--workspace", "--lib"]).env("RUSTDOCFLAGS", "-D warnings"))
}

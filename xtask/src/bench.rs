//! leasehold beside the server's own tools, in one run against one server, and what its parts cost:
//! `docs/benchmarks.md` and its picture are written here.

mod probe;

mod stage;

mod contender;

mod race;

mod keys;

mod figures;

mod report;

mod plot;

mod page;

use crate::markdown::write;
use crate::step::{Outcome, cargo, line};
use crate::surroundings::Surroundings;
use crate::{surroundings, tidy, tools};
use contender::{DYNAMIC, Programs};
use figures::Figures;
use probe::Sample;
use report::Report;
use stage::Stage;
use std::fs;
use std::path::Path;
use std::process::Command;

const ROUNDS: usize = 15;

/// Measures, writes the page and the picture, and fails when a bar is missed: `[--rounds N]`.
pub(crate) fn bench(words: &[&str]) -> Outcome {
    if let ["--probe", command @ ..] = words {
        return probe::probe(command);
    }
    let report = measure(rounds(words)?)?;
    let bars = report.bars()?;
    write("docs/benchmarks.md", &page::page(&report, &bars)?)?;
    write("docs/benchmarks.svg", &plot::plot(&report))?;
    print!("{}", page::bar_table(&bars));
    match bars.iter().filter(|bar| !bar.is_met()).count() {
        0 => Ok(()),
        missed => Err(format!("{missed} of {} bars are missed", bars.len())),
    }
}

fn measure(rounds: usize) -> Outcome<Report> {
    let (leasehold, server) = (tools::leasehold()?, tools::server()?);
    tools::packages()?;
    let programs = Programs { leasehold: &leasehold, server: &server };
    let surroundings = surroundings(programs)?;
    let figures = Figures::measure()?;
    let stage = Stage::new()?;
    contender::prove(&stage, programs)?;
    Ok(Report {
        rounds,
        surroundings,
        floor: floor()?,
        with_static: race::race(Some(&stage), &contender::of_static(&stage, programs)?, rounds)?,
        with_dynamic: race::race(Some(&stage), &contender::of_dynamic(&stage, programs, DYNAMIC)?, rounds)?,
        keys: keys::measure(&leasehold, rounds)?,
        sizes: [("leasehold", megabytes(&leasehold)?), ("bao", megabytes(&server)?)],
        crates: tidy::crate_count()?,
        figures,
    })
}

/// The machine, and the programs that run on it.
fn surroundings(programs: Programs<'_>) -> Outcome<Surroundings> {
    let mut surroundings = surroundings::machine()?;
    surroundings.extend([
        ("leasehold", line(Command::new(programs.leasehold).arg("--version"))?),
        ("server, agent, `kv get`", line(Command::new(programs.server).arg("version"))?),
        ("cargo", line(&mut cargo(["--version"]))?),
    ]);
    Ok(surroundings)
}

/// The size of a file in MB.
fn megabytes(path: &Path) -> Outcome<f64> {
    let length = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    Ok(length as f64 / 1e6)
}

/// What the probe sees of a program that does nothing: the quickest of ten.
fn floor() -> Outcome<Sample> {
    let samples: Outcome<Vec<Sample>> = (0..10).map(|_| probe::sample(&Command::new("/bin/true"))).collect();
    samples?
        .into_iter()
        .min_by(|a, b| a.wall.total_cmp(&b.wall))
        .ok_or_else(|| "nothing was measured".to_owned())
}

fn rounds(words: &[&str]) -> Outcome<usize> {
    match words {
        [] => Ok(ROUNDS),
        ["--rounds", number] => match number.parse() {
            Ok(rounds) if rounds > 0 => Ok(rounds),
            _ => Err(format!("--rounds takes a number from 1 on, and not {number}")),
        },
        other => Err(format!("`bench` knows no {}: see `cargo xtask help`", other.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_the_rounds() {
        let check =
            |words: &[&str], expect: Option<usize>| assert_eq!(rounds(words).ok(), expect, "{words:?}");
        check(&[], Some(15));
        check(&["--rounds", "3"], Some(3));
        check(&["--rounds", "0"], None);
        check(&["--rounds"], None);
        check(&["--fast"], None);
    }
}

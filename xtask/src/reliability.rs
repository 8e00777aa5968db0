//! The fault matrix and the campaigns, and the page of what they measured: `docs/reliability.md`.

mod row;

use crate::markdown::{Columns, table, write};
use crate::step::{Outcome, cargo, line, run, say};
use crate::surroundings::{Surroundings, commit, machine};
use crate::tools;
use row::{Figures, Row, figures, folder, rows};
use std::fs;
use std::path::Path;
use std::process::Command;

const FAULTS: &str = include_str!("reliability/rows.md");
const CAMPAIGNS: &str = include_str!("reliability/campaigns.md");

/// The tests that record figures, as cargo is told of them.
const TRIALS: [&[&str]; 9] = [
    &["--package", "leasehold-core", "--lib", "model::"],
    &["--package", "leasehold", "--lib", "swap::"],
    &["--package", "leasehold", "--test", "real", "clocks::"],
    &["--package", "leasehold-cli", "--test", "matrix"],
    &["--package", "leasehold", "--test", "campaigns"],
    &["--package", "leasehold", "--test", "manager"],
    &["--package", "leasehold", "--test", "signing"],
    &["--package", "leasehold", "--test", "flood"],
    &["--package", "leasehold", "--test", "real", "stores::sealed::"],
];

/// What other commands record, and take too long for to be repeated here.
const KEPT: [&str; 2] = ["fuzz", "mutants"];

/// Runs all trials and writes the page; with `--page` the page alone, of what was measured last.
pub(crate) fn reliability(words: &[&str]) -> Outcome {
    let has_trials = match words {
        [] => true,
        ["--page"] => false,
        words => return Err(format!("`reliability` knows no {}: see `cargo xtask help`", words.join(" "))),
    };
    let server = tools::server()?;
    let surroundings = surroundings(&server)?;
    if has_trials {
        run_trials(&server)?;
    }
    write("docs/reliability.md", &page(figures()?, surroundings)?)
}

fn run_trials(server: &Path) -> Outcome {
    tools::packages()?;
    forget()?;
    let failed: Vec<String> = TRIALS.iter().filter_map(|tests| trial(tests, server).err()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Removes the figures of earlier runs.
fn forget() -> Outcome {
    let folder = folder();
    for file in folder.read_dir().into_iter().flatten().flatten() {
        let path = file.path();
        let name = file.file_name().to_string_lossy().into_owned();
        if !KEPT.iter().any(|kept| name.starts_with(kept)) {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn trial(tests: &[&str], server: &Path) -> Outcome {
    say(&format!("the trials of {}", tests.join(" ")));
    let mut command = cargo(["test", "--no-fail-fast"]);
    run(command.args(tests).env("LEASEHOLD_SERVER_BIN", server))
}

fn surroundings(server: &Path) -> Outcome<Surroundings> {
    let mut surroundings = machine()?;
    surroundings.extend([
        ("Commit", commit()?),
        ("Command", "`cargo xtask reliability`".to_owned()),
        ("Server", line(Command::new(server).arg("version"))?),
        ("cargo", line(&mut cargo(["--version"]))?),
    ]);
    Ok(surroundings)
}

/// The whole page; an error names each row without a figure, and each figure without a row.
fn page(mut figures: Figures, surroundings: Surroundings) -> Outcome<String> {
    let faults = measured("#", FAULTS, &mut figures);
    let campaigns = measured("campaign", CAMPAIGNS, &mut figures);
    let strays = figures.keys().map(|key| format!("`{key}` is a figure of no row"));
    let mut missing: Vec<String> = strays.collect();
    missing.extend([&faults, &campaigns].into_iter().filter_map(|part| part.as_ref().err().cloned()));
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    let surroundings = surroundings.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    Ok(format!(
        include_str!("reliability/page.md"),
        faults = faults?,
        campaigns = campaigns?,
        surroundings = table(Columns::Words, &["", ""], surroundings),
    ))
}

/// One table with what was measured for each row.
fn measured(name: &str, text: &'static str, figures: &mut Figures) -> Outcome<String> {
    let cells = |row: Row| row.take(figures).map(|lines| cells(row, &lines));
    let (lines, missing): (Vec<_>, Vec<_>) = rows(text)?.into_iter().map(cells).partition(Result::is_ok);
    let missing: Vec<String> = missing.into_iter().filter_map(Result::err).collect();
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    let head = [name, "what happens", "what must hold", "measured", "`bao agent`"];
    Ok(table(Columns::Words, &head, lines.into_iter().flatten()))
}

fn cells(row: Row, lines: &[String]) -> Vec<String> {
    // A bar in a figure would be another cell.
    let lines = lines.join("<br>").replace('|', "\\|").replace('\n', " ");
    vec![row.name.to_owned(), row.fault.to_owned(), row.bound.to_owned(), lines, row.agent.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Figures {
        let rows = [FAULTS, CAMPAIGNS].into_iter().flat_map(|text| rows(text).unwrap());
        rows.map(|row| (format!("{:0>2}", row.name), format!("{} | ms", row.name))).collect()
    }

    #[test]
    fn the_page_has_each_row_with_its_figure() {
        let page = page(all(), vec![("Date", "today".into())]).unwrap();
        assert!(page.contains("| 6 \\| ms |") && page.contains("| orphans \\| ms |"), "{page}");
        assert!(page.contains("| Date | today |") && !page.contains('{'), "{page}");
    }

    #[test]
    fn a_row_without_a_figure_and_a_figure_without_a_row_are_told() {
        let mut figures = all();
        figures.remove("06");
        figures.remove("orphans");
        figures.insert("77".into(), String::new());
        let error = page(figures, Vec::new()).unwrap_err();
        for expect in ["`6` has no figure", "`orphans` has no figure", "`77` is a figure of no row"] {
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn the_rows_are_those_of_the_matrix() {
        let numbers: Vec<u32> = rows(FAULTS).unwrap().iter().map(|row| row.name.parse().unwrap()).collect();
        assert_eq!(numbers, (1..=30).chain(33..=35).collect::<Vec<u32>>());
    }
}

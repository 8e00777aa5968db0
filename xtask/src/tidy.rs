//! The rules of the house that neither rustc nor clippy nor cargo-deny knows. Each is one function.

mod allowance;
mod source;

mod modules;
mod packages;
mod style;

pub(crate) use packages::crate_count;

use crate::step::{Outcome, say};
use allowance::Allowance;
use std::fmt;

/// A rule that was broken, and where.
#[derive(Debug)]
struct Finding {
    path: String,
    line: usize,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// Crates in the default binary's tree, at most.
const CRATES: usize = 200;

/// All rules over the whole repository.
pub(crate) fn tidy() -> Outcome {
    let mut findings = of_sources()?;
    findings.extend(packages::walls(&packages::metadata()?));
    let crates = crate_count()?;
    say(&format!("{crates} crates in the tree of the binary, {CRATES} allowed"));
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 if crates > CRATES => {
            Err(format!("{crates} crates in the tree of the binary: only {CRATES} are allowed"))
        }
        0 => Ok(()),
        count => Err(format!("{count} findings")),
    }
}

/// The rules that read files.
fn of_sources() -> Outcome<Vec<Finding>> {
    let paths = source::paths()?;
    let sources = source::read(&paths)?;
    let mut allowance = Allowance::read()?;
    let mut findings = style::machine_paths(&paths);
    for source in &sources {
        findings.extend(style::head(source));
        findings.extend(style::bans(source));
        findings.extend(style::openers(source));
        findings.extend(
            style::lengths(source).into_iter().filter(|long| !allowance.permits(&long.name)).map(Into::into),
        );
    }
    for package in ["crates/core", "crates/vault", "crates/leasehold", "crates/testkit", "xtask"] {
        findings.extend(modules::order(package, &sources));
    }
    findings.extend(allowance.unused());
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let mut findings = of_sources().unwrap();
        findings.extend(packages::walls(&packages::metadata().unwrap()));
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}

//! Plants faults in the code that decides, and looks which of them the quick tests miss.

use crate::step::{Outcome, output, say};
use crate::surroundings::commit;
use crate::tools;
use leasehold_testkit::{record, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;

/// One package with the files in which faults are planted, and the tests that are to catch them.
struct Field {
    package: &'static str,
    files: &'static [&'static str],
    tests: &'static [&'static str],
}

/// The quick tests alone: no real server is started for a fault.
const FIELDS: [Field; 3] = [
    Field {
        package: "leasehold-vault",
        files: &["crates/vault/src/failure.rs", "crates/vault/src/failure/*.rs"],
        tests: &[],
    },
    Field {
        package: "leasehold",
        files: &["crates/leasehold/src/journal.rs", "crates/leasehold/src/journal/*.rs"],
        tests: &["--lib", "journal"],
    },
    Field {
        package: "leasehold-core",
        files: &[
            "crates/core/src/schedule.rs",
            "crates/core/src/slot.rs",
            "crates/core/src/ledger.rs",
            "crates/core/src/ledger/*.rs",
        ],
        // The model takes longer than all others together.
        tests: &["--tests", "--", "--skip", "long_", "--skip", "model::"],
    },
];

/// With this the model plants mistakes of its own, and nothing else does.
const LEFT_OUT: &str = "is_seeded";

/// Of a hundred faults at least so many are caught.
const CAUGHT: usize = 85;

/// Where every fault that is missed stands with the reason why it does not matter.
const LIST: &str = "docs/mutants.md";

/// What became of the faults.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    caught: usize,
    missed: Vec<String>,
}

/// Plants all faults, or those of some files, and fails when too many are missed or one that is missed is not listed:
/// `[FILE..]`.
pub(crate) fn mutants(words: &[&str]) -> Outcome {
    let program = tools::cargo_mutants()?;
    let mut tally = Tally::default();
    for field in &FIELDS {
        let files: Vec<&str> = if words.is_empty() { field.files.to_vec() } else { chosen(field, words) };
        if !files.is_empty() {
            tally.add(&plant(&program, field, &files)?)?;
        }
    }
    say(&tally.told());
    tally.judge(&fs::read_to_string(workspace().join(LIST)).unwrap_or_default())?;
    if words.is_empty() {
        record("mutants", &format!("{}, at {}", tally.told(), commit()?));
    }
    Ok(())
}

/// The files of this package among those that were named.
fn chosen<'a>(field: &Field, words: &[&'a str]) -> Vec<&'a str> {
    let folder = |path: &str| path.split("/src/").next().unwrap_or_default().to_owned();
    let is_here = |word: &&&str| field.files.iter().any(|file| folder(file) == folder(word));
    words.iter().filter(is_here).copied().collect()
}

/// Plants the faults of one package: the folder with what became of them.
fn plant(program: &Path, field: &Field, files: &[&str]) -> Outcome<std::path::PathBuf> {
    let folder = workspace().join("target/mutants").join(field.package);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    say(&format!("planting faults in {}", files.join(", ")));
    let mut command = Command::new("nice");
    command.arg(program).args([
        "mutants",
        "--jobs=2",
        "--colors=never",
        "--timeout=120",
        "--exclude-re",
        LEFT_OUT,
        "--package",
        field.package,
    ]);
    command.args(files.iter().flat_map(|file| ["--file", file])).arg("--output").arg(&folder);
    command.arg("--").args(field.tests).current_dir(workspace());
    // It fails when a fault is missed, which is judged by us, and tells a failure of its own by telling no outcome.
    let told = output(&mut command);
    let folder = folder.join("mutants.out");
    if folder.join("missed.txt").is_file() { Ok(folder) } else { told.map(|_| folder) }
}

impl Tally {
    /// Adds what stands in a folder. A fault that makes the tests hang is caught too.
    fn add(&mut self, folder: &Path) -> Outcome {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        self.caught += read("caught.txt")?.lines().count() + read("timeout.txt")?.lines().count();
        self.missed.extend(read("missed.txt")?.lines().map(placeless));
        Ok(())
    }

    fn told(&self) -> String {
        let all = self.caught + self.missed.len();
        format!("{} of {all} faults caught ({} %)", self.caught, self.caught * 100 / all.max(1))
    }

    fn judge(&self, list: &str) -> Outcome {
        if self.caught * 100 < CAUGHT * (self.caught + self.missed.len()) {
            return Err(format!("{}, and {CAUGHT} % have to be:\n{}", self.told(), self.missed.join("\n")));
        }
        let unlisted: Vec<_> = self.missed.iter().filter(|fault| !list.contains(fault.as_str())).collect();
        match unlisted[..] {
            [] => Ok(()),
            _ => Err(format!(
                "missed, and not in {LIST}:\n{}",
                unlisted.into_iter().cloned().collect::<Vec<_>>().join("\n")
            )),
        }
    }
}

/// `FILE: FAULT` of `FILE:LINE:COLUMN: FAULT`: lines move.
fn placeless(line: &str) -> String {
    let (place, fault) = line.split_once(": ").unwrap_or(("", line));
    format!("{}: {fault}", place.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_known_without_their_lines() {
        let fault = "crates/a/src/b.rs: replace f -> bool with true";
        assert_eq!(placeless("crates/a/src/b.rs:52:5: replace f -> bool with true"), fault);
    }

    #[test]
    fn files_go_to_their_package() {
        let words =
            ["crates/core/src/slot.rs", "crates/vault/src/failure.rs", "crates/core/src/ledger/debts.rs"];
        let chosen = FIELDS.each_ref().map(|field| chosen(field, &words));
        assert_eq!(chosen, [vec![words[1]], vec![], vec![words[0], words[2]]]);
    }

    #[test]
    fn too_many_are_missed_or_one_is_not_listed() {
        let check = |caught, missed: &[&str], list: &str, expect: Option<&str>| {
            let tally = Tally { caught, missed: missed.iter().map(|&fault| fault.to_owned()).collect() };
            let error = tally.judge(list).err();
            assert_eq!(error.is_none(), expect.is_none(), "{error:?}");
            assert!(expect.is_none_or(|part| error.is_some_and(|error| error.contains(part))));
        };
        check(17, &["a: x", "a: y", "a: z"], "- `a: x`\n- `a: y`\n- `a: z`", None);
        check(16, &["a: x", "a: y", "a: z"], "- `a: x`\n- `a: y`\n- `a: z`", Some("85 % have to be"));
        check(99, &["a: x"], "", Some("not in docs/mutants.md"));
        check(0, &[], "", None);
    }
}

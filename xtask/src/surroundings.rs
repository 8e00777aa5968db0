//! Where and when something was measured.

use crate::step::{Outcome, line};
use leasehold_testkit::workspace;
use std::fs;
use std::process::Command;

/// A name and a value each, as a reader wants them.
pub(crate) type Surroundings = Vec<(&'static str, String)>;

/// The day and the machine.
pub(crate) fn machine() -> Outcome<Surroundings> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let release = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    Ok(vec![
        ("Date", line(Command::new("date").args(["-u", "+%Y-%m-%d"]))?),
        ("CPU", format!("{}, {cores} cores", after(&read("/proc/cpuinfo")?, "model name"))),
        ("Memory", memory(&after(&read("/proc/meminfo")?, "MemTotal"))),
        ("Kernel", format!("Linux {}", release.trim())),
        ("System", after(&read("/etc/os-release")?, "PRETTY_NAME").trim_matches('"').to_owned()),
        ("Load before", load.split(' ').take(1).collect()),
    ])
}

/// The commit that is checked out, and whether the files are as it has them.
pub(crate) fn commit() -> Outcome<String> {
    let name = line(git().args(["rev-parse", "--short=12", "HEAD"]))?;
    let changes = line(git().args(["status", "--porcelain", "--untracked-files=no"]))?;
    // A page that this run wrote before is no change of what was measured.
    let is_changed = changes.lines().any(|change| !change.trim_end().ends_with(".md"));
    Ok(if is_changed { format!("{name}, with changes") } else { name })
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace());
    git
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// What follows a name, and a colon or an equals sign, on the first line that begins with the name.
fn after(text: &str, name: &str) -> String {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    rest.trim_start_matches([':', '=', ' ', '\t']).trim_end().to_owned()
}

/// KiB as the kernel tells them, as GiB.
fn memory(kib: &str) -> String {
    let kib: f64 = kib.trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    format!("{:.1} GiB", kib / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_values() {
        let check = |name: &str, expect: &str| {
            assert_eq!(after("processor\t: 0\nmodel name\t: A B\nID=x\nMemTotal:   5 kB\n", name), expect);
        };
        check("model name", "A B");
        check("ID", "x");
        check("MemTotal", "5 kB");
        check("none", "");
        assert_eq!(memory("2097152 kB"), "2.0 GiB");
    }
}

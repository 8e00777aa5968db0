//! Where and with what was measured.

use super::contender::Programs;
use crate::step::{Outcome, cargo, output};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine, the versions and the day, as a reader wants them: a name and a value each.
pub(super) fn surroundings(programs: Programs<'_>) -> Outcome<Vec<(&'static str, String)>> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let line = |command: &mut Command| output(command).map(|text| text.trim().to_owned());
    let release = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    Ok(vec![
        ("Date", line(Command::new("date").args(["-u", "+%Y-%m-%d"]))?),
        ("CPU", format!("{}, {cores} cores", after(&read("/proc/cpuinfo")?, "model name"))),
        ("Memory", memory(&after(&read("/proc/meminfo")?, "MemTotal"))),
        ("Kernel", format!("Linux {}", release.trim())),
        ("System", after(&read("/etc/os-release")?, "PRETTY_NAME").trim_matches('"').to_owned()),
        ("Load before", load.split(' ').take(1).collect()),
        ("leasehold", line(Command::new(programs.leasehold).arg("--version"))?),
        ("server, agent, `kv get`", line(Command::new(programs.server).arg("version"))?),
        ("cargo", line(&mut cargo(["--version"]))?),
    ])
}

/// The size of a file in MB.
pub(super) fn megabytes(path: &Path) -> Outcome<f64> {
    let length = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    Ok(length as f64 / 1e6)
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

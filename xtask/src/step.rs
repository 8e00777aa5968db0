//! One step of the work: a program that is run, and a line that says so.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// What a step gives, or one sentence on what went wrong and what to do.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Says one line of progress.
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// The cargo that runs us, at the root of the workspace.
pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(leasehold_testkit::workspace());
    command
}

/// Runs a program in front of the reader; a failure names it.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.stdin(Stdio::null()).status().map_err(|error| unstarted(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", spelled(command))) }
}

/// Runs a program in silence: what it printed. A failure has what it complained of.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| unstarted(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` failed: {}\n{}", spelled(command), output.status, complaint.trim()))
}

/// Runs a program in silence: what it printed, without white space around it.
pub(crate) fn line(command: &mut Command) -> Outcome<String> {
    output(command).map(|text| text.trim().to_owned())
}

fn unstarted(command: &Command, error: &std::io::Error) -> String {
    format!("`{}` did not start: {error}", spelled(command))
}

/// Program and arguments as one line.
fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

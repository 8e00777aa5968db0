//! The launcher: this program, called once more, that turns into the child.
//!
//! Between fork and exec only unsafe code could run. So the fork execs this program with [`LAUNCH`] as its first
//! argument; it asks for the parent-death signal, waits for the terminal, and execs the command.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::unistd::{Pid, getppid};

use super::{Plan, Terminal};

/// The first argument by which the program knows that it is to launch.
pub const LAUNCH: &str = "__launch";
/// The second argument of a launcher that waits, stopped, for the terminal.
const GATED: &str = "gated";

/// Starts the launcher. It is this very program, whatever has become of its file.
#[expect(clippy::disallowed_methods, reason = "this is the one file that starts processes")]
pub(super) fn spawn(plan: &Plan, terminal: &Terminal) -> io::Result<Pid> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("leasehold").arg(LAUNCH).arg(if terminal.is_handed_over() { GATED } else { "open" });
    command.arg((plan.stop_signal as i32).to_string()).arg(std::process::id().to_string());
    command
        .arg(plan.core_limit.to_string())
        .arg(&plan.program)
        .args(&plan.arguments)
        .env_clear()
        .envs(plan.environment.iter().map(|(name, value)| (name, value)));
    if !terminal.is_shared() {
        command.process_group(0);
    }
    let child = command.spawn()?;
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// What the launcher does: turns into the command, and returns only the error if it cannot. The arguments are those
/// after [`LAUNCH`].
pub fn launch(arguments: impl IntoIterator<Item = OsString>) -> io::Error {
    match become_child(arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one file that starts processes")]
fn become_child(arguments: impl IntoIterator<Item = OsString>) -> io::Result<std::convert::Infallible> {
    let mut arguments = arguments.into_iter();
    let missing = || io::Error::from(io::ErrorKind::InvalidInput);
    let gate = arguments.next().ok_or_else(missing)?;
    let signal = number::<i32>(arguments.next())?;
    let parent = number(arguments.next())?;
    allow_core(number(arguments.next())?)?;
    let program = arguments.next().ok_or_else(missing)?;
    die_with_parent(Signal::try_from(signal)?, Pid::from_raw(parent))?;
    if gate == OsStr::new(GATED) {
        raise(Signal::SIGSTOP)?;
    }
    // What we block is our own affair; what our caller blocks stays blocked.
    SigSet::from(Signal::SIGTTOU).thread_unblock()?;
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Err(command.args(arguments).exec())
}

fn number<N: FromStr>(argument: Option<OsString>) -> io::Result<N> {
    let text = argument.and_then(|argument| argument.into_string().ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Sets the limit of core files as it was before this program lowered its own.
fn allow_core(limit: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, limit.min(hard), hard)?)
}

/// Asks for a signal when the parent dies. If it has died already, nobody wants this process.
#[cfg(target_os = "linux")]
fn die_with_parent(signal: Signal, parent: Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(signal)?;
    match getppid() == parent {
        true => Ok(()),
        false => Err(io::Error::other("leasehold has died")),
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: Signal, _: Pid) -> io::Result<()> {
    Ok(())
}

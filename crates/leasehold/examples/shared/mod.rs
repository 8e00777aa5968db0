//! What each example has of a service's frame: a log, an end in good order, errors in words, and a folder for its state.
#![allow(dead_code, reason = "each example has its part of it")]
#![allow(clippy::print_stderr, reason = "an example tells what it does")]
#![allow(clippy::disallowed_methods, reason = "a service reads its own environment")]

use std::path::PathBuf;
use std::process::ExitCode;

use leasehold::core::Failure;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) type Fault = Box<dyn std::error::Error>;

/// Logs to standard error from level `info` on: the lines with the target `audit` are among it.
pub(crate) fn log() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
}

/// How the program ends: what went wrong is told in words, with what can be done about it.
pub(crate) fn end(result: Result<(), Fault>) -> ExitCode {
    let Err(fault) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {fault}");
    if let Some(hint) = fault.downcast_ref::<Failure>().and_then(Failure::advice) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

/// Returns when the service is asked to stop: by SIGTERM, or by Ctrl-C. What it holds is given back then, and not left
/// to the next start.
pub(crate) async fn asked_to_stop() -> Result<(), Fault> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        asked = tokio::signal::ctrl_c() => Ok(asked?),
    }
}

/// A folder of this service alone, which is there after a restart too: what a run that was killed has left at the server
/// is noted there.
pub(crate) fn state_dir(service: &str) -> Result<PathBuf, Fault> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let below_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    Ok(state.or_else(below_home).ok_or("neither XDG_STATE_HOME nor HOME is set")?.join(service))
}

//! The server's program: started in a folder of its own, with nothing of the caller's around it.

use crate::process::{self, End, Process};
use crate::tools::server_binary;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

/// How often a start is tried, which on a busy machine may take too long.
const ATTEMPTS: usize = 5;

/// Starts `bao server ARGUMENTS` with an empty environment, so that no `VAULT_*` or `BAO_*` of the caller steers it,
/// and with a home of its own, so that nothing is written to the caller's. What it says goes to `log` there.
pub(crate) fn serve(folder: &Path, arguments: &[String]) -> Result<Process, String> {
    let text = |error: std::io::Error| error.to_string();
    let log = File::options().create(true).append(true).open(folder.join("log")).map_err(text)?;
    let mut command = process::command(&server_binary()?, End::Kill, None);
    command.arg("server").args(arguments);
    // Nodes of a cluster vote at once, and not only once they have been stable for ten seconds.
    command.env_clear().env("BAO_RAFT_AUTOPILOT_DISABLE", "true").env("VAULT_RAFT_AUTOPILOT_DISABLE", "true");
    command.env("HOME", folder).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
    Process::start(command, End::Kill).map_err(text)
}

/// Tries until it works. Panics with what went wrong the last time.
pub(crate) fn persist<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut failure = String::new();
    for _ in 0..ATTEMPTS {
        match attempt() {
            Ok(done) => return done,
            Err(error) => failure = error,
        }
    }
    panic!("{what} did not start in {ATTEMPTS} attempts: {failure}");
}

/// All that a server in this folder wrote so far.
pub(crate) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The failure with the end of the log, without the lines that hold the server's secrets.
pub(crate) fn told(failure: impl std::fmt::Display, folder: &Path) -> String {
    format!("{failure}; its last words:\n{}", last_lines(&log(folder)))
}

fn last_lines(log: &str) -> String {
    let kept: Vec<&str> =
        log.lines().filter(|line| !line.contains("Token:") && !line.contains("Key:")).collect();
    kept[kept.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_log_holds_no_secret() {
        let log = "started\n\nUnseal Key: abc=\nRoot Token: canary\nbind: address already in use\n";
        assert_eq!(last_lines(log), "started\n\nbind: address already in use");
    }
}

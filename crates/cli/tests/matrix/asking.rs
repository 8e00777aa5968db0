//! One short `leasehold`, and what came of it.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::stage::Home;

/// The reference that every stage has.
pub(crate) const SECRET: &str = "vault://secret/db#password";

/// What a short `leasehold` did.
#[derive(Debug)]
pub(crate) struct Told {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    /// What it said on standard error.
    pub(crate) said: String,
    pub(crate) took: Duration,
}

/// Runs `leasehold WORDS` to its end.
pub(crate) fn ask(home: &Home, words: &[&str]) -> Told {
    ask_with(home, words, |_| {})
}

/// The same, in an environment that is changed first.
pub(crate) fn ask_with(home: &Home, words: &[&str], change: impl FnOnce(&mut Command)) -> Told {
    let mut command = home.command(&[&["leasehold"], words].concat());
    change(&mut command);
    let begun = Instant::now();
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Told {
        code: output.status.code(),
        out: text(&output.stdout),
        said: text(&output.stderr),
        took: begun.elapsed(),
    }
}

//! An example as a running program, and what it told.

use std::env::current_exe;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::asked::PATIENCE;

/// Ends with its value.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    pub(crate) told: String,
}

impl Program {
    /// Starts it with these words, and these variables alone. What it writes is below `folder`.
    pub(crate) fn start(
        name: &'static str,
        words: &[&str],
        variables: &[(&str, &str)],
        folder: &Path,
    ) -> Self {
        let mut command = Command::new(path(name));
        command.args(words).env_clear().envs(variables.iter().copied()).env("XDG_STATE_HOME", folder);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (telling, lines) = channel();
        let told = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || told.lines().map_while(Result::ok).try_for_each(|line| telling.send(line)));
        Self { name, child, lines, told: String::new() }
    }

    /// Waits until it tells a line that holds this, and says what follows it in the line.
    pub(crate) fn tells(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{}: no `{part}` in:\n{}", self.name, self.told));
            self.told += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once(part) {
                return rest.to_owned();
            }
        }
    }

    /// `HOST:PORT`, once it listens.
    pub(crate) fn address(&mut self) -> String {
        self.tells("at http://").split('/').next().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it ends well, and says all that it told.
    pub(crate) fn ends_well(self) -> String {
        self.ends(true)
    }

    /// The same of one that does not end well.
    pub(crate) fn fails(self) -> String {
        self.ends(false)
    }

    fn ends(mut self, well: bool) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.told += &format!("{line}\n");
        }
        let status = leasehold_testkit::wait_for(PATIENCE, || self.child.try_wait().unwrap());
        assert!(
            status.is_some_and(|status| status.success() == well),
            "{}: {status:?}: {}",
            self.name,
            self.told
        );
        std::mem::take(&mut self.told)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts it when it builds all targets.
fn path(name: &str) -> PathBuf {
    let tests = current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "`cargo build -p leasehold --examples` builds {}", path.display());
    path
}

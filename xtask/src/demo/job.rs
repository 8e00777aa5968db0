//! A job as a process of its own: `leasehold run`, and what its child says.

use super::page::Page;
use crate::step::Outcome;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const APP: &str = include_str!("app.sh");

/// Where the job finds its things.
pub(super) struct Place {
    folder: PathBuf,
    salt: String,
}

/// The running `leasehold run`. Killed when dropped before its end.
pub(super) struct Job {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Place {
    /// A new folder with the program of the demo in it.
    pub(super) fn new(folder: &Path) -> Outcome<Self> {
        fs::create_dir(folder).map_err(|error| error.to_string())?;
        fs::write(folder.join("app.sh"), APP).map_err(|error| error.to_string())?;
        Ok(Self { folder: folder.to_owned(), salt: leasehold_testkit::random_hex() })
    }

    /// The path of a file here.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// `leasehold` with these arguments, at home here: nothing is read from the reader's home, or written to it.
    pub(super) fn command(&self, leasehold: &Path, words: &[String]) -> Command {
        let mut command = Command::new(leasehold);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null());
        let foreign = |name: &str| {
            ["VAULT_", "BAO_", "LEASEHOLD_", "DBUS_", "XDG_"].iter().any(|begin| name.starts_with(begin))
        };
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
            command.env_remove(name);
        }
        command.env("HOME", &self.folder).env("DEMO_SALT", &self.salt);
        command
    }

    /// Starts `leasehold run`.
    pub(super) fn start(
        &self,
        leasehold: &Path,
        words: &[String],
        variables: &[(&str, &str)],
    ) -> Outcome<Job> {
        let mut command = self.command(leasehold, words);
        command.envs(variables.iter().copied()).stdout(Stdio::piped());
        let mut process =
            command.spawn().map_err(|error| format!("{} did not start: {error}", leasehold.display()))?;
        let stdout = process.stdout.take().ok_or("the job has no standard output")?;
        Ok(Job { process, lines: BufReader::new(stdout).lines() })
    }

    /// What the program would print as the digest of `secret`.
    pub(super) fn digest(&self, secret: &str) -> Outcome<String> {
        use std::io::Write;
        let mut shell = Command::new("sh");
        shell.args(["app.sh", "--digest"]).current_dir(&self.folder).env("DEMO_SALT", &self.salt);
        let spawned = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.map_err(|error| error.to_string())?;
        let written = process.stdin.take().map(|mut stdin| stdin.write_all(secret.as_bytes()));
        let output = process.wait_with_output().map_err(|error| error.to_string())?;
        match written {
            Some(Ok(())) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            _ => Err("`sh app.sh --digest` failed".to_owned()),
        }
    }
}

impl Job {
    /// The next line that the child prints; none at its end.
    fn line(&mut self) -> Option<String> {
        self.lines.next()?.ok()
    }

    /// Passes on the child's next line and compares it with what the child was to have.
    pub(super) fn expect(&mut self, page: &Page, place: &Place, secret: &str, proof: &str) -> Outcome {
        let line = self.line().ok_or("the child ended too early; what leasehold said is above")?;
        page.note(&format!("child: {line}"));
        let expected = format!("{} characters, digest {}", secret.len(), place.digest(secret)?);
        if !line.ends_with(&expected) {
            return Err(format!("the child was to have {expected}"));
        }
        page.proof(proof);
        Ok(())
    }

    /// Passes on what the child still says, and waits for its end.
    pub(super) fn end(&mut self, page: &Page) -> Outcome {
        while let Some(line) = self.line() {
            page.note(&format!("child: {line}"));
        }
        let status = self.process.wait().map_err(|error| error.to_string())?;
        page.command("echo $?");
        page.note(&status.code().map_or_else(|| status.to_string(), |code| code.to_string()));
        if status.success() { Ok(()) } else { Err(format!("the job failed: {status}")) }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command as it would be typed, with quotes where the shell needs them.
pub(super) fn typed(words: &[String]) -> String {
    let is_plain = |word: &str| !word.contains(|sign: char| "#$&*;<>?| '\"".contains(sign));
    let quoted = words.iter().map(|word| if is_plain(word) { word.clone() } else { format!("'{word}'") });
    format!("leasehold {}", quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_where_the_shell_needs_it() {
        let check = |words: &[&str], expect: &str| {
            let owned: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(typed(&owned), expect);
        };
        check(&["run", "--", "sh"], "leasehold run -- sh");
        check(&["--env", "A=vault://secret/db#password"], "leasehold --env 'A=vault://secret/db#password'");
    }
}

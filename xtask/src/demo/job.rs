//! The main job as a process of its own: `leasehold run`, and what its child says.

use crate::step::Outcome;
use leasehold_testkit::{AppRole, Server};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

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
    /// A folder below the server's, with the program of the demo in it.
    pub(super) fn new(server: &Server) -> Outcome<Self> {
        let folder = server.folder().join("demo");
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        fs::write(folder.join("app.sh"), APP).map_err(|error| error.to_string())?;
        Ok(Self { folder, salt: leasehold_testkit::random_hex() })
    }

    /// The arguments of the job.
    pub(super) fn words(&self) -> Vec<String> {
        let file = self.folder.join("db-password").display().to_string();
        let named = |name: &str| format!("{name}=vault://secret/db#password");
        let words = [
            "run",
            "--env",
            &named("DB_PASSWORD"),
            "--file",
            &named(&file),
            "--refresh-interval",
            "1s",
            "--on-change",
            "signal:USR1",
            "--",
            "sh",
            "app.sh",
            &file,
        ];
        words.map(str::to_owned).to_vec()
    }

    /// Starts it. The secret id goes through the environment, and nothing is written to the reader's home.
    pub(super) fn start(&self, leasehold: &Path, server: &Server, login: &AppRole) -> Outcome<Job> {
        let mut command = Command::new(leasehold);
        command.args(self.words()).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let foreign = |name: &str| {
            name.starts_with("VAULT_") || name.starts_with("BAO_") || name.starts_with("LEASEHOLD_")
        };
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
            command.env_remove(name);
        }
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env(name, &self.folder);
        }
        command.env("VAULT_ADDR", server.address()).env("DEMO_SALT", &self.salt);
        command.env("VAULT_ROLE_ID", &login.role_id).env("VAULT_SECRET_ID", &login.secret_id);
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
    pub(super) fn line(&mut self) -> Option<String> {
        self.lines.next()?.ok()
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> Outcome<ExitStatus> {
        self.process.wait().map_err(|error| error.to_string())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

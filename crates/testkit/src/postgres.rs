//! A private PostgreSQL cluster, gone when dropped.

use crate::canary::canary;
use crate::deadline;
use crate::port::Port;
use crate::process::{self, End, Process};
use crate::tools::{on_path, postgres_folder};
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// How often a start is tried, which on a busy machine may take too long.
const ATTEMPTS: usize = 5;

/// The account that Debian's package makes. The server refuses to run as root, so root runs it as this one.
const ACCOUNT: &str = "postgres";

/// The superuser of the cluster.
const USER: &str = "leasehold";

/// A running cluster with one database, `postgres`, on the loopback. Logins over TCP need their password.
pub struct Postgres {
    _process: Process,
    folder: TempDir,
    port: Port,
    password: String,
}

impl Postgres {
    /// Makes a cluster and starts it on a free loopback port. Panics with what to do when it cannot.
    pub fn start() -> Self {
        let programs = postgres_folder().unwrap_or_else(|error| panic!("{error}"));
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::attempt(&programs) {
                Ok(postgres) => return postgres,
                Err(error) => failure = error,
            }
        }
        panic!("PostgreSQL did not start in {ATTEMPTS} attempts: {failure}");
    }

    /// The superuser's name.
    pub fn user(&self) -> &str {
        USER
    }

    /// The superuser's password: a canary of this cluster alone.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The address with the superuser's login in it.
    pub fn url(&self) -> String {
        self.url_for(USER, &self.password)
    }

    /// The address with another login in it.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        format!("postgresql://{user}:{password}@127.0.0.1:{}/postgres?sslmode=disable", self.port.number())
    }

    /// All roles that may log in, the superuser among them.
    pub fn roles(&self) -> Vec<String> {
        let rows = self.query("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1");
        rows.lines().map(str::to_owned).collect()
    }

    /// Whether that name and password log in over TCP.
    pub fn accepts(&self, user: &str, password: &str) -> bool {
        self.run("SELECT 1", user, password).is_ok()
    }

    /// Runs a statement as the superuser; rows by line, columns parted by `|`. Panics on an error.
    pub fn query(&self, sql: &str) -> String {
        self.run(sql, USER, &self.password).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn attempt(programs: &Path) -> Result<Self, String> {
        let folder = TempDir::with_prefix("leasehold-postgres-").map_err(|error| error.to_string())?;
        let password = canary("postgres");
        let account = account(folder.path())?;
        make_cluster(programs, folder.path(), account, &password)?;
        let port = Port::reserve();
        let process = run(programs, folder.path(), account, port.number())?;
        let mut postgres = Self { _process: process, folder, port, password };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let ready = deadline::wait_for(deadline::START, || {
            if self._process.has_ended() {
                return Some(false);
            }
            self.accepts(USER, &self.password).then_some(true)
        });
        if ready == Some(true) {
            return Ok(());
        }
        Err(format!("its log:\n{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()))
    }

    fn run(&self, sql: &str, user: &str, password: &str) -> Result<String, String> {
        let psql = on_path("psql").ok_or("no `psql` on the PATH: run `apt-get install postgresql`")?;
        let mut command = Command::new(psql);
        // Nothing of the caller's, such as PGOPTIONS or PGSSLMODE, is to count.
        command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql]);
        command.args(["--host=127.0.0.1", &format!("--port={}", self.port.number()), "--dbname=postgres"]);
        command.arg(format!("--username={user}")).arg("--no-password").env("PGPASSWORD", password);
        finished(command)
    }
}

/// The account to run as: none unless we are root, in which case `folder` is handed over to it.
fn account(folder: &Path) -> Result<Option<&'static str>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let line = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line[0] == ACCOUNT);
    let number = |field: usize| line.as_ref()?.get(field)?.parse().ok();
    let (Some(uid), Some(gid)) = (number(2), number(3)) else {
        return Err(format!("no account `{ACCOUNT}`, and PostgreSQL refuses to run as root"));
    };
    chown(folder, Some(uid), Some(gid)).map_err(|error| error.to_string())?;
    Ok(Some(ACCOUNT))
}

/// `initdb`, with the password in a file and not among the arguments.
fn make_cluster(programs: &Path, folder: &Path, account: Option<&str>, password: &str) -> Result<(), String> {
    let file = folder.join("password");
    fs::write(&file, password).map_err(|error| error.to_string())?;
    let mut command = process::command(&programs.join("initdb"), End::Kill, account);
    command.arg("--pgdata").arg(data(folder)).arg("--pwfile").arg(&file);
    command.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", USER]);
    command.current_dir(folder);
    let made = finished(command).map(drop);
    made.and_then(|()| fs::remove_file(file).map_err(|error| error.to_string()))
}

fn run(programs: &Path, folder: &Path, account: Option<&str>, port: u16) -> Result<Process, String> {
    let text = |error: std::io::Error| error.to_string();
    let log = File::create(folder.join("log")).map_err(text)?;
    let mut command = process::command(&programs.join("postgres"), End::Quit, account);
    command.arg("-D").arg(data(folder)).arg("-p").arg(port.to_string());
    let sockets = format!("unix_socket_directories={}", folder.display());
    let settings =
        ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "shared_buffers=8MB", &sockets];
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
    Process::start(command, End::Quit).map_err(text)
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Runs a command to its end: what it printed, or what it complained of.
fn finished(mut command: Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

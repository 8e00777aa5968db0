//! What the tests of `leasehold run` as a process have in common: a server, a home, and a run to be watched.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use leasehold_testkit::{Administrator, AppRole, Server, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the login may do.
const POLICY: &str = r#"
path "secret/data/*"     { capabilities = ["read"] }
path "database/creds/*"  { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reference that every stage has.
pub const PASSWORD: &str = "P=vault://secret/db#password";

/// Waits until there is an answer. Panics, with what was waited for, when none comes.
pub fn soon<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    soon_or_tell(|| what.to_owned(), ask)
}

/// The same, where what to say is known only when nothing came.
pub fn soon_or_tell<T>(what: impl Fn() -> String, ask: impl FnMut() -> Option<T>) -> T {
    wait_for(PATIENCE, ask).unwrap_or_else(|| panic!("never came: {}", what()))
}

/// A server with `secret/db`, and a login to it.
pub struct Stage {
    pub server: Server,
    login: AppRole,
}

impl Stage {
    /// A server of its own.
    pub fn new() -> Self {
        Self::with_login(json!({"token_ttl": "10m"}))
    }

    /// A server of its own with these options of the login's role.
    pub fn with_login(options: Value) -> Self {
        Self::at(Server::start(), options)
    }

    /// The same at a server that has been started.
    pub fn at(server: Server, options: Value) -> Self {
        let login = lay_out(&server, options);
        Self { server, login }
    }

    /// The one that the tests of this program share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        SHARED.get_or_init(|| {
            let stage = Self::new();
            // Nobody would remove it, since nothing static is dropped; and nobody looks into it.
            fs::remove_dir_all(stage.server.folder()).unwrap();
            stage
        })
    }

    /// The secret half of the login.
    pub fn secret_id(&self) -> &str {
        &self.login.secret_id
    }

    /// Writes a new password.
    pub fn rotate(&self, path: &str, password: &str) {
        self.server.put_secret(path, json!({ "password": password }));
    }

    /// How many tokens live beside the administrator's.
    pub fn tokens(&self) -> usize {
        self.server.accessors().len() - 1
    }

    pub fn home(&self) -> Home {
        self.home_at(self.server.address())
    }

    /// A home from which the server is seen at another address.
    pub fn home_at(&self, address: &str) -> Home {
        Home::new(&self.login, address)
    }
}

/// Lays out `secret/db`, and a login with these options of its role.
pub fn lay_out(server: &Administrator, options: Value) -> AppRole {
    server.put_secret("secret/db", json!({"password": "one"}));
    server.policy("app", POLICY);
    server.approle("app", &["app"], options)
}

/// A user's home, which is the working directory as well.
pub struct Home {
    address: String,
    role_id: String,
    secret_id: String,
    folder: TempDir,
    /// Where files with secrets go.
    memory: TempDir,
}

impl Home {
    /// One with this login.
    pub fn new(login: &AppRole, address: &str) -> Self {
        let AppRole { role_id, secret_id } = login;
        let (role_id, secret_id) = (role_id.clone(), secret_id.clone());
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        Self { address: address.to_owned(), role_id, secret_id, folder: TempDir::new().unwrap(), memory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a file here holds; nothing if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The folders in memory that runs have made for files.
    pub fn file_folders(&self) -> Vec<PathBuf> {
        let of_user = fs::read_dir(self.memory.path()).unwrap().flatten();
        of_user
            .flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten())
            .map(|entry| entry.path())
            .collect()
    }

    pub fn touch(&self, name: &str) {
        File::create(self.path(name)).unwrap();
    }

    /// Waits until a file is there and holds this text.
    pub fn wait_for(&self, name: &str, text: &str) {
        let path = self.path(name);
        soon_or_tell(
            || format!("`{text}` in {name}, which holds: {}", self.read(name)),
            || (path.exists() && self.read(name).contains(text)).then_some(()),
        );
    }

    /// The number that a file holds, once it is there.
    pub fn number(&self, name: &str) -> i32 {
        soon(&format!("a number in {name}"), || self.read(name).strip_suffix('\n')?.parse().ok())
    }

    /// `program` with the environment of a login here and nothing else, without a terminal, and with every signal
    /// as it is by default, so that it does not matter how the tests are run.
    pub fn command(&self, program: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.args(["env", "--default-signal"]).args(program);
        self.furnish(&mut command);
        command
    }

    /// Sets the environment and the working directory of a login here.
    pub fn furnish(&self, command: &mut Command) {
        let tools = Path::new(leasehold()).parent().unwrap();
        fs::create_dir_all(self.path("tmp")).unwrap();
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display()))
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.path("tmp"))
            .env("XDG_RUNTIME_DIR", self.memory.path())
            .env("VAULT_ADDR", &self.address)
            .env("VAULT_ROLE_ID", &self.role_id)
            .env("VAULT_SECRET_ID", &self.secret_id)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
    }

    /// Starts `leasehold run FLAGS -- sh -c SCRIPT`.
    pub fn run(&self, flags: &[&str], script: &str) -> Run {
        let words = [&[leasehold(), "run"], flags, &["--", "sh", "-c", script]].concat();
        self.start(&mut self.command(&words))
    }

    /// Starts a command; what it says goes to a file.
    pub fn start(&self, command: &mut Command) -> Run {
        let said = self.path("said");
        command.stdout(Stdio::null()).stderr(File::create(&said).unwrap());
        Run { process: command.spawn().unwrap(), said }
    }

    /// Starts `leasehold run` as [`run`](Self::run) does and waits until the script has made the file `started`.
    pub fn run_started(&self, flags: &[&str], script: &str) -> Run {
        let run = self.run(flags, script);
        soon("started", || {
            // Looked at first, since it may start and end in between.
            let is_over = is_dead(run.pid());
            let has_started = self.path("started").exists();
            assert!(has_started || !is_over, "it ended before it started: {}", run.said());
            has_started.then_some(())
        });
        run
    }

    /// All that the journals here say was ever held, and what of it is gone: names of tokens and leases.
    pub fn journal(&self) -> Holdings {
        let mut holdings = Holdings::default();
        let folder = self.path(".local/state/leasehold/journal");
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str(line.get(9..)?).ok());
            lines.for_each(|line: Value| holdings.note(&line));
        }
        holdings
    }

    /// The accessor of the one token that the run here holds.
    pub fn accessor(&self) -> String {
        let held = self.journal().held();
        assert_eq!(held.len(), 1, "{held:?}");
        held[0].clone()
    }
}

/// What a journal says.
#[derive(Default)]
pub struct Holdings {
    pub ever: Vec<String>,
    gone: Vec<String>,
}

impl Holdings {
    fn note(&mut self, line: &Value) {
        let name =
            |what: &Value| what["token"].as_str().or(what["lease"].as_str()).map(str::to_owned).into_iter();
        self.ever.extend(name(&line["held"]));
        self.gone.extend(name(&line["gone"]));
    }

    pub fn held(&self) -> Vec<String> {
        self.ever.iter().filter(|name| !self.gone.contains(name)).cloned().collect()
    }
}

fn leasehold() -> &'static str {
    env!("CARGO_BIN_EXE_leasehold")
}

/// A `leasehold run` that is under way. Dropped before its end, it is killed.
pub struct Run {
    process: Child,
    said: PathBuf,
}

impl Run {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits for its end: the exit code, or minus the signal that it died of.
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let said = self.said.clone();
        let told = || format!("the end of leasehold, which said: {:?}", fs::read_to_string(&said));
        let status = soon_or_tell(told, || self.process.try_wait().unwrap());
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }

    /// What it and its child said on standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The state of a process as `ps` shows it, such as `S` or `T`; none if there is no such process.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process has ended, be it unnoticed.
pub fn is_dead(pid: i32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

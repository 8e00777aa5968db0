//! A desktop's session without the desktop: a D-Bus of its own, and GNOME's keyring on it.

use crate::deadline;
use crate::process::{self, End, Process};
use crate::tools::{on_path, python_keyring};
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What the keyring is unlocked with.
const PASSWORD: &str = "desktop";

/// A session, gone when dropped.
pub struct Desktop {
    /// Before the bus, which it needs.
    keyring: Option<Process>,
    _bus: Process,
    folder: TempDir,
}

impl Desktop {
    /// A session with an unlocked keyring. Panics with what to install when it cannot be.
    pub fn start() -> Self {
        let mut desktop = Self::without_keyring();
        desktop.start_keyring();
        desktop
    }

    /// A session in which nobody keeps secrets.
    pub fn without_keyring() -> Self {
        Self::with_rules("")
    }

    /// A session with a keyring that the bus lets nobody speak to, as around a program in a sandbox.
    pub fn denying_keyring() -> Self {
        let mut desktop = Self::with_rules("<deny send_destination=\"org.freedesktop.secrets\"/>");
        desktop.start_keyring();
        desktop
    }

    fn with_rules(rules: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let bus = start_bus(folder.path(), rules);
        let desktop = Self { keyring: None, _bus: bus, folder };
        // The socket's file is there a moment before somebody listens.
        let listens = || UnixStream::connect(desktop.folder.path().join("bus")).ok();
        deadline::wait_for(deadline::START, listens).expect("the bus listens at its socket");
        desktop
    }

    /// Starts the keyring, unlocked.
    pub fn start_keyring(&mut self) {
        self.keyring = Some(self.keyring_process(true));
        self.wait_for_keyring();
    }

    /// The keyring as after a login that did not unlock it.
    pub fn lock_keyring(&mut self) {
        self.keyring = None;
        self.keyring = Some(self.keyring_process(false));
        self.wait_for_keyring();
    }

    /// The keyring ends.
    pub fn kill_keyring(&mut self) {
        self.keyring = None;
    }

    /// The keyring answers nobody, until it is locked or started again.
    pub fn stop_keyring(&self) {
        self.keyring.as_ref().expect("a keyring").stop();
    }

    /// The address of the bus, for `DBUS_SESSION_BUS_ADDRESS`.
    pub fn bus(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    /// Puts an entry into the keyring, as another program does: GNOME's `secret-tool`.
    pub fn put(&self, service: &str, name: &str, secret: &str) {
        self.put_with(&["service", service, "username", name], secret);
    }

    /// Puts an entry with these attributes, in pairs.
    pub fn put_with(&self, attributes: &[&str], secret: impl AsRef<[u8]>) {
        let mut command = self.tool("secret-tool", "libsecret-tools");
        command.args(["store", "--label=test"]).args(attributes);
        ask(&mut command, secret.as_ref()).expect("secret-tool stores it");
    }

    /// How many items have these attributes, given in pairs.
    pub fn count(&self, attributes: &[&str]) -> usize {
        let mut command = self.tool("secret-tool", "libsecret-tools");
        command.args(["search", "--all"]).args(attributes);
        let told = ask(&mut command, b"").unwrap_or_default();
        told.lines().filter(|line| line.starts_with("label = ")).count()
    }

    /// What Python's `keyring` says, such as `["get", SERVICE, NAME]`, where it succeeds; `set` reads the secret.
    pub fn python(&self, words: &[&str], secret: &str) -> Option<String> {
        let mut command = self.tool("python3", "python3");
        command.args(["-m", "keyring"]).args(words);
        command.env("PYTHONPATH", python_keyring().unwrap_or_else(|what| panic!("{what}")));
        command.env("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring");
        ask(&mut command, secret.as_bytes()).map(|text| text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// A program of this session.
    fn tool(&self, name: &str, package: &str) -> Command {
        let mut command = Command::new(program(name, package));
        self.furnish(&mut command);
        command
    }

    fn keyring_process(&self, is_unlocked: bool) -> Process {
        let daemon = program("gnome-keyring-daemon", "gnome-keyring");
        let mut command = process::command(&daemon, End::Kill, None);
        command.args(["--foreground", "--components=secrets", "--control-directory"]);
        command.arg(self.folder.path().join("control"));
        if is_unlocked {
            command.arg("--unlock");
        }
        self.furnish(&mut command);
        let password = self.folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("a file with a password");
        command.stdin(File::open(password).expect("the file"));
        Process::start(command, End::Kill).expect("gnome-keyring-daemon starts")
    }

    fn wait_for_keyring(&self) {
        let has_owner = || {
            let mut ask = self.tool("dbus-send", "dbus-bin");
            ask.args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/"]);
            ask.args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]);
            let answer = ask.output().expect("dbus-send starts");
            String::from_utf8_lossy(&answer.stdout).contains("true").then_some(())
        };
        deadline::wait_for(deadline::START, has_owner).expect("the keyring comes to the bus");
    }

    /// Everything that these programs write goes to the folder of this session.
    fn furnish(&self, command: &mut Command) {
        let folder = self.folder.path();
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder);
        command.env("XDG_RUNTIME_DIR", folder).env("DBUS_SESSION_BUS_ADDRESS", self.bus());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
    }
}

/// Runs a program with this on its standard input: what it printed, where it succeeds.
fn ask(command: &mut Command, input: &[u8]) -> Option<String> {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut pipe = child.stdin.take().expect("its standard input");
    // One that fails early does not read.
    let _ = pipe.write_all(input);
    drop(pipe);
    let output = child.wait_with_output().expect("the program ends");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A bus on which no service is started on demand, so that there is a keyring only when we start one.
fn start_bus(folder: &Path, rules: &str) -> Process {
    let config = folder.join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\
         <allow own=\"*\"/><allow eavesdrop=\"false\"/>{rules}</policy></busconfig>",
        folder.join("bus").display()
    );
    std::fs::write(&config, text).expect("a file for the bus");
    let mut command = process::command(&program("dbus-daemon", "dbus-daemon"), End::Kill, None);
    command.arg("--nofork").arg("--config-file").arg(config).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process::start(command, End::Kill).expect("dbus-daemon starts")
}

fn program(name: &str, package: &str) -> PathBuf {
    on_path(name)
        .unwrap_or_else(|| panic!("`{name}` is missing: install it with `apt-get install {package}`"))
}

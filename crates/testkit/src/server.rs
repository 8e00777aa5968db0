//! A development server of OpenBao or Vault, all in memory, gone when dropped.

mod layout;
mod state;

pub use layout::AppRole;

use crate::canary::canary;
use crate::deadline;
use crate::process::{self, End, Process, free_port};
use crate::tools::server_binary;
use crate::witness::{Question, Witness};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How often a start is tried: the free port may be taken by another server that starts at the same time.
const ATTEMPTS: usize = 5;

/// A running server with a KV version 2 engine at `secret/`, as `bao server -dev` gives it.
///
/// Made by [`start`](Self::start) and its two sisters. Laid out with [`put_secret`](Self::put_secret) and the
/// like, looked at with [`accessors`](Self::accessors) and the like, and anything else goes through
/// [`api`](Self::api). Every call panics when the server does not answer.
pub struct Server {
    process: Process,
    folder: TempDir,
    address: String,
    witness: Witness,
    root_token: String,
    unseal_key: String,
}

/// What one start is asked for.
#[derive(Clone, Copy, Default)]
struct Plan<'a> {
    tls: bool,
    config: &'a str,
}

impl Server {
    /// Starts a server on a free loopback port. Panics with what to do when it cannot.
    pub fn start() -> Self {
        Self::launch(Plan::default())
    }

    /// Starts a server whose [`address`](Self::address) is `https`, with a certificate for 127.0.0.1 that only
    /// [`ca_cert`](Self::ca_cert) vouches for.
    pub fn start_tls() -> Self {
        Self::launch(Plan { tls: true, ..Plan::default() })
    }

    /// Starts a server with more configuration in HCL, such as an audit device or another listener:
    ///
    /// ```no_run
    /// # use leasehold_testkit::Server;
    /// let server = Server::start_with(r#"listener "unix" { address = "/run/bao.sock" tls_disable = true }"#);
    /// ```
    pub fn start_with(config: &str) -> Self {
        Self::launch(Plan { config, ..Plan::default() })
    }

    /// `http://127.0.0.1:PORT`, or `https://` after [`start_tls`](Self::start_tls).
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The root token: a canary of this server alone.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The certificate authority of a server with TLS, in PEM.
    pub fn ca_cert(&self) -> PathBuf {
        self.folder.path().join("vault-ca.pem")
    }

    /// A private folder that goes with the server, for sockets, audit logs and the like.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server wrote so far. Holds the root token and the unseal key.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks as root: status and body. `path` is below `/v1/`.
    pub fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.api_as(&self.root_token, method, path, body, None)
    }

    /// Asks with any token, in any namespace: status and body.
    pub fn api_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        namespace: Option<&str>,
    ) -> (u16, Value) {
        let question = Question { token, method, path, body, namespace };
        let answer = self.witness.ask(question);
        answer.unwrap_or_else(|error| panic!("{method} {path} got no answer from the test server: {error}"))
    }

    /// Seals the server: it answers 503 to everything and forgets nothing.
    pub fn seal(&self) {
        self.expect("PUT", "sys/seal", None);
    }

    /// Unseals it.
    pub fn unseal(&self) {
        self.expect("PUT", "sys/unseal", Some(json!({ "key": self.unseal_key })));
    }

    /// Stops it as a hung host would be: connections are accepted by the kernel and never answered.
    pub fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on after [`stop`](Self::stop).
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Kills it: connections are refused from now on, and all it held is gone.
    pub fn kill(&mut self) {
        self.process.end();
    }

    /// Asks as root and panics unless the answer is a success; its body.
    fn expect(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, reply) = self.api(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {reply}");
        reply
    }

    fn launch(plan: Plan<'_>) -> Self {
        let binary = server_binary().unwrap_or_else(|error| panic!("{error}"));
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::attempt(&binary, plan) {
                Ok(server) => return server,
                Err(error) => failure = error,
            }
        }
        panic!("{} did not start in {ATTEMPTS} attempts: {failure}", binary.display());
    }

    fn attempt(binary: &Path, plan: Plan<'_>) -> Result<Self, String> {
        let folder = TempDir::with_prefix("leasehold-server-").map_err(|error| error.to_string())?;
        let (port, root_token) = (free_port(), canary("root-token"));
        let (scheme, witness_port) = if plan.tls { ("https", free_port()) } else { ("http", port) };
        let mut config = plan.config.to_owned();
        if plan.tls {
            // The witness speaks no TLS, so that it has none in common with the code under test.
            config += &format!(
                "\nlistener \"tcp\" {{\n address = \"127.0.0.1:{witness_port}\"\n tls_disable = true\n}}\n"
            );
        }
        let process = run(binary, folder.path(), port, &root_token, plan.tls, &config)?;
        let mut server = Self {
            process,
            address: format!("{scheme}://127.0.0.1:{port}"),
            witness: Witness::new(&format!("http://127.0.0.1:{witness_port}")),
            folder,
            root_token,
            unseal_key: String::new(),
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Ready is when our own root token (so that it is no stranger's server) can use the KV engine, which is
    /// mounted a little after the port is open.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let ready = deadline::wait_for(deadline::START, || {
            if self.process.has_ended() {
                return Some(Err("it ended by itself".to_owned()));
            }
            self.unseal_key = unseal_key(&self.log())?;
            self.uses_kv().then_some(Ok(()))
        });
        let outcome = ready.unwrap_or_else(|| Err(format!("not ready after {:?}", deadline::START)));
        outcome.map_err(|error| format!("{error}; its last words:\n{}", last_lines(&self.log())))
    }

    fn uses_kv(&self) -> bool {
        let (token, path) = (&*self.root_token, "secret/config");
        let question = Question { token, method: "GET", path, body: None, namespace: None };
        self.witness.ask(question).is_ok_and(|(status, _)| status == 200)
    }
}

/// Starts the program with an empty environment, so that no `VAULT_*` or `BAO_*` of the caller steers it, and
/// with a home of its own, so that nothing is written to the caller's.
fn run(
    binary: &Path,
    folder: &Path,
    port: u16,
    root_token: &str,
    tls: bool,
    config: &str,
) -> Result<Process, String> {
    let text = |error: std::io::Error| error.to_string();
    let log = File::create(folder.join("log")).map_err(text)?;
    let config_file = folder.join("more.hcl");
    fs::write(&config_file, config).map_err(text)?;
    let mut command = process::command(binary, End::Kill, None);
    command.args(["server", "-dev", "-dev-no-store-token"]);
    command.arg(format!("-dev-root-token-id={root_token}"));
    command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
    if !config.is_empty() {
        command.arg("-config").arg(config_file);
    }
    if tls {
        command.arg("-dev-tls").arg("-dev-tls-cert-dir").arg(folder);
    }
    command.env_clear().env("HOME", folder).current_dir(folder);
    command.stdin(std::process::Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
    Process::start(command, End::Kill).map_err(text)
}

fn unseal_key(log: &str) -> Option<String> {
    let line = log.lines().find_map(|line| line.strip_prefix("Unseal Key: "))?;
    Some(line.trim().to_owned())
}

/// The end of the log, without the lines that hold the server's secrets.
fn last_lines(log: &str) -> String {
    let kept: Vec<&str> =
        log.lines().filter(|line| !line.contains("Token:") && !line.contains("Key:")).collect();
    kept[kept.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_gives_the_key_and_its_end_holds_no_secret() {
        let log = "started\n\nUnseal Key: abc=\nRoot Token: canary\nbind: address already in use\n";
        assert_eq!(unseal_key(log).as_deref(), Some("abc="));
        assert_eq!(unseal_key("started\n"), None);
        assert_eq!(last_lines(log), "started\n\nbind: address already in use");
    }
}

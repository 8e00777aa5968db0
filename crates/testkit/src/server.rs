//! A development server of OpenBao or Vault, all in memory, gone when dropped.

use crate::administrator::Administrator;
use crate::canary::canary;
use crate::deadline;
use crate::disk::Disk;
use crate::port::Port;
use crate::process::Process;
use crate::program::{self, persist};
use crate::witness::{Question, Witness};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A running server with a KV version 2 engine at `secret/`, as `bao server -dev` gives it, and root at it.
pub struct Server {
    process: Process,
    folder: TempDir,
    address: String,
    root: Administrator,
    unseal_key: String,
    disk: Option<Disk>,
    /// Its own, and that at which the witness looks if the first speaks TLS.
    _ports: [Port; 2],
}

/// What one start is asked for.
#[derive(Clone, Copy, Default)]
struct Plan<'a> {
    tls: bool,
    audit: bool,
    config: &'a str,
}

impl Deref for Server {
    type Target = Administrator;

    fn deref(&self) -> &Administrator {
        &self.root
    }
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

    /// Starts a server that audits every request to a disk, which [`fill_disk`](Self::fill_disk) fills.
    pub fn start_audited() -> Self {
        Self::launch(Plan { audit: true, ..Plan::default() })
    }

    /// Starts a server with more configuration in HCL, such as an audit device or another listener, whose port is one that
    /// the caller [keeps](crate::Port):
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
        program::log(self.folder.path())
    }

    /// Seals the server: it answers 503 to everything and forgets nothing.
    pub fn seal(&self) {
        self.expect("PUT", "sys/seal", None);
    }

    /// Unseals it.
    pub fn unseal(&self) {
        self.expect("PUT", "sys/unseal", Some(json!({ "key": self.unseal_key })));
    }

    /// Fills the disk that it audits to: it answers 500 to whatever has a token, while its health is good.
    /// Only after [`start_audited`](Self::start_audited).
    pub fn fill_disk(&self) {
        self.set_disk(true, 500);
    }

    /// Makes space on that disk again.
    pub fn free_disk(&self) {
        self.set_disk(false, 200);
    }

    /// Stops it as a hung host would be: connections are accepted by the kernel and never answered.
    pub fn stop(&self) {
        self.process.stop();
    }

    /// Lets it go on after [`stop`](Self::stop).
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Kills it: connections are refused from now on, and all it held is gone.
    pub fn kill(&mut self) {
        self.process.end();
    }

    fn set_disk(&self, is_full: bool, status: u16) {
        let disk = self.disk.as_ref().expect("a server that was started with `start_audited`");
        disk.set(is_full).expect("a link in the server's own folder");
        self.process.signal(Signal::HUP);
        let is_so = || (self.api("GET", "auth/token/lookup-self", None).0 == status).then_some(());
        deadline::wait_for(deadline::START, is_so).unwrap_or_else(|| panic!("full={is_full}: no {status}"));
    }

    fn launch(plan: Plan<'_>) -> Self {
        persist("the server", || Self::attempt(plan))
    }

    fn attempt(plan: Plan<'_>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = TempDir::with_prefix("leasehold-server-").map_err(text)?;
        let disk = plan.audit.then(|| Disk::new(folder.path())).transpose().map_err(text)?;
        let (ports, root_token) = ([Port::reserve(), Port::reserve()], canary("root-token"));
        let [port, second] = ports.each_ref().map(Port::number);
        let (scheme, witness_port) = if plan.tls { ("https", second) } else { ("http", port) };
        let mut config = plan.config.to_owned();
        config += &disk.as_ref().map(Disk::device).unwrap_or_default();
        if plan.tls {
            // The witness speaks no TLS, so that it has none in common with the code under test.
            config += &listener(witness_port, "");
        }
        fs::write(folder.path().join("more.hcl"), &config).map_err(text)?;
        let arguments = arguments(folder.path(), port, &root_token, plan.tls, !config.is_empty());
        let witness = Witness::new(&format!("http://127.0.0.1:{witness_port}"));
        let mut server = Self {
            process: program::serve(folder.path(), &arguments)?,
            address: format!("{scheme}://127.0.0.1:{port}"),
            root: Administrator::new(vec![witness], root_token),
            unseal_key: String::new(),
            folder,
            disk,
            _ports: ports,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Ready is when our own root token (so that it is no stranger's server) can use the KV engine.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let ready = deadline::wait_for(deadline::START, || {
            if self.process.has_ended() {
                return Some(Err("it ended by itself".to_owned()));
            }
            self.unseal_key = unseal_key(&self.log())?;
            self.uses_kv().then_some(Ok(()))
        });
        let outcome = ready.unwrap_or_else(|| Err(format!("not ready after {:?}", deadline::START)));
        outcome.map_err(|error| program::told(error, self.folder.path()))
    }
}

/// A server that was never initialised: it answers 501 to a look at its health, and 503 to everything else.
pub struct EmptyServer {
    // Ended before its folder goes.
    _process: Process,
    _folder: TempDir,
    _port: Port,
    address: String,
}

impl EmptyServer {
    /// Starts one on a free loopback port.
    pub fn start() -> Self {
        persist("the server", Self::attempt)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn attempt() -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = TempDir::with_prefix("leasehold-server-").map_err(text)?;
        let port = Port::reserve();
        let config = folder.path().join("server.hcl");
        let listener = listener(port.number(), "");
        fs::write(&config, format!("storage \"inmem\" {{}}\n{listener}")).map_err(text)?;
        let process = program::serve(folder.path(), &[format!("-config={}", config.display())])?;
        let address = format!("http://127.0.0.1:{}", port.number());
        let witness = Witness::new(&address);
        let question = || Question { method: "GET", path: "sys/init", ..Question::by("") };
        let is_up = || (witness.ask(question()).ok()?.0 == 200).then_some(());
        let ready = deadline::wait_for(deadline::START, is_up);
        ready.ok_or_else(|| program::told("not ready", folder.path()))?;
        Ok(Self { _process: process, _folder: folder, _port: port, address })
    }
}

/// A listener on the loopback without TLS, in HCL, with more settings of its own.
pub(crate) fn listener(port: u16, more: &str) -> String {
    format!("\nlistener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n {more}\n}}\n")
}

fn arguments(folder: &Path, port: u16, root_token: &str, tls: bool, has_config: bool) -> Vec<String> {
    let plain = ["-dev".to_owned(), "-dev-no-store-token".to_owned()];
    let own = [format!("-dev-root-token-id={root_token}"), format!("-dev-listen-address=127.0.0.1:{port}")];
    let config = has_config.then(|| format!("-config={}", folder.join("more.hcl").display()));
    let tls = ["-dev-tls".to_owned(), format!("-dev-tls-cert-dir={}", folder.display())]
        .into_iter()
        .filter(|_| tls);
    plain.into_iter().chain(own).chain(config).chain(tls).collect()
}

fn unseal_key(log: &str) -> Option<String> {
    let line = log.lines().find_map(|line| line.strip_prefix("Unseal Key: "))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_gives_the_key() {
        let check = |log: &str, expect: Option<&str>| assert_eq!(unseal_key(log).as_deref(), expect, "{log}");
        check("started\n\nUnseal Key: abc=\nRoot Token: canary\n", Some("abc="));
        check("started\n", None);
    }
}

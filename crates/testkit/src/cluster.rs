//! Three nodes of OpenBao or Vault with integrated storage: a cluster that can lose each of them.

use crate::administrator::Administrator;
use crate::deadline;
use crate::port::Port;
use crate::process::Process;
use crate::program::{self, persist};
use crate::server::listener;
use crate::witness::{Question, Witness};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How many nodes there are. Two of them are a quorum.
const SIZE: usize = 3;
/// How long a start may take, on the slowest machine that runs the tests.
const START: Duration = Duration::from_secs(40);

/// A cluster with a KV version 2 engine at `secret/`, and root at its leader. Nodes have the numbers 0 to 2.
///
/// ```no_run
/// use leasehold_testkit::Cluster;
///
/// let mut cluster = Cluster::start();
/// let old = cluster.leader();
/// cluster.kill(old);
/// assert_ne!(cluster.leader(), old);
/// cluster.restart(old);
/// ```
pub struct Cluster {
    nodes: Vec<Node>,
    root: Administrator,
    unseal_key: String,
    // Dropped after the nodes that write there.
    _folder: TempDir,
}

struct Node {
    process: Process,
    folder: PathBuf,
    address: String,
    witness: Witness,
    /// That of its clients and that of the other nodes. Nobody takes them while it is down.
    _ports: [Port; 2],
}

impl Deref for Cluster {
    type Target = Administrator;

    fn deref(&self) -> &Administrator {
        &self.root
    }
}

impl Cluster {
    /// Starts one on free loopback ports, which takes some four seconds. Panics with what to do when it cannot.
    pub fn start() -> Self {
        persist("the cluster", Self::attempt)
    }

    /// `http://127.0.0.1:PORT` of each node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// All nodes but this one.
    pub fn others(&self, node: usize) -> Vec<usize> {
        (0..SIZE).filter(|other| *other != node).collect()
    }

    /// Kills a node: connections to it are refused.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process.end();
    }

    /// Starts a node again with what it had on disk, and unseals it.
    pub fn restart(&mut self, node: usize) {
        self.reboot(node).and_then(|()| self.open(node)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops a node as a hung host would be: connections are accepted by the kernel and never answered. With two
    /// of them the quorum is lost.
    pub fn stop(&self, node: usize) {
        self.nodes[node].process.stop();
    }

    /// Lets a node go on after [`stop`](Self::stop).
    pub fn cont(&self, node: usize) {
        self.nodes[node].process.signal(Signal::CONT);
    }

    /// Makes the leader hand over to another node.
    pub fn step_down(&self) {
        self.expect("PUT", "sys/step-down", None);
    }

    /// Seals a node: it answers 503 to everything.
    pub fn seal(&mut self, node: usize) {
        // A standby refuses to be sealed; what has started again is sealed too.
        let was_leader = self.api_at(node, "PUT", "sys/seal", None).is_some_and(|(status, _)| status == 204);
        let done = if was_leader { Ok(()) } else { self.reboot(node) };
        let is_sealed = || self.nodes[node].witness.health() == Some(503);
        let sealed = done.and_then(|()| self.nodes[node].wait("sealed", is_sealed));
        sealed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Unseals it.
    pub fn unseal(&self, node: usize) {
        self.open(node).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Asks one node, and nobody else, as root: status and body; none when it does not answer.
    pub fn api_at(&self, node: usize, method: &str, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let question = Question { method, path, body, ..Question::by(self.root_token()) };
        self.nodes[node].witness.ask(question).ok()
    }

    fn reboot(&mut self, node: usize) -> Result<(), String> {
        self.kill(node);
        self.nodes[node].process = serve(&self.nodes[node].folder)?;
        self.nodes[node].wait_until_up()
    }

    fn attempt() -> Result<Self, String> {
        let folder = TempDir::with_prefix("leasehold-cluster-").map_err(|error| error.to_string())?;
        let nodes = (0..SIZE).map(|number| Node::start(&folder.path().join(number.to_string()), number));
        let nodes: Vec<_> = nodes.collect::<Result<_, _>>()?;
        nodes.iter().try_for_each(Node::wait_until_up)?;
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let keys = nodes[0].expect("", "PUT", "sys/init", Some(shares))?;
        let text = |value: &Value| value.as_str().expect("a key and a token").to_owned();
        let (unseal_key, root_token) = (text(&keys["keys_base64"][0]), text(&keys["root_token"]));
        let witnesses = nodes.iter().map(|node| Witness::new(&node.address)).collect();
        let root = Administrator::new(witnesses, root_token);
        let cluster = Self { nodes, root, unseal_key, _folder: folder };
        cluster.join()?;
        cluster.mount()?;
        Ok(cluster)
    }

    fn join(&self) -> Result<(), String> {
        self.open(0)?;
        let first = &self.nodes[0];
        first.wait("the leader", || first.witness.health() == Some(200))?;
        for node in &self.nodes[1..] {
            let first = json!({ "leader_api_addr": first.address });
            node.expect("", "PUT", "sys/storage/raft/join", Some(first))?;
        }
        (1..SIZE).try_for_each(|number| self.open(number))
    }

    /// The KV engine that a development server has.
    fn mount(&self) -> Result<(), String> {
        self.engine("secret", "kv", json!({ "options": { "version": "2" } }));
        self.nodes[0].wait("a mount at secret/", || self.uses_kv())
    }

    /// Gives a node its key and waits until it leads or follows.
    fn open(&self, number: usize) -> Result<(), String> {
        let node = &self.nodes[number];
        let open = || {
            // One that has just joined takes the key only once the leader has answered it.
            let _ = node.expect("", "PUT", "sys/unseal", Some(json!({ "key": self.unseal_key })));
            matches!(node.witness.health(), Some(200 | 429))
        };
        node.wait("unsealed", open)
    }
}

impl Node {
    fn start(folder: &Path, number: usize) -> Result<Self, String> {
        let ports = [Port::reserve(), Port::reserve()];
        let [port, cluster_port] = ports.each_ref().map(Port::number);
        fs::create_dir_all(folder.join("raft")).map_err(|error| error.to_string())?;
        let config = config(folder, number, port, cluster_port);
        fs::write(folder.join("server.hcl"), config).map_err(|error| error.to_string())?;
        let address = format!("http://127.0.0.1:{port}");
        let witness = Witness::new(&address);
        Ok(Self { process: serve(folder)?, folder: folder.to_owned(), address, witness, _ports: ports })
    }

    fn wait_until_up(&self) -> Result<(), String> {
        self.wait("up", || self.witness.health().is_some())
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
        let so = deadline::wait_for(START, || is_so().then_some(()));
        so.ok_or_else(|| {
            program::told(format!("{} is not {what} after {START:?}", self.address), &self.folder)
        })
    }

    /// Asks this node; the body of a success.
    fn expect(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        match self.witness.ask(Question { method, path, body, ..Question::by(token) })? {
            (200..300, reply) => Ok(reply),
            (status, reply) => Err(format!("{method} {path}: {status} {reply}")),
        }
    }
}

fn serve(folder: &Path) -> Result<Process, String> {
    program::serve(folder, &[format!("-config={}", folder.join("server.hcl").display())])
}

fn config(folder: &Path, number: usize, port: u16, cluster_port: u16) -> String {
    let raft = folder.join("raft");
    let storage = format!(
        "storage \"raft\" {{\n path = \"{}\"\n node_id = \"{number}\"\n performance_multiplier = 1\n}}\n",
        raft.display()
    );
    let listener = listener(port, &format!("cluster_address = \"127.0.0.1:{cluster_port}\""));
    format!(
        "{storage}{listener}api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{cluster_port}\"\n"
    )
}

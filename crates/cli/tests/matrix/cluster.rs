//! Rows 3, 4, 5 and 16: a cluster whose nodes follow, fall, hang and lose their quorum.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::core::name::{Address, Path, VaultReference};
use leasehold::core::{Fields, Secret};
use leasehold::transport::TransportSettings;
use leasehold::vault::kv::Write;
use leasehold_testkit::{Administrator, AppRole, Cluster, Fault, Proxy, record};
use serde_json::json;

use crate::stage::{Home, PASSWORD, Run, lay_out, soon};

/// How often a client writes and reads at each standby.
const WRITES: usize = 100;
/// The longest that a new reader may have to wait while a cluster finds a leader.
const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn row_03_a_standby_is_up_and_shows_what_was_written_through_it() {
    let cluster = Sole::start();
    let standbys = cluster.others(cluster.leader());
    let client = client(&cluster.addresses()[standbys[0]], cluster.root_token());
    let health = block_on(client.health_check()).unwrap();
    assert!(health.is_up() && health.standby, "{health:?}");
    let fresh = (0..WRITES).filter(|round| block_on(reads_its_write(&client, *round))).count();
    assert_eq!(fresh, WRITES);
    let addresses = standbys.iter().map(|node| cluster.addresses()[*node].clone());
    let at_standbys = Many::new(&lay_out(&cluster, json!({})), addresses.collect());
    // They know the login a little later than the leader.
    soon("a login at a standby", || (at_standbys.get() == Ok("one".to_owned())).then_some(()));
    for code in [472, 473] {
        assert_eq!(is_up_with(&cluster, standbys[0], code), code == 473);
    }
    record(
        "03",
        &format!("{fresh} of {WRITES} reads at a standby, right after a write through it, were fresh"),
    );
}

/// Whether a read shows what was written just before.
async fn reads_its_write(client: &VaultClient, round: usize) -> bool {
    let path = Path::parse("secret/own").unwrap();
    let reference = VaultReference { path: path.clone(), version: None, namespace: None };
    let mount = client.mount_of(&reference).await.unwrap().unwrap();
    let fields = Fields::from_iter([("round", Secret::new(round.to_string()))]);
    client.send(&Write::new(mount.entry(&path).unwrap(), fields, None).unwrap()).await.unwrap();
    let read = client.read(&reference).await.unwrap();
    read.fields.field("round").is_some_and(|found| found.expose() == round.to_string())
}

/// Whether a node counts as up that tells its health with this status, as nodes of Vault Enterprise do.
fn is_up_with(cluster: &Cluster, node: usize, status: u16) -> bool {
    let proxy = Proxy::start(&cluster.addresses()[node]);
    let (_, mut health) = cluster.api_at(node, "GET", "sys/health", None).unwrap();
    health["replication_dr_mode"] = json!(if status == 472 { "secondary" } else { "primary" });
    proxy.set_for("sys/health", Fault::Answer(status, health.to_string()), 1);
    block_on(client(&proxy.address(), "").health_check()).unwrap().is_up()
}

#[test]
fn row_04_the_leader_is_killed() {
    fail_over("04", "the leader killed", 9, |cluster, leader| cluster.kill(leader));
}

#[test]
fn row_04_the_leader_steps_down() {
    fail_over("04b", "the leader stepping down", 9, |cluster, _| cluster.step_down());
}

#[test]
fn long_row_04_the_leader_hangs() {
    fail_over("04c", "the leader hanging", 18, |cluster, leader| cluster.stop(leader));
}

/// A run in progress sees nothing of it, its token of `ttl` seconds is kept, and a new reader is served in time.
fn fail_over(key: &str, what: &str, ttl: u32, fault: impl FnOnce(&mut Cluster, usize)) {
    let mut cluster = Sole::start();
    let login = lay_out(&cluster, json!({"token_ttl": ttl}));
    let leader = cluster.leader();
    let many = Many::leader_first(&cluster, &login);
    let mut run = many.run();
    let token = Kept::new(&cluster, &many.home);
    let begun = Instant::now();
    fault(&mut cluster, leader);
    let (got, served) = (many.get(), begun.elapsed());
    assert_eq!(got, Ok("one".to_owned()), "{what}, after {served:?}");
    assert!(served < DEADLINE, "{what}: {served:?}");
    token.wait(&cluster, &many.home);
    let kept = begun.elapsed().as_secs_f64();
    assert!(!run.is_over(), "{}", run.said());
    let served = served.as_secs_f64();
    record(
        key,
        &format!(
            "{what}: a run under way noticed nothing and its token of {ttl} s was renewed or replaced after {kept:.1} s; a \
             new reader was served after {served:.1} s"
        ),
    );
}

#[test]
fn long_row_05_a_lost_quorum_revokes_nothing() {
    const TTL: u64 = 36;
    let cluster = Sole::start();
    let login = lay_out(&cluster, json!({"token_ttl": format!("{TTL}s")}));
    let standbys = cluster.others(cluster.leader());
    let many = Many::leader_first(&cluster, &login);
    let begun = Instant::now();
    let mut run = many.run();
    let token = Kept::new(&cluster, &many.home);
    standbys.iter().for_each(|node| cluster.stop(*node));
    // Until after the latest moment at which the renewal begins, which is three quarters of the life.
    soon("the renewal has begun", || (begun.elapsed().as_secs() > TTL / 4 * 3).then_some(()));
    assert!(!run.is_over());
    standbys.iter().for_each(|node| cluster.cont(*node));
    let back = Instant::now();
    token.wait(&cluster, &many.home);
    let renewed = back.elapsed();
    assert!(renewed < Duration::from_secs(8), "{renewed:?}");
    assert_eq!(many.home.journal().ever, [token.accessor], "one login: {}", run.said());
    assert!(!run.said().contains("revoked"), "{}", run.said());
    let (lost, renewed) = ((back - begun).as_secs(), renewed.as_secs_f64());
    record(
        "05",
        &format!(
            "quorum lost for {lost} s across the renewal of a token of {TTL} s: 0 logins, 0 verdicts of revocation, \
             renewed {renewed:.1} s after the quorum was back"
        ),
    );
}

#[test]
fn row_16_a_node_that_waits_for_a_disaster_is_passed_over() {
    let cluster = Sole::start();
    let login = lay_out(&cluster, json!({}));
    let leader = cluster.leader();
    let proxy = Proxy::start(&cluster.addresses()[cluster.others(leader)[0]]);
    for status in [472, 473] {
        proxy.set(Fault::Answer(status, r#"{"errors":[]}"#.to_owned()));
        let many = Many::new(&login, vec![proxy.address(), cluster.addresses()[leader].clone()]);
        let (before, begun) = (proxy.requests("/v1/").len(), Instant::now());
        assert_eq!(many.get(), Ok("one".to_owned()), "{status}");
        let asked = proxy.requests("/v1/").len() - before;
        let key = if status == 472 { "16" } else { "16b" };
        let took = begun.elapsed().as_millis();
        record(
            key,
            &format!("{status} of the first address: the second one was asked, a value after {took} ms"),
        );
        assert!((1..=2).contains(&asked), "{asked} requests to a node that answers {status}");
    }
}

/// The one cluster at a time: three nodes that vote need the machine, and two of three that wait for it lose their leader.
pub(crate) struct Sole {
    cluster: Cluster,
    // Let go of after the nodes have ended.
    _turn: MutexGuard<'static, ()>,
}

impl Sole {
    pub(crate) fn start() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { cluster: Cluster::start(), _turn: turn }
    }
}

impl Deref for Sole {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Sole {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

/// A home from which several addresses are seen.
struct Many {
    home: Home,
    addresses: Vec<String>,
}

impl Many {
    fn new(login: &AppRole, addresses: Vec<String>) -> Self {
        Self { home: Home::new(login, &addresses[0]), addresses }
    }

    /// All nodes of a cluster.
    fn leader_first(cluster: &Cluster, login: &AppRole) -> Self {
        let mut addresses = cluster.addresses();
        addresses.swap(0, cluster.leader());
        Self::new(login, addresses)
    }

    fn flags(&self) -> Vec<&str> {
        self.addresses.iter().flat_map(|address| ["--address", address]).collect()
    }

    /// A run that ends when it is dropped.
    fn run(&self) -> Run {
        let flags = [self.flags(), vec!["--env", PASSWORD]].concat();
        self.home.run_started(&flags, "touch started; sleep 600")
    }

    /// What `leasehold get` prints, or what it says when it fails.
    fn get(&self) -> Result<String, String> {
        let words =
            [vec!["leasehold", "get", "-n"], self.flags(), vec!["vault://secret/db#password"]].concat();
        let got = self.home.command(&words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if got.status.success() { Ok(text(got.stdout)) } else { Err(text(got.stderr)) }
    }
}

/// The token of a run, and when it ended when it was first looked at.
pub(crate) struct Kept {
    accessor: String,
    end: String,
}

impl Kept {
    pub(crate) fn new(root: &Administrator, home: &Home) -> Self {
        let accessor = home.accessor();
        Self { end: end(root, &accessor), accessor }
    }

    /// Waits until it is renewed or has a successor, and makes sure that this was before its end.
    pub(crate) fn wait(&self, root: &Administrator, home: &Home) {
        let is_kept = || end(root, &self.accessor) != self.end || home.journal().held().len() > 1;
        soon("renewed or replaced", || is_kept().then_some(()));
        assert!(root.is_alive(&self.accessor));
    }
}

/// When the token of this accessor ends, as the server tells it.
fn end(root: &Administrator, accessor: &str) -> String {
    // A cluster without a leader knows nothing for a moment.
    let reply = soon("what a server says of a token", || {
        let asked = root.api("POST", "auth/token/lookup-accessor", Some(json!({ "accessor": accessor })));
        (asked.0 < 500).then_some(asked.1)
    });
    reply["data"]["expire_time"].as_str().unwrap_or_else(|| panic!("not alive: {reply}")).to_owned()
}

pub(crate) fn client(address: &str, token: &str) -> VaultClient {
    let settings = TransportSettings::new(vec![Address::parse(address).unwrap()]);
    let client = VaultClient::new(&settings, None).unwrap();
    client.set_token(Secret::new(token), None);
    client
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

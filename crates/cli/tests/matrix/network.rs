//! Servers that are down, sealed, silent, not to be found or not to be trusted.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use leasehold_testkit::{
    Canaries, EmptyServer, Fault, Hole, Port, Proxy, Server, Tap, authority, certificate, record, wait_for,
};
use serde_json::json;

use crate::asking::{SECRET, Told, ask, ask_with};
use crate::stage::{Home, Run, Stage, soon};

/// No caller waits longer for a server that is down.
const WAIT: Duration = Duration::from_secs(2);
/// So long after the server is back everything is good again.
const BACK: Duration = Duration::from_secs(5);
const LOGIN: &str = "POST /v1/auth/approle/login";
const READ: &str = "GET /v1/secret/data/db";

/// A run that holds a secret in a file, reads it again each second, and shows each value that it saw in `seen`.
fn holding(home: &Home, flags: &[&str]) -> Run {
    let script = "touch started; while sleep 0.05; do cat $LEASEHOLD_FILES/p >new && mv new seen; done";
    let file = ["--file", "p=vault://secret/db#password", "--refresh-interval", "1s"];
    home.run_started(&[&file, flags].concat(), script)
}

/// How long it takes until the run has a value that was just written.
fn fresh(stage: &Stage, home: &Home, value: &str) -> Duration {
    stage.rotate("secret/db", value);
    let begun = Instant::now();
    home.wait_for("seen", value);
    begun.elapsed()
}

fn assert_down(told: &Told, why: &str) {
    assert_eq!(told.code, Some(6), "{told:?}");
    assert!(told.said.contains(why), "{told:?}");
    assert!(told.took < WAIT, "{told:?}");
}

#[test]
fn long_row_01_a_server_that_is_killed_refuses_and_comes_back() {
    let mut stage = Stage::with_login(json!({"token_ttl": "12s"}));
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    let _run = holding(&home, &[]);
    home.wait_for("seen", "one");
    let first = home.accessor();

    proxy.set(Fault::Refuse);
    let callers = [&["get", SECRET][..], &["verify", "app", "secret/db"]];
    let told = callers.map(|words| ask(&stage.home_at(&proxy.address()), words));
    told.iter().for_each(|told| assert_down(told, "connection refused"));
    let longest = told.iter().map(|told| told.took).max().unwrap();
    assert_eq!(home.read("seen"), "one");
    proxy.set(Fault::Pass);
    let short = fresh(&stage, &home, "two");
    assert!(short < BACK, "{short:?}");
    assert_eq!((proxy.requests(LOGIN).len(), home.accessor()), (1, first.clone()), "the token is kept");

    proxy.set(Fault::Refuse);
    soon("the token's end", || (!stage.server.is_alive(&first)).then_some(()));
    let before = proxy.requests("").len();
    assert_eq!(home.read("seen"), "two", "a static secret has no end");
    proxy.set(Fault::Pass);
    let long = fresh(&stage, &home, "three");
    assert!(long < BACK, "{long:?}");
    assert!(proxy.requests("")[before].starts_with(LOGIN), "the old token is not used after its end");

    stage.server.kill();
    let told = ask(&stage.home(), &["get", SECRET]);
    assert_down(&told, "connection refused");
    record(
        "01",
        &format!(
            "a caller is told after at most {:.1?}; a value is fresh {short:.1?} after the server is back, and \
             {long:.1?} where the token has ended meanwhile; 0 requests with a token past its end",
            longest.max(told.took)
        ),
    );
}

#[test]
fn long_row_02_a_sealed_server_gets_no_login_and_costs_no_token() {
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    let _run = holding(&home, &[]);
    home.wait_for("seen", "one");
    let token = home.accessor();
    stage.server.seal();
    let told = ask(&stage.home(), &["get", SECRET]);
    assert_down(&told, "sealed");
    let before = proxy.requests("").len();
    soon("three more attempts", || (proxy.requests("").len() >= before + 3).then_some(()));
    assert_eq!((proxy.requests(LOGIN).len(), home.read("seen").as_str()), (1, "one"));
    stage.server.unseal();
    let back = fresh(&stage, &home, "two");
    assert!(back < BACK, "{back:?}");
    assert_eq!((proxy.requests(LOGIN).len(), home.accessor()), (1, token), "no login, the same token");

    let short = Stage::with_login(json!({"token_ttl": "4s"}));
    let proxy = Proxy::start(short.server.address());
    let home = short.home_at(&proxy.address());
    let _run = holding(&home, &[]);
    short.server.seal();
    let before = proxy.requests(LOGIN).len();
    let probes = || proxy.requests("GET /v1/sys/health").len();
    soon("probes beyond the token's end", || (probes() >= 4).then_some(()));
    let logins = proxy.requests(LOGIN).len() - before;
    assert_eq!(logins, 0, "it is asked whether it is open, without a secret");
    short.server.unseal();
    let anew = fresh(&short, &home, "two");
    assert!(anew < BACK, "{anew:?}");

    let empty = EmptyServer::start();
    let told = ask(&stage.home_at(empty.address()), &["get", SECRET]);
    assert_down(&told, "sealed");
    record(
        "02",
        &format!(
            "0 logins while sealed, be the token good still or not; good again {back:.1?} and {anew:.1?} after the \
             unsealing; the same token where it lived on"
        ),
    );
}

#[test]
fn long_row_06_a_server_that_hangs_after_accepting() {
    let stage = Stage::with_login(json!({"token_ttl": "6s"}));
    let proxy = Proxy::start(stage.server.address());
    let home = stage.home_at(&proxy.address());
    let run = holding(&home, &[]);
    home.wait_for("seen", "one");
    let token = home.accessor();
    // What clients read hangs, for longer than the token lives without a renewal.
    proxy.set_for(READ, Fault::Hang, usize::MAX);
    proxy.wait_for("renew", proxy.requests("renew").len() + 2);
    let renewals = proxy.requests("renew").len();
    soon("a third renewal", || (proxy.requests("renew").len() > renewals).then_some(()));
    assert!(stage.server.is_alive(&token), "{}", run.said());
    let reading = ask(&stage.home_at(&proxy.address()), &["get", SECRET]);
    proxy.set(Fault::Hang);
    let all = ask(&stage.home_at(&proxy.address()), &["get", SECRET]);
    for told in [&reading, &all] {
        assert_eq!(told.code, Some(6), "{told:?}");
        assert!(told.said.contains("no answer in time"), "{told:?}");
        assert!(told.took < Duration::from_secs(8), "{told:?}");
    }
    record(
        "06",
        &format!(
            "a caller is told after {:.1?} where reading hangs and {:.1?} where all does; the token is renewed on time \
             meanwhile",
            reading.took, all.took
        ),
    );
}

#[test]
fn row_08_a_name_that_is_not_found_and_a_network_that_is_parted() {
    let stage = Stage::shared();
    let hole = Hole::open();
    let unknown = ask(&stage.home_at("http://no-such-host.invalid:8200"), &["get", SECRET]);
    assert_down(&unknown, "its name cannot be resolved");
    let parted = ask(&stage.home_at(&format!("http://127.0.0.1:{}", hole.port())), &["get", SECRET]);
    assert_down(&parted, "no connection in time");
    let by_name = stage.server.address().replace("127.0.0.1", "localhost");
    let told = ask(&stage.home_at(&by_name), &["get", SECRET]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), "one\n"), "{told:?}");
    record(
        "08",
        &format!(
            "a caller is told after {:.1?} where the name is not found and {:.1?} where the network is parted; the last \
             good addresses serve for 10 minutes without a resolver",
            unknown.took, parted.took
        ),
    );
}

/// A listener of the server with one certificate, and the address of a tap before it.
pub(crate) struct Front {
    name: &'static str,
    port: Port,
}

impl Front {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, port: Port::reserve() }
    }

    pub(crate) fn hcl(&self, folder: &Path) -> String {
        let (name, port, at) = (self.name, self.port.number(), folder.display());
        format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = \"{at}/{name}.pem\"\n \
             tls_key_file = \"{at}/{name}.key\"\n}}\n"
        )
    }

    pub(crate) fn tap(&self) -> (Tap, String) {
        let tap = Tap::before(&format!("127.0.0.1:{}", self.port.number()));
        let address = format!("https://127.0.0.1:{}", tap.port());
        (tap, address)
    }
}

/// Every connection began with a handshake of TLS, and none of the secrets was heard.
pub(crate) fn assert_sealed(tap: &Tap, canaries: &Canaries, place: &str) {
    let heard = tap.heard();
    canaries.assert_absent(&heard, place);
    assert_eq!(heard.first(), Some(&0x16), "{place} heard no handshake first");
    let text = String::from_utf8_lossy(&heard).to_lowercase();
    assert!(!text.contains("http/1.1") && !text.contains("x-vault"), "{place} heard plain text");
}

#[test]
fn long_row_09_certificates_that_are_not_to_be_trusted() {
    let folder = tempfile::TempDir::new().unwrap();
    let (path, good) = (folder.path(), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
    let ca = authority(path);
    certificate(path, "good", good, 1);
    certificate(path, "expired", good, -1);
    certificate(path, "other", "subjectAltName=DNS:vault.example\nbasicConstraints=CA:FALSE\n", 1);
    let fronts = ["good", "expired", "other"].map(Front::new);
    let config: String = fronts.iter().map(|front| front.hcl(path)).collect();
    let stage = Stage::at(Server::start_with(&config), json!({"token_ttl": "10m"}));
    let mut canaries = Canaries::default();
    canaries.watch(stage.secret_id());
    let stranger = tempfile::TempDir::new().unwrap();
    let other_ca = authority(stranger.path());

    let [right, expired, other] = &fronts;
    let mut longest = Duration::ZERO;
    for (front, ca, why) in [
        (expired, &ca, "has expired"),
        (other, &ca, "is for another name"),
        (right, &other_ca, "is signed by an authority that is not trusted here"),
    ] {
        let (tap, address) = front.tap();
        for words in [&["get", SECRET][..], &["run", "--env", "P=vault://secret/db#password", "--", "true"]] {
            let told = ask_with(&stage.home_at(&address), words, |command| {
                command.env("VAULT_CACERT", ca);
            });
            assert!(matches!(told.code, Some(6 | 125)) && told.said.contains(why), "{told:?}");
            longest = longest.max(told.took);
        }
        assert_eq!(tap.connections(), 2, "one handshake each: no storm");
        assert_sealed(&tap, &canaries, front.name);
    }
    assert!(longest < WAIT, "{longest:?}");
    let (storm, back) = replaced(&stage, right, &ca, &other_ca, &canaries);
    record(
        "09",
        &format!(
            "expired, other name and other authority each end a start within {longest:.1?} after 1 handshake; a run \
             made {storm} in 5 s, and was good again {back:.1?} after its authority's file was put right; 0 bytes in \
             plain text"
        ),
    );
}

/// A run whose authority's file is replaced by a wrong one and back: handshakes in five seconds, and how long until it
/// was good again.
fn replaced(
    stage: &Stage,
    front: &Front,
    right: &Path,
    wrong: &Path,
    canaries: &Canaries,
) -> (usize, Duration) {
    let (tap, address) = front.tap();
    let home = stage.home_at(&address);
    let file = home.path("ca.pem");
    let put = |from: &Path| {
        fs::copy(from, home.path("new.pem")).unwrap();
        fs::rename(home.path("new.pem"), &file).unwrap();
    };
    put(right);
    let run = holding(&home, &["--ca-cert", &file.display().to_string()]);
    home.wait_for("seen", "one");
    put(wrong);
    tap.cut();
    let before = tap.connections();
    soon("a handshake that fails", || (tap.connections() > before).then_some(()));
    assert!(wait_for(Duration::from_secs(5), || (tap.connections() > before + 10).then_some(())).is_none());
    let storm = tap.connections() - before;
    assert!(run.said().contains("not trusted here"), "{}", run.said());
    put(right);
    let back = fresh(stage, &home, "two");
    assert!(back < BACK, "{back:?}");
    assert_sealed(&tap, canaries, "the run");
    (storm, back)
}

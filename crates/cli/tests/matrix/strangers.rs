//! No token to strangers: whatever points elsewhere, not a byte of a secret goes to an address that was not configured.

use std::fs;
use std::process::Command;

use leasehold_testkit::{Canaries, Fault, Proxy, Server, Tap, authority, certificate, record};
use serde_json::json;

use crate::asking::{SECRET, ask_with};
use crate::network::{Front, assert_sealed};
use crate::stage::{Home, Stage};

const READ: &str = "GET /v1/secret/data/db";

/// A server behind a proxy, a stranger, and what the stranger must not hear.
struct Scene {
    stage: Stage,
    proxy: Proxy,
    stranger: Tap,
    token: String,
    canaries: Canaries,
    cases: usize,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new();
        let proxy = Proxy::start(stage.server.address());
        let token = stage.server.token(json!({"ttl": "10m", "policies": ["app"]}));
        let mut canaries = Canaries::default();
        let password = canaries.plant("password");
        stage.rotate("secret/db", &password);
        canaries.watch(stage.secret_id());
        canaries.watch(&token);
        Self { stage, proxy, stranger: Tap::stranger(), token, canaries, cases: 0 }
    }

    /// `TEMPLATE` with `STRANGER` for the stranger's host and port, `PORT` for its port, `SERVER` for the proxy's host and
    /// port.
    fn fill(&self, template: &str) -> String {
        let port = self.stranger.port().to_string();
        let server = self.proxy.address().replace("http://", "");
        template
            .replace("STRANGER", &format!("127.0.0.1:{port}"))
            .replace("PORT", &port)
            .replace("SERVER", &server)
    }

    /// Runs `leasehold get` in a changed environment, by AppRole and by a token, and looks at what the stranger heard.
    fn check(&mut self, name: &str, expect: Expect, change: impl Fn(&Home, &mut Command)) {
        for by_token in [false, true] {
            let home = self.stage.home_at(&self.proxy.address());
            let told = ask_with(&home, &["get", SECRET], |command| {
                if by_token {
                    command.env_remove("VAULT_ROLE_ID").env_remove("VAULT_SECRET_ID");
                    command.env("VAULT_TOKEN", &self.token);
                }
                change(&home, command);
            });
            self.canaries.assert_absent(&self.stranger.heard(), name);
            self.canaries.assert_absent(told.said.as_bytes(), name);
            assert_eq!(told.code == Some(0), expect == Served, "{name}: {told:?}");
            assert!(!told.out.contains("stranger"), "{name}: a stranger's value was taken");
        }
        assert_eq!(self.stranger.connections(), 0, "{name}: somebody came to the stranger");
        self.cases += 1;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The server answers as if nothing were.
    Served,
    /// Nothing comes of it.
    Refused,
}

use Expect::{Refused, Served};

/// Where redirects lead.
const LOCATIONS: &[&str] = &[
    "http://STRANGER/v1/secret/data/db",
    "http://localhost:PORT/v1/secret/data/db",
    "https://STRANGER/v1/secret/data/db",
    "http://SERVER@STRANGER/v1/secret/data/db",
    "http://user:password@STRANGER/v1/secret/data/db",
    "http://SERVER%40STRANGER/v1/secret/data/db",
    "http://SERVER\\@STRANGER/v1/secret/data/db",
    "http://SERVER#@STRANGER/v1/secret/data/db",
    "http://SERVER?@STRANGER/v1/secret/data/db",
    "//STRANGER/v1/secret/data/db",
    "\\\\STRANGER/v1/secret/data/db",
    "HTTP://STRANGER/v1/secret/data/db",
    "http:STRANGER/v1/secret/data/db",
    "http://[::ffff:127.0.0.1]:PORT/v1/secret/data/db",
    "http://2130706433:PORT/v1/secret/data/db",
    "http://0x7f.1:PORT/v1/secret/data/db",
];

/// Variables that send other programs through a proxy, or to another server.
const VARIABLES: &[(&str, &str)] = &[
    ("HTTP_PROXY", "http://STRANGER"),
    ("http_proxy", "http://STRANGER"),
    ("HTTPS_PROXY", "http://STRANGER"),
    ("https_proxy", "http://STRANGER"),
    ("ALL_PROXY", "socks5://STRANGER"),
    ("all_proxy", "http://STRANGER"),
    ("VAULT_HTTP_PROXY", "http://STRANGER"),
    ("VAULT_PROXY_ADDR", "http://STRANGER"),
    ("BAO_PROXY_ADDR", "http://STRANGER"),
    ("VAULT_AGENT_ADDR", "http://STRANGER"),
    ("BAO_AGENT_ADDR", "http://STRANGER"),
    ("VAULT_SRV_LOOKUP", "true"),
    ("RES_OPTIONS", "ndots:0"),
];

/// Addresses that look like the server's and are not, or not only. None is gone to.
const ADDRESSES: &[&str] = &[
    "http://SERVER@STRANGER",
    "http://user:password@STRANGER",
    "http://STRANGER/v1",
    "http://STRANGER?x=SERVER",
    "http://STRANGER#SERVER",
    "http://STRANGER\\@SERVER",
    "http://STRANGER SERVER",
    "http://STRANGER\r\nHost: SERVER",
    "//STRANGER",
    "STRANGER",
    "ftp://STRANGER",
];

#[test]
fn long_no_token_goes_to_a_stranger() {
    let mut scene = Scene::new();
    redirects(&mut scene);
    variables(&mut scene);
    addresses(&mut scene);
    chains(&mut scene);
    certificates(&mut scene);
    let cases = scene.cases;
    assert!(cases >= 20);
    assert_eq!(scene.stranger.connections(), 0, "somebody came to the stranger in the end");
    record(
        "strangers",
        &format!(
            "{cases} cases (redirects, proxy variables, user parts, schemes, names, certificates), by AppRole and by token: \
             0 bytes of a token, secret id or value, and {} connections, at an address that was not configured",
            scene.stranger.connections()
        ),
    );
}

fn redirects(scene: &mut Scene) {
    for location in LOCATIONS {
        let to = scene.fill(location);
        scene.proxy.set(Fault::redirect(307, &to));
        scene.check(location, Refused, |_, _| {});
    }
    let to = scene.fill(LOCATIONS[0]);
    for status in [300, 301, 302, 303, 305, 308] {
        scene.proxy.set(Fault::redirect(status, &to));
        scene.check(&format!("{status} to {to}"), Refused, |_, _| {});
    }
    for header in ["refresh: 0; url=", "content-location: ", "alt-svc: h2=", "link: "] {
        scene.proxy.set(Fault::with_headers(200, &format!("{header}{to}\r\n"), ""));
        scene.check(header, Refused, |_, _| {});
    }
    for part in [READ, "GET /v1/sys/internal"] {
        scene.proxy.set(Fault::Pass);
        scene.proxy.set_for(part, Fault::redirect(307, &to), usize::MAX);
        scene.check(part, Refused, |_, _| {});
    }
    scene.proxy.set(Fault::Pass);
}

fn variables(scene: &mut Scene) {
    for (name, value) in VARIABLES {
        let value = scene.fill(value);
        scene.check(name, Served, |_, command| {
            command.env(name, &value);
        });
    }
    let by_name = scene.proxy.address().replace("127.0.0.1", "localhost");
    scene.check("HOSTALIASES", Served, |home, command| {
        fs::write(home.path("hosts"), "localhost stranger.invalid\n").unwrap();
        command.env("HOSTALIASES", "hosts").env("VAULT_ADDR", &by_name);
    });
    let everything = scene.fill("http://STRANGER");
    scene.check("all of them, and no exception", Served, |_, command| {
        command.envs(VARIABLES[..6].iter().map(|(name, _)| (name, &everything)));
        command.env("NO_PROXY", "").env("no_proxy", "nowhere");
    });
    let other = scene.fill("http://STRANGER");
    for name in ["BAO_ADDR", "VAULT_ADDRESS"] {
        scene.check(name, Refused, |_, command| {
            command.env(name, &other);
        });
    }
    let netrc = scene.fill("machine 127.0.0.1 login STRANGER password x\n");
    scene.check(".netrc", Served, |home, _| fs::write(home.path(".netrc"), &netrc).unwrap());
    let curl = scene.fill("proxy = http://STRANGER\n");
    scene.check(".curlrc", Served, |home, _| fs::write(home.path(".curlrc"), &curl).unwrap());
}

fn addresses(scene: &mut Scene) {
    for address in ADDRESSES {
        let address = scene.fill(address);
        scene.check(&address, Refused, |_, command| {
            command.env("VAULT_ADDR", &address);
        });
    }
}

/// A redirect to a configured address, which points on.
fn chains(scene: &mut Scene) {
    let second = Proxy::start(scene.stage.server.address());
    let (first, to) = (scene.proxy.address(), scene.fill(LOCATIONS[0]));
    scene.proxy.set(Fault::redirect(307, &second.address()));
    for (name, location) in [("a chain to a stranger", &to), ("a chain in a circle", &first)] {
        second.set(Fault::redirect(307, location));
        scene.check(name, Refused, |home, command| {
            let both = format!("[server]\naddress = [\"{first}\", \"{}\"]\n", second.address());
            fs::write(home.path("leasehold.toml"), both).unwrap();
            command.env_remove("VAULT_ADDR");
        });
    }
    scene.proxy.set(Fault::Pass);
}

/// A name that leads to somebody else: whoever cannot show the name's certificate hears a handshake and no more.
fn certificates(scene: &mut Scene) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path();
    let ca = authority(path);
    certificate(path, "other", "subjectAltName=DNS:vault.example\nbasicConstraints=CA:FALSE\n", 1);
    let front = Front::new("other");
    let _other = Server::start_with(&front.hcl(path));
    let (tap, of_another) = front.tap();
    let plain = Tap::stranger();
    let no_tls = format!("https://127.0.0.1:{}", plain.port());
    for (name, address) in [
        ("an address that moved to a server with another certificate", of_another.clone()),
        ("a name that moved there", of_another.replace("127.0.0.1", "localhost")),
        ("an address that moved to a server without TLS", no_tls.clone()),
        ("a name that moved there", no_tls.replace("127.0.0.1", "localhost")),
    ] {
        scene.check(name, Refused, |_, command| {
            command.env("VAULT_ADDR", &address).env("VAULT_CACERT", &ca);
        });
    }
    for tap in [tap, plain] {
        assert!(tap.connections() >= 4);
        assert_sealed(&tap, &scene.canaries, "a stranger behind a name");
    }
}

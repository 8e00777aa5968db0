//! The examples, run against a real server as a reader would run them.

use std::time::Duration;

use http::Request;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{Covering, Signer};
use leasehold::token_cache::TokenCache;
use leasehold_testkit::{Canaries, Server, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::asked::{Answer, PATIENCE, ask, send};
use crate::program::Program;

/// A server, the file with the token of those who come to it, and a peers' token at `secret/example/token`.
struct Scene {
    server: Server,
    file: String,
    canaries: Canaries,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let (server, mut canaries) = (Server::start(), Canaries::default());
        let file = server.folder().join("token").to_str().unwrap().to_owned();
        std::fs::write(&file, server.root_token()).unwrap();
        canaries.watch(server.root_token());
        let token = canaries.plant("first");
        Self { server, file, canaries, token }
    }

    fn put_token(&self) {
        self.server.put_secret("secret/example/token", json!({ "token": self.token }));
    }

    fn start(&self, name: &'static str, words: &[&str], variables: &[(&str, &str)]) -> Program {
        Program::start(name, words, variables, self.server.folder())
    }

    fn axum_service(&self) -> Program {
        self.start("axum_service", &[self.server.address(), &self.file, "127.0.0.1:0"], &[])
    }

    /// Waits until another token has been written over the first, and says which.
    fn next_token(&self, path: &str) -> String {
        let written = || {
            let (_, reply) = self.server.api("GET", path, None);
            let data = &reply["data"];
            (data["metadata"]["version"] == 2).then(|| data["data"]["token"].as_str().unwrap().to_owned())
        };
        wait_for(PATIENCE, written).expect("another token")
    }
}

/// Sends a command that is signed with this token.
fn command(address: &str, token: &str) -> Answer {
    let tokens = TokenCache::new(Clock::default(), Duration::ZERO);
    tokens.rotate(Secret::new(token));
    let signer = Signer::new(tokens, "agent-1", Covering::Body).unwrap();
    let mut request = Request::post("/commands").body("reboot").unwrap();
    signer.sign(&mut request).unwrap();
    let header = |(name, value): (_, &http::HeaderValue)| format!("{name}: {}\r\n", value.to_str().unwrap());
    let headers: String = request.headers().iter().map(header).collect();
    send(address, "POST /commands", &headers, "reboot")
}

fn assert_done(address: &str, token: &str) {
    let answer = command(address, token);
    assert_eq!((answer.status, &*answer.body), (200, "done for agent-1"), "{answer:?}");
}

/// Waits until the health is so, and says what it is.
fn health(address: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let look = || {
        let health: Value = serde_json::from_str(&ask(address, "GET /health").body).unwrap();
        is_so(&health).then_some(health)
    };
    wait_for(PATIENCE, look).unwrap_or_else(|| panic!("{:?}", ask(address, "GET /health")))
}

fn is_refreshed(health: &Value) -> bool {
    health["last_refresh_ok"] == true
}

#[test]
fn a_blocking_program_tells_its_health() {
    let scene = Scene::new();
    let token = scene.server.token(json!({ "ttl": "48h" }));
    std::fs::write(&scene.file, &token).unwrap();
    let words = [scene.server.address(), &scene.file, "127.0.0.1:0"];
    let mut program = scene.start("blocking_service", &words, &[]);
    let address = program.address();
    let well = || Some(ask(&address, "GET /health/vault")).filter(|answer| answer.status == 200);
    let body = wait_for(PATIENCE, well).expect("a healthy service").body;
    assert!(body.starts_with(r#"{"healthy":true,"ttl_hours":4"#), "{body}");
    assert!(ask(&address, "GET /metrics/vault").body.contains(r#""needs_renewal":false"#));
    let metrics = ask(&address, "GET /metrics").body;
    assert!(metrics.contains("\nleasehold_failures_total 0\n") && !metrics.contains(&token));
    assert_eq!(ask(&address, "GET /").status, 404);
    program.signal(Signal::SIGTERM);
    assert!(program.ends_well().ends_with("stopped\n"));
}

#[test]
fn what_goes_wrong_is_told_in_words() {
    let scene = Scene::new();
    let words = [scene.server.address(), "/nonexistent/token", "a place without a port"];
    for name in ["axum_service", "signed_agent", "blocking_service"] {
        let told = scene.start(name, &words, &[]).fails();
        assert!(told.contains("error: ") && !told.contains("Inner"), "{name}: {told}");
    }
}

#[test]
fn a_service_on_axum_takes_commands_through_a_rotation() {
    let mut scene = Scene::new();
    scene.put_token();
    let (first, second) = (scene.token.clone(), scene.canaries.plant("second"));
    let mut service = scene.axum_service();
    let address = service.address();
    health(&address, is_refreshed);
    assert_done(&address, &first);
    assert_eq!(command(&address, &second).status, 401);
    scene.token = second.clone();
    scene.put_token();
    service.signal(Signal::SIGHUP);
    service.tells("the peers' token is number 2 now");
    assert_done(&address, &second);
    assert_done(&address, &first);
    let pages = ["/health", "/health/vault", "/metrics/vault", "/metrics"].map(|path| {
        let answer = ask(&address, &format!("GET {path}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    });
    assert!(pages[3].contains("\nhmac_verification_failures_total 1\n"), "{}", pages[3]);
    service.signal(Signal::SIGTERM);
    let told = service.ends_well();
    assert!(told.contains("audit: Token rotated") && told.contains("audit: Request refused"), "{told}");
    assert!(told.contains("agent-1 says: reboot\n") && told.ends_with("stopped\n"), "{told}");
    scene.canaries.assert_absent(told.as_bytes(), "what it tells");
    scene.canaries.assert_absent(pages.concat().as_bytes(), "its pages");
}

#[test]
fn both_healths_of_a_service_tell_that_its_token_is_dead() {
    let scene = Scene::new();
    scene.put_token();
    scene.server.policy("reads", r#"path "secret/data/example/token" { capabilities = ["read"] }"#);
    let token = scene.server.token(json!({ "ttl": "48h", "policies": ["default", "reads"] }));
    std::fs::write(&scene.file, &token).unwrap();
    let mut service = scene.axum_service();
    let address = service.address();
    health(&address, is_refreshed);
    let becomes = |status| {
        let same = || Some(ask(&address, "GET /health/vault")).filter(|answer| answer.status == status);
        wait_for(PATIENCE, same).unwrap_or_else(|| panic!("not {status}"))
    };
    becomes(200);
    assert_eq!(scene.server.api("POST", "auth/token/revoke", Some(json!({ "token": token }))).0, 204);
    // The refresh reads; the manager's next look would be in five minutes.
    service.signal(Signal::SIGHUP);
    health(&address, |health| !is_refreshed(health));
    becomes(503);
}

#[test]
fn an_agent_and_its_peer_go_through_a_rotation_and_nothing_is_refused() {
    let mut scene = Scene::new();
    scene.put_token();
    let mut peer = scene.axum_service();
    let address = peer.address();
    health(&address, is_refreshed);
    let agent = scene.start("signed_agent", &[scene.server.address(), &scene.file, &address], &[]);
    let next = scene.next_token("secret/data/example/token");
    scene.canaries.watch(&next);
    peer.signal(Signal::SIGHUP);
    let told = agent.ends_well();
    let accepted = told.lines().find(|line| line.starts_with("accepted ")).unwrap();
    let counts = accepted.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    let counts: Vec<_> = counts.collect();
    assert!(matches!(counts[..], [first, then, 0] if first > 0 && then >= 100), "{told}");
    assert!(ask(&address, "GET /metrics").body.contains("\nhmac_verification_failures_total 0\n"));
    scene.canaries.assert_absent(told.as_bytes(), "what the agent tells");
}

#[test]
fn a_static_token_becomes_one_that_rotates_in_four_phases() {
    let mut scene = Scene::new();
    let (first, root) = (scene.token.clone(), scene.server.root_token().to_owned());
    let agent_token = ("AGENT_TOKEN", &*first);
    let vault = [
        ("VAULT_ADDRESS", scene.server.address()),
        ("VAULT_TOKEN", &*root),
        ("VAULT_AGENT_PATH_PREFIX", "secret"),
        ("DEPLOYMENT_HASH", "d-1"),
    ];
    let with_token = [&vault[..], &[agent_token]].concat();
    let (serve, mut told) = (["serve", "127.0.0.1:0"], String::new());

    let mut service = scene.start("migration", &serve, &[agent_token]);
    let address = service.address();
    assert!(health(&address, |_| true)["last_refresh_ok"].is_null(), "phase 1");
    assert_done(&address, &first);
    service.signal(Signal::SIGINT);
    told += &service.ends_well();

    told += &scene.start("migration", &["prepare"], &with_token).ends_well();
    assert!(told.ends_with("stored, and read again\n"), "phase 2: {told}");

    let mut service = scene.start("migration", &serve, &with_token);
    let address = service.address();
    assert!(health(&address, is_refreshed)["token_age_seconds"].is_u64(), "phase 3");
    assert_done(&address, &first);

    let rotate = ["rotate", &format!("http://{address}/health")];
    let rotation = scene.start("migration", &rotate, &vault);
    let second = scene.next_token("secret/data/d-1/token");
    // Its peer has it first, and nobody tells the service.
    assert_done(&address, &second);
    assert_done(&address, &first);
    told += &rotation.ends_well();
    assert!(told.ends_with(&format!("{} shows it\n", rotate[1])), "phase 4: {told}");
    service.signal(Signal::SIGINT);
    told += &service.ends_well();

    let mut service = scene.start("migration", &serve, &with_token);
    let address = service.address();
    health(&address, is_refreshed);
    assert_done(&address, &second);
    assert_eq!(command(&address, &first).status, 401, "it was not taken away, and is refused all the same");
    service.signal(Signal::SIGINT);
    told += &service.ends_well();
    scene.canaries.watch(&second);
    scene.canaries.assert_absent(told.as_bytes(), "what the phases tell");
}

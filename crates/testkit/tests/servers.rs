//! The harness itself: what it starts is real, does what it says, and is gone afterwards.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that starts itself again as a process that dies"
)]

use leasehold_testkit::{Cluster, EmptyServer, Postgres, Server, wait_for};
use serde_json::json;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

fn is_open(address: &str) -> bool {
    let (_, host) = address.split_once("://").unwrap();
    TcpStream::connect(host).is_ok()
}

#[test]
fn a_server_answers_and_is_gone_after_drop() {
    let server = Server::start();
    let (address, folder) = (server.address().to_owned(), server.folder().to_owned());
    let (status, health) = server.api("GET", "sys/health", None);
    assert_eq!((status, &health["sealed"]), (200, &json!(false)));
    assert!(!folder.join(".vault-token").exists());
    drop(server);
    assert!(!is_open(&address));
    assert!(!folder.exists());
}

#[test]
fn a_server_does_not_survive_a_test_process_that_aborts() {
    if env::var_os("TESTKIT_DOOMED").is_some() {
        let server = Server::start();
        writeln!(std::io::stderr(), "{}", server.address()).unwrap();
        std::process::abort();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut doomed = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_server_does_not_survive_a_test_process_that_aborts", "--nocapture"])
        .env("TESTKIT_DOOMED", "1")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(doomed.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| line.ok().filter(|line| line.starts_with("http://"))).unwrap();
    doomed.wait().unwrap();
    let begin = Instant::now();
    while is_open(&address) {
        assert!(begin.elapsed() < Duration::from_secs(5), "{address} is still open");
    }
}

#[test]
fn secrets_have_versions() {
    let server = Server::start();
    assert_eq!(server.put_secret("secret/db", json!({ "password": "blue" })), 1);
    assert_eq!(server.put_secret("secret/db", json!({ "password": "green" })), 2);
    let (_, reply) = server.api("GET", "secret/data/db?version=1", None);
    assert_eq!(reply["data"]["data"]["password"], "blue");
    server.engine("old", "kv", json!({ "options": { "version": "1" } }));
    assert_eq!(server.api("POST", "old/db", Some(json!({ "password": "red" }))).0, 204);
    assert_eq!(server.api("GET", "old/db", None).1["data"]["password"], "red");
}

#[test]
fn an_approle_logs_in_with_its_policy_and_its_token_dies_on_revoke() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "password": "blue" }));
    server.policy("app", r#"path "secret/data/db" { capabilities = ["read"] }"#);
    let role = server.approle("app", &["app"], json!({ "token_ttl": "60s" }));
    let before = server.accessors();
    let login = json!({ "role_id": role.role_id, "secret_id": role.secret_id });
    let (status, reply) = server.api_as("", "POST", "auth/approle/login", Some(login), None);
    assert_eq!((status, &reply["auth"]["lease_duration"]), (200, &json!(60)));
    let token = reply["auth"]["client_token"].as_str().unwrap();
    let accessor = reply["auth"]["accessor"].as_str().unwrap().to_owned();
    assert_eq!(server.api_as(token, "GET", "secret/data/db", None, None).0, 200);
    assert_eq!(server.api_as(token, "GET", "secret/data/other", None, None).0, 403);
    assert!(
        !before.contains(&accessor) && server.accessors().contains(&accessor) && server.is_alive(&accessor)
    );
    assert_eq!(server.api_as(token, "POST", "auth/token/revoke-self", None, None).0, 204);
    assert!(!server.is_alive(&accessor));
    assert_eq!(server.accessors(), before);
}

#[test]
fn namespaces_keep_their_secrets_apart() {
    let server = Server::start();
    assert_eq!(server.api("POST", "sys/namespaces/team", None).0, 200);
    let root = server.root_token();
    let mount = json!({ "type": "kv" });
    assert_eq!(server.api_as(root, "POST", "sys/mounts/own", Some(mount), Some("team")).0, 204);
    assert_eq!(server.api_as(root, "POST", "own/db", Some(json!({ "a": "b" })), Some("team")).0, 204);
    assert_eq!(server.api_as(root, "GET", "own/db", None, Some("team")).0, 200);
    assert_eq!(server.api("GET", "own/db", None).0, 404);
}

#[test]
fn a_sealed_server_forgets_nothing_and_a_killed_one_everything() {
    let mut server = Server::start();
    server.put_secret("secret/db", json!({ "password": "blue" }));
    server.seal();
    assert_eq!(server.api("GET", "secret/data/db", None).0, 503);
    server.unseal();
    assert_eq!(server.api("GET", "secret/data/db", None).0, 200);
    server.kill();
    assert!(!is_open(server.address()));
}

#[test]
fn a_stopped_server_takes_connections_and_answers_none() {
    let server = Server::start();
    server.stop();
    let (_, host) = server.address().split_once("://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(b"GET /v1/sys/health HTTP/1.0\r\n\r\n").unwrap();
    assert!(stream.read(&mut [0; 16]).is_err());
    server.cont();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(stream.read(&mut [0; 16]).is_ok_and(|read| read > 0));
}

#[test]
fn tls_is_vouched_for_by_the_given_authority_and_the_witness_goes_round_it() {
    let server = Server::start_tls();
    assert!(server.address().starts_with("https://127.0.0.1:"));
    let ca = std::fs::read_to_string(server.ca_cert()).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(server.put_secret("secret/db", json!({ "password": "blue" })), 1);
    let (_, host) = server.address().split_once("://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(b"GET /v1/sys/health HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("400"), "a TLS port that takes plain text: {answer}");
}

#[test]
fn more_configuration_can_open_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bao.sock");
    let listener =
        format!("listener \"unix\" {{\n address = \"{}\"\n tls_disable = true\n}}", socket.display());
    let _server = Server::start_with(&listener);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /v1/sys/health HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

#[test]
fn database_logins_work_and_die_on_revoke() {
    let postgres = Postgres::start();
    let server = Server::start();
    server.database(&postgres, "app", "60s", "120s");
    let (status, reply) = server.api("GET", "database/creds/app", None);
    assert_eq!((status, &reply["lease_duration"]), (200, &json!(60)));
    let field = |name| reply["data"][name].as_str().unwrap().to_owned();
    let (user, password) = (field("username"), field("password"));
    assert!(postgres.accepts(&user, &password));
    assert!(!postgres.accepts(&user, "wrong"));
    assert_eq!(postgres.roles(), ["leasehold".to_owned(), user.clone()]);
    let lease = reply["lease_id"].as_str().unwrap();
    assert_eq!(server.leases("database/creds/app"), [lease]);
    server.api("POST", "sys/leases/revoke", Some(json!({ "lease_id": lease, "sync": true })));
    assert!(!postgres.accepts(&user, &password));
    assert_eq!(postgres.roles(), ["leasehold"]);
    assert!(server.leases("database/creds/app").is_empty());
}

#[test]
fn a_cluster_survives_its_leader_and_not_the_loss_of_two() {
    let mut cluster = Cluster::start();
    cluster.put_secret("secret/db", json!({ "password": "blue" }));
    let first = cluster.leader();
    cluster.kill(first);
    let second = cluster.leader();
    assert_ne!(first, second);
    assert!(!is_open(&cluster.addresses()[first]));
    assert_eq!(cluster.api("GET", "secret/data/db", None).1["data"]["data"]["password"], "blue");
    cluster.restart(first);
    let health = |node| cluster.api_at(node, "GET", "sys/health", None).map(|(status, _)| status);
    assert!(matches!(health(first), Some(200 | 429)));
    let leader = cluster.leader();
    let others = cluster.others(leader);
    others.iter().for_each(|node| cluster.stop(*node));
    let write = || cluster.api_at(leader, "POST", "secret/data/db", Some(json!({ "data": {} })));
    assert_eq!(write().map(|(status, _)| status), Some(500));
    others.iter().for_each(|node| cluster.cont(*node));
    cluster.leader();
}

#[test]
fn a_leader_steps_down_and_each_node_can_be_sealed() {
    let mut cluster = Cluster::start();
    let first = cluster.leader();
    cluster.step_down();
    let health = |cluster: &Cluster, node| cluster.api_at(node, "GET", "sys/health", None).unwrap().0;
    wait_for(SOON, || (health(&cluster, first) == 429).then_some(())).expect("it follows");
    let leader = cluster.leader();
    let standby = cluster.others(leader)[0];
    for node in [standby, leader] {
        cluster.seal(node);
        assert_eq!(health(&cluster, node), 503);
        cluster.unseal(node);
    }
}

#[test]
fn a_full_audit_disk_fails_every_request_and_not_the_health() {
    let server = Server::start_audited();
    let token = server.token(json!({ "ttl": "60s" }));
    let look = || server.api_as(&token, "GET", "auth/token/lookup-self", None, None);
    server.fill_disk();
    assert_eq!(look(), (500, json!({ "errors": ["internal error"] })));
    assert_eq!(server.api("GET", "sys/health", None).0, 200);
    server.free_disk();
    assert_eq!(look().0, 200);
}

#[test]
fn a_limit_refuses_until_it_is_lifted() {
    let server = Server::start();
    for is_told in [false, true] {
        server.limit("secret/", 1, 60, is_told);
        let read = || server.api("GET", "secret/data/none", None).0;
        assert_eq!((read(), read()), (404, 429), "{is_told}");
        server.lift_limit();
        assert_eq!(read(), 404);
    }
}

#[test]
fn an_empty_server_is_not_initialised() {
    let server = EmptyServer::start();
    let (_, host) = server.address().split_once("://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(b"GET /v1/sys/health HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 501"), "{answer}");
}

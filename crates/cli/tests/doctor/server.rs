//! The server, the login, and the keys that are on the server.

use std::fs;
use std::process::Output;
use std::time::Instant;

use leasehold_testkit::{Hole, Listener, Server, answer};
use serde_json::{Value, json};

use super::{BOUND, Host, Report};
use crate::stage::{self, Home, Stage, lay_out};

/// The doctor in a home with a login to a server.
fn examined(home: &Home, flags: &[&str]) -> Report {
    let words = [&[env!("CARGO_BIN_EXE_leasehold"), "doctor", "--json"], flags].concat();
    told(home.command(&words).output().unwrap())
}

fn told(output: Output) -> Report {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8(output.stderr).unwrap();
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    Report { code: output.status.code().unwrap(), checks, said }
}

const OF_SERVER: [&str; 2] = ["--only", "server,clock,login,token,child-tokens,journal"];

#[test]
fn a_server_its_login_and_its_token() {
    let stage = Stage::with_login(json!({ "token_ttl": "10m" }));
    let report = examined(&stage.home(), &OF_SERVER);
    report.exits(0).expect("server", "ok", "unsealed and active, version").expect("clock", "ok", "agree");
    report.expect("login", "ok", "by approle").expect("token", "ok", "a short token_ttl");
    report.expect("child-tokens", "ok", "each run gets a token of its own");
    assert_eq!(stage.tokens(), 0, "the token of the doctor is revoked");
    let report = examined(&stage.home(), &["--offline"]);
    report.expect("login", "skipped", "--offline").expect("server", "skipped", "");

    stage.server.policy("app", r#"path "secret/data/*" { capabilities = ["read"] }"#);
    let report = examined(&stage.home(), &OF_SERVER);
    report.exits(7).expect("child-tokens", "warning", "path \\\"auth/token/create\\\"");

    let home = stage.home();
    let mut brought = home.command(&[env!("CARGO_BIN_EXE_leasehold"), "doctor", "--only", "login,token"]);
    brought.env_remove("VAULT_ROLE_ID").env_remove("VAULT_SECRET_ID");
    let output = brought.env("VAULT_TOKEN", stage.server.root_token()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("it does not end") && !text.contains(stage.server.root_token()), "{text}");
    assert_eq!(stage.server.accessors().len(), 1, "a token that was brought is not revoked");
}

#[test]
fn a_batch_token_cannot_be_shortened_and_has_none_below_it() {
    let stage = Stage::with_login(json!({ "token_ttl": "10m", "token_type": "batch" }));
    let report = examined(&stage.home(), &OF_SERVER);
    report.exits(7).expect("token", "warning", "after a crash").expect("child-tokens", "warning", "service");
}

#[test]
fn a_server_that_does_not_work_is_told_apart() {
    let server = Server::start();
    let login = lay_out(&server, json!({ "token_ttl": "10m" }));
    let wrong = leasehold_testkit::AppRole { secret_id: "wrong".into(), role_id: login.role_id.clone() };
    let report = examined(&Home::new(&wrong, server.address()), &OF_SERVER);
    report.exits(8).expect("server", "ok", "").expect("login", "failure", "").expect("token", "skipped", "");

    server.seal();
    let report = examined(&Home::new(&login, server.address()), &OF_SERVER);
    report.exits(8).expect("server", "failure", "is sealed").expect("login", "skipped", "not up");

    let hole = Hole::open();
    for address in ["http://127.0.0.1:1".to_owned(), format!("http://127.0.0.1:{}", hole.port())] {
        let began = Instant::now();
        let report = examined(&Home::new(&login, &address), &OF_SERVER);
        assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
        report.exits(8).expect("server", "failure", &address).expect("clock", "skipped", "");
    }
}

#[test]
fn a_clock_that_is_off_is_told() {
    let listener = Listener::start(|_| {
        let health = json!({ "initialized": true, "sealed": false, "server_time_utc": 1_000_000_000 });
        answer(200, "content-type: application/json\r\n", &health.to_string())
    });
    let mut host = Host::new();
    host.set("VAULT_ADDR", &listener.address());
    host.doctor(&["--only", "clock"]).exits(7).expect("clock", "warning", "ahead of the server's");
    assert_eq!(listener.requests().len(), 1, "nothing but its health was asked for");
    host.doctor(&["--only", "login"]).exits(7).expect("login", "warning", "there is no token");
}

#[test]
fn keys_on_the_server_are_looked_at_with_a_login_and_missed_without() {
    let stage = Stage::new();
    stage.server.put_secret("secret/ai", json!({ "openai": "canary" }));
    let home = stage.home();
    let manifest = json!({ "providers": {
        "there": { "vault_key": "vault://secret/ai#openai" },
        "lost": { "vault_key": "vault://secret/ai#none" },
        "here": { "vault_key": "env://HOME" },
    } });
    fs::write(home.path("m.json"), manifest.to_string()).unwrap();
    let secrets = ["--manifest", "m.json", "--only", "secret,server,login"];
    let report = examined(&home, &secrets);
    report.exits(8).expect("secret:there", "ok", "vault://secret/ai#openai").expect("secret:here", "ok", "");
    report.expect("secret:lost", "failure", "there is no key").expect("login", "ok", "");
    assert_eq!(stage.tokens(), 0);
    let report = examined(&home, &[&secrets[..], &["--offline"]].concat());
    report.expect("secret:there", "skipped", "").expect("secret:here", "ok", "").exits(0);
    let nobody = |only: &str| {
        let words = ["doctor", "--json", "--manifest", "m.json", "--only", only];
        let mut command = home.command(&[env!("CARGO_BIN_EXE_leasehold")]);
        command.args(words).env_remove("VAULT_ROLE_ID").env_remove("VAULT_SECRET_ID");
        told(command.output().unwrap())
    };
    nobody("secret,server,login").exits(8).expect("login", "failure", "");
    // What could not be looked at is no good news, be the login told of or not.
    let report = nobody("secret");
    report.exits(7).expect("secret:there", "warning", "there is no token").expect("secret:here", "ok", "");
    report.expect("secret:there", "warning", "set VAULT_TOKEN");
    nobody("key").exits(7).expect("key:there", "warning", "there is no token");
    stage.server.seal();
    examined(&home, &["--manifest", "m.json", "--only", "secret"]).exits(7).expect(
        "secret:there",
        "warning",
        "is sealed",
    );
}

#[test]
fn a_key_that_was_moved_to_a_server_is_missed_with_a_word_about_it() {
    let stage = Stage::new();
    let home = stage.home();
    fs::write(home.path("m.json"), r#"{"providers":{"a":{"vault_key":"k/a"}}}"#).unwrap();
    let secret = ["--manifest", "m.json", "--only", "secret"];
    let report = examined(&home, &secret);
    report.exits(8).expect("secret:a", "failure", "LEASEHOLD_STORE=vault://MOUNT/PATH");
    stage.server.put_secret("secret/ai", json!({ "k/a": "canary" }));
    let report = examined(&home, &[&secret[..], &["--store", "vault://secret/ai"]].concat());
    report.exits(0).expect("secret:a", "ok", "vault://secret/ai#k/a");
}

#[test]
fn what_a_killed_run_left_is_told_and_given_back_by_a_login() {
    let stage = Stage::new();
    let home = stage.home();
    let run = home.run_started(&["--env", stage::PASSWORD], "touch started; exec sleep 60");
    run.signal(nix::sys::signal::Signal::SIGKILL);
    stage::soon("its end", || stage::is_dead(run.pid()).then_some(()));
    drop(run);
    examined(&home, &["--only", "journal"]).exits(7).expect("journal", "warning", "--revoke");
    assert!(stage.tokens() > 0);
    examined(&home, &OF_SERVER).exits(0).expect("journal", "ok", "gave back");
    assert_eq!(stage.tokens(), 0);
}

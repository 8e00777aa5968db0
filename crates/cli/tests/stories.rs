//! The verbs as a user types them, against a real server: each story is a shell script that anyone can read.
//!
//! A story runs under `sh -eu` with [`prelude.sh`](stories/prelude.sh) before it, a server of its own, and a home of
//! its own. `leasehold` and the server's own command line (`bao`) are on `PATH`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test harness starts programs, and a failure is a failed test"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use leasehold_testkit::{
    Desktop, Manner, Postgres, Receiver, ReceiverKind, Server, Service, Upstream, server_binary, workspace,
};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;

/// What the login of the stories may do.
const POLICY: &str = r#"
path "secret/data/app/*" { capabilities = ["read"] }
path "secret/data/db"    { capabilities = ["read"] }
path "secret/data/ai"    { capabilities = ["create", "read", "update", "patch", "delete"] }
path "kv1/*"             { capabilities = ["read"] }
path "database/creds/*"  { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
"#;

macro_rules! stories {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            play(stringify!($name));
        })*
    };
}

stories! {
    run get token verify journal config references rotation dynamic files errors environment exit_codes
    brought_token no_server login_methods profile
    doctor lifecycle keyring kernel states policy key_rotation provider_test import store alerts
}

#[test]
fn every_story_is_played() {
    let mut found: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let found: Vec<_> = found.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    let mut named: Vec<_> = NAMES.iter().copied().chain(["prelude"]).collect();
    named.sort_unstable();
    assert_eq!(found, named);
}

fn folder() -> PathBuf {
    workspace().join("crates/cli/tests/stories")
}

fn play(name: &str) {
    let server = Server::start();
    let home = server.folder().join("home");
    let tools = tools(&server);
    lay_out(&server);
    let postgres = (name == "dynamic").then(|| database(&server));
    let desktop = matches!(name, "keyring" | "policy" | "store").then(Desktop::start);
    let login = server.approle("app", &["app"], json!({"token_ttl": "10m"}));
    fs::create_dir_all(home.join("tmp")).unwrap();
    let script = format!(
        "{}\n{}",
        fs::read_to_string(folder().join("prelude.sh")).unwrap(),
        fs::read_to_string(folder().join(name).with_extension("sh")).unwrap()
    );
    let mut story = Command::new("timeout");
    story
        .args(["--kill-after=5", "150", "sh", "-eu", "-c", &script, name])
        .current_dir(home.join("tmp"))
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display()))
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env("VAULT_ADDR", server.address())
        .env("VAULT_ROLE_ID", &login.role_id)
        .env("VAULT_SECRET_ID", &login.secret_id)
        .env("ROOT_TOKEN", server.root_token())
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            desktop.as_ref().map_or_else(|| "unix:path=/nowhere".into(), Desktop::bus),
        )
        .envs(match name {
            "provider_test" => providers(),
            "alerts" => receivers(),
            _ => Vec::new(),
        })
        .env("PGURL", postgres.as_ref().map(Postgres::url).unwrap_or_default())
        .stdin(Stdio::null());
    let [shown, told] = ["stdout", "stderr"].map(|name| server.folder().join(name));
    let status = to_its_end(story.stdout(File::create(&shown).unwrap()).stderr(File::create(&told).unwrap()));
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    assert!(
        status.success(),
        "story {name}: {status}\n--- stdout\n{}--- stderr\n{}",
        text(shown),
        text(told)
    );
}

/// Waits for the end of `timeout`, and ends what the story left running: it is in the group that `timeout` made. What it
/// says goes to files, since a pipe would be open for as long as any of that lives.
fn to_its_end(story: &mut Command) -> ExitStatus {
    let mut process = story.spawn().expect("timeout starts");
    let status = process.wait().expect("its end");
    // A story that ended well left nothing.
    let _ = killpg(Pid::from_raw(i32::try_from(process.id()).unwrap()), Signal::SIGKILL);
    status
}

/// Providers that know the key `sk-good`, by the variable with the address of each.
fn providers() -> Vec<(&'static str, String)> {
    let provider = |service, manner| {
        let upstream = Upstream::start(service, "sk-good");
        upstream.behave(manner);
        upstream.address()
    };
    vec![
        ("OPENAI", provider(Service::OpenAi, Manner::Honest)),
        ("ANTHROPIC", provider(Service::Anthropic, Manner::Restricted)),
        ("OPENROUTER", provider(Service::OpenRouter, Manner::Unpaid)),
        ("OLLAMA", provider(Service::Ollama, Manner::Honest)),
        ("REDIRECTING", provider(Service::OpenAi, Manner::Elsewhere(302, "http://127.0.0.1:1/".into()))),
    ]
}

/// Receivers of alerts, by the variable with what is configured of each.
fn receivers() -> Vec<(&'static str, String)> {
    let receiver = |kind, manners: &[Manner]| {
        let receiver = Receiver::start(kind, "canary-key");
        receiver.behave(manners.iter().cloned());
        receiver.address()
    };
    vec![
        ("WEBHOOK", receiver(ReceiverKind::Webhook, &[])),
        ("SLACK", receiver(ReceiverKind::Slack, &[])),
        ("PAGERDUTY", receiver(ReceiverKind::PagerDuty, &[])),
        ("REFUSING", receiver(ReceiverKind::Webhook, &[Manner::Firewall])),
    ]
}

/// A folder with the two programs under the names that people type.
fn tools(server: &Server) -> PathBuf {
    let folder = server.folder().join("tools");
    fs::create_dir_all(&folder).unwrap();
    let link = |program: &Path, name: &str| std::os::unix::fs::symlink(program, folder.join(name)).unwrap();
    link(Path::new(env!("CARGO_BIN_EXE_leasehold")), "leasehold");
    link(&server_binary().expect("the server's program"), "bao");
    folder
}

fn lay_out(server: &Server) {
    server.put_secret("secret/db", json!({"username": "app", "password": "canary-one"}));
    server.engine("kv1", "kv", json!({"version": "1"}));
    server.api("POST", "kv1/db", Some(json!({"password": "canary-v1"})));
    server.policy("app", POLICY);
}

fn database(server: &Server) -> Postgres {
    let postgres = Postgres::start();
    server.database(&postgres, "app", "1m", "10m");
    postgres
}

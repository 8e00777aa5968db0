//! `leasehold doctor` against real stores, a real server, and providers that answer well, badly and not at all.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test harness starts programs and looks at the clock, and a failure is a failed test"
)]

mod once;
mod server;
#[path = "../stage/mod.rs"]
mod stage;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use leasehold_testkit::{Canaries, Desktop, Listener, Manner, Service, Upstream};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use serde_json::{Value, json};
use tempfile::TempDir;

const USUAL: &str = ".config/ai/ai_agents/manifest.json";
/// Whatever hangs is given up after 10 s; the rest is slack for a busy machine.
const BOUND: Duration = Duration::from_secs(25);

/// A user's machine, with no server, no keyring, and no other variables than these.
struct Host {
    home: TempDir,
    variables: Vec<(String, String)>,
    canaries: Canaries,
}

/// What the doctor said.
struct Report {
    code: i32,
    checks: Vec<Value>,
    said: String,
}

impl Host {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o700)).unwrap();
        let mut host = Self { home, variables: Vec::new(), canaries: Canaries::default() };
        let path = host.home.path().display().to_string();
        host.set("HOME", &path);
        host
    }

    /// One from which this desktop's keyring can be had.
    fn at(desktop: &Desktop) -> Self {
        let mut host = Self::new();
        host.set("DBUS_SESSION_BUS_ADDRESS", &desktop.bus());
        host
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// Writes the manifest to its usual place, for this user alone.
    fn manifest(&self, providers: &Value) {
        self.write(USUAL, &json!({ "providers": providers }).to_string(), 0o600);
        self.chmod(".config/ai/ai_agents", 0o700);
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        self.path(name).metadata().unwrap().permissions().mode() & 0o777
    }

    fn leasehold(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        command.args(words).env_clear().current_dir(self.home.path()).stdin(Stdio::piped());
        command.envs(self.variables.iter().cloned()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever reads nothing has gone by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Plants a key for a provider.
    fn set_key(&mut self, provider: &str) -> String {
        let key = self.canaries.plant(provider);
        let output = self.leasehold(&["set-key", provider], &key);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        key
    }

    /// What the doctor says; nothing of it is a secret.
    fn doctor(&self, flags: &[&str]) -> Report {
        let output = self.leasehold(&[&["doctor", "--json"], flags].concat(), "");
        self.canaries.assert_absent(&output.stdout, "the report");
        self.canaries.assert_absent(&output.stderr, "what it said");
        let said = String::from_utf8(output.stderr).unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        let counted: u64 = report["counts"]
            .as_object()
            .map_or(0, |counts| counts.values().map(|count| count.as_u64().unwrap()).sum());
        assert_eq!(counted, checks.len() as u64, "{report}");
        Report { code: output.status.code().unwrap(), checks, said }
    }
}

impl Report {
    fn check(&self, id: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["id"] == id);
        found.unwrap_or_else(|| panic!("no check {id} in {:#?}, {}", self.checks, self.said))
    }

    fn has(&self, id: &str) -> bool {
        self.checks.iter().any(|check| check["id"] == id)
    }

    /// The check has this status, and its message or hint this text.
    fn expect(&self, id: &str, status: &str, told: &str) -> &Self {
        let check = self.check(id);
        assert_eq!(check["status"], status, "{check:#}");
        assert!(check.to_string().contains(told), "{told}: {check:#}");
        self
    }

    fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{:#?} {}", self.checks, self.said);
        self
    }
}

#[test]
fn on_a_bare_machine_there_is_something_to_say_of_everything() {
    let mut host = Host::new();
    let report = host.doctor(&[]);
    report.exits(7).expect("manifest", "warning", "leasehold init").expect("config", "ok", "no file");
    report.expect("store", "ok", "there is no keyring").expect("keyring", "skipped", "nothing needs it");
    report.expect("server", "skipped", "no server is configured").expect("journal", "ok", "");
    let ids: Vec<_> = report.checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    let all = "config manifest manifest-permissions store keyring sealed-file sealed-permissions sealed-key \
               orphans server clock login token child-tokens journal env-files";
    assert_eq!(ids, all.split_whitespace().collect::<Vec<_>>());
    // Whoever says where the manifest is wants one.
    host.doctor(&["--manifest", "m.json"]).exits(8).expect(
        "manifest",
        "failure",
        "leasehold init --manifest",
    );
    host.variables.clear();
    // Without a home the journal would be the machine's.
    let state = host.path("state").display().to_string();
    host.set("LEASEHOLD_STATE_DIR", &state);
    host.doctor(&["--only", "store,keyring,journal,server"]).exits(0);
}

#[test]
fn what_can_be_mended_is_mended_on_demand_alone() {
    let host = Host::new();
    let only = ["--only", "manifest,manifest-permissions,sealed-permissions,sealed-key"];
    let fix = [&only[..], &["--fix"]].concat();
    host.doctor(&only).exits(7);
    assert!(!host.path(".config").exists(), "it looked, and no more");
    let report = host.doctor(&fix);
    report.exits(0).expect("manifest", "ok", "wrote");
    assert_eq!(report.check("manifest")["mended"], true);
    let text = fs::read_to_string(host.path(USUAL)).unwrap();
    assert_eq!((host.mode(USUAL), host.mode(".config/ai/ai_agents")), (0o600, 0o700));

    let mut host = host;
    host.set_key("openai_pro");
    let (sealed, key) = (".local/share/leasehold/sealed", ".config/leasehold/sealed.key");
    let modes = [(USUAL, 0o644), (".config/ai/ai_agents", 0o755), (sealed, 0o640), (key, 0o604)];
    modes.iter().for_each(|(name, mode)| host.chmod(name, *mode));
    let report = host.doctor(&only);
    report.exits(8).expect("manifest-permissions", "warning", "mode 0644").expect(
        "sealed-key",
        "failure",
        "",
    );
    report.expect("sealed-permissions", "warning", "doctor --fix");
    modes.iter().for_each(|(name, mode)| assert_eq!(host.mode(name), *mode, "{name}"));
    host.doctor(&fix).exits(0).expect("sealed-key", "ok", "mode 0604 is now 0600");
    host.doctor(&only).exits(0).expect("sealed-key", "ok", "whoever can read");
    let now = modes.map(|(name, _)| host.mode(name));
    assert_eq!(now, [0o600, 0o700, 0o600, 0o600]);
    assert_eq!(fs::read_to_string(host.path(USUAL)).unwrap(), text, "its text is not touched");
}

#[test]
fn a_folder_that_is_not_the_manifests_own_is_only_kept_from_writers() {
    let mut host = Host::new();
    host.write("work/m.json", r#"{"providers":{}}"#, 0o600);
    let path = host.path("work/m.json").display().to_string();
    host.set("LEASEHOLD_MANIFEST", &path);
    let check = |mode: u32, code: i32, after: u32| {
        host.chmod("work", mode);
        host.doctor(&["--only", "manifest-permissions"]).exits(code);
        host.doctor(&["--only", "manifest-permissions", "--fix"]).exits(0);
        assert_eq!(host.mode("work"), after, "{mode:o}");
    };
    check(0o755, 0, 0o755);
    check(0o777, 7, 0o755);
}

#[test]
fn all_faults_of_a_manifest_are_told_and_other_checks_go_on() {
    let mut host = Host::new();
    let key = format!("sk-proj-{}", host.canaries.plant("pasted"));
    host.canaries.watch(&key);
    host.manifest(&json!({ "a": { "vault_key": key, "priority": -1 }, "b": 7 }));
    let report = host.doctor(&[]);
    report
        .exits(8)
        .expect("manifest", "failure", "looks like a key")
        .expect("manifest", "failure", "priority");
    report.expect("manifest", "failure", "a provider is an object").expect("store", "ok", "");
    report.expect("orphans", "skipped", "without a manifest");
    // What keeps others from being looked at is told, be it asked for or not.
    host.doctor(&["--only", "secret"]).exits(8).expect("manifest", "failure", "looks like a key");
    host.doctor(&["--only", "journal"]).exits(0);
    // With faults in the settings, nothing else is known.
    let report = host.doctor(&["--store", "nonsense"]);
    report.exits(8).expect("config", "failure", "");
    assert_eq!(report.checks.len(), 1);
}

#[test]
fn only_what_is_asked_for_is_looked_at() {
    let host = Host::new();
    host.manifest(&json!({ "a": { "vault_key": "k/a" }, "b": { "vault_key": "k/b" } }));
    let ids = |only: &str| {
        let report = host.doctor(&["--only", only]);
        report.checks.iter().map(|check| check["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("secret"), ["secret:a", "secret:b"]);
    assert_eq!(ids("journal,secret:b,manifest"), ["manifest", "secret:b", "journal"]);
    let check = |only: &str, told: &str| {
        let report = host.doctor(&["--only", only]);
        report.exits(2);
        assert!(report.checks.is_empty() && report.said.contains(told), "{}", report.said);
    };
    check("nonsense", "manifest-permissions, store");
    check("store:a", "there is no check `store:a`");
    check("secret:c", "it has a, b");
}

/// A provider at an upstream.
fn provider(upstream: &Upstream, service: Service) -> Value {
    json!({ "vault_key": format!("keys/{service:?}"), "env_var": service.variable(),
            "endpoint": upstream.address() })
}

#[test]
fn each_key_is_tried_and_each_answer_told() {
    let mut host = Host::new();
    let rows = [
        ("good", Service::Anthropic, Manner::Honest, "ok", "accepted"),
        ("narrow", Service::Gemini, Manner::Restricted, "ok", "accepted, but restricted"),
        ("spent", Service::OpenAi, Manner::Spent, "warning", "wants money first"),
        ("down", Service::GitHub, Manner::Down, "warning", "does not work at the moment"),
        ("bad", Service::OpenRouter, Manner::Honest, "failure", "leasehold set-key bad"),
    ];
    let key = host.canaries.plant("shared");
    let upstreams = rows.each_ref().map(|(name, service, manner, ..)| {
        let upstream = Upstream::start(*service, if *name == "bad" { "another" } else { &key });
        upstream.behave(manner.clone());
        upstream
    });
    let mut providers = json!({
        "unset": { "vault_key": "keys/unset", "env_var": "OPENAI_API_KEY" },
        "strange": { "vault_key": "keys/strange", "endpoint": upstreams[0].address() },
        "nowhere": { "vault_key": "keys/nowhere", "env_var": "OPENAI_API_KEY", "endpoint": "http://127.0.0.1:1" },
        "keyless": { "type": "other" },
    });
    for ((name, service, ..), upstream) in rows.iter().zip(&upstreams) {
        providers[*name] = provider(upstream, *service);
    }
    host.manifest(&providers);
    for name in rows.iter().map(|row| row.0).chain(["strange", "nowhere"]) {
        assert!(host.leasehold(&["set-key", name], &key).status.success());
    }
    let report = host.doctor(&["--offline"]);
    report.expect("secret:good", "ok", "sealed://").expect("key:good", "skipped", "--offline").exits(8);
    assert!(upstreams.iter().all(|upstream| upstream.listener().connections() == 0), "nobody was asked");

    let report = host.doctor(&[]);
    for (name, _, _, status, told) in &rows {
        report.expect(&format!("key:{name}"), status, told).expect(&format!("endpoint:{name}"), "ok", "");
    }
    report.expect("secret:unset", "failure", "leasehold set-key unset").expect(
        "key:unset",
        "skipped",
        "no key",
    );
    report.expect("key:strange", "skipped", "none of those").expect("endpoint:nowhere", "warning", "refused");
    report.expect("key:nowhere", "skipped", "cannot be reached").exits(8);
    assert!(!report.has("key:keyless") && !report.has("secret:keyless") && !report.has("endpoint:keyless"));
    host.doctor(&["--only", "key:good"]).exits(0);
    host.doctor(&["--only", "key:good,key:spent"]).exits(7);
}

#[test]
fn long_providers_that_hang_are_given_up_together_and_no_redirect_is_followed() {
    let mut host = Host::new();
    let stranger = Listener::stranger();
    let upstreams = [Service::OpenAi, Service::Anthropic, Service::GitHub, Service::Gemini]
        .map(|service| (service, Upstream::start(service, "any")));
    for (_, upstream) in &upstreams[..3] {
        upstream.behave(Manner::Silent);
    }
    upstreams[3].1.behave(Manner::Elsewhere(302, stranger.address()));
    let providers: serde_json::Map<_, _> = upstreams
        .iter()
        .map(|(service, upstream)| (format!("{service:?}"), provider(upstream, *service)))
        .collect();
    host.manifest(&providers.into());
    for (service, _) in &upstreams {
        host.set_key(&format!("{service:?}"));
    }
    let began = Instant::now();
    let report = host.doctor(&["--only", "key"]);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    report.exits(7).expect("key:OpenAi", "warning", "no answer in time");
    report.expect("key:Gemini", "warning", "redirects");
    assert_eq!(stranger.connections(), 0);
}

#[test]
fn the_keyring_is_told_apart_and_what_it_has_too_much() {
    let mut desktop = Desktop::start();
    let mut host = Host::at(&desktop);
    host.manifest(&json!({ "a": { "vault_key": "k/a" }, "b": { "vault_key": "sealed://agent_vault/k/b" } }));
    let (old, held) = (host.canaries.plant("old"), host.canaries.plant("held"));
    desktop.put("agent_vault", "k/a", &held);
    desktop.put("agent_vault", "k/old", &old);
    host.set_key("b");
    let report = host.doctor(&[]);
    report.exits(7).expect("store", "ok", "there is a keyring").expect("keyring", "ok", "unlocked");
    report.expect("secret:a", "ok", "keyring://agent_vault/k/a").expect("secret:b", "ok", "sealed://");
    report.expect("orphans", "warning", "store delete 'keyring://agent_vault/k/old'");

    desktop.put_with(&["service", "agent_vault", "username", "k/a", "target", "x"], &held);
    host.doctor(&["--only", "secret:a"]).exits(8).expect("secret:a", "failure", "several entries");

    desktop.lock_keyring();
    let report = host.doctor(&[]);
    report.exits(8).expect("keyring", "failure", "is locked").expect("secret:b", "ok", "");
    host.doctor(&["--store", "sealed", "--only", "keyring"]).exits(0).expect("keyring", "skipped", "");

    desktop.stop_keyring();
    let began = Instant::now();
    let report = host.doctor(&[]);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    report.exits(8).expect("keyring", "failure", "no answer").expect("secret:a", "failure", "no answer");
    report.expect("secret:b", "ok", "").expect("orphans", "skipped", "no answer");

    desktop.kill_keyring();
    host.doctor(&["--only", "store,keyring"]).exits(0).expect("store", "ok", "the sealed file");
    let report = host.doctor(&["--store", "keyring"]);
    report.exits(8).expect("keyring", "warning", "no keyring").expect("secret:a", "failure", "no keyring");
}

#[test]
fn a_key_in_another_store_is_found_there() {
    let desktop = Desktop::start();
    let mut host = Host::at(&desktop);
    host.manifest(&json!({ "a": { "vault_key": "k/a" } }));
    host.set("LEASEHOLD_STORE", "sealed");
    host.set_key("a");
    let report = host.doctor(&["--store", "keyring", "--only", "secret"]);
    let migrate =
        "the sealed file has it: leasehold store migrate --from sealed --to keyring --delete-source";
    report.exits(8).expect("secret:a", "failure", migrate);
}

#[test]
fn a_sealed_file_that_does_not_open_fails_alone() {
    let mut host = Host::new();
    host.manifest(&json!({ "a": { "vault_key": "k/a" }, "b": { "vault_key": "env://KEY_OF_B" } }));
    host.set_key("a");
    let key = host.canaries.plant("b");
    host.set("KEY_OF_B", &key);
    host.doctor(&["--offline"]).exits(0).expect("sealed-file", "ok", "keys in it: 1");
    let file = ".config/leasehold/sealed.key";
    let right = fs::read_to_string(host.path(file)).unwrap();
    host.write(file, "a key of thirty-two random bytes, but another", 0o600);
    let report = host.doctor(&["--offline"]);
    report.exits(8).expect("sealed-file", "failure", "").expect("secret:a", "failure", "");
    report.expect("secret:b", "ok", "env://KEY_OF_B");
    fs::remove_file(host.path(file)).unwrap();
    host.doctor(&["--only", "sealed-key"]).exits(8).expect("sealed-key", "failure", "is not there");
    host.write("lent/leasehold.key", &right, 0o440);
    let lent = host.path("lent").display().to_string();
    host.set("CREDENTIALS_DIRECTORY", &lent);
    host.doctor(&["--offline"]).exits(0).expect("sealed-key", "ok", "lent/leasehold.key");
}

#[test]
fn a_file_of_variables_with_a_key_is_named_and_not_quoted() {
    let mut host = Host::new();
    host.manifest(&json!({ "a": { "env_var": "KEY_OF_A" } }));
    let only = ["--only", "env-files"];
    host.doctor(&only).exits(0).expect("env-files", "ok", "there is none");
    host.write(".env", "KEY_OF_A=\nCOLOUR=blue\n", 0o600);
    host.write(".env.example", "KEY_OF_A=yours\n", 0o600);
    host.doctor(&only).exits(0).expect("env-files", "ok", "no key is in one");
    let (one, two) = (host.canaries.plant("one"), host.canaries.plant("two"));
    host.write(".env", &format!("export KEY_OF_A=\"{one}\"\nOTHER=ghp_{two}\nCOLOUR=blue\n"), 0o600);
    let report = host.doctor(&only);
    report.exits(7).expect("env-files", "warning", ".env holds KEY_OF_A, OTHER").expect(
        "env-files",
        "warning",
        "leasehold import",
    );
    host.write(".env.odd", "no variable\n", 0o600);
    host.doctor(&only).expect("env-files", "warning", ".env.odd:1:").expect("env-files", "warning", "OTHER");
    fs::remove_file(host.path(".env")).unwrap();
    fs::remove_file(host.path(".env.odd")).unwrap();
    host.write(".config/ai/ai_agents/.env.local", &format!("KEY_OF_A={one}"), 0o600);
    host.doctor(&only).exits(7).expect("env-files", "warning", "ai_agents/.env.local holds KEY_OF_A");
}

#[test]
fn lines_are_aligned_and_without_colour_in_a_pipe() {
    let host = Host::new();
    let output = host.leasehold(&["doctor", "--only", "config,manifest"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "ok       config    no file; flags, variables and what is usual");
    assert!(lines[1].starts_with("warning  manifest  cannot read"), "{text}");
    assert_eq!(lines[2], "                   hint: make one: leasehold init");
}

#[test]
fn on_a_terminal_there_is_colour_unless_it_is_not_wanted() {
    let mut host = Host::new();
    let shown = |host: &Host| {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let side = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
        command.args(["doctor", "--only", "config"]).env_clear().envs(host.variables.iter().cloned());
        assert!(command.stdout(side).status().unwrap().success());
        let mut text = [0; 1024];
        let length = File::from(master).read(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let text = shown(&host);
    assert!(text.starts_with("\u{1b}[32mok\u{1b}[0m  config  "), "{text:?}");
    host.set("NO_COLOR", "1");
    let text = shown(&host);
    assert!(text.starts_with("ok  config  "), "{text:?}");
}

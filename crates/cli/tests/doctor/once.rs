//! What is waited for, or opened, once a command and not once a key.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use leasehold::core::Secret;
use leasehold::core::name::Entry;
use leasehold::identity::Source;
use leasehold::store::{SealKey, SealedFile, Store};
use leasehold_testkit::Hole;
use serde_json::json;

use super::{Host, USUAL};

/// A bus that takes whoever comes, and says nothing. How many came.
fn mute(bus: UnixListener) -> Arc<AtomicUsize> {
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    thread::spawn(move || {
        let mut guests = Vec::new();
        for guest in bus.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            guests.push(guest);
        }
    });
    came
}

/// Each question would take 4.5 s anew.
#[test]
fn a_mute_keyring_is_waited_for_once_a_command() {
    let mut host = Host::new();
    let bus = host.path("bus");
    let came = mute(UnixListener::bind(&bus).unwrap());
    host.set("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", bus.display()));
    let row = |n: usize| (format!("p{n}"), json!({ "vault_key": format!("keyring://service-{n}/key") }));
    let mut providers: serde_json::Map<_, _> = (0..9).map(row).collect();
    providers.insert("plain".into(), json!({ "vault_key": "k" }));
    host.manifest(&providers.into());
    let check = |words: &[&str], code: i32| {
        let began = Instant::now();
        let output = host.leasehold(words, "canary");
        let (took, said) = (began.elapsed(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(took < Duration::from_secs(12), "{words:?}: {took:?}");
        assert_eq!(came.swap(0, Ordering::SeqCst), 1, "{words:?}: {said}");
        said
    };
    let said = check(&["providers"], 0);
    assert_eq!(said.matches("gave no answer").count(), 1, "{said}");
    check(&["test", "--offline"], 6);
    check(&["doctor", "--offline"], 8);
    check(&["set-key", "plain"], 6);
    check(&["delete-key", "plain"], 6);
}

/// Opening a sealed file once a key, a thousand keys took half a minute without optimisation.
#[test]
fn a_thousand_keys_are_looked_up_at_once() {
    let mut host = Host::new();
    let rows = |row: &dyn Fn(usize) -> String| (0..1000).map(row).collect::<Vec<_>>();
    let provider = |n: usize| format!(r#""p{n}":{{"vault_key":"k/{n}","env_var":"K_{n}"}}"#);
    host.write(USUAL, &format!(r#"{{"providers":{{{}}}}}"#, rows(&provider).join(",")), 0o600);
    host.chmod(".config/ai/ai_agents", 0o700);
    let key = host.canaries.plant("key");
    host.write("keys.env", &rows(&|n| format!("K_{n}={key}-{n}")).join("\n"), 0o600);
    host.set_key("p0");
    let stored: Vec<_> = (0..1000)
        .map(|n| {
            let entry = Entry { service: "agent_vault".into(), name: format!("k/{n}").into() };
            (entry, Secret::new(format!("{key}-{n}")))
        })
        .collect();
    let seal = SealKey::Key(Source::File(host.path(".config/leasehold/sealed.key")));
    let file = SealedFile::at(host.path(".local/share/leasehold/sealed"), seal);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(file.put_all(&stored)).iter().all(Result::is_ok));
    let bound = Duration::from_secs(15);
    let began = Instant::now();
    host.doctor(&["--only", "secret,key"]).exits(0).expect("secret:p999", "ok", "sealed://");
    assert!(began.elapsed() < bound, "{:?}", began.elapsed());
    for words in
        [&["test"][..], &["providers"], &["import", "--env-file", "keys.env"], &["run", "--", "/bin/true"]]
    {
        let began = Instant::now();
        let output = host.leasehold(words, "");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(began.elapsed() < bound, "{words:?}: {:?}", began.elapsed());
    }
}

/// One after the other, they would take 24 s.
#[test]
fn endpoints_that_are_silent_are_waited_for_together() {
    let mut host = Host::new();
    let (hole, key) = (Hole::open(), host.canaries.plant("key"));
    host.set("KEY", &key);
    let endpoint = format!("http://127.0.0.1:{}", hole.port());
    let row = |n: usize| {
        (format!("p{n}"), json!({ "vault_key": "env://KEY", "priority": n, "endpoint": endpoint }))
    };
    let mut providers: serde_json::Map<_, _> = (0..24).map(row).collect();
    providers.insert("last".into(), json!({ "vault_key": "env://KEY", "env_var": "KEY_OF_LAST" }));
    host.manifest(&providers.into());
    let began = Instant::now();
    let output = host.leasehold(&["run", "--", "test \"$KEY_OF_LAST\" = \"$KEY\""], "");
    let (took, said) = (began.elapsed(), String::from_utf8(output.stderr).unwrap());
    assert!(
        output.status.success() && said.contains("the provider is last (KEY_OF_LAST from env://KEY)"),
        "{said}"
    );
    assert!(
        said.contains("not p4: its endpoint cannot be reached") && said.contains("and 19 more"),
        "{said}"
    );
    assert!(took < Duration::from_secs(12), "{took:?}");
}

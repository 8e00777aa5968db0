//! The kernel's keyring. Whoever runs the tests has one.

use std::env;
use std::process::Command;

use leasehold::core::Kind;
use leasehold::store::{KernelKeyring, Store};

use super::*;

const LARGEST: usize = 32_767;
const SERVICE: &str = "LEASEHOLD_TEST_KERNEL_SERVICE";

/// Begins a session whose keyring is empty, as that of a service is: the user's is not in its reach.
const NEW_SESSION: &str = "\
import ctypes, os, platform, sys
number = {'x86_64': 250, 'aarch64': 219}[platform.machine()]
assert ctypes.CDLL(None).syscall(number, 1, None) > 0
os.execvp(sys.argv[1], sys.argv[1:])
";

#[tokio::test]
async fn the_kernels_keyring_is_a_store() {
    // Other users than root have a quota for all their keys together.
    let largest = if is_root() { LARGEST } else { 4_000 };
    assert_store(&KernelKeyring::new(), &service("kernel"), largest).await;
}

#[tokio::test]
async fn what_the_kernel_does_not_keep_is_refused_before() {
    let (store, service) = (KernelKeyring::new(), service("limits"));
    let check = async |name: &str, secret: &str, expect: &str| {
        let failure = store.put(&entry(&service, name), &Secret::new(secret)).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Invalid, "{failure}");
        assert!(failure.to_string().contains(expect), "{failure}");
        assert!(failure.advice().is_some(), "{failure}");
    };
    check("a", &"x".repeat(LARGEST + 1), "keeps at most 32767 bytes").await;
    check("a", "", "no empty secret").await;
    check("a\0b", "x", "by the name").await;
    check(&"n".repeat(5000), "x", "by the name").await;
    assert_eq!(store.list(&service).await.unwrap(), []);
    assert!(store.title().contains("lost when the machine stops"));
}

#[tokio::test]
async fn the_kernel_does_not_say_when() {
    let (store, entry) = (KernelKeyring::new(), entry(&service("written"), "a"));
    put(&store, &entry, "x").await;
    assert_eq!(written(&store, &entry).await, None);
    assert!(store.remove(&entry).await.unwrap());
}

/// Not a test of its own: the program that others start, in a process and a session of its own. It reads what it is to
/// read, and puts one more.
#[tokio::test]
async fn a_user_of_its_own() {
    let Ok(service) = env::var(SERVICE) else { return };
    let store = KernelKeyring::new();
    let work = async || {
        for key in store.list(&service).await?.into_iter().map(|listed| listed.entry) {
            println!("{}={}", key.name, store.find(&key).await?.expose());
        }
        store.put(&entry(&service, "b"), &Secret::new("more")).await
    };
    match work().await {
        Ok(()) => println!("done"),
        Err(failure) => println!("{}: {failure}; {}", failure.kind().token(), failure.advice().unwrap()),
    }
}

/// What that program says, started behind these words.
fn said(words: &[&str], service: &str) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(env::current_exe().unwrap());
    command.args(["--exact", "stores::kernel::a_user_of_its_own", "--nocapture"]);
    let output = command.env(SERVICE, service).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn another_process_finds_it_also_in_another_session() {
    let (store, service) = (KernelKeyring::new(), service("sessions"));
    put(&store, &entry(&service, "a"), "canary").await;
    for words in [&["env"][..], &["python3", "-c", NEW_SESSION]] {
        let said = said(words, &service);
        assert!(said.contains("a=canary") && said.contains("done"), "{words:?}: {said}");
    }
    assert_eq!(found(&store, &entry(&service, "b")).await, "more");
    for name in ["a", "b"] {
        assert!(store.remove(&entry(&service, name)).await.unwrap());
    }
}

#[test]
fn a_kernel_that_forbids_it_or_has_no_room_says_so() {
    let check = |call: &str, error: &str, expect: &str| {
        let inject = format!("inject={call}:error={error}");
        let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
        let said = said(&words, &service("forbidden"));
        assert!(said.contains(expect), "{call} {error}: {said}");
    };
    let absent = "unreachable: the kernel's keyring is not there: the system or a sandbox forbids it; allow";
    check("keyctl", "EPERM", absent);
    check("keyctl", "ENOSYS", absent);
    check("add_key", "EACCES", "denied: the kernel's keyring refuses");
    check("add_key", "EDQUOT", "invalid: the kernel's keyring has no room");
}

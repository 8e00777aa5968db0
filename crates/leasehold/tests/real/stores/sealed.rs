//! The sealed file: writers at once, in processes of their own, and disks that do not take it.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use leasehold::core::name::{Reference, StoreKind};
use leasehold::core::{Failure, Kind, Secret};
use leasehold::identity::Source;
use leasehold::store::{SealKey, SealedFile, Store};
use leasehold::workstation::{Choice, Purpose, Seal, StoreSettings, Stores};
use leasehold_testkit::{Canaries, Desktop, record};

use super::*;
use crate::ground::{Folder, timed};
use crate::run::PATIENCE;

/// The file that a writer of its own writes, and what: `PREFIX COUNT LENGTH`.
const PATH: &str = "LEASEHOLD_TEST_SEALED_FILE";
const WORK: &str = "LEASEHOLD_TEST_SEALED_WORK";

fn key(text: &str) -> SealKey {
    SealKey::Key(Source::Value(Secret::new(text)))
}

fn sealed(path: impl AsRef<Path>) -> SealedFile {
    SealedFile::at(path.as_ref(), key("a key for tests, of enough bytes"))
}

/// Not a test of its own: the program that others start. It says what came of each entry.
#[tokio::test]
async fn a_writer_of_its_own() {
    let Some(path) = env::var_os(PATH) else { return };
    let work = env::var(WORK).unwrap();
    let [prefix, count, length] = work.split(' ').collect::<Vec<_>>()[..] else { panic!("{work}") };
    let (file, secret) = (sealed(Path::new(&path)), "x".repeat(length.parse().unwrap()));
    for n in 0..count.parse().unwrap() {
        match file.put(&entry("agent_vault", &format!("{prefix}-{n}")), &Secret::new(&*secret)).await {
            Ok(()) => println!("did put"),
            Err(failure) => println!("{}", told(&failure)),
        }
    }
}

fn told(failure: &Failure) -> String {
    format!("{}: {failure}; {}", failure.kind().token(), failure.advice().unwrap_or_default())
}

/// Starts a writer behind these words.
fn writer(words: &[&str], path: &Path, work: &str) -> Child {
    let program = env::current_exe().unwrap();
    let own = [program.to_str().unwrap(), "--exact", "stores::sealed::a_writer_of_its_own", "--nocapture"];
    let words = [words, &own].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(PATH, path).env(WORK, work).stdout(Stdio::piped()).spawn().unwrap()
}

/// What it said.
fn said(writer: Child) -> String {
    let output = writer.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_sealed_file_is_a_store() {
    let folder = Folder::new();
    let file = sealed(folder.0.join("new/folder/secrets"));
    assert_store(&file, "agent_vault", 1 << 20).await;
    put(&file, &entry("agent_vault", "a"), "canary").await;
    assert_written_now(&file, &entry("agent_vault", "a")).await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn eight_processes_at_once_lose_nothing() {
    let folder = Folder::new();
    let file = sealed(folder.0.join("secrets"));
    let start = |n: usize| writer(&["env"], file.path(), &format!("{n} 25 40"));
    let writers: Vec<_> = (0..8).map(start).collect();
    for writer in writers {
        assert_eq!(said(writer).matches("did put").count(), 25);
    }
    let entries = listed(&file, "agent_vault").await;
    assert_eq!(entries.len(), 200);
    for entry in &entries {
        assert_eq!(found(&file, entry).await.len(), 40);
    }
    let left: Vec<_> = folder.0.read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
    record(
        "sealed-writers",
        "8 processes put 25 entries each into one sealed file at once: all 200 are there",
    );
}

/// Whoever draws another key, or a second time, locks the others out for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn the_first_writers_at_once_draw_one_key() {
    let (desktop, home) = (Desktop::start(), Folder::new());
    let in_file = format!("file://{}", home.0.join("key").display());
    let at = |place: &str| Seal::Key(Reference::parse(place).unwrap());
    for n in 0..20 {
        let folder = Folder::new();
        let seals = [Seal::Drawn(folder.0.join("config/sealed.key")), at(&format!("{in_file}-{n}"))];
        for seal in seals {
            draw_at_once(&folder.0.join(format!("data/{n}")), seal, &desktop).await;
            fs::remove_dir_all(folder.0.join("data")).unwrap();
        }
    }
    for n in 0..3 {
        let seal = at(&format!("keyring://leasehold/{n}"));
        draw_at_once(&home.0.join(format!("{n}/sealed")), seal, &desktop).await;
    }
}

/// Eight writers find neither the file nor its key, and all that they put there is there in the end.
async fn draw_at_once(file: &Path, seal: Seal, desktop: &Desktop) {
    let settings = StoreSettings {
        choice: Some(Choice::Store(StoreKind::Sealed)),
        bus: desktop.bus(),
        sealed_file: file.to_owned(),
        seal,
        note: file.with_file_name("store"),
    };
    let writers = (0..8).map(|n| {
        let stores = Stores::new(settings.clone());
        tokio::spawn(async move {
            let nothing = stores.store(StoreKind::Sealed, Purpose::Read).await.unwrap();
            assert_eq!(nothing.find(&entry("agent_vault", "x")).await.unwrap_err().kind(), Kind::NotFound);
            let file = stores.store(StoreKind::Sealed, Purpose::Write).await.unwrap();
            put(&*file, &entry("agent_vault", &n.to_string()), "canary").await;
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let file = Stores::new(settings).store(StoreKind::Sealed, Purpose::Read).await.unwrap();
    assert_eq!(listed(&*file, "agent_vault").await.len(), 8);
}

#[tokio::test]
async fn a_writer_that_is_killed_tears_nothing() {
    let folder = Folder::new();
    let file = sealed(folder.0.join("secrets"));
    put(&file, &entry("agent_vault", "first"), "canary").await;
    let mut before = 1;
    for n in 0..20 {
        let mut writer = writer(&["env"], file.path(), &format!("{n} 1000000 40"));
        let entries = async || file.list("agent_vault").await.unwrap().len();
        let written = async {
            while entries().await < before + 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.expect("a writer that writes");
        writer.kill().unwrap();
        writer.wait().unwrap();
        before = entries().await;
    }
    assert_eq!(found(&file, &entry("agent_vault", "first")).await, "canary");
    let (outcome, took) = timed(file.put(&entry("agent_vault", "last"), &Secret::new("x"))).await;
    outcome.unwrap();
    assert!(took < Duration::from_secs(5), "the lock of the dead is free: {took:?}");
}

/// Runs a writer on a small disk of its own, where a user is root: `SIZE`, then the words of the script.
const ON_DISK: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];

#[test]
fn a_full_disk_is_told_and_the_file_stays_as_it_is() {
    let folder = Folder::new();
    let script = r#"cd $0 && mount -t tmpfs -o size=256k none . && cd $0 || exit 77
        LEASEHOLD_TEST_SEALED_WORK="small 1 10" "$@" && cp secrets before
        "$@" && cmp secrets before && echo same && ls -A"#;
    let words = [&ON_DISK[..], &[script, folder.0.to_str().unwrap()]].concat();
    let said = said(writer(&words, &folder.0.join("secrets"), "large 2 300000"));
    assert_eq!(said.matches("did put").count(), 1, "{said}");
    let told = "No space left on device (os error 28); make room; it is left as it is";
    assert_eq!(said.matches(told).count(), 2, "{said}");
    assert!(said.ends_with("same\nbefore\nsecrets\nsecrets.lock\n"), "nothing else is left: {said}");
}

#[test]
fn a_file_system_without_writing_is_told() {
    let folder = Folder::new();
    let script = r#"cd $0 && mount -t tmpfs -o size=256k none . && cd $0 || exit 77
        "$@" && cp secrets before && mount -o remount,bind,ro . && "$@" && cmp secrets before && echo same"#;
    let words = [&ON_DISK[..], &[script, folder.0.to_str().unwrap()]].concat();
    let said = said(writer(&words, &folder.0.join("secrets"), "a 1 10"));
    assert!(said.contains("did put") && said.contains("denied: cannot lock the sealed file"), "{said}");
    assert!(said.contains("Read-only file system") && said.ends_with("same\n"), "{said}");
}

#[tokio::test]
async fn what_may_not_be_read_or_written_is_told() {
    let folder = Folder::new();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).unwrap();
    let stranger: &[&str] = match is_root() {
        true => &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        false => &["env"],
    };
    let file = folder.0.join("secrets");
    assert!(said(writer(stranger, &file, "a 1 10")).contains("did put"));
    let whole = fs::read(&file).unwrap();
    let check = |mode: u32, path: &Path, expect: &str| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let said = said(writer(stranger, &file, "b 1 10"));
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        assert!(said.contains(expect), "{said}");
        assert_eq!(fs::read(&file).unwrap(), whole);
    };
    check(0o000, &file, "denied: cannot open the sealed file");
    check(0o555, &folder.0, "denied: cannot write the sealed file");
}

#[tokio::test]
async fn only_a_file_is_a_sealed_file() {
    let folder = Folder::new();
    let real = sealed(folder.0.join("real"));
    put(&real, &entry("agent_vault", "a"), "canary").await;
    let check = async |name: &str, message: &str, hint: &str| {
        let file = sealed(folder.0.join(name));
        for failure in [
            file.find(&entry("agent_vault", "a")).await.unwrap_err(),
            file.put(&entry("agent_vault", "a"), &Secret::new("lost")).await.unwrap_err(),
        ] {
            assert_eq!(failure.kind(), Kind::Invalid, "{failure}");
            assert!(failure.message().contains(message), "{failure}");
            assert!(failure.advice().unwrap().contains(hint), "{failure:?}");
        }
    };
    symlink(real.path(), folder.0.join("link")).unwrap();
    check("link", "Too many levels of symbolic links", "name the file itself").await;
    fs::create_dir(folder.0.join("folder")).unwrap();
    check("folder", "something else than a file", "it is left as it is").await;
    assert!(Command::new("mkfifo").arg(folder.0.join("pipe")).status().unwrap().success());
    check("pipe", "something else than a file", "it is left as it is").await;
    fs::write(folder.0.join("empty"), "").unwrap();
    check("empty", "its header is cut off", "it is left as it is").await;
    check("real/below", "cannot", "see whether its folder is one").await;
    assert_eq!(found(&real, &entry("agent_vault", "a")).await, "canary");
}

#[tokio::test]
async fn no_secret_is_in_what_is_written_or_said() {
    let (folder, mut canaries) = (Folder::new(), Canaries::default());
    let (secret, text) = (canaries.plant("sealed"), canaries.plant("key"));
    let file = SealedFile::at(folder.0.join("secrets"), key(&text));
    put(&file, &entry("agent_vault", "a"), &secret).await;
    let other = SealedFile::at(file.path(), key("another"));
    let failure = other.find(&entry("agent_vault", "a")).await.unwrap_err();
    canaries.assert_absent(&fs::read(file.path()).unwrap(), "the file");
    canaries.assert_absent(format!("{file:?} {failure:?}").as_bytes(), "what is said");
}

#[tokio::test]
async fn a_key_file_that_is_gone_locks_the_file() {
    let folder = Folder::new();
    let text = folder.0.join("key");
    fs::write(&text, "0123456789abcdef\n").unwrap();
    let file = SealedFile::at(folder.0.join("secrets"), SealKey::Key(Source::File(text.clone())));
    put(&file, &entry("agent_vault", "a"), "canary").await;
    fs::remove_file(&text).unwrap();
    let again = SealedFile::at(file.path(), SealKey::Key(Source::File(text)));
    let failure = again.find(&entry("agent_vault", "a")).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Sealed);
    assert!(failure.message().contains("is locked: cannot read"), "{failure}");
}

/// The bar for a whole run is 15 ms over the bare process.
#[tokio::test]
async fn a_key_file_opens_in_a_moment() {
    let folder = Folder::new();
    let text = folder.0.join("key");
    fs::write(&text, "0123456789abcdef\n").unwrap();
    let at = || SealedFile::at(folder.0.join("secrets"), SealKey::Key(Source::File(text.clone())));
    for n in 0..10 {
        put(&at(), &entry("agent_vault", &n.to_string()), &"x".repeat(100)).await;
    }
    let (file, key) = (at(), entry("agent_vault", "7"));
    let mut times = Vec::new();
    for _ in 0..100 {
        let (outcome, took) = timed(file.find(&key)).await;
        outcome.unwrap();
        times.push(took);
    }
    times.sort();
    let (median, slowest) = (times[50], times[99]);
    assert!(median < Duration::from_millis(15), "{median:?}");
    record(
        "sealed-open",
        &format!(
            "a secret of a sealed file with 10 entries is found by its key file in {median:.1?} (median of 100; slowest {slowest:.1?})"
        ),
    );
}

#[tokio::test]
async fn a_passphrase_costs_once_a_process() {
    let folder = Folder::new();
    let passphrase = SealKey::Passphrase(Source::Value(Secret::new("correct horse battery staple")));
    let at = || SealedFile::at(folder.0.join("secrets"), passphrase.clone());
    let key = entry("agent_vault", "a");
    put(&at(), &key, "canary").await;
    let file = at();
    let (outcome, first) = timed(file.find(&key)).await;
    outcome.unwrap();
    // Of each the fastest: a busy disk or machine may hold one up.
    let (mut puts, mut finds) = (Vec::new(), Vec::new());
    for secret in ["two", "three", "four", "five"] {
        let (outcome, put) = timed(file.put(&key, &Secret::new(secret))).await;
        outcome.unwrap();
        let (outcome, find) = timed(file.find(&key)).await;
        assert_eq!(outcome.unwrap().expose(), secret);
        puts.push(put);
        finds.push(find);
    }
    for again in [puts.iter().min(), finds.iter().min()] {
        assert!(again < Some(&(first / 2)), "{again:?} after {first:?}");
    }
    record("sealed-passphrase", &format!("a passphrase is turned into a key in {first:.0?}, once a process"));
}

#[tokio::test]
async fn a_thousand_entries_are_written_and_read_at_once() {
    let folder = Folder::new();
    let (file, other) = (sealed(folder.0.join("secrets")), sealed(folder.0.join("secrets")));
    let rows: Vec<_> = (0..1000).map(|n| entry("agent_vault", &n.to_string())).collect();
    let secrets = rows.iter().map(|entry| (entry.clone(), Secret::new(format!("secret {}", entry.name))));
    let secrets: Vec<_> = secrets.collect();
    let (answers, putting) = timed(file.put_all(&secrets)).await;
    assert!(answers.len() == 1000 && answers.iter().all(Result::is_ok));
    // Who wrote meanwhile is seen by the next look.
    put(&other, &rows[7], "another").await;
    other.remove(&rows[8]).await.unwrap();
    let (found, finding) = timed(file.find_all(&rows)).await;
    for (at, (answer, (entry, secret))) in found.iter().zip(&secrets).enumerate() {
        match (at, answer) {
            (7, Ok(found)) => assert_eq!(found.expose(), "another"),
            (8, Err(failure)) => assert_eq!(failure.kind(), Kind::NotFound, "{failure}"),
            (_, answer) => assert!(answer.as_ref().unwrap().is_same(secret), "{entry}"),
        }
    }
    let (_, alone) = timed(file.find(&rows[0])).await;
    // One look each would take a thousand times as long.
    assert!(finding < alone * 100, "{finding:?} for all, {alone:?} for one");
    record(
        "sealed-thousand",
        &format!(
            "1000 entries of a sealed file are put in {putting:.1?}, found in {finding:.1?}; one alone in {alone:.1?}"
        ),
    );
    file.put_all(&[]).await;
    let wrong = SealedFile::at(file.path(), key("another"));
    assert_eq!(wrong.put_all(&secrets).await.len(), 1, "the first failure ends it");
    let lost = wrong.find_all(&rows).await;
    assert!(
        lost.len() == 1000 && lost.iter().all(|answer| answer.as_ref().unwrap_err().kind() == Kind::Denied)
    );
}

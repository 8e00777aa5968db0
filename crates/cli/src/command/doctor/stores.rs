//! The stores: which one has what plain pointers name, and whether each that is needed can be used.

use std::path::Path;

use leasehold::core::Failure;
use leasehold::core::name::{Place, Reference, StoreKind};
use leasehold::manifest::SERVICE;
use leasehold::store::Keyring;
use leasehold::workstation::{Choice, Purpose, Seal, Workstation};

use super::finding::{Finding, Status};
use super::guard::{self, Guard, PRIVATE};
use super::visit::Visit;

/// What is wrong with the stores, if anything.
pub(super) async fn check(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if visit.wants("store") {
        findings.push(store(workstation).await);
    }
    if visit.wants("keyring") {
        findings.push(keyring(visit, workstation).await);
    }
    if visit.wants_one_of(&["sealed-file", "sealed-permissions", "sealed-key"]) {
        findings.extend(sealed(visit, workstation).await);
    }
    findings
}

/// The store that plain pointers mean, and why.
async fn store(workstation: &Workstation<'_>) -> Finding {
    let chosen = workstation.stores().chosen().await;
    let told = format!("plain pointers mean {}", chosen.choice);
    if let Some(bar) = &chosen.bar {
        let finding = Finding::of("store", Status::Warning, bar);
        return Finding { message: format!("{told}; {}", bar.message()), ..finding };
    }
    let finding = Finding::ok("store", format!("{told}: {}", chosen.why));
    let Some(caveat) = chosen.choice.caveat() else { return finding };
    match list(workstation, StoreKind::Kernel).await {
        Ok(_) => finding.hint(caveat),
        Err(failure) => Finding::of("store", Status::Failure, &failure),
    }
}

async fn list(workstation: &Workstation<'_>, kind: StoreKind) -> Result<usize, Failure> {
    let store = workstation.stores().store(kind, Purpose::Read).await?;
    store.list(SERVICE).await.map(|entries| entries.len())
}

/// Whether plain pointers or others mean this store.
async fn is_needed(visit: &Visit<'_>, workstation: &Workstation<'_>, kind: StoreKind) -> bool {
    let chosen = &workstation.stores().chosen().await.choice;
    *chosen == Choice::Store(kind) || visit.names(kind)
}

async fn keyring(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Finding {
    let settings = workstation.stores().settings();
    let has_seal = matches!(&settings.seal, Seal::Key(reference) if is_in_keyring(reference));
    let is_needed = has_seal || is_needed(visit, workstation, StoreKind::Keyring).await;
    let keyring = Keyring::at(&settings.bus);
    let looked = match workstation.stores().why_keyring_rests() {
        Some(failure) => (None, Err(failure)),
        // At the same time, since one that is mute takes seconds for each.
        None => tokio::join!(keyring.absence(), keyring.expect_open()),
    };
    let (failure, status) = match looked {
        (_, Ok(())) => return Finding::ok("keyring", "it answers, and is unlocked"),
        (Some(absence), Err(_)) => (absence, Status::Warning),
        (None, Err(failure)) => (failure, Status::Failure),
    };
    match is_needed {
        true => Finding::of("keyring", status, &failure),
        false => Finding::skipped("keyring", format!("nothing needs it; {}", failure.message())),
    }
}

fn is_in_keyring(reference: &Reference) -> bool {
    matches!(reference.place(), Place::Stored(StoreKind::Keyring, _))
}

async fn sealed(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Vec<Finding> {
    const IDS: [&str; 3] = ["sealed-file", "sealed-permissions", "sealed-key"];
    let path = &visit.settings.workstation.sealed_file;
    let is_there = path.symlink_metadata().is_ok();
    match (is_there, is_needed(visit, workstation, StoreKind::Sealed).await) {
        (false, false) => Finding::all_skipped(&IDS, "there is no sealed file, and nothing needs one"),
        (false, true) => {
            let told = format!("{} is made by the first key that is set", path.display());
            let mut findings = Finding::all_skipped(&IDS[1..], "there is no sealed file yet");
            findings.push(Finding::ok("sealed-file", told));
            findings
        }
        (true, is_needed) => {
            let unopened = if is_needed { Status::Failure } else { Status::Warning };
            let open = match list(workstation, StoreKind::Sealed).await {
                Ok(count) => {
                    Finding::ok("sealed-file", format!("{} opens; keys in it: {count}", path.display()))
                }
                Err(failure) => Finding::of("sealed-file", unopened, &failure),
            };
            vec![open, sealed_permissions(path, visit), sealed_key(visit, workstation).await]
        }
    }
}

fn sealed_permissions(path: &Path, visit: &Visit<'_>) -> Finding {
    let guard = Guard { path: path.to_owned(), refused: PRIVATE };
    guard::finding("sealed-permissions", &[guard], Status::Warning, visit.mends)
}

/// What the sealed file is opened with, whether others can get at it, and whether it could be found by trying.
async fn sealed_key(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Finding {
    let stores = workstation.stores();
    let seal = &stores.settings().seal;
    let finding = match (seal, seal.file()) {
        (_, Some(file)) => key_file(visit, file),
        (Seal::Key(reference), None) => {
            Finding::ok("sealed-key", format!("the sealed file is opened with {reference}"))
        }
        _ => Finding::ok("sealed-key", "a passphrase opens the sealed file"),
    };
    match stores.seal_key().await.check() {
        Err(failure) if finding.status == Status::Ok => Finding::of("sealed-key", Status::Failure, &failure),
        _ => finding,
    }
}

fn key_file(visit: &Visit<'_>, file: &Path) -> Finding {
    let told = format!("whoever can read {} can read every key in the sealed file", file.display());
    // The service manager keeps others out of what it hands over, by other means than the mode.
    let credentials = visit.environment.variable("CREDENTIALS_DIRECTORY").map(Path::new);
    if credentials.is_some_and(|folder| file.starts_with(folder)) {
        return Finding::ok("sealed-key", told);
    }
    let guard = Guard { path: file.to_owned(), refused: PRIVATE };
    let finding = guard::finding("sealed-key", &[guard], Status::Failure, visit.mends);
    match finding.status {
        Status::Skipped => {
            Finding::new("sealed-key", Status::Failure, format!("{} is not there", file.display()))
                .hint("bring it back; a sealed file with a passphrase wants LEASEHOLD_PASSPHRASE_FILE")
        }
        Status::Ok if !finding.is_mended => Finding { message: told, ..finding },
        _ => finding,
    }
}

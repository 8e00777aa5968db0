//! From one store to another, and back.

use leasehold::core::{Kind, Secret};
use leasehold::identity::Source;
use leasehold::store::migrate::{Migration, Moved, Outcome};
use leasehold::store::{KernelKeyring, SealKey, SealedFile, Store};

use super::*;
use crate::ground::Folder;

fn sealed(folder: &Folder, name: &str) -> SealedFile {
    SealedFile::at(
        folder.0.join(name),
        SealKey::Key(Source::Value(Secret::new("a key for tests, of enough bytes"))),
    )
}

/// Names, what was done about them, and whether they went at the old place.
fn told(rows: &[Moved]) -> Vec<(&str, &str, bool)> {
    rows.iter().map(|row| (&*row.entry.name, row.outcome.token(), row.is_deleted)).collect()
}

/// Entries `a`, `b` and `c` in one file, and another in which `b` is the same and `c` is not.
async fn two_files(folder: &Folder) -> (SealedFile, SealedFile) {
    let (from, to) = (sealed(folder, "from"), sealed(folder, "to"));
    for (name, secret) in [("a", "1"), ("b", "2"), ("c", "3")] {
        put(&from, &entry("old", name), secret).await;
    }
    put(&to, &entry("new", "b"), "2").await;
    put(&to, &entry("new", "c"), "other").await;
    (from, to)
}

fn migration<'a>(from: &'a dyn Store, to: &'a dyn Store) -> Migration<'a> {
    Migration { from, service: "old", to, new_service: "new", overwrites: false, deletes_source: true }
}

#[tokio::test]
async fn a_plan_tells_and_writes_nothing() {
    let folder = Folder::new();
    let (from, to) = two_files(&folder).await;
    let before = std::fs::read(to.path()).unwrap();
    let migration = migration(&from, &to);
    let plan = migration.plan().await.unwrap();
    assert_eq!(told(&plan), [("a", "missing", false), ("b", "same", false), ("c", "differs", false)]);
    let forced = Migration { overwrites: true, ..migration }.plan().await.unwrap();
    assert_eq!(forced[2].outcome, Outcome::Missing);
    assert_eq!(std::fs::read(to.path()).unwrap(), before);
    assert_eq!(from.list("old").await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_differs_is_refused_and_then_nothing_is_deleted() {
    let folder = Folder::new();
    let (from, to) = two_files(&folder).await;
    let migrated = migration(&from, &to).carry_out().await;
    assert_eq!(told(&migrated.rows), [("a", "copied", false), ("b", "same", false), ("c", "differs", false)]);
    let failure = migrated.failure.unwrap();
    assert_eq!(failure.kind(), Kind::Invalid);
    assert!(failure.message().starts_with("nothing is deleted"), "{failure}");
    assert_eq!(from.list("old").await.unwrap().len(), 3);
    assert_eq!(found(&to, &entry("new", "c")).await, "other");

    let kept = Migration { deletes_source: false, ..migration(&from, &to) }.carry_out().await;
    assert!(kept.failure.is_none(), "a copy that is refused fails nothing but itself");
    let forced = Migration { overwrites: true, ..migration(&from, &to) }.carry_out().await;
    assert_eq!(told(&forced.rows), [("a", "same", true), ("b", "same", true), ("c", "copied", true)]);
    assert!(forced.failure.is_none());
    assert_eq!(from.list("old").await.unwrap(), []);
    assert_eq!(found(&to, &entry("new", "c")).await, "3");
}

#[tokio::test]
async fn an_error_in_the_middle_leaves_everything_at_the_old_place() {
    let folder = Folder::new();
    let (from, service) = (sealed(&folder, "from"), service("middle"));
    for (name, secret) in [("a", "1"), ("b", &*"x".repeat(40_000)), ("c", "3")] {
        put(&from, &entry("old", name), secret).await;
    }
    // The kernel keeps nothing so large.
    let kernel = KernelKeyring::new();
    let migrated = Migration { new_service: &service, ..migration(&from, &kernel) }.carry_out().await;
    assert_eq!(
        told(&migrated.rows),
        [("a", "copied", false), ("b", "missing", false), ("c", "missing", false)]
    );
    assert!(migrated.failure.unwrap().message().contains("keeps at most"));
    assert_eq!(from.list("old").await.unwrap().len(), 3);
    assert_eq!(listed(&kernel, &service).await, [entry(&service, "a")]);
    kernel.remove(&entry(&service, "a")).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_moved_onto_itself_loses_nothing() {
    let folder = Folder::new();
    let (from, same) = (sealed(&folder, "from"), sealed(&folder, "from"));
    put(&from, &entry("old", "a"), "1").await;
    put(&from, &entry("old", "b"), "2").await;
    let migrated = Migration { new_service: "old", ..migration(&from, &same) }.carry_out().await;
    assert!(migrated.failure.unwrap().message().contains("was put back"));
    assert_eq!(found(&from, &entry("old", "a")).await, "1");
    assert_eq!(found(&from, &entry("old", "b")).await, "2");
}

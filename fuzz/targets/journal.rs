//! Fuzzes what reads the journal of a dead run: whatever stands in the file, it is read, and read the same way twice.
#![no_main]

use leasehold::journal::leftovers;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    folder.expect("a folder for journals")
});

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&summed(bytes));
});

/// The same lines, each with the sum that makes it one of a journal.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .flat_map(|line| [format!("{:08x} ", crc32fast::hash(line)).as_bytes(), line, b"\n"].concat())
        .collect()
}

fn check(text: &[u8]) {
    let path = FOLDER.path().join("1-2-3.journal");
    fs::write(&path, text).expect("a journal");
    let first = held();
    assert_eq!(first, held(), "read once more");
    for mut leftover in leftovers(FOLDER.path()) {
        for entry in leftover.held.clone() {
            leftover.strike(&entry.what);
        }
    }
    assert_eq!(held(), Vec::<String>::new(), "all was struck");
    for file in FOLDER.path().read_dir().expect("the folder").flatten() {
        fs::remove_file(file.path()).expect("a file that can be removed");
    }
}

/// What is held by all journals in the folder.
fn held() -> Vec<String> {
    let leftovers = leftovers(FOLDER.path());
    leftovers.iter().flat_map(|leftover| leftover.held.iter().map(|entry| format!("{entry:?}"))).collect()
}

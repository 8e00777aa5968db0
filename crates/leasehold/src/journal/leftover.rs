//! The journals of runs that died: what is still to be revoked.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::line::{Entry, Header, Line, VERSION, What, encode, is_damaged, replay};
use crate::locked::Locked;

/// The largest journal that is read.
const LIMIT: u64 = 64 << 20;
/// How old an empty file is at least that nobody will write to any more, in seconds.
const SLACK: u64 = 60;

/// The journal of a run that ended without giving everything back. Locked while it is looked at.
#[derive(Debug)]
pub struct Leftover {
    path: PathBuf,
    file: Locked,
    /// Who wrote it, and against which server.
    pub header: Header,
    /// What is still held.
    pub held: Vec<Entry>,
}

impl Leftover {
    /// Writes down that this is gone, and removes the file with its last entry.
    pub fn strike(&mut self, what: &What) {
        self.held.retain(|entry| entry.what != *what);
        if self.held.is_empty() {
            // If it cannot be removed, the next run does.
            let _ = std::fs::remove_file(&self.path);
        } else {
            // If this line is lost, the next run finds it gone by itself.
            let _ = (&*self.file).write_all(encode(&Line::Gone(what.clone())).as_bytes());
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The journals in this folder that no living run owns and that still hold something, be it over by the wall
/// clock, which may be wrong. A file that is no journal is set aside as `*.corrupt`.
pub fn leftovers(folder: &Path) -> Vec<Leftover> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "journal");
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(is_journal).collect();
    paths.sort();
    paths.iter().filter_map(|path| leftover(path)).collect()
}

fn leftover(path: &Path) -> Option<Leftover> {
    let file =
        OpenOptions::new().read(true).append(true).custom_flags(nix::libc::O_NOFOLLOW).open(path).ok()?;
    let file = Locked::at_once(file)?;
    let mut text = Vec::new();
    (&*file).take(LIMIT).read_to_end(&mut text).ok()?;
    let Some((header, held)) = replay(&text) else {
        set_aside(path, &text);
        return None;
    };
    if header.version > VERSION {
        return None;
    }
    if is_damaged(&text) {
        keep_copy(path, &text);
    }
    let touched = file.metadata().map_or(0, |meta| u64::try_from(meta.mtime()).unwrap_or(0));
    let held = held.into_iter().map(|entry| entry.renewed(touched)).collect();
    let leftover = Leftover { path: path.into(), file, header, held };
    if leftover.held.is_empty() {
        // Nothing is owed: a run that was killed before it obtained anything, or after it gave everything back.
        let _ = std::fs::remove_file(path);
        return None;
    }
    Some(leftover)
}

/// An empty file is of a run that has just begun, or was killed before it did anything. Any other that is no journal
/// is kept for a person to look at.
fn set_aside(path: &Path, text: &[u8]) {
    let age = path.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
    // Both only tidy up: where they fail, the file is looked at again next time.
    let _ = match text.is_empty() {
        true if age.is_none_or(|age| age.as_secs() < SLACK) => Ok(()),
        true => std::fs::remove_file(path),
        false => {
            let aside = path.with_extension("corrupt");
            tracing::warn!("a journal cannot be read and is set aside as {}", aside.display());
            std::fs::rename(path, aside)
        }
    };
}

/// Keeps a damaged journal for a person to look at: what is named in it and cannot be read may live on.
fn keep_copy(path: &Path, text: &[u8]) {
    let copy = path.with_extension("corrupt");
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy);
    // One that is there already was made by an earlier run.
    if file.is_ok_and(|mut file| file.write_all(text).is_ok()) {
        tracing::warn!(
            "a journal is damaged: what can be read of it is given back; a copy is {}",
            copy.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::wall_seconds;
    use crate::journal::Journal;
    use crate::journal::tests::{folder, token};
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn what_a_dead_run_held_is_found_once_its_lock_is_free() {
        let folder = folder("dead");
        let journal = Journal::create(&folder, "http://x:1", Some("team")).unwrap();
        journal.hold(&token("a")).unwrap();
        let lease = What::Lease("db/creds/1".into());
        journal.hold(&Entry::new(lease, Some(Duration::from_secs(60)))).unwrap();
        journal.hold(&token("b")).unwrap();
        journal.strike(&What::Token("b".into())).unwrap();
        assert!(leftovers(&folder).is_empty(), "its run lives");
        drop(journal);
        let found = leftovers(&folder);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].header.namespace.as_deref(), Some("team"));
        let held: Vec<_> = found[0].held.iter().map(|entry| entry.what.clone()).collect();
        assert_eq!(held, [What::Token("a".into()), What::Lease("db/creds/1".into())]);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn striking_the_last_entry_removes_a_leftover() {
        let folder = folder("strike");
        let journal = Journal::create(&folder, "http://x:1", None).unwrap();
        journal.hold(&token("a")).unwrap();
        journal.hold(&token("b")).unwrap();
        drop(journal);
        leftovers(&folder)[0].strike(&What::Token("a".into()));
        let mut found = leftovers(&folder);
        assert_eq!(found[0].held.len(), 1);
        found[0].strike(&What::Token("b".into()));
        assert_eq!(folder.read_dir().unwrap().count(), 0);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_is_no_journal_is_set_aside_and_what_ended_a_day_ago_is_still_told() {
        let folder = folder("odd");
        let journal = Journal::create(&folder, "http://x:1", None).unwrap();
        journal.hold(&Entry { what: What::Token("old".into()), ends: Some(1), ttl: None }).unwrap();
        drop(journal);
        let left = leftovers(&folder).remove(0);
        assert!(left.held[0].ended_long_ago() && !token("young").ended_long_ago());
        std::fs::remove_file(left.path()).unwrap();
        drop(left);
        File::create(folder.join("1.journal")).unwrap().write_all(b"garbage\n").unwrap();
        File::create(folder.join("2.journal")).unwrap();
        assert!(leftovers(&folder).is_empty());
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["1.corrupt", "2.journal"], "an empty file may be of a run that has just begun");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    /// A journal of a dead run with these lines.
    fn written(folder: &Path, version: u32, rest: &str) -> PathBuf {
        let header = Header { version, address: "x".into(), namespace: None, pid: 1, started: 0 };
        let path = folder.join("1.journal");
        let text = encode(&Line::Journal(header)) + rest;
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    #[test]
    fn a_journal_of_a_newer_version_is_left_alone() {
        let folder = folder("newer");
        let check = |version, expect| {
            let path = written(&folder, version, &encode(&Line::Held(token("a"))));
            assert_eq!((leftovers(&folder).len(), path.exists()), (expect, true), "{version}");
        };
        check(VERSION, 1);
        check(VERSION + 1, 0);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_damaged_journal_is_read_and_a_copy_is_kept() {
        let folder = folder("damaged");
        let path = written(&folder, VERSION, &format!("00000000 {{}}\n{}", encode(&Line::Held(token("a")))));
        let text = std::fs::read(&path).unwrap();
        assert_eq!(leftovers(&folder)[0].held, [token("a")]);
        assert_eq!(std::fs::read(path.with_extension("corrupt")).unwrap(), text);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn an_empty_file_of_a_run_that_never_began_is_removed() {
        let folder = folder("empty");
        let path = folder.join("1.journal");
        let now = std::time::UNIX_EPOCH + Duration::from_secs(wall_seconds());
        let check = |age, expect| {
            File::create(&path).unwrap().set_modified(now - Duration::from_secs(age)).unwrap();
            assert!(leftovers(&folder).is_empty());
            assert_eq!(path.exists(), expect, "{age}");
        };
        check(SLACK / 2, true);
        check(SLACK * 2, false);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}

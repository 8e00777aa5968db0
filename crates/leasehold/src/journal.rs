//! What must be revoked, on disk first.
//!
//! Each run has a file of its own, locked while the run lives. A file whose lock is free belongs to a run that
//! died: the next one revokes what stands in it. It holds accessors and lease ids, never a token or a value.
//!
//! Room on the disk is taken before it is needed: nothing is held without room to write down that it is gone. When the
//! file was last touched tells when its run last gave anything more time.

mod line;
mod leftover;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use leasehold_core::{Failure, Kind};

use crate::clock::wall_seconds;
use crate::locked::Locked;
use crate::random;
use line::{Line, VERSION, encode};

pub use leftover::{Leftover, leftovers};
pub use line::{Entry, Header, What};

/// How much room on the disk is taken at once: about a hundred lines.
const CHUNK: u64 = 16 << 10;
/// More than one line of any sort needs.
const LONGEST_LINE: u64 = 1 << 10;

/// The journal of this run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// The locked file, and what is held according to it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Locked,
    held: Vec<Entry>,
    /// How many bytes were written.
    length: u64,
    /// How many there is room for.
    room: u64,
    /// The last line may have been written in part.
    is_torn: bool,
}

impl Journal {
    /// Opens a new journal in this folder, which is made if it is missing, for this user alone.
    pub fn create(folder: &Path, address: &str, namespace: Option<&str>) -> Result<Self, Failure> {
        prepare(folder)?;
        let (pid, started) = (std::process::id(), wall_seconds());
        let path = folder.join(format!("{started}-{pid}-{:08x}.journal", random::number()));
        let namespace = namespace.map(ToOwned::to_owned);
        let header = Header { version: VERSION, address: address.to_owned(), namespace, pid, started };
        let begun = State::begin(&path, &header).inspect_err(|_| {
            // Whatever was made is of no use.
            let _ = std::fs::remove_file(&path);
        });
        let state = begun.map_err(|error| broken(&path, &error))?;
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// Whether something more could be written down. To be asked before it is obtained.
    pub fn has_room(&self) -> Result<(), Failure> {
        self.lock().make_room(LONGEST_LINE).map_err(|error| broken(&self.path, &error))
    }

    /// Writes down that this is held, and returns once that is on the disk. After a failure it counts as held all the
    /// same, since a part of it may have been written.
    pub fn hold(&self, entry: &Entry) -> Result<(), Failure> {
        let mut state = self.lock();
        state.held.push(entry.clone());
        let line = encode(&Line::Held(entry.clone()));
        let written = state
            .make_room(line.len() as u64)
            .and_then(|()| state.write(&line))
            .and_then(|()| state.file.sync_data());
        written.map_err(|error| broken(&self.path, &error))
    }

    /// Writes down that this is gone. If that is lost, the next run finds it gone by itself.
    pub fn strike(&self, what: &What) -> Result<(), Failure> {
        let mut state = self.lock();
        state.held.retain(|entry| entry.what != *what);
        state.write(&encode(&Line::Gone(what.clone()))).map_err(|error| broken(&self.path, &error))
    }

    /// Notes that something was given more time than was written down. If that is lost, the next run may take it for
    /// ended; it ends soon after.
    pub fn touch(&self) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(wall_seconds());
        let _ = self.lock().file.set_modified(now);
    }

    /// What is held at the moment.
    pub fn held(&self) -> Vec<Entry> {
        self.lock().held.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    /// A journal of nothing is no journal. Otherwise the file stays for the next run, and its lock is free.
    fn drop(&mut self) {
        if self.held().is_empty() {
            // If it cannot be removed, the next run does.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl State {
    fn begin(path: &Path, header: &Header) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        // Another run may be looking at the empty file right now; it lets go at once.
        let mut state =
            Self { file: Locked::wait(file)?, held: Vec::new(), length: 0, room: 0, is_torn: false };
        let line = encode(&Line::Journal(header.clone()));
        state.make_room(line.len() as u64)?;
        state.write(&line)?;
        Ok(state)
    }

    /// Takes room for a line of this length, and for a line for each thing that is held to say that it is gone.
    fn make_room(&mut self, line: u64) -> io::Result<()> {
        let needed = self.needed(line);
        if needed <= self.room {
            return Ok(());
        }
        let end = needed.div_ceil(CHUNK) * CHUNK;
        self.room = if reserve(&self.file, self.length, end - self.length)? { end } else { u64::MAX };
        Ok(())
    }

    /// How long the file is once such a line and all that goes are written, each maybe after a torn one.
    fn needed(&self, line: u64) -> u64 {
        let strikes = self.held.iter().map(|entry| encode(&Line::Gone(entry.what.clone())).len() as u64 + 1);
        self.length + line + 1 + strikes.sum::<u64>()
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let line = if self.is_torn { format!("\n{line}") } else { line.to_owned() };
        let written = (&*self.file).write_all(line.as_bytes());
        self.is_torn = written.is_err();
        self.length = self.file.metadata().map_or(self.length + line.len() as u64, |meta| meta.len());
        written
    }
}

/// Takes these bytes of the disk without making the file longer. Says whether the file system can do that.
#[cfg(target_os = "linux")]
fn reserve(file: &File, from: u64, length: u64) -> io::Result<bool> {
    use nix::errno::Errno;
    use nix::fcntl::{FallocateFlags, fallocate};
    let (from, length) = (i64::try_from(from), i64::try_from(length));
    let (Ok(from), Ok(length)) = (from, length) else { return Ok(false) };
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, from, length) {
        Ok(()) => Ok(true),
        Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::EIO) => {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        // Then writing itself tells.
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Makes the folder, and refuses one in which others could put or read files.
fn prepare(folder: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| broken(folder, &error))?;
    // Whoever owns the folder above could put another in its place.
    let parent = folder.parent().unwrap_or(folder);
    match is_private(parent).and_then(|above| Ok(above && is_private(folder)?)) {
        Ok(true) => Ok(()),
        Err(error) => Err(broken(folder, &error)),
        Ok(false) => Err(Failure::new(
            Kind::Invalid,
            format!("others may write to the journal's folder {}", folder.display()),
        )
        .hint("choose another with --state-dir, or take the right away: chmod go-w")),
    }
}

/// Whether nobody but this user may write to a folder.
fn is_private(folder: &Path) -> io::Result<bool> {
    let meta = folder.metadata()?;
    Ok(meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0)
}

fn broken(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Invalid, format!("cannot write the journal {}: {error}", path.display()))
        .hint("without it nothing could be given back after a crash; choose another place with --state-dir")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(in crate::journal) fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("leasehold-journal-{name}-{:08x}", random::number()));
        DirBuilder::new().mode(0o700).recursive(true).create(folder.join("journal")).unwrap();
        folder.join("journal")
    }

    pub(in crate::journal) fn token(accessor: &str) -> Entry {
        Entry::new(What::Token(accessor.into()), None)
    }

    #[test]
    fn a_run_that_gave_everything_back_leaves_no_file() {
        let folder = folder("clean");
        let journal = Journal::create(&folder, "http://x:1", None).unwrap();
        journal.hold(&token("a")).unwrap();
        journal.strike(&What::Token("a".into())).unwrap();
        drop(journal);
        assert_eq!(folder.read_dir().unwrap().count(), 0);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_a_run_leaves_is_found_though_a_program_that_is_being_started_has_its_file_open() {
        let folder = folder("copy");
        let journal = Journal::create(&folder, "http://x:1", None).unwrap();
        journal.hold(&token("a")).unwrap();
        let copy = journal.lock().file.try_clone().unwrap();
        drop(journal);
        assert_eq!(leftovers(&folder).len(), 1);
        drop(copy);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn room_is_taken_before_it_is_needed() {
        let folder = folder("room");
        let journal = Journal::create(&folder, "http://x:1", None).unwrap();
        for n in 0..200 {
            journal.hold(&token(&format!("{n}"))).unwrap();
            let state = journal.lock();
            let strike = encode(&Line::Gone(What::Token("199".into()))).len() as u64;
            assert!(state.room >= state.length + (n + 1) * strike, "{n}: {} {}", state.room, state.length);
        }
        let length = journal.path.metadata().unwrap().len();
        assert_eq!(length, journal.lock().length, "the room is not seen");
        (0..200).for_each(|n| journal.strike(&What::Token(format!("{n}"))).unwrap());
        drop(journal);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    /// A state whose file has this length as far as it knows.
    fn state(folder: &Path, length: u64, held: Vec<Entry>) -> State {
        let file = Locked::wait(File::create(folder.join("x")).unwrap()).unwrap();
        State { file, held, length, room: 0, is_torn: false }
    }

    #[test]
    fn room_is_for_a_line_and_a_strike_for_each_thing_that_is_held() {
        let folder = folder("needed");
        let strike = encode(&Line::Gone(token("a").what)).len() as u64 + 1;
        for (held, line, expect) in
            [(0, 0, 101), (0, 50, 151), (1, 50, 151 + strike), (3, 50, 151 + 3 * strike)]
        {
            assert_eq!(state(&folder, 100, vec![token("a"); held]).needed(line), expect, "{held} {line}");
        }
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn room_is_taken_from_the_disk_and_no_more_than_is_said() {
        let folder = folder("disk");
        let mut state = state(&folder, 100_000, Vec::new());
        state.make_room(1).unwrap();
        assert_eq!(state.room, 7 * CHUNK, "whole chunks");
        let taken = state.file.metadata().unwrap().blocks() * 512;
        assert!((state.room - 100_000..4 * CHUNK).contains(&taken), "{taken}");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_room_nothing_is_to_be_obtained_and_what_is_held_counts() {
        let folder = folder("full");
        let journal = Journal::create(&folder, "x", None).unwrap();
        journal.has_room().unwrap();
        // No file grows that long.
        journal.lock().length = i64::MAX as u64;
        assert_eq!(journal.has_room().unwrap_err().kind(), Kind::Invalid);
        assert_eq!(journal.hold(&token("a")).unwrap_err().kind(), Kind::Invalid);
        assert_eq!(journal.held(), [token("a")], "a part may have been written");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_room_that_is_asked_for_is_enough_for_any_line() {
        let folder = folder("line");
        let journal = Journal::create(&folder, "x", None).unwrap();
        let room = journal.lock().room;
        journal.lock().length = room - 200;
        journal.has_room().unwrap();
        let longest = encode(&Line::Held(Entry::new(What::Lease("x".repeat(512)), Some(Duration::MAX))));
        assert!(journal.lock().room >= room - 200 + longest.len() as u64);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_touch_is_seen_on_the_file() {
        let folder = folder("touch");
        let journal = Journal::create(&folder, "x", None).unwrap();
        journal.lock().file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        journal.touch();
        assert!(journal.path.metadata().unwrap().modified().unwrap().elapsed().unwrap().as_secs() < 60);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("open");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Journal::create(&folder, "x", None).unwrap_err().kind(), Kind::Invalid);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}

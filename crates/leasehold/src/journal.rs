//! What must be revoked, on disk first.
//!
//! Each run has a file of its own, locked while the run lives. A file whose lock is free belongs to a run that
//! died: the next one revokes what stands in it. It holds accessors and lease ids, never a token or a value.
//!
//! A line is a CRC-32 in hex, a space and a JSON object: a [`Header`] first, then a line for each thing that is held
//! and one for each that is gone. A torn last line was never acted upon and is dropped.
//!
//! Room on the disk is taken before it is needed: nothing is held without room to write down that it is gone. When the
//! file was last touched tells when its run last gave anything more time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use leasehold_core::{Failure, Holding, Kind};
use serde::{Deserialize, Serialize};

use crate::clock::wall_seconds;
use crate::random;

/// The version of the format. A newer one is left alone.
const VERSION: u32 = 1;
/// The largest journal that is read.
const LIMIT: u64 = 64 << 20;
/// How old an empty file is at least that nobody will write to any more, in seconds.
const SLACK: u64 = 60;
const DAY: u64 = 24 * 60 * 60;
/// How much room on the disk is taken at once: about a hundred lines.
const CHUNK: u64 = 16 << 10;
/// More than one line of any sort needs.
const LONGEST_LINE: u64 = 1 << 10;

/// Who wrote a journal, and against which server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub version: u32,
    /// The server's address.
    pub address: String,
    /// The namespace, if not the root.
    pub namespace: Option<String>,
    /// The process that wrote it.
    pub pid: u32,
    /// When, in seconds since 1970.
    pub started: u64,
}

/// Something that the server keeps on our behalf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// When it ends by itself, in seconds since 1970; with what it hangs below, maybe earlier.
    pub ends: Option<u64>,
    /// How long it lives, in seconds, and how much a renewal gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
}

impl Entry {
    /// Something that was obtained just now and lives this long; for ever if none.
    pub fn new(what: What, ttl: Option<Duration>) -> Self {
        let ttl = ttl.map(|ttl| ttl.as_secs());
        Self { what, ends: ttl.map(|ttl| wall_seconds().saturating_add(ttl)), ttl }
    }

    /// The same, where its run last renewed something at that second.
    fn renewed(self, at: u64) -> Self {
        let renewed = self.ttl.map(|ttl| at.saturating_add(ttl));
        Self { ends: self.ends.map(|ends| ends.max(renewed.unwrap_or(ends))), ..self }
    }

    /// Whether it ended more than a day ago. That is by the wall clock, which may be set wrong: whoever can ask the
    /// server does.
    pub(crate) fn ended_long_ago(&self) -> bool {
        self.ends.is_some_and(|ends| ends.saturating_add(DAY) < wall_seconds())
    }
}

/// A token or lease, by the name under which it is revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A token's accessor.
    Token(String),
    /// A lease's id.
    Lease(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Journal(Header),
    Held(Entry),
    Gone(What),
}

impl What {
    /// What has to be revoked of a holding; none if nothing has.
    pub fn of(holding: &Holding) -> Option<Self> {
        match holding {
            Holding::Token { accessor } => accessor.as_deref().map(|accessor| Self::Token(accessor.into())),
            Holding::Lease { id } => Some(Self::Lease((**id).into())),
            Holding::Nothing => None,
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(accessor) => write!(f, "token with accessor {accessor}"),
            Self::Lease(id) => write!(f, "lease {id}"),
        }
    }
}

/// The journal of this run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// The open file, which carries the lock, and what is held according to it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
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

impl State {
    fn begin(path: &Path, header: &Header) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        // Another run may be looking at the empty file right now; it lets go at once.
        file.lock()?;
        let mut state = Self { file, held: Vec::new(), length: 0, room: 0, is_torn: false };
        let line = encode(&Line::Journal(header.clone()));
        state.make_room(line.len() as u64)?;
        state.write(&line)?;
        Ok(state)
    }

    /// Takes room for a line of this length, and for a line for each thing that is held to say that it is gone.
    fn make_room(&mut self, line: u64) -> io::Result<()> {
        let strikes = self.held.iter().map(|entry| encode(&Line::Gone(entry.what.clone())).len() as u64 + 1);
        let needed = self.length + line + 1 + strikes.sum::<u64>();
        if needed <= self.room {
            return Ok(());
        }
        let end = needed.div_ceil(CHUNK) * CHUNK;
        self.room = if reserve(&self.file, self.length, end - self.length)? { end } else { u64::MAX };
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let line = if self.is_torn { format!("\n{line}") } else { line.to_owned() };
        let written = self.file.write_all(line.as_bytes());
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

impl Drop for Journal {
    /// A journal of nothing is no journal. Otherwise the file stays for the next run, and its lock is free.
    fn drop(&mut self) {
        if self.held().is_empty() {
            // If it cannot be removed, the next run does.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The journal of a run that ended without giving everything back. Locked while it is looked at.
#[derive(Debug)]
pub struct Leftover {
    path: PathBuf,
    file: File,
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
            let _ = self.file.write_all(encode(&Line::Gone(what.clone())).as_bytes());
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
    let mut file =
        OpenOptions::new().read(true).append(true).custom_flags(nix::libc::O_NOFOLLOW).open(path).ok()?;
    file.try_lock().ok()?;
    let mut text = Vec::new();
    Read::by_ref(&mut file).take(LIMIT).read_to_end(&mut text).ok()?;
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

/// What a journal says: who wrote it and what is held. Lines that are damaged are skipped, since what the others
/// say is still to be revoked; none without a header.
fn replay(text: &[u8]) -> Option<(Header, Vec<Entry>)> {
    let mut header = None;
    let mut held: Vec<Entry> = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter_map(decode) {
        match line {
            Line::Journal(first) => header = header.or(Some(first)),
            Line::Held(entry) => held.push(entry),
            Line::Gone(what) => held.retain(|entry| entry.what != what),
        }
    }
    header.map(|header| (header, held))
}

/// Whether a line cannot be read that was written to its end.
fn is_damaged(text: &[u8]) -> bool {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    whole.split(|byte| *byte == b'\n').any(|line| !line.is_empty() && decode(line).is_none())
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

fn encode(line: &Line) -> String {
    // These types have no map with keys that are not text, which is all that could fail.
    let json = serde_json::to_string(line).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn decode(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    (sum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok()).flatten()
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
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("leasehold-journal-{name}-{:08x}", random::number()));
        DirBuilder::new().mode(0o700).recursive(true).create(folder.join("journal")).unwrap();
        folder.join("journal")
    }

    fn token(accessor: &str) -> Entry {
        Entry::new(What::Token(accessor.into()), None)
    }

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
    fn torn_and_flipped_lines_lose_nothing_else() {
        let header = Header { version: 1, address: "x".into(), namespace: None, pid: 1, started: 0 };
        let lines =
            [Line::Journal(header), Line::Held(token("a")), Line::Held(token("b"))].map(|line| encode(&line));
        let whole = lines.concat();
        for cut in 0..=whole.len() {
            let held = replay(&whole.as_bytes()[..cut]).map_or(0, |(_, held)| held.len());
            let full = [lines[0].len() + lines[1].len(), whole.len()];
            let expect = full.iter().filter(|end| cut + 1 >= **end).count();
            assert_eq!(held, expect, "cut at {cut}");
        }
        let mut flipped = whole.clone().into_bytes();
        flipped[lines[0].len() + 20] ^= 1;
        assert_eq!(replay(&flipped).unwrap().1, [token("b")]);
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

    #[test]
    fn what_was_renewed_is_looked_for_longer() {
        let check = |ttl: Option<u64>, renewed: u64, expect: Option<u64>| {
            let entry = Entry { what: What::Token("a".into()), ends: ttl.map(|ttl| 1_000 + ttl), ttl };
            assert_eq!(entry.renewed(renewed).ends, expect, "{ttl:?} {renewed}");
        };
        check(Some(60), 1_000, Some(1_060));
        check(Some(60), 5_000, Some(5_060));
        check(Some(600), 1_200, Some(1_800));
        check(Some(600), 900, Some(1_600));
        check(None, 5_000, None);
    }

    #[test]
    fn a_damaged_line_is_told_from_a_torn_one() {
        let lines = [token("a"), token("b")].map(|entry| encode(&Line::Held(entry))).concat();
        let mut flipped = lines.clone().into_bytes();
        flipped[20] ^= 1;
        let check = |text: &[u8], expect: bool| assert_eq!(is_damaged(text), expect, "{text:?}");
        check(lines.as_bytes(), false);
        check(&lines.as_bytes()[..lines.len() - 5], false);
        check(&flipped, true);
        check(format!("{}\n{lines}", &lines[..20]).as_bytes(), true);
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

    #[test]
    fn an_end_moves_with_a_renewal_and_is_told_for_a_day_more() {
        let ends = |ends, ttl| Entry { what: What::Token("a".into()), ends, ttl };
        let renewed = |entry: Entry, expect| assert_eq!(entry.renewed(80).ends, expect);
        renewed(ends(Some(100), Some(50)), Some(130));
        renewed(ends(Some(140), Some(50)), Some(140));
        renewed(ends(Some(100), None), Some(100));
        renewed(ends(None, None), None);
        let ago = |hours: u64| ends(Some(wall_seconds() - hours * 3_600), None).ended_long_ago();
        assert_eq!([ago(1), ago(23), ago(25)], [false, false, true]);
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
    fn only_what_has_a_name_is_written_down() {
        let check = |holding: Holding, expect: Option<&str>| {
            assert_eq!(What::of(&holding).map(|what| what.to_string()).as_deref(), expect);
        };
        check(Holding::Token { accessor: Some("a".into()) }, Some("token with accessor a"));
        check(Holding::Token { accessor: None }, None);
        check(Holding::Lease { id: "db/creds/1".into() }, Some("lease db/creds/1"));
        check(Holding::Nothing, None);
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

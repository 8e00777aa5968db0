//! Files with secrets for a child: in memory where the system has such a file system, for this user alone, replaced as
//! a whole, and gone at the end.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_core::{Failure, Kind};

use crate::locked::Locked;
use crate::random;

/// The file whose lock tells that the folder's run lives.
const LOCK: &str = ".lock";

/// The private folder of one run. Everything in it, and each link to it, goes when this is dropped.
///
/// A file that is asked for under an absolute path is written here all the same, and a link is put at that path: so no
/// secret is written to a disk.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    links: Vec<PathBuf>,
    /// Held while this run lives.
    _lock: Locked,
}

impl Files {
    /// Makes the folder below one of these, the first that can be had, and removes those of dead runs.
    pub fn create(places: &[PathBuf]) -> Result<Self, Failure> {
        let mut last = None;
        for place in places {
            match make(place) {
                Ok(files) => return Ok(files),
                Err(error) => last = Some((place, error)),
            }
        }
        let why = last.map_or_else(String::new, |(place, error)| format!(": {}: {error}", place.display()));
        Err(Failure::new(Kind::Invalid, format!("there is no place for files{why}"))
            .hint("set XDG_RUNTIME_DIR to a folder of your own on a tmpfs"))
    }

    /// Where files are whose path is relative.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts this text at this path, in place of what was there; returns where it can be read.
    pub fn put(&mut self, path: &Path, text: &str) -> Result<PathBuf, Failure> {
        let failed = |error: io::Error| {
            let failure = Failure::new(Kind::Invalid, format!("cannot write {}: {error}", path.display()));
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    failure.hint("a file that is there already is not overwritten")
                }
                _ => failure,
            }
        };
        let target = self.folder.join(name_of(path));
        replace(&target, text.as_bytes()).map_err(failed)?;
        if path.is_relative() {
            return Ok(target);
        }
        self.link(path, &target).map_err(failed)?;
        Ok(path.to_owned())
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        if self.links.iter().any(|link| link == path) {
            return Ok(());
        }
        // A link that leads nowhere was left by a run that was killed.
        if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) && !path.exists() {
            std::fs::remove_file(path)?;
        }
        std::os::unix::fs::symlink(target, path)?;
        self.links.push(path.to_owned());
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        for link in &self.links {
            let _ = std::fs::remove_file(link);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The name in our folder: one path, one name.
fn name_of(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').replace('%', "%25").replace('/', "%2F")
}

/// Removes what dead runs left below these places.
pub fn clear(places: &[PathBuf]) {
    for common in places.iter().map(|place| common_folder(place)) {
        if is_private(&common).unwrap_or(false) {
            sweep(&common);
        }
    }
}

/// The folder of all runs of this user below a place.
fn common_folder(place: &Path) -> PathBuf {
    place.join(format!("leasehold-{}", nix::unistd::geteuid()))
}

fn is_private(folder: &Path) -> io::Result<bool> {
    let meta = folder.symlink_metadata()?;
    Ok(meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o077 == 0)
}

fn make(place: &Path) -> io::Result<Files> {
    let common = common_folder(place);
    DirBuilder::new().recursive(true).mode(0o700).create(&common)?;
    if !is_private(&common)? {
        return Err(io::Error::other("others may look into it"));
    }
    sweep(&common);
    if !is_in_memory(&common) {
        tracing::warn!("{} is on a disk: secrets are written to it; set XDG_RUNTIME_DIR", common.display());
    }
    let folder = common.join(format!("{}-{:08x}", std::process::id(), random::number()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(LOCK))?;
    let lock = Locked::wait(lock)?;
    match folder.join(LOCK).exists() {
        true => Ok(Files { folder, links: Vec::new(), _lock: lock }),
        // Before it was locked, another run's sweep took it for a dead run's.
        false => make(place),
    }
}

#[cfg(target_os = "linux")]
fn is_in_memory(folder: &Path) -> bool {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    statfs(folder).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}

/// Removes the folders of dead runs: those whose lock is free. One without a lock has just been made.
fn sweep(common: &Path) {
    for entry in common.read_dir().into_iter().flatten().flatten() {
        let lock = File::open(entry.path().join(LOCK));
        if let Some(_held) = lock.ok().and_then(Locked::at_once) {
            // What cannot be removed now is removed by the next run.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes beside, for this user alone, and renames: a reader sees the old text or the new one, whole, also after a crash.
/// Where it fails, what was there stays.
pub(crate) fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = target.with_file_name(format!(".new-{:08x}", random::number()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| std::fs::rename(&beside, target));
    if moved.is_err() {
        // The error that counts is the first one.
        let _ = std::fs::remove_file(&beside);
    }
    moved.and_then(|()| File::open(folder_of(target))?.sync_all())
}

/// Makes a folder for this user alone, and those above it that are missing.
pub(crate) fn own_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Held by one process at a time, for all that is done to a file from its reading to its replacement. It is let go of
/// when this is dropped, and when its holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Locked,
}

impl Lock {
    /// How long the others may take. Each takes milliseconds.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Locks the file `TARGET.lock` beside the target, since the target itself is another file after each write. Waits
    /// for others in the order in which they came, at most ten seconds, and blocks the thread meanwhile.
    pub(crate) fn beside(target: &Path) -> io::Result<Self> {
        let mut path = target.as_os_str().to_owned();
        path.push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
        Locked::in_turn(options.open(path)?, Self::PATIENCE).map(|file| Self { _file: file })
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("leasehold-files-{name}-{:08x}", random::number()));
        DirBuilder::new().mode(0o700).create(&place).unwrap();
        place
    }

    #[test]
    fn files_are_private_replaced_and_gone_at_the_end() {
        let place = place("life");
        let mut files = Files::create(std::slice::from_ref(&place)).unwrap();
        let path = files.put(Path::new("db/password"), "one").unwrap();
        assert_eq!(
            (std::fs::read_to_string(&path).unwrap(), path.metadata().unwrap().mode() & 0o777),
            ("one".into(), 0o600)
        );
        files.put(Path::new("db/password"), "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        drop(files);
        assert!(!path.exists());
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn an_absolute_path_becomes_a_link_and_nothing_of_others_is_overwritten() {
        let place = place("link");
        let mut files = Files::create(std::slice::from_ref(&place)).unwrap();
        let link = place.join("password");
        assert_eq!(files.put(&link, "one").unwrap(), link);
        files.put(&link, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "two");
        let taken = place.join("taken");
        File::create(&taken).unwrap();
        assert!(files.put(&taken, "three").unwrap_err().advice().is_some());
        drop(files);
        assert!(link.symlink_metadata().is_err() && taken.exists());
        std::fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn what_a_dead_run_left_is_removed_and_what_a_living_one_has_is_not() {
        let place = place("dead");
        let dead = Files::create(std::slice::from_ref(&place)).unwrap();
        let folder = dead.folder().to_owned();
        let alive = Files::create(std::slice::from_ref(&place)).unwrap();
        assert!(folder.exists());
        let Files { _lock: lock, .. } = &dead;
        lock.unlock().unwrap();
        let _third = Files::create(std::slice::from_ref(&place)).unwrap();
        assert!(!folder.exists() && alive.folder().exists());
        drop((dead, alive, _third));
        std::fs::remove_dir_all(place).unwrap();
    }
}

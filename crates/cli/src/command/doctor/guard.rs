//! Whether others can get at a file or folder, and keeping them out.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use super::finding::{Finding, Status};

/// Nobody but the user may do anything with it.
pub(super) const PRIVATE: u32 = 0o077;
/// Nobody but the user may change it.
pub(super) const OTHERS_WRITE: u32 = 0o022;

/// A file or folder, and what others must not do with it.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) path: PathBuf,
    /// The bits of its mode that must not be set.
    pub(super) refused: u32,
}

/// How one stands.
enum State {
    Absent,
    Good,
    Mended(String),
    Open(String),
}

impl Guard {
    fn look(&self, mends: bool) -> State {
        match self.try_look(mends) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::Absent,
            Err(error) => State::Open(format!("cannot look at {}: {error}", self.path.display())),
        }
    }

    /// Looks and mends by one handle, so that it is the same file.
    fn try_look(&self, mends: bool) -> io::Result<State> {
        let careful = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(careful).open(&self.path)?;
        let found = file.metadata()?;
        let (mode, shown) = (found.mode() & 0o7777, self.path.display());
        let (owner, us) = (found.uid(), nix::unistd::geteuid().as_raw());
        if owner != us && owner != 0 {
            return Ok(State::Open(format!("{shown} belongs to another user ({owner})")));
        }
        // What root gives us is meant to be read, and is not ours to mend.
        let refused = if owner == us { self.refused } else { self.refused & OTHERS_WRITE };
        let kept = mode & !refused;
        if kept == mode {
            return Ok(State::Good);
        }
        let told = format!("others can get at {shown} (mode {mode:04o})");
        if !mends {
            return Ok(State::Open(told));
        }
        Ok(match close(&file, kept) {
            Ok(()) => State::Mended(format!("{shown}: mode {mode:04o} is now {kept:04o}")),
            Err(error) => State::Open(format!("{told}, which cannot be mended: {error}")),
        })
    }
}

fn close(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// The finding about all of these; where others can get at one, it is of this status.
pub(super) fn finding(id: &str, guards: &[Guard], status: Status, mends: bool) -> Finding {
    let (mut open, mut mended, mut is_there) = (Vec::new(), Vec::new(), false);
    for guard in guards {
        match guard.look(mends) {
            State::Absent => continue,
            State::Good => {}
            State::Mended(told) => mended.push(told),
            State::Open(told) => open.push(told),
        }
        is_there = true;
    }
    match (is_there, open.is_empty(), mended.is_empty()) {
        (false, ..) => Finding::skipped(id, "there is nothing to guard"),
        (true, false, _) => {
            open.extend(mended);
            Finding::new(id, status, open.join("; ")).hint("mend it: leasehold doctor --fix")
        }
        (true, true, false) => Finding::mended(id, mended.join("; ")),
        (true, true, true) => Finding::ok(id, "others cannot get at it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_get_at_is_told_and_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        File::create(&path).unwrap();
        let check = |mode: u32, refused: u32, mends: bool, expect: Status, after: u32| {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let guard = Guard { path: path.clone(), refused };
            let finding = finding("id", &[guard], Status::Warning, mends);
            let is_mended = after != mode;
            assert_eq!((finding.status, finding.is_mended), (expect, is_mended), "{mode:o} {finding:?}");
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, after, "{mode:o}");
        };
        check(0o600, PRIVATE, true, Status::Ok, 0o600);
        check(0o400, PRIVATE, true, Status::Ok, 0o400);
        check(0o640, PRIVATE, false, Status::Warning, 0o640);
        check(0o604, PRIVATE, true, Status::Ok, 0o600);
        check(0o755, OTHERS_WRITE, true, Status::Ok, 0o755);
        check(0o777, OTHERS_WRITE, false, Status::Warning, 0o777);
        check(0o777, OTHERS_WRITE, true, Status::Ok, 0o755);
    }

    #[test]
    fn a_link_is_not_followed_and_what_is_missing_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        File::create(&file).unwrap().set_permissions(Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let look = |path: &PathBuf| {
            let guard = Guard { path: path.clone(), refused: PRIVATE };
            finding("id", &[guard], Status::Failure, true).status
        };
        assert_eq!(look(&link), Status::Failure);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o644);
        let missing = folder.path().join("missing");
        assert_eq!((look(&missing), missing.exists()), (Status::Skipped, false));
    }
}

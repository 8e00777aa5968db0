//! A file that is locked while somebody holds it.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Deref;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// An open file with its lock, which is free once this is dropped, or its process is dead.
///
/// To close the file is not enough for that: another thread may be starting a program, which has a copy of every open file
/// until it is under way, and the lock belongs to all copies.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Waits until nobody else has the lock.
    pub(crate) fn wait(file: File) -> io::Result<Self> {
        file.lock().map(|()| Self(file))
    }

    /// None if somebody has the lock, or it cannot be had at all.
    pub(crate) fn at_once(file: File) -> Option<Self> {
        file.try_lock().ok().map(|()| Self(file))
    }

    /// Waits at most this long, and blocks the thread meanwhile. The kernel keeps the queue: who asks again and again can
    /// be passed by for ever. A lock that comes too late is let go of by the thread that waited for it.
    pub(crate) fn in_turn(file: File, patience: Duration) -> io::Result<Self> {
        match file.try_lock() {
            Ok(()) => return Ok(Self(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        let (done, wait) = sync_channel(0);
        let locked = move || drop(done.send(Self::wait(file)));
        std::thread::Builder::new().name("leasehold-lock".into()).spawn(locked)?;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "another program has locked it");
        wait.recv_timeout(patience).map_err(late)?
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where that fails, closing it does.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One file, opened so often.
    fn opened<const N: usize>() -> [File; N] {
        let path = std::env::temp_dir().join(format!("leasehold-locked-{:08x}", crate::random::number()));
        let open = |_| File::options().create(true).append(true).open(&path).unwrap();
        let files = std::array::from_fn(open);
        std::fs::remove_file(path).unwrap();
        files
    }

    #[test]
    fn a_lock_ends_with_its_holder_though_a_copy_of_the_file_is_open() {
        let [file, other] = opened();
        // As a program has one that is being started by another thread.
        let copy = file.try_clone().unwrap();
        let held = Locked::wait(file).unwrap();
        assert!(Locked::at_once(other.try_clone().unwrap()).is_none());
        drop(held);
        assert!(Locked::at_once(other).is_some());
        drop(copy);
    }

    #[test]
    fn a_lock_is_waited_for_in_turn_and_not_for_ever() {
        let [file, late, other] = opened();
        let held = Locked::in_turn(file, Duration::ZERO).unwrap();
        let late = Locked::in_turn(late, Duration::from_millis(1)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| Locked::in_turn(other, Duration::from_secs(60)));
            drop(held);
            waiter.join().unwrap().unwrap();
        });
    }
}

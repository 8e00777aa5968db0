//! Which store was written last where nobody had said which. Without that, a keyring that is away for a while looks like one
//! that never was, and a new key would go where the old one is not.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use leasehold_core::name::StoreKind;

use crate::files;

/// Longer than any name, in bytes.
const LIMIT: u64 = 64;

/// The file with the store's name.
#[derive(Clone, Debug)]
pub(super) struct Note(pub(super) PathBuf);

impl Note {
    /// The store, if one was noted.
    pub(super) fn read(&self) -> Option<StoreKind> {
        // A pipe in its place would keep us waiting, and a link may lead to one.
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.0).ok()?;
        let mut text = String::new();
        file.take(LIMIT).read_to_string(&mut text).ok()?;
        StoreKind::of_scheme(text.trim())
    }

    /// Notes a store. The key is stored by now, so that it is no failure where this cannot be written.
    pub(super) fn write(&self, store: StoreKind) {
        if self.read() == Some(store) {
            return;
        }
        let line = format!("{}\n", store.scheme());
        let written = files::own_folder(files::folder_of(&self.0));
        if let Err(error) = written.and_then(|()| files::replace(&self.0, line.as_bytes())) {
            tracing::warn!("that keys are in {} is not noted: {error}", store.scheme());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_store_that_was_written_last_is_noted() {
        let folder = std::env::temp_dir().join(format!("leasehold-note-{:08x}", crate::random::number()));
        let note = Note(folder.join("state/store"));
        assert_eq!(note.read(), None);
        for store in [StoreKind::Keyring, StoreKind::Keyring, StoreKind::Sealed] {
            note.write(store);
            assert_eq!(note.read(), Some(store));
        }
        assert_eq!(note.0.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for text in ["", "vault://secret/ai\n", "\0"] {
            files::replace(&note.0, text.as_bytes()).unwrap();
            assert_eq!(note.read(), None, "{text:?}");
        }
        std::fs::remove_file(&note.0).unwrap();
        nix::unistd::mkfifo(&note.0, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(note.read(), None, "and nobody is waited for");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

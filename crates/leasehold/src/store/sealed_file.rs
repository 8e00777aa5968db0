//! An encrypted file, for machines without a keyring.
//!
//! ```text
//! {"format":"leasehold-sealed","version":1,"key":{..},"salt":".."}\n      the header, authenticated
//! 24 bytes of nonce, then the entries as JSON under XChaCha20-Poly1305
//! ```
//!
//! The key comes from a passphrase by Argon2id, or from the text of a key file by HKDF-SHA256. The salt is
//! drawn with the file, the nonce at each write. A file that cannot be opened, whatever the reason, is never written over.

mod seal;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Answer, Answers, Listed, Store};
use crate::clock;
use crate::files;
use seal::{Derived, Fault};

pub use seal::SealKey;

/// What to do about a key that is not there.
const LOST: &str =
    "bring back what it was sealed with; if that is lost, move the file away and set the keys again";
/// The largest file that is read or written.
const LIMIT: usize = 64 << 20;

/// A sealed file. Each call opens it anew, on a thread of its own, and writers wait for one another.
#[derive(Clone, Debug)]
pub struct SealedFile {
    path: PathBuf,
    key: SealKey,
    kept: Arc<Mutex<Option<Derived>>>,
}

/// What is inside.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    entries: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    service: Box<str>,
    name: Box<str>,
    secret: Zeroizing<String>,
    /// When it was written, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written: Option<u64>,
}

impl Row {
    fn new(entry: Entry, secret: &Secret) -> Self {
        let secret = Zeroizing::new(secret.expose().to_owned());
        Self { service: entry.service, name: entry.name, secret, written: Some(clock::wall_seconds()) }
    }

    fn listed(self) -> Listed {
        let written = self.written.and_then(clock::wall_time);
        Listed { entry: Entry { service: self.service, name: self.name }, written }
    }

    fn is(&self, entry: &Entry) -> bool {
        self.service == entry.service && self.name == entry.name
    }
}

impl Contents {
    fn row(&self, entry: &Entry) -> Option<&Row> {
        self.entries.iter().find(|row| row.is(entry))
    }

    fn put(&mut self, new: Row) {
        match self.entries.iter_mut().find(|row| row.service == new.service && row.name == new.name) {
            Some(row) => *row = new,
            None => self.entries.push(new),
        }
    }

    fn remove(&mut self, entry: &Entry) -> bool {
        let before = self.entries.len();
        self.entries.retain(|row| !row.is(entry));
        self.entries.len() < before
    }
}

impl SealedFile {
    /// The file at this path, opened with this key. It is made by the first write.
    pub fn at(path: impl Into<PathBuf>, key: SealKey) -> Self {
        Self { path: path.into(), key, kept: Arc::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does this on a thread that may wait: for the disk, for other writers, for what a passphrase costs.
    fn aside<'a, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Answer<'a, T> {
        let file = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&file)).await;
            done.unwrap_or_else(|_| {
                Err(Failure::new(Kind::Broken, "the thread of the sealed file ended early"))
            })
        })
    }

    fn kept(&self) -> MutexGuard<'_, Option<Derived>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything; nothing if there is no file.
    fn open(&self) -> Result<Contents, Failure> {
        let Some(bytes) = self.read()? else { return Ok(Contents::default()) };
        let opened = seal::open(&bytes, &self.key, &mut self.kept()).map_err(|fault| self.faulty(fault))?;
        serde_json::from_slice(&opened)
            .map_err(|_| self.faulty(Fault::Damaged("what is inside is no list of entries")))
    }

    fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        // A pipe in its place would keep us waiting.
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("open", &error)),
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(self.faulty(Fault::Damaged("there is something else than a file in its place")));
        }
        let mut bytes = Vec::new();
        file.take(LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(|error| self.failed("read", &error))?;
        match bytes.len() > LIMIT {
            true => Err(self.faulty(Fault::Damaged("it is larger than any sealed file"))),
            false => Ok(Some(bytes)),
        }
    }

    /// Changes what is inside, while no other writer does. The change says whether there is anything to write.
    fn change(&self, change: impl FnOnce(&mut Contents) -> bool) -> Result<bool, Failure> {
        let _lock = self.lock()?;
        let mut contents = self.open()?;
        let is_changed = change(&mut contents);
        if is_changed {
            self.replace(&self.sealed(&contents)?)?;
        }
        Ok(is_changed)
    }

    fn lock(&self) -> Result<files::Lock, Failure> {
        let made = files::own_folder(files::folder_of(&self.path));
        made.map_err(|error| self.failed("make the folder of", &error))?;
        files::Lock::beside(&self.path).map_err(|error| self.failed("lock", &error))
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), Failure> {
        files::replace(&self.path, bytes).map_err(|error| self.failed("write", &error))
    }

    /// Seals it with another key, while no other writer changes it. What was sealed is opened with the new key, read anew
    /// from where it is, before it takes the place of the old. From then on this handle opens nothing.
    ///
    /// # Errors
    ///
    /// `NotFound`: there is no such file. `Invalid`: it has this key. Otherwise the file is left as it is.
    pub fn rekey(&self, key: SealKey) -> Answer<'_, ()> {
        self.aside(|file| {
            let _lock = file.lock()?;
            let present = file.read()?.ok_or_else(|| file.missing())?;
            let new = Self::at(&file.path, key);
            if seal::open(&present, &new.key, &mut None).is_ok() {
                return Err(Failure::new(Kind::Invalid, format!("{} has this key already", file.title()))
                    .hint("name another one; a drawn key is drawn anew once its file is moved away"));
            }
            let bytes = new.sealed(&file.open()?)?;
            seal::open(&bytes, &new.key, &mut None).map_err(|fault| new.faulty(fault))?;
            new.replace(&bytes)
        })
    }

    /// There is no such file.
    pub(crate) fn missing(&self) -> Failure {
        Failure::new(Kind::NotFound, format!("there is no sealed file {}", self.path.display()))
            .hint("it is made by the first key that is set")
    }

    fn sealed(&self, contents: &Contents) -> Result<Vec<u8>, Failure> {
        let plain = serde_json::to_vec(contents).map(Zeroizing::new);
        let plain = plain.map_err(|_| self.faulty(Fault::Impossible("its entries cannot be written")))?;
        let bytes = seal::seal(&plain, &self.key, &mut self.kept()).map_err(|fault| self.faulty(fault))?;
        match bytes.len() > LIMIT {
            true => Err(self.faulty(Fault::Impossible("it would be larger than any sealed file"))),
            false => Ok(bytes),
        }
    }

    fn faulty(&self, fault: Fault) -> Failure {
        let (title, as_it_is) = (self.title(), "it is left as it is");
        match fault {
            Fault::Damaged(how) => Failure::new(Kind::Invalid, format!("{title} is damaged: {how}")).hint(
                "it is left as it is; put a copy of it in its place, or move it away and set the keys again",
            ),
            Fault::Newer(version) => Failure::new(
                Kind::Invalid,
                format!("{title} was written by a newer leasehold (version {version} of the format)"),
            )
            .hint("use that leasehold, or a newer one; it is left as it is"),
            Fault::Unproved => {
                let message = format!("{title} does not open: the key is another one, or it is damaged");
                let hint = format!("see which key or passphrase it was made with; {as_it_is}");
                Failure::new(Kind::Denied, message).hint(hint)
            }
            Fault::Other(what) => {
                let message = format!("{title} is sealed with {what}, and something else was given");
                Failure::new(Kind::Denied, message).hint(format!("give {what} for it; {as_it_is}"))
            }
            Fault::NoKey(failure) => {
                let is_gone = matches!(failure.kind(), Kind::NotFound | Kind::NeedsLogin);
                let failure = failure.context(format!("{title} is locked"));
                match is_gone {
                    true => failure.with_kind(Kind::Sealed).hint(format!("{LOST}; {as_it_is}")),
                    false => failure,
                }
            }
            Fault::Impossible(why) => Failure::new(Kind::Invalid, format!("{title} cannot be sealed: {why}")),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        let (kind, hint) = match error.kind() {
            io::ErrorKind::PermissionDenied => (Kind::Denied, "see whose it is, and its folder"),
            io::ErrorKind::ReadOnlyFilesystem => (Kind::Denied, "it can be read there; write elsewhere"),
            _ if error.raw_os_error() == Some(nix::libc::ELOOP) => {
                (Kind::Invalid, "no symbolic link is followed: name the file itself")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (Kind::Invalid, "make room; it is left as it is")
            }
            io::ErrorKind::TimedOut => (Kind::Unreachable, "see which program holds it"),
            _ => (Kind::Invalid, "see whether its folder is one"),
        };
        Failure::new(kind, format!("cannot {what} {}: {error}", self.title())).hint(hint)
    }

    fn put_rows(&self, rows: Vec<Row>) -> Answer<'static, ()> {
        self.aside(move |file| {
            let put = |contents: &mut Contents| {
                let is_change = !rows.is_empty();
                rows.into_iter().for_each(|row| contents.put(row));
                is_change
            };
            file.change(put).map(|_| ())
        })
    }

    /// What is in the row that was looked for.
    fn secret(&self, entry: &Entry, row: Option<&Row>) -> Result<Secret, Failure> {
        row.map(|row| Secret::new(row.secret.as_str())).ok_or_else(|| self.no_entry(entry))
    }

    fn no_entry(&self, entry: &Entry) -> Failure {
        Failure::new(Kind::NotFound, format!("{} has no entry {entry}", self.title())).hint("set it first")
    }
}

impl Store for SealedFile {
    fn title(&self) -> String {
        format!("the sealed file {}", self.path.display())
    }

    fn find<'a>(&'a self, entry: &'a Entry) -> Answer<'a, Secret> {
        let entry = entry.clone();
        self.aside(move |file| file.secret(&entry, file.open()?.row(&entry)))
    }

    /// All of them are of one moment: the file is opened once.
    fn find_all<'a>(&'a self, entries: &'a [Entry]) -> Answers<'a, Secret> {
        let wanted = entries.to_vec();
        let found = self.aside(move |file| {
            let contents = file.open()?;
            let rows: HashMap<_, _> =
                contents.entries.iter().map(|row| ((&row.service, &row.name), row)).collect();
            let row = |entry: &Entry| rows.get(&(&entry.service, &entry.name)).copied();
            Ok(wanted.iter().map(|entry| file.secret(entry, row(entry))).collect())
        });
        Box::pin(async move { found.await.unwrap_or_else(|failure| vec![Err(failure); entries.len()]) })
    }

    /// The same secret again is a write too: it is noted when.
    fn put<'a>(&'a self, entry: &'a Entry, secret: &'a Secret) -> Answer<'a, ()> {
        self.put_rows(vec![Row::new(entry.clone(), secret)])
    }

    fn put_all<'a>(&'a self, entries: &'a [(Entry, Secret)]) -> Answers<'a, ()> {
        let put =
            self.put_rows(entries.iter().map(|(entry, secret)| Row::new(entry.clone(), secret)).collect());
        Box::pin(async move {
            match put.await {
                Ok(()) => vec![Ok(()); entries.len()],
                Err(failure) => vec![Err(failure)],
            }
        })
    }

    fn remove<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        let entry = entry.clone();
        self.aside(move |file| file.change(|contents| contents.remove(&entry)))
    }

    fn contains<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        let entry = entry.clone();
        self.aside(move |file| file.open().map(|contents| contents.row(&entry).is_some()))
    }

    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Listed>> {
        let service: Box<str> = service.into();
        self.aside(move |file| {
            let rows = file.open()?.entries.into_iter().filter(|row| row.service == service);
            let mut entries: Vec<_> = rows.map(Row::listed).collect();
            entries.sort();
            Ok(entries)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Source;
    use crate::random;
    use std::time::SystemTime;

    fn now<T>(answer: Answer<'_, T>) -> Result<T, Failure> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
    }

    fn entry(name: &str) -> Entry {
        Entry { service: "agent_vault".into(), name: name.into() }
    }

    fn file(name: &str) -> SealedFile {
        let folder = std::env::temp_dir().join(format!("leasehold-sealed-{name}-{:08x}", random::number()));
        let key = SealKey::Key(Source::Value(Secret::new("a key of thirty-two random bytes")));
        SealedFile::at(folder.join("secrets"), key)
    }

    fn put(file: &SealedFile, name: &str, secret: &str) {
        now(file.put(&entry(name), &Secret::new(secret))).unwrap();
    }

    fn written(file: &SealedFile, name: &str) -> Option<SystemTime> {
        let listed = now(file.list("agent_vault")).unwrap();
        listed.into_iter().find(|listed| &*listed.entry.name == name).unwrap().written
    }

    fn clear(file: &SealedFile) {
        std::fs::remove_dir_all(file.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn an_entry_is_put_found_listed_and_removed() {
        let file = file("life");
        assert_eq!(now(file.find(&entry("a"))).unwrap_err().kind(), Kind::NotFound);
        assert!(!now(file.remove(&entry("a"))).unwrap());
        assert!(!file.path.exists(), "no file is made to remove from");
        for (name, secret) in [("b", "canary-b"), ("a", "canary-1"), ("a", "canary-2")] {
            put(&file, name, secret);
        }
        assert_eq!(now(file.find(&entry("a"))).unwrap().expose(), "canary-2");
        let names: Vec<_> =
            now(file.list("agent_vault")).unwrap().into_iter().map(|listed| listed.entry).collect();
        assert_eq!(names, [entry("a"), entry("b")]);
        assert_eq!(now(file.list("other")).unwrap(), []);
        assert!(now(file.remove(&entry("a"))).unwrap());
        assert!(!now(file.contains(&entry("a"))).unwrap());
        clear(&file);
    }

    #[test]
    fn when_a_secret_was_written_is_kept_and_may_be_missing() {
        let file = file("written");
        let before = clock::wall_time(clock::wall_seconds());
        put(&file, "a", "one");
        let at = written(&file, "a");
        assert!(at >= before && at <= clock::wall_time(clock::wall_seconds()));
        let text = r#"{"entries":[{"service":"agent_vault","name":"old","secret":"s"},
                      {"service":"agent_vault","name":"new","secret":"s","written":7}]}"#;
        std::fs::remove_file(&file.path).unwrap();
        files::replace(&file.path, &seal::seal(text.as_bytes(), &file.key, &mut None).unwrap()).unwrap();
        let check = |name: &str, expect| assert_eq!(written(&file, name), expect, "{name}");
        check("old", None);
        check("new", clock::wall_time(7));
        put(&file, "old", "s");
        check("new", clock::wall_time(7));
        assert!(written(&file, "old") >= before);
        clear(&file);
    }

    #[test]
    fn a_file_that_does_not_open_stays_as_it_is() {
        let file = file("damage");
        put(&file, "a", "canary");
        let whole = std::fs::read(&file.path).unwrap();
        let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
        let check = |bytes: &[u8], what: &str| {
            files::replace(&file.path, bytes).unwrap();
            for failure in [
                now(file.put(&entry("b"), &Secret::new("more"))).unwrap_err(),
                now(file.remove(&entry("a"))).unwrap_err(),
                now(file.find(&entry("a"))).map(|_| ()).unwrap_err(),
            ] {
                assert!(matches!(failure.kind(), Kind::Denied | Kind::Invalid), "{what}: {failure}");
                assert!(failure.advice().is_some_and(|hint| hint.contains("left as it is")), "{what}");
            }
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes, "{what}");
        };
        for end in (0..whole.len()).step_by(7).chain([header, header + 1, header + 24, whole.len() - 1]) {
            check(&whole[..end], &format!("cut at {end}"));
        }
        let flipped = |at: usize| whole.iter().enumerate().map(move |(i, byte)| byte ^ u8::from(i == at));
        for at in (0..whole.len()).step_by(11) {
            check(&flipped(at).collect::<Vec<_>>(), &format!("flipped at {at}"));
        }
        let newer = String::from_utf8_lossy(&whole[..=header]).replace("\"version\":1", "\"version\":2");
        check(&[newer.as_bytes(), &whole[header + 1..]].concat(), "newer");
        let inside = |text: &str| seal::seal(text.as_bytes(), &file.key, &mut None).unwrap();
        check(&inside(r#"{"entries":[],"later":1}"#), "of another shape inside");
        clear(&file);
    }

    #[test]
    fn a_file_that_is_sealed_anew_opens_with_the_new_key_alone() {
        let key = |text: &str| SealKey::Key(Source::Value(Secret::new(text)));
        let file = file("rekey");
        let none = now(file.rekey(key("another key for tests"))).unwrap_err();
        assert_eq!(none.kind(), Kind::NotFound);
        put(&file, "a", "canary");
        let before = std::fs::read(&file.path).unwrap();
        let check = |new: SealKey, kind: Kind| {
            assert_eq!(now(file.rekey(new)).unwrap_err().kind(), kind);
            assert_eq!(std::fs::read(&file.path).unwrap(), before, "it is left as it is");
        };
        check(key("short"), Kind::Invalid);
        check(SealKey::Missing(Failure::new(Kind::NotFound, "there is none")), Kind::Sealed);
        check(SealKey::Passphrase(Source::Value(Secret::new(""))), Kind::Invalid);
        check(file.key.clone(), Kind::Invalid);
        for new in [key("another key for tests"), SealKey::Passphrase(Source::Value(Secret::new("horse")))] {
            let old = SealedFile::at(&file.path, file.key.clone());
            now(old.rekey(new.clone())).unwrap();
            let again = SealedFile::at(&file.path, new);
            assert_eq!(now(again.find(&entry("a"))).unwrap().expose(), "canary");
            assert!(written(&again, "a").is_some());
            assert_eq!(now(file.find(&entry("a"))).unwrap_err().kind(), Kind::Denied);
            now(again.rekey(file.key.clone())).unwrap();
        }
        assert_eq!(now(file.find(&entry("a"))).unwrap().expose(), "canary");
        clear(&file);
    }

    #[test]
    fn each_fault_is_told_with_what_to_do() {
        let file = SealedFile::at("/home/me/secrets", SealKey::Key(Source::Value(Secret::new("canary"))));
        let check = |fault: Fault, kind: Kind, message: &str, hint: &str| {
            let failure = file.faulty(fault);
            let told = (failure.kind(), failure.message(), failure.advice().unwrap_or_default());
            assert_eq!(told, (kind, format!("the sealed file /home/me/secrets {message}").as_str(), hint));
        };
        check(
            Fault::Other("a passphrase"),
            Kind::Denied,
            "is sealed with a passphrase, and something else was given",
            "give a passphrase for it; it is left as it is",
        );
        check(
            Fault::NoKey(Failure::new(Kind::NeedsLogin, "cannot read /k: it is empty")),
            Kind::Sealed,
            "is locked: cannot read /k: it is empty",
            &format!("{LOST}; it is left as it is"),
        );
        check(
            Fault::NoKey(Failure::new(Kind::Unreachable, "no keyring").hint("start one")),
            Kind::Unreachable,
            "is locked: no keyring",
            "start one",
        );
        check(
            Fault::Newer(9),
            Kind::Invalid,
            "was written by a newer leasehold (version 9 of the format)",
            "use that leasehold, or a newer one; it is left as it is",
        );
    }
}

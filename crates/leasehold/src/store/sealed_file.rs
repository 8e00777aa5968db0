//! An encrypted file, for machines without a keyring.
//!
//! ```text
//! {"format":"leasehold-sealed","version":1,"key":{..},"salt":".."}\n      the header, authenticated
//! 24 bytes of nonce, then the entries as JSON under XChaCha20-Poly1305
//! ```
//!
//! The key comes from a passphrase by Argon2id, or from the text of a key file by HKDF-SHA256. Salt and nonce are
//! drawn at each write. A file that cannot be opened, whatever the reason, is never written over.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Answer, Store};
use crate::files;
use crate::identity::Source;
use crate::random;

/// The largest file that is read.
const LIMIT: u64 = 64 << 20;
const FORMAT: &str = "leasehold-sealed";
const VERSION: u32 = 1;
/// What a passphrase costs to try: 64 MiB, three times over.
const WORK: Work = Work { memory_kib: 64 << 10, passes: 3, lanes: 1 };
/// The most that a file may ask of us before its seal is proved.
const MOST_WORK: Work = Work { memory_kib: 1 << 20, passes: 16, lanes: 8 };
const NONCE: usize = 24;

/// What a file is sealed with.
#[derive(Clone, Debug)]
pub enum SealKey {
    /// A passphrase that a person remembers.
    Passphrase(Source),
    /// A key that a program drew, such as 32 random bytes in hex.
    Key(Source),
}

/// A sealed file. Each call opens it anew, and writers wait for one another.
#[derive(Clone, Debug)]
pub struct SealedFile {
    path: PathBuf,
    key: SealKey,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    key: Derivation,
    /// In hex.
    salt: String,
}

/// Only the first two are read of a file that is newer than we are.
#[derive(Deserialize)]
struct AnyHeader {
    format: String,
    version: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Derivation {
    Argon2id(Work),
    HkdfSha256,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Work {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
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
}

impl Row {
    fn is(&self, entry: &Entry) -> bool {
        self.service == entry.service && self.name == entry.name
    }
}

impl SealedFile {
    /// The file at this path, opened with this key. It is made by the first write.
    pub fn at(path: impl Into<PathBuf>, key: SealKey) -> Self {
        Self { path: path.into(), key }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads everything; nothing if there is no file.
    fn open(&self) -> Result<Contents, Failure> {
        let Some(bytes) = self.read()? else { return Ok(Contents::default()) };
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| self.damaged("its header is cut off"))?;
        let (line, rest) = bytes.split_at(end + 1);
        let header = self.header(line)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or_else(|| self.damaged("it is cut off"))?;
        let nonce = XNonce::try_from(nonce).map_err(|_| self.damaged("it is cut off"))?;
        let cipher = self.cipher(&header)?;
        let opened = cipher.decrypt(&nonce, Payload { msg: sealed, aad: line });
        let opened = opened.map(Zeroizing::new).map_err(|_| self.wrong_key())?;
        serde_json::from_slice(&opened).map_err(|_| self.damaged("what is inside is no list of entries"))
    }

    fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("open", &error)),
        };
        let mut bytes = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| self.failed("read", &error))?;
        match bytes.len() as u64 > LIMIT {
            true => Err(self.damaged("it is larger than any sealed file")),
            false => Ok(Some(bytes)),
        }
    }

    fn header(&self, line: &[u8]) -> Result<Header, Failure> {
        let any: AnyHeader = serde_json::from_slice(line).map_err(|_| self.damaged("it has no header"))?;
        if any.format != FORMAT {
            return Err(self.damaged("it is of another kind"));
        }
        if any.version > VERSION {
            let message = format!(
                "{} was written by a newer leasehold (version {} of the format)",
                self.title(),
                any.version
            );
            return Err(Failure::new(Kind::Invalid, message).hint("use that leasehold, or a newer one"));
        }
        serde_json::from_slice(line).map_err(|_| self.damaged("its header is not as it should be"))
    }

    /// Changes what is inside, while no other writer does.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> (T, bool)) -> Result<T, Failure> {
        let folder = files::folder_of(&self.path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| self.failed("make the folder of", &error))?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.lock_path());
        let lock = lock.map_err(|error| self.failed("lock", &error))?;
        lock.lock().map_err(|error| self.failed("lock", &error))?;
        let mut contents = self.open()?;
        let (answer, is_changed) = change(&mut contents);
        if is_changed {
            let bytes = self.seal(&contents)?;
            files::replace(&self.path, &bytes).map_err(|error| self.failed("write", &error))?;
        }
        Ok(answer)
    }

    fn seal(&self, contents: &Contents) -> Result<Vec<u8>, Failure> {
        let key = match self.key {
            SealKey::Passphrase(_) => Derivation::Argon2id(WORK),
            SealKey::Key(_) => Derivation::HkdfSha256,
        };
        let (salt, nonce) = (random::bytes::<16>()?, random::bytes::<NONCE>()?);
        let header = Header { format: FORMAT.into(), version: VERSION, key, salt: hex(&salt) };
        let unwritable = |_| Failure::new(Kind::Broken, "the entries cannot be written as JSON");
        let mut bytes = serde_json::to_vec(&header).map_err(unwritable)?;
        bytes.push(b'\n');
        let plain = Zeroizing::new(serde_json::to_vec(contents).map_err(unwritable)?);
        let payload = Payload { msg: &plain, aad: &bytes };
        let sealed = self.cipher(&header)?.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Failure::new(Kind::Broken, "the entries cannot be sealed"))?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// The file that writers lock: the sealed one itself is another after each write.
    fn lock_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }

    fn cipher(&self, header: &Header) -> Result<XChaCha20Poly1305, Failure> {
        let salt = unhex(&header.salt).ok_or_else(|| self.damaged("its salt is not as it should be"))?;
        let mut key = Zeroizing::new([0; 32]);
        match (&self.key, header.key) {
            (SealKey::Passphrase(source), Derivation::Argon2id(work)) => {
                self.stretch(&source.read_whole()?, &salt, work, &mut *key)?;
            }
            (SealKey::Key(source), Derivation::HkdfSha256) => {
                let text = source.read()?;
                let derived = Hkdf::<Sha256>::new(Some(&salt), text.expose().as_bytes())
                    .expand(FORMAT.as_bytes(), &mut *key);
                derived.map_err(|_| Failure::new(Kind::Broken, "no key can be derived"))?;
            }
            (SealKey::Passphrase(_), Derivation::HkdfSha256) => return Err(self.other_key("a key file")),
            (SealKey::Key(_), Derivation::Argon2id(_)) => return Err(self.other_key("a passphrase")),
        }
        Ok(XChaCha20Poly1305::new(&Key::from(*key)))
    }

    fn stretch(&self, passphrase: &Secret, salt: &[u8], work: Work, key: &mut [u8]) -> Result<(), Failure> {
        if work.memory_kib > MOST_WORK.memory_kib
            || work.passes > MOST_WORK.passes
            || work.lanes > MOST_WORK.lanes
        {
            return Err(self.damaged("it asks for more work than any sealed file"));
        }
        let params = Params::new(work.memory_kib, work.passes, work.lanes, Some(key.len()));
        let params = params.map_err(|_| self.damaged("it asks for work that cannot be"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        let stretched = argon2.hash_password_into(passphrase.expose().as_bytes(), salt, key);
        stretched.map_err(|_| Failure::new(Kind::Broken, "no key can be derived from the passphrase"))
    }

    fn damaged(&self, how: &str) -> Failure {
        Failure::new(Kind::Invalid, format!("{} is damaged: {how}", self.title())).hint(
            "it is left as it is; put a copy of it in its place, or move it away and set the keys again",
        )
    }

    fn wrong_key(&self) -> Failure {
        Failure::new(
            Kind::Denied,
            format!("{} does not open: the key is another one, or it is damaged", self.title()),
        )
        .hint("it is left as it is")
    }

    fn other_key(&self, what: &str) -> Failure {
        Failure::new(Kind::Denied, format!("{} is sealed with {what}", self.title()))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Invalid,
        };
        Failure::new(kind, format!("cannot {what} {}: {error}", self.title()))
    }

    fn no_entry(&self, entry: &Entry) -> Failure {
        Failure::new(Kind::NotFound, format!("{} has no entry {entry}", self.title()))
    }
}

/// Nothing here waits for anybody for long, so the futures are ready at once.
impl Store for SealedFile {
    fn title(&self) -> String {
        format!("the sealed file {}", self.path.display())
    }

    fn find<'a>(&'a self, entry: &'a Entry) -> Answer<'a, Secret> {
        Box::pin(async move {
            let row = self.open()?.entries.into_iter().find(|row| row.is(entry));
            row.map(|row| Secret::new(row.secret.as_str())).ok_or_else(|| self.no_entry(entry))
        })
    }

    fn put<'a>(&'a self, entry: &'a Entry, secret: &'a Secret) -> Answer<'a, ()> {
        Box::pin(async move {
            self.change(|contents| {
                let secret = Zeroizing::new(secret.expose().to_owned());
                match contents.entries.iter_mut().find(|row| row.is(entry)) {
                    Some(row) => row.secret = secret,
                    None => {
                        let Entry { service, name } = entry.clone();
                        contents.entries.push(Row { service, name, secret });
                    }
                }
                ((), true)
            })
        })
    }

    fn remove<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(async move {
            self.change(|contents| {
                let before = contents.entries.len();
                contents.entries.retain(|row| !row.is(entry));
                let is_gone = contents.entries.len() < before;
                (is_gone, is_gone)
            })
        })
    }

    fn contains<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.open()?.entries.iter().any(|row| row.is(entry))) })
    }

    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move {
            let rows = self.open()?.entries.into_iter().filter(|row| &*row.service == service);
            let mut entries: Vec<_> =
                rows.map(|row| Entry { service: row.service, name: row.name }).collect();
            entries.sort();
            Ok(entries)
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits
        .map(|pair| pair.filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::task::{Context, Poll, Waker};

    /// These futures never wait.
    fn now<T>(mut answer: Answer<'_, T>) -> Result<T, Failure> {
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn entry(name: &str) -> Entry {
        Entry { service: "agent_vault".into(), name: name.into() }
    }

    fn key(text: &str) -> SealKey {
        SealKey::Key(Source::Value(Secret::new(text)))
    }

    fn file(name: &str) -> SealedFile {
        let folder = std::env::temp_dir().join(format!("leasehold-sealed-{name}-{:08x}", random::number()));
        SealedFile::at(folder.join("secrets"), key("a key of thirty-two random bytes"))
    }

    fn overwrite(file: &SealedFile, bytes: &[u8]) {
        File::create(&file.path).unwrap().write_all(bytes).unwrap();
    }

    fn clear(file: &SealedFile) {
        std::fs::remove_dir_all(file.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn an_entry_is_put_found_listed_and_removed() {
        let file = file("life");
        assert_eq!(now(file.find(&entry("a"))).unwrap_err().kind(), Kind::NotFound);
        assert!(!now(file.remove(&entry("a"))).unwrap(), "no file is made to remove from");
        for (name, secret) in [("b", "canary-b"), ("a", "canary-1"), ("a", "canary-2")] {
            now(file.put(&entry(name), &Secret::new(secret))).unwrap();
        }
        assert_eq!(now(file.find(&entry("a"))).unwrap().expose(), "canary-2");
        assert_eq!(now(file.list("agent_vault")).unwrap(), [entry("a"), entry("b")]);
        assert_eq!(now(file.list("other")).unwrap(), []);
        assert!(now(file.remove(&entry("a"))).unwrap());
        assert!(!now(file.contains(&entry("a"))).unwrap());
        let text = std::fs::read(&file.path).unwrap();
        assert!(!text.windows(6).any(|window| window == b"canary"));
        clear(&file);
    }

    #[test]
    fn a_passphrase_opens_and_another_does_not() {
        let passphrase = |text: &str| SealKey::Passphrase(Source::Value(Secret::new(text)));
        let file = SealedFile { key: passphrase("correct horse"), ..file("passphrase") };
        now(file.put(&entry("a"), &Secret::new("canary"))).unwrap();
        let check = |key: SealKey, expect: &str| {
            let other = SealedFile { key, ..file.clone() };
            let failure = now(other.put(&entry("a"), &Secret::new("lost"))).unwrap_err();
            assert_eq!(failure.kind(), Kind::Denied);
            assert!(failure.to_string().contains(expect), "{failure}");
        };
        check(passphrase("wrong horse"), "does not open");
        check(key("correct horse"), "sealed with a passphrase");
        assert_eq!(now(file.find(&entry("a"))).unwrap().expose(), "canary", "nothing was written over");
        clear(&file);
    }

    #[test]
    fn whatever_is_cut_off_or_flipped_does_not_open_and_stays_as_it_is() {
        let file = file("damage");
        now(file.put(&entry("a"), &Secret::new("canary"))).unwrap();
        let whole = std::fs::read(&file.path).unwrap();
        let check = |bytes: &[u8], what: &str| {
            overwrite(&file, bytes);
            let failure = now(file.put(&entry("b"), &Secret::new("more"))).unwrap_err();
            assert!(matches!(failure.kind(), Kind::Denied | Kind::Invalid), "{what}: {failure}");
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes, "{what}");
        };
        for end in 0..whole.len() {
            check(&whole[..end], &format!("cut at {end}"));
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            check(&flipped, &format!("flipped at {at}"));
        }
        check(&[&whole[..], b"x"].concat(), "one byte more");
        clear(&file);
    }

    #[test]
    fn a_newer_format_is_told_and_work_is_bounded() {
        let file = file("newer");
        now(file.put(&entry("a"), &Secret::new("canary"))).unwrap();
        let check = |header: &str, expect: &str| {
            overwrite(&file, format!("{header}\n{}", "x".repeat(64)).as_bytes());
            let failure = now(file.find(&entry("a"))).unwrap_err();
            assert!(failure.to_string().contains(expect), "{failure}");
        };
        check(r#"{"format":"leasehold-sealed","version":2,"future":[]}"#, "newer leasehold");
        check(r#"{"format":"other","version":1}"#, "of another kind");
        let file = SealedFile { key: SealKey::Passphrase(Source::Value(Secret::new("x"))), ..file.clone() };
        let work = r#"{"argon2id":{"memory_kib":4294967295,"passes":3,"lanes":1}}"#;
        let header = format!(r#"{{"format":"leasehold-sealed","version":1,"key":{work},"salt":"00"}}"#);
        overwrite(&file, format!("{header}\n{}", "x".repeat(64)).as_bytes());
        assert!(now(file.find(&entry("a"))).unwrap_err().to_string().contains("more work"));
        clear(&file);
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let file = file("writers");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let file = file.clone();
                scope.spawn(move || {
                    for n in 0..5 {
                        now(file.put(&entry(&format!("{writer}-{n}")), &Secret::new("canary"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(now(file.list("agent_vault")).unwrap().len(), 40);
        clear(&file);
    }
}

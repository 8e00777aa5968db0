//! The seal itself: bytes in, bytes out.

use std::fmt;

use argon2::{Algorithm, Argon2, Params};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use leasehold_core::{Failure, Kind, Secret};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hex::{hex, unhex};
use crate::identity::Source;
use crate::random;

const FORMAT: &str = "leasehold-sealed";
const VERSION: u32 = 1;
/// What a passphrase costs to try: 64 MiB, three times over.
const WORK: Work = Work { memory_kib: 64 << 10, passes: 3, lanes: 1 };
/// The most that a file may ask of us before its seal is proved.
const MOST_WORK: Work = Work { memory_kib: 1 << 20, passes: 16, lanes: 8 };
const NONCE: usize = 24;
/// The shortest key that seals a new file, in bytes: fewer can be tried out.
const SHORTEST: usize = 16;

/// What a file is sealed with.
#[derive(Clone, Debug)]
pub enum SealKey {
    /// A passphrase that a person remembers.
    Passphrase(Source),
    /// A key that a program drew, such as 32 random bytes in hex.
    Key(Source),
    /// One that cannot be had, for this reason. Nothing is opened with it; a file that is not there has no entries.
    Missing(Failure),
}

impl SealKey {
    /// Whether nobody can find out the key by trying. What a passphrase costs to try is up to who chose it.
    ///
    /// # Errors
    ///
    /// `Invalid`: it is shorter than 16 bytes. `NeedsLogin`: it cannot be read.
    pub fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Key(source) if source.read()?.expose().len() < SHORTEST => Err(Failure::new(
                Kind::Invalid,
                format!("the sealed file's key is shorter than {SHORTEST} bytes"),
            )
            .hint("seal it with another: leasehold store rekey")),
            Self::Missing(failure) => Err(failure.clone()),
            Self::Key(_) | Self::Passphrase(_) => Ok(()),
        }
    }
}

/// Why a file does not open, or cannot be sealed.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no sealed file, or not whole.
    Damaged(&'static str),
    /// Of this later version of the format.
    Newer(u32),
    /// The key is another one, or the file is damaged: the two cannot be told apart.
    Unproved,
    /// It is sealed with another sort of key: this one.
    Other(&'static str),
    /// There is no key to be had.
    NoKey(Failure),
    /// It cannot be done at all.
    Impossible(&'static str),
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

/// The key of a header, kept since it takes long to derive one from a passphrase. It serves all writes of a file: 24
/// random bytes of nonce do not come twice.
pub(super) struct Derived {
    header: Header,
    key: Zeroizing<[u8; 32]>,
}

/// What is sealed in these bytes. The key that opens them is kept.
pub(super) fn open(
    bytes: &[u8],
    key: &SealKey,
    kept: &mut Option<Derived>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Fault::Damaged("its header is cut off"))?;
    let (line, rest) = bytes.split_at(end + 1);
    let header = Header::parse(line)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Fault::Damaged("it is cut off"))?;
    let payload = || Payload { msg: sealed, aad: line };
    let by = |derived: &Derived| derived.cipher().decrypt(&XNonce::from(*nonce), payload()).ok();
    if let Some(opened) = kept.as_ref().filter(|derived| derived.header == header).and_then(by) {
        return Ok(Zeroizing::new(opened));
    }
    let derived = Derived::new(header, key)?;
    let opened = by(&derived).ok_or(Fault::Unproved)?;
    *kept = Some(derived);
    Ok(Zeroizing::new(opened))
}

/// Seals these bytes with the key that is kept, or for the first time.
pub(super) fn seal(plain: &[u8], key: &SealKey, kept: &mut Option<Derived>) -> Result<Vec<u8>, Fault> {
    let wanted = match key {
        SealKey::Passphrase(_) => Derivation::Argon2id(WORK),
        SealKey::Key(_) => Derivation::HkdfSha256,
        SealKey::Missing(failure) => return Err(Fault::NoKey(failure.clone())),
    };
    let derived = match kept.take().filter(|derived| derived.header.key == wanted) {
        Some(derived) => derived,
        None => first(key, wanted)?,
    };
    let nonce = random::bytes::<NONCE>().map_err(Fault::NoKey)?;
    let line = serde_json::to_vec(&derived.header);
    let line = line.map_err(|_| Fault::Impossible("its header cannot be written"))?;
    let mut bytes = [line.as_slice(), b"\n"].concat();
    let sealed = derived.cipher().encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &bytes });
    let sealed = sealed.map_err(|_| Fault::Impossible("its entries cannot be sealed"))?;
    *kept = Some(derived);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// The key of a new file, which is no weak one.
fn first(key: &SealKey, wanted: Derivation) -> Result<Derived, Fault> {
    let derived = Derived::new(Header::new(wanted)?, key)?;
    match key.check() {
        Ok(()) => Ok(derived),
        Err(_) => {
            Err(Fault::Impossible("its key is shorter than 16 bytes, so that it could be found by trying"))
        }
    }
}

impl Header {
    /// With a salt that was never used before.
    fn new(key: Derivation) -> Result<Self, Fault> {
        let salt = random::bytes::<16>().map_err(Fault::NoKey)?;
        Ok(Self { format: FORMAT.into(), version: VERSION, key, salt: hex(salt) })
    }

    fn parse(line: &[u8]) -> Result<Self, Fault> {
        let any: AnyHeader = serde_json::from_slice(line).map_err(|_| Fault::Damaged("it has no header"))?;
        if any.format != FORMAT {
            return Err(Fault::Damaged("it is of another kind"));
        }
        if any.version > VERSION {
            return Err(Fault::Newer(any.version));
        }
        serde_json::from_slice(line).map_err(|_| Fault::Damaged("its header is not as it should be"))
    }
}

impl Derived {
    fn new(header: Header, key: &SealKey) -> Result<Self, Fault> {
        let salt = unhex(&header.salt).ok_or(Fault::Damaged("its salt is not as it should be"))?;
        let key = match (key, header.key) {
            (SealKey::Passphrase(source), Derivation::Argon2id(work)) => {
                stretched(&usable(source.read_whole())?, &salt, work)?
            }
            (SealKey::Key(source), Derivation::HkdfSha256) => expanded(&usable(source.read())?, &salt)?,
            (SealKey::Missing(failure), _) => return Err(Fault::NoKey(failure.clone())),
            (SealKey::Passphrase(_), Derivation::HkdfSha256) => return Err(Fault::Other("a key")),
            (SealKey::Key(_), Derivation::Argon2id(_)) => return Err(Fault::Other("a passphrase")),
        };
        Ok(Self { header, key })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.key))
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived(..)")
    }
}

/// What nobody has to guess is no key.
fn usable(read: Result<Secret, Failure>) -> Result<Secret, Fault> {
    match read {
        Ok(text) if text.expose().trim().is_empty() => {
            Err(Fault::Impossible("its key or passphrase is empty"))
        }
        Ok(text) => Ok(text),
        Err(failure) => Err(Fault::NoKey(failure)),
    }
}

fn expanded(key: &Secret, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let mut derived = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(Some(salt), key.expose().as_bytes());
    hkdf.expand(FORMAT.as_bytes(), &mut *derived).map_err(|_| Fault::Impossible("no key can be derived"))?;
    Ok(derived)
}

fn stretched(passphrase: &Secret, salt: &[u8], work: Work) -> Result<Zeroizing<[u8; 32]>, Fault> {
    if work.memory_kib > MOST_WORK.memory_kib
        || work.passes > MOST_WORK.passes
        || work.lanes > MOST_WORK.lanes
    {
        return Err(Fault::Damaged("it asks for more work than any sealed file"));
    }
    let mut derived = Zeroizing::new([0; 32]);
    let params = Params::new(work.memory_kib, work.passes, work.lanes, Some(derived.len()));
    let params = params.map_err(|_| Fault::Damaged("it asks for work that cannot be"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
    let outcome = argon2.hash_password_into(passphrase.expose().as_bytes(), salt, &mut *derived);
    outcome.map_err(|_| Fault::Damaged("no key can be derived by its header"))?;
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SealKey {
        SealKey::Key(Source::Value(Secret::new(text)))
    }

    fn passphrase(text: &str) -> SealKey {
        SealKey::Passphrase(Source::Value(Secret::new(text)))
    }

    /// Sealed for the first time.
    fn seal(plain: &[u8], key: &SealKey) -> Vec<u8> {
        super::seal(plain, key, &mut None).unwrap()
    }

    fn told(bytes: &[u8], key: &SealKey) -> String {
        format!("{:?}", open(bytes, key, &mut None).expect_err("it does not open"))
    }

    #[test]
    fn what_is_sealed_opens_and_no_two_seals_are_alike() {
        for key in [key("0123456789abcdef"), passphrase("correct horse\n")] {
            let mut kept = None;
            let one = super::seal(b"canary", &key, &mut kept).unwrap();
            let two = super::seal(b"canary", &key, &mut kept).unwrap();
            assert_eq!(open(&two, &key, &mut kept).unwrap().as_slice(), b"canary");
            assert_eq!(open(&one, &key, &mut None).unwrap().as_slice(), b"canary");
            assert_eq!(format!("{kept:?}"), "Some(Derived(..))");
            assert_ne!(one, two);
            assert!(!one.windows(6).any(|window| window == b"canary"));
        }
    }

    #[test]
    fn a_key_that_is_kept_does_not_stand_in_for_another_file_or_key() {
        let (one, other) = (passphrase("one"), seal(b"other", &passphrase("one")));
        let mut kept = None;
        let bytes = super::seal(b"canary", &one, &mut kept).unwrap();
        assert_eq!(open(&other, &one, &mut kept).unwrap().as_slice(), b"other");
        assert_eq!(open(&bytes, &one, &mut kept).unwrap().as_slice(), b"canary");
        // Whoever has the passphrase may have changed it, and sealed the same file again.
        let again = super::seal(b"canary", &passphrase("two"), &mut None).unwrap();
        assert_eq!(open(&again, &passphrase("two"), &mut kept).unwrap().as_slice(), b"canary");
    }

    #[test]
    fn another_key_does_not_open() {
        let by_key = seal(b"canary", &key("sixteen bytes, 1"));
        let by_passphrase = seal(b"canary", &passphrase("one"));
        let check = |bytes: &[u8], key: &SealKey, expect: &str| assert_eq!(told(bytes, key), expect);
        check(&by_key, &key("sixteen bytes, 2"), "Unproved");
        check(&by_passphrase, &passphrase("two"), "Unproved");
        check(&by_passphrase, &passphrase("one "), "Unproved");
        check(&by_key, &passphrase("one"), r#"Other("a key")"#);
        check(&by_passphrase, &key("one"), r#"Other("a passphrase")"#);
        check(&by_key, &key(" \n"), r#"Impossible("its key or passphrase is empty")"#);
        assert!(super::seal(b"", &passphrase(""), &mut None).is_err());
    }

    #[test]
    fn a_key_that_could_be_found_by_trying_seals_no_new_file() {
        let check = |text: &str, expect: bool| {
            let key = key(text);
            let sealed = super::seal(b"canary", &key, &mut None);
            assert_eq!((sealed.is_ok(), key.check().is_ok()), (expect, expect), "{text}");
        };
        check("x", false);
        check("fifteen bytes..", false);
        check("sixteen bytes...", true);
        // What was sealed before this was so can be opened, written, and sealed anew.
        let weak = key("x");
        let header = Header::new(Derivation::HkdfSha256).unwrap();
        let mut kept = Some(Derived::new(header, &weak).unwrap());
        let old = super::seal(b"canary", &weak, &mut kept).unwrap();
        assert_eq!(open(&old, &weak, &mut None).unwrap().as_slice(), b"canary");
    }

    #[test]
    fn a_key_that_cannot_be_had_opens_and_seals_nothing() {
        let missing = SealKey::Missing(Failure::new(Kind::NotFound, "its key is not there"));
        let sealed = seal(b"canary", &key("sixteen bytes..."));
        assert!(told(&sealed, &missing).contains("its key is not there"));
        assert!(matches!(super::seal(b"", &missing, &mut None), Err(Fault::NoKey(_))));
    }

    #[test]
    fn whatever_is_cut_off_or_flipped_does_not_open() {
        let key = key("0123456789abcdef");
        let whole = seal(&[7; 300], &key);
        let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for end in 0..whole.len() {
            told(&whole[..end], &key);
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let fault = told(&flipped, &key);
            assert!(bit / 8 <= header || fault == "Unproved", "bit {bit}: {fault}");
        }
        told(&[&whole[..], b"x"].concat(), &key);
    }

    #[test]
    fn a_newer_format_is_told_and_work_is_bounded() {
        let check = |header: &str, expect: &str| {
            let bytes = format!("{header}\n{}", "x".repeat(64));
            assert!(told(bytes.as_bytes(), &passphrase("x")).contains(expect), "{header}");
        };
        check(r#"{"format":"leasehold-sealed","version":2,"future":[]}"#, "Newer(2)");
        check(r#"{"format":"other","version":1}"#, "of another kind");
        check(r#"{"format":"leasehold-sealed","version":1,"key":"none","salt":""}"#, "not as it should be");
        let asking = |work: &str| {
            format!(r#"{{"format":"leasehold-sealed","version":1,"key":{{"argon2id":{work}}},"salt":"00"}}"#)
        };
        check(&asking(r#"{"memory_kib":4294967295,"passes":3,"lanes":1}"#), "more work");
        check(&asking(r#"{"memory_kib":65536,"passes":4294967295,"lanes":1}"#), "more work");
        check(&asking(r#"{"memory_kib":65536,"passes":3,"lanes":4294967295}"#), "more work");
        check(&asking(r#"{"memory_kib":0,"passes":0,"lanes":0}"#), "cannot be");
        check(&asking(r#"{"memory_kib":64,"passes":1,"lanes":1}"#), "no key can be derived");
    }
}

//! Secrets that nobody else uses, so that finding one anywhere proves a leak.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A secret text that is unique to this call: `canary-NAME-` and 32 random hexadecimal digits.
///
/// Unguessable enough for a test's server, not for anything else.
pub fn canary(name: &str) -> String {
    format!("canary-{name}-{}", random_hex())
}

/// 32 random hexadecimal digits, from the random keys that the standard library gives each hash map.
pub fn random_hex() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// The secrets planted by a test, to be searched for in everything that it can see.
#[derive(Default)]
pub struct Canaries {
    planted: Vec<String>,
}

impl Canaries {
    /// Makes a [`canary`], remembers it and hands it out.
    pub fn plant(&mut self, name: &str) -> String {
        let secret = canary(name);
        self.watch(&secret);
        secret
    }

    /// Remembers a secret that was made elsewhere, such as a token or a generated password.
    pub fn watch(&mut self, secret: &str) {
        assert!(!secret.is_empty(), "an empty secret is found everywhere");
        self.planted.push(secret.to_owned());
    }

    /// Fails when `haystack` holds one of the secrets, as it is or in base64. `place` says where one looked.
    pub fn assert_absent(&self, haystack: &[u8], place: &str) {
        let found = self.found_in(haystack);
        assert!(found.is_empty(), "found in {place}: {}", found.join(", "));
    }

    /// The names of the secrets that `haystack` holds.
    fn found_in(&self, haystack: &[u8]) -> Vec<String> {
        let secrets = self.planted.iter().enumerate();
        let found = secrets.filter(|(_, secret)| forms(secret).any(|form| contains(haystack, &form)));
        found.map(|(number, secret)| label(number, secret)).collect()
    }
}

/// What a failed test may say of a secret: its name, or which it was.
fn label(number: usize, secret: &str) -> String {
    let name = secret.strip_prefix("canary-").and_then(|rest| rest.rsplit_once('-'));
    name.map_or_else(|| format!("secret number {number}"), |(name, _)| format!("the secret {name}"))
}

/// The secret itself and the part of its base64 text that stays the same at each of the three alignments.
fn forms(secret: &str) -> impl Iterator<Item = Vec<u8>> {
    let shifted = (0..3).filter(|_| secret.len() > 8).map(|shift| base64_core(secret.as_bytes(), shift));
    std::iter::once(secret.as_bytes().to_vec()).chain(shifted)
}

/// Base64 of `bytes` standing `shift` bytes into a longer text, without the characters that its neighbours share.
fn base64_core(bytes: &[u8], shift: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = &bytes[(3 - shift) % 3..];
    let sextets = |three: &[u8]| {
        let word = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|bits| ALPHABET[(word >> bits) as usize & 63])
    };
    whole.chunks_exact(3).flat_map(sextets).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_each_form_and_only_then() {
        let mut canaries = Canaries::default();
        canaries.watch("canary-db-0123456789");
        let check = |haystack: &str, expect: bool| {
            let found = canaries.found_in(haystack.as_bytes());
            assert_eq!(found, if expect { vec!["the secret db"] } else { vec![] }, "{haystack}");
        };
        check("", false);
        check("canary-db-012345678", false);
        check("a canary-db-0123456789 sings", true);
        // `printf '%scanary-db-0123456789 sings' PREFIX | base64` with a prefix of no, one and two bytes
        check("Y2FuYXJ5LWRiLTAxMjM0NTY3ODkgc2luZ3M=", true);
        check("eGNhbmFyeS1kYi0wMTIzNDU2Nzg5IHNpbmdz", true);
        check("eHhjYW5hcnktZGItMDEyMzQ1Njc4OSBzaW5ncw==", true);
        // the same of another secret
        check("Y2FuYXJ5LWRiLTAxMzM0NTY3ODkgc2luZ3M=", false);
    }

    #[test]
    fn no_two_are_alike() {
        assert_ne!(canary("a"), canary("a"));
        assert!(canary("db").starts_with("canary-db-"));
    }
}

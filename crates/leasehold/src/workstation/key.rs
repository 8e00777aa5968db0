//! What is a key, and how it stands with a provider's.

use leasehold_core::name::Reference;
use leasehold_core::{Failure, Kind, Secret};

use crate::token_cache::is_blank;

/// The longest key that a command can be given in a variable, in bytes: Linux takes 128 KiB with its name.
pub const LONGEST: usize = (128 << 10) - 1024;

/// How it stands with a provider's key. Nothing of it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The provider needs none.
    NotNeeded,
    /// It is there, and can be used.
    Present,
    /// There is nothing.
    Missing,
    /// What is there is empty or blank, and so no key.
    Blank,
    /// It cannot be read, or no command could be given it.
    Unreadable(Failure),
}

impl KeyState {
    /// In a word: `present`, `locked`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotNeeded => "not needed",
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Blank => "blank",
            Self::Unreadable(failure) => match failure.kind() {
                Kind::Sealed => "locked",
                Kind::Denied => "denied",
                Kind::Invalid => "unclear",
                _ => "unknown",
            },
        }
    }

    /// Whether there is a key; none if none is needed, or nobody knows.
    pub fn is_there(&self) -> Option<bool> {
        match self {
            Self::NotNeeded | Self::Unreadable(_) => None,
            Self::Present => Some(true),
            Self::Missing | Self::Blank => Some(false),
        }
    }

    /// Why it cannot be read.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Unreadable(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether the provider can be used so, or why not.
    pub(super) fn is_usable(&self) -> Result<(), String> {
        match self {
            Self::NotNeeded | Self::Present => Ok(()),
            Self::Missing => Err("its key is not set".into()),
            Self::Blank => Err("its key is blank".into()),
            Self::Unreadable(failure) => Err(failure.message().to_owned()),
        }
    }
}

/// What was found at a provider's place: how it stands with the key, and the key where it is [`KeyState::Present`].
pub(super) fn judge(place: &Reference, found: Result<Secret, Failure>) -> (KeyState, Option<Secret>) {
    match found {
        Ok(key) if is_blank(&key) => (KeyState::Blank, None),
        Ok(key) => match check_key(&key) {
            Ok(()) => (KeyState::Present, Some(key)),
            Err(failure) => (KeyState::Unreadable(failure.context(place)), None),
        },
        Err(failure) if failure.kind() == Kind::NotFound => (KeyState::Missing, None),
        Err(failure) => (KeyState::Unreadable(failure), None),
    }
}

/// Whether this can be a key: what no command could be given is none.
///
/// # Errors
///
/// `Invalid`: it is empty, blank, too long, or holds a zero byte.
pub fn check_key(secret: &Secret) -> Result<(), Failure> {
    let text = secret.expose();
    let message = match () {
        () if text.is_empty() => "the key is empty",
        () if is_blank(secret) => "the key is blank",
        () if text.contains('\0') => "the key holds a zero byte, which no variable can",
        () if text.len() > LONGEST => "the key is longer than a variable can be",
        () => return Ok(()),
    };
    Err(Failure::new(Kind::Invalid, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_no_command_could_be_given_are_none() {
        let place = Reference::parse("env://KEY").unwrap();
        let check = |text: &str, expect: &str| {
            let secret = Secret::new(text);
            let (state, key) = judge(&place, Ok(secret.clone()));
            assert_eq!(state.word(), expect, "{} bytes", text.len());
            assert_eq!(
                (check_key(&secret).is_ok(), key.is_some()),
                (expect == "present", expect == "present")
            );
        };
        check("k", "present");
        check("-----BEGIN\nkey\n", "present");
        check("", "blank");
        check(" \n\t", "blank");
        check("a\0b", "unclear");
        check(&"k".repeat(LONGEST), "present");
        check(&"k".repeat(LONGEST + 1), "unclear");
    }

    #[test]
    fn each_failure_of_a_store_is_a_state_of_its_own() {
        let place = Reference::parse("keyring://agent_vault/k").unwrap();
        let check = |kind: Kind, word: &str, told: &str| {
            let (state, key) = judge(&place, Err(Failure::new(kind, "why")));
            assert!(key.is_none());
            assert_eq!((state.word(), state.is_usable()), (word, Err(told.to_owned())));
            assert_eq!(state.is_there(), (kind == Kind::NotFound).then_some(false));
        };
        check(Kind::NotFound, "missing", "its key is not set");
        check(Kind::Sealed, "locked", "why");
        check(Kind::Denied, "denied", "why");
        check(Kind::Invalid, "unclear", "why");
        check(Kind::Unreachable, "unknown", "why");
    }
}

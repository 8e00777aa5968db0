//! The calls themselves, each by the thread that asks.

use std::io::{BufRead, BufReader};

use leasehold_core::Secret;
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use super::{LARGEST, Trouble};

pub(super) fn find(description: &str) -> Result<Secret, Trouble> {
    let key = search(description)?.ok_or(Trouble::NoEntry)?;
    let mut bytes = Zeroizing::new(vec![0; LARGEST]);
    let length = key.read(&mut *bytes)?.min(LARGEST);
    std::str::from_utf8(&bytes[..length]).map(Secret::new).map_err(|_| Trouble::NoText)
}

pub(super) fn put(description: &str, secret: &Secret) -> Result<(), Trouble> {
    // A key of the same description is written over.
    ring()?.add_key(description, secret.expose()).map(|_| ()).map_err(Trouble::from)
}

pub(super) fn remove(description: &str) -> Result<bool, Trouble> {
    let Some(key) = search(description)? else { return Ok(false) };
    match ring()?.unlink_key(key) {
        Ok(()) => Ok(true),
        // Another was faster, or it is in a keyring below this one.
        Err(KeyError::KeyDoesNotExist | KeyError::MissingFileOrDirectory) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn contains(description: &str) -> Result<bool, Trouble> {
    search(description).map(|key| key.is_some())
}

/// The descriptions of the user's keys. The crate could list a keyring too, and would panic at a long description of
/// another program's.
pub(super) fn descriptions() -> Result<Vec<String>, Trouble> {
    ring()?;
    let table = std::fs::File::open("/proc/keys").map_err(|_| Trouble::NoList)?;
    let lines = BufReader::new(table).split(b'\n').map_while(Result::ok);
    let of_users = lines.filter_map(|line| described(&String::from_utf8(line).ok()?));
    of_users
        .filter_map(|description| {
            contains(&description).map(|is_ours| is_ours.then_some(description)).transpose()
        })
        .collect()
}

/// `3df1 I--Q--- 1 perm 3f010000 0 0 user keyring:NAME@SERVICE: 7`, where the last number is the length of the secret.
fn described(line: &str) -> Option<String> {
    let mut rest = line;
    for _ in 0..7 {
        rest = rest.trim_start().split_once(' ')?.1;
    }
    let (description, length) = rest.trim_start().strip_prefix("user ")?.trim_start().rsplit_once(": ")?;
    length.parse::<u32>().is_ok().then(|| description.to_owned())
}

fn search(description: &str) -> Result<Option<Key>, Trouble> {
    match ring()?.search(description).map_err(Trouble::from) {
        Ok(key) => Ok(Some(key)),
        Err(Trouble::NoEntry) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The user's keyring, put within this thread's reach: what is in it is shown to those that hold it, and a session may
/// have been begun without it. What this process starts does not hold it for that.
fn ring() -> Result<KeyRing, Trouble> {
    let open = |id| KeyRing::from_special_id(id, true).map_err(|_| Trouble::NoKeyring);
    let user = open(KeyRingIdentifier::User)?;
    open(KeyRingIdentifier::Process)?.link_keyring(user).map_err(|_| Trouble::NoKeyring)?;
    Ok(user)
}

impl From<KeyError> for Trouble {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::KeyDoesNotExist
            | KeyError::KeyExpired
            | KeyError::KeyRevoked
            | KeyError::KeyRejected
            | KeyError::KeyringDoesNotExist => Self::NoEntry,
            KeyError::AccessDenied | KeyError::PermissionDenied => Self::Refused,
            KeyError::QuotaExceeded => Self::Full,
            KeyError::OperationNotSupported => Self::NoKeyring,
            KeyError::InvalidDescription => Self::NoName,
            KeyError::Unknown(number) => Self::Other(number),
            _ => Self::Other(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let check =
            |line: &str, expect: Option<&str>| assert_eq!(described(line).as_deref(), expect, "{line}");
        check(
            "3dcc7e5b I--Q---     1 perm 3f010000     0     0 user      keyring:a/b@agent_vault: 7",
            Some("keyring:a/b@agent_vault"),
        );
        check("3dcc7e5b I--Q---     1  3d 3f010000  1000  1000 user      a: b: 17", Some("a: b"));
        check("24c7ef46 I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1", None);
        check("3dcc7e5b I--Q---     1 perm 3f010000     0     0 user      ", None);
        check("", None);
    }
}

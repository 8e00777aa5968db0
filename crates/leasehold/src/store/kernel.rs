//! The kernel's keyring, for hosts without a desktop: no file, no daemon, and lost when the machine stops.
//!
//! Entries are in the user's own keyring, which all processes of the user reach and which outlives them. They are named
//! as other programs name theirs in the kernel: `keyring:NAME@SERVICE`.

#[cfg(target_os = "linux")]
mod keys;
#[cfg(not(target_os = "linux"))]
#[path = "kernel/no_keys.rs"]
mod keys;

use std::fmt;
use std::future;

use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};

use super::{Answer, Listed, Store};

/// The most that the kernel takes for one key.
const LARGEST: usize = 32_767;
/// The longest description that can be told apart from others in a list.
const LONGEST_NAME: usize = 400;

/// The keyring that the Linux kernel keeps for this user. Nothing of it is written to a disk by us, and all of it is
/// gone when the machine stops.
///
/// ```no_run
/// use leasehold::core::Secret;
/// use leasehold::core::name::Entry;
/// use leasehold::store::{KernelKeyring, Store};
///
/// # async fn example() -> Result<(), leasehold::core::Failure> {
/// let entry = Entry { service: "agent_vault".into(), name: "api.openai.com/pro_key".into() };
/// KernelKeyring::new().put(&entry, &Secret::new("sk-..")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelKeyring;

impl KernelKeyring {
    /// The keyring of the user that this process runs as. Nothing is opened yet.
    pub fn new() -> Self {
        Self
    }
}

/// The kernel answers at once.
impl Store for KernelKeyring {
    fn title(&self) -> String {
        "the kernel's keyring (lost when the machine stops)".into()
    }

    fn find<'a>(&'a self, entry: &'a Entry) -> Answer<'a, Secret> {
        answer(entry, described(entry).and_then(|description| keys::find(&description)))
    }

    fn put<'a>(&'a self, entry: &'a Entry, secret: &'a Secret) -> Answer<'a, ()> {
        let put = |description: String| match secret.expose().len() {
            0 => Err(Trouble::Empty),
            length if length > LARGEST => Err(Trouble::TooLarge(length)),
            _ => keys::put(&description, secret),
        };
        answer(entry, described(entry).and_then(put))
    }

    fn remove<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        answer(entry, described(entry).and_then(|description| keys::remove(&description)))
    }

    fn contains<'a>(&'a self, entry: &'a Entry) -> Answer<'a, bool> {
        answer(entry, described(entry).and_then(|description| keys::contains(&description)))
    }

    /// The kernel does not note when one was written.
    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Listed>> {
        let entries = keys::descriptions().map(|descriptions| entries(&descriptions, service));
        answer(&service, entries)
    }
}

fn answer<'a, T: Send + 'a>(what: &dyn fmt::Display, outcome: Result<T, Trouble>) -> Answer<'a, T> {
    Box::pin(future::ready(outcome.map_err(|trouble| trouble.failure(what))))
}

/// How the kernel knows an entry.
fn described(entry: &Entry) -> Result<String, Trouble> {
    let description = format!("keyring:{}@{}", entry.name, entry.service);
    match description.len() > LONGEST_NAME || description.contains(char::is_control) {
        true => Err(Trouble::NoName),
        false => Ok(description),
    }
}

/// The entries of a service among these descriptions, in order.
fn entries(descriptions: &[String], service: &str) -> Vec<Listed> {
    let name = |description: &String| {
        let name = description.strip_prefix("keyring:")?.strip_suffix(service)?.strip_suffix('@')?;
        Some(Listed { entry: Entry { service: service.into(), name: name.into() }, written: None })
    };
    let mut entries: Vec<_> = descriptions.iter().filter_map(name).collect();
    entries.sort();
    entries.dedup();
    entries
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Another system than Linux, or one that forbids it.
    NoKeyring,
    /// There is no list of keys.
    NoList,
    NoEntry,
    Refused,
    Full,
    Empty,
    TooLarge(usize),
    NoName,
    NoText,
    /// The number of the error.
    Other(i32),
}

impl Trouble {
    /// As a failure in the matter of this entry or service.
    fn failure(self, what: &dyn fmt::Display) -> Failure {
        let elsewhere = "use another store, such as the sealed file";
        let (kind, message, hint) = match self {
            Self::NoKeyring => (
                Kind::Unreachable,
                "the kernel's keyring is not there: the system or a sandbox forbids it".into(),
                "allow the calls add_key and keyctl (containers forbid them), or use another store",
            ),
            Self::NoList => (
                Kind::Unreachable,
                format!("the kernel does not tell which entries {what} has: there is no /proc/keys"),
                "a sandbox may hide it; single entries can be read",
            ),
            Self::NoEntry => {
                (Kind::NotFound, format!("the kernel's keyring has no entry {what}"), "set it first")
            }
            Self::Refused => (
                Kind::Denied,
                format!("the kernel's keyring refuses {what} to this process"),
                "see its rights with `keyctl show @u` and `keyctl describe`",
            ),
            Self::Full => (
                Kind::Invalid,
                format!("the kernel's keyring has no room for {what}: the user's quota is used up"),
                "see /proc/key-users; raise kernel.keys.maxbytes, or use another store",
            ),
            Self::Empty => {
                (Kind::Invalid, format!("the kernel's keyring keeps no empty secret ({what})"), elsewhere)
            }
            Self::TooLarge(length) => (
                Kind::Invalid,
                format!("the kernel's keyring keeps at most {LARGEST} bytes, {what} has {length}"),
                elsewhere,
            ),
            Self::NoName => (
                Kind::Invalid,
                format!("the kernel's keyring cannot keep an entry by the name {:?}", what.to_string()),
                "use a shorter name without control characters",
            ),
            Self::NoText => (Kind::Invalid, format!("the secret of {what} is no text"), "set it again"),
            Self::Other(number) => {
                (Kind::Broken, format!("the kernel's keyring failed about {what}: error {number}"), elsewhere)
            }
        };
        Failure::new(kind, message).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry { service: "agent_vault".into(), name: name.into() }
    }

    #[test]
    fn entries_are_found_by_their_descriptions() {
        let check = |description: &str, expect: &[&str]| {
            let found = entries(&[description.to_owned()], "agent_vault");
            let found: Vec<_> = found.iter().map(|listed| &*listed.entry.name).collect();
            assert_eq!(found, expect, "{description}");
        };
        check("keyring:api.openai.com/pro@agent_vault", &["api.openai.com/pro"]);
        check("keyring:me@home@agent_vault", &["me@home"]);
        check("keyring:a: b@agent_vault", &["a: b"]);
        check("keyring:a@other", &[]);
        check("keyring:a@not_agent_vault", &[]);
        check("a@agent_vault", &[]);
        check("", &[]);
    }

    #[test]
    fn what_the_kernel_cannot_name_is_refused() {
        let check =
            |name: &str, expect: bool| assert_eq!(described(&entry(name)).is_ok(), expect, "{name:?}");
        check("a/b.c d", true);
        check("a;b", true);
        check("a\0b", false);
        check("a\nb", false);
        check(&"a".repeat(LONGEST_NAME), false);
    }
}

//! The keys of providers, as their stores have them.

use std::collections::HashMap;
use std::time::SystemTime;

use leasehold_core::Secret;
use leasehold_core::name::{Place, Reference};

use super::Workstation;
use super::key::{KeyState, judge};
use crate::checks::Checks;
use crate::manifest::{Pointer, Provider};

/// A provider's key, where it is, and how it stands.
pub(super) struct Key {
    /// None if the provider needs none.
    pub(super) place: Option<Reference>,
    pub(super) state: KeyState,
    /// There only if it is [`KeyState::Present`].
    pub(super) secret: Option<Secret>,
}

impl Key {
    /// Whether the provider can be used with it, as far as it is known, or why not.
    pub(super) fn is_usable(
        &self,
        provider: &Provider,
        checks: &Checks,
        now: SystemTime,
    ) -> Result<(), String> {
        self.state.is_usable()?;
        checks.is_usable(provider, self.secret.as_ref(), now)
    }
}

/// The keys of providers, one after the other. With a key all others of its store are read, so that each store is opened
/// once; of a store that nobody comes to, nothing is asked.
pub(super) struct Keys<'w, 'a, 'p> {
    workstation: &'w Workstation<'a>,
    providers: &'p [Provider],
    next: usize,
    /// What was read ahead, by the provider's number.
    ahead: HashMap<usize, Key>,
}

impl<'w, 'a, 'p> Keys<'w, 'a, 'p> {
    /// The keys of these providers. Nothing is read yet.
    pub(super) fn of(workstation: &'w Workstation<'a>, providers: &'p [Provider]) -> Self {
        Self { workstation, providers, next: 0, ahead: HashMap::new() }
    }

    /// The next provider with its key.
    pub(super) async fn next(&mut self) -> Option<(&'p Provider, Key)> {
        let at = self.next;
        let provider = self.providers.get(at)?;
        self.next += 1;
        if !self.ahead.contains_key(&at) {
            self.read(at).await;
        }
        Some((provider, self.ahead.remove(&at)?))
    }

    /// Reads the key of this provider, and of all after it with the same store.
    async fn read(&mut self, at: usize) {
        let first = self.providers[at].pointer.as_ref();
        let after = (at + 1..self.providers.len()).filter(|other| {
            let other = self.providers[*other].pointer.as_ref();
            first.zip(other).is_some_and(|(first, other)| is_read_with(first, other))
        });
        let numbers: Vec<_> = std::iter::once(at).chain(after).collect();
        let providers: Vec<_> = numbers.iter().map(|at| &self.providers[*at]).collect();
        let keys = self.workstation.keys(&providers).await;
        self.ahead.extend(numbers.into_iter().zip(keys));
    }
}

impl Workstation<'_> {
    /// The keys of these providers, in their order. All stores are asked at the same time.
    pub(super) async fn keys(&self, providers: &[&Provider]) -> Vec<Key> {
        let mut places = Vec::new();
        for provider in providers {
            places.push(self.place(provider).await);
        }
        let asked: Vec<_> = places.iter().flatten().cloned().collect();
        let mut found = self.find_all(&asked).await.into_iter();
        let key = |place: Option<Reference>| {
            let judged = place.as_ref().and_then(|place| Some(judge(place, found.next()?)));
            let (state, secret) = judged.unwrap_or((KeyState::NotNeeded, None));
            Key { place, state, secret }
        };
        places.into_iter().map(key).collect()
    }
}

/// Whether one look at a store finds both: all of a store of this workstation, all fields of a secret on the server.
fn is_read_with(one: &Pointer, other: &Pointer) -> bool {
    match (one, other) {
        (Pointer::Plain(_), Pointer::Plain(_)) => true,
        (Pointer::Full(one), Pointer::Full(other)) => match (one.place(), other.place()) {
            (Place::Stored(one, _), Place::Stored(other, _)) => one == other,
            (Place::Vault(one), Place::Vault(other)) => one == other,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_look_finds() {
        let check = |one: &str, other: &str, expect: bool| {
            let [one, other] = [one, other].map(|text| Pointer::parse(text).unwrap());
            assert_eq!(is_read_with(&one, &other), expect, "{one} {other}");
        };
        check("a", "b", true);
        check("a", "sealed://agent_vault/a", false);
        check("sealed://agent_vault/a", "sealed://another/b", true);
        check("sealed://agent_vault/a", "keyring://agent_vault/a", false);
        check("vault://secret/ai#one", "vault://secret/ai#two", true);
        check("vault://secret/ai#one", "vault://secret/more#one", false);
        check("env://A", "env://A", false);
    }
}

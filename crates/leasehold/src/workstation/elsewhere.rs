//! Where a key may be that its pointer does not lead to.

use leasehold_core::Failure;
use leasehold_core::name::StoreKind;

use super::{Choice, KeyState, Purpose, Workstation};
use crate::manifest::{Pointer, Provider};
use crate::store::Listed;

/// What the stores have that plain pointers do not mean.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// The store that they mean, as settings name it.
    chosen: String,
    /// Why nothing is written there.
    bar: Option<Failure>,
    there: Vec<(StoreKind, Vec<Listed>)>,
}

impl Workstation<'_> {
    /// Looks into the stores that were not chosen. One that cannot be asked has nothing.
    pub async fn elsewhere(&self) -> Elsewhere {
        let chosen = self.stores().chosen().await;
        let mut there = Vec::new();
        for kind in StoreKind::ALL.into_iter().filter(|kind| chosen.choice != Choice::Store(*kind)) {
            let Ok((store, service)) = self.shelf(&Choice::Store(kind), Purpose::Read).await else {
                continue;
            };
            there.push((kind, store.list(&service).await.unwrap_or_default()));
        }
        Elsewhere { chosen: chosen.choice.setting(), bar: chosen.bar.clone(), there }
    }

    /// Why a provider is not usable, where its key may be in a keyring that is not there now.
    pub(super) async fn explained(&self, provider: &Provider, key: &KeyState, reason: String) -> String {
        let is_looked_for = *key == KeyState::Missing && matches!(provider.pointer, Some(Pointer::Plain(_)));
        match is_looked_for && self.stores().chosen().await.bar.is_some() {
            true => format!("{reason} in the sealed file, and the keyring is away"),
            false => reason,
        }
    }

    /// What to do about the first of these providers of whose missing key something is known.
    pub(super) async fn hint_for(&self, missing: &[&Provider]) -> Option<String> {
        let [_, ..] = missing else { return None };
        let elsewhere = self.elsewhere().await;
        let mut known = missing.iter().filter_map(|provider| Some((provider, elsewhere.hint(provider)?)));
        known.next().map(|(provider, hint)| format!("{}: {hint}", provider.name))
    }
}

impl Elsewhere {
    /// What to do about a key that is missing, other than to set it; none if nothing is known of it.
    pub fn hint(&self, provider: &Provider) -> Option<String> {
        let Some(Pointer::Plain(name)) = &provider.pointer else { return None };
        let has_it = |entries: &[Listed]| entries.iter().any(|listed| listed.entry.name == *name);
        let holder = self.there.iter().find(|(_, entries)| has_it(entries));
        holder.map(|(kind, _)| self.migration(*kind)).or_else(|| self.bar.as_ref().map(told))
    }

    fn migration(&self, from: StoreKind) -> String {
        let (holder, from, to) = (Choice::Store(from), from.scheme(), &self.chosen);
        format!("{holder} has it: leasehold store migrate --from {from} --to {to} --delete-source")
    }
}

/// A failure with its advice, in one line.
fn told(failure: &Failure) -> String {
    match failure.advice() {
        Some(advice) => format!("{}; {advice}", failure.message()),
        None => failure.message().into(),
    }
}

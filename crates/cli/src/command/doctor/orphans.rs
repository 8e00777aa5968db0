//! Keys that no pointer names any more.

use std::collections::BTreeSet;

use leasehold::core::Failure;
use leasehold::core::name::StoreKind;
use leasehold::manifest::Pointer;
use leasehold::workstation::{Choice, Purpose, Workstation};

use super::finding::Finding;
use super::visit::Visit;

const ID: &str = "orphans";
/// The stores that are looked at, whichever is chosen, if they answer.
const LASTING: [StoreKind; 2] = [StoreKind::Keyring, StoreKind::Sealed];

/// Looks into the chosen store, and into those where keys may have been left.
pub(super) async fn check(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Finding {
    if !visit.wants(ID) {
        return Finding::skipped(ID, "it is not asked for");
    }
    if visit.manifest.is_none() {
        return Finding::skipped(ID, "without a manifest nobody knows what is used");
    }
    let chosen = &workstation.stores().chosen().await.choice;
    let (mut looked_at, mut unused) = (Vec::new(), Vec::new());
    let mut skipped = match chosen {
        Choice::Server(_) => Some(format!("others may use {chosen} too")),
        Choice::Store(_) => None,
    };
    for choice in stores(chosen) {
        match of_store(visit, workstation, &choice).await {
            Ok(found) => {
                unused.extend(found);
                looked_at.push(choice.to_string());
            }
            Err(failure) if choice == *chosen => skipped = Some(failure.message().to_owned()),
            // Nothing is needed of it.
            Err(_) => {}
        }
    }
    match (skipped, &unused[..]) {
        (Some(why), []) => Finding::skipped(ID, why),
        _ => told(&looked_at.join(" and "), &unused),
    }
}

fn stores(chosen: &Choice) -> Vec<Choice> {
    let others = LASTING.map(Choice::Store).into_iter().filter(|other| other != chosen);
    let chosen = Some(chosen.clone()).filter(|chosen| matches!(chosen, Choice::Store(_)));
    chosen.into_iter().chain(others).collect()
}

/// The places in a store that nobody names. What a plain pointer names may be in any store: which one it means can change.
async fn of_store(
    visit: &Visit<'_>,
    workstation: &Workstation<'_>,
    choice: &Choice,
) -> Result<Vec<String>, Failure> {
    let (store, service) = workstation.shelf(choice, Purpose::Read).await?;
    let pointers = visit.providers().iter().filter_map(|provider| provider.pointer.as_ref());
    let named: BTreeSet<_> = pointers
        .map(|pointer| match pointer {
            Pointer::Plain(name) => choice.reference(name).to_string(),
            Pointer::Full(reference) => reference.to_string(),
        })
        .collect();
    let there = store.list(&service).await?.into_iter();
    let there = there.map(|listed| choice.reference(&listed.entry.name).to_string());
    Ok(there.filter(|entry| !named.contains(entry)).collect())
}

fn told(looked_at: &str, unused: &[String]) -> Finding {
    match unused {
        [] => Finding::ok(ID, format!("a pointer names everything in {looked_at}")),
        [one] => Finding::warning(ID, format!("no pointer names {one}"))
            .hint(format!("if nothing else uses it: leasehold store delete '{one}'")),
        more => Finding::warning(ID, format!("no pointer names {}", more.join(", ")))
            .hint("if nothing else uses one: leasehold store delete REF"),
    }
}

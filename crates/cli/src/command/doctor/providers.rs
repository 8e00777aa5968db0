//! The providers: is each one's key there, its endpoint reachable, and the key accepted?

use std::collections::HashMap;

use leasehold::core::Failure;
use leasehold::core::name::StoreKind;
use leasehold::manifest::{Pointer, Provider};
use leasehold::probe::{ProviderKind, Reachability, Verdict};
use leasehold::store::Listed;
use leasehold::workstation::{Choice, Purpose, Standing, Trial, Workstation};

use super::finding::{Finding, OFFLINE, Status};
use super::only::OF_PROVIDERS;
use super::visit::Visit;
use crate::command::workstation::now;
use crate::config::workstation::choice_text;

/// What came of trying a provider out; none if it was not.
type Outcome = Option<Result<Trial, Failure>>;

/// What is wrong with the providers, if anything.
pub(super) async fn check(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Vec<Finding> {
    let Some(manifest) = &visit.manifest else { return Vec::new() };
    if !visit.wants_one_of(&OF_PROVIDERS) {
        return Vec::new();
    }
    let asks_nobody = visit.is_offline || !visit.wants("endpoint");
    let standings = workstation.standings(manifest, asks_nobody).await;
    let outcomes = try_out(visit, workstation, &standings).await;
    let unreadable = unreadable(workstation, &standings, &outcomes).await;
    let elsewhere = Elsewhere::search(visit, workstation, &standings).await;
    let mut findings = Vec::new();
    for (standing, outcome) in standings.iter().zip(&outcomes) {
        let unreadable = unreadable.get(standing.provider.name.as_str());
        findings.extend(secret(visit, standing, unreadable, &elsewhere));
        findings.extend(endpoint(standing));
        findings.extend(key(visit, standing, outcome));
    }
    findings
}

/// Tries those out whose key is there, or that need none. Where no verdict is wanted, keys are only read.
async fn try_out(visit: &Visit<'_>, workstation: &Workstation<'_>, standings: &[Standing]) -> Vec<Outcome> {
    let is_tried = |standing: &&Standing| {
        let is_wanted = ["secret", "key"].iter().any(|check| visit.wants(&id(check, &standing.provider)));
        is_wanted && !matches!(standing.has_secret, Some(Ok(false) | Err(_)))
    };
    let tried: Vec<_> = standings.iter().filter(is_tried).map(|standing| &standing.provider).collect();
    let asks_nobody = visit.is_offline || !visit.wants("key");
    let mut trials = workstation.test(&tried, asks_nobody, now()).await.into_iter();
    standings.iter().map(|standing| is_tried(&standing).then(|| trials.next()).flatten()).collect()
}

/// Why keys cannot be read, by provider. What failed in a trial may have been the key, or what was made of it.
async fn unreadable<'s>(
    workstation: &Workstation<'_>,
    standings: &'s [Standing],
    outcomes: &[Outcome],
) -> HashMap<&'s str, Failure> {
    let failed = standings.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Some(Err(_))));
    let (names, places): (Vec<_>, Vec<_>) =
        failed.filter_map(|(standing, _)| Some((&*standing.provider.name, standing.place.clone()?))).unzip();
    let read = workstation.find_all(&places).await;
    names.into_iter().zip(read).filter_map(|(name, read)| Some((name, read.err()?))).collect()
}

/// Whether a provider's key is where its pointer says, and can be read.
fn secret(
    visit: &Visit<'_>,
    standing: &Standing,
    unreadable: Option<&Failure>,
    elsewhere: &Elsewhere,
) -> Option<Finding> {
    let (provider, place) = (&standing.provider, standing.place.as_ref()?);
    let id = id("secret", provider);
    Some(match (standing.has_secret.as_ref()?, unreadable) {
        (Err(_), _) if visit.misses(provider) && visit.is_offline => {
            Finding::skipped(id, format!("{place} is on the server, which is not asked"))
        }
        (Err(failure), _) if visit.misses(provider) => Finding::of(id, Status::Warning, failure),
        (Err(failure), _) | (Ok(true), Some(failure)) => Finding::of(id, Status::Failure, failure),
        (Ok(false), _) => Finding::new(id, Status::Failure, format!("there is no key at {place}"))
            .hint(elsewhere.hint(provider)),
        (Ok(true), None) => Finding::ok(id, format!("it is at {place}")),
    })
}

/// Whether anybody listens at a provider's endpoint.
fn endpoint(standing: &Standing) -> Option<Finding> {
    let endpoint = standing.provider.endpoint.as_ref()?;
    let id = id("endpoint", &standing.provider);
    Some(match &standing.reachability {
        None => Finding::skipped(id, OFFLINE),
        Some(Reachability::Reachable) => Finding::ok(id, format!("{endpoint} can be reached")),
        Some(Reachability::Unreachable(reason)) => Finding::warning(id, reason.clone()),
    })
}

/// What the provider says of its key.
fn key(visit: &Visit<'_>, standing: &Standing, outcome: &Outcome) -> Option<Finding> {
    let provider = &standing.provider;
    let (id, kind) = (id("key", provider), ProviderKind::of(provider));
    let skipped = |why: &str| Some(Finding::skipped(id.clone(), why));
    let trial = match outcome {
        _ if visit.is_offline => return skipped(OFFLINE),
        // Where nothing is known of a provider without a key, there is nothing to look at.
        _ if provider.pointer.is_none() && kind.is_none_or(ProviderKind::wants_key) => return None,
        None => return Some(unread(visit, standing, id)),
        Some(Err(failure)) => return Some(Finding::of(id, Status::Failure, failure)),
        Some(Ok(trial)) => trial,
    };
    match (&trial.verdict, kind) {
        (None, _) => skipped("the endpoint cannot be reached"),
        (Some(Verdict::Unknown(reason)), None) => skipped(reason),
        (Some(verdict), _) => Some(judged(id, &provider.name, verdict)),
    }
}

/// A key that could not be read is told as such by the check of the secret; where that is not asked for, by this one.
fn unread(visit: &Visit<'_>, standing: &Standing, id: String) -> Finding {
    const TOLD: &str = "no key could be read";
    match &standing.has_secret {
        _ if visit.wants(&self::id("secret", &standing.provider)) => Finding::skipped(id, TOLD),
        Some(Err(failure)) => Finding::of(id, Status::Warning, failure),
        _ => Finding::warning(id, TOLD).hint(set_key(&standing.provider)),
    }
}

fn judged(id: String, name: &str, verdict: &Verdict) -> Finding {
    let told = verdict.to_string();
    match verdict {
        Verdict::Accepted | Verdict::Restricted => Finding::ok(id, told),
        Verdict::Rejected => Finding::new(id, Status::Failure, told)
            .hint(format!("get another from the provider: leasehold set-key {name}")),
        Verdict::Exhausted => {
            Finding::warning(id, told).hint("the provider knows the key, and wants money first")
        }
        Verdict::Unknown(_) => Finding::warning(id, told),
    }
}

/// What plain pointers name, in the stores that were not chosen.
#[derive(Default)]
struct Elsewhere {
    /// How the chosen store is named.
    chosen: String,
    /// Whether the keys may be on a server that is known, and nobody said where.
    has_server: bool,
    there: Vec<(StoreKind, Vec<Listed>)>,
}

impl Elsewhere {
    /// Looks only where a plain pointer leads to nothing. A store that cannot be asked has nothing.
    async fn search(visit: &Visit<'_>, workstation: &Workstation<'_>, standings: &[Standing]) -> Self {
        let is_lost = |standing: &Standing| {
            let is_plain = matches!(standing.provider.pointer, Some(Pointer::Plain(_)));
            is_plain && matches!(standing.has_secret, Some(Ok(false)))
        };
        if !standings.iter().any(is_lost) {
            return Self::default();
        }
        let choice = &workstation.stores().chosen().await.choice;
        let mut there = Vec::new();
        for kind in StoreKind::ALL.into_iter().filter(|kind| *choice != Choice::Store(*kind)) {
            let Ok((store, service)) = workstation.shelf(&Choice::Store(kind), Purpose::Read).await else {
                continue;
            };
            there.push((kind, store.list(&service).await.unwrap_or_default()));
        }
        let is_known = !visit.settings.server.addresses.is_empty();
        let has_server = is_known && !matches!(choice, Choice::Server(_));
        Self { chosen: choice_text(choice), has_server, there }
    }

    /// What to do about a key that is missing.
    fn hint(&self, provider: &Provider) -> String {
        let Some(Pointer::Plain(name)) = &provider.pointer else { return set_key(provider) };
        let moved = "; if it was moved to the server, say where: LEASEHOLD_STORE=vault://MOUNT/PATH";
        let has_it = |entries: &[Listed]| entries.iter().any(|listed| listed.entry.name == *name);
        match self.there.iter().find(|(_, entries)| has_it(entries)) {
            Some((kind, _)) => {
                let (from, to) = (kind.scheme(), &self.chosen);
                format!("{} has it: leasehold store migrate --from {from} --to {to}", Choice::Store(*kind))
            }
            None if self.has_server => format!("{}{moved}", set_key(provider)),
            None => set_key(provider),
        }
    }
}

fn set_key(provider: &Provider) -> String {
    format!("set it: leasehold set-key {}", provider.name)
}

fn id(check: &str, provider: &Provider) -> String {
    format!("{check}:{}", provider.name)
}

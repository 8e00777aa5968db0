//! The providers: is each one's key there, its endpoint reachable, and the key accepted?

use leasehold::core::Failure;
use leasehold::manifest::{Pointer, Provider};
use leasehold::probe::{ProviderKind, Reachability, Verdict};
use leasehold::workstation::{Choice, Elsewhere, KeyState, Standing, Trial, Workstation};

use super::finding::{Finding, OFFLINE, Status};
use super::only::OF_PROVIDERS;
use super::visit::Visit;
use crate::command::workstation::{how_to_set, now};

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
    let advice = Advice::search(visit, workstation, &standings).await;
    let mut findings = Vec::new();
    for (standing, outcome) in standings.iter().zip(&outcomes) {
        findings.extend(secret(visit, standing, &advice));
        findings.extend(endpoint(standing));
        findings.extend(key(visit, standing, outcome));
    }
    findings
}

/// Tries those out whose key is there, or that need none.
async fn try_out(visit: &Visit<'_>, workstation: &Workstation<'_>, standings: &[Standing]) -> Vec<Outcome> {
    let is_tried = |standing: &&Standing| {
        visit.wants(&id("key", &standing.provider))
            && matches!(standing.key, KeyState::NotNeeded | KeyState::Present)
    };
    let tried: Vec<_> = standings.iter().filter(is_tried).map(|standing| &standing.provider).collect();
    let mut trials = workstation.test(&tried, visit.is_offline, now()).await.into_iter();
    standings.iter().map(|standing| is_tried(&standing).then(|| trials.next()).flatten()).collect()
}

/// Whether a provider's key is where its pointer says, and can be read.
fn secret(visit: &Visit<'_>, standing: &Standing, advice: &Advice) -> Option<Finding> {
    let (provider, place) = (&standing.provider, standing.place.as_ref()?);
    let id = id("secret", provider);
    let fails = |message: String| Finding::new(&id, Status::Failure, message);
    Some(match &standing.key {
        KeyState::NotNeeded => return None,
        KeyState::Unreadable(_) if visit.misses(provider) && visit.is_offline => {
            Finding::skipped(id, format!("{place} is on the server, which is not asked"))
        }
        KeyState::Unreadable(failure) if visit.misses(provider) => Finding::of(id, Status::Warning, failure),
        KeyState::Unreadable(failure) => Finding::of(id, Status::Failure, failure),
        KeyState::Missing => fails(format!("there is no key at {place}")).hint(advice.hint(provider)),
        KeyState::Blank => fails(format!("what is at {place} is blank")).hint(how_to_set(provider)),
        KeyState::Present => Finding::ok(id, format!("it is at {place}")),
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
    match standing.key.failure() {
        _ if visit.wants(&self::id("secret", &standing.provider)) => Finding::skipped(id, TOLD),
        Some(failure) => Finding::of(id, Status::Warning, failure),
        None => Finding::warning(id, TOLD).hint(how_to_set(&standing.provider)),
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

/// What to do about keys that are missing.
#[derive(Default)]
struct Advice {
    elsewhere: Elsewhere,
    /// Whether the keys may be on a server that is known, and nobody said where.
    has_server: bool,
}

impl Advice {
    /// Looks into other stores only where a plain pointer leads to nothing.
    async fn search(visit: &Visit<'_>, workstation: &Workstation<'_>, standings: &[Standing]) -> Self {
        let is_lost = |standing: &Standing| {
            let is_plain = matches!(standing.provider.pointer, Some(Pointer::Plain(_)));
            is_plain && standing.key == KeyState::Missing
        };
        if !standings.iter().any(is_lost) {
            return Self::default();
        }
        let choice = &workstation.stores().chosen().await.choice;
        let is_known = !visit.settings.server.addresses.is_empty();
        let has_server = is_known && !matches!(choice, Choice::Server(_));
        Self { elsewhere: workstation.elsewhere().await, has_server }
    }

    fn hint(&self, provider: &Provider) -> String {
        let is_plain = matches!(provider.pointer, Some(Pointer::Plain(_)));
        let moved = match self.has_server && is_plain {
            true => "; if it was moved to the server, say where: LEASEHOLD_STORE=vault://MOUNT/PATH",
            false => "",
        };
        self.elsewhere.hint(provider).unwrap_or_else(|| format!("{}{moved}", how_to_set(provider)))
    }
}

fn id(check: &str, provider: &Provider) -> String {
    format!("{check}:{}", provider.name)
}

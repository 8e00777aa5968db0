//! What is known of each provider, and which one is taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::pin::pin;
use std::time::SystemTime;

use futures_util::{StreamExt, stream};
use leasehold_core::name::{Reference, StoreKind};
use leasehold_core::{Failure, Kind};

use super::keys::{Key, Keys};
use super::{KeyState, Purpose, Spot, Workstation, store_of};
use crate::checks::Check;
use crate::manifest::{Manifest, Provider};
use crate::probe::{Prober, ProviderKind, Reachability, Verdict};
use crate::store::{Store, TOGETHER};

/// So many endpoints are asked at once before a choice; those of the next ones for nothing where the first answers.
const ENDPOINTS: usize = 8;

/// What is known of a provider. Nothing of it is a secret.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The provider.
    pub provider: Provider,
    /// Where its key is, if it has one.
    pub place: Option<Reference>,
    /// How it stands with its key.
    pub key: KeyState,
    /// When its key was written, where the store knows.
    pub written: Option<SystemTime>,
    /// Whether its endpoint can be reached; none if it has none, or was not asked.
    pub reachability: Option<Reachability>,
    /// What was last said of this key.
    pub check: Option<Check>,
}

/// What a test of a provider found.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The provider's name.
    pub provider: String,
    /// How it stands with its key; never unreadable.
    pub key: KeyState,
    /// Whether its endpoint can be reached; none if it has none.
    pub endpoint_reachable: Option<bool>,
    /// What the provider said of the key; none if it was not asked.
    pub verdict: Option<Verdict>,
    /// What is wrong, the first first; empty if nothing is.
    pub faults: Vec<Fault>,
}

/// What can be wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no key, or a blank.
    MissingSecret,
    /// Nobody listens at the endpoint.
    Unreachable,
    /// The provider rejects the key.
    Rejected,
    /// The provider knows the key and wants money.
    Exhausted,
    /// The provider should have said something of the key, and did not.
    NoVerdict,
}

/// The provider that is taken, and why those before it are not.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The provider.
    pub provider: Provider,
    /// Where its key is, if it has one.
    pub place: Option<Reference>,
    /// Those that come before it.
    pub passed_over: PassedOver,
}

/// The names of providers that are not usable, each with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver(pub Vec<(String, String)>);

impl PassedOver {
    /// The first five, and how many more there are: a manifest may have thousands. Between them stands the mark, and before
    /// each the word, as in `; not a: its key is not set; and 7 more`.
    pub fn told(&self, mark: &str, word: &str) -> String {
        const TOLD: usize = 5;
        let told = self.0.iter().take(TOLD).map(|(name, reason)| format!("{mark}{word}{name}: {reason}"));
        let more = self.0.len().saturating_sub(TOLD);
        let more = (more > 0).then(|| format!("{mark}and {more} more"));
        told.chain(more).collect()
    }
}

impl Fault {
    /// In the words of the API: `missing secret`.
    pub fn words(self) -> &'static str {
        match self {
            Self::MissingSecret => "missing secret",
            Self::Unreachable => "endpoint unreachable",
            Self::Rejected => "key rejected",
            Self::Exhausted => "key exhausted",
            Self::NoVerdict => "no verdict on the key",
        }
    }

    /// By what a caller has to do about it.
    pub fn kind(self) -> Kind {
        match self {
            Self::MissingSecret => Kind::NotFound,
            Self::Rejected => Kind::Denied,
            Self::Exhausted => Kind::Throttled,
            Self::Unreachable | Self::NoVerdict => Kind::Unreachable,
        }
    }
}

impl Workstation<'_> {
    /// What is known of each provider, in the order in which they are taken. `is_offline`: no endpoint is asked.
    pub async fn standings(&self, manifest: &Manifest, is_offline: bool) -> Vec<Standing> {
        let providers: Vec<_> = manifest.providers().iter().collect();
        let (checks, keys) = (self.checks(), self.keys(&providers).await);
        let (mut inventory, mut standings) = (Inventory::default(), Vec::new());
        for (provider, Key { place, state, secret }) in providers.into_iter().zip(keys) {
            let written = match &place {
                Some(place) if state == KeyState::Present => inventory.written(self, place).await,
                _ => None,
            };
            let check = checks.of(provider, secret.as_ref()).cloned();
            let provider = provider.clone();
            standings.push(Standing { provider, place, key: state, written, reachability: None, check });
        }
        if !is_offline {
            reach_all(self.prober(), &mut standings).await;
        }
        standings
    }

    /// The first provider by priority that is usable: its key can be read, is not blank, and not known to be rejected or
    /// exhausted; and its endpoint can be reached. `is_strict`: the very first, or none.
    ///
    /// Some endpoints are asked at once, so that one that is silent costs its second but once.
    ///
    /// # Errors
    ///
    /// Tells what is wrong with each.
    pub async fn pick(&self, manifest: &Manifest, is_strict: bool, now: SystemTime) -> Result<Pick, Failure> {
        let considered = if is_strict { 1 } else { usize::MAX };
        let providers = manifest.needed_providers()?;
        let providers = &providers[..providers.len().min(considered)];
        let (checks, mut passed_over) = (self.checks(), PassedOver::default());
        let keys = Keys::of(self, providers);
        let keys = stream::unfold(keys, |mut keys| async move { Some((keys.next().await?, keys)) });
        let looks = keys.map(|(provider, key)| {
            let is_usable = key.is_usable(provider, &checks, now);
            self.look_at(provider, key, is_usable)
        });
        let (mut looks, mut missing) = (pin!(looks.buffered(ENDPOINTS)), Vec::new());
        while let Some((provider, key, is_usable)) = looks.next().await {
            let Err(reason) = is_usable else {
                return Ok(Pick { provider: provider.clone(), place: key.place, passed_over });
            };
            passed_over.0.push((provider.name.clone(), reason));
            missing.extend(Some(provider).filter(|_| key.state == KeyState::Missing));
        }
        let failure = none_usable(is_strict, &passed_over);
        Err(match self.hint_for(&missing).await {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }

    /// Whether a provider is usable, or why not; of its key that is known.
    async fn look_at<'p>(
        &self,
        provider: &'p Provider,
        key: Key,
        is_usable: Result<(), String>,
    ) -> (&'p Provider, Key, Result<(), String>) {
        let is_usable = match is_usable {
            Ok(()) => self.reaches(provider).await,
            Err(reason) => Err(self.explained(provider, &key.state, reason).await),
        };
        (provider, key, is_usable)
    }

    /// Whether a provider's endpoint can be reached, if it has one, or why not.
    async fn reaches(&self, provider: &Provider) -> Result<(), String> {
        match &provider.endpoint {
            None => Ok(()),
            Some(endpoint) => match self.prober().reachable(endpoint).await {
                Reachability::Reachable => Ok(()),
                Reachability::Unreachable(reason) => Err(format!("its endpoint cannot be reached: {reason}")),
            },
        }
    }

    /// Looks whether each provider's key is there, its endpoint can be reached, and the provider accepts the key; the
    /// verdicts are remembered. In the order given; several are asked at once. `is_offline`: nobody is asked.
    ///
    /// # Errors
    ///
    /// Each for itself: its store cannot be asked, or the verdict not be written down.
    pub async fn test(
        &self,
        providers: &[&Provider],
        is_offline: bool,
        now: SystemTime,
    ) -> Vec<Result<Trial, Failure>> {
        let keys = self.keys(providers).await;
        let trials =
            providers.iter().zip(&keys).map(|(provider, key)| self.try_out(provider, key, is_offline));
        let mut trials: Vec<_> = stream::iter(trials).buffered(TOGETHER).collect().await;
        let verdict = |trial: &Result<Trial, Failure>| trial.as_ref().ok()?.verdict.clone();
        let said = providers.iter().zip(&keys).zip(&trials);
        let said = said.filter_map(|((provider, key), trial)| {
            let verdict = verdict(trial)?;
            Some((*provider, key.secret.as_ref(), verdict))
        });
        if let Err(failure) = self.checks().note_all(said.collect(), now) {
            let lost = trials.iter_mut().filter(|trial| verdict(trial).is_some());
            lost.for_each(|trial| *trial = Err(failure.clone()));
        }
        trials
    }

    async fn try_out(&self, provider: &Provider, key: &Key, is_offline: bool) -> Result<Trial, Failure> {
        if let Some(failure) = key.state.failure() {
            return Err(failure.clone());
        }
        let endpoint_reachable = match &provider.endpoint {
            Some(endpoint) if !is_offline => Some(self.prober().reachable(endpoint).await.is_reachable()),
            _ => None,
        };
        let has_secret = key.state.is_there();
        let is_worth_asking = has_secret != Some(false) && endpoint_reachable != Some(false) && !is_offline;
        let verdict = match is_worth_asking {
            true => Some(self.prober().check(provider, key.secret.as_ref()).await),
            false => None,
        };
        let faults = faults(provider, has_secret, endpoint_reachable, verdict.as_ref());
        let (provider, key) = (provider.name.clone(), key.state.clone());
        Ok(Trial { provider, key, endpoint_reachable, verdict, faults })
    }

    /// Where a provider's key is; none if it needs none.
    pub async fn place(&self, provider: &Provider) -> Option<Reference> {
        match &provider.pointer {
            Some(pointer) => Some(self.stores().reference(pointer).await),
            None => None,
        }
    }
}

fn faults(
    provider: &Provider,
    has_secret: Option<bool>,
    endpoint_reachable: Option<bool>,
    verdict: Option<&Verdict>,
) -> Vec<Fault> {
    let of_verdict = match verdict {
        Some(Verdict::Rejected) => Some(Fault::Rejected),
        Some(Verdict::Exhausted) => Some(Fault::Exhausted),
        // Of a provider that we do not know, nothing can be told.
        Some(Verdict::Unknown(_)) => ProviderKind::of(provider).map(|_| Fault::NoVerdict),
        Some(Verdict::Accepted | Verdict::Restricted) | None => None,
    };
    let missing = (has_secret == Some(false)).then_some(Fault::MissingSecret);
    let unreachable = (endpoint_reachable == Some(false)).then_some(Fault::Unreachable);
    [missing, unreachable, of_verdict].into_iter().flatten().collect()
}

fn none_usable(is_strict: bool, passed_over: &PassedOver) -> Failure {
    let told = passed_over.told("\n  ", "");
    let what = if is_strict { "the first provider is not usable" } else { "no provider is usable" };
    Failure::new(Kind::NotFound, format!("{what}{told}"))
        .hint("see `leasehold providers`, and set a key with `leasehold set-key NAME`")
}

async fn reach_all(prober: Prober, standings: &mut [Standing]) {
    let asked = standings.iter().enumerate().filter_map(|(at, standing)| {
        let endpoint = standing.provider.endpoint.clone()?;
        Some(async move { (at, prober.reachable(&endpoint).await) })
    });
    let asked: Vec<_> = stream::iter(asked).buffer_unordered(TOGETHER).collect().await;
    for (at, reachability) in asked {
        standings[at].reachability = Some(reachability);
    }
}

/// When the secrets in the stores were written, each store asked once a service: a sealed file takes its time to be opened.
#[derive(Default)]
struct Inventory(HashMap<Shelf, Written>);

/// A service in a store; none of the workstation's stores is the server.
type Shelf = (Option<StoreKind>, Box<str>);

/// When the secret of each name was written, where that is known.
type Written = HashMap<Box<str>, Option<SystemTime>>;

impl Inventory {
    /// When the secret at a place was written, where that is known.
    async fn written(&mut self, workstation: &Workstation<'_>, place: &Reference) -> Option<SystemTime> {
        let (store, entry) = match workstation.spot(place, Purpose::Read).await.ok()? {
            Spot::Store(store, entry) => (store, entry),
            Spot::File(path) => return path.metadata().and_then(|file| file.modified()).ok(),
            Spot::Variable(_) => return None,
        };
        let written = match self.0.entry((store_of(place), entry.service.clone())) {
            Occupied(known) => known.into_mut(),
            Vacant(unknown) => unknown.insert(listed(&*store, &entry.service).await),
        };
        *written.get(&entry.name)?
    }
}

/// What a store knows of a service; nothing if it does not tell.
async fn listed(store: &dyn Store, service: &str) -> Written {
    let listed = store.list(service).await.unwrap_or_default();
    listed.into_iter().map(|listed| (listed.entry.name, listed.written)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_five_are_told() {
        let check = |count: usize, expect: &str| {
            let reasons = (0..count).map(|nth| (format!("p{nth}"), "why".to_owned()));
            assert_eq!(PassedOver(reasons.collect()).told("; ", "not "), expect);
        };
        check(0, "");
        check(2, "; not p0: why; not p1: why");
        check(5, "; not p0: why; not p1: why; not p2: why; not p3: why; not p4: why");
        check(7, "; not p0: why; not p1: why; not p2: why; not p3: why; not p4: why; and 2 more");
    }
}

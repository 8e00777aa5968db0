//! What is known of each provider, and which one is taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::time::SystemTime;

use futures_util::{StreamExt, stream};
use leasehold_core::name::{Reference, StoreKind};
use leasehold_core::{Failure, Kind, Secret};

use super::{Purpose, Spot, Workstation, store_of};
use crate::checks::{Check, Checks};
use crate::manifest::{Manifest, Provider};
use crate::probe::{Prober, ProviderKind, Reachability, Verdict};
use crate::store::{Store, TOGETHER, found};

/// What is known of a provider. Nothing of it is a secret.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The provider.
    pub provider: Provider,
    /// Where its key is, if it has one.
    pub place: Option<Reference>,
    /// Whether its key is there; none if it needs none. A store that cannot be asked answers with its failure.
    pub has_secret: Option<Result<bool, Failure>>,
    /// When its key was written, where the store knows.
    pub written: Option<SystemTime>,
    /// Whether its endpoint can be reached; none if it has none, or was not asked.
    pub reachability: Option<Reachability>,
    /// What was last said of its key.
    pub check: Option<Check>,
}

/// What a test of a provider found.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The provider's name.
    pub provider: String,
    /// Whether its key is there; none if it needs none.
    pub has_secret: Option<bool>,
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
    /// There is no key.
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
    /// The names of those that come before it, each with what is wrong with it.
    pub passed_over: Vec<(String, String)>,
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
        let mut inventory = Inventory::default();
        let checks = self.checks();
        let mut standings = Vec::new();
        for provider in manifest.providers() {
            let place = self.place(provider).await;
            let found = match &place {
                Some(place) => Some(inventory.find(self, place).await),
                None => None,
            };
            let written = found.as_ref().and_then(|found| found.as_ref().ok()?.as_ref()?.written);
            let has_secret = found.map(|found| found.map(|found| found.is_some()));
            let check = checks.of(provider).cloned();
            let provider = provider.clone();
            standings.push(Standing { provider, place, has_secret, written, reachability: None, check });
        }
        if !is_offline {
            reach_all(self.prober(), &mut standings).await;
        }
        standings
    }

    /// The first provider by priority that is usable: its key is there and not known to be rejected or exhausted, and
    /// its endpoint can be reached. `is_strict`: the very first, or none.
    ///
    /// # Errors
    ///
    /// Tells what is wrong with each.
    pub async fn pick(&self, manifest: &Manifest, is_strict: bool, now: SystemTime) -> Result<Pick, Failure> {
        let (checks, mut passed_over) = (self.checks(), Vec::new());
        let considered = if is_strict { 1 } else { usize::MAX };
        for provider in manifest.providers().iter().take(considered) {
            let place = self.place(provider).await;
            match self.is_usable(provider, place.as_ref(), &checks, now).await {
                Ok(()) => return Ok(Pick { provider: provider.clone(), place, passed_over }),
                Err(reason) => passed_over.push((provider.name.clone(), reason)),
            }
        }
        let told: String = passed_over.iter().map(|(name, reason)| format!("\n  {name}: {reason}")).collect();
        let what = if is_strict { "the first provider is not usable" } else { "no provider is usable" };
        Err(Failure::new(Kind::NotFound, format!("{what}{told}"))
            .hint("see `leasehold providers`, and set a key with `leasehold set-key NAME`"))
    }

    async fn is_usable(
        &self,
        provider: &Provider,
        place: Option<&Reference>,
        checks: &Checks,
        now: SystemTime,
    ) -> Result<(), String> {
        if let Some(place) = place {
            match self.contains(place).await {
                Ok(true) => {}
                Ok(false) => return Err("its key is not set".into()),
                Err(failure) => return Err(failure.message().to_owned()),
            }
            if checks.of(provider).is_some() {
                let found = Inventory::default().find(self, place).await.ok().flatten();
                checks.is_usable(provider, found.and_then(|found| found.written), now)?;
            }
        }
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
            providers.iter().zip(keys).map(|(provider, key)| self.try_out(provider, key, is_offline));
        let mut trials: Vec<_> = stream::iter(trials).buffered(TOGETHER).collect().await;
        let verdict = |trial: &Result<Trial, Failure>| trial.as_ref().ok()?.verdict.clone();
        let verdicts = providers.iter().zip(&trials);
        let verdicts = verdicts.filter_map(|(provider, trial)| Some((*provider, verdict(trial)?))).collect();
        if let Err(failure) = self.checks().note_all(verdicts, now) {
            let lost = trials.iter_mut().filter(|trial| verdict(trial).is_some());
            lost.for_each(|trial| *trial = Err(failure.clone()));
        }
        trials
    }

    /// The key of each of these providers; none if it needs none.
    async fn keys(&self, providers: &[&Provider]) -> Vec<Option<Result<Secret, Failure>>> {
        let mut places = Vec::new();
        for provider in providers {
            places.extend(self.place(provider).await);
        }
        let mut keys = self.find_all(&places).await.into_iter();
        providers.iter().map(|provider| provider.pointer.as_ref().and_then(|_| keys.next())).collect()
    }

    async fn try_out(
        &self,
        provider: &Provider,
        key: Option<Result<Secret, Failure>>,
        is_offline: bool,
    ) -> Result<Trial, Failure> {
        let key = key.map(found).transpose()?;
        let endpoint_reachable = match &provider.endpoint {
            Some(endpoint) if !is_offline => Some(self.prober().reachable(endpoint).await.is_reachable()),
            _ => None,
        };
        let has_secret = key.as_ref().map(Option::is_some);
        let is_worth_asking = has_secret != Some(false) && endpoint_reachable != Some(false) && !is_offline;
        let verdict = match is_worth_asking {
            true => Some(self.prober().check(provider, key.flatten().as_ref()).await),
            false => None,
        };
        let faults = faults(provider, has_secret, endpoint_reachable, verdict.as_ref());
        Ok(Trial { provider: provider.name.clone(), has_secret, endpoint_reachable, verdict, faults })
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

/// What is in the stores, each asked once a service: a sealed file takes its time to be opened.
#[derive(Default)]
struct Inventory(HashMap<Shelf, Result<Written, Failure>>);

/// A service in a store; none of the workstation's stores is the server.
type Shelf = (Option<StoreKind>, Box<str>);

/// The names that are there, and when the secret of each was written.
type Written = HashMap<Box<str>, Option<SystemTime>>;

/// A secret that is there.
struct Found {
    /// When it was written, where that is known.
    written: Option<SystemTime>,
}

impl Inventory {
    /// What is at a place; none if nothing is.
    async fn find(
        &mut self,
        workstation: &Workstation<'_>,
        place: &Reference,
    ) -> Result<Option<Found>, Failure> {
        let (store, entry) = match workstation.spot(place, Purpose::Read).await? {
            Spot::Store(store, entry) => (store, entry),
            Spot::File(path) => {
                let written = path.metadata().and_then(|file| file.modified()).ok();
                return Ok(workstation.contains(place).await?.then_some(Found { written }));
            }
            Spot::Variable(_) => {
                return Ok(workstation.contains(place).await?.then_some(Found { written: None }));
            }
        };
        let written = match self.0.entry((store_of(place), entry.service.clone())) {
            Occupied(known) => known.into_mut(),
            Vacant(unknown) => unknown.insert(listed(&*store, &entry.service).await),
        };
        let written = written.as_ref().map_err(Failure::clone)?;
        Ok(written.get(&entry.name).map(|written| Found { written: *written }))
    }
}

/// What a store has of a service; nothing where it does not know the service.
async fn listed(store: &dyn Store, service: &str) -> Result<Written, Failure> {
    let listed = found(store.list(service).await)?.unwrap_or_default();
    Ok(listed.into_iter().map(|listed| (listed.entry.name, listed.written)).collect())
}

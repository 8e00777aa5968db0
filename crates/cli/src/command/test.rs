//! `leasehold test`: whether providers can be used, asked of the providers themselves.

use leasehold::core::{Failure, Kind};
use leasehold::manifest::Provider;
use leasehold::probe::Verdict;
use leasehold::workstation::{Elsewhere, Fault, KeyState, Trial, Workstation};
use serde_json::{Value, json};

use super::pretty;
use super::workstation::{Desk, how_to_have, now, tell_failures};
use crate::arguments::workstation::TestArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

const HEAD: [&str; 5] = ["NAME", "RESULT", "SECRET", "ENDPOINT", "VERDICT"];

/// Tests the providers that are named, or all. One whose store fails does not hide the others.
pub(crate) fn test(arguments: &TestArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    let desk = Desk::open(&arguments.common, environment)?;
    let providers = named(&desk, &arguments.providers)?;
    desk.attend(providers.iter().copied(), ui, async |workstation| {
        let trials = workstation.test(&providers, arguments.offline, now()).await;
        let results: Vec<_> =
            providers.iter().zip(&trials).map(|(provider, trial)| Tested { provider, trial }).collect();
        ui::answer(&match (arguments.common.json, &results[..], arguments.providers.len()) {
            (false, ..) => ui::table(&HEAD, &results.iter().map(Tested::row).collect::<Vec<_>>()),
            (true, [one], 1) => pretty(&one.object()),
            (true, ..) => pretty(&json!({"results": results.iter().map(Tested::object).collect::<Vec<_>>()})),
        });
        tell(ui, &results, workstation).await;
        Ok(worst(&results))
    })
}

fn named<'d>(desk: &'d Desk, names: &[String]) -> Result<Vec<&'d Provider>, Failure> {
    match names {
        [] => Ok(desk.manifest.providers().iter().collect()),
        names => names.iter().map(|name| desk.manifest.provider(name)).collect(),
    }
}

/// What came of the test of a provider.
struct Tested<'a> {
    provider: &'a Provider,
    trial: &'a Result<Trial, Failure>,
}

impl Tested<'_> {
    fn faults(&self) -> &[Fault] {
        self.trial.as_ref().map(|trial| &trial.faults[..]).unwrap_or_default()
    }

    /// What is wrong, by what a caller has to do about it.
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        let of_store = self.trial.as_ref().err().map(Failure::kind);
        self.faults().iter().map(|fault| fault.kind()).chain(of_store)
    }

    fn failures(&self) -> Vec<&str> {
        let of_store = self.trial.as_ref().err().map(Failure::message);
        self.faults().iter().map(|fault| fault.words()).chain(of_store).collect()
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.trial.as_ref().ok()?.verdict.as_ref()
    }

    fn row(&self) -> Vec<String> {
        let told = |is_reachable: Option<bool>| match is_reachable {
            Some(true) => "reachable",
            Some(false) => "unreachable",
            None => "-",
        };
        let (secret, endpoint) = match self.trial {
            Ok(trial) => (trial.key.word(), told(trial.endpoint_reachable)),
            Err(failure) => (KeyState::Unreadable(failure.clone()).word(), "-"),
        };
        let result = match (self.trial, self.failures()) {
            (Err(_), _) => "store failed".to_owned(),
            (Ok(_), failures) if failures.is_empty() => "ok".to_owned(),
            (Ok(_), failures) => failures.join(", "),
        };
        let verdict = self.verdict().map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![self.provider.name.clone(), result, secret.into(), endpoint.into(), verdict]
    }

    /// The object of the local API, with what is known besides.
    fn object(&self) -> Value {
        let trial = self.trial.as_ref().ok();
        let failures = self.failures();
        json!({
            "provider": self.provider.name,
            "ok": failures.is_empty(),
            "has_secret": trial.and_then(|trial| trial.key.is_there()),
            "endpoint_reachable": trial.and_then(|trial| trial.endpoint_reachable),
            "failures": failures,
            "verdict": self.verdict().map(Verdict::token),
            "reason": match self.verdict() {
                Some(Verdict::Unknown(reason)) => Some(reason),
                _ => None,
            },
            "store_failure": self.trial.as_ref().err().map(|failure| failure.kind().token()),
        })
    }
}

/// Failures of stores, and what can be done where a key is missing.
async fn tell(ui: Ui, results: &[Tested<'_>], workstation: &Workstation<'_>) {
    tell_failures(ui, results.iter().map(|tested| (tested.provider, tested.trial.as_ref().err())));
    let is_missing = |tested: &&Tested<'_>| tested.faults().contains(&Fault::MissingSecret);
    let missing: Vec<_> = results.iter().filter(is_missing).map(|tested| tested.provider).collect();
    let elsewhere = if missing.is_empty() { Elsewhere::default() } else { workstation.elsewhere().await };
    for provider in missing {
        ui.note(&format!("{} has no key; {}", provider.name, how_to_have(provider, &elsewhere)));
    }
}

/// The exit code of what is worst: the lowest, since the higher ones may pass by themselves.
fn worst(results: &[Tested<'_>]) -> Exit {
    let exits = results.iter().flat_map(Tested::kinds).map(Exit::from);
    exits.min_by_key(|exit| exit.0).unwrap_or(Exit::OK)
}

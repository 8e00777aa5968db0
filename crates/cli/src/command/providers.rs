//! `leasehold providers`: what is known of each provider.

use leasehold::clock;
use leasehold::core::Failure;
use leasehold::manifest::LAST;
use leasehold::probe::Reachability;
use leasehold::workstation::Standing;
use serde_json::{Value, json};

use super::pretty;
use super::workstation::{Desk, age};
use crate::arguments::workstation::ProvidersArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

const HEAD: [&str; 9] =
    ["PRIORITY", "NAME", "TYPE", "VARIABLE", "KEY AT", "SECRET", "AGE", "ENDPOINT", "LAST CHECK"];

/// Lists the providers. A store that cannot be asked is told in its row, and fails nothing.
pub(crate) fn providers(
    arguments: &ProvidersArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let desk = Desk::open(&arguments.common, environment)?;
    desk.attend(desk.manifest.providers(), ui, async |workstation| {
        let standings = workstation.standings(&desk.manifest, arguments.offline).await;
        ui::answer(&match arguments.common.json {
            true => pretty(&json!({"providers": standings.iter().map(object).collect::<Vec<_>>()})),
            false => ui::table(&HEAD, &standings.iter().map(row).collect::<Vec<_>>()),
        });
        tell_failures(ui, &standings);
        Ok(Exit::OK)
    })
}

/// Each failure of a store is told once.
fn tell_failures(ui: Ui, standings: &[Standing]) {
    let mut failures: Vec<_> = standings.iter().filter_map(failure).map(ToString::to_string).collect();
    failures.sort();
    failures.dedup();
    failures.iter().for_each(|failure| ui.warn(failure));
}

fn failure(standing: &Standing) -> Option<&Failure> {
    standing.has_secret.as_ref().and_then(|found| found.as_ref().err())
}

fn row(standing: &Standing) -> Vec<String> {
    let provider = &standing.provider;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let priority = if provider.priority == LAST { "-".into() } else { provider.priority.to_string() };
    let endpoint = match (&standing.reachability, &provider.endpoint) {
        (_, None) => "-".to_owned(),
        (None, Some(endpoint)) => endpoint.clone(),
        (Some(Reachability::Reachable), Some(endpoint)) => format!("{endpoint} (reachable)"),
        (Some(Reachability::Unreachable(_)), Some(endpoint)) => format!("{endpoint} (unreachable)"),
    };
    let secret = match &standing.has_secret {
        None => "not needed",
        Some(Ok(true)) => "present",
        Some(Ok(false)) => "missing",
        Some(Err(_)) => "unknown",
    };
    let place = standing.place.as_ref().map_or_else(|| "-".into(), ToString::to_string);
    let check = standing
        .check
        .as_ref()
        .map_or_else(|| "-".to_owned(), |check| format!("{}, {} ago", check.verdict.token(), age(check.at)));
    let age = standing.written.map_or_else(|| "-".into(), age);
    let sort = if provider.sort.is_empty() { "-".into() } else { provider.sort.clone() };
    let env_var = text(&provider.env_var);
    vec![priority, provider.name.clone(), sort, env_var, place, secret.into(), age, endpoint, check]
}

/// The object of the local API, with what is known besides.
fn object(standing: &Standing) -> Value {
    let provider = &standing.provider;
    let is_there = |found: &Result<bool, Failure>| found.as_ref().ok().copied();
    json!({
        "name": provider.name,
        "type": provider.sort,
        "env_var": provider.env_var,
        "vault_key": provider.pointer.as_ref().map(ToString::to_string),
        "endpoint": provider.endpoint,
        "priority": provider.priority,
        "has_secret": standing.has_secret.as_ref().and_then(is_there),
        "endpoint_reachable": standing.reachability.as_ref().map(Reachability::is_reachable),
        "place": standing.place.as_ref().map(ToString::to_string),
        "store_failure": failure(standing).map(|failure| failure.kind().token()),
        "secret_written": standing.written.map(|at| clock::wall_text(clock::seconds_of(at))),
        "last_check": standing.check.as_ref().map(|check| json!({
            "verdict": check.verdict.token(),
            "at": clock::wall_text(clock::seconds_of(check.at)),
        })),
    })
}

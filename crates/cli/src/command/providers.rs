//! `leasehold providers`: what is known of each provider.

use leasehold::clock;
use leasehold::core::Failure;
use leasehold::manifest::LAST;
use leasehold::probe::Reachability;
use leasehold::workstation::Standing;
use serde_json::{Value, json};

use super::pretty;
use super::workstation::{Desk, age, tell_failures};
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
        let failures = standings.iter().map(|standing| (&standing.provider, standing.key.failure()));
        tell_failures(ui, failures);
        Ok(Exit::OK)
    })
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
    let place = standing.place.as_ref().map_or_else(|| "-".into(), ToString::to_string);
    let check = standing
        .check
        .as_ref()
        .map_or_else(|| "-".to_owned(), |check| format!("{}, {} ago", check.verdict.token(), age(check.at)));
    let age = standing.written.map_or_else(|| "-".into(), age);
    let sort = if provider.sort.is_empty() { "-".into() } else { provider.sort.clone() };
    let (env_var, secret) = (text(&provider.env_var), standing.key.word().to_owned());
    vec![priority, provider.name.clone(), sort, env_var, place, secret, age, endpoint, check]
}

/// The object of the local API, with what is known besides.
fn object(standing: &Standing) -> Value {
    let provider = &standing.provider;
    json!({
        "name": provider.name,
        "type": provider.sort,
        "env_var": provider.env_var,
        "vault_key": provider.pointer.as_ref().map(ToString::to_string),
        "endpoint": provider.endpoint,
        "priority": provider.priority,
        "has_secret": standing.key.is_there(),
        "endpoint_reachable": standing.reachability.as_ref().map(Reachability::is_reachable),
        "secret": standing.key.word(),
        "place": standing.place.as_ref().map(ToString::to_string),
        "store_failure": standing.key.failure().map(|failure| failure.kind().token()),
        "secret_written": standing.written.map(|at| clock::wall_text(clock::seconds_of(at))),
        "last_check": standing.check.as_ref().map(|check| json!({
            "verdict": check.verdict.token(),
            "at": clock::wall_text(clock::seconds_of(check.at)),
        })),
    })
}

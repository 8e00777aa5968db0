//! `leasehold alert`: tries those who are told of alerts.

use std::time::Duration;

use leasehold::core::{Failure, Kind};
use leasehold::workstation::Workstation;
use serde_json::{Value, json};

use super::workstation::{host_name, workstation};
use super::{block_on, pretty, settings_at};
use crate::arguments::alert::{AlertArguments, AlertTestArguments, AlertVerb};
use crate::config::alerts::SinkSettings;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// How long the places of a sink's secrets may take for their answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Does what the verb says.
pub(crate) fn alert(arguments: &AlertArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    match &arguments.verb {
        AlertVerb::Test(arguments) => test(arguments, environment, ui),
    }
}

/// Tests one sink after the other. One that fails does not hide the others.
fn test(arguments: &AlertTestArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    let settings = settings_at(&arguments.connection, &arguments.workstation, environment)?;
    let sinks = settings.sinks(arguments.sink.as_deref())?;
    let workstation = workstation(&settings, environment)?;
    let results = block_on(async {
        let mut results = Vec::new();
        for sink in &sinks {
            results.push(Tested { sink, result: try_out(sink, &workstation).await });
        }
        Ok(results)
    })?;
    ui::answer(&match arguments.json {
        true => pretty(&json!({ "results": results.iter().map(Tested::object).collect::<Vec<_>>() })),
        false => ui::table(&HEAD, &results.iter().map(Tested::row).collect::<Vec<_>>()),
    });
    let hints = results.iter().filter_map(|tested| Some((tested, tested.failure()?.advice()?)));
    hints.for_each(|(tested, hint)| ui.note(&format!("{}: {hint}", tested.sink.name)));
    let is_shown = tracing::enabled!(target: "alerts", tracing::Level::INFO);
    let unseen = sinks.iter().filter(|sink| !is_shown && !sink.is_seen_in_warnings());
    let logs = unseen.map(|sink| &sink.name);
    logs.for_each(|name| ui.note(&format!("{name}: a test is logged as information, which -v shows")));
    let exits = results.iter().filter_map(Tested::failure).map(|failure| Exit::from(failure.kind()));
    Ok(exits.min_by_key(|exit| exit.0).unwrap_or(Exit::OK))
}

async fn try_out(sink: &SinkSettings, workstation: &Workstation<'_>) -> Result<(), Failure> {
    let late = |_| Failure::new(Kind::Unreachable, "its secrets could not be read in time");
    tokio::time::timeout(LIMIT, sink.open(workstation)).await.map_err(late)??.test(&*host_name()).await
}

const HEAD: [&str; 4] = ["NAME", "TO", "RESULT", "REASON"];

/// What came of a test.
struct Tested<'a> {
    sink: &'a SinkSettings,
    result: Result<(), Failure>,
}

impl Tested<'_> {
    fn failure(&self) -> Option<&Failure> {
        self.result.as_ref().err()
    }

    fn row(&self) -> Vec<String> {
        let result = if self.result.is_ok() { "ok" } else { "failed" };
        let reason = self.failure().map(ToString::to_string).unwrap_or_default();
        vec![self.sink.name.clone(), self.sink.way().into(), result.into(), reason]
    }

    fn object(&self) -> Value {
        let failure = self.failure();
        json!({
            "sink": self.sink.name,
            "to": self.sink.way(),
            "ok": failure.is_none(),
            "kind": failure.map(|failure| failure.kind().token()),
            "error": failure.map(Failure::message),
            "hint": failure.and_then(Failure::advice),
        })
    }
}

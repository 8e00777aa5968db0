//! `leasehold journal`: what dead runs left behind.

use leasehold::clock::wall_text;
use leasehold::core::Failure;
use leasehold::journal::{Leftover, What, leftovers};
use serde_json::{Value, json};

use super::{CLOSING, in_session, pretty, settings};
use crate::arguments::JournalArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// Shows what is left, and with `--revoke` gives it back first.
pub(crate) fn journal(
    arguments: &JournalArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let settings = settings(&arguments.connection, environment)?;
    if arguments.revoke {
        // A session gives back what was left as soon as it is logged in.
        in_session(&settings, ui, async |session| {
            session.log_in().await?;
            session.recovered(CLOSING).await;
            Ok(Exit::OK)
        })?;
    }
    let left = leftovers(&settings.state_dir.join("journal"));
    ui::answer(&if arguments.json { as_json(&left) } else { as_table(&left) });
    Ok(Exit::OK)
}

fn kind(what: &What) -> (&'static str, &str) {
    match what {
        What::Token(accessor) => ("token", accessor),
        What::Lease(id) => ("lease", id),
    }
}

fn as_json(left: &[Leftover]) -> String {
    let entries = left.iter().flat_map(|leftover| {
        leftover.held.iter().map(|entry| {
            let (kind, name) = kind(&entry.what);
            json!({
                "kind": kind, "name": name, "ends": entry.ends.map(wall_text),
                "address": leftover.header.address, "namespace": leftover.header.namespace,
                "pid": leftover.header.pid, "started": wall_text(leftover.header.started),
            })
        })
    });
    pretty(&json!({"left": entries.collect::<Vec<Value>>()}))
}

fn as_table(left: &[Leftover]) -> String {
    let rows: Vec<_> = left
        .iter()
        .flat_map(|leftover| {
            leftover.held.iter().map(|entry| {
                let (kind, name) = kind(&entry.what);
                let ends = entry.ends.map_or_else(|| "never".into(), wall_text);
                vec![
                    kind.to_owned(),
                    name.to_owned(),
                    ends,
                    leftover.header.address.clone(),
                    leftover.header.pid.to_string(),
                ]
            })
        })
        .collect();
    match rows.is_empty() {
        true => "nothing is left".into(),
        false => ui::table(&["kind", "accessor or lease", "ends", "server", "process"], &rows),
    }
}

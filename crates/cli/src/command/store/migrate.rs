//! `leasehold store migrate`: all keys from one store to another.

use leasehold::core::{Failure, Kind};
use leasehold::manifest::{Manifest, Pointer};
use leasehold::store::migrate::{Migrated, Migration, Moved, Outcome};
use leasehold::workstation::{Choice, Purpose, Workstation};
use serde_json::{Value, json};

use super::{attend, manifest_if_any, pretty, settings_at};
use crate::arguments::store::StoreMigrateArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

const HEAD: [&str; 4] = ["NAME", "FROM", "TO", "WHAT"];

/// Moves the keys, or tells what would be done. What was done is told even where the rest failed.
pub(super) fn migrate(
    arguments: &StoreMigrateArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let common = &arguments.common;
    if arguments.from == arguments.to {
        return Err(Failure::new(Kind::Invalid, format!("both stores are {}", arguments.from)));
    }
    let settings = settings_at(&common.connection, &common.workstation, environment)?;
    let manifest = manifest_if_any(&settings)?;
    let needs_server =
        [&arguments.from, &arguments.to].iter().any(|store| matches!(store, Choice::Server(_)));
    attend(&settings, environment, needs_server, ui, async |workstation| {
        if let Some(caveat) = arguments.to.caveat() {
            ui.warn(caveat);
        }
        let migrated = carry_out(workstation, arguments).await?;
        ui::answer(&match common.json {
            true => pretty(&object(arguments, &migrated)),
            false => {
                ui::table(&HEAD, &migrated.rows.iter().map(|row| cells(arguments, row)).collect::<Vec<_>>())
            }
        });
        if !arguments.dry_run && migrated.failure.is_none() {
            workstation.stores().note_keys_in(&arguments.to).await;
            tell_pointers(workstation, arguments, manifest.as_ref(), ui).await;
        }
        end(arguments, migrated)
    })
}

async fn carry_out(
    workstation: &Workstation<'_>,
    arguments: &StoreMigrateArguments,
) -> Result<Migrated, Failure> {
    let purpose = if arguments.dry_run { Purpose::Read } else { Purpose::Write };
    let (from, service) = workstation.shelf(&arguments.from, Purpose::Read).await?;
    let (to, new_service) = workstation.shelf(&arguments.to, purpose).await?;
    let migration = Migration {
        from: &*from,
        service: &service,
        to: &*to,
        new_service: &new_service,
        overwrites: arguments.overwrite,
        deletes_source: arguments.delete_source,
    };
    match arguments.dry_run {
        true => Ok(Migrated { rows: migration.plan().await?, failure: None }),
        false => Ok(migration.carry_out().await),
    }
}

/// A failure, if there was one, or if something was left out.
fn end(arguments: &StoreMigrateArguments, migrated: Migrated) -> Result<Exit, Failure> {
    let differing = migrated.rows.iter().filter(|row| row.outcome == Outcome::Differs).count();
    match migrated.failure {
        Some(failure) => Err(failure),
        None if differing > 0 && !arguments.dry_run => {
            let message =
                format!("{} has other keys under {differing} of the names, which stay", arguments.to);
            Err(Failure::new(Kind::Invalid, message).hint("--overwrite writes over them"))
        }
        None => Ok(Exit::OK),
    }
}

/// Where plain pointers go now, and which full ones still lead to the old place.
async fn tell_pointers(
    workstation: &Workstation<'_>,
    arguments: &StoreMigrateArguments,
    manifest: Option<&Manifest>,
    ui: Ui,
) {
    let chosen = &workstation.stores().chosen().await.choice;
    if *chosen != arguments.to {
        let to = arguments.to.setting();
        // Without the old keys, plain pointers lead to nothing until then.
        let tell = if arguments.delete_source { Ui::warn } else { Ui::note };
        tell(
            ui,
            &format!(
                "plain pointers still mean {chosen}; to change that, set LEASEHOLD_STORE={to}, or store = \"{to}\" under [workstation] in the user's configuration"
            ),
        );
    }
    for provider in manifest.map(Manifest::providers).unwrap_or_default() {
        let Some(Pointer::Full(reference)) = &provider.pointer else { continue };
        let name = reference.to_string();
        if name.starts_with(&arguments.from.reference("").to_string()) {
            ui.warn(&format!("{} still points to {name}", provider.name));
        }
    }
}

fn what(arguments: &StoreMigrateArguments, row: &Moved) -> &'static str {
    match (row.outcome, arguments.dry_run, row.is_deleted) {
        (Outcome::Missing, true, _) => "would copy",
        (Outcome::Missing, false, _) => "left",
        (Outcome::Copied, _, true) => "copied, deleted",
        (Outcome::Same, _, true) => "same, deleted",
        (outcome, ..) => outcome.token(),
    }
}

fn cells(arguments: &StoreMigrateArguments, row: &Moved) -> Vec<String> {
    let name = row.entry.name.to_string();
    let from = arguments.from.reference(&row.entry.name).to_string();
    vec![name, from, arguments.to.reference(&row.place.name).to_string(), what(arguments, row).into()]
}

fn object(arguments: &StoreMigrateArguments, migrated: &Migrated) -> Value {
    let row = |row: &Moved| {
        json!({
            "name": row.entry.name,
            "from": arguments.from.reference(&row.entry.name).to_string(),
            "to": arguments.to.reference(&row.place.name).to_string(),
            "outcome": row.outcome.token(),
            "deleted": row.is_deleted,
        })
    };
    json!({
        "dry_run": arguments.dry_run,
        "entries": migrated.rows.iter().map(row).collect::<Vec<_>>(),
        "failure": migrated.failure.as_ref().map(|failure| failure.kind().token()),
    })
}

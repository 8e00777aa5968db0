//! `leasehold store`: shows, moves, seals anew and deletes what is in the stores.

mod migrate;
mod rekey;

use std::collections::HashMap;
use std::time::SystemTime;

use leasehold::clock;
use leasehold::core::name::{Place, Reference};
use leasehold::core::{Failure, Kind};
use leasehold::manifest::{Manifest, Provider};
use leasehold::workstation::{Choice, Purpose, Workstation};
use serde_json::{Value, json};

use super::workstation::{age, attend, manifest_if_any, tell_deletion};
use super::{pretty, reference, settings_at};
use crate::arguments::store::{StoreArguments, StoreDeleteArguments, StoreListArguments, StoreVerb};
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

const HEAD: [&str; 4] = ["NAME", "AGE", "PROVIDER", "KEY AT"];

/// Does what the verb says.
pub(crate) fn store(arguments: &StoreArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    match &arguments.verb {
        StoreVerb::List(arguments) => list(arguments, environment, ui),
        StoreVerb::Migrate(arguments) => migrate::migrate(arguments, environment, ui),
        StoreVerb::Rekey(arguments) => rekey::rekey(arguments, environment, ui),
        StoreVerb::Delete(arguments) => delete(arguments, environment, ui),
    }
}

/// Lists the entries of a store. A manifest is not needed; without one nobody points anywhere.
fn list(arguments: &StoreListArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    let common = &arguments.common;
    let settings = settings_at(&common.connection, &common.workstation, environment)?;
    let manifest = manifest_if_any(&settings)?;
    attend(&settings, environment, settings.workstation.is_on_server(), ui, async |workstation| {
        let chosen = workstation.stores().chosen().await;
        let rows = rows(workstation, &chosen.choice, manifest.as_ref()).await?;
        ui::answer(&match common.json {
            true => pretty(&json!({
                "store": chosen.choice.to_string(),
                "why": chosen.why,
                "entries": rows.iter().map(Row::object).collect::<Vec<_>>(),
            })),
            false => ui::table(&HEAD, &rows.iter().map(Row::cells).collect::<Vec<_>>()),
        });
        if let Some(caveat) = chosen.choice.caveat() {
            ui.note(caveat);
        }
        Ok(Exit::OK)
    })
}

/// Deletes one entry. That there was none is no error.
fn delete(arguments: &StoreDeleteArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    let common = &arguments.common;
    let place = reference(&arguments.reference)?;
    let settings = settings_at(&common.connection, &common.workstation, environment)?;
    let manifest = manifest_if_any(&settings)?;
    let needs_server = matches!(place.place(), Place::Vault(_));
    attend(&settings, environment, needs_server, ui, async |workstation| {
        if workstation.stores().is_seal_key(&place) {
            return Err(Failure::new(
                Kind::Invalid,
                format!("{place} opens the sealed file, and is not deleted"),
            )
            .hint("seal it anew first: leasehold store rekey"));
        }
        let found = match arguments.dry_run {
            true => workstation.contains(&place).await?,
            false => workstation.remove(&place).await?,
        };
        let pointing = pointing(workstation, manifest.as_ref()).await.remove(&place.to_string());
        for provider in pointing.unwrap_or_default() {
            ui.warn(&format!("{} points there, and has no key without it", provider.name));
        }
        tell_deletion(&place, found, arguments.dry_run, common.json, ui);
        Ok(Exit::OK)
    })
}

/// One entry of a store.
struct Row<'m> {
    name: Box<str>,
    place: Reference,
    written: Option<SystemTime>,
    providers: Vec<&'m Provider>,
}

impl Row<'_> {
    fn names(&self) -> Vec<&str> {
        self.providers.iter().map(|provider| provider.name.as_str()).collect()
    }

    fn cells(&self) -> Vec<String> {
        let age = self.written.map_or_else(|| "-".into(), age);
        let providers = if self.providers.is_empty() { "no pointer".into() } else { self.names().join(", ") };
        vec![self.name.to_string(), age, providers, self.place.to_string()]
    }

    fn object(&self) -> Value {
        json!({
            "name": self.name,
            "place": self.place.to_string(),
            "written": self.written.map(|at| clock::wall_text(clock::seconds_of(at))),
            "providers": self.names(),
        })
    }
}

async fn rows<'m>(
    workstation: &Workstation<'_>,
    choice: &Choice,
    manifest: Option<&'m Manifest>,
) -> Result<Vec<Row<'m>>, Failure> {
    let (store, service) = workstation.shelf(choice, Purpose::Read).await?;
    let mut pointing = pointing(workstation, manifest).await;
    let rows = store.list(&service).await?.into_iter().map(|listed| {
        let place = choice.reference(&listed.entry.name);
        let providers = pointing.remove(&place.to_string()).unwrap_or_default();
        Row { name: listed.entry.name, place, written: listed.written, providers }
    });
    Ok(rows.collect())
}

/// The providers whose key is at each place.
async fn pointing<'m>(
    workstation: &Workstation<'_>,
    manifest: Option<&'m Manifest>,
) -> HashMap<String, Vec<&'m Provider>> {
    let mut pointing: HashMap<_, Vec<_>> = HashMap::new();
    for provider in manifest.map(Manifest::providers).unwrap_or_default() {
        let Some(pointer) = &provider.pointer else { continue };
        let place = workstation.stores().reference(pointer).await;
        pointing.entry(place.to_string()).or_default().push(provider);
    }
    pointing
}

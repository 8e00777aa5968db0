//! `leasehold store rekey`: another key or passphrase for the sealed file.

use std::path::{Path, PathBuf};

use leasehold::core::Failure;
use leasehold::identity::Source;
use leasehold::workstation::Seal;
use serde_json::json;

use super::{attend, pretty, settings_at};
use crate::arguments::store::StoreRekeyArguments;
use crate::config::environment::Environment;
use crate::config::workstation::WorkstationSettings;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// Seals the file anew, and tells what opens it from now on.
pub(super) fn rekey(
    arguments: &StoreRekeyArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let common = &arguments.common;
    let settings = settings_at(&common.connection, &common.workstation, environment)?;
    let to = wanted(arguments, &settings.workstation);
    attend(&settings, environment, false, ui, async |workstation| {
        let stores = workstation.stores();
        stores.rekey(&to).await?;
        let path = stores.settings().sealed_file.display().to_string();
        ui::answer(&match common.json {
            true => pretty(&json!({"status": "sealed anew", "sealed_file": path})),
            false => format!("sealed {path} anew"),
        });
        ui.note(&from_now_on(&to));
        if let Some(old) = stores.settings().seal.file().filter(|old| Some(*old) != to.file()) {
            let old = old.display();
            ui.note(&format!(
                "{old} no longer opens it; delete {old} with the old file's copies, if it opens nothing else"
            ));
        }
        Ok(Exit::OK)
    })
}

/// What is to open the file; the arguments name exactly one.
fn wanted(arguments: &StoreRekeyArguments, settings: &WorkstationSettings) -> Seal {
    match (&arguments.to_key, &arguments.to_passphrase_file) {
        (Some(reference), _) => Seal::Key(reference.clone()),
        (None, Some(file)) => Seal::Passphrase(Source::File(absolute(file))),
        (None, None) => settings.drawn_seal(),
    }
}

/// Where settings are read, the working directory is another one.
fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// How the file is opened, in settings.
fn from_now_on(to: &Seal) -> String {
    let set = |variable: &str, name: &str, value: &str| {
        format!(
            "to open it, set {variable}={value}, or {name} = \"{value}\" under [workstation] in the user's configuration, and no other key or passphrase"
        )
    };
    match (to, to.file()) {
        (Seal::Key(reference), _) => set("LEASEHOLD_SEALED_KEY", "sealed_key", &reference.to_string()),
        (Seal::Passphrase(_), Some(file)) => {
            set("LEASEHOLD_PASSPHRASE_FILE", "passphrase_file", &file.display().to_string())
        }
        (Seal::Drawn(_) | Seal::Passphrase(_), _) => {
            "to open it, set neither a sealed_key nor a passphrase".into()
        }
    }
}

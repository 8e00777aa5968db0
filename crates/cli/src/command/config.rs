//! `leasehold config`: checks and shows the settings.

use leasehold::core::Failure;
use serde_json::{Value, json};

use super::settings_at;
use crate::arguments::{ConfigArguments, ConfigVerb};
use crate::config::environment::Environment;
use crate::config::settings::{Row, Settings};
use crate::config::text::Origin;
use crate::exit::Exit;
use crate::ui;

/// Does what the verb says.
pub(crate) fn config(arguments: &ConfigArguments, environment: &Environment) -> Result<Exit, Failure> {
    match &arguments.verb {
        ConfigVerb::Check { workstation, connection } => {
            ui::answer(&check(&settings_at(connection, workstation, environment)?));
        }
        ConfigVerb::Schema => ui::answer(&leasehold::manifest::schema()),
        ConfigVerb::Show { origin, json, workstation, connection } => {
            let settings = settings_at(connection, workstation, environment)?;
            ui::answer(&if *json { show_json(&settings) } else { show(&settings, *origin) });
        }
    }
    Ok(Exit::OK)
}

fn check(settings: &Settings) -> String {
    let files = settings.files.iter().map(|file| format!("\nread {}", file.display()));
    let variables = settings.origins().iter().filter_map(|row| match row.origin {
        Origin::Variable(name) => Some(format!("\nread {name}")),
        _ => None,
    });
    std::iter::once("ok".to_owned()).chain(files).chain(variables).collect()
}

fn shown(row: &Row) -> String {
    row.value.clone().unwrap_or_else(|| "(set)".to_owned())
}

fn show(settings: &Settings, has_origin: bool) -> String {
    let width = if has_origin { 3 } else { 2 };
    let cells = |row: &Row| vec![row.key.clone(), shown(row), row.origin.to_string()];
    let rows: Vec<_> = settings.origins().iter().map(cells).collect();
    ui::table(&["KEY", "VALUE", "ORIGIN"][..width], &rows)
}

fn show_json(settings: &Settings) -> String {
    let rows: Vec<_> = settings.origins().iter().map(row_json).collect();
    format!("{:#}", Value::from(rows))
}

/// `value` is null for a secret.
fn row_json(row: &Row) -> Value {
    let origin = match &row.origin {
        Origin::Default => json!({ "layer": "default" }),
        Origin::File { path, line } => {
            json!({ "layer": "file", "path": path.to_string_lossy(), "line": line })
        }
        Origin::Variable(name) => json!({ "layer": "environment", "variable": name }),
        Origin::Flag(name) => json!({ "layer": "flag", "flag": name }),
    };
    json!({ "key": row.key, "value": row.value, "origin": origin })
}

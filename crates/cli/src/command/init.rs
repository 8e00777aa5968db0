//! `leasehold init`: a manifest to begin with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use leasehold::core::{Failure, Kind};
use leasehold::manifest::Manifest;
use serde_json::json;

use super::workstation::{host_name, manifest_origin};
use super::{pretty, settings_at};
use crate::arguments::workstation::InitArguments;
use crate::config::environment::Environment;
use crate::config::text::Origin;
use crate::exit::Exit;
use crate::ui;

/// Writes a manifest, unless there is one. One that is there, but has faults, is told and left as it is.
pub(crate) fn init(arguments: &InitArguments, environment: &Environment) -> Result<Exit, Failure> {
    let common = &arguments.common;
    let settings = settings_at(&common.connection, &common.workstation, environment)?;
    let path = &settings.workstation.manifest;
    let is_new = match Manifest::load(path) {
        Ok(_) => false,
        Err(failure) if failure.kind() == Kind::NotFound => {
            begin(path)?;
            if manifest_origin(&settings) == Some(&Origin::Default) {
                close(path);
            }
            true
        }
        Err(failure) => return Err(failure),
    };
    let shown = path.display();
    ui::answer(&match (common.json, is_new) {
        (true, _) => pretty(&json!({"manifest": path.to_string_lossy(), "created": is_new})),
        (false, true) => format!(
            "wrote {shown}\nIt names providers to begin with; edit it, and give each its key: leasehold set-key NAME"
        ),
        (false, false) => format!("{shown} is there already, and is left as it is"),
    });
    Ok(Exit::OK)
}

/// Keeps others out of the manifest's folder, which may have been there before. Only at the usual place is it the
/// manifest's own.
fn close(manifest: &Path) {
    // Where it cannot be done, `doctor` tells it.
    let folder = manifest.parent().unwrap_or(manifest);
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
}

/// Writes a manifest to begin with.
pub(super) fn begin(path: &Path) -> Result<Manifest, Failure> {
    let manifest = Manifest::starter(&host_name());
    manifest.save(path)?;
    Ok(manifest)
}

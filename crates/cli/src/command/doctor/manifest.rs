//! The settings, and the manifest: there, valid, and nobody else's to change.

use leasehold::core::{Failure, Kind};
use leasehold::manifest::Manifest;

use super::finding::{Finding, Status};
use super::guard::{self, Guard, OTHERS_WRITE, PRIVATE};
use super::visit::Visit;
use crate::command::init;
use crate::command::workstation::{manifest, manifest_origin};
use crate::config::settings::Settings;
use crate::config::text::Origin;

/// Where the settings come from.
pub(super) fn config(settings: &Settings) -> Finding {
    let files: Vec<_> = settings.files.iter().map(|file| file.display().to_string()).collect();
    Finding::ok(
        "config",
        match files.is_empty() {
            true => "no file; flags, variables and what is usual".into(),
            false => format!("read {}", files.join(", ")),
        },
    )
}

/// Reads the manifest; if there is none and that may be mended, one to begin with is written first.
pub(super) fn open(settings: &Settings, mends: bool) -> (Option<Manifest>, Finding) {
    let path = &settings.workstation.manifest;
    let told = |manifest: &Manifest| format!("{}, providers: {}", path.display(), manifest.providers().len());
    let failed = |status, failure: &Failure| (None, Finding::of("manifest", status, failure));
    match manifest(settings) {
        Ok(manifest) => {
            let finding = Finding::ok("manifest", told(&manifest));
            (Some(manifest), finding)
        }
        Err(failure) if failure.kind() == Kind::NotFound && mends => match init::begin(path) {
            Ok(manifest) => {
                let finding = Finding::mended("manifest", format!("wrote {}", told(&manifest)));
                (Some(manifest), finding)
            }
            Err(failure) => failed(Status::Failure, &failure),
        },
        // Whoever wants nothing but a server needs none.
        Err(failure) if failure.kind() == Kind::NotFound && is_usual(settings) => {
            failed(Status::Warning, &failure)
        }
        Err(failure) => failed(Status::Failure, &failure),
    }
}

/// Whether others can get at the manifest. The folder is the manifest's own only at the usual place.
pub(super) fn permissions(visit: &Visit<'_>) -> Finding {
    let path = &visit.settings.workstation.manifest;
    // A link stays a link: what it leads to is guarded.
    let file = path.canonicalize().unwrap_or_else(|_| path.clone());
    let of_folder = if is_usual(visit.settings) { PRIVATE } else { OTHERS_WRITE };
    let folder = file.parent().map(|folder| Guard { path: folder.to_owned(), refused: of_folder });
    let file = Guard { path: file, refused: PRIVATE };
    let guards: Vec<_> = [Some(file), folder].into_iter().flatten().collect();
    guard::finding("manifest-permissions", &guards, Status::Warning, visit.mends)
}

fn is_usual(settings: &Settings) -> bool {
    manifest_origin(settings) == Some(&Origin::Default)
}

//! `.env` files that hold a key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use leasehold::core::Failure;
use leasehold::env_file::{EnvFile, Variable};
use leasehold::manifest::looks_like_a_key;

use super::finding::Finding;
use super::visit::Visit;

const ID: &str = "env-files";
/// Endings of files that show what could be there.
const SAMPLES: [&str; 4] = ["example", "sample", "template", "dist"];

/// Looks in the working directory and beside the manifest. Names files and variables, never a value.
pub(super) fn check(visit: &Visit<'_>) -> Finding {
    let beside = visit.settings.workstation.manifest.parent().map(Path::to_owned);
    let folders: BTreeSet<_> =
        beside.into_iter().chain([visit.environment.working_dir().to_owned()]).collect();
    let files: Vec<_> = folders.iter().flat_map(|folder| env_files(folder)).collect();
    let of_providers: Vec<_> =
        visit.providers().iter().filter_map(|provider| provider.env_var.as_deref()).collect();
    let mut told = Vec::new();
    for file in &files {
        match keys(file, &of_providers) {
            Ok(names) if names.is_empty() => {}
            Ok(names) => told.push(format!("{} holds {}", file.display(), names.join(", "))),
            Err(failure) => told.push(failure.message().to_owned()),
        }
    }
    match (files.is_empty(), told.is_empty()) {
        (true, _) => Finding::ok(ID, "there is none here or beside the manifest"),
        (false, true) => Finding::ok(ID, "no key is in one"),
        (false, false) => Finding::warning(ID, told.join("; "))
            .hint("put the keys into the store: leasehold import --env-file FILE"),
    }
}

/// `.env`, `.env.local` and the like in a folder.
fn env_files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|entry| is_env_file(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    // Something else in its place, such as a pipe, would keep us waiting.
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn is_env_file(name: &str) -> bool {
    let ending = name.strip_prefix(".env.");
    name == ".env" || ending.is_some_and(|ending| !SAMPLES.iter().any(|sample| ending.contains(sample)))
}

/// The variables in a file that hold a key.
fn keys(file: &Path, of_providers: &[&str]) -> Result<Vec<String>, Failure> {
    let holds_key = |variable: &&Variable| match &variable.value {
        Ok(value) => {
            let text = value.expose().trim();
            let is_named = !text.is_empty() && of_providers.contains(&variable.name.as_str());
            is_named || looks_like_a_key(text)
        }
        Err(_) => of_providers.contains(&variable.name.as_str()),
    };
    let file = EnvFile::load(file)?;
    Ok(file.variables().iter().filter(holds_key).map(|variable| variable.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_name() {
        let check = |name: &str, expect: bool| assert_eq!(is_env_file(name), expect, "{name}");
        for name in [".env", ".env.local", ".env.production"] {
            check(name, true);
        }
        for name in [".envrc", "env", ".env.example", ".env.local.sample", "x.env"] {
            check(name, false);
        }
    }
}

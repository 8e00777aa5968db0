//! `.env` files that hold a key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use leasehold::core::{Failure, Secret};
use leasehold::env_file::{self, EnvFile, Variable};
use leasehold::identity::Source;
use leasehold::manifest::looks_like_a_key;

use super::finding::Finding;
use super::visit::Visit;

const ID: &str = "env-files";
/// What direnv reads: a script, in which some lines are variables.
const SCRIPT: &str = ".envrc";
/// What the names of files have that show what could be there.
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

/// `.env`, `.env.local`, `app.env`, `.envrc` and the like in a folder.
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
    let rest = name.strip_prefix(".env.").or_else(|| name.strip_suffix(".env"));
    let is_sample = |rest: &str| SAMPLES.iter().any(|sample| rest.contains(sample));
    name == SCRIPT || rest.is_some_and(|rest| !is_sample(rest))
}

/// The variables in a file that hold a key.
fn keys(file: &Path, of_providers: &[&str]) -> Result<Vec<String>, Failure> {
    let is_script = file.ends_with(SCRIPT);
    let holds_key = |variable: &Variable| match &variable.value {
        Ok(value) => is_key(value, of_providers.contains(&variable.name.as_str())),
        Err(_) => of_providers.contains(&variable.name.as_str()),
    };
    let mut variables = match is_script {
        true => of_script(file)?,
        false => EnvFile::load(file)?.variables().to_vec(),
    };
    variables.retain(holds_key);
    Ok(variables.into_iter().map(|variable| variable.name).collect())
}

fn is_key(value: &Secret, is_of_provider: bool) -> bool {
    let text = value.expose().trim();
    (is_of_provider && !text.is_empty()) || looks_like_a_key(text)
}

/// The variables that stand in one line of a script each.
fn of_script(file: &Path) -> Result<Vec<Variable>, Failure> {
    let text = Source::File(file.to_owned()).read_whole()?;
    let lines = text.expose().lines();
    Ok(lines
        .flat_map(|line| {
            env_file::parse(line).unwrap_or_default().into_iter().filter(|_| !is_asked_for(line))
        })
        .collect())
}

/// Whether a line takes its value from elsewhere: from a command, or as a whole from another variable.
fn is_asked_for(line: &str) -> bool {
    let value = line.split_once('=').map_or("", |(_, value)| value);
    line.contains("$(") || line.contains('`') || value.trim_start_matches(['"', ' ']).starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn files_by_name() {
        let check = |name: &str, expect: bool| assert_eq!(is_env_file(name), expect, "{name}");
        for name in [".env", ".env.local", ".env.production", "app.env", ".envrc"] {
            check(name, true);
        }
        for name in ["env", ".env.example", ".env.local.sample", "sample.env", "x.envrc", ".environment"] {
            check(name, false);
        }
    }

    #[test]
    fn keys_in_a_script() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SCRIPT);
        let check = |text: &str, expect: &[&str]| {
            File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            assert_eq!(keys(&path, &["KEY"]).unwrap(), expect, "{text}");
        };
        check("use flake\nif has pass; then\n  export KEY=canary\nfi\n", &["KEY"]);
        check("export KEY=$(pass show key)\nexport KEY=\"`pass`\"\nKEY=\nPATH_add bin\n", &[]);
        check("export KEY=$OTHER\nexport KEY=\"${OTHER:-}\"\n", &[]);
        check("KEY=canary; export KEY\n", &["KEY"]);
        check("export KEY=canary PATH=x\n", &["KEY"]);
        check("KEY=canary$1; export KEY\n", &["KEY"]);
        check("OTHER='it is\nnot closed\nKEY=canary", &["KEY"]);
        check("A=1 # KEY=canary", &[]);
    }
}

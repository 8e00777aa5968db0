//! The walls between the packages: who may use whom, and who may use what from outside.

use super::Finding;
use crate::step::{Outcome, cargo, output};
use serde_json::Value;
use std::collections::BTreeSet;

/// Each package and the packages of this workspace that it may use. Tests may use the testkit as well.
const WALLS: &[(&str, &[&str])] = &[
    ("leasehold-core", &[]),
    ("leasehold-vault", &["leasehold-core"]),
    ("leasehold", &["leasehold-core", "leasehold-vault"]),
    ("leasehold-cli", &["leasehold"]),
    ("leasehold-testkit", &[]),
    ("xtask", &["leasehold-testkit"]),
];

/// Crates from outside and the one package that may use them.
const ONLY: &[(&[&str], &str)] = &[
    (&["hyper", "hyper-util", "hyper-rustls", "rustls", "tokio-rustls"], "leasehold"),
    (&["zbus", "crypto-bigint", "aes", "cbc", "argon2", "chacha20poly1305"], "leasehold"),
    (&["clap", "clap_complete", "clap_mangen"], "leasehold-cli"),
    (&["ureq"], "leasehold-testkit"),
];

const TESTKIT: &str = "leasehold-testkit";

/// What cargo knows of the packages of this workspace.
pub(super) fn metadata() -> Outcome<Value> {
    let text = output(&mut cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// The crates in the tree of the binary as it is built by default.
pub(crate) fn crate_count() -> Outcome<usize> {
    let tree =
        output(&mut cargo(["tree", "--package", "leasehold-cli", "--edges", "normal", "--prefix", "none"]))?;
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    Ok(crates.len())
}

/// The uses that go through a wall.
pub(super) fn walls(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.flat_map(|package| through_walls(&package["name"], &package["dependencies"])).collect()
}

fn through_walls(package: &Value, dependencies: &Value) -> Vec<Finding> {
    let package = package.as_str().unwrap_or_default();
    let finding = |text| Finding { path: format!("{package}/Cargo.toml"), line: 1, text };
    let Some((_, may_use)) = WALLS.iter().find(|(name, _)| *name == package) else {
        return vec![finding(
            "a package without a line in the table of walls in xtask/src/tidy/packages.rs".to_owned(),
        )];
    };
    let dependencies = dependencies.as_array().into_iter().flatten();
    let uses = dependencies.map(|one| (one["name"].as_str().unwrap_or_default(), one["kind"] == "dev"));
    uses.filter(|(used, is_dev)| !is_open(package, may_use, used, *is_dev))
        .map(|(used, _)| finding(format!("`{package}` may not use `{used}`")))
        .collect()
}

fn is_open(package: &str, may_use: &[&str], used: &str, is_dev: bool) -> bool {
    if WALLS.iter().any(|(name, _)| *name == used) {
        return may_use.contains(&used) || used == package || (is_dev && used == TESTKIT);
    }
    let only = ONLY.iter().find(|(crates, _)| crates.contains(&used));
    only.is_none_or(|(_, user)| *user == package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn uses_through_a_wall_are_found() {
        let check = |package: &str, used: &str, kind: Value, expect: bool| {
            let dependencies = json!([{ "name": used, "kind": kind }]);
            let metadata = json!({ "packages": [{ "name": package, "dependencies": dependencies }] });
            assert_eq!(walls(&metadata).is_empty(), expect, "{package} on {used}");
        };
        check("leasehold-core", "leasehold-vault", Value::Null, false);
        check("leasehold-vault", "leasehold-core", Value::Null, true);
        check("leasehold-cli", "leasehold-core", Value::Null, false);
        check("leasehold", "leasehold-testkit", json!("dev"), true);
        check("leasehold", "leasehold-testkit", Value::Null, false);
        check("leasehold-core", "leasehold-cli", json!("dev"), false);
        check("leasehold", "hyper", Value::Null, true);
        check("leasehold-cli", "hyper", Value::Null, false);
        check("leasehold-cli", "clap", Value::Null, true);
        check("leasehold-core", "subtle", Value::Null, true);
        check("a-new-one", "subtle", Value::Null, false);
    }
}

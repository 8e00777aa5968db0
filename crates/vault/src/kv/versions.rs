//! Versions of a secret: delete, undelete, destroy.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::call::{Call, Method};
use crate::json::Json;
use crate::kv::mount::{Entry, Versioned};
use crate::operation::Order;
use crate::parse;

/// What the server notes of a version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VersionInfo {
    /// Its number, from 1 on.
    pub version: u64,
    /// When it was written (RFC 3339).
    #[serde(default, deserialize_with = "parse::or_default")]
    pub created_time: String,
    /// When it was or will be deleted (RFC 3339).
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub deletion_time: Option<String>,
    /// Whether its value is gone for good.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub destroyed: bool,
    /// What was noted with the secret.
    #[serde(default, deserialize_with = "parse::texts")]
    pub custom_metadata: BTreeMap<String, String>,
}

/// Deletes a secret: in version 1 for good, in version 2 its newest version, which can be undeleted. One that is
/// not there counts as done.
#[derive(Clone, Debug)]
pub struct Delete {
    /// Which secret.
    pub entry: Entry,
}

impl Order for Delete {
    fn call(&self) -> Call {
        Call::new(Method::Delete, &self.entry.api_path("data"))
    }
}

/// Deletes versions. They can be undeleted.
#[derive(Clone, Debug)]
pub struct DeleteVersions {
    /// Which secret.
    pub entry: Versioned,
    /// Which versions.
    pub versions: Vec<u64>,
}

impl Order for DeleteVersions {
    fn call(&self) -> Call {
        on_versions(&self.entry, "delete", &self.versions)
    }
}

/// Makes deleted versions readable again.
#[derive(Clone, Debug)]
pub struct Undelete {
    /// Which secret.
    pub entry: Versioned,
    /// Which versions.
    pub versions: Vec<u64>,
}

impl Order for Undelete {
    fn call(&self) -> Call {
        on_versions(&self.entry, "undelete", &self.versions)
    }
}

/// Removes the values of versions for good.
#[derive(Clone, Debug)]
pub struct Destroy {
    /// Which secret.
    pub entry: Versioned,
    /// Which versions.
    pub versions: Vec<u64>,
}

impl Order for Destroy {
    fn call(&self) -> Call {
        on_versions(&self.entry, "destroy", &self.versions)
    }
}

fn on_versions(entry: &Versioned, verb: &str, versions: &[u64]) -> Call {
    let versions = versions.iter().copied().map(Json::from).collect();
    Call::post(&entry.api_path(verb), &Json::object([("versions", Json::List(versions))]))
}

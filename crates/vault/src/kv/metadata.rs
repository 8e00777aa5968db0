//! What the server keeps of a secret beside its values.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::Failure;
use serde::Deserialize;

use crate::call::{Call, Method};
use crate::json::Json;
use crate::kv::mount::Versioned;
use crate::operation::{Operation, Order};
use crate::parse;
use crate::reply::Reply;

/// Reads what is kept of a secret beside its values.
#[derive(Clone, Debug)]
pub struct ReadMetadata {
    /// Which secret.
    pub entry: Versioned,
}

/// What is kept of a secret beside its values.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// The newest version; zero if none was written yet.
    #[serde(default)]
    pub current_version: u64,
    /// The oldest version that is kept; zero if none has gone yet.
    #[serde(default)]
    pub oldest_version: u64,
    /// How many versions are kept; zero for the mount's own number.
    #[serde(default)]
    pub max_versions: u64,
    /// Whether each write must name the version that it replaces.
    #[serde(default)]
    pub cas_required: bool,
    /// After which time a version is deleted, as the server writes it: `0s`, `3h25m19s`.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub delete_version_after: String,
    /// When it was first written (RFC 3339).
    #[serde(default, deserialize_with = "parse::or_default")]
    pub created_time: String,
    /// When it was last written (RFC 3339).
    #[serde(default, deserialize_with = "parse::or_default")]
    pub updated_time: String,
    /// What was noted with it.
    #[serde(default, deserialize_with = "parse::texts")]
    pub custom_metadata: BTreeMap<String, String>,
    /// The versions that are kept.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub versions: BTreeMap<u64, VersionNote>,
}

/// What is kept of a version beside its value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VersionNote {
    /// When it was written (RFC 3339).
    #[serde(default, deserialize_with = "parse::or_default")]
    pub created_time: String,
    /// When it was or will be deleted (RFC 3339).
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub deletion_time: Option<String>,
    /// Whether its value is gone for good.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub destroyed: bool,
}

impl Operation for ReadMetadata {
    type Answer = Metadata;

    fn call(&self) -> Call {
        Call::get(&self.entry.api_path("metadata"))
    }

    fn accept(&self, reply: &Reply) -> Result<Metadata, Failure> {
        reply.data()
    }
}

/// Sets what is kept of a secret beside its values. What is not given stays.
#[derive(Clone, Debug)]
pub struct WriteMetadata {
    /// Which secret.
    pub entry: Versioned,
    /// How many versions are kept.
    pub max_versions: Option<u64>,
    /// Whether each write must name the version that it replaces.
    pub cas_required: Option<bool>,
    /// After which time a version is deleted.
    pub delete_version_after: Option<Duration>,
    /// What is noted with it, in place of all that was.
    pub custom_metadata: Option<BTreeMap<String, String>>,
}

impl Order for WriteMetadata {
    fn call(&self) -> Call {
        let body = Json::object([
            ("max_versions", self.max_versions.into()),
            ("cas_required", self.cas_required.into()),
            ("delete_version_after", self.delete_version_after.into()),
            ("custom_metadata", self.custom_metadata.as_ref().into()),
        ]);
        Call::post(&self.entry.api_path("metadata"), &body)
    }
}

/// Removes a secret with all its versions for good. One that is not there counts as done.
#[derive(Clone, Debug)]
pub struct DeleteMetadata {
    /// Which secret.
    pub entry: Versioned,
}

impl Order for DeleteMetadata {
    fn call(&self) -> Call {
        Call::new(Method::Delete, &self.entry.api_path("metadata"))
    }
}

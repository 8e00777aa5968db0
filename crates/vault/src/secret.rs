//! Secrets of any engine, read by their path as it is: dynamic credentials, static roles, cubbyholes.

use std::time::Duration;

use leasehold_core::name::Path;
use leasehold_core::{Failure, Fields};
use serde::Deserialize;

use crate::call::{Call, Method};
use crate::json::Json;
use crate::operation::{Operation, Order};
use crate::parse::{self, SecretFields};
use crate::reply::{Envelope, LeaseId, Reply};

/// Reads a path.
#[derive(Clone, Debug)]
pub struct Read {
    /// The path, mount included.
    pub path: Path,
    /// Each reading makes a new credential, so it is never repeated blindly.
    pub is_dynamic: bool,
}

/// A secret and the lease it lives on.
#[derive(Clone, Debug)]
pub struct Material {
    /// The fields.
    pub fields: Fields,
    /// The lease; none for a static secret.
    pub lease: Option<LeaseId>,
    /// How long the lease lives by the server's word; without a lease, how long the secret may be kept.
    pub lease_duration: Duration,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// How long until the server rotates it, where it says so (a static role's `ttl`).
    pub rotates_in: Option<Duration>,
    /// What the server wants a person to know.
    pub warnings: Vec<String>,
}

impl Material {
    fn of(envelope: Envelope<'_>) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Rotation {
            #[serde(default, deserialize_with = "parse::span_or_none")]
            ttl: Option<Duration>,
        }
        let SecretFields(fields) = envelope.data()?;
        // A `ttl` that is no number of seconds is somebody's field, not a rotation.
        let rotates_in = envelope.data().ok().and_then(|rotation: Rotation| rotation.ttl);
        Ok(Self {
            fields,
            rotates_in: rotates_in.filter(|_| envelope.lease_id.is_none()),
            lease: envelope.lease_id,
            lease_duration: envelope.lease_duration,
            renewable: envelope.renewable,
            warnings: envelope.warnings,
        })
    }
}

impl Operation for Read {
    type Answer = Material;

    fn call(&self) -> Call {
        let call = Call::get(self.path.as_str());
        if self.is_dynamic { call.once() } else { call }
    }

    fn accept(&self, reply: &Reply) -> Result<Material, Failure> {
        Material::of(reply.envelope()?)
    }
}

/// Writes fields to a path. What it answers, if anything, is a secret too: a secret id, a signed certificate.
#[derive(Clone, Debug)]
pub struct Write {
    /// The path, mount included.
    pub path: Path,
    /// What is written, as texts.
    pub fields: Fields,
}

impl Operation for Write {
    type Answer = Option<Material>;

    fn call(&self) -> Call {
        Call::post(self.path.as_str(), &Json::from(&self.fields)).once()
    }

    fn accept(&self, reply: &Reply) -> Result<Option<Material>, Failure> {
        let envelope = reply.envelope()?;
        if envelope.data.is_present() { Material::of(envelope).map(Some) } else { Ok(None) }
    }
}

/// Deletes a path.
#[derive(Clone, Debug)]
pub struct Delete {
    /// The path, mount included.
    pub path: Path,
}

impl Order for Delete {
    fn call(&self) -> Call {
        Call::new(Method::Delete, self.path.as_str())
    }
}

//! Answers that wait behind a token for whoever asks first.
//!
//! Any operation is wrapped by [`Operation::wrapped`]. A wrapping token that is used for anything but the operations
//! here is burnt by it.

use std::time::Duration;

use leasehold_core::{Failure, Fields, Secret};
use serde::Deserialize;

use crate::call::{Bearer, Call, Method};
use crate::json::Json;
use crate::operation::{Operation, Order, Wrapped};
use crate::parse::{self, SecretFields};
use crate::reply::{Auth, Reply, WrapInfo};

/// Leaves fields with the server for this long.
#[derive(Clone, Debug)]
pub struct Wrap {
    fields: Fields,
}

impl Wrap {
    /// Fields to leave with the server for this long.
    pub fn fields(fields: Fields, ttl: Duration) -> Wrapped<Self> {
        Self { fields }.wrapped(ttl)
    }
}

impl Order for Wrap {
    fn call(&self) -> Call {
        Call::post("sys/wrapping/wrap", &Json::from(&self.fields)).once()
    }
}

/// Fetches what is wrapped. It works once.
#[derive(Clone, Debug)]
pub struct Unwrap {
    /// The wrapping token.
    pub token: Secret,
}

/// What was wrapped.
#[derive(Clone, Debug)]
pub enum Unwrapped {
    /// A token.
    Auth(Auth),
    /// Fields, such as the `secret_id` of an AppRole.
    Fields(Fields),
}

impl Operation for Unwrap {
    type Answer = Unwrapped;

    fn call(&self) -> Call {
        Call::new(Method::Post, "sys/wrapping/unwrap").with_bearer(Bearer::This(self.token.clone())).once()
    }

    fn accept(&self, reply: &Reply) -> Result<Unwrapped, Failure> {
        let envelope = reply.envelope()?;
        if envelope.auth.is_some() {
            return envelope.token().map(Unwrapped::Auth);
        }
        envelope.data().map(|SecretFields(fields)| Unwrapped::Fields(fields))
    }
}

/// Tells where what is wrapped comes from, without unwrapping it. To be done before [`Unwrap`]: somebody who took
/// the real one can put another in its place, but not with the right path.
#[derive(Clone, Debug)]
pub struct LookupWrap {
    /// The wrapping token.
    pub token: Secret,
}

/// Where a wrapped answer comes from.
#[derive(Clone, Debug, Deserialize)]
pub struct Origin {
    /// The path whose answer it is: `auth/approle/role/app/secret-id`.
    pub creation_path: String,
    /// How long it was to wait when it was wrapped.
    #[serde(default, deserialize_with = "parse::span")]
    pub creation_ttl: Duration,
    /// When it was wrapped (RFC 3339).
    #[serde(default, deserialize_with = "parse::or_default")]
    pub creation_time: String,
}

impl Operation for LookupWrap {
    type Answer = Origin;

    fn call(&self) -> Call {
        let body = Json::object([("token", (&self.token).into())]);
        Call::post("sys/wrapping/lookup", &body).with_bearer(Bearer::Nobody)
    }

    fn accept(&self, reply: &Reply) -> Result<Origin, Failure> {
        reply.data()
    }
}

/// Wraps it anew, with the time it had at first. The old wrapping token is used up.
#[derive(Clone, Debug)]
pub struct Rewrap {
    /// The wrapping token.
    pub token: Secret,
}

impl Operation for Rewrap {
    type Answer = WrapInfo;

    fn call(&self) -> Call {
        // Unlike unwrapping, this cannot be done by the right of the wrapping token.
        Call::post("sys/wrapping/rewrap", &Json::object([("token", (&self.token).into())])).once()
    }

    fn accept(&self, reply: &Reply) -> Result<WrapInfo, Failure> {
        reply.wrap_info()
    }
}

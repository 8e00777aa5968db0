//! Leases: look up, renew, revoke, alone or by prefix.

use std::time::Duration;

use leasehold_core::Failure;
use leasehold_core::name::Path;
use serde::Deserialize;

use crate::call::{Call, Method};
use crate::json::Json;
use crate::operation::{Operation, Order};
use crate::parse;
use crate::reply::{LeaseId, Renewal, Reply};

/// Looks a lease up.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The lease.
    pub lease: LeaseId,
}

/// What the server has written down of a lease.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// How long it still lives.
    #[serde(default, deserialize_with = "parse::span")]
    pub ttl: Duration,
    /// Whether it can be renewed.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub renewable: bool,
    /// When it was issued (RFC 3339).
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub issue_time: Option<String>,
    /// When it ends (RFC 3339).
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub expire_time: Option<String>,
    /// When it was last renewed (RFC 3339).
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub last_renewal: Option<String>,
}

impl Operation for Lookup {
    type Answer = Record;

    fn call(&self) -> Call {
        Call::post("sys/leases/lookup", &Json::object([("lease_id", self.lease.as_str().into())]))
    }

    fn accept(&self, reply: &Reply) -> Result<Record, Failure> {
        reply.data()
    }
}

/// Renews a lease. The server may grant less than what is asked for.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The lease.
    pub lease: LeaseId,
    /// How long it is to live from now; as long as at first if none.
    pub increment: Option<Duration>,
}

impl Operation for Renew {
    type Answer = Renewal;

    fn call(&self) -> Call {
        // This path wants a number where renewing a token takes a span.
        let increment = self.increment.map(|span| span.as_secs());
        let body = Json::object([("lease_id", self.lease.as_str().into()), ("increment", increment.into())]);
        Call::post("sys/leases/renew", &body)
    }

    fn accept(&self, reply: &Reply) -> Result<Renewal, Failure> {
        Ok(reply.envelope()?.renewal())
    }
}

/// Revokes a lease. One that has ended counts as done.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// The lease.
    pub lease: LeaseId,
    /// Wait until what issued the credential has removed it. Without this the server does it later.
    pub sync: bool,
}

impl Order for Revoke {
    fn call(&self) -> Call {
        let body = [("lease_id", self.lease.as_str().into()), ("sync", self.sync.into())];
        Call::post("sys/leases/revoke", &Json::object(body))
    }
}

/// Revokes all leases below a prefix. Takes `sudo`.
#[derive(Clone, Debug)]
pub struct RevokePrefix {
    /// The prefix: `database/creds/app`.
    pub prefix: Path,
    /// Wait until all are removed.
    pub sync: bool,
}

impl Order for RevokePrefix {
    fn call(&self) -> Call {
        let body = Json::object([("sync", self.sync.into())]);
        Call::post(&format!("sys/leases/revoke-prefix/{}", self.prefix), &body)
    }
}

/// Forgets all leases below a prefix, even where the credential cannot be removed. Takes `sudo`.
#[derive(Clone, Debug)]
pub struct RevokeForce {
    /// The prefix.
    pub prefix: Path,
}

impl Order for RevokeForce {
    fn call(&self) -> Call {
        Call::new(Method::Post, &format!("sys/leases/revoke-force/{}", self.prefix))
    }
}

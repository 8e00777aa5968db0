//! The server itself: health, seal, leader, namespaces and mounts.

use std::collections::BTreeMap;

use leasehold_core::Failure;
use leasehold_core::name::{Namespace, Path};
use serde::Deserialize;

use crate::call::{Bearer, Call, Method};
use crate::failure::classify;
use crate::json::Json;
use crate::operation::{Operation, Order};
use crate::parse;
use crate::reply::Reply;

/// Asks how the server is. It answers without a token, sealed or not, and each state has its own status; all of
/// them are an answer here.
#[derive(Clone, Copy, Debug)]
pub struct Health;

/// How a server is.
#[derive(Clone, Debug, Deserialize)]
pub struct Condition {
    /// Whether it has ever been set up.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether another node leads.
    #[serde(default)]
    pub standby: bool,
    /// Whether it is a standby that answers reads itself (Vault Enterprise).
    #[serde(default)]
    pub performance_standby: bool,
    /// `disabled`, `primary` or `secondary` (Vault Enterprise).
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub replication_dr_mode: Option<String>,
    /// The server's version.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub version: String,
    /// The cluster's name; none while sealed.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub cluster_name: Option<String>,
    /// The server's clock, in seconds since 1970.
    #[serde(default)]
    pub server_time_utc: i64,
}

impl Condition {
    /// Whether it can answer calls: set up, open, and no copy that waits for a disaster.
    pub fn is_up(&self) -> bool {
        self.initialized && !self.sealed && self.replication_dr_mode.as_deref() != Some("secondary")
    }
}

impl Operation for Health {
    type Answer = Condition;

    fn call(&self) -> Call {
        at_root(Call::get("sys/health")).with_bearer(Bearer::Nobody)
    }

    fn accept(&self, reply: &Reply) -> Result<Condition, Failure> {
        reply.json()
    }

    fn answer(&self, reply: &Reply) -> Result<Condition, Failure> {
        self.accept(reply).map_err(|failure| {
            if reply.is_success() { failure.context("sys/health") } else { classify(reply, &self.call()) }
        })
    }
}

/// Asks how far the server is unsealed. It answers without a token.
#[derive(Clone, Copy, Debug)]
pub struct SealStatus;

/// How far a server is unsealed.
#[derive(Clone, Debug, Deserialize)]
pub struct Seal {
    /// Whether it has ever been set up.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// How many key shares it takes to unseal it.
    #[serde(default, rename = "t")]
    pub threshold: u64,
    /// How many of them have been given.
    #[serde(default)]
    pub progress: u64,
    /// The server's version.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub version: String,
}

impl Operation for SealStatus {
    type Answer = Seal;

    fn call(&self) -> Call {
        at_root(Call::get("sys/seal-status")).with_bearer(Bearer::Nobody)
    }

    fn accept(&self, reply: &Reply) -> Result<Seal, Failure> {
        reply.json()
    }
}

/// Asks who leads the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Leader;

/// Who leads the cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct Leadership {
    /// Whether there is a cluster.
    #[serde(default)]
    pub ha_enabled: bool,
    /// Whether it is the node that was asked.
    #[serde(default)]
    pub is_self: bool,
    /// The leader's address; none while there is none.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub leader_address: Option<String>,
}

impl Operation for Leader {
    type Answer = Leadership;

    fn call(&self) -> Call {
        at_root(Call::get("sys/leader"))
    }

    fn accept(&self, reply: &Reply) -> Result<Leadership, Failure> {
        reply.json()
    }
}

/// Has the leader give up its place. Takes `sudo`.
#[derive(Clone, Copy, Debug)]
pub struct StepDown;

impl Order for StepDown {
    fn call(&self) -> Call {
        at_root(Call::new(Method::Put, "sys/step-down")).once()
    }
}

/// These know no namespaces, and some refuse a call that names one.
fn at_root(call: Call) -> Call {
    Call { fixed_namespace: true, ..call }
}

/// Makes a namespace below the call's own.
#[derive(Clone, Debug)]
pub struct CreateNamespace {
    /// Its name.
    pub name: Namespace,
}

impl Order for CreateNamespace {
    fn call(&self) -> Call {
        Call::new(Method::Post, &format!("sys/namespaces/{}", self.name)).once()
    }
}

/// Deletes a namespace with all that is in it. One that is not there counts as done.
#[derive(Clone, Debug)]
pub struct DeleteNamespace {
    /// Its name.
    pub name: Namespace,
}

impl Order for DeleteNamespace {
    fn call(&self) -> Call {
        Call::new(Method::Delete, &format!("sys/namespaces/{}", self.name))
    }
}

/// The two kinds of mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Secrets engines.
    Secrets,
    /// Login methods.
    Auth,
}

impl Table {
    fn path(self) -> &'static str {
        match self {
            Self::Secrets => "sys/mounts",
            Self::Auth => "sys/auth",
        }
    }
}

/// Mounts an engine or a login method.
#[derive(Clone, Debug)]
pub struct Enable {
    /// Which kind.
    pub table: Table,
    /// Where it is mounted; a login method below `auth/`, which is not part of this.
    pub path: Path,
    /// What is mounted: `kv`, `database`, `approle`.
    pub kind: String,
    /// Options of the engine: `version` = `2` for KV.
    pub options: BTreeMap<String, String>,
}

impl Order for Enable {
    fn call(&self) -> Call {
        let body = Json::object([
            ("type", (&self.kind).into()),
            ("options", Json::from(&self.options).unless_empty()),
        ]);
        Call::post(&format!("{}/{}", self.table.path(), self.path), &body).once()
    }
}

/// Unmounts an engine or a login method with all that it holds. One that is not there counts as done.
#[derive(Clone, Debug)]
pub struct Disable {
    /// Which kind.
    pub table: Table,
    /// Where it is mounted.
    pub path: Path,
}

impl Order for Disable {
    fn call(&self) -> Call {
        Call::new(Method::Delete, &format!("{}/{}", self.table.path(), self.path))
    }
}

/// Tells all mounts of one kind.
#[derive(Clone, Copy, Debug)]
pub struct ListMounts {
    /// Which kind.
    pub table: Table,
}

impl Operation for ListMounts {
    /// The path, without a slash at its end, and what is mounted there.
    type Answer = BTreeMap<String, String>;

    fn call(&self) -> Call {
        Call::get(self.table.path())
    }

    fn accept(&self, reply: &Reply) -> Result<Self::Answer, Failure> {
        #[derive(Deserialize)]
        struct Mounted {
            #[serde(rename = "type")]
            kind: String,
        }
        let mounts: BTreeMap<String, Mounted> = reply.data()?;
        Ok(mounts.into_iter().map(|(path, at)| (path.trim_end_matches('/').to_owned(), at.kind)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Kind;

    fn check(status: u16, body: &str, expect: Result<bool, Kind>) {
        let got = Health.answer(&Reply::new(status, None, body.into()));
        assert_eq!(
            got.map(|condition| condition.is_up()).map_err(|failure| failure.kind()),
            expect,
            "{status}"
        );
    }

    #[test]
    fn each_state_of_a_server_is_an_answer() {
        check(200, r#"{"initialized":true,"sealed":false}"#, Ok(true));
        check(429, r#"{"initialized":true,"sealed":false,"standby":true}"#, Ok(true));
        check(472, r#"{"initialized":true,"sealed":false,"replication_dr_mode":"secondary"}"#, Ok(false));
        check(473, r#"{"initialized":true,"sealed":false,"performance_standby":true}"#, Ok(true));
        check(501, r#"{"initialized":false,"sealed":true}"#, Ok(false));
        check(503, r#"{"initialized":true,"sealed":true}"#, Ok(false));
        check(503, "<html>no backend</html>", Err(Kind::Unreachable));
        check(429, r#"{"errors":["rate limit quota exceeded"]}"#, Err(Kind::Throttled));
        check(200, "<html>welcome</html>", Err(Kind::Broken));
    }
}

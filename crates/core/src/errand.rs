//! What the ledger wants done, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::grant::Grant;
use crate::name::VaultReference;
use crate::policy::Jitter;
use crate::scope::{Scope, SlotId};

/// The number of an errand; never used twice in one ledger's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrandId(pub u64);

/// One piece of work for a worker. Each ends with one [`Done`], or is given up after [`Errand::PATIENCE`].
#[derive(Clone, Debug)]
pub struct Errand {
    /// Its number, to be handed back.
    pub id: ErrandId,
    /// The slot it is for.
    pub slot: SlotId,
    /// What to do.
    pub task: Task,
    /// The token to do it with; none for a login, and for what a token does to itself.
    pub asker: Option<Arc<Grant>>,
}

impl Errand {
    /// When the ledger stops waiting for an answer. Workers give up well before.
    pub const PATIENCE: Duration = Duration::from_secs(30);
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Log in, create a token or read a secret. May leave something behind on the server, so it is never
    /// repeated blindly, and what is obtained is written to the journal before it is handed in.
    Obtain(Scope),
    /// Read a static secret again.
    Refresh(VaultReference),
    /// Renew a token or lease, asking for this much.
    Renew(Arc<Grant>, Option<Duration>),
    /// Look a token up.
    Check(Arc<Grant>),
    /// Revoke a token or lease.
    Revoke(Arc<Grant>),
}

/// What came of an errand.
#[derive(Clone, Debug)]
pub struct Done {
    /// Which errand.
    pub errand: ErrandId,
    /// The slot it was for.
    pub slot: SlotId,
    /// What came of it.
    pub result: Result<Outcome, Failure>,
    /// How long the server took to answer.
    pub round_trip: Duration,
    /// The jitter of the new life, if one begins.
    pub jitter: Jitter,
}

/// How an errand succeeded.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Obtained or read.
    Granted(Grant),
    /// Renewed or looked up, with the terms that hold from now on.
    Standing(Standing),
    /// Revoked, or already gone.
    Revoked,
}

/// What the server said of a lease that lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How long it lives from the moment of asking; `None` if it does not end by itself.
    pub ttl: Option<Duration>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whether the server said that it gave less than it was asked for.
    pub capped: bool,
}

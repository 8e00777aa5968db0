//! Facts that happened, without values: what audit, metrics, alerts and logs are made of.

use std::time::Duration;

use crate::failure::Failure;
use crate::grant::Holding;
use crate::scope::SlotId;

/// Why a credential is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Its time was over before a successor was there.
    Expired,
    /// Somebody else ended it, or a token above it.
    Revoked,
    /// Nobody wants it any more.
    Released,
}

/// A fact. It cannot hold a value: its fields are names, counts and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A credential was obtained for the first time, or again after it had ended.
    Obtained {
        /// The slot.
        slot: SlotId,
        /// How long it lives; `None` if it does not end by itself.
        ttl: Option<Duration>,
    },
    /// A lease was renewed.
    Renewed {
        /// The slot.
        slot: SlotId,
        /// How long it lives from now on.
        ttl: Option<Duration>,
        /// Whether it can be renewed again; if not, a replacement is planned.
        extends: bool,
    },
    /// A credential was replaced while the old one was still good.
    Replaced {
        /// The slot.
        slot: SlotId,
        /// The generation of the new one.
        generation: u32,
    },
    /// A static secret was read again.
    Refreshed {
        /// The slot.
        slot: SlotId,
        /// Whether its value is another one now.
        changed: bool,
    },
    /// A token was looked up and lives.
    Checked {
        /// The slot.
        slot: SlotId,
        /// How long it lives from now on.
        ttl: Option<Duration>,
    },
    /// Little is left of the life of what is held, as [`Policy::expiring`](crate::Policy::expiring) says.
    Expiring {
        /// The slot.
        slot: SlotId,
        /// How much.
        left: Duration,
    },
    /// A credential is no longer served.
    Ended {
        /// The slot.
        slot: SlotId,
        /// Why.
        end: End,
    },
    /// An errand failed. What is held stays valid.
    Failed {
        /// The slot.
        slot: SlotId,
        /// What went wrong.
        failure: Failure,
        /// How many failed in a row.
        attempt: u16,
    },
    /// The server refused so many logins in a row that it would soon lock us out: no other is tried until what we log in
    /// with has changed. What is held is served to its end.
    Halted {
        /// The slot of the login.
        slot: SlotId,
    },
    /// The policy's threshold is longer than half of the lease; that half is used. Said once per slot.
    Clamped {
        /// The slot.
        slot: SlotId,
        /// How long the lease is.
        life: Duration,
    },
    /// Something that we held was given back.
    Settled {
        /// The slot it was held for.
        slot: SlotId,
        /// What it was.
        holding: Holding,
    },
    /// Something that we hold could not be given back; it stays in the journal.
    Owed {
        /// The slot it was held for.
        slot: SlotId,
        /// What it is.
        holding: Holding,
        /// Why it could not be revoked.
        failure: Failure,
    },
}

impl Event {
    /// The slot that it is about.
    pub fn slot(&self) -> SlotId {
        match self {
            Self::Obtained { slot, .. }
            | Self::Renewed { slot, .. }
            | Self::Replaced { slot, .. }
            | Self::Refreshed { slot, .. }
            | Self::Checked { slot, .. }
            | Self::Expiring { slot, .. }
            | Self::Ended { slot, .. }
            | Self::Failed { slot, .. }
            | Self::Halted { slot }
            | Self::Clamped { slot, .. }
            | Self::Settled { slot, .. }
            | Self::Owed { slot, .. } => *slot,
        }
    }
}

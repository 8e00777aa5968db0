//! What is asked for.

use crate::name::VaultReference;

/// The number of a slot, chosen by whoever asks; never used for two credentials in one ledger's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// What a credential is, as far as its life depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A token by logging in, or the one that the caller brought.
    Login,
    /// A token below the one that asks: the parent of everything else that a run obtains.
    Child,
    /// A secret read with the token that asks: a static one, or a dynamic one that comes with a lease.
    Secret(VaultReference),
}

impl Scope {
    /// Whether the credential is itself a token, with which others are asked for.
    pub fn is_token(&self) -> bool {
        match self {
            Self::Login | Self::Child => true,
            Self::Secret(_) => false,
        }
    }
}

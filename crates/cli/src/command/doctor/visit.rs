//! What is looked at, and how far the look goes.

use leasehold::core::name::{Place, StoreKind};
use leasehold::manifest::{Manifest, Pointer, Provider};

use super::only::Only;
use crate::command::workstation::is_on_server;
use crate::config::environment::Environment;
use crate::config::settings::Settings;

/// One visit of the doctor.
pub(super) struct Visit<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    /// None where it cannot be read.
    pub(super) manifest: Option<Manifest>,
    pub(super) only: Only,
    /// Nobody is asked over the network.
    pub(super) is_offline: bool,
    /// What can be mended is.
    pub(super) mends: bool,
    /// There is a session with the server.
    pub(super) has_session: bool,
}

impl Visit<'_> {
    /// Whether a provider's key is on the server, which is not asked.
    pub(super) fn misses(&self, provider: &Provider) -> bool {
        !self.has_session && is_on_server(provider, self.settings)
    }

    pub(super) fn wants(&self, id: &str) -> bool {
        self.only.wants(id)
    }

    pub(super) fn wants_one_of(&self, ids: &[&str]) -> bool {
        ids.iter().any(|id| self.wants(id))
    }

    pub(super) fn providers(&self) -> &[Provider] {
        self.manifest.as_ref().map_or(&[], Manifest::providers)
    }

    /// Whether a provider's key is on the server.
    pub(super) fn needs_server(&self) -> bool {
        self.providers().iter().any(|provider| is_on_server(provider, self.settings))
    }

    /// Whether a key that is looked at is on the server.
    pub(super) fn reads_server(&self) -> bool {
        self.needs_server() && self.wants_one_of(&["secret", "key"])
    }

    /// Whether a pointer names this store in so many words.
    pub(super) fn names(&self, store: StoreKind) -> bool {
        self.providers().iter().any(|provider| match &provider.pointer {
            Some(Pointer::Full(reference)) => {
                matches!(reference.place(), Place::Stored(kind, _) if *kind == store)
            }
            Some(Pointer::Plain(_)) | None => false,
        })
    }
}

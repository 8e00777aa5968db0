//! What the verbs about providers share: the manifest, the stores, and a server where a pointer needs one.

use std::sync::Arc;
use std::time::SystemTime;

use leasehold::clock;
use leasehold::core::name::Place;
use leasehold::core::{Failure, Kind};
use leasehold::manifest::{Manifest, Pointer, Provider};
use leasehold::workstation::{Stores, Workstation};

use super::{block_on, in_session, settings_at};
use crate::arguments::workstation::ProviderConnection;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::exit::Exit;
use crate::ui::Ui;

/// A manifest with the settings that go with it.
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) manifest: Manifest,
    environment: Environment,
}

impl Desk {
    /// Reads the settings and the manifest.
    pub(crate) fn open(common: &ProviderConnection, environment: &Environment) -> Result<Self, Failure> {
        let settings = settings_at(&common.connection, &common.workstation, environment)?;
        let manifest = Manifest::load(&settings.workstation.manifest)?;
        Ok(Self { settings, manifest, environment: environment.clone() })
    }

    /// Does something with the keys of these providers, in a session with the server if one of them is there.
    pub(crate) fn attend<'p>(
        &self,
        providers: impl IntoIterator<Item = &'p Provider>,
        ui: Ui,
        work: impl AsyncFnOnce(&Workstation<'_>) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let workstation = workstation(&self.settings, &self.environment)?;
        match providers.into_iter().any(|provider| is_on_server(provider, &self.settings)) {
            false => block_on(work(&workstation)),
            true => in_session(&self.settings, ui, async |session| {
                let _ = session;
                work(&workstation).await
            }),
        }
    }
}

/// Whether a provider's key is on the server.
pub(crate) fn is_on_server(provider: &Provider, settings: &Settings) -> bool {
    match &provider.pointer {
        None => false,
        Some(Pointer::Plain(_)) => settings.workstation.is_on_server(),
        Some(Pointer::Full(reference)) => matches!(reference.place(), Place::Vault(_)),
    }
}

/// The workstation by these settings, without a server.
pub(crate) fn workstation(
    settings: &Settings,
    environment: &Environment,
) -> Result<Workstation<'static>, Failure> {
    let stores = Stores::new(settings.workstation.stores()?);
    let environment = environment.clone();
    let variables = move |name: &str| {
        let value = environment.variable(name).and_then(|value| value.to_str());
        let missing = || Failure::new(Kind::NotFound, format!("the variable {name} is not set"));
        value.map(leasehold::core::Secret::new).ok_or_else(missing)
    };
    Ok(Workstation::new(stores, Arc::new(variables), settings.state_dir.join("checks.json")))
}

/// The wall clock, to the second.
pub(crate) fn now() -> SystemTime {
    clock::wall_time(clock::wall_seconds()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The seconds since 1970.
pub(crate) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map(|span| span.as_secs()).unwrap_or_default()
}

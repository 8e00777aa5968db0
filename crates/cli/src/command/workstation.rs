//! What the verbs about providers share: the manifest, the stores, and a server where a pointer needs one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leasehold::clock;
use leasehold::core::name::{Place, Reference};
use leasehold::core::{Failure, Kind};
use leasehold::manifest::{Manifest, Pointer, Provider};
use leasehold::store::ServerStore;
use leasehold::workstation::{Elsewhere, Stores, Workstation};
use serde_json::json;

use super::{block_on, in_session, pretty, settings_at};
use crate::arguments::workstation::ProviderConnection;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::config::text::Origin;
use crate::exit::Exit;
use crate::ui::{self, Ui};

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
        let manifest = manifest(&settings)?;
        Ok(Self { settings, manifest, environment: environment.clone() })
    }

    /// Reads what the settings take from standard input, a line each, so that the rest is for what is read of it next.
    pub(crate) fn take_lines(&self) -> Result<(), Failure> {
        self.settings.workstation.stores(&self.settings.state_dir)?;
        let mut providers = self.manifest.providers().iter();
        if providers.any(|provider| is_on_server(provider, &self.settings)) {
            // What is wrong with a login is told where one is needed.
            let _ = self.settings.identity();
        }
        Ok(())
    }

    /// Does something with the keys of these providers, in a session with the server if one of them is there.
    pub(crate) fn attend<'p>(
        &self,
        providers: impl IntoIterator<Item = &'p Provider>,
        ui: Ui,
        work: impl AsyncFnOnce(&Workstation<'_>) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let is_on_server = providers.into_iter().any(|provider| is_on_server(provider, &self.settings));
        attend(&self.settings, &self.environment, is_on_server, ui, work)
    }
}

/// Does something with the key of the provider of this name, and the place where it belongs.
pub(crate) fn at_key(
    name: &str,
    common: &ProviderConnection,
    environment: &Environment,
    ui: Ui,
    work: impl AsyncFnOnce(&Workstation<'_>, &Provider, Reference) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let desk = Desk::open(common, environment)?;
    let provider = desk.manifest.provider(name)?;
    let pointer = provider.needed_pointer()?;
    desk.attend([provider], ui, async |workstation| {
        let place = workstation.stores().place_to_write(pointer).await?;
        work(workstation, provider, place).await
    })
}

/// The manifest. Where a flag says in which file, the hint for one that is missing says so too.
pub(crate) fn manifest(settings: &Settings) -> Result<Manifest, Failure> {
    let path = &settings.workstation.manifest;
    Manifest::load(path).map_err(|failure| match manifest_origin(settings) {
        Some(Origin::Flag(flag)) if failure.kind() == Kind::NotFound => {
            failure.hint(format!("make one: leasehold init {flag} '{}'", path.display()))
        }
        _ => failure,
    })
}

/// Who says where the manifest is.
pub(crate) fn manifest_origin(settings: &Settings) -> Option<&Origin> {
    let mut rows = settings.origins().iter();
    rows.find(|row| row.key == "workstation.manifest").map(|row| &row.origin)
}

/// The manifest, for what can be done without one. One that has faults is an error.
pub(crate) fn manifest_if_any(settings: &Settings) -> Result<Option<Manifest>, Failure> {
    match manifest(settings) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(failure) if failure.kind() == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Does something with the stores, in a session with the server if that is needed. Without a login, what is not on the
/// server is done all the same.
pub(crate) fn attend(
    settings: &Settings,
    environment: &Environment,
    needs_server: bool,
    ui: Ui,
    work: impl AsyncFnOnce(&Workstation<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let workstation = workstation(settings, environment)?;
    if !needs_server {
        return block_on(work(&workstation));
    }
    match settings.identity() {
        Err(failure) => block_on(work(&workstation.without_server(failure))),
        Ok(_) => in_session(settings, ui, async |session| {
            work(&workstation.with_server(Arc::new(ServerStore::new(session)))).await
        }),
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

/// How a provider's key is set, for hints.
pub(crate) fn how_to_set(provider: &Provider) -> String {
    let place = match &provider.pointer {
        Some(Pointer::Full(reference)) => Some(reference.place()),
        Some(Pointer::Plain(_)) | None => None,
    };
    match place {
        Some(Place::Env(name)) => format!("put it into the variable {name}"),
        Some(Place::File(path)) => format!("write it into {path}"),
        Some(Place::Stored(..) | Place::Vault(_)) | None => {
            format!("set it: leasehold set-key {}", provider.name)
        }
    }
}

/// What to do about a provider's key that is missing.
pub(crate) fn how_to_have(provider: &Provider, elsewhere: &Elsewhere) -> String {
    elsewhere.hint(provider).unwrap_or_else(|| how_to_set(provider))
}

/// Tells why keys could not be read. What is true of a store as a whole is told once, of the first of its keys.
pub(crate) fn tell_failures<'a>(ui: Ui, failures: impl Iterator<Item = (&'a Provider, Option<&'a Failure>)>) {
    let mut told = BTreeSet::new();
    for (provider, failure) in failures {
        let Some(failure) = failure else { continue };
        let mut is_new = told.insert(("", failure.message().to_owned()));
        if let (Some(pointer), Kind::Sealed | Kind::Unreachable) = (&provider.pointer, failure.kind()) {
            is_new &= told.insert((failure.kind().token(), scheme(pointer)));
        }
        if is_new {
            ui.warn(failure.message());
        }
    }
}

/// What a pointer begins with: all with the same are to the same store.
fn scheme(pointer: &Pointer) -> String {
    let text = pointer.to_string();
    text.split_once("://").map(|(scheme, _)| scheme.to_owned()).unwrap_or_default()
}

/// The workstation by these settings, without a server.
pub(crate) fn workstation(
    settings: &Settings,
    environment: &Environment,
) -> Result<Workstation<'static>, Failure> {
    let stores = Stores::new(settings.workstation.stores(&settings.state_dir)?);
    let environment = environment.clone();
    let variables = move |name: &str| {
        let value = environment.variable(name).and_then(|value| value.to_str());
        let missing = || Failure::new(Kind::NotFound, format!("the variable {name} is not set"));
        value.map(leasehold::core::Secret::new).ok_or_else(missing)
    };
    Ok(Workstation::new(stores, Arc::new(variables), settings.state_dir.join("checks.json")))
}

/// What this machine is called in manifests and alerts.
pub(crate) fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "workstation".into())
}

/// The wall clock, to the second.
pub(crate) fn now() -> SystemTime {
    clock::wall_time(clock::wall_seconds()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// How long ago, in its largest unit.
pub(crate) fn age(at: SystemTime) -> String {
    span(now().duration_since(at).unwrap_or(Duration::ZERO))
}

/// A span in its largest unit, such as `59s` or `3d`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Tells of a deletion, and of what it does not reach.
pub(crate) fn tell_deletion(place: &Reference, is_found: bool, is_dry: bool, is_json: bool, ui: Ui) {
    ui::answer(&deletion(place, is_found, is_dry, is_json));
    if is_found && matches!(place.place(), Place::Vault(_)) {
        ui.note("where the server's engine keeps versions, the earlier ones still hold the key: change it, or delete them with the server's own tool");
    }
}

fn deletion(place: &Reference, is_found: bool, is_dry: bool, is_json: bool) -> String {
    match (is_json, is_dry, is_found) {
        (true, true, _) => pretty(&json!({"would_delete": is_found, "place": place.to_string()})),
        (true, false, _) => pretty(&json!({"deleted": is_found, "place": place.to_string()})),
        (false, true, true) => format!("would delete {place}"),
        (false, false, true) => format!("deleted {place}"),
        (false, _, false) => format!("there is nothing at {place}"),
    }
}

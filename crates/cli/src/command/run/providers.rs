//! Whose key a command gets: the providers that were named, or the one that the policy takes.

use leasehold::core::name::Reference;
use leasehold::core::{Failure, Kind};
use leasehold::manifest::{Manifest, Provider};
use leasehold::workstation::{Pick, Workstation};

use super::bindings::Bindings;
use crate::arguments::run::RunArguments;
use crate::command::workstation::{is_on_server, manifest, manifest_if_any, now};
use crate::config::settings::Settings;
use crate::ui::Ui;

/// Which providers are to be taken.
pub(super) struct Wanted {
    manifest: Manifest,
    /// By name; if there is none, the policy takes one.
    named: Vec<String>,
    is_strict: bool,
}

impl Wanted {
    /// What the flags say. Where nothing at all is bound, the policy takes a provider, if there is a manifest.
    pub(super) fn of(
        arguments: &RunArguments,
        settings: &Settings,
        bindings: &Bindings,
    ) -> Result<Option<Self>, Failure> {
        let is_asked = arguments.strict_priority || !arguments.providers.is_empty();
        if !is_asked && !bindings.is_empty() {
            return Ok(None);
        }
        let manifest = match is_asked {
            true => Some(manifest(settings)?),
            false => manifest_if_any(settings)?,
        };
        let Some(manifest) = manifest else { return Ok(None) };
        let wanted =
            Self { manifest, named: arguments.providers.clone(), is_strict: arguments.strict_priority };
        wanted.named()?;
        Ok(Some(wanted))
    }

    /// Whether a server has to be asked.
    pub(super) fn is_on_server(&self, settings: &Settings) -> bool {
        let concerns = |provider: &Provider| self.named.is_empty() || self.named.contains(&provider.name);
        self.manifest
            .providers()
            .iter()
            .any(|provider| concerns(provider) && is_on_server(provider, settings))
    }

    /// Whether the policy takes a provider.
    pub(super) fn is_by_policy(&self) -> bool {
        self.named.is_empty()
    }

    /// Binds what the providers give. Tells whom the policy took, and why nobody before.
    pub(super) async fn bind(
        &self,
        bindings: &mut Bindings,
        workstation: &Workstation<'_>,
        ui: Ui,
    ) -> Result<(), Failure> {
        for provider in self.named()? {
            bind(bindings, provider, workstation.place(provider).await)?;
        }
        if self.is_by_policy() {
            let pick = workstation.pick(&self.manifest, self.is_strict, now()).await?;
            ui.note(&told(&pick));
            bind(bindings, &pick.provider, pick.place)?;
        }
        Ok(())
    }

    /// A failure to have what was bound, with what to do about a key that is not set.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        match &self.named[..] {
            [name] if failure.kind() == Kind::NotFound => failure.hint(format!("leasehold set-key {name}")),
            _ => failure,
        }
    }

    fn named(&self) -> Result<Vec<&Provider>, Failure> {
        self.named.iter().map(|name| self.manifest.provider(name)).collect()
    }
}

/// The key in its variable, and the endpoint in its own. A provider without either injects nothing.
fn bind(bindings: &mut Bindings, provider: &Provider, place: Option<Reference>) -> Result<(), Failure> {
    if let (Some(name), Some(place)) = (&provider.env_var, place) {
        bindings.bind(name, place)?;
    }
    if let (Some(name), Some(endpoint)) = (&provider.base_url_env, &provider.endpoint) {
        bindings.set(name, endpoint)?;
    }
    Ok(())
}

fn told(pick: &Pick) -> String {
    let given = match (&pick.provider.env_var, &pick.place) {
        (Some(name), Some(place)) => format!("{name} from {place}"),
        _ => "no key".into(),
    };
    let over: String =
        pick.passed_over.iter().map(|(name, reason)| format!("; not {name}: {reason}")).collect();
    format!("the provider is {} ({given}){over}", pick.provider.name)
}

//! Whose key a command gets: the providers that were named, or the one that the policy takes.

use std::collections::BTreeMap;

use leasehold::core::name::{Place, Reference};
use leasehold::core::{Failure, Fields, Kind, Secret};
use leasehold::manifest::{Manifest, Pointer, Provider};
use leasehold::workstation::{Pick, Workstation, check_key};

use super::bindings::Bindings;
use crate::arguments::run::RunArguments;
use crate::command::values::one;
use crate::command::workstation::{how_to_have, how_to_set, is_on_server, manifest, manifest_if_any, now};
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
        let is_asked = arguments.strict_priority || !bindings.providers().is_empty();
        if !is_asked && !bindings.is_empty() {
            return Ok(None);
        }
        let manifest = match is_asked {
            true => Some(manifest(settings)?),
            false => manifest_if_any(settings)?,
        };
        let Some(manifest) = manifest else { return Ok(None) };
        let named = bindings.providers().to_vec();
        let wanted = Self { manifest, named, is_strict: arguments.strict_priority };
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

    /// Binds what the providers give; the keys among it. Tells whom the policy took, and why nobody before.
    pub(super) async fn bind(
        &self,
        bindings: &mut Bindings,
        workstation: &Workstation<'_>,
        ui: Ui,
    ) -> Result<Keys, Failure> {
        let mut keys = Keys::default();
        for provider in self.named()? {
            keys.extend(bind(bindings, provider, workstation.place(provider).await)?);
        }
        if self.is_by_policy() {
            let pick = workstation.pick(&self.manifest, self.is_strict, now()).await?;
            ui.note(&told(&pick));
            keys.extend(bind(bindings, &pick.provider, pick.place)?);
        }
        Ok(keys)
    }

    fn named(&self) -> Result<Vec<&Provider>, Failure> {
        self.named.iter().map(|name| self.manifest.provider(name)).collect()
    }
}

/// The key in its variable, and the endpoint in its own. A provider without either injects nothing.
fn bind(
    bindings: &mut Bindings,
    provider: &Provider,
    place: Option<Reference>,
) -> Result<Option<Key>, Failure> {
    if let (Some(name), Some(endpoint)) = (&provider.base_url_env, &provider.endpoint) {
        bindings.set(name, endpoint, &provider.name)?;
    }
    let Some((variable, place)) = provider.env_var.clone().zip(place) else { return Ok(None) };
    bindings.bind(&variable, place.clone(), &provider.name)?;
    Ok(Some(Key { variable, place, provider: provider.clone() }))
}

fn told(pick: &Pick) -> String {
    let given = match (&pick.provider.env_var, &pick.place) {
        (Some(name), Some(place)) => format!("{name} from {place}"),
        _ => "no key".into(),
    };
    format!("the provider is {} ({given}){}", pick.provider.name, pick.passed_over.told("; ", "not "))
}

/// The keys of providers that a command gets: no blank takes the place of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
pub(super) struct Key {
    variable: String,
    place: Reference,
    provider: Provider,
}

impl Keys {
    fn extend(&mut self, more: Option<Key>) {
        self.0.extend(more);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// A failure to read a place, with what to do about it where a key is missing there.
    pub(super) async fn explain(
        &self,
        failure: Failure,
        place: &Place,
        workstation: &Workstation<'_>,
    ) -> Failure {
        match self.iter().find(|key| key.place() == place) {
            Some(key) => key.explain(failure, workstation).await,
            None => failure,
        }
    }

    /// Where the keys were put in a keyring that is away, what is read in its stead may be an old one.
    pub(super) async fn caveat(&self, workstation: &Workstation<'_>) -> Option<String> {
        let is_plain = |key: &&Key| matches!(key.provider.pointer, Some(Pointer::Plain(_)));
        let names: Vec<_> = self.iter().filter(is_plain).map(|key| key.provider.name.as_str()).collect();
        let [_, ..] = names[..] else { return None };
        let chosen = workstation.stores().chosen().await;
        let (bar, names) = (chosen.bar.as_ref()?.message(), names.join(", "));
        Some(format!("{bar}; the key of {names} is from {}, and may be an old one", chosen.choice))
    }

    /// Whether what was read at a place can be a key, should it be for one.
    pub(super) fn expect_at(&self, place: &Place, fields: &Fields) -> Result<(), Failure> {
        self.iter().filter(|key| key.place() == place).try_for_each(|key| key.expect_in(fields))
    }

    /// Whether all that the command gets for a key can be one.
    pub(super) fn expect_in(&self, variables: &BTreeMap<String, Secret>) -> Result<(), Failure> {
        let given = self.0.iter().filter_map(|key| Some((key, variables.get(&key.variable)?)));
        given.into_iter().try_for_each(|(key, secret)| key.expect(secret))
    }
}

impl Key {
    pub(super) fn place(&self) -> &Place {
        self.place.place()
    }

    /// Whether what was read at its place can be a key.
    pub(super) fn expect_in(&self, fields: &Fields) -> Result<(), Failure> {
        self.expect(&one(&self.place, fields)?)
    }

    fn expect(&self, secret: &Secret) -> Result<(), Failure> {
        check_key(secret).map_err(|failure| failure.context(&self.place).hint(how_to_set(&self.provider)))
    }

    /// A failure to have it, with what to do about it where it is missing.
    pub(super) async fn explain(&self, failure: Failure, workstation: &Workstation<'_>) -> Failure {
        match failure.kind() {
            Kind::NotFound => failure.hint(how_to_have(&self.provider, &workstation.elsewhere().await)),
            _ => failure,
        }
    }
}

//! Profiles: what a command gets, under a name.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use leasehold::core::name::{Place, Reference};
use nix::sys::signal::Signal;

use super::duration;
use super::fault::{ConfigFault, Trouble};
use super::key;
use super::layers::{Layers, filled};
use super::raw::{Given, RawProfile};
use super::text::Text;

/// What a command gets when a secret of it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnChange {
    /// Nothing, except that files are replaced.
    Ignore,
    /// A signal, by its name without `SIG`.
    Signal(String),
    /// A new start with the new values.
    Restart,
}

/// The signal that means "read your configuration again".
const RELOAD: &str = "HUP";

impl FromStr for OnChange {
    type Err = Trouble;

    /// Parses `ignore`, `signal`, `signal:SIG` or `restart`.
    fn from_str(text: &str) -> Result<Self, Trouble> {
        match text.split_once(':') {
            None if text == "ignore" => Ok(Self::Ignore),
            None if text == "signal" => Ok(Self::Signal(RELOAD.into())),
            None if text == "restart" => Ok(Self::Restart),
            Some(("signal", name)) => parse_signal(name)
                .map(Self::Signal)
                .map_err(|trouble| Trouble { at: Some("signal:".len()), ..trouble }),
            _ => Err(Trouble::at(0, "a change is answered by ignore, signal, signal:SIG or restart")),
        }
    }
}

/// Parses the name of a signal, with or without `SIG`, into the name without it.
pub(crate) fn parse_signal(text: &str) -> Result<String, Trouble> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    match Signal::from_str(&format!("SIG{name}")) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(Trouble::at(0, "there is no such signal; one is written as HUP or SIGHUP")),
    }
}

/// What a command gets and how it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Providers of the manifest, by their names.
    pub(crate) providers: Vec<String>,
    /// Variables, each with where its value comes from.
    pub(crate) env: BTreeMap<String, Reference>,
    /// Secrets of which each field becomes a variable. They are on the server and name no field.
    pub(crate) env_from: Vec<Reference>,
    /// Files, each with where its content comes from. A path is absolute, or has no `..`.
    pub(crate) files: BTreeMap<PathBuf, Reference>,
    /// What the command gets when a secret changes.
    pub(crate) on_change: Option<OnChange>,
    /// The signal that asks the command to stop, by its name without `SIG`.
    pub(crate) stop_signal: Option<String>,
    /// How long the command may take to stop.
    pub(crate) stop_timeout: Option<Duration>,
    /// How often static secrets are read again, at least 1 s.
    pub(crate) refresh_interval: Option<Duration>,
    /// How long what was obtained lives when nobody renews it, at least 10 s.
    pub(crate) parent_ttl: Option<Duration>,
    /// A random part of this is waited before the first login, so that a fleet does not log in together.
    pub(crate) start_spread: Option<Duration>,
}

impl Profile {
    /// The section `run`, which holds for all profiles.
    pub(super) fn defaults(layers: &mut Layers) -> Self {
        Self {
            on_change: layers.one(&key::ON_CHANGE, str::parse),
            stop_signal: layers.one(&key::STOP_SIGNAL, parse_signal),
            stop_timeout: layers.one(&key::STOP_TIMEOUT, duration::parse),
            refresh_interval: layers.one(&key::REFRESH_INTERVAL, duration::parse_interval),
            parent_ttl: layers.one(&key::PARENT_TTL, duration::parse_life),
            start_spread: layers.one(&key::START_SPREAD, duration::parse),
            ..Self::default()
        }
    }

    /// A profile as it was written, over the defaults.
    pub(super) fn settle(raw: RawProfile, defaults: &Self, faults: &mut Vec<ConfigFault>) -> Self {
        let own = Self::own_run(raw.run, faults);
        Self {
            providers: raw.providers.iter().filter_map(|text| kept(text.parse(filled), faults)).collect(),
            env: pairs(&raw.env, variable_name, reference, faults),
            env_from: raw.env_from.iter().filter_map(|text| kept(text.parse(whole_secret), faults)).collect(),
            files: pairs(&raw.files, file_path, reference, faults),
            on_change: own.on_change.or_else(|| defaults.on_change.clone()),
            stop_signal: own.stop_signal.or_else(|| defaults.stop_signal.clone()),
            stop_timeout: own.stop_timeout.or(defaults.stop_timeout),
            refresh_interval: own.refresh_interval.or(defaults.refresh_interval),
            parent_ttl: own.parent_ttl.or(defaults.parent_ttl),
            start_spread: own.start_spread.or(defaults.start_spread),
        }
    }

    fn own_run(run: Vec<Given>, faults: &mut Vec<ConfigFault>) -> Self {
        let mut layers = Layers::default();
        for (key, texts) in run {
            layers.put(key, texts);
        }
        let own = Self::defaults(&mut layers);
        faults.append(&mut layers.faults);
        own
    }
}

fn kept<T>(result: Result<T, ConfigFault>, faults: &mut Vec<ConfigFault>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

fn pairs<K: Ord, V>(
    raw: &[(Text, Text)],
    key: fn(&str) -> Result<K, Trouble>,
    value: fn(&str) -> Result<V, Trouble>,
    faults: &mut Vec<ConfigFault>,
) -> BTreeMap<K, V> {
    let mut parsed = BTreeMap::new();
    for (left, right) in raw {
        let (left, right) = (kept(left.parse(key), faults), kept(right.parse(value), faults));
        parsed.extend(left.zip(right));
    }
    parsed
}

fn variable_name(text: &str) -> Result<String, Trouble> {
    match text.find(['=', '\0']) {
        Some(at) => Err(Trouble::at(at, "a variable's name has neither `=` nor a zero byte")),
        None => filled(text),
    }
}

fn file_path(text: &str) -> Result<PathBuf, Trouble> {
    let path = Path::new(text);
    match path.components().any(|part| part == Component::ParentDir) || text.contains('\0') {
        true => Err(Trouble::at(0, "a file's path has neither `..` nor a zero byte")),
        false => filled(text).map(PathBuf::from),
    }
}

/// Parses a reference. What does not even look like one is not shown: it may be the secret itself.
pub(crate) fn reference(text: &str) -> Result<Reference, Trouble> {
    let looks_like_one = ["vault://", "bao://", "env://", "file://", "keyring://", "sealed://", "kernel://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    Reference::parse(text).map_err(|fault| match looks_like_one {
        true => fault.into(),
        false => Trouble::unseen(fault.message()).hint(
            "a secret itself does not belong here: store it on the server, and name its place, such as \
             vault://secret/db#password",
        ),
    })
}

/// Parses a reference to all fields of a secret.
pub(crate) fn whole_secret(text: &str) -> Result<Reference, Trouble> {
    let reference = reference(text)?;
    match (reference.place(), reference.field()) {
        (Place::Vault(_), None) => Ok(reference),
        (Place::Vault(_), Some(_)) => {
            Err(Trouble::at(text.find('#').unwrap_or(0), "all fields are taken here: leave the field out"))
        }
        (Place::Env(_) | Place::File(_) | Place::Stored(..), _) => {
            Err(Trouble::at(0, "only a secret on the server has fields"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_a_change() {
        let check = |text: &str, expect: Result<OnChange, usize>| {
            let got = text.parse::<OnChange>().map_err(|trouble| trouble.at.unwrap());
            assert_eq!(got, expect, "{text:?}");
        };
        check("ignore", Ok(OnChange::Ignore));
        check("restart", Ok(OnChange::Restart));
        check("signal", Ok(OnChange::Signal("HUP".into())));
        check("signal:SIGUSR1", Ok(OnChange::Signal("USR1".into())));
        check("signal:int", Ok(OnChange::Signal("INT".into())));
        check("signal:", Err(7));
        check("signal:NONE", Err(7));
        check("restart:HUP", Err(0));
        check("", Err(0));
    }

    #[test]
    fn references_that_show_no_secret() {
        let check =
            |parse: fn(&str) -> Result<Reference, Trouble>, text: &str, expect: Result<(), Option<usize>>| {
                assert_eq!(parse(text).map(drop).map_err(|trouble| trouble.at), expect, "{text:?}");
            };
        check(reference, "vault://secret/db#password", Ok(()));
        check(reference, "vault://secret/db#", Err(Some(18)));
        check(reference, "hunter2", Err(None));
        check(reference, "postgres://u:hunter2@db", Err(None));
        check(whole_secret, "vault://secret/db", Ok(()));
        check(whole_secret, "vault://secret/db#password", Err(Some(17)));
        check(whole_secret, "env://HOME", Err(Some(0)));
    }

    #[test]
    fn paths_of_files() {
        let check = |text: &str, expect: bool| assert_eq!(file_path(text).is_ok(), expect, "{text:?}");
        check("/run/key", true);
        check("tls/key", true);
        check("../key", false);
        check("/run/../etc/passwd", false);
        check("", false);
    }
}

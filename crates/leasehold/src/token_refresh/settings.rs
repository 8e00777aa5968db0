//! What a refresh is told at the beginning: by values, or by the environment of a service.

use std::ffi::OsString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::policy::Every;
use leasehold_core::{Failure, Kind, Policy, Secret};

use super::place::{TokenPlace, check_deployment, invalid};
use crate::client::VaultClient;
use crate::clock::Clock;
use crate::environment::Environment;
use crate::identity::{Identity, Source};
use crate::token_cache::is_blank;

/// How a deployment's token is kept.
#[derive(Debug)]
pub struct TokenRefreshSettings {
    /// Where the token is; without it, the fallback's is served.
    pub vault: Option<VaultAccess>,
    /// The deployment's hash, for the audit.
    pub deployment: String,
    /// The token until Vault has said one, and what somebody changes there later: `AGENT_TOKEN`.
    pub fallback: Fallback,
    /// How often Vault is asked: each 60 s plus 5 to 10 s.
    pub refresh: Every,
    /// How long the token before the present one is good: 120 s. Between the first service that has a new token and the
    /// last lies a whole interval, so it is longer than that.
    pub overlap: Duration,
    /// After so long without a word of Vault the health is `stale`: 600 s. More than the interval.
    pub stale_after: Duration,
    /// The clock; a [steered](Clock::steered) one in tests.
    pub clock: Clock,
}

/// The way to a token in Vault.
#[derive(Debug)]
pub struct VaultAccess {
    /// The server.
    pub client: VaultClient,
    /// Who we are to it. What is obtained by a login is kept alive and given back in the end.
    pub identity: Identity,
    /// Which secret.
    pub place: TokenPlace,
    /// Where it is written down what must be given back if this process dies.
    pub state_dir: PathBuf,
}

/// Where a token is that does not come from Vault. It is read at the start, and again when Vault fails or has nothing
/// new.
#[derive(Clone)]
pub struct Fallback(Arc<dyn Fn() -> Result<Option<Secret>, Failure> + Send + Sync>);

impl Fallback {
    /// There is none.
    pub fn none() -> Self {
        Self(Arc::new(|| Ok(None)))
    }

    /// A text, or the one line of a file.
    pub fn of(source: Source) -> Self {
        Self(Arc::new(move || source.read().map(Some)))
    }

    /// Whatever this says at the time; a blank text is none. If it panics, it says nothing.
    pub fn reading(read: impl Fn() -> Option<Secret> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Ok(read())))
    }

    /// The token there; none if there is none.
    pub(super) fn read(&self) -> Result<Option<Secret>, Failure> {
        // Whatever it breaks is its own.
        let said = catch_unwind(AssertUnwindSafe(|| (self.0)())).unwrap_or_else(|_| {
            tracing::error!("the fallback panicked");
            Err(Failure::new(Kind::Broken, "the fallback panicked"))
        });
        Ok(said?.filter(|token| !is_blank(token)))
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fallback(..)")
    }
}

impl TokenRefreshSettings {
    /// The usual settings for a token in Vault, without a fallback.
    pub fn new(vault: VaultAccess) -> Self {
        Self {
            deployment: vault.place.deployment().to_owned(),
            vault: Some(vault),
            ..Self::without_vault(Fallback::none())
        }
    }

    /// The fallback's token is served as it is.
    pub fn without_vault(fallback: Fallback) -> Self {
        Self {
            vault: None,
            deployment: DEPLOYMENT.to_owned(),
            fallback,
            refresh: Every { least: Duration::from_secs(65), most: Duration::from_secs(70) },
            overlap: Duration::from_secs(120),
            stale_after: Duration::from_secs(600),
            clock: Clock::default(),
        }
    }

    /// What the environment says. What is empty counts as unset:
    ///
    /// | variable | |
    /// |---|---|
    /// | `VAULT_ADDRESS` | the server; unset: the fallback's token is served as it is |
    /// | `VAULT_TOKEN` | the token for it |
    /// | `VAULT_NAMESPACE` | its namespace; the root namespace if unset |
    /// | `VAULT_CACERT` | a PEM file of the authorities to trust; the system's if unset |
    /// | `VAULT_AGENT_PATH_PREFIX` | the mount, or mount and folder: `status_panel` if unset |
    /// | `DEPLOYMENT_HASH` | `default` if unset |
    /// | `AGENT_TOKEN` | the fallback, read again each time |
    /// | `AGENT_TOKEN_FILE` | a file with one line, which is the fallback, in place of `AGENT_TOKEN` |
    ///
    /// In `state_dir` it is written down what must be given back if this process dies.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the variable, for what cannot be; `NeedsLogin` if a file cannot be read.
    ///
    /// ```
    /// use leasehold::token_refresh::TokenRefreshSettings;
    ///
    /// let settings = TokenRefreshSettings::from_environment(|name| std::env::var_os(name), "/var/lib/app/leasehold");
    /// # drop(settings);
    /// ```
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
        state_dir: impl Into<PathBuf>,
    ) -> Result<Self, Failure> {
        settings_of(Environment::new(lookup), None, state_dir.into())
    }

    /// As [`from_environment`](Self::from_environment), with an identity in place of `VAULT_TOKEN`: a login, or a token
    /// in a file.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn from_environment_as(
        identity: Identity,
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
        state_dir: impl Into<PathBuf>,
    ) -> Result<Self, Failure> {
        settings_of(Environment::new(lookup), Some(identity), state_dir.into())
    }

    /// The same as the engine says it.
    pub(super) fn policy(&self) -> Policy {
        Policy { refresh: Some(self.refresh), ..Policy::default() }
    }
}

const ADDRESS: &str = "VAULT_ADDRESS";
const PREFIX: &str = "status_panel";
const DEPLOYMENT: &str = "default";

/// What an environment says.
fn settings_of(
    environment: Environment,
    identity: Option<Identity>,
    state_dir: PathBuf,
) -> Result<TokenRefreshSettings, Failure> {
    let deployment = environment.text("DEPLOYMENT_HASH")?.unwrap_or_else(|| DEPLOYMENT.to_owned());
    check_deployment(&deployment).map_err(|failure| failure.context("DEPLOYMENT_HASH"))?;
    let vault = match environment.text(ADDRESS)? {
        Some(address) => Some(access(&environment, &address, &deployment, identity, state_dir)?),
        None => None,
    };
    let fallback = fallback(environment)?;
    // It is told now if it cannot be read.
    fallback.read()?;
    Ok(TokenRefreshSettings { vault, deployment, ..TokenRefreshSettings::without_vault(fallback) })
}

fn access(
    environment: &Environment,
    address: &str,
    deployment: &str,
    identity: Option<Identity>,
    state_dir: PathBuf,
) -> Result<VaultAccess, Failure> {
    let client = environment.client(ADDRESS, address)?;
    let prefix = environment.text("VAULT_AGENT_PATH_PREFIX")?;
    let place = TokenPlace::new(prefix.as_deref().unwrap_or(PREFIX), deployment);
    let place = place.map_err(|failure| failure.context("VAULT_AGENT_PATH_PREFIX"))?;
    let identity = identity.map_or_else(|| environment.identity(ADDRESS), Ok)?;
    Ok(VaultAccess { client, identity, place, state_dir })
}

fn fallback(environment: Environment) -> Result<Fallback, Failure> {
    match (environment.variable("AGENT_TOKEN_FILE"), environment.text("AGENT_TOKEN")?) {
        (None, _) => Ok(Fallback::reading(move || Some(Secret::new(environment.text("AGENT_TOKEN").ok()??)))),
        (Some(file), None) => Ok(Fallback::of(Source::File(file.into()))),
        (Some(_), Some(_)) => {
            Err(invalid("AGENT_TOKEN and AGENT_TOKEN_FILE are both set: which is meant?".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn settings(variables: &[(&'static str, &'static str)]) -> Result<TokenRefreshSettings, Failure> {
        let variables = variables.to_vec();
        let lookup = move |name: &str| {
            variables.iter().find(|(at, _)| *at == name).map(|(_, value)| OsString::from(value))
        };
        TokenRefreshSettings::from_environment(lookup, "state")
    }

    const ADDRESS: (&str, &str) = ("VAULT_ADDRESS", "http://127.0.0.1:8200");
    const TOKEN: (&str, &str) = ("VAULT_TOKEN", "s.canary");

    #[test]
    fn without_an_address_the_agents_token_is_served() {
        let check = |variables: &[_], expect: Option<&str>| {
            let settings = settings(variables).unwrap();
            let token = settings.fallback.read().unwrap();
            assert_eq!(token.as_ref().map(Secret::expose), expect, "{variables:?}");
            assert!(settings.vault.is_none() && settings.deployment == "default");
        };
        check(&[], None);
        check(&[("VAULT_ADDRESS", ""), ("AGENT_TOKEN", "blue")], Some("blue"));
        check(&[("AGENT_TOKEN", ""), TOKEN], None);
        check(&[("AGENT_TOKEN", " \n")], None);
        check(&[("VAULT_AGENT_PATH_PREFIX", "../x"), ("AGENT_TOKEN", "blue")], Some("blue"));
    }

    #[test]
    fn a_place_is_made_of_prefix_and_deployment() {
        let check = |more: &[_], expect: &str| {
            let settings = settings(&[&[ADDRESS, TOKEN], more].concat()).unwrap();
            assert_eq!(settings.vault.unwrap().place.to_string(), expect, "{more:?}");
        };
        check(&[], "status_panel/default/token");
        check(&[("DEPLOYMENT_HASH", ""), ("VAULT_AGENT_PATH_PREFIX", "")], "status_panel/default/token");
        check(&[("DEPLOYMENT_HASH", "d-1"), ("VAULT_AGENT_PATH_PREFIX", "kv/sp")], "kv/sp/d-1/token");
    }

    #[test]
    fn each_fault_names_its_variable_and_no_secret() {
        let check = |variables: &[_], expect: &str| {
            let failure = settings(variables).unwrap_err();
            assert_eq!((failure.kind(), failure.message()), (Kind::Invalid, expect), "{variables:?}");
        };
        check(&[ADDRESS], "VAULT_ADDRESS is set and VAULT_TOKEN is not");
        check(&[ADDRESS, ("VAULT_TOKEN", "")], "VAULT_ADDRESS is set and VAULT_TOKEN is not");
        check(&[ADDRESS, ("VAULT_TOKEN", "s.a\nb")], "VAULT_TOKEN: a character that no token has");
        let address = "VAULT_ADDRESS: an address begins with https://, http:// or unix://";
        check(&[("VAULT_ADDRESS", "vault:8200"), TOKEN], address);
        let namespace = "VAULT_NAMESPACE: a namespace is written in visible ASCII characters";
        check(&[ADDRESS, TOKEN, ("VAULT_NAMESPACE", "a b")], namespace);
        let prefix = "VAULT_AGENT_PATH_PREFIX: `kv//x` is no prefix of a path: an empty part in the path";
        check(&[ADDRESS, TOKEN, ("VAULT_AGENT_PATH_PREFIX", "kv//x")], prefix);
        let hash = "DEPLOYMENT_HASH: `../x` is no hash of a deployment: it has a slash";
        check(&[("DEPLOYMENT_HASH", "../x")], hash);
        let both = "AGENT_TOKEN and AGENT_TOKEN_FILE are both set: which is meant?";
        check(&[("AGENT_TOKEN", "blue"), ("AGENT_TOKEN_FILE", "/x")], both);
    }

    #[test]
    fn a_file_that_is_not_there_is_told_at_once() {
        let failure = settings(&[("AGENT_TOKEN_FILE", "/nowhere/token")]).unwrap_err();
        assert_eq!(failure.message(), "cannot read /nowhere/token: entity not found");
    }

    #[test]
    fn what_is_no_text_is_told_and_not_taken_for_unset() {
        let lookup = |name: &str| (name == "VAULT_ADDRESS").then(|| OsString::from_vec(vec![0xff]));
        let failure = TokenRefreshSettings::from_environment(lookup, "state").unwrap_err();
        assert_eq!(failure.message(), "VAULT_ADDRESS is no UTF-8");
    }
}

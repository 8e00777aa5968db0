//! A server, and who we are to it, as a service's environment says it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use leasehold_core::name::{Address, Namespace};
use leasehold_core::{Failure, Kind, Secret};

use crate::client::VaultClient;
use crate::identity::{Identity, Source};
use crate::transport::TransportSettings;

/// The server and the token of an environment. What is empty counts as unset:
///
/// | variable | |
/// |---|---|
/// | `VAULT_ADDR`, else `VAULT_ADDRESS` | the server |
/// | `VAULT_TOKEN` | the token for it |
/// | `VAULT_NAMESPACE` | its namespace; the root namespace if unset |
/// | `VAULT_CACERT` | a PEM file of the authorities to trust; the system's if unset |
///
/// # Errors
///
/// `Invalid`, naming the variable, for what cannot be or is not set.
///
/// ```no_run
/// use leasehold::environment;
/// use leasehold::token_manager::{TokenManagerSettings, start_token_manager};
///
/// # fn example() -> Result<(), leasehold::core::Failure> {
/// let (client, token) = environment::access(|name| std::env::var_os(name))?;
/// start_token_manager(client, token, TokenManagerSettings::new("/var/lib/app/leasehold"))?;
/// # Ok(())
/// # }
/// ```
pub fn access(
    lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
) -> Result<(VaultClient, Identity), Failure> {
    let environment = Environment::new(lookup);
    for name in ["VAULT_ADDR", "VAULT_ADDRESS"] {
        if let Some(address) = environment.text(name)? {
            return Ok((environment.client(name, &address)?, environment.identity(name)?));
        }
    }
    Err(invalid("VAULT_ADDR is not set".into()))
}

/// What a variable's name leads to.
type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Variables by name.
pub(crate) struct Environment(Box<Lookup>);

impl Environment {
    pub(crate) fn new(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self(Box::new(lookup))
    }

    /// What is set, and not to nothing.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The same as a text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let text = self.variable(name).map(OsString::into_string).transpose();
        text.map_err(|_| invalid(format!("{name} is no UTF-8")))
    }

    /// The client of this address, which was found under this name.
    pub(crate) fn client(&self, name: &str, address: &str) -> Result<VaultClient, Failure> {
        let fault = |name: &str, fault: &dyn fmt::Display| invalid(format!("{name}: {fault}"));
        let address = Address::parse(address).map_err(|why| fault(name, &why))?;
        let namespace = self.text("VAULT_NAMESPACE")?.map(|text| Namespace::parse(&text)).transpose();
        let namespace = namespace.map_err(|why| fault("VAULT_NAMESPACE", &why))?;
        let mut transport = TransportSettings::new(vec![address]);
        transport.tls.ca_file = self.variable("VAULT_CACERT").map(PathBuf::from);
        VaultClient::new(&transport, namespace)
    }

    /// The token for the server that was found under this name.
    pub(crate) fn identity(&self, server: &str) -> Result<Identity, Failure> {
        let token = self.text("VAULT_TOKEN")?;
        let token = token.ok_or_else(|| invalid(format!("{server} is set and VAULT_TOKEN is not")))?;
        if token.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(invalid("VAULT_TOKEN: a character that no token has".into()));
        }
        Ok(Identity::Brought(Source::Value(Secret::new(token))))
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_and_a_token_or_which_variable_is_wrong() {
        let check = |variables: &[(&'static str, &'static str)], expect: Result<&str, &str>| {
            let variables = variables.to_vec();
            let found = access(move |name| {
                variables.iter().find(|(at, _)| *at == name).map(|(_, value)| OsString::from(value))
            });
            let found = found.map(|(client, identity)| {
                let Identity::Brought(source) = identity else { panic!("no token") };
                let namespace = client.namespace().map(ToString::to_string).unwrap_or_default();
                format!("{} {namespace} {}", client.address(), source.read().unwrap().expose())
            });
            assert_eq!(found.as_deref().map_err(Failure::message), expect);
        };
        let (address, token) = (("VAULT_ADDR", "http://one:8200"), ("VAULT_TOKEN", "s.canary"));
        let other = ("VAULT_ADDRESS", "http://two:8200");
        check(&[address, token], Ok("http://one:8200  s.canary"));
        check(&[other, token, ("VAULT_NAMESPACE", "a/b")], Ok("http://two:8200 a/b s.canary"));
        check(&[other, address, token], Ok("http://one:8200  s.canary"));
        check(&[other, ("VAULT_ADDR", ""), token], Ok("http://two:8200  s.canary"));
        check(&[token], Err("VAULT_ADDR is not set"));
        check(&[other], Err("VAULT_ADDRESS is set and VAULT_TOKEN is not"));
        check(&[address, ("VAULT_TOKEN", "s.a\nb")], Err("VAULT_TOKEN: a character that no token has"));
        let fault = "VAULT_ADDR: an address begins with https://, http:// or unix://";
        check(&[("VAULT_ADDR", "one:8200"), token], Err(fault));
        let fault = "VAULT_NAMESPACE: a namespace is written in visible ASCII characters";
        check(&[address, token, ("VAULT_NAMESPACE", "a b")], Err(fault));
    }
}

//! Where alerts are sent: an address that may be a secret as a whole.

use std::fmt;

use http::Uri;
use leasehold_core::name::{Address, Scheme};
use leasehold_core::{Failure, Kind, Secret};

use crate::transport::origin;

/// A URL, taken apart. Only its host is ever shown.
#[derive(Clone)]
pub(super) struct Target {
    address: Address,
    url: Secret,
}

impl Target {
    /// Takes a URL apart, or says what is wrong with it without repeating it. Without TLS it is refused, except on this
    /// machine.
    pub(super) fn parse(url: &Secret) -> Result<Self, Failure> {
        let invalid = |why: &str| Failure::new(Kind::Invalid, format!("the URL of an alert sink {why}"));
        let address = origin(url.expose()).filter(|address| address.scheme() != Scheme::Unix);
        let address = address.ok_or_else(|| invalid("is https://HOST/PATH, without a name or password"))?;
        if address.scheme() == Scheme::Http && !address.is_loopback() {
            return Err(invalid("begins with https://: what is sent to it must not be read on the way"));
        }
        if url.expose().contains('#') || url.expose().parse::<Uri>().is_err() {
            return Err(invalid("has a character that no URL has"));
        }
        Ok(Self { address, url: url.clone() })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it is a host alone.
    pub(super) fn is_bare(&self) -> bool {
        let url = self.url.expose().parse::<Uri>();
        url.is_ok_and(|url| url.path_and_query().is_none_or(|path| path == "/"))
    }

    /// The same place with another path.
    pub(super) fn at(&self, path: &str) -> Self {
        Self { url: Secret::new(format!("{}{path}", self.address)), address: self.address.clone() }
    }

    pub(super) fn url(&self) -> &Secret {
        &self.url
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}/..)", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_reached_by_tls_and_show_their_host_alone() {
        let check = |url: &str, expect: Result<&str, &str>| {
            let target = Target::parse(&Secret::new(url));
            let shown = target.map(|target| format!("{target:?}")).map_err(|failure| failure.to_string());
            match expect {
                Ok(expect) => assert_eq!(shown.as_deref(), Ok(expect), "{url}"),
                Err(part) => assert!(shown.as_ref().is_err_and(|it| it.contains(part)), "{url}: {shown:?}"),
            }
            assert!(!format!("{shown:?}").contains("canary"));
        };
        check("https://hooks.slack.com/services/T0/B0/canary", Ok("Target(https://hooks.slack.com:443/..)"));
        check("https://a.example?sig=canary", Ok("Target(https://a.example:443/..)"));
        check("http://127.0.0.1:8080/canary", Ok("Target(http://127.0.0.1:8080/..)"));
        check("http://[::1]:1/", Ok("Target(http://[::1]:1/..)"));
        check("http://hooks.slack.com/canary", Err("begins with https://"));
        check("https://u:canary@a.example/", Err("without a name or password"));
        check("https://a.example/canary#x", Err("no URL has"));
        check("https://a.example/canary x", Err("no URL has"));
        check("https://a.example/canary\r\nx: y", Err("no URL has"));
        check("unix:///canary", Err("is https://HOST/PATH"));
        check("canary", Err("is https://HOST/PATH"));
    }
}

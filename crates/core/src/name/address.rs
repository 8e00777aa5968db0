//! Where a server listens.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;

use super::Fault;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Plain HTTP over a Unix socket.
    Unix,
}

/// The address of a server: `https://vault.example:8200`, `http://[::1]:8200` or `unix:///run/vault.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
}

impl Address {
    /// Parses an address. User information, a path, a query and a fragment are refused, since nothing of them
    /// would be used.
    ///
    /// ```
    /// use leasehold_core::name::{Address, Scheme};
    ///
    /// let address = Address::parse("https://vault.example/").unwrap();
    /// assert_eq!((address.scheme(), address.host(), address.port()), (Scheme::Https, "vault.example", 443));
    /// ```
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Fault::new(0, "an address begins with https://, http:// or unix://"));
        };
        let at = scheme.len() + 3;
        match scheme {
            "https" => Self::parse_tcp(Scheme::Https, at, rest),
            "http" => Self::parse_tcp(Scheme::Http, at, rest),
            "unix" if rest.starts_with('/') && rest.len() > 1 => {
                Ok(Self { scheme: Scheme::Unix, host: rest.into(), port: 0 })
            }
            "unix" => Err(Fault::new(at, "a Unix socket is given by its absolute path")),
            _ => Err(Fault::new(0, "an address begins with https://, http:// or unix://")),
        }
    }

    fn parse_tcp(scheme: Scheme, at: usize, rest: &str) -> Result<Self, Fault> {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some((offset, c)) = rest.char_indices().find(|(_, c)| !is_authority(*c)) {
            return Err(Fault::new(at + offset, format!("`{c}` does not belong into an address")));
        }
        let (host, port) =
            split_port(rest).ok_or_else(|| Fault::new(at, "an address is HOST or HOST:PORT"))?;
        if host.trim_matches(['[', ']']).is_empty() {
            return Err(Fault::new(at, "the host is missing"));
        }
        let port = match port {
            None if scheme == Scheme::Https => 443,
            None => 80,
            Some(digits) => digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| Fault::new(at + host.len() + 1, "a port is a number from 1 to 65535"))?,
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase().into(), port })
    }

    /// How the server is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case, an IPv6 address in brackets; the path of a Unix socket.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; zero for a Unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether nobody else is on the way: `localhost`, `127.0.0.0/8` or `::1`.
    pub fn is_loopback(&self) -> bool {
        let v4 = || self.host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
        let v6 = || self.host.trim_matches(['[', ']']).parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback());
        &*self.host == "localhost" || v4() || v6()
    }
}

fn is_authority(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']')
}

/// Splits `host:port`, where the host may be an IPv6 address in brackets.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (host, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Http => write!(f, "http://{}:{}", self.host, self.port),
            Scheme::Https => write!(f, "https://{}:{}", self.host, self.port),
            Scheme::Unix => write!(f, "unix://{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: Result<&str, usize>) {
        let got = Address::parse(input).map(|address| address.to_string());
        assert_eq!(got.as_deref().map_err(Fault::at), expect, "{input:?}");
    }

    #[test]
    fn addresses() {
        check("https://vault.example:8200", Ok("https://vault.example:8200"));
        check("HTTP://vault", Err(0));
        check("http://Vault", Ok("http://vault:80"));
        check("https://[::1]:8200/", Ok("https://[::1]:8200"));
        check("https://[::1]", Ok("https://[::1]:443"));
        check("unix:///run/vault.sock", Ok("unix:///run/vault.sock"));
        check("unix://vault.sock", Err(7));
        check("vault.example:8200", Err(0));
        check("https://", Err(8));
        check("https://user:pw@vault", Err(15));
        check("https://vault/v1", Err(13));
        check("https://vault:0", Err(14));
        check("https://vault:99999", Err(14));
        check("https://::1", Err(8));
    }
}

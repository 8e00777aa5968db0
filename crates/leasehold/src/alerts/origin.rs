//! Who tells.

use std::fmt;

use leasehold_core::name::Address;

/// Who tells, and whose credentials it tells of. All of it goes to strangers.
///
/// ```
/// use leasehold::alerts::Origin;
/// use leasehold::core::name::Address;
///
/// let server = Address::parse("https://vault.example:8200").unwrap();
/// let origin = Origin { servers: vec![server], command: Some("psql".into()), ..Origin::from("web-1") };
/// assert_eq!(origin.to_string(), "web-1, psql, https://vault.example:8200");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The service, or the host. PagerDuty keeps the incidents of two sources apart.
    pub source: String,
    /// The server that the credentials are of, by each of its addresses; none where that is not known.
    pub servers: Vec<Address>,
    /// The name of the command that has them, without its arguments.
    pub command: Option<String>,
}

impl Origin {
    /// The server's addresses in one line.
    pub(super) fn server(&self) -> Option<String> {
        let servers: Vec<_> = self.servers.iter().map(Address::to_string).collect();
        (!servers.is_empty()).then(|| servers.join(", "))
    }
}

impl From<&str> for Origin {
    fn from(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [Some(self.source.clone()), self.command.clone(), self.server()];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

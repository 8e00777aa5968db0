//! Whether a provider accepts a key, asked of the provider itself by a call that costs nothing.

mod endpoint;
mod kind;
mod verdict;

use std::time::Duration;

use leasehold_core::{Failure, Secret};

use crate::manifest::Provider;
use crate::transport::{Question, Transport, TransportSettings, reach};
use endpoint::Endpoint;
pub use kind::ProviderKind;
pub use verdict::Verdict;

/// The longest that a provider may take for its whole answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is read: lists of models have a few hundred kilobytes.
const LARGEST: usize = 1 << 20;
/// The longest that an endpoint may take to be reached.
const REACH: Duration = Duration::from_secs(1);

/// Asks providers. A key goes to the provider's own hosts over TLS or to the loopback, once, in a header; nowhere after
/// a redirect, and through no proxy of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Prober {
    limit: Duration,
}

/// Whether anybody listens at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// A connection was made.
    Reachable,
    /// None was, for this reason, in a few words.
    Unreachable(String),
}

impl Reachability {
    /// Whether a connection was made.
    pub fn is_reachable(&self) -> bool {
        *self == Self::Reachable
    }
}

impl Default for Prober {
    /// One that waits 10 s for a whole answer.
    fn default() -> Self {
        Self::within(LIMIT)
    }
}

impl Prober {
    /// One that waits so long for a whole answer.
    pub fn within(limit: Duration) -> Self {
        Self { limit }
    }

    /// Asks a provider whether it accepts this key. Whatever goes wrong is [`Verdict::Unknown`], with the reason.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), leasehold::core::Failure> {
    /// use leasehold::core::Secret;
    /// use leasehold::manifest::Manifest;
    /// use leasehold::probe::{Prober, Verdict};
    ///
    /// let manifest = Manifest::load("manifest.json".as_ref())?;
    /// let key = Secret::new("sk-of-somebody");
    /// let verdict = Prober::default().check(manifest.provider("openai_pro")?, Some(&key)).await;
    /// assert_eq!(verdict, Verdict::Rejected);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self, provider: &Provider, key: Option<&Secret>) -> Verdict {
        match Asked::new(provider, key) {
            Ok(asked) => asked.ask(self.limit).await.unwrap_or_else(|failure| unknown(failure.message())),
            Err(reason) => unknown(&reason),
        }
    }

    /// Whether anybody listens at an endpoint: connects to its host and port, 443 or 80 by its scheme if it has none,
    /// within a second, and sends nothing.
    pub async fn reachable(&self, endpoint: &str) -> Reachability {
        let endpoint = match Endpoint::parse(endpoint) {
            Ok(endpoint) => endpoint,
            Err(reason) => return Reachability::Unreachable(reason.to_owned()),
        };
        match reach(&endpoint.address, REACH.min(self.limit)).await {
            Ok(()) => Reachability::Reachable,
            Err(failure) => Reachability::Unreachable(failure.message().to_owned()),
        }
    }
}

/// A call that may be made.
struct Asked {
    kind: ProviderKind,
    endpoint: Endpoint,
    key: Option<(&'static str, Secret)>,
}

impl Asked {
    /// The call for a provider, or why there is none.
    fn new(provider: &Provider, key: Option<&Secret>) -> Result<Self, String> {
        let kind = ProviderKind::of(provider).ok_or_else(|| unknown_kind(provider))?;
        let endpoint = Endpoint::parse(provider.endpoint.as_deref().unwrap_or(kind.base()))?;
        kind.admits(&endpoint)?;
        let key = key.filter(|key| !key.expose().trim().is_empty());
        if kind.wants_key() && key.is_none() {
            return Err("there is no key to try".into());
        }
        Ok(Self { kind, endpoint, key: key.and_then(|key| kind.key_header(key)) })
    }

    async fn ask(self, limit: Duration) -> Result<Verdict, Failure> {
        let settings = TransportSettings {
            connect_timeout: CONNECT.min(limit),
            try_timeout: limit,
            body_limit: LARGEST,
            ..TransportSettings::new(vec![self.endpoint.address.clone()])
        };
        let path = self.kind.path_at(&self.endpoint);
        let question = Question { path: &path, headers: self.kind.facts().headers, key: self.key };
        let page = Transport::new(&settings)?.fetch(&question).await?;
        Ok(verdict::judge(self.kind, page.status, &page.body))
    }
}

fn unknown(reason: &str) -> Verdict {
    Verdict::Unknown(reason.to_owned())
}

fn unknown_kind(provider: &Provider) -> String {
    let known = ProviderKind::ALL.map(ProviderKind::name).join(", ");
    match provider.endpoint {
        Some(_) => format!("it is none of those whose answers are known ({known})"),
        None => format!("neither its variable nor its pointer says which of {known} it is"),
    }
}

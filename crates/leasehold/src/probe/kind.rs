//! The providers whose answers we know: where each is asked, what, and how the key goes along.

use leasehold_core::Secret;
use leasehold_core::name::{Place, Scheme};

use super::endpoint::Endpoint;
use crate::manifest::{Pointer, Provider};

/// A provider of which we know a call that costs nothing and that no other key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// OpenRouter.
    OpenRouter,
    /// Google's Gemini API.
    Gemini,
    /// GitHub.
    GitHub,
    /// Ollama, which wants no key.
    Ollama,
}

/// What is known of one kind.
pub(super) struct Facts {
    name: &'static str,
    /// Where it is asked if the manifest has no endpoint.
    base: &'static str,
    /// A pointer that begins with a host of this domain is to one of its keys.
    domain: Option<&'static str>,
    /// The path of the call.
    path: &'static str,
    /// How the path of an endpoint may end that is given as a client of the provider wants it.
    endings: &'static [&'static str],
    /// The variables that are known by it.
    variables: &'static [&'static str],
    /// What the call needs beside the key.
    pub(super) headers: &'static [(&'static str, &'static str)],
    key: KeyHeader,
}

/// How the key goes along.
#[derive(Clone, Copy)]
enum KeyHeader {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// A header of its own.
    Own(&'static str),
    /// It wants none.
    None,
}

const BEARER: &str = "authorization";
/// What Anthropic's tokens of a subscription begin with; they go as those of other providers do.
const SUBSCRIPTION: &str = "sk-ant-oat";

const OPENAI: Facts = Facts {
    name: "OpenAI",
    base: "https://api.openai.com",
    domain: Some("openai.com"),
    path: "v1/models",
    endings: &["v1"],
    variables: &["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"],
    headers: &[],
    key: KeyHeader::Bearer,
};

const ANTHROPIC: Facts = Facts {
    name: "Anthropic",
    base: "https://api.anthropic.com",
    domain: Some("anthropic.com"),
    path: "v1/models",
    endings: &["v1"],
    variables: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_API_KEY"],
    headers: &[("anthropic-version", "2023-06-01")],
    key: KeyHeader::Own("x-api-key"),
};

/// Its list of models is public and proves nothing.
const OPENROUTER: Facts = Facts {
    name: "OpenRouter",
    base: "https://openrouter.ai",
    domain: Some("openrouter.ai"),
    path: "api/v1/key",
    endings: &["api/v1", "api"],
    variables: &["OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"],
    headers: &[],
    key: KeyHeader::Bearer,
};

/// A key in the query, as its documents have it too, would be in the logs of everybody on the way.
const GEMINI: Facts = Facts {
    name: "Gemini",
    base: "https://generativelanguage.googleapis.com",
    domain: Some("generativelanguage.googleapis.com"),
    path: "v1beta/models",
    endings: &["v1beta/openai", "v1beta", "v1"],
    variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"],
    headers: &[],
    key: KeyHeader::Own("x-goog-api-key"),
};

/// `/user` refuses the tokens of apps and of Actions, though they are good. This call takes every sort of token,
/// whatever it is allowed to do, and does not count against its limit.
const GITHUB: Facts = Facts {
    name: "GitHub",
    base: "https://api.github.com",
    domain: Some("github.com"),
    path: "rate_limit",
    endings: &[],
    variables: &["GITHUB_TOKEN", "GH_TOKEN"],
    headers: &[("x-github-api-version", "2022-11-28")],
    key: KeyHeader::Bearer,
};

const OLLAMA: Facts = Facts {
    name: "Ollama",
    base: "http://localhost:11434",
    domain: None,
    path: "api/tags",
    endings: &["v1", "api"],
    variables: &["OLLAMA_HOST", "OLLAMA_BASE_URL"],
    headers: &[],
    key: KeyHeader::None,
};

impl ProviderKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::Anthropic, Self::OpenRouter, Self::Gemini, Self::GitHub, Self::Ollama];

    /// The kind of a provider: by the host of its endpoint; else by the variable that its key goes into and by the
    /// first part of its pointer. None if it has no such sign, or signs of two kinds: a key of the one must not go to
    /// the other.
    ///
    /// ```
    /// use leasehold::manifest::Manifest;
    /// use leasehold::probe::ProviderKind;
    ///
    /// let manifest = Manifest::parse(r#"{ "providers": {
    ///     "a": { "vault_key": "api.anthropic.com/work", "env_var": "MY_KEY" },
    ///     "b": { "vault_key": "api.deepseek.com/work", "env_var": "OPENAI_API_KEY" } } }"#)?;
    /// assert_eq!(ProviderKind::of(&manifest.providers()[0]), Some(ProviderKind::Anthropic));
    /// assert_eq!(ProviderKind::of(&manifest.providers()[1]), None);
    /// # Ok::<(), leasehold::manifest::ManifestFaults>(())
    /// ```
    pub fn of(provider: &Provider) -> Option<Self> {
        let endpoint = provider.endpoint.as_deref().and_then(|text| Endpoint::parse(text).ok());
        let at_endpoint = |kind: &Self| endpoint.as_ref().is_some_and(|endpoint| kind.is_at(endpoint));
        Self::ALL.into_iter().find(at_endpoint).or_else(|| Self::by_names(provider))
    }

    /// What people call it, such as `OpenAI`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Where it is asked if the manifest has no endpoint, such as `https://api.openai.com`.
    pub fn base(self) -> &'static str {
        self.facts().base
    }

    /// Whether it wants a key.
    pub fn wants_key(self) -> bool {
        !matches!(self.facts().key, KeyHeader::None)
    }

    /// Whether a key of this kind may go there, or why not: to its own hosts over TLS, and to the loopback. What a person
    /// runs himself has no host of its own.
    pub(super) fn admits(self, endpoint: &Endpoint) -> Result<(), String> {
        if endpoint.is_loopback() {
            return Ok(());
        }
        if endpoint.address.scheme() != Scheme::Https {
            return Err(format!("{} is not asked without TLS", endpoint.address));
        }
        let host = endpoint.host();
        match self.host().is_none_or(|own| is_below(host, own)) {
            true => Ok(()),
            false => Err(format!("{host} is no host of {}, and does not get its key", self.name())),
        }
    }

    /// The path of the call at this endpoint.
    pub(super) fn path_at(self, endpoint: &Endpoint) -> String {
        endpoint.path_to(self.facts().path, self.facts().endings)
    }

    /// The header that a key goes in, and its value.
    pub(super) fn key_header(self, key: &Secret) -> Option<(&'static str, Secret)> {
        let header = match self.facts().key {
            KeyHeader::Own(_) if key.expose().starts_with(SUBSCRIPTION) => KeyHeader::Bearer,
            header => header,
        };
        match header {
            KeyHeader::Own(name) => Some((name, key.clone())),
            KeyHeader::Bearer => Some((BEARER, Secret::new(["Bearer ", key.expose()].concat()))),
            KeyHeader::None => None,
        }
    }

    pub(super) fn facts(self) -> &'static Facts {
        match self {
            Self::OpenAi => &OPENAI,
            Self::Anthropic => &ANTHROPIC,
            Self::OpenRouter => &OPENROUTER,
            Self::Gemini => &GEMINI,
            Self::GitHub => &GITHUB,
            Self::Ollama => &OLLAMA,
        }
    }

    /// The host of a service, and none of what a person runs himself.
    fn host(self) -> Option<&'static str> {
        self.base().strip_prefix("https://")
    }

    /// Whether it is this kind that is to be found there and nowhere else.
    fn is_at(self, endpoint: &Endpoint) -> bool {
        match self.host() {
            Some(own) => is_below(endpoint.host(), own),
            None => endpoint.is_loopback() && self.base().ends_with(&format!(":{}", endpoint.port())),
        }
    }

    /// By all names that a provider goes by, which have to agree.
    fn by_names(provider: &Provider) -> Option<Self> {
        let variables = [provider.env_var.as_deref(), provider.base_url_env.as_deref(), variable(provider)];
        let named = variables.into_iter().flatten().filter_map(Self::of_variable);
        // A pointer that begins with the host of somebody else says that it is none of these.
        let pointed = owner(provider).map(Self::of_host);
        let mut signs = named.map(Some).chain(pointed);
        let first = signs.next()?;
        signs.all(|sign| sign == first).then_some(first)?
    }

    fn of_variable(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.facts().variables.contains(&name))
    }

    fn of_host(host: &str) -> Option<Self> {
        let is_its = |kind: &Self| kind.facts().domain.is_some_and(|domain| is_below(host, domain));
        Self::ALL.into_iter().find(is_its)
    }
}

/// The variable that the key comes from.
fn variable(provider: &Provider) -> Option<&str> {
    match provider.pointer.as_ref()? {
        Pointer::Full(reference) => match reference.place() {
            Place::Env(name) => Some(name),
            _ => None,
        },
        Pointer::Plain(_) => None,
    }
}

/// The host that a pointer such as `api.openai.com/pro_key` begins with.
fn owner(provider: &Provider) -> Option<&str> {
    let name = match provider.pointer.as_ref()? {
        Pointer::Plain(name) => name,
        Pointer::Full(reference) => match reference.place() {
            Place::Stored(_, entry) => &entry.name,
            _ => return None,
        },
    };
    name.split_once('/').map(|(host, _)| host).filter(|host| host.contains('.'))
}

/// Whether a host is this one or one below it.
fn is_below(host: &str, domain: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use serde_json::json;

    /// The kind of a provider with this endpoint, variable and pointer.
    fn kind(endpoint: &str, variable: &str, pointer: &str) -> Option<ProviderKind> {
        let or_null = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let row = json!({
            "endpoint": or_null(endpoint), "env_var": or_null(variable), "vault_key": or_null(pointer),
        });
        let manifest = Manifest::parse(&json!({ "providers": { "p": row } }).to_string()).unwrap();
        ProviderKind::of(&manifest.providers()[0])
    }

    #[test]
    fn a_kind_is_known_by_its_endpoint_or_by_names_that_agree() {
        use ProviderKind::{Anthropic, Gemini, GitHub, Ollama, OpenAi, OpenRouter};
        let check = |endpoint, variable, pointer, expect: Option<ProviderKind>| {
            assert_eq!(kind(endpoint, variable, pointer), expect, "{endpoint} {variable} {pointer}");
        };
        check("", "OPENAI_API_KEY", "api.openai.com/pro_key", Some(OpenAi));
        check("", "", "api.openai.com/pro_key", Some(OpenAi));
        check("", "", "keyring://agent_vault/api.openai.com/pro_key", Some(OpenAi));
        check("", "ANTHROPIC_API_KEY", "work", Some(Anthropic));
        check("", "", "env://GH_TOKEN", Some(GitHub));
        check("", "GOOGLE_API_KEY", "vault://secret/ai#gemini", Some(Gemini));
        check("https://openrouter.ai/api/v1", "OPENAI_API_KEY", "any", Some(OpenRouter));
        check("https://eu.api.openai.com/v1", "", "any", Some(OpenAi));
        check("https://API.GitHub.com", "", "any", Some(GitHub));
        check("http://localhost:11434", "", "", Some(Ollama));
        check("http://127.0.0.1:11434/v1", "OPENAI_API_KEY", "", Some(Ollama));
        check("http://127.0.0.1:4000", "OPENAI_API_KEY", "", Some(OpenAi));
        check("http://127.0.0.1:4000", "", "", None);
        check("https://ollama.example:11434", "", "", None);
        check("https://api.openai.com.evil.example", "", "", None);
        check("https://xapi.openai.com", "", "", None);
        check("https://community.openai.com", "", "", None);
        check("", "OPENAI_API_KEY", "api.deepseek.com/key", None);
        check("", "OPENAI_API_KEY", "openrouter.ai/key", None);
        check("", "MISTRAL_API_KEY", "mistral/key", None);
        check("", "", "", None);
    }

    #[test]
    fn the_call_is_found_from_every_usual_endpoint() {
        let check = |kind: ProviderKind, endpoint: &str, expect: &str| {
            assert_eq!(kind.path_at(&Endpoint::parse(endpoint).unwrap()), expect, "{endpoint}");
        };
        check(ProviderKind::OpenAi, "https://api.openai.com/v1", "/v1/models");
        check(ProviderKind::Anthropic, "http://localhost:4000/anthropic", "/anthropic/v1/models");
        check(ProviderKind::OpenRouter, "https://openrouter.ai/api/v1", "/api/v1/key");
        check(ProviderKind::OpenRouter, "https://openrouter.ai/api", "/api/v1/key");
        check(
            ProviderKind::Gemini,
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "/v1beta/models",
        );
        check(ProviderKind::GitHub, "https://api.github.com/", "/rate_limit");
        check(ProviderKind::Ollama, "http://localhost:11434/v1", "/api/tags");
        for kind in ProviderKind::ALL {
            let base = Endpoint::parse(kind.base()).unwrap();
            assert_eq!(
                (kind.admits(&base), kind.path_at(&base)),
                (Ok(()), format!("/{}", kind.facts().path))
            );
        }
    }

    #[test]
    fn a_key_goes_to_its_own_hosts_over_tls_or_to_the_loopback() {
        let check = |endpoint: &str, expect: Result<(), String>| {
            assert_eq!(
                ProviderKind::OpenAi.admits(&Endpoint::parse(endpoint).unwrap()),
                expect,
                "{endpoint}"
            );
        };
        check("https://api.openai.com:8443/v1", Ok(()));
        check("https://eu.api.openai.com", Ok(()));
        check("http://127.0.0.1:1", Ok(()));
        for host in ["api.openai.com", "192.168.0.1"] {
            check(&format!("http://{host}"), Err(format!("http://{host}:80 is not asked without TLS")));
        }
        for host in ["api.openai.com.example", "openai.com", "xapi.openai.com", "openrouter.ai"] {
            let why = format!("{host} is no host of OpenAI, and does not get its key");
            check(&format!("https://{host}"), Err(why));
        }
    }

    #[test]
    fn keys_go_in_the_header_of_their_kind() {
        let check = |kind: ProviderKind, key: &str, expect: Option<(&str, &str)>| {
            let header = kind.key_header(&Secret::new(key));
            assert_eq!(header.as_ref().map(|(name, value)| (*name, value.expose())), expect);
        };
        check(ProviderKind::OpenAi, "k", Some(("authorization", "Bearer k")));
        check(ProviderKind::Anthropic, "sk-ant-api03-k", Some(("x-api-key", "sk-ant-api03-k")));
        check(ProviderKind::Anthropic, "sk-ant-oat01-k", Some(("authorization", "Bearer sk-ant-oat01-k")));
        check(ProviderKind::Gemini, "k", Some(("x-goog-api-key", "k")));
        check(ProviderKind::Ollama, "k", None);
    }
}

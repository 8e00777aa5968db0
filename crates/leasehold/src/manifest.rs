//! The manifest: which providers there are, and where the key of each rests. It holds pointers, never a key.

mod key;
mod check;
mod schema;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use leasehold_core::name::{Place, Reference};
use leasehold_core::{Failure, Kind};
use serde_json::{Map, Value, json};

use crate::files;
use crate::likeness::nearest;
pub use check::ManifestFault;
pub use key::looks_like_a_key;
pub use schema::schema;

/// The service under which the keyring keeps what a plain pointer names.
pub const SERVICE: &str = "agent_vault";
/// A provider without a priority comes after all that have one.
pub const LAST: u32 = 10_000;
/// The largest manifest that is read.
const LIMIT: u64 = 16 << 20;
/// So many links are followed, as by Linux.
const MOST_LINKS: usize = 40;
const NO_PROVIDER: &str = "write a provider into the manifest; docs/manifest.md shows some";
/// So many providers are told where one is looked for that is not there.
const TOLD: usize = 20;

/// A manifest. What it does not know of it keeps: other programs have keys of their own there.
///
/// ```
/// use leasehold::manifest::Manifest;
///
/// let text = r#"{ "version": "2026.1", "providers": {
///     "openai_pro": { "type": "upstream", "vault_key": "api.openai.com/pro_key", "env_var": "OPENAI_API_KEY",
///                     "priority": 1, "models": ["gpt-5"] } } }"#;
/// let manifest = Manifest::parse(text)?;
/// let provider = manifest.provider("openai_pro").unwrap();
/// assert_eq!(provider.pointer.as_ref().unwrap().to_string(), "api.openai.com/pro_key");
/// assert!(manifest.to_text().contains("models"));
/// # Ok::<(), leasehold::manifest::ManifestFaults>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manifest {
    document: Map<String, Value>,
    /// By priority, then by name.
    providers: Vec<Provider>,
}

/// A provider of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// What sort of provider it is, such as `upstream`, `gateway` or `local`.
    pub sort: String,
    /// Where its key rests; none if it needs none.
    pub pointer: Option<Pointer>,
    /// The variable that a command gets the key in.
    pub env_var: Option<String>,
    /// Where it is reached.
    pub endpoint: Option<String>,
    /// The variable that a command gets the endpoint in.
    pub base_url_env: Option<String>,
    /// The lower, the earlier it is taken.
    pub priority: u32,
}

/// Where a provider's key rests, as the manifest says it in `vault_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// The name of an entry in the store that the workstation uses, such as `api.openai.com/pro_key`.
    Plain(Box<str>),
    /// A place of its own, such as `vault://secret/ai#openai`.
    Full(Reference),
}

/// All faults of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFaults(pub Vec<ManifestFault>);

impl Manifest {
    /// Reads the text of a manifest, or tells all that is wrong with it. A byte order mark before it is left out.
    pub fn parse(text: &str) -> Result<Self, ManifestFaults> {
        let document = check::document(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        let providers = document.get("providers").and_then(Value::as_object);
        let mut providers: Vec<_> =
            providers.into_iter().flatten().map(|(name, value)| provider(name, value)).collect();
        providers.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        Ok(Self { document, providers })
    }

    /// Reads a file. `NotFound`: there is none; `Invalid`: it is not as it should be.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = read(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(&text).map_err(|faults| {
            let told: String = faults.0.iter().map(|fault| format!("\n{}:{fault}", path.display())).collect();
            Failure::new(Kind::Invalid, format!("the manifest has faults:{told}"))
        })
    }

    /// What `init` begins with.
    pub fn starter(identity: &str) -> Self {
        let document = json!({
            "version": "2026.1",
            "identity": identity,
            "providers": {
                "openai_pro": {
                    "type": "upstream", "vault_key": "api.openai.com/pro_key", "env_var": "OPENAI_API_KEY",
                    "endpoint": null, "priority": 1
                },
                "openrouter": {
                    "type": "gateway", "vault_key": "api.openrouter.ai/default", "env_var": "OPENROUTER_API_KEY",
                    "endpoint": "https://openrouter.ai/api/v1", "priority": 2
                },
                "local_ollama": { "type": "local", "endpoint": "http://localhost:11434", "priority": 10 }
            }
        });
        // What is written above is a manifest; a test looks.
        Self::parse(&document.to_string())
            .unwrap_or_else(|_| Self { document: Map::new(), providers: Vec::new() })
    }

    /// The text of the manifest, with everything that was in it.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.document).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes it in one step, for this user alone. A link is followed, so that it stays a link, even if it leads to nothing
    /// yet.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        write(path, &self.to_text()).map_err(|error| {
            let kind =
                if error.kind() == io::ErrorKind::PermissionDenied { Kind::Denied } else { Kind::Invalid };
            Failure::new(kind, format!("cannot write the manifest {}: {error}", path.display()))
        })
    }

    /// All providers, by priority, then by name.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// All providers, for what cannot be done without any.
    pub fn needed_providers(&self) -> Result<&[Provider], Failure> {
        match &*self.providers {
            [] => Err(Failure::new(Kind::NotFound, "no provider is usable: the manifest names none")
                .hint(NO_PROVIDER)),
            providers => Ok(providers),
        }
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Result<&Provider, Failure> {
        let found = self.providers.iter().find(|provider| provider.name == name);
        found.ok_or_else(|| match looks_like_a_key(name) {
            true => Failure::new(
                Kind::NotFound,
                "Provider not found: what was given looks like a key, and is not shown",
            )
            .hint("name the provider; change the key, since it was in a command line or a file"),
            false => {
                Failure::new(Kind::NotFound, format!("Provider not found: {name}")).hint(self.others(name))
            }
        })
    }

    /// What could have been meant by a name that is none.
    fn others(&self, name: &str) -> String {
        let names: BTreeSet<_> = self.providers.iter().map(|provider| provider.name.as_str()).collect();
        let meant = nearest(name, names.iter().copied());
        let begin = meant.map_or("the".into(), |meant| format!("did you mean {meant}? The"));
        let told: Vec<_> = names.iter().copied().take(TOLD).collect();
        match names.len().saturating_sub(TOLD) {
            _ if told.is_empty() => NO_PROVIDER.into(),
            0 => format!("{begin} manifest has: {}", told.join(", ")),
            more => format!("{begin} manifest has: {}, and {more} more", told.join(", ")),
        }
    }
}

impl Provider {
    /// The pointer to its key, for what cannot be done without one.
    pub fn needed_pointer(&self) -> Result<&Pointer, Failure> {
        self.pointer.as_ref().ok_or_else(|| {
            Failure::new(Kind::Invalid, format!("Provider has no vault_key: {}", self.name)).hint(
                "write `\"vault_key\": \"SOME/NAME\"` into its part of the manifest, or use it without a key",
            )
        })
    }
}

/// A provider whose fields are known to be as they should.
fn provider(name: &str, value: &Value) -> Provider {
    let text = |field: &str| {
        value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    Provider {
        name: name.to_owned(),
        sort: text("type").unwrap_or_default(),
        pointer: text("vault_key").and_then(|key| Pointer::parse(&key).ok()),
        env_var: text("env_var"),
        endpoint: text("endpoint"),
        base_url_env: text("base_url_env"),
        priority: value
            .get("priority")
            .and_then(Value::as_u64)
            .and_then(|at| at.try_into().ok())
            .unwrap_or(LAST),
    }
}

impl Pointer {
    /// Parses a pointer, or says what is wrong with it. One to the server names a field, and neither version nor namespace,
    /// since it is also written to.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            let reference = Reference::parse(text).map_err(|fault| fault.message().to_owned())?;
            return match bar(&reference) {
                Some(why) => Err(why.into()),
                None => Ok(Self::Full(reference)),
            };
        }
        match text.trim() {
            "" => Err("the pointer is empty".into()),
            _ if text.contains(char::is_control) => Err("a control character".into()),
            _ => Ok(Self::Plain(text.into())),
        }
    }

    /// The names in it that somebody chose. A path has parts that nobody did.
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Plain(name) => [Some(&**name), None],
            Self::Full(reference) => match reference.place() {
                Place::Stored(_, entry) => [Some(&*entry.service), Some(&*entry.name)],
                Place::Vault(_) => [reference.field(), None],
                Place::Env(name) => [Some(&**name), None],
                Place::File(_) => [None, None],
            },
        };
        names.into_iter().flatten()
    }
}

/// Why a reference cannot be a pointer.
fn bar(reference: &Reference) -> Option<&'static str> {
    match (reference.place(), reference.field()) {
        (Place::Vault(vault), _) if vault.version.is_some() || vault.namespace.is_some() => Some(
            "it names neither version nor namespace; the newest version is taken, and the namespace of the configuration",
        ),
        (Place::Vault(_), None) => Some("the field is missing: add #FIELD"),
        _ => None,
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Full(reference) => reference.fmt(f),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LIMIT {
        true => Err(io::Error::other("it is larger than any manifest")),
        false => Ok(text),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read the manifest {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Kind::NotFound, message).hint("make one: leasehold init"),
        io::ErrorKind::PermissionDenied => Failure::new(Kind::Denied, message),
        _ => Failure::new(Kind::Invalid, message),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = behind_links(path)?;
    files::own_folder(files::folder_of(&path))?;
    files::replace(&path, text.as_bytes())
}

/// The file that a path means, there or not.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match path.read_link() {
            Ok(next) => path = files::folder_of(&path).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its link leads in a circle"))
}

impl fmt::Display for ManifestFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_starter_is_a_manifest_and_its_order_is_by_priority() {
        let names: Vec<_> =
            Manifest::starter("node").providers().iter().map(|provider| provider.name.clone()).collect();
        assert_eq!(names, ["openai_pro", "openrouter", "local_ollama"]);
        let text = r#"{"providers":{"z":{},"b":{"priority":2},"a":{"priority":2},"y":{}}}"#;
        let manifest = Manifest::parse(text).unwrap();
        let order: Vec<_> =
            manifest.providers().iter().map(|provider| (provider.name.as_str(), provider.priority)).collect();
        assert_eq!(order, [("a", 2), ("b", 2), ("y", LAST), ("z", LAST)]);
    }

    #[test]
    fn pointers_are_plain_names_or_full_references() {
        let check = |text: &str, is_plain: bool| {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.to_string(), text);
            assert_eq!(matches!(pointer, Pointer::Plain(_)), is_plain, "{text}");
        };
        check("api.openai.com/pro_key", true);
        check("keyring://agent_vault/api.openai.com/pro_key", false);
        check("vault://secret/ai#openai", false);
        check("env://OPENAI_API_KEY", false);
    }

    /// A number that is read as its neighbour would be another one after each save.
    #[test]
    fn numbers_that_others_wrote_stay_the_same() {
        for number in ["0.1", "1.1111111111111109e+38", "1e-7", "9007199254740993", "2.225073858507201e-308"]
        {
            let text =
                Manifest::parse(&format!(r#"{{"usage":{number},"providers":{{}}}}"#)).unwrap().to_text();
            assert!(text.contains(&format!("\"usage\": {number},")), "{text}");
            assert_eq!(Manifest::parse(&text).unwrap().to_text(), text);
        }
    }

    #[test]
    fn what_others_wrote_survives_a_load_and_a_save() {
        let folder = std::env::temp_dir().join(format!("leasehold-manifest-{:08x}", random::number()));
        let path = folder.join("ai/manifest.json");
        let text =
            r#"{"z":1,"providers":{"b":{"models":["x"],"usage":{"n":1.5}},"a":{}},"version":"2026.1"}"#;
        Manifest::parse(text).unwrap().save(&path).unwrap();
        let again = Manifest::load(&path).unwrap();
        assert_eq!(serde_json::to_string(&again.document).unwrap(), text);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_stays_a_link_and_a_missing_file_has_a_hint() {
        let folder = std::env::temp_dir().join(format!("leasehold-link-{:08x}", random::number()));
        let (real, link) = (folder.join("real/manifest.json"), folder.join("manifest.json"));
        let failure = Manifest::load(&link).unwrap_err();
        assert_eq!((failure.kind(), failure.advice()), (Kind::NotFound, Some("make one: leasehold init")));
        Manifest::starter("node").save(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Manifest::starter("other").save(&link).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(std::fs::read_to_string(&real).unwrap().contains("other"));
        // One that leads to nothing yet, over another one and a folder that is not there.
        let (near, far) = (folder.join("near.json"), folder.join("none/far.json"));
        std::os::unix::fs::symlink("near.json", folder.join("first.json")).unwrap();
        std::os::unix::fs::symlink("real/../none/far.json", &near).unwrap();
        Manifest::starter("far").save(&folder.join("first.json")).unwrap();
        assert!(near.symlink_metadata().unwrap().is_symlink() && far.symlink_metadata().unwrap().is_file());
        std::os::unix::fs::symlink("circle", folder.join("circle")).unwrap();
        let failure = Manifest::starter("x").save(&folder.join("circle")).unwrap_err();
        assert!(failure.message().ends_with("its link leads in a circle"), "{failure}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn ten_thousand_providers_are_read() {
        let rows: Vec<_> =
            (0..10_000).map(|n| format!(r#""p{n}":{{"vault_key":"k/{n}","priority":{n}}}"#)).collect();
        let manifest = Manifest::parse(&format!(r#"{{"providers":{{{}}}}}"#, rows.join(","))).unwrap();
        assert_eq!(manifest.provider("p9999").unwrap().priority, 9_999);
        assert_eq!(manifest.provider("none").unwrap_err().to_string(), "Provider not found: none");
    }

    #[test]
    fn who_was_meant() {
        let check = |names: &[&str], name: &str, expect: &str| {
            let rows: Vec<_> = names.iter().map(|name| format!(r#""{name}":{{}}"#)).collect();
            let manifest = Manifest::parse(&format!(r#"{{"providers":{{{}}}}}"#, rows.join(","))).unwrap();
            let failure = manifest.provider(name).unwrap_err();
            assert_eq!(failure.advice().unwrap(), expect, "{name}");
            assert!(!failure.message().contains("canary"), "{failure}");
        };
        check(
            &["openrouter", "openai_pro"],
            "openai",
            "did you mean openai_pro? The manifest has: openai_pro, openrouter",
        );
        check(&["openrouter"], "gemini", "the manifest has: openrouter");
        check(&[], "gemini", NO_PROVIDER);
        let (many, key) = (
            "abcdefghijklmnopqrstuv".split("").filter(|name| !name.is_empty()),
            "sk-canary-0123456789abcdef",
        );
        let hint = "the manifest has: a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, and 2 more";
        check(&many.collect::<Vec<_>>(), "gemini", hint);
        check(&["a"], key, "name the provider; change the key, since it was in a command line or a file");
    }
}

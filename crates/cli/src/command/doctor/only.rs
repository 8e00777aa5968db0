//! Which checks there are, and which of them are wanted.

use leasehold::core::{Failure, Kind};
use leasehold::manifest::Provider;

/// All checks, by the part of their ids before the colon, in the order in which they are told.
const CHECKS: [&str; 19] = [
    "config",
    "manifest",
    "manifest-permissions",
    "store",
    "keyring",
    "sealed-file",
    "sealed-permissions",
    "sealed-key",
    "secret",
    "endpoint",
    "key",
    "orphans",
    "server",
    "clock",
    "login",
    "token",
    "child-tokens",
    "journal",
    "env-files",
];

/// Those that are made of each provider.
pub(super) const OF_PROVIDERS: [&str; 3] = ["secret", "endpoint", "key"];

/// The checks that are wanted.
#[derive(Debug)]
pub(super) struct Only(Vec<String>);

impl Only {
    /// All, where none is named.
    ///
    /// # Errors
    ///
    /// There is no such check.
    pub(super) fn parse(ids: &[String]) -> Result<Self, Failure> {
        for id in ids {
            let (check, provider) = parts(id);
            if !CHECKS.contains(&check) || (provider.is_some() && !OF_PROVIDERS.contains(&check)) {
                let known = CHECKS.map(|check| match OF_PROVIDERS.contains(&check) {
                    true => format!("{check}[:PROVIDER]"),
                    false => check.to_owned(),
                });
                return Err(Failure::new(Kind::Invalid, format!("there is no check `{id}`"))
                    .hint(format!("there are {}", known.join(", "))));
            }
        }
        Ok(Self(ids.to_vec()))
    }

    /// Whether this check is wanted: all of it, or of a provider.
    pub(super) fn wants(&self, id: &str) -> bool {
        let (check, provider) = parts(id);
        let names_it = |wanted: &String| {
            let (wanted, of) = parts(wanted);
            wanted == check && (of.is_none() || provider.is_none() || of == provider)
        };
        self.0.is_empty() || self.0.iter().any(names_it)
    }

    /// Whether all providers that are named are among these.
    ///
    /// # Errors
    ///
    /// Tells the first that is not.
    pub(super) fn expect_known(&self, providers: &[Provider]) -> Result<(), Failure> {
        let is_known = |name: &str| providers.iter().any(|provider| provider.name == name);
        let unknown =
            self.0.iter().find_map(|id| parts(id).1.filter(|name| !is_known(name)).map(|name| (id, name)));
        let Some((id, name)) = unknown else { return Ok(()) };
        let names: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
        let message = format!("there is no check `{id}`: the manifest has no provider {name}");
        Err(Failure::new(Kind::Invalid, message).hint(format!("it has {}", names.join(", "))))
    }
}

/// Where a check stands in the order.
pub(super) fn rank(id: &str) -> usize {
    CHECKS.iter().position(|check| *check == parts(id).0).unwrap_or(CHECKS.len())
}

fn parts(id: &str) -> (&str, Option<&str>) {
    id.split_once(':').map_or((id, None), |(check, provider)| (check, Some(provider)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::manifest::Manifest;

    fn only(ids: &[&str]) -> Result<Only, Failure> {
        Only::parse(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_wanted() {
        let check = |ids: &[&str], id: &str, expect: bool| {
            assert_eq!(only(ids).unwrap().wants(id), expect, "{ids:?} {id}");
        };
        check(&[], "store", true);
        check(&["manifest"], "manifest", true);
        check(&["manifest"], "manifest-permissions", false);
        check(&["key"], "key:a", true);
        check(&["key:a"], "key:a", true);
        check(&["key:a"], "key:b", false);
        check(&["key:a"], "key", true);
        check(&["key:a:b"], "key:a:b", true);
        check(&["key:a"], "secret:a", false);
        check(&["clock", "key:a"], "clock", true);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        for ids in [&["nonsense"][..], &["store:a"], &["store", ""], &["secrets"]] {
            let failure = only(ids).unwrap_err();
            assert_eq!(failure.kind(), Kind::Invalid, "{ids:?}");
            assert!(failure.advice().unwrap().contains("manifest, manifest-permissions"), "{failure}");
        }
        let manifest = Manifest::parse(r#"{"providers":{"a":{}}}"#).unwrap();
        let check = |id: &str, expect: bool| {
            assert_eq!(only(&[id]).unwrap().expect_known(manifest.providers()).is_ok(), expect, "{id}");
        };
        check("key:a", true);
        check("key", true);
        check("store", true);
        check("key:b", false);
    }

    #[test]
    fn checks_have_an_order() {
        assert!(rank("config") < rank("secret:a") && rank("secret:z") < rank("endpoint:a"));
    }
}

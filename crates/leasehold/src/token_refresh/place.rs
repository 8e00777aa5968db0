//! Where a deployment's token is, and which token a secret holds.

use leasehold_core::name::{Path, VaultReference};
use leasehold_core::{Failure, Fields, Grant, Kind, Secret};

use crate::token_cache::is_blank;

/// The field in which the token stands.
pub(super) const FIELD: &str = "token";

/// The secret `{prefix}/{deployment hash}/token`, whose field `token` is the token.
///
/// The prefix is a mount of the key-value engine, or a mount and a folder; a `data/` after the mount, as the API of
/// version 2 has it, may be there or not.
///
/// ```
/// use leasehold::token_refresh::TokenPlace;
///
/// let place = TokenPlace::new("kv/status_panel", "deployment-123-abc")?;
/// assert_eq!(place.to_string(), "kv/status_panel/deployment-123-abc/token");
/// assert!(TokenPlace::new("status_panel", "../other").is_err());
/// # Ok::<(), leasehold::core::Failure>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlace {
    path: Path,
    deployment: Box<str>,
}

impl TokenPlace {
    /// The place of this deployment's token.
    ///
    /// # Errors
    ///
    /// `Invalid` if the prefix is no path, or the hash is not one name in a path.
    pub fn new(prefix: &str, deployment: &str) -> Result<Self, Failure> {
        check_deployment(deployment)?;
        let fault = |fault| invalid(format!("`{}` is no prefix of a path: {fault}", prefix.escape_debug()));
        let prefix = Path::parse(prefix).map_err(fault)?;
        let path = Path::parse(&format!("{prefix}/{deployment}/{FIELD}")).map_err(fault)?;
        Ok(Self { path, deployment: deployment.into() })
    }

    /// The deployment's hash.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    pub(super) fn reference(&self) -> VaultReference {
        VaultReference { path: self.path.clone(), version: None, namespace: None }
    }

    /// The token that was read there. Without one it says why.
    pub(super) fn token_of(&self, grant: &Grant) -> Result<Secret, Failure> {
        if !grant.lease.is_static() {
            return Err(invalid(format!("{self} is in no key-value engine")));
        }
        let fields: &Fields = &grant.fields;
        match fields.field(FIELD) {
            None => Err(Failure::new(Kind::NotFound, format!("the secret {self} has no field `{FIELD}`"))),
            Some(_) if !fields.is_text(FIELD) => Err(invalid(format!("the token in {self} is no text"))),
            Some(token) if is_blank(token) => Err(invalid(format!("the token in {self} is empty"))),
            Some(token) => Ok(token.clone()),
        }
    }
}

impl std::fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.fmt(f)
    }
}

/// A deployment's hash is one name in a path. `data` is the server's own word there.
pub(super) fn check_deployment(hash: &str) -> Result<(), Failure> {
    let why = match hash {
        "" => "it is empty",
        "data" => "the server has this word for itself",
        _ if hash.contains('/') => "it has a slash",
        _ => match Path::parse(hash) {
            Ok(_) => return Ok(()),
            Err(_) if hash.contains(char::is_control) => "it has a control character",
            Err(_) => "it names a folder above",
        },
    };
    Err(invalid(format!("`{}` is no hash of a deployment: {why}", hash.escape_debug())))
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Lease;

    #[test]
    fn the_parts_of_the_path_are_names() {
        let check = |prefix: &str, hash: &str, expect: Result<&str, &str>| {
            let place = TokenPlace::new(prefix, hash).map(|place| place.to_string());
            let got = place.as_deref().map_err(Failure::message);
            assert_eq!(got, expect, "{prefix:?} {hash:?}");
        };
        check("status_panel", "default", Ok("status_panel/default/token"));
        check("/kv/data/status_panel/", "a b+c%2F", Ok("kv/data/status_panel/a b+c%2F/token"));
        check("", "x", Err("`` is no prefix of a path: an empty part in the path"));
        check("kv/../sys", "x", Err("`kv/../sys` is no prefix of a path: `..` is not allowed in a path"));
        check("kv\0", "x", Err(r"`kv\0` is no prefix of a path: a control character in the path"));
        check("kv", "", Err("`` is no hash of a deployment: it is empty"));
        check("kv", "..", Err("`..` is no hash of a deployment: it names a folder above"));
        check("kv", ".", Err("`.` is no hash of a deployment: it names a folder above"));
        check("kv", "../x", Err("`../x` is no hash of a deployment: it has a slash"));
        check("kv", "x/", Err("`x/` is no hash of a deployment: it has a slash"));
        check("kv", "x\0y", Err(r"`x\0y` is no hash of a deployment: it has a control character"));
        check("kv", "data", Err("`data` is no hash of a deployment: the server has this word for itself"));
    }

    #[test]
    fn only_a_text_that_is_not_blank_is_a_token() {
        let place = TokenPlace::new("kv", "d").unwrap();
        let check = |name: &str, value: &str, is_text: bool, expect: Result<&str, (Kind, &str)>| {
            let fields = [(name, Secret::new(value), is_text)].into_iter().collect();
            let grant = Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None };
            let got = place.token_of(&grant);
            let told =
                got.as_ref().map(Secret::expose).map_err(|failure| (failure.kind(), failure.message()));
            assert_eq!(told, expect, "{name} {value}");
        };
        check("token", "abc", true, Ok("abc"));
        check("token", " a ", true, Ok(" a "));
        check("Token", "abc", true, Err((Kind::NotFound, "the secret kv/d/token has no field `token`")));
        check("token", "", true, Err((Kind::Invalid, "the token in kv/d/token is empty")));
        check("token", " \n", true, Err((Kind::Invalid, "the token in kv/d/token is empty")));
        check("token", "null", false, Err((Kind::Invalid, "the token in kv/d/token is no text")));
        check("token", "17", false, Err((Kind::Invalid, "the token in kv/d/token is no text")));
    }
}

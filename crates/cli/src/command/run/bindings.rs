//! Which variable and which file gets which secret.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use leasehold::core::name::{Place, Reference, VaultReference};
use leasehold::core::{Failure, Fields, Kind, Secret};

use crate::arguments::run::RunArguments;
use crate::command::values::{json, one};
use crate::config::settings::Profile;

/// What is asked for by flags and profile.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    /// The names of providers, each once.
    providers: Vec<String>,
    /// The variables of providers, each with whose it is.
    owners: BTreeMap<String, String>,
    env: BTreeMap<String, Reference>,
    /// Variables with texts that are no secrets.
    plain: BTreeMap<String, String>,
    env_from: Vec<Reference>,
    files: BTreeMap<PathBuf, Reference>,
}

/// What the command is to get.
pub(super) struct Values {
    pub(super) env: BTreeMap<String, Secret>,
    pub(super) files: BTreeMap<PathBuf, Secret>,
}

impl Bindings {
    /// The profile's bindings and those of the flags, which win.
    pub(super) fn collect(arguments: &RunArguments, profile: &Profile) -> Result<Self, Failure> {
        if arguments.strict_priority && !profile.providers.is_empty() {
            return Err(Failure::new(
                Kind::Invalid,
                "the profile names providers, and --strict-priority takes another",
            )
            .hint("leave out --strict-priority, or `providers` in the profile"));
        }
        let mut named = BTreeSet::new();
        let providers = profile.providers.iter().chain(&arguments.providers);
        let mut bindings = Self {
            providers: providers.filter(|name| named.insert(*name)).cloned().collect(),
            owners: BTreeMap::new(),
            env: profile.env.clone(),
            plain: BTreeMap::new(),
            env_from: profile.env_from.clone(),
            files: profile.files.clone(),
        };
        bindings.env.extend(pairs("--env", "NAME", &arguments.env)?);
        for name in bindings.env.keys() {
            check_name(name)?;
        }
        let files = pairs("--file", "PATH", &arguments.files)?;
        bindings.files.extend(files.into_iter().map(|(path, reference)| (PathBuf::from(path), reference)));
        for text in &arguments.env_from {
            bindings.env_from.push(crate::command::reference(text)?);
        }
        Ok(bindings)
    }

    /// The providers that are named.
    pub(super) fn providers(&self) -> &[String] {
        &self.providers
    }

    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.env.values().chain(&self.env_from).chain(self.files.values())
    }

    /// The secrets to fetch from the server, each once.
    pub(super) fn vault_references(&self) -> impl Iterator<Item = &VaultReference> {
        let all = self.references().filter_map(|reference| match reference.place() {
            Place::Vault(vault) => Some(vault),
            Place::Env(_) | Place::File(_) | Place::Stored(..) => None,
        });
        all.collect::<BTreeSet<_>>().into_iter()
    }

    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The places on this workstation, each once.
    pub(super) fn local_places(&self) -> BTreeSet<&Place> {
        let is_local = |place: &&Place| !matches!(place, Place::Vault(_));
        self.references().map(Reference::place).filter(is_local).collect()
    }

    /// Whether nothing at all is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.references().next().is_none() && self.providers.is_empty()
    }

    /// Binds one more variable to the place of a provider's key.
    pub(super) fn bind(&mut self, name: &str, reference: Reference, provider: &str) -> Result<(), Failure> {
        self.own(name, provider)?;
        self.env.insert(name.to_owned(), reference);
        Ok(())
    }

    /// Sets one more variable to a text of a provider that is no secret.
    pub(super) fn set(&mut self, name: &str, text: &str, provider: &str) -> Result<(), Failure> {
        self.own(name, provider)?;
        self.plain.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    /// Makes a variable that of a provider, if it is nobody's yet.
    fn own(&mut self, name: &str, provider: &str) -> Result<(), Failure> {
        let both = match self.owners.insert(name.to_owned(), provider.to_owned()) {
            None if !self.env.contains_key(name) => return Ok(()),
            None => format!("the provider {provider} and what --env or the profile names"),
            Some(other) if other == provider => format!("the key and the endpoint of {provider}"),
            Some(other) => format!("the providers {other} and {provider}"),
        };
        Err(Failure::new(Kind::Invalid, format!("{both} would both be the variable {name}")).hint(
            "leave one of them out, or give a provider another `env_var` or `base_url_env` in the manifest",
        ))
    }

    /// The values, by what is at each place now.
    pub(super) fn values(
        &self,
        fields: impl Fn(&Place) -> Result<Fields, Failure>,
    ) -> Result<Values, Failure> {
        // Each place is read once, so that what comes from one lease is of one lease.
        let mut places = HashMap::new();
        for reference in self.references() {
            if !places.contains_key(reference.place()) {
                places.insert(reference.place(), fields(reference.place())?);
            }
        }
        let none = Fields::default();
        let of = |reference: &Reference| places.get(reference.place()).unwrap_or(&none);
        let mut env = BTreeMap::new();
        for reference in &self.env_from {
            for (name, value) in
                of(reference).iter().filter(|(name, _)| reference.field().is_none_or(|field| field == *name))
            {
                insert_variable(&mut env, name, value, reference)?;
            }
        }
        for (name, reference) in &self.env {
            if env.insert(name.clone(), one(reference, of(reference))?).is_some() {
                return Err(clash(name));
            }
        }
        for (name, text) in &self.plain {
            if env.insert(name.clone(), Secret::new(text)).is_some() {
                return Err(clash(name));
            }
        }
        let files =
            self.files.iter().map(|(path, reference)| Ok((path.clone(), text(reference, of(reference))?)));
        Ok(Values { env, files: files.collect::<Result<_, Failure>>()? })
    }
}

/// What a file holds: the field that is named, or all fields as JSON.
fn text(reference: &Reference, fields: &Fields) -> Result<Secret, Failure> {
    match (reference.field(), reference.place()) {
        (None, Place::Vault(_)) => Ok(json(fields)),
        _ => one(reference, fields),
    }
}

fn insert_variable(
    env: &mut BTreeMap<String, Secret>,
    field: &str,
    value: &Secret,
    reference: &Reference,
) -> Result<(), Failure> {
    let name = variable_name(field);
    match env.insert(name.clone(), value.clone()) {
        None => Ok(()),
        Some(_) => Err(clash(&name).context(reference)),
    }
}

fn clash(name: &str) -> Failure {
    Failure::new(Kind::Invalid, format!("two secrets would be the variable {name}"))
        .hint("name them one by one with --env NAME=REF")
}

/// A field's name as that of a variable: upper case, everything else an underscore.
fn variable_name(field: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = field.chars().map(plain).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_good = !name.is_empty() && !name.contains('\0') && !name.starts_with(|c: char| c.is_ascii_digit());
    match is_good && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => Ok(()),
        false => Err(Failure::new(Kind::Invalid, format!("`{name}` cannot be the name of a variable"))
            .hint("letters, digits and `_`, not beginning with a digit")),
    }
}

/// Pairs such as `NAME=REF`. The same name twice is a mistake.
fn pairs(flag: &str, left: &str, texts: &[String]) -> Result<BTreeMap<String, Reference>, Failure> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let Some((name, reference)) = text.split_once('=') else {
            // It may be the secret itself.
            return Err(Failure::new(Kind::Invalid, format!("what follows {flag} is not {left}=REF"))
                .hint(format!("such as {flag} {left}=vault://secret/db#password")));
        };
        if pairs.insert(name.to_owned(), crate::command::reference(reference)?).is_some() {
            return Err(Failure::new(Kind::Invalid, format!("`{flag} {name}=` is given twice")));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_variables() {
        for (field, name) in
            [("password", "PASSWORD"), ("api-key.v2", "API_KEY_V2"), ("2nd", "_2ND"), ("ä", "_")]
        {
            assert_eq!(variable_name(field), name);
        }
    }

    #[test]
    fn pairs_are_name_and_reference() {
        let check = |texts: &[&str], expect: bool| {
            let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
            assert_eq!(pairs("--env", "NAME", &texts).is_ok(), expect, "{texts:?}");
        };
        check(&["A=vault://secret/db#x", "B=env://C"], true);
        check(&["A=vault://secret/db#x", "A=env://C"], false);
        check(&["A"], false);
        check(&["A=nope"], false);
        let failure = pairs("--env", "NAME", &["canary".to_owned()]).unwrap_err();
        assert_eq!(failure.message(), "what follows --env is not NAME=REF");
    }

    #[test]
    fn variables_of_two_providers() {
        let check = |variables: &[(&str, &str)], expect: Option<&str>| {
            let place = || Reference::parse("env://HOME").unwrap();
            let mut bindings = Bindings { env: [("A".into(), place())].into(), ..Bindings::default() };
            let results = variables.iter().map(|(name, provider)| match name.strip_prefix("BASE_") {
                Some(_) => bindings.set(name, "http://x", provider),
                None => bindings.bind(name, place(), provider),
            });
            let failure = results.collect::<Result<(), Failure>>().err();
            assert_eq!(failure.as_ref().map(Failure::message), expect, "{variables:?}");
        };
        check(&[("K", "one"), ("BASE_K", "one"), ("L", "two")], None);
        check(&[("K", "one"), ("K", "two")], Some("the providers one and two would both be the variable K"));
        let endpoints = "the providers one and two would both be the variable BASE_K";
        check(&[("BASE_K", "one"), ("BASE_K", "two")], Some(endpoints));
        check(&[("K", "a"), ("K", "a")], Some("the key and the endpoint of a would both be the variable K"));
        let named = "the provider one and what --env or the profile names would both be the variable A";
        check(&[("A", "one")], Some(named));
    }
}

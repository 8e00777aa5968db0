//! The layers of the configuration: default < file < environment < flag. What goes before is known by its origin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::fault::{ConfigFault, Trouble};
use super::key::{ALL, Key};
use super::text::{Origin, Rank, Text};

/// What one layer gives for a key.
struct Layer {
    texts: Vec<Text>,
    rank: Rank,
    /// What is wrong with it as a whole. It matters only if nothing goes before this layer.
    doubt: Option<ConfigFault>,
}

/// All that was given, and the faults that were found in it so far.
#[derive(Default)]
pub(super) struct Layers {
    given: BTreeMap<&'static str, Vec<Layer>>,
    pub(super) faults: Vec<ConfigFault>,
}

impl Layers {
    /// Puts what a file or the flags give into its layer; of two files, the later one goes before.
    pub(super) fn put(&mut self, key: &'static Key, texts: Vec<Text>) {
        if let Some(first) = texts.first() {
            let rank = first.origin().rank();
            self.put_layer(key, Layer { texts, rank, doubt: None });
        }
    }

    fn put_layer(&mut self, key: &'static Key, layer: Layer) {
        let layers = self.given.entry(key.name).or_default();
        layers.push(layer);
        layers.sort_by_key(|layer| layer.rank);
    }

    /// Puts what the variables give into their layer.
    pub(super) fn put_environment(&mut self, environment: &Environment) {
        for key in ALL {
            let set: Vec<_> = key
                .variables
                .iter()
                .filter_map(|name| environment.setting(name).map(|value| (*name, value)))
                .collect();
            let Some((name, value)) = set.first() else { continue };
            let other = set.iter().find(|(_, other)| other != value).map(|(other, _)| *other);
            let (text, doubt) = match (value.to_str(), other) {
                (Some(text), None) => (text, None),
                (Some(text), Some(other)) => (text, Some(contradiction(name, other))),
                (None, _) => ("", Some(ConfigFault::new(name, "this variable is no UTF-8 text"))),
            };
            self.put_layer(
                key,
                Layer { texts: vec![Text::of_variable(text, name)], rank: Rank::Variable, doubt },
            );
        }
    }

    /// The values of a key, none if nobody gave any. What lower layers give is checked if it stands in a file: a file
    /// is right or wrong, whatever is set besides.
    pub(super) fn all<T>(&mut self, key: &Key, parse: impl Fn(&str) -> Result<T, Trouble>) -> Vec<T> {
        let mut values = Vec::new();
        let layers = self.given.get(key.name).map(Vec::as_slice).unwrap_or_default();
        for (at, layer) in layers.iter().enumerate() {
            let is_first = at + 1 == layers.len();
            if !is_first && layer.rank != Rank::File {
                continue;
            }
            self.faults.extend(layer.doubt.clone());
            for text in layer.texts.iter().filter(|_| layer.doubt.is_none()) {
                match text.parse(&parse) {
                    Ok(value) if is_first => values.push(value),
                    Ok(_) => {}
                    Err(fault) => self.faults.push(fault),
                }
            }
        }
        values
    }

    /// The value of a key.
    pub(super) fn one<T>(&mut self, key: &Key, parse: impl Fn(&str) -> Result<T, Trouble>) -> Option<T> {
        self.all(key, parse).pop()
    }

    /// The value of a key as a text that is not empty.
    pub(super) fn text(&mut self, key: &Key) -> Option<String> {
        self.one(key, filled)
    }

    /// The value of a key as a path.
    pub(super) fn path(&mut self, key: &Key, working_dir: &Path) -> Option<PathBuf> {
        self.text(key)?;
        self.winner(key).map(|text| text.path(working_dir))
    }

    /// The text that goes before the others, as it was written.
    pub(super) fn winner(&self, key: &Key) -> Option<&Text> {
        self.given.get(key.name)?.last()?.texts.last()
    }

    /// The layer that gives a key.
    pub(super) fn rank(&self, key: &Key) -> Rank {
        self.given.get(key.name).and_then(|layers| layers.last()).map_or(Rank::Default, |layer| layer.rank)
    }

    /// What is shown of a key: its values as they were written, nothing of a hidden one, and the origin.
    pub(super) fn shown(&self, key: &Key) -> Option<(Option<String>, Origin)> {
        let layer = self.given.get(key.name)?.last()?;
        let shown = || layer.texts.iter().filter_map(|text| text.parse(|text| Ok(text.to_owned())).ok());
        let value = (!key.is_hidden).then(|| shown().collect::<Vec<_>>().join(", "));
        Some((value, layer.texts.first()?.origin()))
    }
}

/// Takes any text that is not empty.
pub(super) fn filled(text: &str) -> Result<String, Trouble> {
    match text {
        "" => Err(Trouble::unseen("this is empty")),
        text => Ok(text.to_owned()),
    }
}

fn contradiction(name: &str, other: &str) -> ConfigFault {
    ConfigFault::new(name, format!("{name} and {other} have different values"))
        .hint(format!("unset {name} or {other}"))
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    fn pick(pairs: &[(&str, &str)], flag: Option<&str>) -> Result<Option<String>, String> {
        let mut layers = Layers::default();
        layers
            .put(&key::NAMESPACE, flag.map(|flag| Text::of_flag(flag, "--namespace")).into_iter().collect());
        layers.put_environment(&pairs.iter().copied().collect());
        let value = layers.text(&key::NAMESPACE);
        match layers.faults.as_slice() {
            [] => Ok(value),
            faults => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn both_spellings_and_the_flag() {
        let check = |pairs: &[(&str, &str)], flag: Option<&str>, expect: Result<Option<&str>, &str>| {
            let expect = expect.map(|value| value.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(pick(pairs, flag), expect, "{pairs:?} {flag:?}");
        };
        let (vault, bao) = ("VAULT_NAMESPACE", "BAO_NAMESPACE");
        check(&[], None, Ok(None));
        check(&[(vault, "")], None, Ok(None));
        check(&[(vault, "a")], None, Ok(Some("a")));
        check(&[(bao, "a")], None, Ok(Some("a")));
        check(&[(vault, ""), (bao, "a")], None, Ok(Some("a")));
        check(&[(vault, "a"), (bao, "a")], None, Ok(Some("a")));
        check(
            &[(vault, "a"), (bao, "b")],
            None,
            Err("VAULT_NAMESPACE: VAULT_NAMESPACE and BAO_NAMESPACE have different values\n  \
                 hint: unset VAULT_NAMESPACE or BAO_NAMESPACE"),
        );
        check(&[(vault, "a"), (bao, "b")], Some("c"), Ok(Some("c")));
        check(&[(vault, "a")], Some("c"), Ok(Some("c")));
        check(&[(vault, "a")], Some(""), Err("--namespace: this is empty"));
    }
}

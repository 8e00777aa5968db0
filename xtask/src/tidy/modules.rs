//! A module uses only those that stand above it in its parent's list, so that a crate can be read in that order.

use super::Finding;
use super::source::{Source, flat, is_for_tests};
use std::collections::HashMap;
use syn::UseTree;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A module or an item by its names from the root of the crate.
type Name = Vec<String>;

/// A crate's modules.
#[derive(Default)]
struct Crate {
    /// The children of each module in the order of their declaration.
    children: HashMap<Name, Vec<String>>,
    /// What the root hands on from its modules: the short name and where it stands.
    aliases: HashMap<String, Name>,
}

/// The uses of a lower module by a higher one in the package at `folder`, code for tests aside.
pub(super) fn order(folder: &str, sources: &[Source]) -> Vec<Finding> {
    let prefix = format!("{folder}/src/");
    let inside = |source: &&Source| source.path.starts_with(&prefix);
    let files: Vec<(Name, &Source)> =
        sources.iter().filter(inside).map(|source| (name_of(&source.path[prefix.len()..]), source)).collect();
    let mut all = Crate::default();
    for (name, source) in &files {
        all.read(name, &source.syntax);
    }
    files.into_iter().flat_map(|(name, source)| all.findings(name, source)).collect()
}

/// `name/address.rs` is the module `name::address`.
fn name_of(path: &str) -> Name {
    let trimmed = path.trim_end_matches(".rs").trim_end_matches("/mod");
    trimmed.split('/').filter(|part| !matches!(*part, "lib" | "main")).map(str::to_owned).collect()
}

impl Crate {
    fn read(&mut self, name: &Name, file: &syn::File) {
        for item in &file.items {
            match item {
                syn::Item::Mod(module) if !is_for_tests(&module.attrs) => {
                    self.children.entry(name.clone()).or_default().push(module.ident.to_string());
                }
                syn::Item::Use(hand_on) if name.is_empty() => {
                    let aliases = leaves(&hand_on.tree)
                        .into_iter()
                        .filter_map(|path| Some((path.last()?.clone(), path)));
                    self.aliases.extend(aliases);
                }
                _ => {}
            }
        }
    }

    fn findings(&self, module: Name, source: &Source) -> Vec<Finding> {
        let mut uses = Uses { module, found: Vec::new() };
        uses.visit_file(&source.syntax);
        let Uses { module, mut found } = uses;
        found.sort_by_key(|(_, line)| *line);
        found.dedup();
        let wrong = found.into_iter().filter(|(target, _)| self.is_upward(&module, &self.behind(target)));
        wrong
            .map(|(target, line)| {
                let text = format!(
                    "`{}` stands below this module in the list: use only those above",
                    target.join("::")
                );
                Finding { path: source.path.clone(), line, text }
            })
            .collect()
    }

    /// Where a name that the root hands on really stands.
    fn behind(&self, target: &Name) -> Name {
        let real = target.first().and_then(|first| self.aliases.get(first));
        real.map_or_else(|| target.clone(), |real| real.iter().chain(&target[1..]).cloned().collect())
    }

    /// Whether `target` stands below `module` in the list of the nearest parent that they share.
    fn is_upward(&self, module: &Name, target: &Name) -> bool {
        let shared = module.iter().zip(target).take_while(|(one, other)| one == other).count();
        let Some(list) = self.children.get(&module[..shared]) else { return false };
        let place = |name: &Name| list.iter().position(|child| Some(child) == name.get(shared));
        matches!((place(module), place(target)), (Some(own), Some(other)) if other > own)
    }
}

/// The names that one file uses of its own crate, as they stand from its root.
struct Uses {
    module: Name,
    found: Vec<(Name, usize)>,
}

impl Uses {
    /// Notes a path if it begins with `crate` or `super`.
    fn note(&mut self, path: &[String], line: usize) {
        let target = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("super") => {
                let up = path.iter().take_while(|word| *word == "super").count();
                let kept = self.module.len().saturating_sub(up);
                self.module[..kept].iter().chain(&path[up..]).cloned().collect()
            }
            _ => return,
        };
        self.found.push((target, line));
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for path in leaves(&item.tree) {
            self.note(&path, item.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Name = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&names, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let words = flat(call.tokens.clone());
        for (at, (word, line)) in words.iter().enumerate() {
            if word == "crate" || word == "super" {
                let names = words[at..].iter().map(|(word, _)| word).step_by(3).zip(separators(&words[at..]));
                let path: Name = names.map_while(|(name, before)| before.then(|| name.clone())).collect();
                self.note(&path, *line);
            }
        }
    }
}

/// For each third word, whether two colons stand before it; the first needs none.
fn separators(words: &[(String, usize)]) -> impl Iterator<Item = bool> + '_ {
    std::iter::once(true)
        .chain(words[1..].chunks(3).map(|three| three.len() == 3 && three[0].0 == ":" && three[1].0 == ":"))
}

/// Every name that a `use` brings in.
fn leaves(tree: &UseTree) -> Vec<Name> {
    match tree {
        UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        UseTree::Rename(name) => vec![vec![name.ident.to_string()]],
        UseTree::Glob(_) => vec![vec![]],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Path(path) => {
            let below = leaves(&path.tree).into_iter();
            below.map(|leaf| [vec![path.ident.to_string()], leaf].concat()).collect()
        }
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expect: &[&str]) {
        let parse = |(path, text): &(&str, &str)| {
            Source::parse(&format!("c/src/{path}"), (*text).to_owned()).unwrap()
        };
        let sources: Vec<Source> = files.iter().map(parse).collect();
        let found: Vec<String> =
            order("c", &sources).iter().map(|f| format!("{}:{}", f.path, f.line)).collect();
        assert_eq!(found, expect, "{files:?}");
    }

    #[test]
    fn modules_use_only_those_above() {
        let root = ("lib.rs", "pub mod a;\npub mod b;\npub use a::One;\npub use b::Two;");
        check(&[root, ("a.rs", "use std::fmt;"), ("b.rs", "use crate::a;")], &[]);
        check(&[root, ("a.rs", "\nuse crate::b;"), ("b.rs", "")], &["c/src/a.rs:2"]);
        check(&[root, ("a.rs", "use crate::{One, Two};")], &["c/src/a.rs:1"]);
        check(&[root, ("a.rs", "fn f() -> super::b::Two { }")], &["c/src/a.rs:1"]);
        check(&[root, ("a.rs", "fn f() { matches!(1, crate::b::X) }")], &["c/src/a.rs:1"]);
        check(&[root, ("a.rs", "fn f() { matches!(1, crate::a::X) }")], &[]);
        check(&[root, ("a.rs", "#[cfg(test)]\nmod tests { use crate::b; }")], &[]);
        check(&[root, ("b.rs", "use crate::One;")], &[]);
    }

    #[test]
    fn the_rule_holds_at_each_depth() {
        let files = [("lib.rs", "mod a;\nmod b;"), ("a.rs", "mod x;\nmod y;\nuse x::X;"), ("b.rs", "")];
        let with = |path: &'static str, text: &'static str| [&files[..], &[(path, text)]].concat();
        check(&with("a/x.rs", "use super::y::Y;"), &["c/src/a/x.rs:1"]);
        check(&with("a/y.rs", "use super::x::X;\nuse crate::a::x::X;"), &[]);
        check(&with("a/y.rs", "use super::Parent;"), &[]);
        check(&with("a/y.rs", "use super::super::b;"), &["c/src/a/y.rs:1"]);
    }
}

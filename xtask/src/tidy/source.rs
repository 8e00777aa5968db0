//! The files of the repository, and the Rust ones parsed.

use crate::step::{Outcome, output};
use leasehold_testkit::workspace;
use proc_macro2::{TokenStream, TokenTree};
use std::fs;
use std::process::Command;

/// One Rust file.
pub(super) struct Source {
    /// From the root of the workspace: `crates/core/src/lib.rs`.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) syntax: syn::File,
}

impl Source {
    pub(super) fn parse(path: &str, text: String) -> Outcome<Self> {
        let syntax = syn::parse_file(&text).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { path: path.to_owned(), text, syntax })
    }
}

/// All files that are committed or would be.
pub(super) fn paths() -> Outcome<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(workspace());
    let listing = output(&mut git)?;
    Ok(listing.lines().filter(|path| workspace().join(path).is_file()).map(str::to_owned).collect())
}

/// The Rust files among them.
pub(super) fn read(paths: &[String]) -> Outcome<Vec<Source>> {
    let rust = paths.iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = fs::read_to_string(workspace().join(path)).map_err(|error| format!("{path}: {error}"))?;
        Source::parse(path, text)
    })
    .collect()
}

/// Whether an item is there for tests alone: `#[cfg(test)]`, `#[cfg(any(test, ..))]` and the like.
pub(super) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let cfgs = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    cfgs.filter_map(|attribute| attribute.meta.require_list().ok())
        .any(|list| flat(list.tokens.clone()).iter().any(|(word, _)| word == "test"))
}

/// The words and signs of a token stream, groups opened, each with its line.
pub(super) fn flat(tokens: TokenStream) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                words.push(("(".to_owned(), group.span_open().start().line));
                words.extend(flat(group.stream()));
                words.push((")".to_owned(), group.span_close().start().line));
            }
            other => words.push((other.to_string(), other.span().start().line)),
        }
    }
    words
}

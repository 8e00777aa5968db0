//! Rules on one file at a time: its head, its length, its functions' lengths, and what has no place in it.

use super::Finding;
use super::source::{Source, flat};
use leasehold_testkit::workspace;
use std::fs;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;

/// A file or a function that is longer than the house allows.
pub(super) struct Long {
    /// `PATH` or `PATH:FUNCTION`.
    pub(super) name: String,
    finding: Finding,
}

impl From<Long> for Finding {
    fn from(long: Long) -> Self {
        long.finding
    }
}

/// Each file begins with what it is.
pub(super) fn head(source: &Source) -> Option<Finding> {
    let text = "a file begins with `//!` and what it is".to_owned();
    (!source.text.starts_with("//! ")).then(|| Finding { path: source.path.clone(), line: 1, text })
}

/// Files and functions have an end.
pub(super) fn lengths(source: &Source) -> Vec<Long> {
    let mut functions = Functions { source, found: Vec::new() };
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        functions.add(source.path.clone(), 1, format!("{lines} lines in a file, {FILE_LINES} allowed"));
    }
    functions.visit_file(&source.syntax);
    functions.found
}

struct Functions<'a> {
    source: &'a Source,
    found: Vec<Long>,
}

impl Functions<'_> {
    fn add(&mut self, name: String, line: usize, text: String) {
        self.found.push(Long { name, finding: Finding { path: self.source.path.clone(), line, text } });
    }

    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (begin, end) = (signature.span().start().line, block.span().end().line);
        let lines = end - begin + 1;
        if lines > FUNCTION_LINES {
            let name = &signature.ident;
            let text = format!("{lines} lines in `{name}`, {FUNCTION_LINES} allowed");
            self.add(format!("{}:{name}", self.source.path), begin, text);
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

/// What `core` and `vault` must not name: they open nothing, and are told the time.
const OPENERS: [&str; 9] = [
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "std::{",
    "Instant",
    "SystemTime",
];

/// `core` and `vault` open nothing: no socket, no file, no environment, no clock.
pub(super) fn openers(source: &Source) -> Vec<Finding> {
    let is_closed =
        ["crates/core/src/", "crates/vault/src/"].iter().any(|folder| source.path.starts_with(folder));
    let lines =
        source.text.lines().enumerate().filter(|(_, line)| is_closed && !line.trim_start().starts_with("//"));
    let found =
        lines.filter_map(|(at, line)| Some((at + 1, OPENERS.iter().find(|opener| has_word(line, opener))?)));
    let finding = |(line, opener)| {
        let text = format!("`{opener}` in a crate that opens nothing");
        Finding { path: source.path.clone(), line, text }
    };
    found.map(finding).collect()
}

/// Whether a line has this text, and not as the beginning of a longer word (`Instants` is none of a clock's).
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[at + word.len()..].starts_with(|c: char| c.is_alphanumeric()))
}

/// No test is switched off or skipped by mistake, nothing is left to do, and no test sleeps in wait of a time.
pub(super) fn bans(source: &Source) -> Vec<Finding> {
    let mut bans = Bans { source, sleeps: source.path.contains("/tests/"), found: Vec::new() };
    bans.visit_file(&source.syntax);
    bans.found
}

struct Bans<'a> {
    source: &'a Source,
    /// Whether sleeping is banned here.
    sleeps: bool,
    found: Vec<Finding>,
}

impl Bans<'_> {
    fn add(&mut self, line: usize, text: &str) {
        self.found.push(Finding { path: self.source.path.clone(), line, text: text.to_owned() });
    }

    fn word(&mut self, word: &str, line: usize) {
        match word {
            "todo" | "unimplemented" => self.add(line, "nothing is left to do in a commit"),
            "sleep" | "sleep_until" if self.sleeps => {
                self.add(line, "a test waits for an event and not for a time");
            }
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Bans<'_> {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("ignore") {
            self.add(attribute.span().start().line, "no test is switched off");
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let is_test = item.attrs.iter().any(|attribute| attribute.path().is_ident("test"));
        if is_test && item.sig.ident.to_string().get(1..).is_some_and(|rest| rest.contains("long_")) {
            let text = "the normal run skips what has `long_` in its name: only a long test begins with it";
            self.add(item.sig.span().start().line, text);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if name == "todo" || name == "unimplemented" {
            self.word(&name, call.span().start().line);
        }
        for pair in flat(call.tokens.clone()).windows(2).filter(|pair| matches!(&*pair[1].0, "(" | "!")) {
            self.word(&pair[0].0, pair[0].1);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(last) = function.path.segments.last()
        {
            self.word(&last.ident.to_string(), last.span().start().line);
        }
        visit::visit_expr_call(self, call);
    }
}

/// No file names a folder of the machine that it was written on.
pub(super) fn machine_paths(paths: &[String]) -> Vec<Finding> {
    let read = |path: &String| fs::read(workspace().join(path)).unwrap_or_default();
    paths.iter().flat_map(|path| machine_path(path, &String::from_utf8_lossy(&read(path)))).collect()
}

fn machine_path(path: &str, text: &str) -> Option<Finding> {
    // In two parts, so as not to find itself.
    let folder = concat!("/wo", "rk/");
    let begins =
        |line: &str| line.find(folder).is_some_and(|at| !line[..at].ends_with(char::is_alphanumeric));
    let (index, _) = text.lines().enumerate().find(|(_, line)| begins(line))?;
    let text = format!("`{folder}` is a folder of one machine");
    Some(Finding { path: path.to_owned(), line: index + 1, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::parse(path, text.to_owned()).unwrap()
    }

    #[test]
    fn a_file_begins_with_what_it_is() {
        let check =
            |text: &str, expect: bool| assert_eq!(head(&source("a.rs", text)).is_none(), expect, "{text}");
        check("//! A thing.\n", true);
        check("/// A thing.\nfn f() {}", false);
        check("\n//! A thing.\n", false);
        check("", false);
    }

    #[test]
    fn what_opens_something_is_found_where_nothing_may() {
        let check = |path: &str, text: &str, expect: usize| {
            assert_eq!(openers(&source(path, text)).len(), expect, "{path}: {text}");
        };
        check("crates/core/src/a.rs", "use std::fs;", 1);
        check("crates/vault/src/a.rs", "fn f() { std::net::lookup(); }", 1);
        check("crates/core/src/a.rs", "use std::time::{Duration, Instant};", 1);
        check("crates/core/src/a.rs", "// std::fs\nuse std::fmt;\nstruct Instants;", 0);
        check("crates/leasehold/src/a.rs", "use std::fs;", 0);
    }

    #[test]
    fn files_and_functions_without_end_are_found() {
        let check = |text: String, expect: &[&str]| {
            let names: Vec<String> =
                lengths(&source("a.rs", &text)).into_iter().map(|long| long.name).collect();
            assert_eq!(names, expect);
        };
        check(format!("fn f() {{{}}}", "\n".repeat(59)), &[]);
        check(format!("fn f() {{{}}}", "\n".repeat(60)), &["a.rs:f"]);
        check(format!("impl A {{ fn g() {{{}}} }}", "\n".repeat(60)), &["a.rs:g"]);
        check("\n".repeat(601), &["a.rs"]);
    }

    #[test]
    fn what_has_no_place_is_found() {
        let check = |path: &str, text: &str, expect: usize| {
            let found = bans(&source(path, text));
            assert_eq!(found.len(), expect, "{text}: {found:?}");
        };
        check("src/a.rs", "#[test] fn f() { sleep(1); }", 0);
        check("x/tests/a.rs", "#[test] fn f() { thread::sleep(1); }", 1);
        check("x/tests/a.rs", "fn f() { select! { _ = time::sleep(1) => 2 } }", 1);
        check("x/tests/a.rs", "fn f() { let sleep = 1; println!(\"{sleep} sleep(1)\"); }", 0);
        check("src/a.rs", "#[test] #[ignore] fn f() {}", 1);
        check("src/a.rs", "#[test] #[ignore = \"slow\"] fn f() {}", 1);
        check("src/a.rs", "#[test] fn long_row() {}", 0);
        check("src/a.rs", "#[test] fn as_long_as() {}", 1);
        check("src/a.rs", "fn as_long_as() {}", 0);
        check("src/a.rs", "fn f() { todo!() }", 1);
        check("src/a.rs", "fn f() { assert!(todo!()) }", 1);
        check("src/a.rs", "fn f() { \"todo!()\"; }", 0);
    }

    #[test]
    fn folders_of_a_machine_are_found() {
        let check =
            |text: &str, expect: bool| assert_eq!(machine_path("a", text).is_some(), expect, "{text}");
        check(concat!("see /wo", "rk/main"), true);
        check(concat!("see network/wo", "rk/main"), false);
        check("see docs", false);
    }
}

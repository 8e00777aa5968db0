//! The documents tell the truth: their commands run against a real server, and their links lead somewhere.
//!
//! In a block of `console`, `$ ` begins a command and `> ` goes on with it; `# exits N` after a command says that it
//! fails so. Every other line is shown by one of the block's commands, where `..` stands for anything. All blocks of
//! one document are typed into one shell.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start programs and read the environment, and a failure is a failed test"
)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use leasehold_testkit::{Postgres, Server, server_binary, wait_for, workspace};

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is run.
    Played,
    /// It is not.
    Left,
}

use Fate::{Left, Played};

/// How a command that is not our own may begin, what becomes of it, and why.
const OTHERS: &[(&str, Fate, &str)] = &[
    ("bao server ", Left, "the test's own server is there already"),
    ("bao ", Played, "the command line of the server, which is the same program"),
    ("export ", Played, "a reader's shell"),
    ("cat ", Played, "a reader's shell"),
    ("echo ", Played, "a reader's shell, before a pipe to leasehold"),
    ("(sleep ", Played, "somebody changes a secret while a command runs"),
    ("TOKEN=$(leasehold ", Played, "a reader's shell keeps a token"),
    ("cargo install ", Left, "takes minutes"),
    ("cargo test ", Left, "this is such a test"),
    ("cargo bench ", Left, "takes minutes"),
];

/// What a document says, and what the test has in its place.
fn in_place(text: &str, server: &Server) -> String {
    let token = format!("VAULT_TOKEN={}", server.root_token());
    text.replace("http://127.0.0.1:8200", server.address()).replace("VAULT_TOKEN=root", &token)
}

/// A document of the project.
struct Document {
    path: PathBuf,
    text: String,
}

/// A block of commands and what they show.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    line: usize,
    commands: Vec<String>,
    shown: Vec<String>,
}

/// All documents: those at the root, and those below `docs/`.
fn documents() -> Vec<Document> {
    let folders = ["", "docs", "docs/decisions"].map(|folder| workspace().join(folder));
    let entries = folders.iter().flat_map(|folder| folder.read_dir().unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    // They are played on one server, in the same order everywhere.
    paths.sort();
    let documents = paths.into_iter();
    documents.map(|path| Document { text: fs::read_to_string(&path).unwrap(), path }).collect()
}

impl Document {
    fn name(&self) -> String {
        self.path.strip_prefix(workspace()).unwrap().display().to_string()
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line) {
                (None, "```console") => open = Some(Block { line: index + 1, ..Block::default() }),
                (Some(_), "```") => blocks.extend(open.take()),
                (Some(block), line) => block.read(line),
                (None, _) => {}
            }
        }
        blocks
    }

    /// The files that the document links to.
    fn links(&self) -> impl Iterator<Item = &str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files = targets.filter(|target| !target.contains("://"));
        files.filter_map(|target| target.split('#').next()).filter(|file| !file.is_empty())
    }
}

impl Block {
    fn read(&mut self, line: &str) {
        match (line.split_at_checked(2), self.commands.last_mut()) {
            (Some(("$ ", command)), _) => self.commands.push(command.to_owned()),
            (Some(("> ", more)), Some(last)) => *last = format!("{last}\n{more}"),
            _ => self.shown.push(line.to_owned()),
        }
    }

    /// The block as a script that ends at the first command that does not exit as it should.
    fn script(&self, server: &Server) -> String {
        let played = self.commands.iter().filter(|command| fate(command) == Some(Played));
        played.map(|command| checked(&in_place(command, server)) + "\n").collect()
    }

    /// The lines that were to be shown and were not.
    fn missing(&self, shown: &str, server: &Server) -> Vec<String> {
        let expected = self.shown.iter().map(|line| in_place(line, server));
        expected.filter(|expect| !shown.lines().any(|line| is_like(line, expect))).collect()
    }
}

/// What becomes of a command; none if it is not known.
fn fate(command: &str) -> Option<Fate> {
    if command.starts_with("cargo xtask ") {
        return Some(Left);
    }
    let is_ours = without_assignments(command).starts_with("leasehold ");
    let other = || OTHERS.iter().find(|(begin, _, _)| command.starts_with(begin)).map(|(_, fate, _)| *fate);
    if is_ours { Some(Played) } else { other() }
}

/// The command behind `NAME=value NAME=value`.
fn without_assignments(command: &str) -> &str {
    match command.split_once(' ') {
        Some((first, rest)) if first.contains('=') && !first.contains(['$', '"', '\'']) => {
            without_assignments(rest)
        }
        _ => command,
    }
}

/// A command with a check of the code that it says it exits with.
fn checked(command: &str) -> String {
    match command.split_once("  # exits ") {
        Some((command, code)) => format!("code=0; {command} || code=$?; [ \"$code\" = {code} ]"),
        None => command.to_owned(),
    }
}

/// Whether a line is what a document shows, spaces aside.
fn is_like(line: &str, expect: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, expect) = (squeezed(line), squeezed(expect));
    let mut parts = expect.split("..");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = if part.is_empty() { "" } else { &rest[at + part.len()..] };
    }
    rest.is_empty()
}

/// Types a document into a shell of its own.
fn play(document: &Document, server: &Server, home: &Path) -> Output {
    let mut script = "set -e\n".to_owned();
    for block in document.blocks() {
        script += &format!("echo {}\n{}", mark(block.line), block.script(server));
    }
    let own = Path::new(env!("CARGO_BIN_EXE_leasehold")).parent().unwrap().to_owned();
    let inherited = env::var_os("PATH").unwrap_or_default();
    let path =
        env::join_paths([own, home.join("bin")].into_iter().chain(env::split_paths(&inherited))).unwrap();
    let mut shell = Command::new("timeout");
    shell
        .args(["120", "sh", "-c", &script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .current_dir(home);
    shell.output().unwrap()
}

/// What stands before the output of the block at this line.
fn mark(line: usize) -> String {
    format!("==== line {line} ====")
}

/// A folder with the server's command line in `bin/bao`, on a server as the tour wants it.
fn home(server: &Server, postgres: &Postgres) -> PathBuf {
    server.database(postgres, "app", "1h", "2h");
    let home = server.folder().join("home");
    fs::create_dir_all(home.join("bin")).unwrap();
    std::os::unix::fs::symlink(server_binary().unwrap(), home.join("bin/bao")).unwrap();
    home
}

#[test]
fn what_the_documents_show_happens() {
    let (server, postgres) = (Server::start(), Postgres::start());
    let home = home(&server, &postgres);
    let mut played = 0;
    for document in documents().iter().filter(|document| !document.blocks().is_empty()) {
        let output = play(document, &server, &home);
        let (name, shown) = (document.name(), String::from_utf8_lossy(&output.stdout));
        let told = format!("{shown}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name} stopped, {}, after this:\n{told}", output.status);
        for block in document.blocks() {
            let begun = shown.split(&mark(block.line)).nth(1).unwrap_or_default();
            let missing = block.missing(begun.split("==== line").next().unwrap_or_default(), &server);
            assert!(
                missing.is_empty(),
                "{name}:{}: not shown: {missing:#?}\nbut this was:\n{told}",
                block.line
            );
            played += block.commands.iter().filter(|command| fate(command) == Some(Played)).count();
        }
    }
    assert!(played > 20, "only {played} commands were found");
    // With its token a lease is doomed; the server ends it a moment later.
    let is_clean = || (postgres.roles() == [postgres.user()]).then_some(());
    wait_for(Duration::from_secs(10), is_clean).expect("logins that were made for commands are gone");
}

#[test]
fn every_command_is_known() {
    let usage = include_str!("../../../xtask/src/main.rs").split("const USAGE").nth(1).unwrap();
    let lines = usage.split("\";").next().unwrap().lines().filter_map(|line| line.strip_prefix("  "));
    let words =
        lines.filter(|line| line.starts_with(char::is_alphabetic)).filter_map(|line| line.split(' ').next());
    let known: BTreeSet<_> = words.collect();
    for document in documents() {
        for command in document.blocks().into_iter().flat_map(|block| block.commands) {
            let xtask = command.strip_prefix("cargo xtask ").and_then(|rest| rest.split(' ').next());
            let is_known = xtask.map_or_else(|| fate(&command).is_some(), |word| known.contains(word));
            assert!(is_known, "{}: nobody knows `{command}`", document.name());
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let documents = documents();
    let lost = documents.iter().flat_map(|document| {
        let folder = document.path.parent().unwrap();
        let lost = document.links().filter(|link| !folder.join(link).exists());
        lost.map(|link| format!("{}: {link}", document.name()))
    });
    assert_eq!(lost.collect::<Vec<_>>(), [] as [String; 0]);
}

#[test]
fn every_test_that_keeps_an_invariant_exists() {
    let architecture = fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let section = architecture.split("\n## ").find(|section| section.starts_with("Invariants")).unwrap();
    let is_test = |word: &str| {
        word.contains('_') && word.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let (mut file, mut tests) = (String::new(), 0);
    for word in section.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            file =
                fs::read_to_string(workspace().join(word)).unwrap_or_else(|error| panic!("{word}: {error}"));
        } else if is_test(word) {
            assert!(file.contains(&format!("fn {word}(")), "`{word}` is not in the file named before it");
            tests += 1;
        }
    }
    assert!(tests > 20, "only {tests} tests were found");
}

#[test]
fn blocks_are_commands_and_what_they_show() {
    let text = "x\n```console\n$ cat <<E\n> a\n> E\na\n$ b  # exits 3\n```\n```sh\n$ c\n```\n";
    let document = Document { path: workspace().join("x.md"), text: text.into() };
    let commands = ["cat <<E\na\nE", "b  # exits 3"].map(str::to_owned).to_vec();
    assert_eq!(document.blocks(), [Block { line: 2, commands, shown: vec!["a".into()] }]);
    assert_eq!(checked("b  # exits 3"), "code=0; b || code=$?; [ \"$code\" = 3 ]");
}

#[test]
fn fates_of_commands() {
    let check = |command: &str, expect: Option<Fate>| assert_eq!(fate(command), expect, "{command}");
    check("leasehold journal", Some(Played));
    check("A=b C=d leasehold journal", Some(Played));
    check("cargo xtask demo", Some(Left));
    check("bao server -dev &", Some(Left));
    check("bao kv put secret/db password=blue", Some(Played));
    check("rm -r /", None);
    check("A=$(rm -r /) leasehold journal", None);
}

#[test]
fn lines_that_are_alike() {
    let check =
        |line: &str, expect: &str, is: bool| assert_eq!(is_like(line, expect), is, "{line:?} {expect:?}");
    check("a  b", "a b", true);
    check("a b c", "a b", false);
    check("log in  ok  12 ms  token", "log in  ok  .. ms  token", true);
    check("log in  ok  12 s  token", "log in  ok  .. ms  token", false);
    check("v-root-app", "v-..", true);
    check("w-root-app", "v-..", false);
}

//! A configuration file as it was written: which keys it gives, and every fault in it.
//!
//! The tree of the TOML parser is walked by hand, not by serde, which would stop at the first fault. A fault shows a
//! key, or the value of a key that holds no secret; never a line, since what else stands on it may be one.

use std::ops::Range;
use std::sync::Arc;

use leasehold::likeness::nearest;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::fault::ConfigFault;
use super::key::{Key, Shape, of_section};
use super::text::{Site, SourceFile, Text};

/// How far a file is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Somebody named it.
    Named,
    /// It is in the user's own folder.
    Own,
    /// It was lying in the working directory.
    Found,
}

/// What a file gives for a key: one text, or several of a list.
pub(super) type Given = (&'static Key, Vec<Text>);

/// What a file says.
#[derive(Default)]
pub(super) struct RawFile {
    /// The keys of the sections `server`, `login`, `workstation` and `run`.
    pub(super) given: Vec<Given>,
    /// The profiles.
    pub(super) profiles: Vec<RawProfile>,
    /// Those who are told of alerts.
    pub(super) sinks: Vec<RawSink>,
}

/// A sink for alerts as it was written.
pub(super) struct RawSink {
    pub(super) name: Text,
    pub(super) given: Vec<Given>,
}

/// A profile as it was written.
#[derive(Default)]
pub(super) struct RawProfile {
    pub(super) name: String,
    /// What it says otherwise than the section `run`.
    pub(super) run: Vec<Given>,
    /// The names of providers.
    pub(super) providers: Vec<Text>,
    /// Variables and their references.
    pub(super) env: Vec<(Text, Text)>,
    pub(super) env_from: Vec<Text>,
    /// Paths and their references.
    pub(super) files: Vec<(Text, Text)>,
}

/// What a profile says beside the keys of the section `run`.
const OWN_OF_PROFILES: [&str; 4] = ["providers", "env", "env_from", "files"];
const SECTIONS: [&str; 6] = ["server", "login", "workstation", "run", "profile", "alerts"];

/// Reads the text of a file, as far as it can be read; the faults are those of the rest.
pub(super) fn read(file: &Arc<SourceFile>, trust: Trust, faults: &mut Vec<ConfigFault>) -> RawFile {
    let (root, errors) = DeTable::parse_recoverable(&file.text);
    let mut reader = Reader { file, trust, faults: Vec::new() };
    let raw = reader.file(root.get_ref());
    let broken: Vec<_> = errors.iter().map(|error| syntax_fault(file, error)).collect();
    // What the parser makes of a broken line is a guess: one fault a line is enough.
    reader.faults.retain(|(line, _)| broken.iter().all(|(other, _)| other != line));
    reader.faults.extend(broken);
    reader.faults.sort_by_key(|(line, _)| *line);
    faults.extend(reader.faults.into_iter().map(|(_, fault)| fault));
    raw
}

/// The line and the fault. The parser's own messages quote nothing of the text.
fn syntax_fault(file: &SourceFile, error: &toml::de::Error) -> (usize, ConfigFault) {
    let at = error.span().map_or(0, |span| span.start);
    let message = format!("this is not TOML: {}", error.message());
    (file.position(at).0, ConfigFault::new(file.place(at), message))
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    trust: Trust,
    /// The faults with their lines.
    faults: Vec<(usize, ConfigFault)>,
}

type Entry<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

impl Reader<'_> {
    fn site(&self, span: Range<usize>) -> Site {
        Site { file: Arc::clone(self.file), span }
    }

    fn fault(&mut self, span: &Range<usize>, fault: ConfigFault) {
        self.faults.push((self.file.position(span.start).0, fault));
    }

    fn file(&mut self, root: &DeTable<'_>) -> RawFile {
        let mut raw = RawFile::default();
        for (key, value) in root {
            let name = key.get_ref().as_ref();
            match SECTIONS.iter().find(|section| **section == name) {
                None => self.unknown((key, value), &SECTIONS, |section| format!("[{section}]")),
                Some(section) => self.top(section, (key, value), &mut raw),
            }
        }
        raw
    }

    fn top(&mut self, section: &'static str, entry: Entry<'_, '_>, raw: &mut RawFile) {
        let Some(table) = self.table(entry) else { return };
        match section {
            "profile" => raw.profiles.extend(table.iter().filter_map(|entry| self.profile(entry))),
            "server" | "login" | "workstation" | "alerts" if self.trust == Trust::Found => {
                self.distrust(section, entry.0.span());
            }
            "alerts" => raw.sinks.extend(table.iter().filter_map(|entry| self.sink(entry))),
            _ => raw.given.extend(table.iter().filter_map(|entry| self.given(section, entry, &[]))),
        }
    }

    /// Whoever wrote the files of the working directory must not be able to send the user's token elsewhere.
    fn distrust(&mut self, section: &str, span: Range<usize>) {
        let message = format!(
            "[{section}] is not read from a file that only happens to be in the working directory, \
             since a foreign one could send your login and your keys to strangers"
        );
        let fault = self.site(span.clone()).unseen_fault(message).hint(
            "move it to ~/.config/leasehold/config.toml, or name this file with --config or LEASEHOLD_CONFIG",
        );
        self.fault(&span, fault);
    }

    /// One key of a section; `others` are further names that may stand there.
    fn given(&mut self, section: &str, entry: Entry<'_, '_>, others: &[&'static str]) -> Option<Given> {
        let name = entry.0.get_ref().as_ref();
        let Some((_, key)) = of_section(section).find(|(known, _)| *known == name) else {
            let readable = of_section(section).filter(|(_, key)| key.shape != Shape::Secret);
            let known: Vec<_> = readable.map(|(known, _)| known).chain(others.iter().copied()).collect();
            self.unknown(entry, &known, |known| format!("`{known}`"));
            return None;
        };
        match key.shape {
            Shape::Secret => {
                self.refuse_secret(key, entry.0.span());
                None
            }
            shape => self.texts(shape, entry).map(|texts| (key, texts)),
        }
    }

    fn refuse_secret(&mut self, key: &Key, span: Range<usize>) {
        let (_, name) = key.in_section().unwrap_or_default();
        let variable = key.variables.first().copied().unwrap_or_default();
        let message = format!("`{}` is a secret, which is not kept in a configuration file", key.name);
        let hint = format!("put it into a file of its own and name that as `{name}_file`, or set {variable}");
        let fault = self.site(span.clone()).key_fault(message).hint(hint);
        self.fault(&span, fault);
    }

    fn unknown(&mut self, entry: Entry<'_, '_>, known: &[&'static str], show: impl Fn(&str) -> String) {
        let name = entry.0.get_ref().as_ref();
        let site = self.site(entry.0.span());
        let fault = site.key_fault(format!("unknown key `{}`", name.escape_debug()));
        let hint = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean {}?", show(meant)),
            None => {
                let known: Vec<_> = known.iter().map(|name| show(name)).collect();
                format!("known here are {}", known.join(", "))
            }
        };
        self.fault(&entry.0.span(), fault.hint(hint));
    }

    fn wrong_type(&mut self, key: &Spanned<DeString<'_>>, value: &DeValue<'_>, expected: &str) {
        let name = key.get_ref().as_ref().escape_debug();
        let message = format!("`{name}` is {expected}, not a TOML {}", value.type_str());
        let fault = self.site(key.span()).key_fault(message);
        self.fault(&key.span(), fault);
    }

    fn table<'a, 'i>(&mut self, (key, value): Entry<'a, 'i>) -> Option<&'a DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, value.get_ref(), "a table");
        }
        table
    }

    fn texts(&mut self, shape: Shape, (key, value): Entry<'_, '_>) -> Option<Vec<Text>> {
        let one = |text: &str| vec![Text::of_site(text, self.site(value.span()))];
        match (shape, value.get_ref()) {
            (Shape::Switch, DeValue::Boolean(switch)) => Some(one(&switch.to_string())),
            (Shape::Text | Shape::List, DeValue::String(text)) => Some(one(text)),
            (Shape::List, DeValue::Array(items)) => self.list(key, items),
            (shape, other) => {
                self.wrong_type(
                    key,
                    other,
                    match shape {
                        Shape::Switch => "true or false",
                        Shape::List => "a text or a list of texts",
                        Shape::Text | Shape::Secret => "a text in quotes",
                    },
                );
                None
            }
        }
    }

    fn list(&mut self, key: &Spanned<DeString<'_>>, items: &DeArray<'_>) -> Option<Vec<Text>> {
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => texts.push(Text::of_site(text, self.site(item.span()))),
                other => self.wrong_type(key, other, "a list of texts"),
            }
        }
        (texts.len() == items.len()).then_some(texts)
    }

    fn profile(&mut self, entry: Entry<'_, '_>) -> Option<RawProfile> {
        let table = self.table(entry)?;
        let name = entry.0.get_ref().to_string();
        let mut profile = RawProfile { name, ..RawProfile::default() };
        for entry in table {
            match entry.0.get_ref().as_ref() {
                "providers" => profile.providers = self.texts(Shape::List, entry).unwrap_or_default(),
                "env" => profile.env = self.pairs(entry),
                "files" => profile.files = self.pairs(entry),
                "env_from" => profile.env_from = self.texts(Shape::List, entry).unwrap_or_default(),
                _ => profile.run.extend(self.given("run", entry, &OWN_OF_PROFILES)),
            }
        }
        Some(profile)
    }

    fn sink(&mut self, entry: Entry<'_, '_>) -> Option<RawSink> {
        let table = self.table(entry)?;
        let name = Text::of_site(entry.0.get_ref(), self.site(entry.0.span()));
        let given = table.iter().filter_map(|entry| self.given("alerts", entry, &[])).collect();
        Some(RawSink { name, given })
    }

    /// A table of texts: each name with its text.
    fn pairs(&mut self, entry: Entry<'_, '_>) -> Vec<(Text, Text)> {
        let Some(table) = self.table(entry) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (key, value) in table {
            let name = Text::of_site(key.get_ref(), self.site(key.span()));
            let texts = self.texts(Shape::Text, (key, value)).unwrap_or_default();
            pairs.extend(texts.into_iter().map(|text| (name.clone(), text)));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, trust: Trust) -> Vec<String> {
        let file = Arc::new(SourceFile { path: "l.toml".into(), text: text.into() });
        let mut faults = Vec::new();
        read(&file, trust, &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    fn check(text: &str, expect: &[&str]) {
        assert_eq!(faults(text, Trust::Own), expect, "{text}");
    }

    #[test]
    fn what_is_right_has_no_faults() {
        check("", &[]);
        check("[server]\naddress = 'http://x'\nskip_verify = false\n[run]\non_change = 'restart'", &[]);
        check("server.address = ['http://x', 'http://y']", &[]);
        check(
            "[profile.web]\nenv = { A = 'vault://a/b#c' }\nenv_from = ['vault://a/b']\nstop_signal = 'INT'\nproviders = ['a']",
            &[],
        );
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        check(
            "[server]\nadress = 1\nskip_verify = 'yes'\n[sever]\n[profile.web]\n env_form = []",
            &[
                "l.toml:2:1: unknown key `adress`\n  adress = ..\n  ^\n  hint: did you mean `address`?",
                "l.toml:3:1: `skip_verify` is true or false, not a TOML string\n  skip_verify = ..\n  ^",
                "l.toml:4:2: unknown key `sever`\n  sever = ..\n  ^\n  hint: did you mean [server]?",
                "l.toml:6:2: unknown key `env_form`\n  env_form = ..\n  ^\n  hint: did you mean `env_from`?",
            ],
        );
        check("run = 3", &["l.toml:1:1: `run` is a table, not a TOML integer\n  run = ..\n  ^"]);
    }

    #[test]
    fn a_broken_line_is_told_once_and_the_rest_too() {
        check(
            "[server]\naddress = \nca_path = 3\nca_cert = x\n",
            &[
                "l.toml:2:11: this is not TOML: string values must be quoted, expected literal string",
                "l.toml:3:1: `ca_path` is a text in quotes, not a TOML integer\n  ca_path = ..\n  ^",
                "l.toml:4:11: this is not TOML: string values must be quoted, expected literal string",
            ],
        );
    }

    #[test]
    fn no_fault_shows_a_secret() {
        let told = [
            "[login]\ntoken = 's.canary'\npassword = 'canary'\nsecret_id = 'canary'\njwt = 'canary'",
            "[login]\npasword = 'canary'",
            "[login]\nrole_id = ['canary']",
            "token = 'canary'",
            "[login]\ntoken = canary\nsecret_id = 'canary",
            "[login]\npassword = \"\"\"a\ncanary\n\n\\x canary",
            "[profile.a]\nenv = { A = 'canary', B = 1, C = canary }",
            "[alerts.a]\nurl = ['canary']\nsecret = canary\nroutingkey = 'canary'",
        ]
        .map(|text| faults(text, Trust::Own));
        for faults in told {
            assert!(!faults.is_empty());
            assert!(!faults.concat().contains("canary"), "{faults:#?}");
        }
    }

    #[test]
    fn a_secret_is_refused_with_a_way_out() {
        check(
            "[login]\ntoken = 's.canary'",
            &[
                "l.toml:2:1: `login.token` is a secret, which is not kept in a configuration file\n  token = ..\n  ^\n  \
               hint: put it into a file of its own and name that as `token_file`, or set VAULT_TOKEN",
            ],
        );
    }

    #[test]
    fn a_found_file_names_neither_server_nor_login_nor_who_is_told() {
        let text =
            "[server]\naddress = 'http://evil'\n[login]\nrole = 'x'\n[run]\non_change = 'ignore'\n[alerts.a]";
        let found = faults(text, Trust::Found);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].starts_with("l.toml:1:2: [server] is not read from"), "{found:#?}");
        assert!(found[1].contains("--config"), "{found:#?}");
        assert!(faults(text, Trust::Named).is_empty());
    }
}

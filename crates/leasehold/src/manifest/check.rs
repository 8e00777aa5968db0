//! What is wrong with a manifest: all of it at once, each with its place.

use std::collections::HashMap;
use std::fmt;

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use leasehold_core::name::Address;
use serde_json::{Map, Value};

use super::key::{has_known_beginning, has_random_part};
use super::{ManifestFaults, Pointer};

/// One fault, with its line and column, both from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFault {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// What is wrong. It quotes names, never a value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// The texts beside the providers that are known, and what each is. They are optional, and may be null.
pub(super) const TEXTS: [(&str, &str); 2] = [
    ("version", "The version of the format, such as 2026.1."),
    ("identity", "Whose manifest this is, such as the name of the machine."),
];

/// The fields of a provider that are known, what each holds, and what it is. All are optional, and may be null; an
/// empty text is as good as null.
pub(super) const FIELDS: [(&str, Field, &str); 6] = [
    ("type", Field::Text, "What sort of provider it is, such as upstream, gateway or local."),
    (
        "vault_key",
        Field::Pointer,
        "Where its key rests, never the key: the name of an entry in the store of the workstation, such as \
         api.openai.com/pro_key, or a full reference, such as vault://secret/ai#openai.",
    ),
    ("env_var", Field::Variable, "The variable that a command gets the key in."),
    ("base_url_env", Field::Variable, "The variable that a command gets the endpoint in."),
    ("endpoint", Field::Url, "Where it is reached."),
    (
        "priority",
        Field::Number,
        "The lower, the earlier it is taken; without one it comes after all that have one.",
    ),
];

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Text,
    Pointer,
    Variable,
    Url,
    Number,
}

const NO_JSON: &str = "this is not JSON";
const KEY: &str = "this looks like a key, which does not belong into a manifest";
const KEY_HINT: &str = "write a name of your choice here, and give the key to `leasehold set-key`; then change the key, since \
                        it was on the disk";

/// The document, if nothing is wrong with it.
pub(super) fn document(text: &str) -> Result<Map<String, Value>, ManifestFaults> {
    // The parser's message may quote what it choked on, so only its place is told.
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let fault = Found { at: place(text, &error), message: NO_JSON.into(), hint: None };
        ManifestFaults(placed(text, vec![fault]))
    })?;
    let mut checker = Checker::default();
    match parse_to_ast(text, &CollectOptions::default(), &strict()) {
        Ok(parsed) => checker.root(parsed.value.as_ref()),
        Err(error) => checker.fault(error.range().start, NO_JSON, None),
    }
    match (value, checker.faults) {
        (Value::Object(document), faults) if faults.is_empty() => Ok(document),
        (_, faults) => Err(ManifestFaults(placed(text, faults))),
    }
}

/// Where the parser stopped. Its columns count bytes, and a line end in the wrong place is column 0 of the next line.
fn place(text: &str, error: &serde_json::Error) -> usize {
    let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    text.floor_char_boundary((line + error.column()).saturating_sub(1))
}

/// The faults in the order of the text, with their lines and columns: one walk for all, as there may be thousands.
fn placed(text: &str, mut faults: Vec<Found>) -> Vec<ManifestFault> {
    faults.sort_by_key(|fault| fault.at);
    let (mut line, mut column, mut walked) = (1, 1, 0);
    let placed = faults.into_iter().map(|Found { at, message, hint }| {
        for letter in text.get(walked..at).unwrap_or_default().chars() {
            (line, column) = if letter == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        walked = at;
        ManifestFault { line, column, message, hint }
    });
    placed.collect()
}

fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// A fault, and where in the text it is.
struct Found {
    at: usize,
    message: String,
    hint: Option<&'static str>,
}

#[derive(Default)]
struct Checker {
    faults: Vec<Found>,
}

impl Checker {
    fn fault(&mut self, at: usize, message: impl Into<String>, hint: Option<&'static str>) {
        self.faults.push(Found { at, message: message.into(), hint });
    }

    fn root(&mut self, root: Option<&Node<'_>>) {
        let Some(Node::Object(root)) = root else {
            return self.fault(0, "a manifest is an object", None);
        };
        self.doubles(root);
        self.secrets(&Node::Object(root.clone()));
        match root.get("providers").map(|providers| &providers.value) {
            None => self.fault(root.range.start, "`providers` is missing", None),
            Some(Node::Object(providers)) => self.providers(providers),
            Some(other) => self.fault(other.range().start, "`providers` is an object", None),
        }
        for (name, _) in TEXTS {
            if let Some(prop) = root.get(name) {
                self.field(name, Field::Text, prop);
            }
        }
    }

    fn providers(&mut self, providers: &Object<'_>) {
        self.doubles(providers);
        for prop in &providers.properties {
            match &prop.value {
                Node::Object(provider) => self.provider(provider),
                other => self.fault(other.range().start, "a provider is an object", None),
            }
            let name = prop.name.as_str();
            if name.trim().is_empty() || name.contains(char::is_control) {
                self.fault(prop.range.start, "this is no name for a provider", None);
            }
        }
    }

    fn provider(&mut self, provider: &Object<'_>) {
        self.doubles(provider);
        for (name, field, _) in FIELDS {
            if let Some(prop) = provider.get(name) {
                self.field(name, field, prop);
            }
        }
    }

    fn field(&mut self, name: &str, field: Field, prop: &ObjectProp<'_>) {
        let at = prop.value.range().start;
        let wrong = match (field, &prop.value) {
            (_, Node::NullKeyword(_)) => return,
            (field, Node::StringLit(text)) if text.value.is_empty() && field != Field::Number => return,
            (Field::Number, Node::NumberLit(number)) if number.value.parse::<u32>().is_ok() => return,
            (Field::Number, _) => "is a whole number from 0 on".to_owned(),
            (Field::Text, Node::StringLit(_)) => return,
            (Field::Pointer, Node::StringLit(text)) => match Pointer::parse(&text.value) {
                Ok(pointer) if !has_known_beginning(&text.value) && pointer.names().any(has_random_part) => {
                    return self.fault(at, KEY, Some(KEY_HINT));
                }
                Ok(_) => return,
                Err(message) => format!("is no pointer: {message}"),
            },
            (Field::Variable, Node::StringLit(text)) if is_variable(&text.value) => return,
            (Field::Variable, Node::StringLit(_)) => "is no name of a variable".to_owned(),
            (Field::Url, Node::StringLit(text)) if is_url(&text.value) => return,
            (Field::Url, Node::StringLit(_)) => "is no http or https address".to_owned(),
            (_, _) => "is a text".to_owned(),
        };
        self.fault(at, format!("`{name}` {wrong}"), None);
    }

    /// Of two with one name only one would count.
    fn doubles(&mut self, object: &Object<'_>) {
        let mut seen = HashMap::new();
        for prop in &object.properties {
            let name = prop.name.as_str();
            if seen.insert(name.to_owned(), ()).is_some() {
                self.fault(prop.range.start, "this name stands here twice", None);
            }
        }
    }

    /// What begins like a key is refused, wherever it stands, also as a name. What only looks random may be anything: where a
    /// pointer stands it is looked at by [`Self::field`].
    fn secrets(&mut self, node: &Node<'_>) {
        match node {
            Node::StringLit(text) => self.secret(text.range.start, &text.value),
            Node::Object(object) => object.properties.iter().for_each(|prop| {
                self.secret(prop.range.start, prop.name.as_str());
                self.secrets(&prop.value);
            }),
            Node::Array(array) => array.elements.iter().for_each(|element| self.secrets(element)),
            _ => {}
        }
    }

    fn secret(&mut self, at: usize, text: &str) {
        if has_known_beginning(text) {
            self.fault(at, KEY, Some(KEY_HINT));
        }
    }
}

fn is_variable(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_plain && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// An address of a host, with whatever path, and no user in it.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    matches!(scheme, "http" | "https") && Address::parse(&format!("{scheme}://{host}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;

    fn check(text: &str, expect: &[&str]) {
        let faults = Manifest::parse(text).map_or_else(|faults| faults.0, |_| Vec::new());
        let told: Vec<_> =
            faults.iter().map(|fault| format!("{}:{} {}", fault.line, fault.column, fault.message)).collect();
        assert_eq!(told, expect, "{text}");
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_places() {
        check(r#"{"providers":{}}"#, &[]);
        check("{", &["1:1 this is not JSON"]);
        check("", &["1:1 this is not JSON"]);
        check("{\"é\":\n  nil}", &["2:4 this is not JSON"]);
        check("{\"ü\": \"a\nb\"}", &["1:9 this is not JSON"]);
        check("[]", &["1:1 a manifest is an object"]);
        check("{}", &["1:1 `providers` is missing"]);
        check(r#"{"providers":[]}"#, &["1:14 `providers` is an object"]);
        check(r#"{"providers":{"a":1}}"#, &["1:19 a provider is an object"]);
        check(
            "{\"version\":1,\n \"providers\":{\"a\":{\"priority\":-1,\n\"endpoint\":\"ftp://x\",\"env_var\":\"A-B\",\"vault_key\":7}}}",
            &[
                "1:12 `version` is a text",
                "2:31 `priority` is a whole number from 0 on",
                "3:12 `endpoint` is no http or https address",
                "3:32 `env_var` is no name of a variable",
                "3:50 `vault_key` is a text",
            ],
        );
        check(r#"{"providers":{"a":{},"a":{}}}"#, &["1:22 this name stands here twice"]);
        check(
            r#"{"providers":{"a":{"vault_key":" "}}}"#,
            &["1:32 `vault_key` is no pointer: the pointer is empty"],
        );
        check(
            r#"{"providers":{"a":{"vault_key":"vualt://x"}}}"#,
            &[
                "1:32 `vault_key` is no pointer: a reference begins with vault://, env://, file://, keyring://, sealed:// or kernel://",
            ],
        );
    }

    #[test]
    fn each_of_many_faults_has_its_own_place() {
        let rows: Vec<_> = (0..10_000).map(|n| format!("\"é{n}\": 7")).collect();
        let faults = Manifest::parse(&format!("{{\"providers\": {{\n{}}}}}", rows.join(",\n"))).unwrap_err();
        let places = faults.0.iter().map(|fault| (fault.line, fault.column));
        let expect = (0..10_000).map(|n: usize| (n + 2, n.to_string().len() + 6));
        assert_eq!(places.collect::<Vec<_>>(), expect.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_optional_may_be_missing_null_or_empty() {
        let each = |value: &str| {
            let fields = ["vault_key", "env_var", "base_url_env", "endpoint", "type"];
            let fields = fields.map(|name| format!(r#""{name}":{value}"#)).join(",");
            format!(r#"{{"version":{value},"identity":{value},"providers":{{"a":{{{fields}}}}}}}"#)
        };
        check(&each("null"), &[]);
        check(&each(r#""""#), &[]);
        check(r#"{"providers":{"a":{"priority":null}}}"#, &[]);
        check(r#"{"providers":{"a":{"priority":""}}}"#, &["1:31 `priority` is a whole number from 0 on"]);
        check(r#"{"providers":{"a":{"models":["x",{"y":[1]}],"usage":{"calls":3}}},"more":true}"#, &[]);
        check("\u{feff}{\"providers\":{}}", &[]);
        check("\u{feff}{\"providers\":7}", &["1:14 `providers` is an object"]);
    }

    #[test]
    fn a_pointer_to_the_server_is_all_that_is_needed_to_read_and_write_one_field() {
        let at = |pointer: &str| format!(r#"{{"providers":{{"a":{{"vault_key":"{pointer}"}}}}}}"#);
        check(&at("vault://secret/ai#openai"), &[]);
        check(
            &at("vault://secret/ai"),
            &["1:32 `vault_key` is no pointer: the field is missing: add #FIELD"],
        );
        let told = "1:32 `vault_key` is no pointer: it names neither version nor namespace; the newest version is taken, \
                    and the namespace of the configuration";
        check(&at("vault://secret/ai?version=2#openai"), &[told]);
        check(&at("bao://secret/ai?namespace=team#openai"), &[told]);
    }

    const TOLD: &str = "this looks like a key, which does not belong into a manifest";

    #[test]
    fn a_key_is_refused_wherever_it_stands_and_not_shown() {
        for key in [
            "sk-proj-canary0123456789",
            "ghp_canary0123456789abcdef",
            "AIzacanary0123456789abcdef",
            "hvs.canary0123456789abcdef",
            "keyring://agent_vault/sk-proj-canary0123456789",
        ] {
            for text in [
                format!(r#"{{"providers":{{"a":{{"vault_key":"{key}"}}}}}}"#),
                format!(r#"{{"providers":{{}},"notes":["{key}"]}}"#),
                format!(r#"{{"providers":{{"{key}":{{}}}}}}"#),
                format!(r#"{{"providers":{{"a":{{"usage":{{"{key}":1}}}}}}}}"#),
            ] {
                let faults = Manifest::parse(&text).unwrap_err();
                assert!(faults.0.iter().all(|fault| fault.message == TOLD), "{faults}");
                assert_eq!(faults.0.len(), 1, "{faults}");
                assert!(!format!("{faults} {faults:?}").contains(key), "{faults}");
            }
        }
    }

    /// Other programs keep checksums there, and the number of the machine.
    #[test]
    fn a_random_text_is_a_key_only_where_a_pointer_stands() {
        let check_pointer = |pointer: &str, is_key: bool| {
            let expect = format!("1:32 {TOLD}");
            let expect: &[&str] = if is_key { &[&expect] } else { &[] };
            check(&format!(r#"{{"providers":{{"a":{{"vault_key":"{pointer}"}}}}}}"#), expect);
        };
        let random = "9f86d081884c7d659a2feaa0c55ad015";
        let sum = random.repeat(2);
        check(&format!(r#"{{"identity":"{random}","providers":{{"a":{{"digest":"{sum}"}}}}}}"#), &[]);
        for begin in ["", "api.openai.com/", "keyring://agent_vault/", "vault://secret/ai#", "env://"] {
            check_pointer(&format!("{begin}{random}"), true);
        }
        // Paths on a server or a disk have parts that nobody chose.
        check_pointer(&format!("vault://secret/{random}/ai#openai"), false);
        check_pointer(&format!("file:///nix/store/{random}-key"), false);
        check_pointer("api.openai.com/1b4e28ba-2fa1-11d2-883f-0016d3cca427", false);
    }
}

//! JSON on its way out, written straight into a buffer that is wiped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::{Fields, Secret};
use zeroize::Zeroizing;

/// A JSON value that borrows its secrets, so that the only copy is the one in the body.
pub(crate) enum Json<'a> {
    /// Left out of the object that it stands in.
    Absent,
    Bool(bool),
    Number(u64),
    Text(Cow<'a, str>),
    Secret(&'a Secret),
    /// What is JSON already, and secret.
    Raw(&'a Secret),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// An object; absent values are left out.
    pub(crate) fn object<const N: usize>(entries: [(&'a str, Json<'a>); N]) -> Self {
        Self::Object(entries.into())
    }

    /// The same, or absent if it is an empty list, object or text.
    pub(crate) fn unless_empty(self) -> Self {
        match &self {
            Self::List(items) if items.is_empty() => Self::Absent,
            Self::Object(entries) if entries.is_empty() => Self::Absent,
            Self::Text(text) if text.is_empty() => Self::Absent,
            _ => self,
        }
    }

    /// Whether a secret is anywhere in it.
    pub(crate) fn has_secret(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Raw(_) => true,
            Self::List(items) => items.iter().any(Self::has_secret),
            Self::Object(entries) => entries.iter().any(|(_, value)| value.has_secret()),
            Self::Absent | Self::Bool(_) | Self::Number(_) | Self::Text(_) => false,
        }
    }

    /// The text of the value.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut buffer = Buffer(Zeroizing::new(Vec::with_capacity(256)));
        buffer.value(self);
        buffer.0
    }
}

impl From<bool> for Json<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json<'_> {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl<'a> From<&'a str> for Json<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value.into())
    }
}

impl<'a> From<&'a String> for Json<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value.into())
    }
}

impl<'a> From<&'a BTreeMap<String, String>> for Json<'a> {
    fn from(texts: &'a BTreeMap<String, String>) -> Self {
        Self::Object(texts.iter().map(|(name, text)| (name.as_str(), text.into())).collect())
    }
}

impl<'a> From<&'a Fields> for Json<'a> {
    fn from(fields: &'a Fields) -> Self {
        Self::Object(fields.iter().map(|(name, value)| (name, value.into())).collect())
    }
}

impl<'a> From<&'a Secret> for Json<'a> {
    fn from(value: &'a Secret) -> Self {
        Self::Secret(value)
    }
}

/// A span as the server reads it: `3600s`, or `1500ms` if it is not whole.
impl From<Duration> for Json<'_> {
    fn from(span: Duration) -> Self {
        Self::Text(span_text(span).into())
    }
}

impl<'a> From<&'a [String]> for Json<'a> {
    fn from(items: &'a [String]) -> Self {
        Self::List(items.iter().map(Self::from).collect())
    }
}

impl<'a, T: Into<Json<'a>>> From<Option<T>> for Json<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

/// A span as the server reads it: `3600s`, or `1500ms` if it is not whole.
pub(crate) fn span_text(span: Duration) -> String {
    match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_millis()),
    }
}

/// Bytes that leave nothing behind when they grow.
struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed * 2));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    fn value(&mut self, value: &Json<'_>) {
        match value {
            Json::Absent => self.push(b"null"),
            Json::Bool(value) => self.push(if *value { b"true" } else { b"false" }),
            Json::Number(value) => self.push(value.to_string().as_bytes()),
            Json::Text(text) => self.text(text),
            Json::Secret(secret) => self.text(secret.expose()),
            Json::Raw(raw) => self.push(raw.expose().as_bytes()),
            Json::List(items) => self.list(items),
            Json::Object(entries) => self.object(entries),
        }
    }

    fn list(&mut self, items: &[Json<'_>]) {
        self.push(b"[");
        for (at, item) in items.iter().enumerate() {
            self.push(if at == 0 { b"" } else { b"," });
            self.value(item);
        }
        self.push(b"]");
    }

    fn object(&mut self, entries: &[(&str, Json<'_>)]) {
        self.push(b"{");
        let present = entries.iter().filter(|(_, value)| !matches!(value, Json::Absent));
        for (at, (name, value)) in present.enumerate() {
            self.push(if at == 0 { b"" } else { b"," });
            self.text(name);
            self.push(b":");
            self.value(value);
        }
        self.push(b"}");
    }

    fn text(&mut self, text: &str) {
        self.push(b"\"");
        for run in text.split_inclusive(is_escaped) {
            match run.chars().next_back() {
                Some(c) if is_escaped(c) => {
                    self.push(&run.as_bytes()[..run.len() - 1]);
                    self.escaped(c);
                }
                _ => self.push(run.as_bytes()),
            }
        }
        self.push(b"\"");
    }

    fn escaped(&mut self, c: char) {
        match c {
            '"' => self.push(b"\\\""),
            '\\' => self.push(b"\\\\"),
            _ => self.push(format!("\\u{:04x}", u32::from(c)).as_bytes()),
        }
    }
}

/// What JSON wants escaped; each is one byte long.
fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &Json<'_>, expect: &str) {
        assert_eq!(String::from_utf8_lossy(&input.to_bytes()), expect);
    }

    #[test]
    fn values_are_written() {
        check(&Json::object([]), "{}");
        check(
            &Json::object([("a", 1.into()), ("b", Json::Absent), ("c", true.into())]),
            r#"{"a":1,"c":true}"#,
        );
        check(&Json::from(&["x".to_owned(), "y".to_owned()][..]), r#"["x","y"]"#);
        check(&Json::from("q\"b\\n\nz\u{1}é"), r#""q\"b\\n\u000az\u0001é""#);
        check(&Json::from(&Secret::new("s")), r#""s""#);
        check(&Json::from(Duration::from_secs(3600)), r#""3600s""#);
        check(&Json::from(Duration::from_millis(1500)), r#""1500ms""#);
        check(&Json::from("").unless_empty(), "null");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text: String = (0..0x300).filter_map(char::from_u32).collect();
        let bytes = Json::from(&Secret::new(text.clone())).to_bytes();
        assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
    }

    #[test]
    fn secrets_are_noticed_at_any_depth() {
        let secret = Secret::new("s");
        let deep = Json::object([("a", Json::List(vec![Json::object([("b", (&secret).into())])]))]);
        assert!(deep.has_secret());
        assert!(!Json::object([("a", "s".into())]).has_secret());
    }
}

//! JSON on its way in: what is secret goes straight into a [`Secret`], and no error repeats what it read.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::time::Duration;

use leasehold_core::{Failure, Fields, Kind, Secret};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Longer than this is no token, accessor or lease of any server.
const LONGEST_NAME: usize = 8 * 1024;

/// A hundred years, in seconds. Whatever is said to last longer is taken to last this long.
const LONGEST_SPAN: f64 = 100.0 * 365.0 * 86_400.0;

/// Parses a body. All that the server says is an object; a list would pass for a struct of defaults.
pub(crate) fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Failure> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::new(Kind::Broken, "the answer is not a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| fault(&error))
}

/// What may be told of a parser's error: its text can quote a secret, its category and place cannot.
pub(crate) fn fault(error: &serde_json::Error) -> Failure {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Data => "has another shape than expected",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "is not JSON",
    };
    Failure::new(
        Kind::Broken,
        format!("the answer {what} (line {}, column {})", error.line(), error.column()),
    )
}

/// `null` is the same as absent.
pub(crate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An empty text is the same as absent.
pub(crate) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.filter(|text| !text.is_empty()))
}

/// Whether there is anything but `null`.
pub(crate) fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|value| value.is_some())
}

/// Texts by name; a value that is no text is left out.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let raw = Option::<BTreeMap<String, &RawValue>>::deserialize(deserializer)?.unwrap_or_default();
    let texts =
        raw.into_iter().filter_map(|(name, value)| Some((name, serde_json::from_str(value.get()).ok()?)));
    Ok(texts.collect())
}

/// A span in seconds, given as a number or as digits in a text. Less than zero is zero.
pub(crate) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match <&RawValue>::deserialize(deserializer)?.get() {
        "null" | "\"\"" => Ok(Duration::ZERO),
        text => seconds(text).ok_or_else(|| D::Error::custom("no number of seconds")),
    }
}

/// As [`span`], where zero means that there is no end.
pub(crate) fn span_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    span(deserializer).map(|span| (!span.is_zero()).then_some(span))
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let seconds: f64 = if is_number { digits.parse().ok()? } else { return None };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_SPAN).floor()))
}

/// A token. May be empty, since a renewal by accessor does not name it.
pub(crate) fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    let text =
        Option::<SecretText>::deserialize(deserializer)?.map_or_else(|| Secret::new(""), |text| text.0);
    if is_token(text.expose()) { Ok(text) } else { Err(D::Error::custom("no token")) }
}

/// An accessor: of the same characters as a token, and not secret.
pub(crate) fn accessor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if is_token(&text) { Ok(text) } else { Err(D::Error::custom("no accessor")) }
}

/// Whether the text can stand in a header as a token. Line ends in one would be another header.
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= LONGEST_NAME && text.bytes().all(is_plain)
}

/// Whether the text can be the name of a lease.
pub(crate) fn is_lease_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// A secret text: of a JSON string the text it stands for, of any other value its JSON without spaces.
pub(crate) struct SecretText(pub(crate) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretValue::deserialize(deserializer).map(|value| Self(value.text))
    }
}

/// A secret value, as [`SecretText`] has it, and whether it is a JSON string.
struct SecretValue {
    text: Secret,
    is_text: bool,
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        let mut text = match inner {
            Some(inner) => unescaped(inner).ok_or_else(|| D::Error::custom("a broken escape"))?,
            None => compact(raw),
        };
        Ok(Self { text: Secret::new(mem::take(&mut *text)), is_text: inner.is_some() })
    }
}

/// The fields of a secret.
#[derive(Default)]
pub(crate) struct SecretFields(pub(crate) Fields);

impl<'de> Deserialize<'de> for SecretFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = SecretFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretFields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, SecretValue>()? {
                    fields.push((name, value.text, value.is_text));
                }
                Ok(SecretFields(fields.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// The text between the quotes of a valid JSON string. A parser would leave a copy in its scratch buffer.
fn unescaped(inner: &str) -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(inner.len()));
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (c, after) = escape(&rest[at + 1..])?;
        text.push(c);
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// The character that an escape stands for, and what follows it.
fn escape(text: &str) -> Option<(char, &str)> {
    let plain = match text.chars().next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\x08',
        'f' => '\x0c',
        'u' => return unicode_escape(&text[1..]),
        other => other,
    };
    Some((plain, &text[plain.len_utf8()..]))
}

/// `00e9`, or the pair `d83d\ude00`.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text, 16).ok();
    let first = unit(text.get(..4)?)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, &text[4..]));
    }
    let second = unit(text.get(4..)?.strip_prefix("\\u")?.get(..4)?)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, &text[10..]))
}

/// The JSON without the spaces between its parts.
fn compact(raw: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in raw.chars() {
        if is_quoted || !c.is_ascii_whitespace() {
            text.push(c);
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(json_text: &str, expect: Option<&str>) {
        let body = format!(r#"{{"x": {json_text}}}"#);
        let fields = json::<SecretFields>(body.as_bytes()).map(|fields| fields.0);
        let got = fields.as_ref().ok().and_then(|fields| fields.field("x")).map(Secret::expose);
        assert_eq!(got, expect, "{json_text}");
    }

    #[test]
    fn fields_of_every_kind_become_texts() {
        field(r#""plain é""#, Some("plain é"));
        field(r#""a\"b\\c\/d\n\t\r\b\f""#, Some("a\"b\\c/d\n\t\r\x08\x0c"));
        field(r#""\u00e9\ud83d\ude00\u0000""#, Some("é😀\0"));
        field(r#""\ud83d""#, None);
        field(r#""\ud83d\u0041""#, None);
        field(r#""\u12""#, None);
        field("\"a\nb\"", None);
        field("17", Some("17"));
        field("1e400", Some("1e400"));
        field("true", Some("true"));
        field("null", Some("null"));
        field(r#"{ "a" : [ 1, "b c\" d" ] }"#, Some(r#"{"a":[1,"b c\" d"]}"#));
        field(r#"{ "a\\" : " x " }"#, Some(r#"{"a\\":" x "}"#));
        field("[1", None);
    }

    #[test]
    fn a_text_is_told_from_what_is_written_like_one() {
        let fields = |json_text: &str| json::<SecretFields>(json_text.as_bytes()).unwrap().0;
        let texts = fields(r#"{"a": "17", "b": "null"}"#);
        assert!(texts.is_text("a") && texts.is_text("b") && !texts.is_text("c"));
        let others = fields(r#"{"a": 17, "b": null}"#);
        assert!(!others.is_text("a") && !others.is_text("b"));
        assert!(!texts.is_same(&others) && texts.is_same(&texts.clone()));
    }

    #[test]
    fn spans_are_never_negative_or_endless() {
        for (text, expect) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("1.9", Some(1)),
            ("-5", Some(0)),
            ("10000000000000000000", Some(3_153_600_000)),
            ("1e400", Some(3_153_600_000)),
            ("\"1h\"", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("-", None),
        ] {
            assert_eq!(seconds(text).map(|span| span.as_secs()), expect, "{text}");
        }
    }

    #[test]
    fn tokens_are_plain() {
        #[derive(serde::Deserialize)]
        struct Holder {
            #[serde(deserialize_with = "token")]
            t: Secret,
        }
        let parsed =
            |text: &str| json::<Holder>(format!(r#"{{"t":{text}}}"#).as_bytes()).map(|holder| holder.t);
        assert_eq!(parsed(r#""hvs.Ab-9_x""#).unwrap().expose(), "hvs.Ab-9_x");
        assert!(parsed("null").unwrap().is_empty());
        for bad in [r#""a\r\nX-Evil: 1""#, r#""a b""#, r#""é""#, &format!("\"{}\"", "a".repeat(8193))] {
            assert_eq!(parsed(bad).unwrap_err().kind(), Kind::Broken);
        }
    }

    #[test]
    fn errors_do_not_repeat_what_they_read() {
        #[derive(Debug, serde::Deserialize)]
        struct Number {
            #[serde(rename = "x")]
            _x: u64,
        }
        for body in [r#"{"x":"canary"}"#, r#"{"x":canary}"#, r#"{"x":"canary"#, r#"{"canary"#] {
            let failure = json::<Number>(body.as_bytes()).unwrap_err();
            assert!(!format!("{failure} {failure:?}").contains("canary"), "{failure}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(json::<SecretFields>(deep.as_bytes()).is_ok_and(|fields| !fields.0.is_empty()));
    }
}

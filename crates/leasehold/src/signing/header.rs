//! The headers of a signed request, written and read.

use base64ct::{Base64, Encoding};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::{Covering, Refusal};

/// Who says that they sent the request.
pub const AGENT_ID: HeaderName = HeaderName::from_static("x-agent-id");
/// When, in UTC seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
/// A UUID of this request alone.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The signature of the body.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-agent-signature");
/// The signature of everything.
pub const SIGNATURE_V2: HeaderName = HeaderName::from_static("x-agent-signature-v2");

/// Longer ones are nobody's name.
const AGENT_CHARACTERS: usize = 128;
/// Enough until the year 33,658.
const TIMESTAMP_DIGITS: usize = 12;
/// A UUID with its hyphens.
const REQUEST_ID_CHARACTERS: usize = 36;

/// A signature in base64.
const TAG_CHARACTERS: usize = 44;

/// The bytes of a signature.
pub(super) type Tag = [u8; 32];

/// What a request says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) agent: String,
    pub(super) timestamp: u64,
    pub(super) request_id: Uuid,
}

impl Covering {
    pub(super) fn signature_header(self) -> HeaderName {
        match self {
            Self::Body => SIGNATURE,
            Self::Everything => SIGNATURE_V2,
        }
    }
}

impl Claim {
    /// The headers that tell it, with its signature.
    pub(super) fn headers(&self, covering: Covering, tag: &Tag) -> [(HeaderName, HeaderValue); 4] {
        let mut text = [0; TAG_CHARACTERS];
        let mut signature = value(Base64::encode(tag, &mut text).unwrap_or_default());
        signature.set_sensitive(true);
        [
            (AGENT_ID, value(&self.agent)),
            (TIMESTAMP, HeaderValue::from(self.timestamp)),
            (REQUEST_ID, value(&self.request_id.to_string())),
            (covering.signature_header(), signature),
        ]
    }

    /// What the headers say, and the signature that they carry.
    pub(super) fn read(headers: &HeaderMap, covering: Covering) -> Result<(Self, Tag), Refusal> {
        let claim = Self {
            agent: one(headers, &AGENT_ID, "X-Agent-Id", agent)?,
            timestamp: one(headers, &TIMESTAMP, "X-Timestamp", timestamp)?,
            request_id: one(headers, &REQUEST_ID, "X-Request-Id", request_id)?,
        };
        let signature = match covering {
            Covering::Body => "X-Agent-Signature",
            Covering::Everything => "X-Agent-Signature-V2",
        };
        Ok((claim, one(headers, &covering.signature_header(), signature, tag)?))
    }
}

/// Of visible ASCII, which each of ours is, so that none is ever left empty.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// What `read` makes of the one header of that name.
fn one<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    shown: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refusal::MissingHeader(shown))?;
    if values.next().is_some() {
        return Err(Refusal::DoubledHeader(shown));
    }
    value.to_str().ok().and_then(read).ok_or(Refusal::MalformedHeader(shown))
}

/// An agent's id, if it can be one.
pub(super) fn agent(text: &str) -> Option<String> {
    let is_good =
        (1..=AGENT_CHARACTERS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_good.then(|| text.to_owned())
}

fn timestamp(text: &str) -> Option<u64> {
    let is_decimal = text.len() <= TIMESTAMP_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}

/// Other ways to write a UUID are left out, so that what is remembered and what was sent are easy to compare.
fn request_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == REQUEST_ID_CHARACTERS)
}

/// In a time that does not depend on what is in the text, only on whether it is base64.
fn tag(text: &str) -> Option<Tag> {
    let mut tag = Tag::default();
    let length = Base64::decode(text, &mut tag).ok()?.len();
    (length == tag.len()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_plain_decimals() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(timestamp(text), expect, "{text:?}");
        check("1800000000", Some(1_800_000_000));
        check("0", Some(0));
        check("999999999999", Some(999_999_999_999));
        for text in ["", "+1", "-1", "1.5", " 1", "1 ", "0x1", "1e9", "1000000000000", "١"] {
            check(text, None);
        }
    }

    #[test]
    fn ids_are_uuids_with_hyphens() {
        let id = "6f1c2a9e-0b7d-4e57-9a3c-5d2f8b1e7c40";
        let check = |text: &str, expect: bool| assert_eq!(request_id(text).is_some(), expect, "{text:?}");
        check(id, true);
        check(&id.to_uppercase(), true);
        check(&id.replace('-', ""), false);
        check(&format!("{{{id}}}"), false);
        check(&format!("urn:uuid:{id}"), false);
        check(&id[1..], false);
        check(&id.replace('6', "g"), false);
        check("", false);
    }

    #[test]
    fn signatures_are_padded_base64_of_32_bytes() {
        let check = |text: &str, expect: bool| assert_eq!(tag(text).is_some(), expect, "{text:?}");
        let base64 = |bytes: &[u8]| Base64::encode(bytes, &mut [0; 4000]).unwrap().to_owned();
        let good = base64(&[0xFB; 32]);
        check(&good, true);
        check(&good.replace('+', "-").replace('/', "_"), false);
        check(good.trim_end_matches('='), false);
        check(&format!("{good}="), false);
        check(&format!(" {good}"), false);
        check(&format!("{good}\t"), false);
        check(&good.replacen("+/", "+ /", 1), false);
        check(&base64(&[0xFB; 31]), false);
        check(&base64(&[0xFB; 33]), false);
        check(&base64(&[0xFB; 3000]), false);
        // 32 bytes leave two bits of the last character unused; they are zero.
        check(&good.replace("s=", "t="), false);
        check("", false);
    }

    #[test]
    fn agents_are_of_visible_ascii() {
        let check = |text: &str, expect: bool| assert_eq!(agent(text).is_some(), expect, "{text:?}");
        check("agent-1", true);
        check(&"a".repeat(AGENT_CHARACTERS), true);
        check(&"a".repeat(AGENT_CHARACTERS + 1), false);
        for text in ["", " ", "a b", "a\n", "ägent"] {
            check(text, false);
        }
    }
}

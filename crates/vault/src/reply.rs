//! What the server says: the reply as it came, and the envelope that all answers share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use leasehold_core::{Failure, Kind, Secret};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::parse;

/// A reply as it came over the wire. The body is wiped when it is dropped.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the server asks us to wait.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Reply {
    /// Takes the body over; the caller keeps no copy.
    pub fn new(status: u16, retry_after: Option<Duration>, body: Vec<u8>) -> Self {
        Self { status, retry_after, body: Zeroizing::new(body) }
    }

    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Strikes out a secret that a server which failed the call may have echoed, so that no error quotes it.
    pub fn strike_out(&mut self, secret: &Secret) {
        let text = secret.expose().as_bytes();
        if self.is_success() || text.is_empty() {
            return;
        }
        while let Some(at) = self.body.windows(text.len()).position(|window| window == text) {
            self.body[at..at + text.len()].fill(b'*');
        }
    }

    /// The envelope. No body (204) is an empty envelope; a body that is none is [`Kind::Broken`].
    pub fn envelope(&self) -> Result<Envelope<'_>, Failure> {
        if self.body.is_empty() { Ok(Envelope::default()) } else { self.json() }
    }

    /// The whole body as one value.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        parse::json(&self.body)
    }

    /// The `data` of the envelope.
    pub(crate) fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        self.envelope()?.data()
    }

    /// Where the real answer is, when it was to be wrapped.
    pub(crate) fn wrap_info(&self) -> Result<WrapInfo, Failure> {
        let wrap_info = self.envelope()?.wrap_info;
        wrap_info.ok_or_else(|| Failure::new(Kind::Broken, "the answer is not wrapped, as it should be"))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// What all answers share. Its `Debug` shows nothing of the data.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Envelope<'a> {
    /// The server's own name for this request, as in its audit log.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub request_id: String,
    /// The lease, if what was answered lives on one.
    #[serde(default, deserialize_with = "lease_id")]
    pub lease_id: Option<LeaseId>,
    /// How long the lease lives, or how long a static secret may be kept before it is read again.
    #[serde(default, deserialize_with = "parse::span")]
    pub lease_duration: Duration,
    /// Whether the lease can be renewed.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub renewable: bool,
    /// The data, not parsed yet.
    #[serde(default, borrow)]
    pub data: Data<'a>,
    /// What the server wants a person to know.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub warnings: Vec<String>,
    /// Where the real answer is, if it was wrapped.
    #[serde(default)]
    pub wrap_info: Option<WrapInfo>,
    /// The token, if the answer is one.
    #[serde(default)]
    pub auth: Option<Auth>,
}

impl<'a> Envelope<'a> {
    /// The data as a value of this shape.
    pub(crate) fn data<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        let raw = self.data.0.ok_or_else(|| Failure::new(Kind::Broken, "the answer has no data"))?;
        serde_json::from_str(raw.get()).map_err(|error| parse::fault(&error))
    }

    /// The token of a login or a creation.
    pub(crate) fn token(self) -> Result<Auth, Failure> {
        match self.auth {
            Some(auth) if auth.needs_second_factor => {
                Err(Failure::new(Kind::NeedsLogin, "the login asks for a second factor")
                    .hint("use a login method without MFA for machines"))
            }
            Some(auth) if !auth.client_token.is_empty() => Ok(auth),
            _ => Err(Failure::new(Kind::Broken, "the answer has no token")),
        }
    }

    /// What a renewal achieved.
    pub(crate) fn renewal(self) -> Renewal {
        let (lease_duration, renewable) = match &self.auth {
            Some(auth) => (auth.lease_duration, auth.renewable),
            None => (self.lease_duration, self.renewable),
        };
        Renewal { lease_duration, renewable, warnings: self.warnings }
    }
}

/// Data that is not parsed yet, and not shown.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent)]
pub struct Data<'a>(#[serde(borrow)] Option<&'a RawValue>);

impl Data<'_> {
    /// Whether there is any.
    pub fn is_present(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_present() { "Data(..)" } else { "Data()" })
    }
}

/// The name of a lease: `database/creds/app/Zr3..`. It is no secret; to use it takes a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(Box<str>);

impl LeaseId {
    /// A lease of this name; none if it cannot be one (empty, over 8 KiB, or with a control character).
    pub fn parse(text: &str) -> Option<Self> {
        parse::is_lease_id(text).then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token with what the server says of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Auth {
    /// The token. Empty in the answer to a renewal by accessor.
    #[serde(default = "no_token", deserialize_with = "parse::token")]
    pub client_token: Secret,
    /// The name by which the token is looked up and revoked without being known. Empty for a batch token.
    #[serde(default, deserialize_with = "parse::accessor")]
    pub accessor: String,
    /// How long it lives by the server's word; zero is without end. The token that asked may end earlier and
    /// take it along.
    #[serde(default, deserialize_with = "parse::span")]
    pub lease_duration: Duration,
    /// Whether it can be renewed.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub renewable: bool,
    /// All policies, those of the identity included.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub policies: Vec<String>,
    /// The policies of the token alone.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub token_policies: Vec<String>,
    /// What the login method or the creator noted, such as `role_name`.
    #[serde(default, deserialize_with = "parse::texts")]
    pub metadata: BTreeMap<String, String>,
    /// What kind of token it is.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub token_type: TokenKind,
    /// Whether it lives on when its parent is revoked.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub orphan: bool,
    /// How often it can be used; zero is without limit.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub num_uses: u64,
    /// The identity behind it, if there is one.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub entity_id: Option<String>,
    #[serde(default, rename = "mfa_requirement", deserialize_with = "parse::is_present")]
    needs_second_factor: bool,
}

/// An empty name is no lease.
pub(crate) fn lease_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LeaseId>, D::Error> {
    let text = parse::non_empty(deserializer)?;
    text.map(|text| LeaseId::parse(&text).ok_or_else(|| Error::custom("no lease"))).transpose()
}

fn no_token() -> Secret {
    Secret::new("")
}

/// The kinds of token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "String")]
pub enum TokenKind {
    /// Kept by the server; can be renewed and revoked.
    #[default]
    Service,
    /// Kept by nobody; ends with its parent or at its time, and cannot be renewed or revoked.
    Batch,
    /// A kind that this crate has no word for.
    Other(Box<str>),
}

impl From<String> for TokenKind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "service" | "" => Self::Service,
            "batch" => Self::Batch,
            _ => Self::Other(text.into()),
        }
    }
}

/// What a renewal achieved. It may be shorter than what was asked for, and near the end of the longest life that
/// the server allows it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// How long it lives from now.
    pub lease_duration: Duration,
    /// Whether it can be renewed again.
    pub renewable: bool,
    /// What the server wants a person to know, such as that the span was capped.
    pub warnings: Vec<String>,
}

/// An answer that waits behind a token for whoever asks first.
#[derive(Clone, Debug, Deserialize)]
pub struct WrapInfo {
    /// The token that unwraps it, once.
    #[serde(deserialize_with = "parse::token")]
    pub token: Secret,
    /// The accessor of that token.
    #[serde(default, deserialize_with = "parse::accessor")]
    pub accessor: String,
    /// How long it waits.
    #[serde(default, deserialize_with = "parse::span")]
    pub ttl: Duration,
    /// When it was wrapped (RFC 3339).
    #[serde(default, deserialize_with = "parse::or_default")]
    pub creation_time: String,
    /// The path whose answer it is. Whoever gets a wrapped secret from elsewhere checks this before unwrapping.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub creation_path: String,
    /// The accessor of the token inside, if a token is. It lives on when the wrapping token ends.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub wrapped_accessor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &str) -> Reply {
        Reply::new(200, None, body.into())
    }

    #[test]
    fn an_empty_body_is_an_empty_envelope() {
        let reply = reply("");
        let envelope = reply.envelope().unwrap();
        assert!(envelope.lease_id.is_none() && !envelope.data.is_present());
    }

    #[test]
    fn an_echo_is_struck_out_of_a_failure_alone() {
        let check = |status, body: &str, expect: &str| {
            let mut reply = Reply::new(status, None, body.into());
            reply.strike_out(&Secret::new("s.1"));
            assert_eq!(reply.body.as_slice(), expect.as_bytes());
        };
        check(400, "no s.1s.1, s.2", "no ******, s.2");
        check(200, "s.1", "s.1");
        check(400, "", "");
        let mut reply = Reply::new(400, None, "x".into());
        reply.strike_out(&Secret::new(""));
        assert_eq!(reply.body.as_slice(), b"x");
    }

    #[test]
    fn odd_envelopes_are_broken_or_harmless() {
        for (body, good) in [
            ("{}", true),
            (r#"{"lease_duration":-1,"warnings":null,"auth":null,"data":null}"#, true),
            (r#"{"lease_duration":1e19,"lease_id":"a/b","mount_type":"kv"}"#, true),
            (r#"{"lease_duration":"soon"}"#, false),
            (r#"{"lease_id":"a\nb"}"#, false),
            (r#"{"auth":{"client_token":"a\r\nb"}}"#, false),
            (r#"{"warnings":"canary"}"#, false),
            ("[]", false),
            ("null", false),
            ("<html>canary</html>", false),
            (r#"{"data":{"a":"canary"#, false),
        ] {
            let reply = reply(body);
            let got = reply.envelope();
            assert_eq!(got.is_ok(), good, "{body}");
            assert!(got.err().is_none_or(|failure| failure.kind() == Kind::Broken), "{body}");
        }
    }

    #[test]
    fn a_token_must_be_there_and_complete() {
        let token = |auth: &str| reply(&format!(r#"{{"auth":{auth}}}"#)).envelope().and_then(Envelope::token);
        assert_eq!(
            token(r#"{"client_token":"s.1","lease_duration":5}"#).unwrap().client_token.expose(),
            "s.1"
        );
        assert_eq!(token("null").unwrap_err().kind(), Kind::Broken);
        assert_eq!(token(r#"{"accessor":"a"}"#).unwrap_err().kind(), Kind::Broken);
        let second_factor = token(r#"{"client_token":"","mfa_requirement":{"mfa_request_id":"1"}}"#);
        assert_eq!(second_factor.unwrap_err().kind(), Kind::NeedsLogin);
    }

    #[test]
    fn debug_shows_no_secret() {
        let body = r#"{"data":{"a":"canary"},"auth":{"client_token":"canary"},
                       "wrap_info":{"token":"canary","ttl":5}}"#;
        let reply = reply(body);
        let shown = format!("{reply:?} {:?}", reply.envelope().unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}

//! A request as a value.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use leasehold_core::Secret;
use leasehold_core::name::Namespace;
use zeroize::Zeroizing;

use crate::json::Json;

/// What is done at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// HTTP GET.
    Get,
    /// Names below a path. Goes out as GET with `?list=true`, which every proxy understands.
    List,
    /// HTTP POST.
    Post,
    /// HTTP PUT.
    Put,
    /// HTTP PATCH.
    Patch,
    /// HTTP DELETE.
    Delete,
}

/// Whether the call may be made again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// A second time changes nothing.
    Safe,
    /// Each time makes something: a token, a lease, a version.
    Once,
}

/// Whose token is sent.
#[derive(Clone, Debug)]
pub enum Bearer {
    /// The client's own.
    Client,
    /// None.
    Nobody,
    /// This one.
    This(Secret),
}

/// A request as a value: all that a transport needs beside the server's address.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is done at the path.
    pub method: Method,
    /// The path below `/v1/`, percent-encoded: `auth/token/lookup-self`.
    pub path: String,
    /// The parameters, not encoded.
    pub query: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Option<Body>,
    /// Whether it may be made again when its answer was lost.
    pub repeat: Repeat,
    /// Whose token is sent.
    pub bearer: Bearer,
    /// The namespace, in place of the client's own.
    pub namespace: Option<Namespace>,
    /// Exactly `namespace` counts: with none the call goes to the root namespace, and not to the client's.
    pub fixed_namespace: bool,
    /// The answer is to be wrapped, for this long (`X-Vault-Wrap-TTL`).
    pub wrap: Option<Duration>,
    /// A node that is behind is to hand the call to the leader (`X-Vault-Inconsistent`). Only reads can be.
    pub forward: bool,
}

impl Call {
    /// A call at a path as people write it, with the client's token, safe to repeat.
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: encoded(path),
            query: Vec::new(),
            body: None,
            repeat: Repeat::Safe,
            bearer: Bearer::Client,
            namespace: None,
            fixed_namespace: false,
            wrap: None,
            forward: false,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::Get, path)
    }

    pub(crate) fn post(path: &str, body: &Json<'_>) -> Self {
        Self::new(Method::Post, path).with_body(Body::json(body))
    }

    pub(crate) fn with_body(self, body: Body) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn with_bearer(self, bearer: Bearer) -> Self {
        Self { bearer, ..self }
    }

    pub(crate) fn once(self) -> Self {
        Self { repeat: Repeat::Once, ..self }
    }

    /// The path as people write it.
    pub fn plain_path(&self) -> String {
        decoded(&self.path)
    }

    /// Whether something secret is in the body, so that an error may echo it.
    pub fn has_secret(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.has_secret)
    }
}

/// What is sent, wiped when it is dropped.
#[derive(Clone)]
pub struct Body {
    bytes: Zeroizing<Vec<u8>>,
    content_type: &'static str,
    has_secret: bool,
}

impl Body {
    pub(crate) fn json(value: &Json<'_>) -> Self {
        Self { bytes: value.to_bytes(), content_type: "application/json", has_secret: value.has_secret() }
    }

    /// A JSON merge patch (RFC 7396), which the server takes for nothing else.
    pub(crate) fn merge_patch(value: &Json<'_>) -> Self {
        Self { content_type: "application/merge-patch+json", ..Self::json(value) }
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of the `Content-Type` header.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

/// Percent-encodes all but slashes and what RFC 3986 never reserves.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The reverse of [`encoded`]. What is not valid is left as it is.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let pair = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plain: &str, on_the_wire: &str) {
        let call = Call::get(plain);
        assert_eq!((call.path.as_str(), call.plain_path().as_str()), (on_the_wire, plain));
    }

    #[test]
    fn paths_are_encoded() {
        check("secret/data/db", "secret/data/db");
        check("auth/userpass/login/me@x", "auth/userpass/login/me%40x");
        check("kv/a b?c#d%e", "kv/a%20b%3Fc%23d%25e");
        check("kv/é", "kv/%C3%A9");
    }

    #[test]
    fn a_body_shows_its_size_only() {
        let secret = Secret::new("canary");
        let call = Call::post("x", &Json::from(&secret)).with_bearer(Bearer::This(secret.clone()));
        assert!(call.has_secret());
        assert!(!format!("{call:?}").contains("canary"), "{call:?}");
    }
}

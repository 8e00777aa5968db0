//! Tokens: create, look up, renew, revoke.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::{Failure, Secret};
use serde::{Deserialize, Deserializer};

use crate::call::{Bearer, Call};
use crate::json::Json;
use crate::operation::{Operation, Order};
use crate::parse;
use crate::reply::{Auth, Renewal, Reply, TokenKind};

/// Which token is meant, and by which right.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The client's own. Every token may do this to itself.
    Own,
    /// This one, which is also sent: it does it to itself, and the client's own is not involved.
    Itself(Secret),
    /// This one, by the right of the client's own.
    Token(Secret),
    /// The one with this accessor, by the right of the client's own.
    Accessor(String),
}

impl Subject {
    fn path(&self, verb: &str) -> String {
        match self {
            Self::Own | Self::Itself(_) => format!("auth/token/{verb}-self"),
            Self::Token(_) => format!("auth/token/{verb}"),
            Self::Accessor(_) => format!("auth/token/{verb}-accessor"),
        }
    }

    /// How the body names the token.
    fn name(&self) -> (&'static str, Json<'_>) {
        match self {
            Self::Own | Self::Itself(_) => ("token", Json::Absent),
            Self::Token(token) => ("token", token.into()),
            Self::Accessor(accessor) => ("accessor", accessor.into()),
        }
    }

    fn bearer(&self) -> Bearer {
        match self {
            Self::Itself(token) => Bearer::This(token.clone()),
            Self::Own | Self::Token(_) | Self::Accessor(_) => Bearer::Client,
        }
    }
}

/// Makes a token. What is not said is left to the server or the role.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// The token role to make it by, which then decides most of the rest.
    pub role: Option<String>,
    /// It lives on when the token that makes it ends. Takes `sudo`; with a role the role decides.
    pub orphan: bool,
    /// How long it lives at first.
    pub ttl: Option<Duration>,
    /// How long it can live at most, renewals included.
    pub explicit_max_ttl: Option<Duration>,
    /// Renewed within each such period it lives for ever. Takes `sudo` or a role.
    pub period: Option<Duration>,
    /// Its policies; those of the token that makes it if there are none.
    pub policies: Vec<String>,
    /// Leaves the policy `default` out.
    pub no_default_policy: bool,
    /// What kind of token it is.
    pub kind: TokenKind,
    /// The name that audit logs show.
    pub display_name: Option<String>,
    /// What is noted with it.
    pub meta: BTreeMap<String, String>,
    /// How often it can be used; without limit if zero.
    pub num_uses: u64,
    /// Whether it can be renewed.
    pub renewable: Option<bool>,
}

impl Operation for Create {
    type Answer = Auth;

    fn call(&self) -> Call {
        let path = match &self.role {
            Some(role) => format!("auth/token/create/{role}"),
            None if self.orphan => "auth/token/create-orphan".to_owned(),
            None => "auth/token/create".to_owned(),
        };
        let kind = match &self.kind {
            TokenKind::Service => Json::Absent,
            TokenKind::Batch => "batch".into(),
            TokenKind::Other(kind) => (&**kind).into(),
        };
        let body = Json::object([
            ("ttl", self.ttl.into()),
            ("explicit_max_ttl", self.explicit_max_ttl.into()),
            ("period", self.period.into()),
            ("policies", Json::from(&self.policies[..]).unless_empty()),
            ("no_default_policy", self.no_default_policy.then_some(true).into()),
            ("type", kind),
            ("display_name", self.display_name.as_ref().into()),
            ("meta", Json::from(&self.meta).unless_empty()),
            ("num_uses", (self.num_uses > 0).then_some(self.num_uses).into()),
            ("renewable", self.renewable.into()),
        ]);
        Call::post(&path, &body).once()
    }

    fn accept(&self, reply: &Reply) -> Result<Auth, Failure> {
        reply.envelope()?.token()
    }
}

/// Looks a token up.
#[derive(Clone, Debug)]
pub struct Lookup(
    /// Which token.
    pub Subject,
);

impl Operation for Lookup {
    type Answer = Record;

    fn call(&self) -> Call {
        let path = self.0.path("lookup");
        match &self.0 {
            Subject::Own | Subject::Itself(_) => Call::get(&path).with_bearer(self.0.bearer()),
            Subject::Token(_) | Subject::Accessor(_) => Call::post(&path, &Json::object([self.0.name()])),
        }
    }

    fn accept(&self, reply: &Reply) -> Result<Record, Failure> {
        reply.data()
    }
}

/// Renews a token. The server may grant less than what is asked for.
#[derive(Clone, Debug)]
pub struct Renew {
    /// Which token.
    pub subject: Subject,
    /// How long it is to live from now; as long as at its creation if none.
    pub increment: Option<Duration>,
}

impl Operation for Renew {
    type Answer = Renewal;

    fn call(&self) -> Call {
        let body = Json::object([self.subject.name(), ("increment", self.increment.into())]);
        Call::post(&self.subject.path("renew"), &body).with_bearer(self.subject.bearer())
    }

    fn accept(&self, reply: &Reply) -> Result<Renewal, Failure> {
        Ok(reply.envelope()?.renewal())
    }
}

/// Revokes a token with all tokens and leases below it. One that is already dead counts as done, where the server
/// says so: a dead token that is to revoke itself is [`Kind::Expired`](leasehold_core::Kind::Expired).
#[derive(Clone, Debug)]
pub struct Revoke(
    /// Which token.
    pub Subject,
);

impl Order for Revoke {
    fn call(&self) -> Call {
        Call::post(&self.0.path("revoke"), &Json::object([self.0.name()])).with_bearer(self.0.bearer())
    }
}

/// Revokes a token and makes orphans of those below it. Takes `sudo`.
#[derive(Clone, Debug)]
pub struct RevokeOrphan {
    /// The token.
    pub token: Secret,
}

impl Order for RevokeOrphan {
    fn call(&self) -> Call {
        Call::post("auth/token/revoke-orphan", &Json::object([("token", (&self.token).into())]))
    }
}

/// What the server has written down of a token. The token itself is not in it.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// The name by which it is revoked without being known. Empty for a batch token.
    #[serde(default, deserialize_with = "parse::accessor")]
    pub accessor: String,
    /// How long it still lives by its own time; none if it does not end (a root token). A token that it came from
    /// may end earlier and take it along.
    #[serde(default, deserialize_with = "parse::span_or_none")]
    pub ttl: Option<Duration>,
    /// How long it was to live when it was made; none if without end.
    #[serde(default, deserialize_with = "parse::span_or_none")]
    pub creation_ttl: Option<Duration>,
    /// How long it can live at most, renewals included; none if only the server's own limits count.
    #[serde(default, deserialize_with = "parse::span_or_none")]
    pub explicit_max_ttl: Option<Duration>,
    /// When it was made, in the server's seconds since 1970.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub creation_time: u64,
    /// The period within which it must be renewed, of a periodic token.
    #[serde(default, deserialize_with = "parse::span_or_none")]
    pub period: Option<Duration>,
    /// When it ends (RFC 3339); none if it does not.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub expire_time: Option<String>,
    /// Whether it can be renewed.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub renewable: bool,
    /// Its own policies.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub policies: Vec<String>,
    /// The policies of the identity behind it.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub identity_policies: Vec<String>,
    /// The name that audit logs show.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub display_name: String,
    /// The identity behind it, if there is one.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub entity_id: Option<String>,
    /// How often it can still be used; none if without limit.
    #[serde(default, rename = "num_uses", deserialize_with = "uses")]
    pub uses_left: Option<u64>,
    /// Whether it lives on when its parent is revoked.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub orphan: bool,
    /// The path that made it.
    #[serde(default, deserialize_with = "parse::or_default")]
    pub path: String,
    /// What kind of token it is.
    #[serde(default, rename = "type", deserialize_with = "parse::or_default")]
    pub kind: TokenKind,
    /// What was noted with it.
    #[serde(default, deserialize_with = "parse::texts")]
    pub meta: BTreeMap<String, String>,
    /// The token role that it was made by.
    #[serde(default, deserialize_with = "parse::non_empty")]
    pub role: Option<String>,
}

impl Record {
    /// How long it still lives; none if it does not end. In its last second the server says of one that ends what it
    /// says of one that does not: that zero is left.
    pub fn left(&self) -> Option<Duration> {
        self.ttl.or_else(|| (!self.is_endless()).then_some(Duration::ZERO))
    }

    /// Whether it never ends by its own time.
    pub fn is_endless(&self) -> bool {
        self.ttl.is_none() && self.expire_time.is_none()
    }

    /// The role of the login that it came from (`role_name` of AppRole, `role` of others), or its token role.
    pub fn role_name(&self) -> Option<&str> {
        let noted = self.meta.get("role_name").or_else(|| self.meta.get("role"));
        noted.or(self.role.as_ref()).map(String::as_str)
    }
}

/// The server counts 0 for "without limit" and -1 for "this was the last".
fn uses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let uses = parse::or_default::<i64, D>(deserializer)?;
    Ok((uses != 0).then_some(u64::try_from(uses).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Method;

    fn check(operation: &impl Operation, method: Method, path: &str, body: Option<&str>) {
        let call = operation.call();
        let sent = call.body.as_ref().map(|sent| String::from_utf8_lossy(sent.bytes()).into_owned());
        assert_eq!((call.method, call.path.as_str(), sent.as_deref()), (method, path, body));
    }

    #[test]
    fn calls() {
        let token = || Subject::Token(Secret::new("s.1"));
        let accessor = || Subject::Accessor("a1".into());
        let increment = Some(Duration::from_secs(60));
        check(&Lookup(Subject::Own), Method::Get, "auth/token/lookup-self", None);
        check(&Lookup(token()), Method::Post, "auth/token/lookup", Some(r#"{"token":"s.1"}"#));
        check(&Lookup(accessor()), Method::Post, "auth/token/lookup-accessor", Some(r#"{"accessor":"a1"}"#));
        check(
            &Renew { subject: Subject::Own, increment: None },
            Method::Post,
            "auth/token/renew-self",
            Some("{}"),
        );
        check(
            &Renew { subject: token(), increment },
            Method::Post,
            "auth/token/renew",
            Some(r#"{"token":"s.1","increment":"60s"}"#),
        );
        check(&Revoke(Subject::Itself(Secret::new("s"))), Method::Post, "auth/token/revoke-self", Some("{}"));
        check(&Revoke(accessor()), Method::Post, "auth/token/revoke-accessor", Some(r#"{"accessor":"a1"}"#));
        check(&Create::default(), Method::Post, "auth/token/create", Some("{}"));
        let batch = Create { kind: TokenKind::Batch, orphan: true, num_uses: 2, ..Create::default() };
        check(&batch, Method::Post, "auth/token/create-orphan", Some(r#"{"type":"batch","num_uses":2}"#));
        let by_role = Create { role: Some("agent".into()), policies: vec!["a".into()], ..Create::default() };
        check(&by_role, Method::Post, "auth/token/create/agent", Some(r#"{"policies":["a"]}"#));
    }

    #[test]
    fn the_last_second_is_not_taken_for_eternity() {
        let check = |ttl: u64, expire_time: &str, expect: Option<u64>| {
            let body = format!(r#"{{"data":{{"ttl":{ttl},"expire_time":{expire_time}}}}}"#);
            let record = Lookup(Subject::Own).answer(&Reply::new(200, None, body.into())).unwrap();
            assert_eq!(record.left().map(|left| left.as_secs()), expect, "{ttl} {expire_time}");
        };
        check(0, "null", None);
        check(0, r#""2026-11-22T08:00:00Z""#, Some(0));
        check(9, r#""2026-11-22T08:00:00Z""#, Some(9));
    }

    #[test]
    fn uses_are_counted_down_to_none() {
        for (text, expect) in [("0", None), ("3", Some(3)), ("-1", Some(0)), ("null", None)] {
            let body = format!(r#"{{"data":{{"num_uses":{text}}}}}"#);
            let record = Lookup(Subject::Own).answer(&Reply::new(200, None, body.into())).unwrap();
            assert_eq!(record.uses_left, expect, "{text}");
        }
    }
}

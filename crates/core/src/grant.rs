//! What was given: fields and the lease they live on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// The fields of one secret, by name. They come from one answer and never mix with another's.
///
/// ```
/// use leasehold_core::{Fields, Secret};
///
/// let fields: Fields = [("username", Secret::new("app")), ("password", Secret::new("hunter2"))].into_iter().collect();
/// assert_eq!(fields.field("username").map(Secret::expose), Some("app"));
/// assert_eq!(fields.names().collect::<Vec<_>>(), ["password", "username"]);
/// ```
#[derive(Clone, Default)]
pub struct Fields(Arc<[Field]>);

#[derive(Clone)]
struct Field {
    name: Box<str>,
    value: Secret,
    /// The server has a text there, and not a number or an object that was written as one.
    is_text: bool,
}

impl Fields {
    /// The value of the field with this name.
    pub fn field(&self, name: &str) -> Option<&Secret> {
        self.find(name).map(|field| &field.value)
    }

    /// Whether the server has a text in this field. What is a number, an object or `null` there has its JSON for a value.
    pub fn is_text(&self, name: &str) -> bool {
        self.find(name).is_some_and(|field| field.is_text)
    }

    fn find(&self, name: &str) -> Option<&Field> {
        self.0.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|at| &self.0[at])
    }

    /// The names, in order. They are not secret.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| &*field.name)
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|field| (&*field.name, &field.value))
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both have the same names with the same values.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Field, &Field)| {
            a.name == b.name && a.is_text == b.is_text && a.value.is_same(&b.value)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(other.0.iter()).all(is_same)
    }
}

/// Texts by name.
impl<N: Into<Box<str>>> FromIterator<(N, Secret)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, Secret)>>(fields: I) -> Self {
        fields.into_iter().map(|(name, value)| (name, value, true)).collect()
    }
}

/// Values by name, each with whether it is a text.
impl<N: Into<Box<str>>> FromIterator<(N, Secret, bool)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, Secret, bool)>>(fields: I) -> Self {
        let field = |(name, value, is_text): (N, _, _)| Field { name: name.into(), value, is_text };
        let mut fields: Vec<_> = fields.into_iter().map(field).collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields.dedup_by(|later, earlier| later.name == earlier.name);
        Self(fields.into())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What the server keeps on our behalf, and so what has to be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// A token; its accessor if it has one (a batch token has none).
    Token {
        /// What names the token without being it.
        accessor: Option<Box<str>>,
    },
    /// A lease of a secrets engine.
    Lease {
        /// The lease's id.
        id: Box<str>,
    },
    /// Nothing: a static secret, which does not end by itself.
    Nothing,
}

impl Holding {
    /// The namespace that it is in, by the id that the server puts after its names; none for the root namespace.
    /// What is in another namespace than its token does not end with that.
    pub fn realm(&self) -> Option<&str> {
        let name = match self {
            Self::Token { accessor } => accessor.as_deref()?,
            Self::Lease { id } => id.rsplit('/').next()?,
            Self::Nothing => return None,
        };
        name.rsplit_once('.').map(|(_, realm)| realm)
    }
}

/// The terms of a grant, as the server stated them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What the server keeps on our behalf.
    pub holding: Holding,
    /// How long it lives from the moment of asking; `None` if it does not end by itself.
    pub ttl: Option<Duration>,
    /// Whether the server offers to renew it.
    pub renewable: bool,
    /// Whether we obtained it and so have to give it back. A token that the caller brought is not ours.
    pub ours: bool,
    /// How long it can live at most from the moment of asking, however often it is renewed; `None` if that is not known.
    pub longest: Option<Duration>,
    /// Whether it may be used a few times only. It is neither renewed nor looked up, which would use it up.
    pub is_counted: bool,
    /// Whether it is a token that may not look at itself. Without a `ttl` nobody knows when it ends.
    pub is_blind: bool,
}

impl Lease {
    /// The terms of a static secret.
    pub const STATIC: Self = Self {
        holding: Holding::Nothing,
        ttl: None,
        renewable: false,
        ours: false,
        longest: None,
        is_counted: false,
        is_blind: false,
    };

    /// Whether the server keeps nothing on our behalf.
    pub fn is_static(&self) -> bool {
        matches!(self.holding, Holding::Nothing)
    }

    /// Whether there is something that we have to revoke and can: a batch token has no accessor and cannot be.
    pub fn is_owed(&self) -> bool {
        self.ours && !matches!(self.holding, Holding::Nothing | Holding::Token { accessor: None })
    }
}

/// One answer of the server: fields and the terms on which they were given.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The values. A token stands in the field [`Grant::TOKEN`].
    pub fields: Fields,
    /// The terms.
    pub lease: Lease,
    /// The version of a KV v2 secret.
    pub version: Option<u64>,
    /// When the server itself will change a static secret (a static database role).
    pub refresh_in: Option<Duration>,
}

impl Grant {
    /// The name of the field in which a token stands.
    pub const TOKEN: &'static str = "token";

    /// Whether it is in another namespace than this token, and so does not end with it.
    pub(crate) fn is_foreign(&self, asker: &Self) -> bool {
        !self.lease.is_static() && self.lease.holding.realm() != asker.lease.holding.realm()
    }

    /// The token, if this is one.
    pub fn token(&self) -> Option<&Secret> {
        self.fields.field(Self::TOKEN)
    }
}

//! What was given: fields and the lease they live on.

use std::fmt;
use std::sync::Arc;

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
pub struct Fields(Arc<[(Box<str>, Secret)]>);

impl Fields {
    /// The value of the field with this name.
    pub fn field(&self, name: &str) -> Option<&Secret> {
        self.0.binary_search_by(|(have, _)| (**have).cmp(name)).ok().map(|at| &self.0[at].1)
    }

    /// The names, in order. They are not secret.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both have the same names with the same values.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.iter().zip(other.iter()).all(|((a, x), (b, y))| a == b && x.is_same(y))
    }
}

impl<N: Into<Box<str>>> FromIterator<(N, Secret)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, Secret)>>(fields: I) -> Self {
        let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        fields.sort_by(|(a, _): &(Box<str>, Secret), (b, _)| a.cmp(b));
        fields.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self(fields.into())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

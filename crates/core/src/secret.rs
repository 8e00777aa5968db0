//! A value that cannot be printed, compared or serialized by accident.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text: shared, wiped when its last holder is gone, and shown only through [`Secret::expose`].
///
/// It has no `Display`, no `Serialize`, no derived `Debug` and no `PartialEq`.
///
/// ```
/// use leasehold_core::Secret;
///
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "hunter2");
/// assert!(secret.is_same(&Secret::new("hunter2")));
/// ```
///
/// Neither of these compiles:
///
/// ```compile_fail
/// println!("{}", leasehold_core::Secret::new("hunter2"));
/// ```
///
/// ```compile_fail
/// use leasehold_core::Secret;
/// assert!(Secret::new("a") == Secret::new("a"));
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself. Each call of this is a place where a secret may leak, so it is easy to search for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both hold the same text, in a time that depends on the lengths alone.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_text() {
        let shown = format!("{:?} {:#?}", Secret::new("canary"), Some(Secret::new("canary")));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn sameness_is_of_the_whole_text() {
        for (a, b, same) in [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "aa", false)] {
            assert_eq!(Secret::new(a).is_same(&Secret::new(b)), same, "{a:?} {b:?}");
        }
    }
}

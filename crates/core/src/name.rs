//! Parsed names: references, paths, namespaces and addresses. A name that parsed is a name that can be used.

mod address;
mod path;
mod reference;

pub use address::{Address, Scheme};
pub use path::{Namespace, Path};
pub use reference::{Entry, Place, Reference, StoreKind, VaultReference};

/// Why a name could not be parsed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// The byte in the text at which it goes wrong.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is wrong there.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The text with a caret under the place, for a terminal.
    ///
    /// ```
    /// use leasehold_core::name::Reference;
    ///
    /// let text = "vualt://secret/db#password";
    /// let fault = Reference::parse(text).unwrap_err();
    /// assert!(fault.picture(text).starts_with("  vualt://secret/db#password\n  ^ "));
    /// ```
    pub fn picture(&self, text: &str) -> String {
        let column = text.get(..self.at).map_or(0, |before| before.chars().count());
        format!("  {text}\n  {}^ {}", " ".repeat(column), self.message)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

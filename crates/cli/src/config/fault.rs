//! What is wrong in the configuration, and where.

use std::fmt;

use leasehold::core::{Failure, Kind};

/// One fault: its place (`leasehold.toml:3:1`, `VAULT_ADDR` or `--address`), a sentence, and, where that tells
/// no secret, the text with a caret under the spot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigFault {
    place: String,
    message: String,
    picture: Option<String>,
    hint: Option<String>,
}

impl ConfigFault {
    /// A fault at a place.
    pub(super) fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into(), picture: None, hint: None }
    }

    /// The same fault with the text that it is in, and a caret under a byte of it.
    pub(super) fn with_picture(mut self, text: &str, at: usize) -> Self {
        self.picture = Some(picture(text, at));
        self
    }

    /// The same fault with what a person can do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if let Some(picture) = &self.picture {
            write!(f, "\n{picture}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All faults that were found, told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigFaults(pub(super) Vec<ConfigFault>);

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [_] => f.write_str("the configuration has a fault")?,
            all => write!(f, "the configuration has {} faults", all.len())?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

/// Why a text could not be parsed: a sentence, and the byte where it goes wrong if the text may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(super) at: Option<usize>,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl Trouble {
    /// Trouble at a byte of a text that may be shown.
    pub(super) fn at(at: usize, message: impl Into<String>) -> Self {
        Self { at: Some(at), message: message.into(), hint: None }
    }

    /// Trouble with a text that may be a secret, put there by mistake, and is not shown.
    pub(super) fn unseen(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into(), hint: None }
    }

    /// The same trouble with what a person can do about it.
    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The trouble with an argument as a failure, with a caret under the place where the text may be shown.
    pub(crate) fn into_failure(self, text: &str) -> Failure {
        let picture = self.at.map(|at| format!("\n{}", picture(text, at))).unwrap_or_default();
        let failure = Failure::new(Kind::Invalid, format!("a bad reference: {}{picture}", self.message));
        self.hint.into_iter().fold(failure, Failure::hint)
    }
}

/// A text with a caret under a byte of it.
fn picture(text: &str, at: usize) -> String {
    let column = text.get(..at).unwrap_or(text).chars().count();
    format!("  {text}\n  {}^", " ".repeat(column))
}

impl From<leasehold::core::name::Fault> for Trouble {
    fn from(fault: leasehold::core::name::Fault) -> Self {
        Self::at(fault.at(), fault.message())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_spot() {
        let fault =
            ConfigFault::new("VAULT_ADDR", "a bad port").with_picture("http://ü:0", 10).hint("mend it");
        assert_eq!(fault.to_string(), "VAULT_ADDR: a bad port\n  http://ü:0\n           ^\n  hint: mend it");
    }
}

//! Paths below `/v1/` and namespaces.

use std::fmt;

use super::Fault;

/// A path on the server, mount included: `secret/db`, `database/creds/app`. No leading or trailing slash, no
/// empty, `.` or `..` part, no control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Box<str>);

impl Path {
    /// Parses a path; one slash at either end is dropped.
    ///
    /// ```
    /// use leasehold_core::name::Path;
    ///
    /// assert_eq!(Path::parse("/secret/db/").unwrap().as_str(), "secret/db");
    /// assert!(Path::parse("secret/../sys").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let mut at = text.len() - text.strip_prefix('/').unwrap_or(text).len();
        for part in inner.split('/') {
            match part {
                "" => return Err(Fault::new(at, "an empty part in the path")),
                "." | ".." => return Err(Fault::new(at, format!("`{part}` is not allowed in a path"))),
                _ => {}
            }
            if let Some((offset, _)) = part.char_indices().find(|(_, c)| c.is_control()) {
                return Err(Fault::new(at + offset, "a control character in the path"));
            }
            at += part.len() + 1;
        }
        Ok(Self(inner.into()))
    }

    /// The path as text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A namespace of the server, such as `team1` or `team1/dev`; the root namespace is none at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Path);

impl Namespace {
    /// Parses a namespace. Since it becomes a header, only visible ASCII is allowed.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if let Some((at, _)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            return Err(Fault::new(at, "a namespace is written in visible ASCII characters"));
        }
        Path::parse(text).map(Self)
    }

    /// The namespace as text, without a slash at either end.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: Result<&str, usize>) {
        let got = Path::parse(input);
        assert_eq!(got.as_ref().map(Path::as_str).map_err(Fault::at), expect, "{input:?}");
    }

    #[test]
    fn paths_are_plain() {
        check("secret/db", Ok("secret/db"));
        check("/secret/db/", Ok("secret/db"));
        check("", Err(0));
        check("secret//db", Err(7));
        check("secret/../sys", Err(7));
        check("secret/d\nb", Err(8));
    }

    #[test]
    fn namespaces_can_be_headers() {
        assert!(Namespace::parse("team1/dev/").is_ok());
        assert_eq!(Namespace::parse("team 1").unwrap_err().at(), 4);
        assert!(Namespace::parse("tëam").is_err());
    }
}

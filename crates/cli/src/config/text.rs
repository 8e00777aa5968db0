//! A text that somebody wrote, with the place where it stands.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold::core::Secret;

use super::fault::{ConfigFault, Trouble};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody gave one.
    Default,
    /// A file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag.
    Flag(&'static str),
}

/// The layers; a greater one goes before a lesser one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Default,
    File,
    Variable,
    Flag,
}

impl Origin {
    pub(super) fn rank(&self) -> Rank {
        match self {
            Self::Default => Rank::Default,
            Self::File { .. } => Rank::File,
            Self::Variable(_) => Rank::Variable,
            Self::Flag(_) => Rank::Flag,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A configuration file. Somebody may have put a secret in it, so it has no `Debug`.
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl SourceFile {
    /// Line and column, both from 1, of a byte.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        (line, before[begin..].chars().count() + 1)
    }

    /// `PATH:LINE:COLUMN` of a byte.
    pub(super) fn place(&self, at: usize) -> String {
        let (line, column) = self.position(at);
        format!("{}:{line}:{column}", self.path.display())
    }
}

/// A run of bytes in a file.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) file: Arc<SourceFile>,
    pub(super) span: Range<usize>,
}

impl Site {
    fn written(&self) -> &str {
        self.file.text.get(self.span.clone()).unwrap_or_default()
    }

    /// A fault in a key: the key is shown, and nothing of its value.
    pub(super) fn key_fault(&self, message: impl Into<String>) -> ConfigFault {
        let picture = format!("{} = ..", self.written());
        ConfigFault::new(self.file.place(self.span.start), message).with_picture(&picture, 0)
    }

    /// A fault that shows nothing of the file.
    pub(super) fn unseen_fault(&self, message: impl Into<String>) -> ConfigFault {
        ConfigFault::new(self.file.place(self.span.start), message)
    }

    /// Where a byte of the parsed text stands in the file. Only plain strings tell: escapes move things.
    fn offset(&self, text: &str, at: usize) -> usize {
        let written = self.written();
        let is_plain = written.len() == text.len() + 2 && written.get(1..=text.len()) == Some(text);
        if is_plain { self.span.start + 1 + at } else { self.span.start }
    }
}

#[derive(Clone)]
enum Place {
    Site(Site),
    Variable(&'static str),
    Flag(&'static str),
}

/// A text with its place. All are kept as secrets, since some are; [`Text::parse`] is the way out.
#[derive(Clone)]
pub(super) struct Text {
    text: Secret,
    place: Place,
}

impl Text {
    pub(super) fn of_site(text: &str, site: Site) -> Self {
        Self { text: Secret::new(text), place: Place::Site(site) }
    }

    pub(super) fn of_variable(text: &str, name: &'static str) -> Self {
        Self { text: Secret::new(text), place: Place::Variable(name) }
    }

    pub(super) fn of_flag(text: &str, name: &'static str) -> Self {
        Self { text: Secret::new(text), place: Place::Flag(name) }
    }

    pub(super) fn origin(&self) -> Origin {
        match &self.place {
            Place::Site(site) => {
                Origin::File { path: site.file.path.clone(), line: site.file.position(site.span.start).0 }
            }
            Place::Variable(name) => Origin::Variable(name),
            Place::Flag(name) => Origin::Flag(name),
        }
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.text
    }

    /// Parses the text; the fault names the place.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Trouble>) -> Result<T, ConfigFault> {
        let text = self.text.expose();
        parse(text).map_err(|trouble| {
            let fault = match trouble.at {
                Some(at) => self.fault_at(text, at, trouble.message),
                None => self.fault(trouble.message),
            };
            match trouble.hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        })
    }

    /// A fault that does not show the text.
    pub(super) fn fault(&self, message: impl Into<String>) -> ConfigFault {
        match &self.place {
            Place::Site(site) => site.unseen_fault(message),
            Place::Variable(name) | Place::Flag(name) => ConfigFault::new(name, message),
        }
    }

    fn fault_at(&self, text: &str, at: usize, message: String) -> ConfigFault {
        let place = match &self.place {
            Place::Site(site) => site.file.place(site.offset(text, at)),
            Place::Variable(name) | Place::Flag(name) => (*name).to_owned(),
        };
        ConfigFault::new(place, message).with_picture(text, at)
    }

    /// The text as a path. One in a file is relative to that file's folder, else to the working directory.
    pub(super) fn path(&self, working_dir: &Path) -> PathBuf {
        let folder = match &self.place {
            Place::Site(site) => site.file.path.parent().unwrap_or(working_dir),
            Place::Variable(_) | Place::Flag(_) => working_dir,
        };
        folder.join(self.text.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str, written: &str) -> Site {
        let start = text.find(written).unwrap();
        let file = SourceFile { path: "/etc/x.toml".into(), text: text.into() };
        Site { file: Arc::new(file), span: start..start + written.len() }
    }

    #[test]
    fn a_fault_in_a_file_points_into_the_string() {
        let check = |written: &str, text: &str, expect: &str| {
            let text = Text::of_site(text, site(&format!("[a]\nbb = {written}\n"), written));
            let fault = text.parse(|_| Err::<(), _>(Trouble::at(2, "no"))).unwrap_err();
            assert_eq!(fault.to_string(), expect);
        };
        check("'xyz'", "xyz", "/etc/x.toml:2:9: no\n  xyz\n    ^");
        check("\"x\\u0079z\"", "xyz", "/etc/x.toml:2:6: no\n  xyz\n    ^");
    }

    #[test]
    fn unseen_text_stays_unseen() {
        let text = Text::of_variable("canary", "VAULT_X");
        let fault = text.parse(|_| Err::<(), _>(Trouble::unseen("no").hint("do"))).unwrap_err();
        assert_eq!(fault.to_string(), "VAULT_X: no\n  hint: do");
    }

    #[test]
    fn paths_are_relative_to_their_file() {
        let check = |text: &Text, expect: &str| {
            assert_eq!(text.path(Path::new("/here")), Path::new(expect));
        };
        check(&Text::of_site("a/b", site("'a/b'", "'a/b'")), "/etc/a/b");
        check(&Text::of_site("/a/b", site("'/a/b'", "'/a/b'")), "/a/b");
        check(&Text::of_flag("a/b", "--x"), "/here/a/b");
    }
}

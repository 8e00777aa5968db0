//! `.env` files: the variables in them, so that their keys can go to a better place.
//!
//! Programs read such files in different ways. What all of them read alike is taken, and of the rest it is only said
//! that it is unclear: a key is not to be stored as something else. Nothing is substituted.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use leasehold_core::{Failure, Kind, Secret};

use crate::identity::Source;
use crate::manifest::looks_like_a_key;

/// The words in a variable's name that tell of a secret.
const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

const TWICE: &str = "it stands there twice, with different values";
const BEYOND: &str = "something stands behind its closing quote";
const DOLLAR: &str =
    "programs differ on what `$` and backticks mean there; single quotes would make it clear";
const ESCAPE: &str = "programs differ on what its backslash means";
const BARE: &str = "programs differ on white space, quotes, backslashes and `#` without quotes around them";

/// A `.env` file as it was read.
#[derive(Debug)]
pub struct EnvFile {
    path: PathBuf,
    text: Secret,
    variables: Vec<Variable>,
}

/// A variable of a `.env` file.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its value, or why that is unclear.
    pub value: Result<Secret, &'static str>,
}

/// A line that is no variable, from 1, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFault(pub usize, pub &'static str);

impl EnvFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// `NotFound`: there is none. `Invalid`: all lines that are no variables, by their numbers; their text is not told.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        Self::of_text(path, read(path)?)
    }

    /// Reads a text that came from elsewhere; the path is told where it has faults.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn of_text(path: &Path, text: Secret) -> Result<Self, Failure> {
        let variables = parse(text.expose()).map_err(|faults| {
            let told: String = faults
                .iter()
                .map(|LineFault(line, what)| format!("\n{}:{line}: {what}", path.display()))
                .collect();
            Failure::new(Kind::Invalid, format!("this is no file of variables:{told}"))
        })?;
        Ok(Self { path: path.to_owned(), text, variables })
    }

    /// Its variables, each name once, in the order of the file.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Why it cannot be deleted as if it had never been; none if it can.
    pub fn bar_to_deletion(&self) -> Option<&'static str> {
        match fs::symlink_metadata(&self.path) {
            Err(_) => Some("it is not there any more"),
            Ok(file) if file.is_symlink() => Some("it is a link"),
            Ok(file) if !file.is_file() => Some("it is no plain file"),
            Ok(file) if file.nlink() > 1 => Some("it has a second name"),
            Ok(_) if is_in_git(&self.path) => Some("git keeps it, and its history the keys"),
            Ok(_) => None,
        }
    }

    /// Deletes the file, if it is still as it was read.
    ///
    /// # Errors
    ///
    /// `Invalid`: it was changed meanwhile, or something [bars](Self::bar_to_deletion) it.
    pub fn delete(&self) -> Result<(), Failure> {
        let kept =
            |kind, why: &str| Failure::new(kind, format!("{} is not deleted: {why}", self.path.display()));
        if let Some(why) = self.bar_to_deletion() {
            return Err(kept(Kind::Invalid, why));
        }
        if !read(&self.path)?.is_same(&self.text) {
            return Err(kept(Kind::Invalid, "it was changed meanwhile"));
        }
        fs::remove_file(&self.path).map_err(|error| kept(Kind::Denied, &error.to_string()))
    }
}

impl Variable {
    /// Whether this may be a secret, by its name or by its value.
    pub fn looks_secret(&self) -> bool {
        let name = self.name.to_ascii_uppercase();
        let is_named = SECRET_WORDS.iter().any(|word| name.contains(word));
        is_named || self.value.as_ref().is_ok_and(|value| looks_like_a_key(value.expose()))
    }
}

/// The text of a file, or of a pipe. The limit is that of all files with secrets.
fn read(path: &Path) -> Result<Secret, Failure> {
    let is_there = path.exists();
    let read = Source::File(path.to_owned()).read_whole();
    read.map_err(|failure| failure.with_kind(if is_there { Kind::Invalid } else { Kind::NotFound }))
}

/// The variables in a text, each name once, or all lines that are none.
///
/// ```
/// use leasehold::env_file::parse;
///
/// let variables = parse("# keys\nexport OPENAI_API_KEY='sk-1'\nDEBUG=1 # loud\n").unwrap();
/// assert_eq!((variables[0].name.as_str(), variables[0].line), ("OPENAI_API_KEY", 2));
/// assert_eq!(variables[1].value.as_ref().unwrap().expose(), "1");
/// assert!(parse("what is this").is_err());
/// ```
pub fn parse(text: &str) -> Result<Vec<Variable>, Vec<LineFault>> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let (mut variables, mut faults) = (Vec::new(), Vec::new());
    while let Some(found) = reader.next() {
        match found {
            Ok(variable) => variables.push(variable),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(each_once(variables)) } else { Err(faults) }
}

/// One variable a name. Of two values some programs take the first, others the last.
fn each_once(all: Vec<Variable>) -> Vec<Variable> {
    let mut places = HashMap::new();
    let mut variables: Vec<Variable> = Vec::new();
    for variable in all {
        match places.get(&variable.name) {
            None => {
                places.insert(variable.name.clone(), variables.len());
                variables.push(variable);
            }
            Some(&at) => {
                let first: &mut Variable = &mut variables[at];
                let is_same = matches!((&first.value, &variable.value), (Ok(a), Ok(b)) if a.is_same(b));
                if !is_same {
                    first.value = Err(TWICE);
                }
            }
        }
    }
    variables
}

/// Reads a text piece by piece, and counts its lines.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next variable or fault.
    fn next(&mut self) -> Option<Result<Variable, LineFault>> {
        loop {
            self.take(self.rest.len() - self.rest.trim_start().len());
            match self.rest.chars().next()? {
                '#' => self.take_line(),
                _ => return Some(self.variable()),
            };
        }
    }

    fn variable(&mut self) -> Result<Variable, LineFault> {
        let line = self.line;
        let end = self.rest.find(['=', '\n']).filter(|at| self.rest.as_bytes()[*at] == b'=');
        let Some(end) = end else {
            self.take_line();
            return Err(LineFault(line, "neither a comment nor NAME=VALUE"));
        };
        let name = self.take(end).trim();
        let name =
            name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name).trim();
        self.take(1);
        let value = self.value().map_err(|what| LineFault(line, what))?;
        match is_name(name) {
            true => Ok(Variable { name: name.to_owned(), line, value }),
            false => Err(LineFault(line, "this is no name of a variable")),
        }
    }

    /// What stands behind `=`. An error is a fault of the file; a value that is unclear is none.
    fn value(&mut self) -> Result<Result<Secret, &'static str>, &'static str> {
        let start = self.rest.trim_start_matches([' ', '\t']);
        let quote = start.chars().next().filter(|first| ['\'', '"', '`'].contains(first));
        let Some(quote) = quote else { return plain(self.take_line()) };
        self.take(self.rest.len() - start.len() + 1);
        let Some(end) = closing(self.rest, quote) else {
            self.take(self.rest.len());
            return Err("the quote that opens here is never closed");
        };
        let inside = self.take(end);
        self.take(1);
        let behind = self.take_line();
        if inside.contains('\0') {
            return Err(ZERO);
        }
        if !behind.trim().is_empty() && comment(behind) != Some(0) {
            return Ok(Err(BEYOND));
        }
        Ok(match quote {
            '\'' => Ok(Secret::new(inside)),
            '"' => unescaped(inside),
            _ => Err(DOLLAR),
        })
    }

    /// The rest of the line, without its end.
    fn take_line(&mut self) -> &'a str {
        let line = self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

const ZERO: &str = "a zero byte";

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.bytes().all(is_plain) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Where the quote is closed; in double quotes a backslash saves the one behind it.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_saved = false;
    text.char_indices().find_map(|(at, found)| {
        let closes = found == quote && !is_saved;
        is_saved = quote == '"' && found == '\\' && !is_saved;
        closes.then_some(at)
    })
}

/// Where a comment begins that follows a value: at a `#` with white space before it; the white space counts.
fn comment(text: &str) -> Option<usize> {
    let at = text.match_indices('#').map(|(at, _)| at).find(|at| text[..*at].ends_with([' ', '\t']))?;
    Some(text[..at].trim_end().len())
}

/// A value without quotes.
fn plain(line: &str) -> Result<Result<Secret, &'static str>, &'static str> {
    let value = line[..comment(line).unwrap_or(line.len())].trim();
    Ok(match () {
        () if value.contains('\0') => return Err(ZERO),
        () if value.contains(['$', '`']) => Err(DOLLAR),
        () if value.contains(['\\', '\'', '"']) || value.contains(char::is_whitespace) => Err(BARE),
        () if value.starts_with('#') => Err(BARE),
        () => Ok(Secret::new(value)),
    })
}

/// A value in double quotes.
fn unescaped(inside: &str) -> Result<Secret, &'static str> {
    // As long as it can get, so that no piece of a secret is left behind in memory.
    let mut value = String::with_capacity(inside.len());
    let mut rest = inside.chars();
    while let Some(found) = rest.next() {
        value.push(match found {
            '$' | '`' => return Err(DOLLAR),
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(saved @ ('"' | '\\' | '$')) => saved,
                _ => return Err(ESCAPE),
            },
            other => other,
        });
    }
    Ok(Secret::new(value))
}

/// Whether git has this file in its index, as far as can be seen without git.
fn is_in_git(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let Some(root) = path.ancestors().skip(1).find(|folder| folder.join(".git").exists()) else {
        return false;
    };
    let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned() + "\0";
    let index = fs::read(git_folder(&root.join(".git")).join("index")).unwrap_or_default();
    index.windows(name.len()).any(|bytes| bytes == name.as_bytes())
}

/// In a second working tree `.git` is a file that says where the folder is.
fn git_folder(git: &Path) -> PathBuf {
    let told = fs::read_to_string(git).unwrap_or_default();
    told.strip_prefix("gitdir: ").map_or_else(|| git.to_owned(), |folder| PathBuf::from(folder.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `=VALUE` for what is clear, `?REASON` for what is not.
    fn check(text: &str, expect: &[(&str, usize, &str)]) {
        let told = parse(text).unwrap().into_iter().map(|variable| {
            let value = match &variable.value {
                Ok(value) => format!("={}", value.expose()),
                Err(why) => format!("?{why}"),
            };
            (variable.name, variable.line, value)
        });
        let expect: Vec<_> = expect
            .iter()
            .map(|(name, line, value)| ((*name).to_owned(), *line, (*value).to_owned()))
            .collect();
        assert_eq!(told.collect::<Vec<_>>(), expect, "{text:?}");
    }

    fn check_value(value: &str, expect: &str) {
        let next = value.matches('\n').count() + 2;
        check(&format!("A={value}\nB=2\n"), &[("A", 1, expect), ("B", next, "=2")]);
    }

    #[test]
    fn what_all_programs_read_alike_is_taken() {
        check("", &[]);
        check("\u{feff}A=1", &[("A", 1, "=1")]);
        check("\n# B=2\r\n  A = 1\r\n\n", &[("A", 3, "=1")]);
        check(
            "export A=1\nexport\tB='2'\nexported=3",
            &[("A", 1, "=1"), ("B", 2, "=2"), ("exported", 3, "=3")],
        );
        check("A=1\nA='1'\n", &[("A", 1, "=1")]);
        check("my.name-2=1", &[("my.name-2", 1, "=1")]);
        for (value, expect) in [
            ("", "="),
            (" # nothing", "="),
            ("sk-proj-a_b+c/d==", "=sk-proj-a_b+c/d=="),
            ("a#b", "=a#b"),
            ("a # b", "=a"),
            ("a\t#", "=a"),
            ("''", "="),
            ("'a $b `c` \\n \"d\" # e' # f", "=a $b `c` \\n \"d\" # e"),
            (r#""a 'b' # c""#, "=a 'b' # c"),
            (r#""a\nb\"c\\d\$e""#, "=a\nb\"c\\d$e"),
            ("\"-----BEGIN\nKEY\n-----END\"", "=-----BEGIN\nKEY\n-----END"),
        ] {
            check_value(value, expect);
        }
    }

    #[test]
    fn what_programs_read_differently_is_unclear() {
        for (value, why) in [
            ("a$b", DOLLAR),
            ("\"a$b\"", DOLLAR),
            ("\"a`b`\"", DOLLAR),
            ("`a`", DOLLAR),
            ("a b", BARE),
            ("a'b'", BARE),
            (r"a\b", BARE),
            ("#a", BARE),
            (r#""a\tb""#, ESCAPE),
            ("'a'b", BEYOND),
            ("'a'#b", BEYOND),
            ("\"a\" \"b\"", BEYOND),
        ] {
            check_value(value, &format!("?{why}"));
        }
        check("A=1\nB=2\nA=3", &[("A", 1, &format!("?{TWICE}")), ("B", 2, "=2")]);
    }

    #[test]
    fn every_short_text_is_read_to_its_end() {
        let alphabet = ['A', '=', '\'', '"', '\n', ' ', '#', '\\', '$', 'ü'];
        for number in 0..10_usize.pow(5) {
            let digits = (0..5).map(|place| number / 10_usize.pow(place) % 10);
            let text: String = digits.map(|digit| alphabet[digit]).collect();
            let lines = text.matches('\n').count() + 1;
            match parse(&text) {
                Ok(variables) => assert!(variables.iter().all(|variable| variable.line <= lines), "{text:?}"),
                Err(faults) => assert!(faults.iter().all(|LineFault(line, _)| *line <= lines), "{text:?}"),
            }
        }
    }

    #[test]
    fn all_lines_that_are_no_variables_are_told_by_their_numbers() {
        let check = |text: &str, expect: &[(usize, &str)]| {
            let faults = parse(text).unwrap_err();
            let told: Vec<_> = faults.iter().map(|LineFault(line, what)| (*line, *what)).collect();
            assert_eq!(told, expect, "{text:?}");
        };
        let (no_name, no_variable) = ("this is no name of a variable", "neither a comment nor NAME=VALUE");
        check(
            "A=1\nsk-canary\n=2\n1B=3\nC D=4",
            &[(2, no_variable), (3, no_name), (4, no_name), (5, no_name)],
        );
        check("A=1\n\nB='2\nC=3\n", &[(3, "the quote that opens here is never closed")]);
        check("A=1\0\nB='\0'", &[(1, ZERO), (2, ZERO)]);
        check("export A", &[(1, no_variable)]);
    }

    #[test]
    fn what_may_be_a_secret_is_known_by_name_or_value() {
        let check = |line: &str, expect: bool| {
            assert_eq!(parse(line).unwrap()[0].looks_secret(), expect, "{line}");
        };
        check("OPENAI_API_KEY=1", true);
        check("db_password=a b", true);
        check("X=sk-proj-0123456789abcdef", true);
        check("DEBUG=1", false);
        check("URL=https://example.org", false);
    }

    #[test]
    fn a_file_is_deleted_only_as_it_was_read_and_where_nothing_else_keeps_it() {
        let folder = std::env::temp_dir().join(format!("leasehold-env-{:08x}", crate::random::number()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join(".env");
        let put = |text: &str| crate::files::replace(&path, text.as_bytes()).unwrap();
        put("A=1\n");
        let file = EnvFile::load(&path).unwrap();
        put("A=2\n");
        assert_eq!(
            file.delete().unwrap_err().message(),
            format!("{} is not deleted: it was changed meanwhile", path.display())
        );
        put("A=1\n");
        let bar = |expect: Option<&str>| assert_eq!(file.bar_to_deletion(), expect);
        bar(None);
        let other = folder.join("other");
        fs::hard_link(&path, &other).unwrap();
        bar(Some("it has a second name"));
        fs::remove_file(&path).unwrap();
        bar(Some("it is not there any more"));
        std::os::unix::fs::symlink(&other, &path).unwrap();
        bar(Some("it is a link"));
        fs::remove_file(&path).unwrap();
        fs::rename(&other, &path).unwrap();
        fs::create_dir(folder.join(".git")).unwrap();
        bar(None);
        crate::files::replace(&folder.join(".git/index"), b"DIRC..src/main\0...env\0").unwrap();
        bar(Some("git keeps it, and its history the keys"));
        fs::remove_dir_all(folder.join(".git")).unwrap();
        file.delete().unwrap();
        assert!(!path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_error_and_no_debug_shows_a_value() {
        let folder = std::env::temp_dir().join(format!("leasehold-env-{:08x}", crate::random::number()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join(".env");
        crate::files::replace(&path, b"canary\ncanary canary=1\nA='canary").unwrap();
        let failure = EnvFile::load(&path).unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("canary"), "{failure}");
        crate::files::replace(&path, b"A=canary\nB='canary $'").unwrap();
        assert!(!format!("{:?}", EnvFile::load(&path).unwrap()).contains("canary"));
        crate::files::replace(&path, &[0xff]).unwrap();
        assert_eq!(EnvFile::load(&path).unwrap_err().kind(), Kind::Invalid);
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(EnvFile::load(&path).unwrap_err().kind(), Kind::NotFound);
    }
}

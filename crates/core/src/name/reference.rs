//! References: where a value comes from, in one line.

use std::fmt;

use super::{Fault, Namespace, Path};

/// A reference to one value, or to all fields of a place.
///
/// | written | means |
/// |---|---|
/// | `vault://secret/db#password` | a field of a secret on the server |
/// | `vault://secret/db?version=3#password` | of one version (KV v2) |
/// | `vault://secret/db?namespace=team1#password` | in a namespace |
/// | `vault://database/creds/app#username` | of a dynamic secret; all fields of it come from one lease |
/// | `env://NAME` | a variable of leasehold's own environment |
/// | `file:///path` | a file, without its last line end |
/// | `keyring://SERVICE/NAME` | an entry of the workstation's keyring; the name may hold `/` |
/// | `sealed://SERVICE/NAME` | an entry of the workstation's sealed file |
/// | `kernel://SERVICE/NAME` | an entry of the kernel's keyring, lost when the machine stops |
///
/// The parameters may also stand at the end (`#password?version=3`). In a path or field, `%23` is `#` and `%3F`
/// is `?`.
///
/// ```
/// use leasehold_core::name::{Place, Reference};
///
/// let reference = Reference::parse("vault://secret/db?version=3#password").unwrap();
/// assert_eq!(reference.field(), Some("password"));
/// let Place::Vault(vault) = reference.place() else { unreachable!() };
/// assert_eq!((vault.path.as_str(), vault.version), ("secret/db", Some(3)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    place: Place,
    field: Option<Box<str>>,
}

/// The place that a reference names, without the field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A secret on the server.
    Vault(VaultReference),
    /// A variable of leasehold's own environment.
    Env(Box<str>),
    /// A file.
    File(Box<str>),
    /// An entry of one of the workstation's stores.
    Stored(StoreKind, Entry),
}

/// The stores of a workstation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreKind {
    /// The desktop's keyring.
    Keyring,
    /// An encrypted file.
    Sealed,
    /// The kernel's keyring, which is lost when the machine stops.
    Kernel,
}

impl StoreKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Keyring, Self::Sealed, Self::Kernel];

    /// What stands before the `://` of a reference, such as `keyring`.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Sealed => "sealed",
            Self::Kernel => "kernel",
        }
    }

    /// The store that is called so.
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|store| store.scheme() == scheme)
    }
}

/// An entry of a store on the workstation, found by these two alone, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The program or purpose that it belongs to, such as `agent_vault`.
    pub service: Box<str>,
    /// Its name there, such as `api.openai.com/pro_key`.
    pub name: Box<str>,
}

/// A secret on the server. Two references to the same one share one grant, and so one lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultReference {
    /// Mount and path, with or without the `data/` of KV v2.
    pub path: Path,
    /// The version of a KV v2 secret; the newest if none.
    pub version: Option<u64>,
    /// The namespace; the login's own if none.
    pub namespace: Option<Namespace>,
}

const SCHEMES: &str = "a reference begins with vault://, env://, file://, keyring://, sealed:// or kernel://";

impl Reference {
    /// Parses a reference; the fault says where it goes wrong.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Fault::new(0, SCHEMES));
        };
        let at = scheme.len() + 3;
        match scheme {
            "vault" | "bao" => parse_vault(at, rest),
            "env" => parse_env(at, rest).map(Self::from),
            "file" => parse_file(at, rest).map(Self::from),
            _ => match StoreKind::of_scheme(scheme) {
                Some(store) => {
                    parse_entry(Piece { at, text: rest }).map(|entry| Place::Stored(store, entry).into())
                }
                None => Err(Fault::new(0, SCHEMES)),
            },
        }
    }

    /// The field of this name at a place.
    pub fn of_field(place: Place, field: &str) -> Self {
        Self { place, field: Some(field.into()) }
    }

    /// The place, without the field.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The field, if one is named.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl From<Place> for Reference {
    fn from(place: Place) -> Self {
        Self { place, field: None }
    }
}

/// A run of the text with the byte at which it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    at: usize,
    text: &'a str,
}

impl<'a> Piece<'a> {
    /// Splits at the first `mark`, which belongs to neither side.
    fn split(self, mark: char) -> (Self, Option<Self>) {
        match self.text.split_once(mark) {
            None => (self, None),
            Some((text, rest)) => (
                Self { at: self.at, text },
                Some(Self { at: self.at + text.len() + mark.len_utf8(), text: rest }),
            ),
        }
    }

    fn fault(self, message: impl Into<String>) -> Fault {
        Fault::new(self.at, message)
    }

    /// Resolves `%41` and the like.
    fn decoded(self) -> Result<String, Fault> {
        let mut bytes = Vec::with_capacity(self.text.len());
        let mut rest = self.text.bytes().enumerate();
        while let Some((offset, byte)) = rest.next() {
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let digits =
                self.text.get(offset + 1..offset + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(
                value.ok_or_else(|| Fault::new(self.at + offset, "`%` is followed by two hex digits"))?,
            );
            rest.nth(1);
        }
        String::from_utf8(bytes).map_err(|_| self.fault("not valid UTF-8"))
    }
}

fn parse_vault(at: usize, rest: &str) -> Result<Reference, Fault> {
    let (place, fragment) = Piece { at, text: rest }.split('#');
    let (path, before) = place.split('?');
    let (field, after) = fragment.map_or((None, None), |fragment| {
        let (field, query) = fragment.split('?');
        (Some(field), query)
    });
    let mut vault = VaultReference {
        path: Path::parse(&path.decoded()?).map_err(|fault| Fault::new(at + fault.at(), fault.message()))?,
        version: None,
        namespace: None,
    };
    if !vault.path.as_str().contains('/') {
        return Err(path.fault("a path is MOUNT/PATH"));
    }
    if let Some(second) = after.and_then(|query| query.split('#').1) {
        return Err(Fault::new(
            second.at - 1,
            "the field is named before the parameters, and nothing after them",
        ));
    }
    for query in [before, after].into_iter().flatten() {
        parse_query(query, &mut vault)?;
    }
    let field = field.map(parse_field).transpose()?;
    Ok(Reference { place: Place::Vault(vault), field })
}

fn parse_field(field: Piece<'_>) -> Result<Box<str>, Fault> {
    match field.decoded()? {
        name if name.is_empty() => Err(field.fault("the field is missing after `#`")),
        name => Ok(name.into()),
    }
}

fn parse_query(query: Piece<'_>, vault: &mut VaultReference) -> Result<(), Fault> {
    let mut rest = Some(query);
    while let Some(piece) = rest {
        let (parameter, next) = piece.split('&');
        rest = next;
        let (name, value) = parameter.split('=');
        let value = value.ok_or_else(|| parameter.fault("a parameter is NAME=VALUE"))?;
        match name.text {
            "version" => vault.version = Some(parse_version(value)?),
            "namespace" => vault.namespace = Some(parse_namespace(value)?),
            _ => return Err(name.fault("the parameters are `version` and `namespace`")),
        }
    }
    Ok(())
}

fn parse_version(value: Piece<'_>) -> Result<u64, Fault> {
    let version = value.text.parse().ok().filter(|version| *version > 0);
    version.ok_or_else(|| value.fault("a version is a number from 1 on"))
}

fn parse_namespace(value: Piece<'_>) -> Result<Namespace, Fault> {
    Namespace::parse(&value.decoded()?).map_err(|fault| Fault::new(value.at + fault.at(), fault.message()))
}

fn parse_env(at: usize, name: &str) -> Result<Place, Fault> {
    match name.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '_')) {
        Some((offset, _)) => Err(Fault::new(at + offset, "a variable's name is letters, digits and `_`")),
        None if name.is_empty() => Err(Fault::new(at, "the variable's name is missing")),
        None => Ok(Place::Env(name.into())),
    }
}

fn parse_file(at: usize, path: &str) -> Result<Place, Fault> {
    match path {
        "" | "/" => Err(Fault::new(at, "the file's path is missing")),
        _ if !path.starts_with('/') => {
            Err(Fault::new(at, "a file is given by its absolute path: file:///path"))
        }
        _ => Ok(Place::File(path.into())),
    }
}

fn parse_entry(entry: Piece<'_>) -> Result<Entry, Fault> {
    let (service, name) = entry.split('/');
    let name = name.filter(|name| !name.text.is_empty());
    let name = name.ok_or_else(|| entry.fault("an entry is SERVICE/NAME"))?;
    if service.text.is_empty() {
        return Err(service.fault("the service is missing"));
    }
    let part = |piece: Piece<'_>| match piece.decoded()? {
        text if text.contains(char::is_control) => Err(piece.fault("a control character")),
        text => Ok(text.into()),
    };
    Ok(Entry { service: part(service)?, name: part(name)? })
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}

impl fmt::Display for VaultReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vault://{}", self.path)?;
        let mut mark = '?';
        if let Some(version) = self.version {
            write!(f, "{mark}version={version}")?;
            mark = '&';
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "{mark}namespace={namespace}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(vault) => vault.fmt(f),
            Self::Env(name) => write!(f, "env://{name}"),
            Self::File(path) => write!(f, "file://{path}"),
            Self::Stored(store, entry) => write!(f, "{}://{entry}", store.scheme()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        match &self.field {
            Some(field) => write!(f, "#{field}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: Result<&str, usize>) {
        let got = Reference::parse(input).map(|reference| reference.to_string());
        assert_eq!(got.as_deref().map_err(Fault::at), expect, "{input:?}");
    }

    #[test]
    fn references_that_parse() {
        check("vault://secret/db#password", Ok("vault://secret/db#password"));
        check("bao://secret/db#password", Ok("vault://secret/db#password"));
        check("vault://secret/db", Ok("vault://secret/db"));
        check("vault://secret/db?version=3#password", Ok("vault://secret/db?version=3#password"));
        check("vault://secret/db#password?version=3", Ok("vault://secret/db?version=3#password"));
        check("vault://kv/a?namespace=t/d&version=1#x", Ok("vault://kv/a?version=1&namespace=t/d#x"));
        check("vault://secret/a%23b#c%3Fd", Ok("vault://secret/a#b#c?d"));
        check("env://HOME", Ok("env://HOME"));
        check("file:///run/secret", Ok("file:///run/secret"));
        check("keyring://agent_vault/api.openai.com/pro", Ok("keyring://agent_vault/api.openai.com/pro"));
        check("keyring://my%20app/key", Ok("keyring://my app/key"));
        check("sealed://agent_vault/a", Ok("sealed://agent_vault/a"));
        check("kernel://agent_vault/a", Ok("kernel://agent_vault/a"));
    }

    #[test]
    fn references_that_do_not() {
        check("secret/db#password", Err(0));
        check("vualt://secret/db", Err(0));
        check("vault://", Err(8));
        check("vault://secret", Err(8));
        check("vault://secret//db", Err(15));
        check("vault://secret/../sys#x", Err(15));
        check("vault://secret/db#", Err(18));
        check("vault://secret/db?version=0#x", Err(26));
        check("vault://secret/db?verzion=1#x", Err(18));
        check("vault://secret/db?version#x", Err(18));
        check("vault://secret/db?namespace=a b#x", Err(29));
        check("vault://secret/db#x?namespace=a#b", Err(31));
        check("vault://secret/d%2", Err(16));
        check("env://A-B", Err(7));
        check("env://", Err(6));
        check("file://etc/passwd", Err(7));
        check("keyring://agent_vault", Err(10));
        check("keyring://agent_vault/", Err(10));
        check("keyring:///name", Err(10));
        check("keyring://a/b%0Ac", Err(12));
    }
}

//! What is mounted where, and what a path means there.

use std::fmt;

use leasehold_core::name::Path;
use leasehold_core::{Failure, Kind};
use serde::Deserialize;

use crate::call::Call;
use crate::list::List;
use crate::operation::Operation;
use crate::parse;
use crate::reply::Reply;

/// Asks what is mounted at the beginning of a path. Any token may that can do something below the mount.
#[derive(Clone, Debug)]
pub struct MountOf {
    /// The path, mount included.
    pub path: Path,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Where, without a slash at its end.
    pub path: String,
    /// What: `kv`, `database`, `pki`.
    pub kind: String,
    /// Its version, if it is a key-value engine.
    pub version: Option<Version>,
}

impl MountInfo {
    /// The mount, if it is a key-value engine.
    pub fn kv(&self) -> Option<Mount> {
        self.version.map(|version| Mount { path: self.path.clone(), version })
    }
}

impl Operation for MountOf {
    type Answer = MountInfo;

    fn call(&self) -> Call {
        Call::get(&format!("sys/internal/ui/mounts/{}", self.path))
    }

    fn accept(&self, reply: &Reply) -> Result<MountInfo, Failure> {
        #[derive(Deserialize)]
        struct Mounted {
            path: String,
            #[serde(rename = "type")]
            kind: String,
            #[serde(default, deserialize_with = "parse::or_default")]
            options: Options,
        }
        #[derive(Default, Deserialize)]
        struct Options {
            #[serde(default, deserialize_with = "parse::non_empty")]
            version: Option<String>,
        }
        let mounted: Mounted = reply.data()?;
        let version = match mounted.options.version.as_deref() {
            _ if !matches!(mounted.kind.as_str(), "kv" | "generic") => None,
            Some("2") => Some(Version::V2),
            _ => Some(Version::V1),
        };
        Ok(MountInfo { path: mounted.path.trim_end_matches('/').to_owned(), kind: mounted.kind, version })
    }
}

/// The versions of the key-value engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Keeps one value a name.
    V1,
    /// Keeps versions.
    V2,
}

/// A mount of the key-value engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Where, without a slash at its end.
    pub path: String,
    /// Which version.
    pub version: Version,
}

impl Mount {
    /// What a path that people write means here; none if the path is not below this mount.
    ///
    /// In version 2 a `data/` after the mount belongs to the API. A secret whose own name begins so is reached by
    /// writing it twice: `secret/data/data/x`.
    ///
    /// ```
    /// use leasehold_core::name::Path;
    /// use leasehold_vault::kv::{Mount, Version};
    ///
    /// let mount = Mount { path: "secret".into(), version: Version::V2 };
    /// for path in ["secret/db", "secret/data/db"] {
    ///     let entry = mount.entry(&Path::parse(path).unwrap()).unwrap();
    ///     assert_eq!(entry.to_string(), "secret/db");
    /// }
    /// ```
    pub fn entry(&self, path: &Path) -> Option<Entry> {
        let path = path.as_str();
        // The server may tell the mount with namespaces before it that the path does not have.
        let starts = std::iter::once(0).chain(self.path.match_indices('/').map(|(at, _)| at + 1));
        let (mount, name) =
            starts.map(|start| &self.path[start..]).find_map(|mount| Some((mount, below(path, mount)?)))?;
        let name = match self.version {
            Version::V1 => name,
            Version::V2 => below(name, "data").unwrap_or(name),
        };
        Some(Entry { mount: Self { path: mount.into(), version: self.version }, name: name.into() })
    }
}

/// What is left of a path after a folder; none if it is not in the folder.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// A name in a key-value engine: of a secret, or of a folder to list. Shown as people write it: `secret/db`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    mount: Mount,
    name: String,
}

impl Entry {
    /// The mount.
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// The name below the mount; empty for the mount itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names what is below it.
    pub fn list(&self) -> List {
        List::at_text(self.api_path("metadata"))
    }

    /// The same entry for what only version 2 can do. [`Kind::Invalid`] for version 1.
    pub fn versioned(self) -> Result<Versioned, Failure> {
        self.check_versioned().map(|()| Versioned(self))
    }

    pub(super) fn check_versioned(&self) -> Result<(), Failure> {
        match self.mount.version {
            Version::V2 => Ok(()),
            Version::V1 => Err(Failure::new(
                Kind::Invalid,
                format!("{} is of KV version 1, which keeps no versions (asked for {self})", self.mount.path),
            )
            .hint("leave the version out, or have the mount upgraded to version 2")),
        }
    }

    /// Where the API has it: with this word after the mount in version 2, without in version 1.
    pub(super) fn api_path(&self, word: &str) -> String {
        let mount = &self.mount.path;
        let word = match self.mount.version {
            Version::V1 => None,
            Version::V2 => Some(word),
        };
        let parts = [Some(mount.as_str()), word, Some(self.name.as_str())];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => f.write_str(&self.mount.path),
            name => write!(f, "{}/{name}", self.mount.path),
        }
    }
}

/// An entry of a version 2 mount, which keeps versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versioned(Entry);

impl Versioned {
    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.0
    }

    pub(super) fn api_path(&self, word: &str) -> String {
        self.0.api_path(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mount: &str, version: Version, path: &str, expect: Option<(&str, &str)>) {
        let mount = Mount { path: mount.into(), version };
        let entry = mount.entry(&Path::parse(path).unwrap());
        let got = entry.map(|entry| (entry.api_path("data"), entry.list().call().path));
        assert_eq!(got.as_ref().map(|(data, list)| (data.as_str(), list.as_str())), expect, "{path}");
    }

    #[test]
    fn paths_of_people_become_paths_of_the_api() {
        use Version::{V1, V2};
        check("secret", V2, "secret/db", Some(("secret/data/db", "secret/metadata/db")));
        check("secret", V2, "secret/data/db", Some(("secret/data/db", "secret/metadata/db")));
        check("secret", V2, "secret/data/data/x", Some(("secret/data/data/x", "secret/metadata/data/x")));
        check("secret", V2, "secret/database", Some(("secret/data/database", "secret/metadata/database")));
        check("secret", V2, "secret", Some(("secret/data", "secret/metadata")));
        check("secret", V1, "secret/data/db", Some(("secret/data/db", "secret/data/db")));
        check("kv", V1, "kv/a/b", Some(("kv/a/b", "kv/a/b")));
        check("a/b/kv", V2, "a/b/kv/x/y", Some(("a/b/kv/data/x/y", "a/b/kv/metadata/x/y")));
        check("team1/a/kv", V2, "team1/a/kv/x", Some(("team1/a/kv/data/x", "team1/a/kv/metadata/x")));
        check("team1/a/kv", V2, "a/kv/x", Some(("a/kv/data/x", "a/kv/metadata/x")));
        check("secret", V2, "secrets/db", None);
        check("secret", V2, "other/db", None);
    }

    #[test]
    fn only_version_2_keeps_versions() {
        let entry =
            |version| Mount { path: "kv".into(), version }.entry(&Path::parse("kv/a").unwrap()).unwrap();
        assert!(entry(Version::V2).versioned().is_ok());
        assert_eq!(entry(Version::V1).versioned().unwrap_err().kind(), Kind::Invalid);
    }
}

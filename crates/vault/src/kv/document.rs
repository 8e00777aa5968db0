//! The secrets themselves: read, write, patch.

use leasehold_core::{Failure, Fields, Kind};
use serde::Deserialize;

use crate::call::{Body, Call, Method};
use crate::failure::{classify, is_silent};
use crate::json::Json;
use crate::kv::mount::{Entry, Version, Versioned};
use crate::kv::versions::VersionInfo;
use crate::operation::Operation;
use crate::parse::SecretFields;
use crate::reply::Reply;

/// Reads a secret.
#[derive(Clone, Debug)]
pub struct Read {
    entry: Entry,
    version: Option<u64>,
}

/// A secret as it was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The fields.
    pub fields: Fields,
    /// The version that was read; none in version 1 of the engine.
    pub version: Option<VersionInfo>,
}

/// Why a secret that was there cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The version was deleted and can be undeleted.
    Deleted(VersionInfo),
    /// The version's value is gone for good.
    Destroyed(VersionInfo),
}

impl Read {
    /// Reads a version, or the newest. [`Kind::Invalid`] if a version is asked for where none are kept.
    pub fn new(entry: Entry, version: Option<u64>) -> Result<Self, Failure> {
        if version.is_some() {
            entry.check_versioned()?;
        }
        Ok(Self { entry, version })
    }
}

impl Operation for Read {
    type Answer = Document;

    fn call(&self) -> Call {
        let query = self.version.map(|version| ("version", version.to_string()));
        Call { query: query.into_iter().collect(), ..Call::get(&self.entry.api_path("data")) }
    }

    fn accept(&self, reply: &Reply) -> Result<Document, Failure> {
        #[derive(Deserialize)]
        struct Read {
            data: SecretFields,
            metadata: VersionInfo,
        }
        match self.entry.mount().version {
            Version::V1 => reply.data().map(|SecretFields(fields)| Document { fields, version: None }),
            Version::V2 => {
                let Read { data: SecretFields(fields), metadata } = reply.data()?;
                Ok(Document { fields, version: Some(metadata) })
            }
        }
    }

    /// Tells apart what never was, what was deleted and what was destroyed; all are [`Kind::NotFound`].
    fn refuse(&self, reply: &Reply) -> Failure {
        let entry = &self.entry;
        match (Absence::of(reply), self.version) {
            (Some(absence), _) => absence.into_failure(entry),
            (None, Some(version)) if is_nothing(reply) => {
                Failure::new(Kind::NotFound, format!("there is no version {version} of {entry}"))
                    .hint("ask for the newest, which needs no version, or check the path")
            }
            (None, None) if is_nothing(reply) => nothing(entry),
            _ => classify(reply, &self.call()),
        }
    }
}

fn nothing(entry: &Entry) -> Failure {
    Failure::new(Kind::NotFound, format!("there is no secret {entry}"))
        .hint("check the path, or write the secret first")
}

/// Whether the server says that there is nothing at all.
pub(super) fn is_nothing(reply: &Reply) -> bool {
    reply.status == 404 && is_silent(reply)
}

impl Absence {
    /// What a reply of 404 tells of a version that was there.
    pub fn of(reply: &Reply) -> Option<Self> {
        #[derive(Deserialize)]
        struct Read {
            metadata: VersionInfo,
        }
        if reply.status != 404 {
            return None;
        }
        // A reading has it below `metadata`, a patch has it at the top.
        let data = reply.envelope().ok()?;
        let info = data.data().map(|Read { metadata }| metadata).or_else(|_| data.data()).ok()?;
        match info {
            VersionInfo { destroyed: true, .. } => Some(Self::Destroyed(info)),
            VersionInfo { deletion_time: Some(_), .. } => Some(Self::Deleted(info)),
            VersionInfo { .. } => None,
        }
    }

    fn into_failure(self, entry: &Entry) -> Failure {
        let (info, what, hint) = match self {
            Self::Deleted(info) => (info, "was deleted", "undelete it, or ask for another version"),
            Self::Destroyed(info) => (info, "was destroyed", "ask for another version, or write a new one"),
        };
        let when = info.deletion_time.map(|time| format!(" at {time}")).unwrap_or_default();
        Failure::new(Kind::NotFound, format!("version {} of {entry} {what}{when}", info.version)).hint(hint)
    }
}

/// Writes a secret with all its fields; what it had before is replaced.
#[derive(Clone, Debug)]
pub struct Write {
    entry: Entry,
    fields: Fields,
    cas: Option<u64>,
}

impl Write {
    /// Writes these fields, as texts. With `cas` only if that is the newest version, 0 if there is none yet.
    /// [`Kind::Invalid`] if a version is named where none are kept.
    pub fn new(entry: Entry, fields: Fields, cas: Option<u64>) -> Result<Self, Failure> {
        if cas.is_some() {
            entry.check_versioned()?;
        }
        Ok(Self { entry, fields, cas })
    }
}

impl Operation for Write {
    /// The version that was made; none in version 1 of the engine.
    type Answer = Option<VersionInfo>;

    fn call(&self) -> Call {
        let path = self.entry.api_path("data");
        match self.entry.mount().version {
            Version::V1 => Call::post(&path, &Json::from(&self.fields)),
            Version::V2 => Call::post(&path, &versioned(&self.fields, self.cas)).once(),
        }
    }

    fn accept(&self, reply: &Reply) -> Result<Option<VersionInfo>, Failure> {
        match self.entry.mount().version {
            Version::V1 => Ok(None),
            Version::V2 => reply.data().map(Some),
        }
    }
}

/// Writes some fields of a secret and leaves the others as they are. It must be there.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Which secret.
    pub entry: Versioned,
    /// What is written, as texts.
    pub fields: Fields,
    /// Only if this is the newest version.
    pub cas: Option<u64>,
}

impl Operation for Patch {
    /// The version that was made.
    type Answer = VersionInfo;

    fn call(&self) -> Call {
        let body = Body::merge_patch(&versioned(&self.fields, self.cas));
        Call::new(Method::Patch, &self.entry.api_path("data")).with_body(body).once()
    }

    fn accept(&self, reply: &Reply) -> Result<VersionInfo, Failure> {
        reply.data()
    }

    fn refuse(&self, reply: &Reply) -> Failure {
        let entry = self.entry.entry();
        match Absence::of(reply) {
            Some(absence) => absence.into_failure(entry),
            // The server has no word for it.
            None if reply.status == 404 && (reply.body.is_empty() || is_silent(reply)) => nothing(entry),
            None => classify(reply, &self.call()),
        }
    }
}

fn versioned(values: &Fields, cas: Option<u64>) -> Json<'_> {
    let options = cas.map(|cas| Json::object([("cas", cas.into())]));
    Json::object([("options", options.into()), ("data", values.into())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::mount::Mount;
    use leasehold_core::name::Path;

    #[test]
    fn a_patch_of_what_is_not_there_says_so() {
        let mount = Mount { path: "secret".into(), version: Version::V2 };
        let entry = mount.entry(&Path::parse("secret/ai").unwrap()).unwrap().versioned().unwrap();
        let patch = Patch { entry, fields: Fields::default(), cas: None };
        let check = |body: &str, expect: &str| {
            let failure = patch.answer(&Reply::new(404, None, body.as_bytes().to_vec())).unwrap_err();
            assert_eq!((failure.kind(), failure.message()), (Kind::NotFound, expect), "{body}");
        };
        check("", "there is no secret secret/ai");
        check(r#"{"errors":[]}"#, "there is no secret secret/ai");
        let deleted = r#"{"data":{"version":2,"deletion_time":"2026-01-01T00:00:00Z"}}"#;
        check(deleted, "version 2 of secret/ai was deleted at 2026-01-01T00:00:00Z");
    }
}

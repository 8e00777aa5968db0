//! A secret of which one field is changed and the others stay what they are.

use std::collections::BTreeMap;
use std::fmt;

use leasehold_core::{Failure, Secret};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use crate::call::Call;
use crate::failure::classify;
use crate::json::Json;
use crate::kv::document::Absence;
use crate::kv::mount::{Entry, Version};
use crate::kv::versions::VersionInfo;
use crate::operation::Operation;
use crate::reply::Reply;

/// What the server says to a write whose version is not the newest any more.
const OUTRUN: &str = "check-and-set parameter did not match";

/// The fields of a secret as the server has them, texts, numbers and objects alike, and the version that they were
/// read at. Where there is no secret it is empty.
#[derive(Clone, Default)]
pub struct Draft {
    /// Each as JSON.
    fields: BTreeMap<String, Secret>,
    version: u64,
    written: Option<String>,
}

impl Draft {
    /// Whether it has this field.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The version that was read; 0 if there was none, and in version 1 of the engine.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When that version was written (RFC 3339), where the server says so.
    pub fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }

    /// Makes this text the value of a field.
    pub fn set(&mut self, name: &str, text: &Secret) {
        let bytes = Json::from(text).to_bytes();
        self.fields.insert(name.to_owned(), Secret::new(String::from_utf8_lossy(&bytes)));
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.fields.remove(name);
    }

    fn of(fields: BTreeMap<String, Secret>, version: VersionInfo) -> Self {
        let written = Some(version.created_time).filter(|time| !time.is_empty());
        Self { fields, version: version.version, written }
    }

    fn json(&self) -> Json<'_> {
        Json::Object(self.fields.iter().map(|(name, raw)| (name.as_str(), Json::Raw(raw))).collect())
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// The fields of an object, each as the JSON that it is.
#[derive(Default)]
struct RawFields(BTreeMap<String, Secret>);

impl<'de> Deserialize<'de> for RawFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, &RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.into_iter().map(|(name, value)| (name, Secret::new(value.get()))).collect()))
    }
}

/// Reads a secret to change it. One that was never there, or is deleted, is an empty draft.
#[derive(Clone, Debug)]
pub struct ReadDraft {
    /// Which secret.
    pub entry: Entry,
}

impl Operation for ReadDraft {
    type Answer = Draft;

    fn call(&self) -> Call {
        Call::get(&self.entry.api_path("data"))
    }

    fn accept(&self, reply: &Reply) -> Result<Draft, Failure> {
        #[derive(Deserialize)]
        struct Read {
            data: RawFields,
            metadata: VersionInfo,
        }
        match self.entry.mount().version {
            Version::V1 => reply.data().map(|RawFields(fields)| Draft { fields, ..Draft::default() }),
            Version::V2 => {
                let Read { data: RawFields(fields), metadata } = reply.data()?;
                Ok(Draft::of(fields, metadata))
            }
        }
    }

    fn answer(&self, reply: &Reply) -> Result<Draft, Failure> {
        match Absence::of(reply) {
            Some(Absence::Deleted(info) | Absence::Destroyed(info)) => Ok(Draft::of(BTreeMap::new(), info)),
            None if super::document::is_nothing(reply) => Ok(Draft::default()),
            None if reply.is_success() => {
                self.accept(reply).map_err(|failure| failure.context(self.call().plain_path()))
            }
            None => Err(self.refuse(reply)),
        }
    }
}

/// Writes a draft, if nobody wrote the secret since it was read. Version 1 of the engine cannot tell.
#[derive(Clone, Debug)]
pub struct WriteDraft {
    /// Which secret.
    pub entry: Entry,
    /// What it will be.
    pub draft: Draft,
}

impl Operation for WriteDraft {
    /// Whether it was written; if not, somebody else was faster.
    type Answer = bool;

    fn call(&self) -> Call {
        let path = self.entry.api_path("data");
        match self.entry.mount().version {
            Version::V1 => Call::post(&path, &self.draft.json()),
            Version::V2 => {
                let options = Json::object([("cas", self.draft.version.into())]);
                let body = Json::object([("options", options), ("data", self.draft.json())]);
                Call::post(&path, &body).once()
            }
        }
    }

    fn accept(&self, _: &Reply) -> Result<bool, Failure> {
        Ok(true)
    }

    fn answer(&self, reply: &Reply) -> Result<bool, Failure> {
        let is_outrun = || String::from_utf8_lossy(&reply.body).to_ascii_lowercase().contains(OUTRUN);
        match reply.status {
            400 if is_outrun() => Ok(false),
            _ if reply.is_success() => self.accept(reply),
            _ => Err(classify(reply, &self.call())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::mount::Mount;
    use leasehold_core::name::Path;

    fn entry(version: Version) -> Entry {
        let mount = Mount { path: "secret".into(), version };
        mount.entry(&Path::parse("secret/ai").unwrap()).unwrap()
    }

    fn read(version: Version, status: u16, body: &str) -> Result<Draft, Failure> {
        ReadDraft { entry: entry(version) }.answer(&Reply::new(status, None, body.as_bytes().to_vec()))
    }

    #[test]
    fn other_fields_stay_what_they_are() {
        let body = r#"{"data":{"data":{"n":17,"o":{"a":[1,null]},"t":"q\"\u00e9","old":"x"},"metadata":{"version":3,"created_time":"2026-01-01T00:00:00.5Z"}}}"#;
        let mut draft = read(Version::V2, 200, body).unwrap();
        assert_eq!(draft.written(), Some("2026-01-01T00:00:00.5Z"));
        draft.set("new", &Secret::new("line\n\"end\""));
        draft.remove("old");
        assert_eq!(format!("{draft:?}"), r#"{"n", "new", "o", "t"}"#);
        let call = WriteDraft { entry: entry(Version::V2), draft }.call();
        let sent = String::from_utf8(call.body.as_ref().unwrap().bytes().to_vec()).unwrap();
        let expect = r#"{"options":{"cas":3},"data":{"n":17,"new":"line\u000a\"end\"","o":{"a":[1,null]},"t":"q\"\u00e9"}}"#;
        assert_eq!(sent, expect);
        assert!(call.has_secret());
    }

    #[test]
    fn what_is_not_there_is_an_empty_draft_at_its_version() {
        let check = |version, status, body: &str, expect: u64| {
            let draft = read(version, status, body).unwrap();
            assert_eq!((draft.is_empty(), draft.version(), draft.written()), (true, expect, None), "{body}");
        };
        check(Version::V2, 404, r#"{"errors":[]}"#, 0);
        check(Version::V1, 404, r#"{"errors":[]}"#, 0);
        let deleted =
            r#"{"data":{"data":null,"metadata":{"version":4,"deletion_time":"2026-01-01T00:00:00Z"}}}"#;
        check(Version::V2, 404, deleted, 4);
        check(Version::V2, 404, r#"{"data":{"data":null,"metadata":{"version":5,"destroyed":true}}}"#, 5);
        check(Version::V2, 200, r#"{"data":{"data":{},"metadata":{"version":6}}}"#, 6);
        assert!(read(Version::V2, 403, r#"{"errors":["permission denied"]}"#).is_err());
        assert!(read(Version::V2, 404, r#"{"errors":["no handler for route"]}"#).is_err());
    }

    #[test]
    fn to_be_outrun_is_no_failure() {
        let write = WriteDraft { entry: entry(Version::V2), draft: Draft::default() };
        let check = |status, body: &str, expect: Option<bool>| {
            assert_eq!(
                write.answer(&Reply::new(status, None, body.as_bytes().to_vec())).ok(),
                expect,
                "{body}"
            );
        };
        check(200, r#"{"data":{"version":1}}"#, Some(true));
        check(
            400,
            r#"{"errors":["check-and-set parameter did not match the current version"]}"#,
            Some(false),
        );
        check(400, r#"{"errors":["check-and-set parameter required for this call"]}"#, None);
        check(403, r#"{"errors":["permission denied"]}"#, None);
    }
}

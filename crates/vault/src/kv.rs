//! The key-value engine, both versions, under the paths that people write.
//!
//! In version 2 the API puts a word after the mount (`secret/data/db`), in version 1 it does not (`secret/db`).
//! [`MountOf`] asks the server what is mounted where, [`Mount::entry`] makes of a path the [`Entry`] that it means,
//! and an entry knows where the API has it. So `secret/db` and `secret/data/db` are the same secret.

mod mount;

mod versions;

mod document;
mod draft;
mod metadata;

pub use document::{Absence, Document, Patch, Read, Write};
pub use draft::{Draft, ReadDraft, WriteDraft};
pub use metadata::{DeleteMetadata, Metadata, ReadMetadata, VersionNote, WriteMetadata};
pub use mount::{Entry, Mount, MountInfo, MountOf, Version, Versioned};
pub use versions::{Delete, DeleteVersions, Destroy, Undelete, VersionInfo};

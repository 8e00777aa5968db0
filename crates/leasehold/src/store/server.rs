//! Secrets of the server as a store: an entry's service is the path of a secret, its name one of the fields there.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::{StreamExt, stream};

use leasehold_core::name::{self, Path, VaultReference};
use leasehold_core::{Course, Failure, Fields, Kind, Secret};
use leasehold_vault::kv::{
    Delete, DeleteVersions, Document, Draft, Entry, Patch, Read, ReadDraft, WriteDraft,
};

use super::{Answer, Answers, Listed, Store, TOGETHER, found};
use crate::client::VaultClient;
use crate::clock;
use crate::random;
use crate::session::Session;

/// How often a change is made anew because others wrote the same secret meanwhile.
const TRIES: u32 = 50;
/// How long it waits before it does, at the most.
const PAUSE: Duration = Duration::from_millis(50);

/// The key-value secrets of the server that a session stays at.
///
/// Only the field that is meant is changed: by a patch where the token may do that, else by reading the secret and
/// writing it if nobody did so meanwhile. Version 1 of the engine cannot tell whether somebody did. With its last
/// field a secret is deleted; where the token may not, an empty one stays.
///
/// ```no_run
/// use leasehold::core::Secret;
/// use leasehold::core::name::Entry;
/// use leasehold::session::Session;
/// use leasehold::store::{ServerStore, Store};
///
/// # async fn example(session: &Session) -> Result<(), leasehold::core::Failure> {
/// let entry = Entry { service: "secret/ai".into(), name: "openai".into() };
/// ServerStore::new(session).put(&entry, &Secret::new("sk-..")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ServerStore<'s> {
    session: &'s Session,
}

impl<'s> ServerStore<'s> {
    /// The secrets that this session can reach, in its namespace.
    pub fn new(session: &'s Session) -> Self {
        Self { session }
    }

    async fn place(&self, path: &str) -> Result<Place, Failure> {
        let fault = |fault| Failure::new(Kind::Invalid, format!("`{path}` is no path of a secret: {fault}"));
        let reference =
            VaultReference { path: Path::parse(path).map_err(fault)?, version: None, namespace: None };
        let client = self.session.client().await?;
        let mount = client.mount_of(&reference).await?;
        let entry = mount.and_then(|mount| mount.entry(&reference.path));
        match entry.filter(|entry| !entry.name().is_empty()) {
            Some(entry) => Ok(Place { client, entry }),
            None => Err(Failure::new(Kind::Invalid, format!("`{path}` is no secret of a key-value engine"))
                .hint("name a path below one, such as secret/ai")),
        }
    }

    async fn document(&self, path: &str) -> Result<Document, Failure> {
        self.place(path).await?.read().await
    }

    async fn find_field(&self, entry: &name::Entry) -> Result<Secret, Failure> {
        field(&self.document(&entry.service).await?, entry)
    }

    /// Each secret is read once, however many of its fields are wanted.
    async fn find_fields(&self, entries: &[name::Entry]) -> Vec<Result<Secret, Failure>> {
        let paths: BTreeSet<_> = entries.iter().map(|entry| &*entry.service).collect();
        let reads: Vec<_> = paths.iter().map(|path| async { (*path, self.document(path).await) }).collect();
        let documents: HashMap<_, _> = stream::iter(reads).buffer_unordered(TOGETHER).collect().await;
        let find = |entry: &name::Entry| match &documents[&*entry.service] {
            Ok(document) => field(document, entry),
            Err(failure) => Err(failure.clone()),
        };
        entries.iter().map(find).collect()
    }

    /// Each secret is written once, however many of its fields are put.
    async fn put_fields(&self, entries: &[(name::Entry, Secret)]) -> Vec<Result<(), Failure>> {
        let mut answers = Vec::new();
        for of_one in entries.chunk_by(|(one, _), (other, _)| one.service == other.service) {
            match self.put_together(of_one).await {
                Ok(()) => answers.resize(answers.len() + of_one.len(), Ok(())),
                Err(failure) => {
                    answers.push(Err(failure));
                    break;
                }
            }
        }
        answers
    }

    /// Sets these fields of one secret.
    async fn put_together(&self, entries: &[(name::Entry, Secret)]) -> Result<(), Failure> {
        let Some((first, _)) = entries.first() else { return Ok(()) };
        let place = self.place(&first.service).await?;
        let fields = || entries.iter().map(|(entry, secret)| (&*entry.name, secret));
        if place.patch(fields().map(|(name, secret)| (name, secret.clone())).collect()).await? {
            return Ok(());
        }
        let set = |draft: &mut Draft| {
            fields().for_each(|(name, secret)| draft.set(name, secret));
            true
        };
        place.change(set).await.map(|_| ())
    }

    /// The fields of a secret, and when any of them was last written; version 1 of the engine does not note it.
    async fn fields(&self, path: &str) -> Result<Vec<Listed>, Failure> {
        let Some(document) = found(self.document(path).await)? else { return Ok(Vec::new()) };
        let written = document.version.and_then(|version| clock::wall_time_of(&version.created_time));
        let entry = |name: &str| name::Entry { service: path.into(), name: name.into() };
        Ok(document.fields.names().map(|name| Listed { entry: entry(name), written }).collect())
    }
}

impl Store for ServerStore<'_> {
    fn title(&self) -> String {
        "the server".into()
    }

    fn find<'a>(&'a self, entry: &'a name::Entry) -> Answer<'a, Secret> {
        Box::pin(self.find_field(entry))
    }

    fn find_all<'a>(&'a self, entries: &'a [name::Entry]) -> Answers<'a, Secret> {
        Box::pin(self.find_fields(entries))
    }

    fn put<'a>(&'a self, entry: &'a name::Entry, secret: &'a Secret) -> Answer<'a, ()> {
        Box::pin(async move { self.put_together(&[(entry.clone(), secret.clone())]).await })
    }

    fn put_all<'a>(&'a self, entries: &'a [(name::Entry, Secret)]) -> Answers<'a, ()> {
        Box::pin(self.put_fields(entries))
    }

    fn remove<'a>(&'a self, entry: &'a name::Entry) -> Answer<'a, bool> {
        let remove = |draft: &mut Draft| {
            let is_there = draft.has(&entry.name);
            draft.remove(&entry.name);
            is_there
        };
        Box::pin(async move { self.place(&entry.service).await?.change(remove).await })
    }

    fn contains<'a>(&'a self, entry: &'a name::Entry) -> Answer<'a, bool> {
        Box::pin(async move { found(self.find_field(entry).await).map(|secret| secret.is_some()) })
    }

    fn list<'a>(&'a self, service: &'a str) -> Answer<'a, Vec<Listed>> {
        Box::pin(self.fields(service))
    }
}

/// One secret, and the client that asks for it.
struct Place {
    client: VaultClient,
    entry: Entry,
}

impl Place {
    async fn read(&self) -> Result<Document, Failure> {
        self.client.send(&Read::new(self.entry.clone(), None)?).await
    }

    /// Sets fields without a look at the others. False where that cannot be done: there is no secret yet, the token
    /// may not, the mount wants to know the version, or the engine has no patches.
    async fn patch(&self, fields: Fields) -> Result<bool, Failure> {
        let Ok(entry) = self.entry.clone().versioned() else { return Ok(false) };
        match self.client.send(&Patch { entry, fields, cas: None }).await {
            Ok(_) => Ok(true),
            Err(failure) => match failure.kind().course() {
                Course::Denied | Course::Misconfigured => Ok(false),
                Course::Dead | Course::Transient => Err(failure),
            },
        }
    }

    /// Changes the secret as it is now, anew if somebody else does so meanwhile. The change says whether there is
    /// anything to change; whether there was.
    async fn change(&self, change: impl Fn(&mut Draft) -> bool) -> Result<bool, Failure> {
        let mut has_changed = false;
        for _ in 0..TRIES {
            let mut draft = self.client.send(&ReadDraft { entry: self.entry.clone() }).await?;
            if !change(&mut draft) {
                return Ok(has_changed);
            }
            if draft.is_empty() && self.delete(draft.version()).await? {
                // A version that was written meanwhile has the field too: so we look again.
                has_changed = true;
                continue;
            }
            if self.client.send(&WriteDraft { entry: self.entry.clone(), draft }).await? {
                return Ok(true);
            }
            tokio::time::sleep(random::part(PAUSE)).await;
        }
        let message = format!("others write {} all the time", self.entry);
        Err(Failure::new(Kind::Throttled, message).hint("try again later"))
    }

    /// Deletes this version of the secret, or all there is in version 1 of the engine. False where versions are kept
    /// and the token may not delete one.
    async fn delete(&self, version: u64) -> Result<bool, Failure> {
        let Ok(entry) = self.entry.clone().versioned() else {
            return self.client.send(&Delete { entry: self.entry.clone() }).await.map(|()| true);
        };
        match self.client.send(&DeleteVersions { entry, versions: vec![version] }).await {
            Err(failure) if failure.kind() == Kind::Denied => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }
}

fn field(document: &Document, entry: &name::Entry) -> Result<Secret, Failure> {
    document.fields.field(&entry.name).cloned().ok_or_else(|| {
        let message = format!("the server's secret {} has no field {}", entry.service, entry.name);
        Failure::new(Kind::NotFound, message).hint("set it first")
    })
}

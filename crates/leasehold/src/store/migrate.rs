//! Moves the entries of a service from one store to another: each is compared at its new place before anything of the
//! old one goes.

use leasehold_core::name::Entry;
use leasehold_core::{Failure, Kind, Secret};

use super::Store;

/// What is to be moved, and how.
#[derive(Clone, Copy, Debug)]
pub struct Migration<'a> {
    /// The store that has the entries.
    pub from: &'a dyn Store,
    /// Their service there.
    pub service: &'a str,
    /// The store that will have them.
    pub to: &'a dyn Store,
    /// Their service there, which for the server is the path of a secret.
    pub new_service: &'a str,
    /// Whether what is there already, and is another secret, is written over.
    pub overwrites: bool,
    /// Whether the entries are deleted at their old place, once all of them are at the new one.
    pub deletes_source: bool,
}

/// What came of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it was.
    pub entry: Entry,
    /// Where it belongs.
    pub place: Entry,
    /// What was done about it, or would be.
    pub outcome: Outcome,
    /// Whether it was deleted at its old place.
    pub is_deleted: bool,
}

/// What is done about one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not at its new place yet.
    Missing,
    /// It was copied, and found to be the same.
    Copied,
    /// The same secret was there already.
    Same,
    /// Another secret is there, and stays.
    Differs,
}

impl Outcome {
    /// One word for tables and scripts.
    pub fn token(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Copied => "copied",
            Self::Same => "same",
            Self::Differs => "differs",
        }
    }
}

/// What came of a migration. Where it failed, nothing is lost: what is not deleted yet is at its old place.
#[derive(Clone, Debug)]
pub struct Migrated {
    /// All entries of the old place, in the order of their names.
    pub rows: Vec<Moved>,
    /// What ended it early, or kept it from deleting.
    pub failure: Option<Failure>,
}

impl Migration<'_> {
    /// What would be done, without a write. An entry that would be written over is `Missing`.
    ///
    /// # Errors
    ///
    /// What keeps one of the stores from being read.
    pub async fn plan(&self) -> Result<Vec<Moved>, Failure> {
        let mut rows = Vec::new();
        for listed in self.from.list(self.service).await? {
            let mut row = self.row(listed.entry);
            self.compare(&mut row).await?;
            rows.push(row);
        }
        Ok(rows)
    }

    /// Copies what is missing, and deletes the old entries if that was asked for and each of them is at its new place.
    pub async fn carry_out(&self) -> Migrated {
        let entries = match self.from.list(self.service).await {
            Ok(entries) => entries,
            Err(failure) => return Migrated { rows: Vec::new(), failure: Some(failure) },
        };
        let mut rows: Vec<_> = entries.into_iter().map(|listed| self.row(listed.entry)).collect();
        let failure = self.work(&mut rows).await.err();
        Migrated { rows, failure }
    }

    async fn work(&self, rows: &mut [Moved]) -> Result<(), Failure> {
        let mut secrets = Vec::with_capacity(rows.len());
        for row in &mut *rows {
            secrets.push(self.copy(row).await?);
        }
        if !self.deletes_source {
            return Ok(());
        }
        if let Some(row) = rows.iter().find(|row| row.outcome == Outcome::Differs) {
            let message = format!("nothing is deleted: {} has another {}", self.to.title(), row.place);
            return Err(Failure::new(Kind::Invalid, message)
                .hint("decide which is right, or allow to overwrite (--overwrite)"));
        }
        for (row, secret) in rows.iter_mut().zip(&secrets) {
            self.delete(row, secret).await?;
        }
        Ok(())
    }

    fn row(&self, entry: Entry) -> Moved {
        let place = Entry { service: self.new_service.into(), name: entry.name.clone() };
        Moved { entry, place, outcome: Outcome::Missing, is_deleted: false }
    }

    /// Looks at both places; the secret of the old one.
    async fn compare(&self, row: &mut Moved) -> Result<Secret, Failure> {
        let secret = self.from.find(&row.entry).await?;
        row.outcome = match self.to.find(&row.place).await {
            Ok(there) if there.is_same(&secret) => Outcome::Same,
            Ok(_) if self.overwrites => Outcome::Missing,
            Ok(_) => Outcome::Differs,
            Err(failure) if failure.kind() == Kind::NotFound => Outcome::Missing,
            Err(failure) => return Err(failure),
        };
        Ok(secret)
    }

    async fn copy(&self, row: &mut Moved) -> Result<Secret, Failure> {
        let secret = self.compare(row).await?;
        if row.outcome == Outcome::Missing {
            self.to.put(&row.place, &secret).await?;
            self.expect(row, &secret).await?;
            row.outcome = Outcome::Copied;
        }
        Ok(secret)
    }

    /// Fails if the new place has not this secret.
    async fn expect(&self, row: &Moved, secret: &Secret) -> Result<(), Failure> {
        if self.to.find(&row.place).await?.is_same(secret) {
            return Ok(());
        }
        let message = format!("{} has another {} than was put there", self.to.title(), row.place);
        Err(Failure::new(Kind::Broken, message).hint("the old place has it still; see who else writes there"))
    }

    async fn delete(&self, row: &mut Moved, secret: &Secret) -> Result<(), Failure> {
        if !self.from.find(&row.entry).await?.is_same(secret) {
            let message = format!("{} was changed in {} meanwhile", row.entry, self.from.title());
            return Err(Failure::new(Kind::Invalid, message).hint("migrate again"));
        }
        self.from.remove(&row.entry).await?;
        // Two names may lead to the same place.
        if let Err(failure) = self.expect(row, secret).await {
            self.from.put(&row.entry, secret).await?;
            return Err(failure.context(format!("{} went with its old place and was put back", row.entry)));
        }
        row.is_deleted = true;
        Ok(())
    }
}

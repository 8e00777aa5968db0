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
        let mut rows = self.rows().await?;
        self.compare(&mut rows).await?;
        Ok(rows)
    }

    /// Copies what is missing, and deletes the old entries if that was asked for and each of them is at its new place.
    pub async fn carry_out(&self) -> Migrated {
        let mut rows = match self.rows().await {
            Ok(rows) => rows,
            Err(failure) => return Migrated { rows: Vec::new(), failure: Some(failure) },
        };
        let failure = self.work(&mut rows).await.err();
        Migrated { rows, failure }
    }

    async fn work(&self, rows: &mut [Moved]) -> Result<(), Failure> {
        let secrets = self.compare(rows).await?;
        self.copy(rows, &secrets).await?;
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

    async fn rows(&self) -> Result<Vec<Moved>, Failure> {
        let row = |entry: Entry| {
            let place = Entry { service: self.new_service.into(), name: entry.name.clone() };
            Moved { entry, place, outcome: Outcome::Missing, is_deleted: false }
        };
        let listed = self.from.list(self.service).await?;
        Ok(listed.into_iter().map(|listed| row(listed.entry)).collect())
    }

    /// Looks at both places; the secrets of the old one.
    async fn compare(&self, rows: &mut [Moved]) -> Result<Vec<Secret>, Failure> {
        let entries: Vec<_> = rows.iter().map(|row| row.entry.clone()).collect();
        let secrets = self.from.find_all(&entries).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let places: Vec<_> = rows.iter().map(|row| row.place.clone()).collect();
        let there = self.to.find_all(&places).await;
        for ((row, secret), there) in rows.iter_mut().zip(&secrets).zip(there) {
            row.outcome = match there {
                Ok(there) if there.is_same(secret) => Outcome::Same,
                Ok(_) if self.overwrites => Outcome::Missing,
                Ok(_) => Outcome::Differs,
                Err(failure) if failure.kind() == Kind::NotFound => Outcome::Missing,
                Err(failure) => return Err(failure),
            };
        }
        Ok(secrets)
    }

    /// Puts what is missing to its new place until one cannot be put, and compares what was put.
    async fn copy(&self, rows: &mut [Moved], secrets: &[Secret]) -> Result<(), Failure> {
        let is_missing = |row: &Moved| row.outcome == Outcome::Missing;
        let missing = rows.iter().zip(secrets).filter(|(row, _)| is_missing(row));
        let missing: Vec<_> = missing.map(|(row, secret)| (row.place.clone(), secret.clone())).collect();
        let tried = self.to.put_all(&missing).await;
        let count = tried.iter().filter(|put| put.is_ok()).count();
        self.expect(&missing[..count]).await?;
        let copied = rows.iter_mut().filter(|row| is_missing(row)).take(count);
        copied.for_each(|row| row.outcome = Outcome::Copied);
        tried.into_iter().collect()
    }

    /// Fails if the new store has not these secrets.
    async fn expect(&self, put: &[(Entry, Secret)]) -> Result<(), Failure> {
        let places: Vec<_> = put.iter().map(|(place, _)| place.clone()).collect();
        for ((place, secret), there) in put.iter().zip(self.to.find_all(&places).await) {
            if !there?.is_same(secret) {
                let message = format!("{} has another {place} than was put there", self.to.title());
                let hint = "the old place has it still; see who else writes there";
                return Err(Failure::new(Kind::Broken, message).hint(hint));
            }
        }
        Ok(())
    }

    async fn delete(&self, row: &mut Moved, secret: &Secret) -> Result<(), Failure> {
        if !self.from.find(&row.entry).await?.is_same(secret) {
            let message = format!("{} was changed in {} meanwhile", row.entry, self.from.title());
            return Err(Failure::new(Kind::Invalid, message).hint("migrate again"));
        }
        self.from.remove(&row.entry).await?;
        // Two names may lead to the same place.
        if let Err(failure) = self.expect(&[(row.place.clone(), secret.clone())]).await {
            self.from.put(&row.entry, secret).await?;
            return Err(failure.context(format!("{} went with its old place and was put back", row.entry)));
        }
        row.is_deleted = true;
        Ok(())
    }
}

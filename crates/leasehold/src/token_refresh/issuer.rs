//! The other side of a refresh: gives a deployment its token.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use leasehold_core::{Failure, Kind, Retry, Secret};
use leasehold_vault::kv::{Delete, Draft, Entry, ReadDraft, Version, WriteDraft};
use zeroize::Zeroizing;

use super::place::{FIELD, TokenPlace, invalid};
use super::shown::{self, Rotation, RotationPlan, Watched, Writing};
use crate::client::VaultClient;
use crate::clock::{Clock, seconds_of, wall_seconds, wall_text, wall_time_of};
use crate::random;
use crate::token_cache::is_blank;

/// How often a write is made whose answers are lost.
const TRIES: u32 = 3;

/// Reads, writes and deletes the token of one deployment, one call at a time.
///
/// Version 2 of the engine is written with check-and-set: what somebody else wrote meanwhile is not overwritten. A write
/// whose answer was lost is looked for before it is made again, so that there is one version and not two. Version 1
/// can do neither. Other fields of the secret stay as they are.
///
/// ```no_run
/// use leasehold::client::VaultClient;
/// use leasehold::core::Failure;
/// use leasehold::token_refresh::{RotationPlan, TokenIssuer, TokenPlace};
/// use std::time::Duration;
///
/// # async fn example(client: VaultClient) -> Result<(), Failure> {
/// let issuer = TokenIssuer::new(client, TokenPlace::new("status_panel", "deployment-123-abc")?);
/// let mut plan = RotationPlan::new(["http://10.0.0.7:5000/health", "http://10.0.0.8:5000/health"]);
/// plan.deadline = Duration::from_secs(90);
/// let rotation = issuer.rotate(&plan).await?;
/// for (agent, why) in &rotation.missing {
///     eprintln!("{agent} does not have the new token yet: {why}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokenIssuer {
    client: VaultClient,
    place: TokenPlace,
}

impl TokenIssuer {
    /// The issuer of this token, by the right of the client's.
    pub fn new(client: VaultClient, place: TokenPlace) -> Self {
        Self { client, place }
    }

    /// The token that is there.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no secret, or no `token` in it; `Invalid` if that is empty or no text.
    pub async fn fetch_token(&self) -> Result<Secret, Failure> {
        let grant = self.client.read(&self.place.reference()).await?;
        self.place.token_of(&grant)
    }

    /// Writes the token. To write what is there already is a new version too.
    ///
    /// # Errors
    ///
    /// `Invalid` if the token is blank, if the place is in no key-value engine, or if somebody else has written
    /// meanwhile.
    pub async fn store_token(&self, token: &Secret) -> Result<(), Failure> {
        self.write(token, Duration::ZERO).await.map(|_| ())
    }

    /// Deletes the secret with the token; in version 2 its newest version, which can be undeleted. One that is not there
    /// is no error. Who has the token keeps it.
    ///
    /// # Errors
    ///
    /// Why it was not possible.
    pub async fn delete_token(&self) -> Result<(), Failure> {
        self.client.send(&Delete { entry: self.entry().await? }).await
    }

    /// Writes a fresh token, of 32 random bytes in base64url, and waits until enough agents' `/health` show that they
    /// have it. That some do not in time is no error, and is told. Before that it is seen whether so many agents answer,
    /// and say that their last refresh went well.
    ///
    /// # Errors
    ///
    /// Those of [`store_token`](Self::store_token); `Invalid` for an agent's address that is none, if more agents are to
    /// show it than there are, or say before that they can (but see [`RotationPlan::even_if_unseen`]), or if the token there is younger than the plan's overlap, which version 1 of the engine
    /// cannot tell. Nothing is written then. And if in the end it is not there any more, or that cannot be found out.
    pub async fn rotate(&self, plan: &RotationPlan) -> Result<Rotation, Failure> {
        let watched = shown::sight(Watched::new(plan)?, plan).await?;
        let (token, clock) = (fresh()?, Clock::default());
        let begun = clock.now();
        let version = self.write(&token, plan.overlap).await?;
        let writing = Writing { begun, done: clock.now(), interval: plan.interval };
        let (shown, missing) = shown::wait(watched, plan, writing).await;
        match self.fetch_token().await?.is_same(&token) {
            true => Ok(Rotation { token, version, shown, missing }),
            false => Err(self.outrun()),
        }
    }

    fn outrun(&self) -> Failure {
        invalid(format!("somebody else has written {} meanwhile", self.place))
    }

    async fn entry(&self) -> Result<Entry, Failure> {
        let reference = self.place.reference();
        // It is asked for anew: what was mounted there at the last call may be of another version by now.
        let mount = self.client.find_mount(&reference).await?;
        let entry = mount.and_then(|mount| mount.entry(&reference.path));
        entry.ok_or_else(|| invalid(format!("{} is in no key-value engine", self.place)))
    }

    /// Writes the token, and says which version it is, where versions are kept. What is there has to be so old.
    async fn write(&self, token: &Secret, overlap: Duration) -> Result<Option<u64>, Failure> {
        if is_blank(token) {
            return Err(invalid("a token is not empty".into()));
        }
        let entry = self.entry().await?;
        let mut draft = self.client.send(&ReadDraft { entry: entry.clone() }).await?;
        self.check_age(&draft, overlap)?;
        let is_versioned = entry.mount().version == Version::V2;
        let version = is_versioned.then(|| draft.version() + 1);
        draft.set(FIELD, token);
        self.write_once(&entry, draft, token).await.map(|()| version)
    }

    /// That the token before this one is not needed any more. The first has none before it.
    fn check_age(&self, draft: &Draft, overlap: Duration) -> Result<(), Failure> {
        let written = draft.written().filter(|_| draft.version() > 1).and_then(wall_time_of);
        let Some(written) = written.map(seconds_of) else { return Ok(()) };
        let left = written.saturating_add(overlap.as_secs()).saturating_sub(wall_seconds());
        if left == 0 {
            return Ok(());
        }
        let (place, at) = (&self.place, wall_text(written));
        let failure = invalid(format!("{place} was written at {at}: the token before it may be in use"));
        Err(failure.hint(format!("rotate in {left} s, or now if it has leaked, with no overlap")))
    }

    /// With the version that was read, so that a second try finds nothing to do where the first was carried out.
    async fn write_once(&self, entry: &Entry, draft: Draft, token: &Secret) -> Result<(), Failure> {
        let write = WriteDraft { entry: entry.clone(), draft };
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = self.client.send(&write).await;
            let lost = match outcome {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(failure) if failure.retry() == Retry::Ambiguous => Some(failure),
                Err(failure) => return Err(failure),
            };
            let there = self.fetch_token().await;
            if there.as_ref().is_ok_and(|there| there.is_same(token)) {
                return Ok(());
            }
            match lost {
                None => return Err(self.outrun()),
                Some(failure) if tries == TRIES => return Err(unknown(&self.place, &failure)),
                Some(_) => {}
            }
        }
    }
}

fn unknown(place: &TokenPlace, failure: &Failure) -> Failure {
    let failure = failure.clone().context(format!("it is not known whether {place} was written"));
    failure.hint("read it before it is written again")
}

/// A token that nobody can guess.
fn fresh() -> Result<Secret, Failure> {
    let bytes = Zeroizing::new(random::bytes::<32>()?);
    let mut text = Zeroizing::new([0; 43]);
    let text = Base64UrlUnpadded::encode(&*bytes, &mut *text);
    text.map(Secret::new).map_err(|_| Failure::new(Kind::Broken, "no room for a token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_token_is_32_bytes_in_base64url_and_another_each_time() {
        let tokens = [fresh().unwrap(), fresh().unwrap()];
        for token in &tokens {
            let text = token.expose();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            assert_eq!(Base64UrlUnpadded::decode(text, &mut [0; 32]).unwrap().len(), 32);
        }
        assert!(!tokens[0].is_same(&tokens[1]));
    }
}

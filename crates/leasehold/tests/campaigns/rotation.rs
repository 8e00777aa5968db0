//! Tokens that are replaced every few seconds while they are read and used all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::clock::Clock;
use leasehold::core::policy::Renew;
use leasehold::core::{Grant, Policy, Scope};
use leasehold::credential::Credential;
use leasehold::vault::token::{Lookup, Subject};
use leasehold_testkit::{AppRole, Server, record};
use serde_json::json;

use crate::figures::{all, together};
use crate::ground::settings;
use crate::run::{LOGIN, Run, approle, identity};

/// How long a token lives on beside its successor.
const OVERLAP: Duration = Duration::from_secs(2);
/// How many read and use each token, and how many reads each makes between two requests.
const READERS: usize = 3;
const READS: usize = 200;
/// A reader makes a request so often.
const PACE: Duration = Duration::from_millis(400);

#[test]
fn three_rotations_under_load() {
    campaign(1, 3).judge(3, READS);
}

#[test]
fn long_rotation_a_thousand_times_under_a_million_reads() {
    let sum = campaign(25, 40);
    sum.judge(1_000, 1_000_000);
    record("rotation", &sum.told());
}

/// What readers did and saw. That none failed is asserted on the spot.
#[derive(Default)]
struct Sum {
    rotations: usize,
    reads: usize,
    requests: usize,
    /// Requests with a token that had been replaced when it was used, and the most time since then.
    with_old: usize,
    oldest: Duration,
}

impl Sum {
    fn add(mut self, other: &Self) -> Self {
        self.rotations += other.rotations;
        self.reads += other.reads;
        self.requests += other.requests;
        self.with_old += other.with_old;
        self.oldest = self.oldest.max(other.oldest);
        self
    }

    fn judge(&self, rotations: usize, reads: usize) {
        assert!(self.rotations >= rotations && self.reads >= reads, "{}", self.told());
        assert!(self.with_old >= rotations && self.oldest <= OVERLAP, "{}", self.told());
    }

    fn told(&self) -> String {
        format!(
            "{} rotations of tokens: {} reads of the present value, none missing, torn or of an earlier generation than \
             one seen before; {} requests with it, none failed; {} of them with a token that had been replaced up to \
             {} ms before (the overlap is {} ms)",
            self.rotations,
            self.reads,
            self.requests,
            self.with_old,
            self.oldest.as_millis(),
            OVERLAP.as_millis()
        )
    }
}

fn campaign(sessions: usize, rotations: usize) -> Sum {
    let server = Server::start();
    let role = approle(&server, json!({ "token_ttl": "10s", "token_max_ttl": "10s" }));
    let parts = together(sessions, |at| session(at, &server, &role, rotations));
    assert_eq!(server.accessors().len(), 1, "all was given back");
    parts.iter().fold(Sum::default(), Sum::add)
}

async fn session(at: usize, server: &Server, role: &AppRole, rotations: usize) -> Sum {
    let folder = server.folder().join(format!("journal{at}"));
    let life = Duration::from_secs(60);
    let run = Run::start_by(Clock::default(), life, server.address(), identity(role), &folder);
    // Early, so that a slow machine has time: the token cannot be renewed beyond its ten seconds.
    let renew = Renew::Part { from: 100, to: 200 };
    let policy = Arc::new(Policy { renew, overlap: OVERLAP, ..Policy::default() });
    let login = run.engine.ask(LOGIN, Scope::Login, None, policy).await.unwrap();
    let client = VaultClient::new(&settings(&[server.address()]), None).unwrap();
    let is_over = AtomicBool::new(false);
    let readers = all((0..READERS).map(|_| reader(login.clone(), &client, &is_over)).collect());
    let (sums, old) = tokio::join!(readers, dawdler(login.clone(), &client, rotations, &is_over));
    assert!(run.stop().await.is_empty());
    sums.iter().fold(old, Sum::add)
}

/// Reads the present value all the time and uses it now and then.
async fn reader(mut credential: Credential, client: &VaultClient, is_over: &AtomicBool) -> Sum {
    let mut sum = Sum::default();
    let mut seen: Vec<String> = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..READS {
            look(credential.current().expect("there is always a value"), &mut seen);
        }
        let grant = credential.hold().expect("there is always a value");
        look(&grant, &mut seen);
        sum.reads += READS + 1;
        use_it(client, &grant).await;
        sum.requests += 1;
        pace.tick().await;
    }
    sum
}

/// A whole token, and no earlier one than the last.
fn look(grant: &Grant, seen: &mut Vec<String>) {
    let token = grant.token().unwrap().expose();
    if seen.last().is_none_or(|last| last != token) {
        assert!(token.starts_with("s.") && token.len() > 20, "a whole token");
        assert!(seen.iter().all(|earlier| earlier != token), "an earlier token came back");
        seen.push(token.to_owned());
    }
}

async fn use_it(client: &VaultClient, grant: &Grant) {
    let with = client.with_token(grant.token().unwrap().clone());
    let record = with.send(&Lookup(Subject::Own)).await.expect("no request fails");
    assert!(grant.lease.holding == holding(&record.accessor), "the answer is of this token");
}

fn holding(accessor: &str) -> leasehold::core::Holding {
    leasehold::core::Holding::Token { accessor: Some(accessor.into()) }
}

/// Uses each token once more after it was replaced, as somebody does who held it for a request.
async fn dawdler(
    mut credential: Credential,
    client: &VaultClient,
    rotations: usize,
    is_over: &AtomicBool,
) -> Sum {
    let mut sum = Sum::default();
    while sum.rotations < rotations {
        let held = credential.hold().expect("there is always a value");
        let generation = credential.generation();
        assert!(credential.changed().await);
        let replaced = Instant::now();
        assert!(credential.hold().is_some(), "replaced before it ended");
        assert_eq!(credential.generation(), generation + 1, "one at a time");
        use_it(client, &held).await;
        sum.oldest = sum.oldest.max(replaced.elapsed());
        sum.rotations += 1;
        sum.with_old += 1;
        sum.requests += 1;
    }
    is_over.store(true, Ordering::Relaxed);
    sum
}

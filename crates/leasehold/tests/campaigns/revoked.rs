//! Tokens that somebody else revokes while many use them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::clock::Clock;
use leasehold::core::event::Event;
use leasehold::core::{Grant, Kind};
use leasehold::credential::Credential;
use leasehold::driver::Engine;
use leasehold::vault::kv;
use leasehold_testkit::{AppRole, Proxy, Server, record};
use serde_json::json;

use crate::figures::{Times, all, together};
use crate::ground::{reference, settings};
use crate::run::{LOGIN, Run, STATIC, accessor, approle, identity};

/// How many use one token at the same time.
const CALLERS: usize = 50;
/// How many of them do by hand what the others leave to the engine.
const BY_HAND: usize = 25;
const BOUND: Duration = Duration::from_secs(1);

#[test]
fn five_revocations_with_fifty_callers() {
    let outcome = campaign(1, 5);
    outcome.judge(5, 1);
}

#[test]
fn long_revoked_a_hundred_times_with_fifty_callers_each() {
    let outcome = campaign(5, 20);
    outcome.judge(100, 5);
    record("revoked", &outcome.told());
}

#[derive(Default)]
struct Outcome {
    /// From the first use after the revocation until the token is good, and until all callers have their answers.
    good: Times,
    all: Times,
    /// Calls by hand that were refused, each of a caller of its own.
    refused: usize,
    logins: usize,
    lookups: usize,
}

impl Outcome {
    fn judge(&self, revocations: usize, sessions: usize) {
        assert_eq!(self.all.count(), revocations);
        assert_eq!((self.logins, self.lookups), (revocations + sessions, revocations), "one each");
        assert!(self.refused <= revocations * BY_HAND, "{} refused", self.refused);
        assert!(self.good.longest() < BOUND, "{}", self.told());
    }

    fn told(&self) -> String {
        format!(
            "{} revocations, {CALLERS} callers at once each. The token is good again after the first use: {}; all {CALLERS} have \
             their answers: {}. Of {} calls made by hand {} were refused, at most one of each caller, and went well \
             the second time; of {} calls by `Engine::send` none failed. {} look-ups, {} logins beside the first",
            self.all.count(),
            self.good.told(),
            self.all.told(),
            self.all.count() * BY_HAND,
            self.refused,
            self.all.count() * (CALLERS - BY_HAND),
            self.lookups,
            self.lookups,
        )
    }
}

fn campaign(sessions: usize, revocations: usize) -> Outcome {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let mut outcome = Outcome::default();
    for part in together(sessions, |at| session(at, &server, &proxy, &role, revocations)) {
        outcome.good.extend(part.iter().map(|round| round.good));
        outcome.all.extend(part.iter().map(|round| round.all));
        outcome.refused += part.iter().map(|round| round.refused).sum::<usize>();
    }
    outcome.logins = proxy.requests("approle/login").len();
    outcome.lookups = proxy.requests("lookup-self").len();
    assert_eq!(server.accessors().len(), 1, "all was given back");
    outcome
}

/// What one revocation brought.
struct Round {
    good: Duration,
    all: Duration,
    refused: usize,
}

async fn session(at: usize, server: &Server, proxy: &Proxy, role: &AppRole, rounds: usize) -> Vec<Round> {
    let folder = server.folder().join(format!("journal{at}"));
    let (address, life) = (proxy.address(), Duration::from_secs(60));
    let mut run = Run::start_by(Clock::default(), life, &address, identity(role), &folder);
    let login = run.log_in().await;
    run.secret(STATIC, "secret/db", LOGIN).await.unwrap();
    let client = VaultClient::new(&settings(&[&proxy.address()]), None).unwrap();
    let mut told = Vec::new();
    for _ in 0..rounds {
        // The run goes on between two revocations: what it reads once a second is read again.
        run.events = run.engine.events();
        run.told.clear();
        run.wait_for(2, |event| matches!(event, Event::Refreshed { slot: STATIC, .. })).await;
        let body = json!({ "accessor": accessor(&login) });
        assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
        told.push(round(&run.engine, &client, &login).await);
    }
    assert!(run.stop().await.is_empty());
    told
}

/// All callers at once use a token that was just revoked.
async fn round(engine: &Engine, client: &VaultClient, login: &Credential) -> Round {
    let begin = Instant::now();
    let mut callers = Vec::new();
    for at in 0..CALLERS {
        callers.push(async move {
            let refused = if at < BY_HAND {
                by_hand(engine, client, login).await
            } else {
                let document =
                    engine.send(client, login, &read()).await.expect("no failure reaches the caller");
                assert!(!document.fields.is_empty());
                0
            };
            (refused, begin.elapsed())
        });
    }
    let (good, answers) = tokio::join!(good_again(login.clone(), begin), all(callers));
    Round {
        good,
        all: answers.iter().map(|(_, time)| *time).max().unwrap(),
        refused: answers.iter().map(|(refused, _)| refused).sum(),
    }
}

async fn good_again(mut login: Credential, begin: Instant) -> Duration {
    let dead = login.generation();
    while login.generation() == dead || login.hold().is_none() {
        assert!(login.changed().await);
    }
    begin.elapsed()
}

/// A caller that does what [`Engine::send`] does, so that it sees what is refused: how often.
async fn by_hand(engine: &Engine, client: &VaultClient, login: &Credential) -> usize {
    let with = |grant: &Grant| client.with_token(grant.token().unwrap().clone());
    let grant = match login.hold() {
        Some(grant) => grant,
        None => engine.successor(LOGIN, None).await.unwrap(),
    };
    let Err(failure) = with(&grant).send(&read()).await else { return 0 };
    assert_eq!(failure.kind(), Kind::Expired, "{failure}");
    let next = engine.successor(LOGIN, Some(Arc::clone(&grant))).await.unwrap();
    assert!(!Arc::ptr_eq(&grant, &next));
    assert!(!with(&next).send(&read()).await.unwrap().fields.is_empty(), "carried out when made again");
    1
}

fn read() -> kv::Read {
    let mount = kv::Mount { path: "secret".into(), version: kv::Version::V2 };
    kv::Read::new(mount.entry(&reference("secret/db").path).unwrap(), None).unwrap()
}

//! Row 34: a fleet that is started together, and one whose server was away.
//!
//! The server's own audit log counts the requests and tells when each came. All engines are in this process, each with
//! connections and a journal of its own.
//!
//! **Windows.** A rate is that of five seconds. With a thousand engines that is two hundred requests, of which chance
//! alone moves the greatest of twenty windows by a tenth.
//!
//! **Spread.** While logins go on at N/S in a second, those who logged in first begin to renew, after half of their
//! token's life T at the earliest, each after 0.625 T on the average: the steady rate is N/(0.625 T). With S = 1.2 T the
//! logins alone are half of that, and logins and first renewals together hardly more than all of it; S = 0.5 T and less
//! is more than 1.25 of it. A thousand logins within a minute are 17 in a second whatever else is done, so that the
//! steady rate can be the measure only for lives up to a minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leasehold::client::VaultClient;
use leasehold::core::Policy;
use leasehold::session::{Session, SessionSettings};
use leasehold_testkit::{AppRole, Server, record};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ground::settings;
use crate::run::{approle, identity};

/// How long a window is in which requests are counted.
const WINDOW: Duration = Duration::from_secs(5);
/// The highest rate of a window, in parts of the steady rate.
const PEAK: f64 = 1.3;

/// How often a login is asked for until there is one; the engine tries when it sees fit.
const AGAIN: Duration = Duration::from_secs(1);

/// A server, and what its engines log in with.
struct Field {
    server: Arc<Server>,
    role: AppRole,
    life: Duration,
}

impl Field {
    fn new(life: Duration) -> Self {
        let server = Arc::new(Server::start_audited());
        let role = approle(&server, json!({ "token_ttl": life.as_secs() }));
        Self { server, role, life }
    }

    /// An engine on a host of its own.
    fn session(&self, host: String, start_spread: Duration) -> Session {
        let client = VaultClient::new(&settings(&[self.server.address()]), None).unwrap();
        let state_dir = self.server.folder().join(host);
        let (identity, policy, parent_ttl) = (identity(&self.role), Policy::default(), self.life);
        let settings = SessionSettings { client, identity, state_dir, parent_ttl, start_spread, policy };
        Session::start(settings).unwrap()
    }

    /// What the engines asked since then, each with how much later.
    async fn requests(&self, since: Timestamp) -> Vec<(Duration, String)> {
        self.aside(move |server| {
            let log = std::fs::read_to_string(server.folder().join("audit.log")).unwrap();
            let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            entries.filter_map(|entry| request(&entry, since)).collect()
        })
        .await
    }

    /// Does something that takes time. Were it done in the engines' own thread, they would take it for a sleep of the
    /// machine.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Server) -> T + Send + 'static) -> T {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || work(&server)).await.unwrap()
    }
}

/// A line of the audit log, if it is a request of an engine since then.
fn request(entry: &Value, since: Timestamp) -> Option<(Duration, String)> {
    let at: Timestamp = entry["time"].as_str()?.parse().ok()?;
    let after = Duration::try_from(at.duration_since(since)).ok()?;
    let path = entry["request"]["path"].as_str()?;
    (entry["type"] == "request" && path.starts_with("auth/")).then(|| (after, path.to_owned()))
}

/// Engines that were started together.
struct Fleet {
    sessions: Vec<Session>,
    begun: Timestamp,
    /// When the last had its token.
    healthy: Duration,
    /// How often one was told that its login had failed: on a machine that is too busy to answer in time.
    failures: usize,
}

impl Fleet {
    async fn start(field: &Field, count: usize, spread: Duration) -> Self {
        let host = |number| format!("{}-{number}", leasehold_testkit::random_hex());
        let sessions: Vec<_> = (0..count).map(|number| field.session(host(number), spread)).collect();
        let (begun, start) = (Timestamp::now(), Instant::now());
        let mut starting = JoinSet::new();
        for session in sessions {
            starting.spawn(async move {
                let (mut asks, mut count) = (tokio::time::interval(AGAIN), 0);
                asks.tick().await;
                while session.log_in().await.is_err() {
                    count += 1;
                    asks.tick().await;
                }
                (session, count)
            });
        }
        let (sessions, failures): (_, Vec<usize>) = starting.join_all().await.into_iter().unzip();
        Self { sessions, begun, healthy: start.elapsed(), failures: failures.iter().sum() }
    }

    /// Looks at it for so long, window by window, while the server counts the requests: the fewest that held a token.
    async fn watch(&self, time: Duration) -> usize {
        let (begin, mut windows, mut fewest) = (Instant::now(), tokio::time::interval(WINDOW), usize::MAX);
        while begin.elapsed() < time {
            windows.tick().await;
            fewest = fewest.min(self.healthy().await);
        }
        fewest
    }

    /// How many hold a token.
    async fn healthy(&self) -> usize {
        let mut healthy = 0;
        for session in &self.sessions {
            healthy += usize::from(session.log_in().await.is_ok_and(|login| login.hold().is_some()));
        }
        healthy
    }

    /// Ends them together. Says how long that took, and how many tokens a busy machine did not give back in time.
    async fn close(self) -> (Duration, usize) {
        let start = Instant::now();
        let mut closing = JoinSet::new();
        for session in self.sessions {
            closing.spawn(session.close(Duration::from_secs(30)));
        }
        let owed = closing.join_all().await.iter().map(Vec::len).sum();
        (start.elapsed(), owed)
    }
}

/// The highest rate of the windows from `from` to `to`, in a second.
fn peak(requests: &[(Duration, String)], from: Duration, to: Duration) -> f64 {
    let windows = (to - from).as_secs() / WINDOW.as_secs();
    let count = |number: u64| {
        let begin = from + WINDOW * u32::try_from(number).unwrap();
        requests.iter().filter(|(at, _)| (begin..begin + WINDOW).contains(at)).count()
    };
    (0..windows).map(count).max().unwrap_or(0) as f64 / WINDOW.as_secs_f64()
}

fn mean(requests: &[(Duration, String)], from: Duration, to: Duration) -> f64 {
    requests.iter().filter(|(at, _)| (from..to).contains(at)).count() as f64 / (to - from).as_secs_f64()
}

fn of(requests: &[(Duration, String)], part: &str) -> usize {
    requests.iter().filter(|(_, path)| path.contains(part)).count()
}

#[tokio::test(flavor = "current_thread")]
async fn long_row_34_a_thousand_engines_restarted_together_are_no_herd() {
    const ENGINES: usize = 1000;
    let second = Duration::from_secs(1);
    let (life, spread) = (40 * second, 48 * second);
    let field = Field::new(life);

    // The steady rate, once the first start has been forgotten.
    let first = Fleet::start(&field, ENGINES, spread).await;
    let settled = first.healthy + life;
    first.watch(life + 60 * second).await;
    let steady = mean(&field.requests(first.begun).await, settled, settled + 60 * second);
    let (stopped, owed) = first.close().await;

    let fleet = Fleet::start(&field, ENGINES, spread).await;
    let fewest = fleet.watch(2 * life).await;
    let requests = field.requests(fleet.begun).await;
    let peak = peak(&requests, Duration::ZERO, fleet.healthy + 2 * life);
    let logins = of(&requests, "login");
    assert!(fleet.healthy < 60 * second, "{:?}", fleet.healthy);
    assert_eq!(fleet.healthy().await, ENGINES);
    assert!(
        (ENGINES..=ENGINES + fleet.failures).contains(&logins),
        "{logins} logins, {} failed",
        fleet.failures
    );
    assert!(peak <= PEAK * steady, "{peak} in a second, {steady} as a rule");
    record(
        "34",
        &format!(
            "{ENGINES} engines, tokens of {} s, a spread of {} s: as a rule {steady:.1} requests/s; restarted together at \
             most {peak:.1}/s in 5 s, {:.2} of that; all healthy after {:.1} s, and at least {fewest} of them from then on; before, all but {owed} had given their \
             tokens back in {:.1} s",
            life.as_secs(),
            spread.as_secs(),
            peak / steady,
            fleet.healthy.as_secs_f64(),
            stopped.as_secs_f64(),
        ),
    );
    fleet.close().await;
}

#[tokio::test(flavor = "current_thread")]
async fn long_row_34_a_server_that_is_back_meets_no_storm_of_a_thousand_engines() {
    const ENGINES: usize = 1000;
    let second = Duration::from_secs(1);
    let (life, outage) = (40 * second, 10 * second);
    let field = Field::new(life);
    let fleet = Fleet::start(&field, ENGINES, life).await;
    fleet.watch(life).await;
    field.aside(Server::seal).await;
    let fewest = fleet.watch(outage).await;
    field.aside(Server::unseal).await;
    let back = Timestamp::now();
    fleet.watch(4 * WINDOW).await;
    let requests = field.requests(back).await;
    let made_up = mean(&requests, Duration::ZERO, 2 * WINDOW);
    // What fell due meanwhile is made up for, each once, beside what falls due anyhow.
    let steady = ENGINES as f64 / (0.625 * life.as_secs_f64());
    let due = steady * (outage + 2 * WINDOW).as_secs_f64() / (2 * WINDOW).as_secs_f64();
    assert!(made_up <= PEAK * due, "{made_up} in a second, {due} were missed or due");
    assert_eq!(fleet.healthy().await, ENGINES);
    record(
        "34b",
        &format!(
            "{ENGINES} engines, the server sealed for {} s and back: {made_up:.1} requests/s in the first 10 s, where \
             {due:.1} had been missed or were due; at most {:.1}/s in 5 s; at least {fewest} held a token in the outage, {} had to log \
             in again; all healthy",
            outage.as_secs(),
            peak(&requests, Duration::ZERO, 4 * WINDOW),
            of(&requests, "login"),
        ),
    );
    fleet.close().await;
}

#[tokio::test(flavor = "current_thread")]
async fn row_34_engines_that_are_started_together_spread_their_logins() {
    const ENGINES: usize = 50;
    let (life, spread) = (Duration::from_secs(60), Duration::from_secs(3));
    let field = Field::new(life);
    let fleet = Fleet::start(&field, ENGINES, spread).await;
    let requests = field.requests(fleet.begun).await;
    assert!(fleet.healthy > spread / 2 && fleet.healthy < spread + Duration::from_secs(5));
    assert_eq!((of(&requests, "login"), requests.len()), (ENGINES, ENGINES), "no renewal at the start");
    let halves = [Duration::ZERO, spread / 2].map(|from| {
        let within = from..from + spread / 2;
        requests.iter().filter(|(at, _)| within.contains(at)).count()
    });
    assert!(halves.iter().all(|count| (8..=42).contains(count)), "{halves:?}");
    assert_eq!(fleet.close().await.1, 0);
}

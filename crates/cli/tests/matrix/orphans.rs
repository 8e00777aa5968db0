//! Rows 7 and 27: what lives on after a lost answer, and after `kill -9` with a next start and without one.
//!
//! A run is killed at the entry of a system call, which strace does without any help of the program, or at a random time.
//! One thing no client can name: the token of a login that was killed before its answer was read. It lives as long as the
//! login's role says, so it is counted apart where the role says 10 minutes, and not at all where it says as much as
//! the parent lives.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use leasehold_testkit::{Fault, Postgres, Proxy, random_hex, record, wait_for};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::stage::{Home, PASSWORD, Stage, soon};

const USER: &str = "U=vault://database/creds/app#username";
/// The system calls by which a run keeps its journal and talks to the server.
const CALLS: [&str; 7] = ["flock", "fallocate", "write", "fdatasync", "sendto", "recvfrom", "unlink"];
/// How many runs are under way at once.
const ABREAST: usize = 8;
/// What the server takes to end a token on time, and what hangs below it.
const SLACK: Duration = Duration::from_secs(2);

/// How a run comes to its end.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// At the entry of the nth such call.
    At(&'static str, usize),
    /// After this time.
    After(Duration),
    /// Once its command runs.
    Established,
}

/// A server with a database engine, and the lives of the tokens there.
struct Field {
    stage: Stage,
    parent_ttl: &'static str,
}

/// What came of many blows.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    kills: usize,
    /// Logins that were killed before their answer was written down.
    nameless: usize,
    /// Leases that no token is over: the server broke off in the middle of making them, with the connection.
    severed: usize,
    longest: Duration,
}

impl Field {
    fn new(postgres: &Postgres, token_ttl: &str, parent_ttl: &'static str) -> Self {
        let stage = Stage::with_login(json!({ "token_ttl": token_ttl }));
        stage.server.database(postgres, "app", "1h", "2h");
        // What the server does by itself to end a login of the database, two cannot do at once.
        let role = json!({
            "db_name": "postgres",
            "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'",
            "revocation_statements": "DROP ROLE IF EXISTS \"{{name}}\"",
            "default_ttl": "1h",
        });
        assert_eq!(stage.server.api("POST", "database/roles/app", Some(role)).0, 204);
        Self { stage, parent_ttl }
    }

    /// Every call that a whole run makes, each with its number.
    fn steps(&self) -> Vec<Blow> {
        let home = self.stage.home();
        let log = home.path("calls");
        let trace = [
            "strace",
            "-qq",
            "-e",
            "signal=none",
            "-o",
            log.to_str().unwrap(),
            "-e",
            &format!("trace={}", CALLS.join(",")),
        ];
        let words = [&trace[..], &self.words(true, "true")].concat();
        assert_eq!(home.start(&mut home.command(&words)).wait(), 0);
        let mut counts = BTreeMap::new();
        for line in home.read("calls").lines() {
            let call = CALLS.iter().find(|call| line.starts_with(&format!("{call}(")));
            *counts.entry(*call.unwrap_or_else(|| panic!("{line}"))).or_insert(0) += 1;
        }
        assert!(counts["fdatasync"] == 3 && counts["unlink"] == 1, "{counts:?}");
        counts.iter().flat_map(|(call, count)| (1..=*count).map(|n| Blow::At(call, n))).collect()
    }

    fn words<'a>(&self, has_lease: bool, script: &'a str) -> Vec<&'a str> {
        let mut words = vec![env!("CARGO_BIN_EXE_leasehold"), "run", "--parent-ttl", self.parent_ttl];
        words.extend(["--env", PASSWORD]);
        if has_lease {
            words.extend(["--env", USER]);
        }
        words.extend(["--", "sh", "-c", script]);
        words
    }

    /// Starts a run and kills it; its home if it died of that.
    fn kill(&self, blow: Blow, has_lease: bool) -> Option<Home> {
        let home = self.stage.home();
        let run = |tool: &[&str], script: &str| {
            home.start(&mut home.command(&[tool, &self.words(has_lease, script)].concat()))
        };
        let long = "touch started; exec sleep 20";
        let code = match blow {
            Blow::At(call, n) => {
                let (trace, inject) =
                    (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
                run(&["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject], "true").wait()
            }
            Blow::After(time) => {
                run(&["timeout", "--signal=KILL", &time.as_secs_f64().to_string()], long).wait()
            }
            Blow::Established => {
                let mut run = run(&[], long);
                home.wait_for("started", "");
                run.signal(Signal::SIGKILL);
                run.wait()
            }
        };
        // `timeout` tells in its own way what its command died of.
        [-9, 137].contains(&code).then_some(home)
    }

    /// Deals the blows; the homes of those that died of it. A quarter of the runs, at random times, has no lease.
    fn deal(&self, blows: &[Blow]) -> Vec<Home> {
        let turns = blows.iter().enumerate().collect::<Vec<_>>();
        abreast(&turns, |(n, blow)| self.kill(**blow, n % 4 != 1)).into_iter().flatten().collect()
    }

    /// Accessors of all tokens but the administrator's, each with whether it was made by a login.
    fn tokens(&self) -> Vec<(String, bool)> {
        let token = |accessor: String| {
            let (status, reply) = self.stage.server.api(
                "POST",
                "auth/token/lookup-accessor",
                Some(json!({"accessor": accessor})),
            );
            let (token, is_live) = (&reply["data"], status == 200);
            (is_live && token["policies"] != json!(["root"]))
                .then(|| (accessor, token["path"] == "auth/approle/login"))
        };
        self.stage.server.accessors().into_iter().filter_map(token).collect()
    }

    fn revoke_all(&self) {
        for (accessor, _) in self.tokens() {
            self.stage.server.api(
                "POST",
                "auth/token/revoke-accessor",
                Some(json!({ "accessor": accessor })),
            );
        }
    }

    fn leases(&self) -> Vec<String> {
        self.stage.server.leases("database/creds/app")
    }

    /// Kills runs, starts each again, and waits until all that the dead ones held is dead.
    fn with_next_start(&self, blows: &[Blow], tally: &mut Tally) {
        let homes = self.deal(blows);
        let named = named(&homes);
        let silent = homes.iter().filter(|home| home.journal().ever.is_empty()).count();
        let begin = Instant::now();
        abreast(&homes, |home| {
            let words = [env!("CARGO_BIN_EXE_leasehold"), "get", "vault://secret/db#password"];
            // One that has waited half a second leaves the rest to the one after it.
            let is_done = |_| {
                assert_eq!(home.start(&mut home.command(&words)).wait(), 0);
                home.journal().held().is_empty()
            };
            assert!((0..3).any(is_done), "{:?}", home.journal().held());
        });
        let is_orphan = |(accessor, of_login): &(String, bool)| !of_login || named.contains(accessor);
        self.wait_for_end(&named, Duration::from_secs(10), || !self.tokens().iter().any(is_orphan));
        tally.count(&homes, begin);
        tally.nameless += self.tokens().len();
        assert!(self.tokens().len() <= silent, "{:?} of {silent}", self.tokens());
        self.sweep(tally);
    }

    /// Kills runs and waits until all that they held is dead, though nobody comes back for it.
    fn without_next_start(&self, blows: &[Blow], tally: &mut Tally) {
        let homes = self.deal(blows);
        let begin = Instant::now();
        self.wait_for_end(&named(&homes), Duration::from_secs(80), || self.tokens().is_empty());
        tally.count(&homes, begin);
        self.sweep(tally);
    }

    fn wait_for_end(&self, named: &[String], limit: Duration, tokens_are_dead: impl Fn() -> bool) {
        let leases_are_dead = || !self.leases().iter().any(|lease| named.contains(lease));
        wait_for(limit, || (leases_are_dead() && tokens_are_dead()).then_some(()))
            .unwrap_or_else(|| panic!("alive: {:?} {:?}", self.tokens(), self.leases()));
    }

    /// Counts what the server made after the connection of a killed run was gone, and clears up for the next.
    fn sweep(&self, tally: &mut Tally) {
        self.revoke_all();
        if wait_for(SLACK, || self.leases().is_empty().then_some(())).is_none() {
            tally.severed += self.leases().len();
            for lease in self.leases() {
                self.stage.server.api(
                    "POST",
                    "sys/leases/revoke",
                    Some(json!({ "lease_id": lease, "sync": true })),
                );
            }
        }
    }
}

impl Tally {
    fn count(&mut self, homes: &[Home], begin: Instant) {
        self.longest = self.longest.max(begin.elapsed());
        self.kills += homes.len();
    }
}

/// All that the dead runs of these homes had written down.
fn named(homes: &[Home]) -> Vec<String> {
    homes.iter().flat_map(|home| home.journal().ever).collect()
}

/// Does this to all of them, some at a time.
fn abreast<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (queue, done) = (Mutex::new(items.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                loop {
                    let Some(item) = queue.lock().unwrap().next() else { return };
                    let result = work(item);
                    done.lock().unwrap().push(result);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// A time within which a run gets from its start to its command, and somewhat beyond.
fn random() -> Blow {
    let number = u32::from_str_radix(&random_hex()[..4], 16).unwrap();
    Blow::After(Duration::from_millis(u64::from(number % 400 + 1)))
}

/// So many blows: these steps in turn, and a random time after each.
fn mixed(steps: &[Blow], count: usize) -> Vec<Blow> {
    let pairs = steps.iter().cycle().flat_map(|step| [*step, random()]);
    pairs.take(count).collect()
}

#[test]
fn row_07_only_what_is_harmless_twice_is_asked_again() {
    let postgres = Postgres::start();
    let field = Field::new(&postgres, "10m", "60s");
    let proxy = Proxy::start(field.stage.server.address());
    let home = field.stage.home_at(&proxy.address());
    // A request whose answer is lost, how often it is then made in all, how the run ends, and how many tokens nobody can
    // give back.
    let check = |request: &str, times: usize, code: i32, lost: usize| {
        for fault in [Fault::Cut(0), Fault::Cut(60)] {
            let before = proxy.requests(request).len();
            proxy.set_for(request, fault, 1);
            let mut run = home.start(&mut home.command(&field.words(true, "true")));
            assert_eq!(run.wait(), code, "{request}: {}", run.said());
            assert_eq!(proxy.requests(request).len() - before, times, "{request}: {}", run.said());
            let told = run.said().matches("the answer to a login was lost").count();
            assert_eq!((field.tokens().len(), told), (lost, lost), "{request}: {}", run.said());
            soon("the end of all leases", || (field.leases().is_empty()).then_some(()));
            field.revoke_all();
        }
    };
    check("POST /v1/auth/approle/login", 1, 125, 1);
    check("POST /v1/auth/token/create", 1, 0, 0);
    check("GET /v1/database/creds/app", 1, 125, 0);
    check("GET /v1/secret/data/db", 2, 0, 0);
    check("POST /v1/auth/token/renew-self", 2, 0, 0);
    check("POST /v1/auth/token/revoke-self", 2, 0, 0);
    record(
        "07",
        "answer lost to a login, a new token, a new lease: asked for once, 0 tokens and 0 leases left but the login's one, \
         which a warning tells; to a reading, renewal, revocation: asked for again, the run goes on",
    );
}

#[test]
fn row_27_what_a_killed_run_held_is_dead_soon() {
    let postgres = Postgres::start();
    let (long, short) = (Field::new(&postgres, "10m", "60s"), Field::new(&postgres, "10s", "10s"));
    let steps = long.steps();
    let spread: Vec<_> = steps.iter().step_by(steps.len().div_ceil(8)).copied().collect();
    let (mut with, mut without) = (Tally::default(), Tally::default());
    std::thread::scope(|scope| {
        scope.spawn(|| long.with_next_start(&mixed(&spread, 12), &mut with));
        scope.spawn(|| short.without_next_start(&mixed(&spread, 12), &mut without));
    });
    assert!(with.kills >= 8 && without.kills >= 8, "{with:?} {without:?}");
    assert!(with.longest < Duration::from_secs(5), "{with:?}");
    assert!(without.longest < Duration::from_secs(10) + SLACK, "{without:?}");
}

#[test]
fn long_row_27_five_hundred_kills() {
    let postgres = Postgres::start();
    let field = |token_ttl, parent_ttl| Field::new(&postgres, token_ttl, parent_ttl);
    let (next, brief, minute, shortened) =
        (field("10m", "60s"), field("10s", "10s"), field("60s", "60s"), field("10m", "10s"));
    let steps = next.steps();
    let blows = mixed(&steps, 520);
    let (after, rest) = blows.split_at(260);
    let (mut with, mut without) = (Tally::default(), [Tally::default(); 3]);
    let [of_brief, of_minute, of_shortened] = &mut without;
    std::thread::scope(|scope| {
        scope.spawn(|| after.chunks(25).for_each(|some| next.with_next_start(some, &mut with)));
        scope.spawn(|| minute.without_next_start(&rest[..50], of_minute));
        scope.spawn(|| {
            rest[50..].chunks(50).for_each(|some| brief.without_next_start(some, of_brief));
            // Once it runs its login is as short as its parent, whatever the role says.
            shortened.without_next_start(&[Blow::Established; 50], of_shortened);
        });
    });
    let kills = with.kills + without.iter().map(|tally| tally.kills).sum::<usize>();
    assert!(kills >= 500, "{with:?} {without:?}");
    assert!(with.longest < Duration::from_secs(5), "{with:?}");
    for (tally, ttl) in without.iter().zip([10, 60, 10]) {
        assert!(tally.longest < Duration::from_secs(ttl) + SLACK, "{tally:?}");
    }
    let seconds = |tally: &Tally| tally.longest.as_secs_f64();
    let [of_brief, of_minute, of_shortened] = &without;
    record(
        "27",
        &format!(
            "{kills} runs killed with SIGKILL, half of them at {} system calls in turn, half at random: 0 tokens and 0 \
             leases of the journal alive {:.1} s after the next start ({} kills); with no next start, 0 alive \
             {:.1} s later where all lives 10 s ({} kills), {:.1} s where 60 s ({} kills)",
            steps.len(),
            seconds(&with),
            with.kills,
            seconds(of_brief).max(seconds(of_shortened)),
            of_brief.kills + of_shortened.kills,
            seconds(of_minute),
            of_minute.kills,
        ),
    );
    let severed = with.severed + without.iter().map(|tally| tally.severed).sum::<usize>();
    assert!(severed <= kills / 100, "{severed}");
    record(
        "orphans",
        &format!(
            "beyond any client's reach: {} of {} runs were killed while their login was under way and left a token that \
             nobody could name, which lives for the token_ttl of the login's role; {severed} of {kills} left a lease \
             that the server made without its token when the connection broke",
            with.nameless, with.kills
        ),
    );
}

//! Whether agents show by their `/health` that they have the token that was just written.

use std::time::Duration;

use leasehold_core::name::Address;
use leasehold_core::{Failure, Moment, Secret};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::place::invalid;
use crate::clock::Clock;
use crate::transport::{Question, Tls, Transport, TransportSettings};

/// How long one agent may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// The largest answer.
const LARGEST: usize = 64 << 10;

/// Who is to show a new token, and how long that is waited for.
#[derive(Clone, Debug)]
pub struct RotationPlan {
    /// The addresses of the agents' `/health`, such as `http://10.0.0.7:5000/health`; without a path `/health` is meant.
    pub agents: Vec<String>,
    /// How many of them are waited for: all.
    pub enough: usize,
    /// How long: 90 s, which is an interval and a while.
    pub deadline: Duration,
    /// How long an agent takes from one reading to the end of the next at most: 80 s. One whose token came while the new
    /// one was being written has read again after that.
    pub interval: Duration,
    /// For how long the token before is good with the agents: 120 s. Until that is over there is no other rotation, which
    /// would end it; zero for a token that has leaked.
    pub overlap: Duration,
    /// Whether the token is written although too few of the agents show before that they read it from Vault. For one that
    /// has leaked, and for the first.
    pub even_if_unseen: bool,
    /// How TLS is done with them.
    pub tls: Tls,
}

impl RotationPlan {
    /// All of these within 90 s.
    pub fn new(agents: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let agents: Vec<String> = agents.into_iter().map(Into::into).collect();
        let [deadline, interval, overlap] = [90, 80, 120].map(Duration::from_secs);
        let (enough, tls) = (agents.len(), Tls::default());
        Self { agents, enough, deadline, interval, overlap, even_if_unseen: false, tls }
    }
}

/// What came of a rotation.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The token that is there now.
    pub token: Secret,
    /// Its version; none in version 1 of the engine.
    pub version: Option<u64>,
    /// The agents that have it.
    pub shown: Vec<String>,
    /// Those that have not shown it yet, and why not.
    pub missing: Vec<(String, String)>,
}

/// One agent, and what it said last.
pub(super) struct Watched {
    name: String,
    path: String,
    transport: Transport,
    /// How many seconds ago it got the token that it has from Vault, or why that is not known.
    age: Result<u64, String>,
    /// When it was asked.
    asked: Moment,
    /// When it had answered.
    answered: Moment,
}

/// When a token was being written, and how soon agents read it.
#[derive(Clone, Copy)]
pub(super) struct Writing {
    pub(super) begun: Moment,
    pub(super) done: Moment,
    pub(super) interval: Duration,
}

impl Watched {
    /// The plan's agents, if it can be followed at all.
    pub(super) fn new(plan: &RotationPlan) -> Result<Vec<Self>, Failure> {
        if plan.enough > plan.agents.len() {
            let (enough, agents) = (plan.enough, plan.agents.len());
            return Err(invalid(format!("{enough} agents cannot show the token: {agents} are named")));
        }
        plan.agents.iter().map(|agent| Self::parse(agent, &plan.tls)).collect()
    }

    fn parse(agent: &str, tls: &Tls) -> Result<Self, Failure> {
        let host = agent.find("://").map_or(0, |at| at + 3);
        let end = agent[host..].find('/').map_or(agent.len(), |at| host + at);
        // What stands there may hold a password.
        let fault = |fault| invalid(format!("the address of an agent: {fault}"));
        let address = Address::parse(&agent[..end]).map_err(fault)?;
        let transport = Transport::new(&TransportSettings {
            tls: tls.clone(),
            try_timeout: ANSWER,
            body_limit: LARGEST,
            ..TransportSettings::new(vec![address])
        })?;
        let path = if agent[end..].len() > 1 { &agent[end..] } else { "/health" };
        let (name, path, age) = (agent.to_owned(), path.to_owned(), Err("it was not asked".to_owned()));
        let [asked, answered] = [Moment::default(); 2];
        Ok(Self { name, path, transport, age, asked, answered })
    }

    async fn look(mut self) -> Self {
        let (clock, question) = (Clock::default(), Question { path: &self.path, headers: &[], key: None });
        self.asked = clock.now();
        self.age = match self.transport.fetch(&question).await {
            Ok(page) => age(page.status, &page.body),
            Err(failure) => Err(failure.to_string()),
        };
        self.answered = clock.now();
        self
    }

    /// Why it did not show that it has what was written; none if it did. Ages are whole seconds, rounded down, and of some
    /// moment between question and answer.
    fn missing(&self, writing: Writing) -> Option<String> {
        let age = match &self.age {
            Ok(age) => *age,
            Err(why) => return Some(why.clone()),
        };
        let since = self.asked - writing.done;
        let (is_younger, has_read_again) = (age < since.as_secs(), since >= writing.interval);
        match age > (self.answered - writing.begun).as_secs() {
            true => Some(format!("its token is {age} s old")),
            false if is_younger || has_read_again => None,
            false => Some("its token came while the new one was being written".into()),
        }
    }
}

/// Asks all of them at once.
async fn look(agents: impl IntoIterator<Item = Watched>) -> Vec<Watched> {
    agents.into_iter().map(Watched::look).collect::<JoinSet<_>>().join_all().await
}

/// Asks once, before anything is written, whether enough of them read the token from Vault: those who do not would refuse
/// whoever has the new one.
pub(super) async fn sight(agents: Vec<Watched>, plan: &RotationPlan) -> Result<Vec<Watched>, Failure> {
    if plan.even_if_unseen || plan.enough == 0 {
        return Ok(agents);
    }
    let agents = look(agents).await;
    let blind: Vec<_> =
        agents.iter().filter_map(|agent| Some((&agent.name, agent.age.as_ref().err()?))).collect();
    if agents.len() - blind.len() >= plan.enough {
        return Ok(agents);
    }
    let why: Vec<_> = blind.iter().map(|(agent, why)| format!("{agent}: {why}")).collect();
    let message = format!("nothing was written, since too few agents read the token: {}", why.join("; "));
    Err(invalid(message).hint("mend them, or rotate even if it is unseen, if it has leaked or is the first"))
}

/// Asks all who have not shown it at each full second, until enough have, or the time is over: who has, and who has not.
pub(super) async fn wait(
    agents: Vec<Watched>,
    plan: &RotationPlan,
    writing: Writing,
) -> (Vec<String>, Vec<(String, String)>) {
    let since = || Clock::default().now() - writing.done;
    let (mut shown, mut missing) = (Vec::new(), agents);
    while shown.len() < plan.enough && since() < plan.deadline {
        let next = Duration::from_secs(since().as_secs() + 1).min(plan.deadline);
        tokio::time::sleep(next.saturating_sub(since())).await;
        let looked = look(missing).await;
        let (more, rest): (Vec<_>, Vec<_>) =
            looked.into_iter().partition(|agent| agent.missing(writing).is_none());
        shown.extend(more.into_iter().map(|agent| agent.name));
        missing = rest;
    }
    let why = |agent: Watched| (agent.missing(writing).unwrap_or_default(), agent.name);
    (shown, missing.into_iter().map(why).map(|(why, name)| (name, why)).collect())
}

/// What of a `/health` matters here.
#[derive(Deserialize)]
struct Body {
    token_age_seconds: Option<u64>,
    last_refresh_ok: Option<bool>,
}

/// How many seconds ago the agent got the token that it has from Vault, or why its answer does not tell.
fn age(status: u16, body: &[u8]) -> Result<u64, String> {
    if status != 200 {
        return Err(format!("it answered {status}"));
    }
    let Ok(Body { token_age_seconds, last_refresh_ok }) = serde_json::from_slice(body) else {
        return Err("its answer is no health of an agent".into());
    };
    match last_refresh_ok {
        None => Err("it does not ask Vault".into()),
        Some(false) => Err("its last refresh failed".into()),
        Some(true) => token_age_seconds.ok_or_else(|| "it has no token".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_of_vault_has_an_age() {
        let check = |status, body: &str, expect: Result<u64, &str>| {
            let got = age(status, body.as_bytes());
            assert_eq!(got.as_ref().map(|age| *age).map_err(String::as_str), expect, "{body}");
        };
        let body = |age: &str, ok: &str| {
            format!(r#"{{"status":"ok","token_age_seconds":{age},"last_refresh_ok":{ok},"more":[]}}"#)
        };
        check(200, &body("0", "true"), Ok(0));
        check(200, &body("6", "true"), Ok(6));
        check(200, &body("0", "false"), Err("its last refresh failed"));
        check(200, &body("0", "null"), Err("it does not ask Vault"));
        check(200, &body("null", "true"), Err("it has no token"));
        check(503, &body("0", "true"), Err("it answered 503"));
        check(200, "{}", Err("it does not ask Vault"));
        check(200, r#"{"token_age_seconds":-1}"#, Err("its answer is no health of an agent"));
        check(200, "<html>", Err("its answer is no health of an agent"));
    }

    #[test]
    fn only_a_token_that_came_since_counts() {
        let interval = Duration::from_secs(80);
        let check = |age, [begun, done]: [u64; 2], expect: Option<&str>| {
            let mut agent = Watched::new(&RotationPlan::new(["http://agent"])).unwrap().remove(0);
            let now = Moment::default() + Duration::from_secs(1000);
            let ago = |millis| now - Duration::from_millis(millis);
            (agent.age, agent.asked, agent.answered) = (Ok(age), now, now);
            let writing = Writing { begun: ago(begun), done: ago(done), interval };
            assert_eq!(agent.missing(writing).as_deref(), expect, "{age}, written {begun} to {done} ms ago");
        };
        let doubtful = Some("its token came while the new one was being written");
        check(0, [1_005, 1_000], None);
        check(1, [1_005, 1_000], doubtful);
        check(2, [1_005, 1_000], Some("its token is 2 s old"));
        // A write of three seconds.
        check(4, [8_000, 5_000], None);
        check(5, [8_000, 5_000], doubtful);
        check(8, [8_000, 5_000], doubtful);
        check(9, [8_000, 5_000], Some("its token is 9 s old"));
        // They would have read another one meanwhile.
        check(82, [83_000, 79_999], doubtful);
        check(82, [83_000, 80_000], None);
        check(84, [83_000, 80_000], Some("its token is 84 s old"));
    }

    #[test]
    fn addresses_of_agents() {
        let check = |agent: &str, expect: Result<&str, &str>| {
            let plan = RotationPlan::new([agent]);
            let got = Watched::new(&plan).map(|agents| agents[0].path.clone());
            assert_eq!(got.as_deref().map_err(Failure::message), expect, "{agent}");
        };
        check("http://agent:5000/health", Ok("/health"));
        check("http://agent:5000", Ok("/health"));
        check("http://agent:5000/", Ok("/health"));
        check("http://agent/api/v1/health?a=b", Ok("/api/v1/health?a=b"));
        let fault = "the address of an agent: an address begins with https://, http:// or unix://";
        check("agent/health", Err(fault));
        let mut plan = RotationPlan::new(["http://agent"]);
        plan.enough = 2;
        let failure = Watched::new(&plan).err().unwrap();
        assert_eq!(failure.message(), "2 agents cannot show the token: 1 are named");
    }
}

//! Whether agents show by their `/health` that they have the token that was just written.

use std::time::Duration;

use leasehold_core::name::Address;
use leasehold_core::{Failure, Moment, Secret};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::place::invalid;
use crate::clock::Clock;
use crate::transport::{Question, Tls, Transport, TransportSettings};

/// When in each second agents are asked. Ages are whole seconds, rounded down: just before a second is over, the age of a
/// token that came before the write does not pass for one that came after it.
const PHASE: Duration = Duration::from_millis(900);
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
    /// How TLS is done with them.
    pub tls: Tls,
}

impl RotationPlan {
    /// All of these within 90 s.
    pub fn new(agents: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let agents: Vec<String> = agents.into_iter().map(Into::into).collect();
        Self { enough: agents.len(), agents, deadline: Duration::from_secs(90), tls: Tls::default() }
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
    /// When it said so.
    at: Moment,
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
        let fault = |fault| invalid(format!("`{agent}` is no address of an agent: {fault}"));
        let address = Address::parse(&agent[..end]).map_err(fault)?;
        let transport = Transport::new(&TransportSettings {
            tls: tls.clone(),
            try_timeout: ANSWER,
            body_limit: LARGEST,
            ..TransportSettings::new(vec![address])
        })?;
        let path = if agent[end..].len() > 1 { &agent[end..] } else { "/health" };
        let (name, path, age) = (agent.to_owned(), path.to_owned(), Err("it was not asked".to_owned()));
        Ok(Self { name, path, transport, age, at: Moment::default() })
    }

    async fn look(mut self) -> Self {
        let question = Question { path: &self.path, headers: &[], key: None };
        self.age = match self.transport.fetch(&question).await {
            Ok(page) => age(page.status, &page.body),
            Err(failure) => Err(failure.to_string()),
        };
        self.at = Clock::default().now();
        self
    }

    /// Why it did not show that its token came after that moment; none if it did.
    fn missing(&self, begun: Moment) -> Option<String> {
        match &self.age {
            Ok(age) if *age > (self.at - begun).as_secs() => Some(format!("its token is {age} s old")),
            Ok(_) => None,
            Err(why) => Some(why.clone()),
        }
    }
}

/// Asks all of them at once.
async fn look(agents: impl IntoIterator<Item = Watched>) -> Vec<Watched> {
    agents.into_iter().map(Watched::look).collect::<JoinSet<_>>().join_all().await
}

/// Waits, for at most so long, until no agent's token is younger than a second: it could not be told from one that comes
/// next.
pub(super) async fn settle(mut agents: Vec<Watched>, limit: Duration) -> Vec<Watched> {
    let (clock, begun) = (Clock::default(), Clock::default().now());
    loop {
        agents = look(agents).await;
        if !agents.iter().any(|agent| agent.age == Ok(0)) || clock.now() - begun >= limit {
            return agents;
        }
        tokio::time::sleep(PHASE).await;
    }
}

/// Asks all who have not shown it once a second, until enough have, or the time is over: who has, and who has not.
pub(super) async fn wait(
    agents: Vec<Watched>,
    plan: &RotationPlan,
    begun: Moment,
) -> (Vec<String>, Vec<(String, String)>) {
    let (clock, written) = (Clock::default(), Clock::default().now());
    let (mut shown, mut missing) = (Vec::new(), agents);
    while shown.len() < plan.enough && clock.now() - written < plan.deadline {
        let left = plan.deadline.saturating_sub(clock.now() - written);
        tokio::time::sleep(until_phase(clock.now() - begun).min(left)).await;
        let looked = look(missing).await;
        let (more, rest): (Vec<_>, Vec<_>) =
            looked.into_iter().partition(|agent| agent.missing(begun).is_none());
        shown.extend(more.into_iter().map(|agent| agent.name));
        missing = rest;
    }
    let why = |agent: Watched| (agent.missing(begun).unwrap_or_default(), agent.name);
    (shown, missing.into_iter().map(why).map(|(why, name)| (name, why)).collect())
}

/// How long to the next point at which agents are asked.
fn until_phase(since: Duration) -> Duration {
    let part = Duration::from_nanos(u64::from(since.subsec_nanos()));
    if part < PHASE { PHASE - part } else { PHASE + Duration::from_secs(1) - part }
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
        let begun = Moment::default() + Duration::from_secs(100);
        let check = |age, after: u64, expect: Option<&str>| {
            let mut agent = Watched::new(&RotationPlan::new(["http://agent"])).unwrap().remove(0);
            (agent.age, agent.at) = (Ok(age), begun + Duration::from_millis(after));
            assert_eq!(agent.missing(begun).as_deref(), expect, "{age} after {after} ms");
        };
        check(0, 900, None);
        check(1, 900, Some("its token is 1 s old"));
        check(5, 5_900, None);
        check(6, 5_900, Some("its token is 6 s old"));
    }

    #[test]
    fn agents_are_asked_shortly_before_a_second_is_over() {
        let check = |since: u64, expect: u64| {
            assert_eq!(until_phase(Duration::from_millis(since)), Duration::from_millis(expect), "{since}");
        };
        check(0, 900);
        check(899, 1);
        check(900, 1000);
        check(5_950, 950);
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
        let fault =
            "`agent/health` is no address of an agent: an address begins with https://, http:// or unix://";
        check("agent/health", Err(fault));
        let mut plan = RotationPlan::new(["http://agent"]);
        plan.enough = 2;
        let failure = Watched::new(&plan).err().unwrap();
        assert_eq!(failure.message(), "2 agents cannot show the token: 1 are named");
    }
}

//! What a test does as root, at one server or at the leader of a cluster.

mod layout;
mod state;

pub use layout::AppRole;

use crate::deadline;
use crate::witness::{Question, Witness};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a cluster may take to find a leader.
const ELECTION: Duration = Duration::from_secs(30);

/// Root at a [`Server`](crate::Server) or a [`Cluster`](crate::Cluster), which are used as one.
///
/// Things are laid out with [`put_secret`](Self::put_secret) and the like, looked at with
/// [`accessors`](Self::accessors) and the like, and anything else goes through [`api`](Self::api). Of a cluster the
/// leader is asked; without one, all of them wait for it. Every call panics when there is no answer.
pub struct Administrator {
    witnesses: Vec<Witness>,
    token: String,
}

impl Administrator {
    /// One with this token at the nodes that the witnesses look at.
    pub(crate) fn new(witnesses: Vec<Witness>, token: String) -> Self {
        Self { witnesses, token }
    }

    /// The root token.
    pub fn root_token(&self) -> &str {
        &self.token
    }

    /// Asks as root: status and body. `path` is below `/v1/`.
    pub fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.api_as(&self.token, method, path, body, None)
    }

    /// Asks with any token, in any namespace: status and body.
    pub fn api_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
        namespace: Option<&str>,
    ) -> (u16, Value) {
        let question = Question { token, method, path, body, namespace };
        let answer = self.witnesses[self.leader()].ask(question);
        answer.unwrap_or_else(|error| panic!("{method} {path} got no answer from the test server: {error}"))
    }

    /// Limits the requests to a path, such as `auth/token/revoke-self`, to `rate` in `interval` seconds; with
    /// `is_told` a refusal says in `Retry-After` when to come back.
    pub fn limit(&self, path: &str, rate: u32, interval: u32, is_told: bool) {
        let told = json!({ "enable_rate_limit_response_headers": is_told });
        self.expect("POST", "sys/quotas/config", Some(told));
        let quota = json!({ "path": path, "rate": rate, "interval": format!("{interval}s") });
        self.expect("POST", "sys/quotas/rate-limit/test", Some(quota));
    }

    /// Lifts what [`limit`](Self::limit) has set.
    pub fn lift_limit(&self) {
        self.expect("DELETE", "sys/quotas/rate-limit/test", None);
    }

    /// The node that leads, by its number; waits until there is one. A server that is alone is number 0.
    pub fn leader(&self) -> usize {
        if self.witnesses.len() == 1 {
            return 0;
        }
        let leader = deadline::wait_for(ELECTION, || {
            self.witnesses.iter().position(|node| node.health() == Some(200))
        });
        leader.unwrap_or_else(|| panic!("no leader after {ELECTION:?}"))
    }

    /// Whether root can use the KV engine at every node. It is there a little after the port is open.
    pub(crate) fn uses_kv(&self) -> bool {
        let question = || Question { method: "GET", path: "secret/config", ..Question::by(&self.token) };
        self.witnesses.iter().all(|node| node.ask(question()).is_ok_and(|(status, _)| status == 200))
    }

    /// Asks as root and panics unless the answer is a success; its body.
    pub(crate) fn expect(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, reply) = self.api(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {reply}");
        reply
    }
}

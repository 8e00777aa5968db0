//! What a test looks at on its server: which tokens and leases are alive.

use super::Administrator;
use crate::deadline;
use serde_json::{Value, json};

impl Administrator {
    /// The accessors of all tokens alive, the root token's among them.
    pub fn accessors(&self) -> Vec<String> {
        self.list("auth/token/accessors")
    }

    /// Whether the token of that accessor is alive. A server that cannot know it now, since it was sealed a moment ago or
    /// has just become the leader, is asked again for a while.
    pub fn is_alive(&self, accessor: &str) -> bool {
        let look = || self.api("POST", "auth/token/lookup-accessor", Some(json!({ "accessor": accessor })));
        let answer = deadline::wait_for(deadline::START, || match look() {
            (200, _) => Some(true),
            (400 | 403 | 404, _) => Some(false),
            (500.., _) => None,
            (status, reply) => panic!("lookup-accessor: {status} {reply}"),
        });
        answer.unwrap_or_else(|| panic!("the server knows of no token: {:?}", look()))
    }

    /// The leases alive below a prefix such as `database/creds/app`, by their full ids.
    pub fn leases(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.trim_end_matches('/');
        let names = self.list(&format!("sys/leases/lookup/{prefix}"));
        names.into_iter().map(|name| format!("{prefix}/{name}")).collect()
    }

    /// The names below a path; none where there is nothing.
    pub fn list(&self, path: &str) -> Vec<String> {
        let (status, reply) = self.api("LIST", path, None);
        assert!(matches!(status, 200 | 404), "LIST {path}: {status} {reply}");
        let names = reply["data"]["keys"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

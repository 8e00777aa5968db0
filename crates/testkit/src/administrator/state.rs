//! What a test looks at on its server: which tokens and leases are alive.

use super::Administrator;
use serde_json::{Value, json};

impl Administrator {
    /// The accessors of all tokens alive, the root token's among them.
    pub fn accessors(&self) -> Vec<String> {
        self.list("auth/token/accessors")
    }

    /// Whether the token of that accessor is alive.
    pub fn is_alive(&self, accessor: &str) -> bool {
        let (status, _) =
            self.api("POST", "auth/token/lookup-accessor", Some(json!({ "accessor": accessor })));
        status == 200
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

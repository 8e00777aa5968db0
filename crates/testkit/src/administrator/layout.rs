//! What a test lays out on its server: secrets, policies, roles, engines.

use super::Administrator;
use crate::postgres::Postgres;
use serde_json::{Value, json};

/// The two halves of an AppRole login.
pub struct AppRole {
    /// The public half.
    pub role_id: String,
    /// The secret half.
    pub secret_id: String,
}

impl Administrator {
    /// Writes a new version of a KV version 2 secret, such as `secret/db`; its number.
    pub fn put_secret(&self, path: &str, fields: Value) -> u64 {
        let (mount, rest) = path.split_once('/').expect("a path such as secret/db");
        let reply = self.expect("POST", &format!("{mount}/data/{rest}"), Some(json!({ "data": fields })));
        reply["data"]["version"].as_u64().expect("KV version 2 numbers its versions")
    }

    /// Enables a secrets engine at a path, unless one is there; `options` as `sys/mounts` takes them.
    pub fn engine(&self, path: &str, kind: &str, options: Value) {
        self.enable("sys/mounts", path, merge(json!({ "type": kind }), options));
    }

    /// Enables an auth method at a path, unless one is there.
    pub fn auth_method(&self, path: &str, kind: &str) {
        self.enable("sys/auth", path, json!({ "type": kind }));
    }

    /// Writes a policy in HCL.
    pub fn policy(&self, name: &str, hcl: &str) {
        self.expect("PUT", &format!("sys/policies/acl/{name}"), Some(json!({ "policy": hcl })));
    }

    /// Makes an AppRole at `auth/approle` with one secret id. `options` such as `{"token_ttl": "10s"}` are the
    /// role's.
    pub fn approle(&self, role: &str, policies: &[&str], options: Value) -> AppRole {
        self.auth_method("approle", "approle");
        let path = format!("auth/approle/role/{role}");
        self.expect("POST", &path, Some(merge(json!({ "token_policies": policies }), options)));
        let field =
            |reply: Value, name| reply["data"][name].as_str().expect("a half of the login").to_owned();
        AppRole {
            role_id: field(self.expect("GET", &format!("{path}/role-id"), None), "role_id"),
            secret_id: field(self.expect("POST", &format!("{path}/secret-id"), None), "secret_id"),
        }
    }

    /// Makes a service token below root; `options` such as `{"ttl": "5s", "policies": ["app"]}`.
    pub fn token(&self, options: Value) -> String {
        let reply = self.expect("POST", "auth/token/create", Some(options));
        reply["auth"]["client_token"].as_str().expect("a token").to_owned()
    }

    /// Lets `database/creds/ROLE` give logins to `postgres` that live for `ttl`, such as `5s`, and at most
    /// `max_ttl`.
    pub fn database(&self, postgres: &Postgres, role: &str, ttl: &str, max_ttl: &str) {
        self.engine("database", "database", json!({}));
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": postgres.url_for("{{username}}", "{{password}}"),
            "username": postgres.user(),
            "password": postgres.password(),
            "allowed_roles": "*",
        });
        self.expect("POST", "database/config/postgres", Some(connection));
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        let role_body = json!({
            "db_name": "postgres", "creation_statements": create, "default_ttl": ttl, "max_ttl": max_ttl,
        });
        self.expect("POST", &format!("database/roles/{role}"), Some(role_body));
    }

    fn enable(&self, table: &str, path: &str, body: Value) {
        let there = self.expect("GET", table, None);
        if there["data"].get(format!("{path}/")).is_none() {
            self.expect("POST", &format!("{table}/{path}"), Some(body));
        }
    }
}

/// `base` with the fields of `more` over it.
fn merge(mut base: Value, more: Value) -> Value {
    let (Value::Object(fields), Value::Object(more)) = (&mut base, more) else {
        panic!("options are an object")
    };
    fields.extend(more);
    base
}

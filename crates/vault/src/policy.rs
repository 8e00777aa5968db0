//! ACL policies: read, write, list, delete; and what they let a token do.

use std::collections::BTreeMap;

use leasehold_core::Failure;
use serde::Deserialize;

use crate::call::{Call, Method};
use crate::json::Json;
use crate::operation::{Operation, Order};
use crate::reply::Reply;

/// Reads the text of a policy.
#[derive(Clone, Debug)]
pub struct Read {
    /// Its name.
    pub name: String,
}

impl Operation for Read {
    type Answer = String;

    fn call(&self) -> Call {
        Call::get(&path(&self.name))
    }

    fn accept(&self, reply: &Reply) -> Result<String, Failure> {
        #[derive(Deserialize)]
        struct Policy {
            policy: String,
        }
        reply.data().map(|Policy { policy }| policy)
    }
}

/// Writes a policy; one of this name is replaced.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its name.
    pub name: String,
    /// Its text, in HCL or JSON.
    pub text: String,
}

impl Order for Write {
    fn call(&self) -> Call {
        Call::post(&path(&self.name), &Json::object([("policy", (&self.text).into())]))
    }
}

/// Deletes a policy. One that is not there counts as done.
#[derive(Clone, Debug)]
pub struct Delete {
    /// Its name.
    pub name: String,
}

impl Order for Delete {
    fn call(&self) -> Call {
        Call::new(Method::Delete, &path(&self.name))
    }
}

/// Asks what the client's own token may do at these paths: `read`, `update`, `sudo`, .., or `root`, or `deny`.
///
/// The answer has a list for each path. Every token with the policy `default` may ask.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// The paths, such as `auth/token/create`.
    pub paths: Vec<String>,
}

impl Operation for Capabilities {
    type Answer = BTreeMap<String, Vec<String>>;

    fn call(&self) -> Call {
        Call::post("sys/capabilities-self", &Json::object([("paths", (&self.paths[..]).into())]))
    }

    fn accept(&self, reply: &Reply) -> Result<Self::Answer, Failure> {
        reply.data()
    }
}

fn path(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_path_by_path() {
        let ask = Capabilities { paths: vec!["auth/token/create".into(), "sys/seal".into()] };
        let call = ask.call();
        assert_eq!(&*call.path, "sys/capabilities-self");
        let body =
            br#"{"data":{"capabilities":["update"],"auth/token/create":["update"],"sys/seal":["deny"]}}"#;
        let granted = ask.accept(&Reply::new(200, None, body.to_vec())).unwrap();
        assert_eq!((&granted["auth/token/create"][0][..], &granted["sys/seal"][0][..]), ("update", "deny"));
    }
}

//! ACL policies: read, write, list, delete.

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

fn path(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}

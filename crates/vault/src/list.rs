//! Names below a path: of secrets, policies, namespaces and leases.

use leasehold_core::name::Path;
use leasehold_core::{Failure, Kind};
use serde::Deserialize;

use crate::call::{Call, Method};
use crate::failure::{classify, is_silent};
use crate::operation::Operation;
use crate::parse;
use crate::reply::Reply;

/// Names what is below a path; a name that ends with a slash is a folder. The server keeps no empty folders, so one
/// that does not exist is told as an empty list.
///
/// ```
/// use leasehold_vault::{List, Operation, Reply};
///
/// let names = List::policies().answer(&Reply::new(200, None, br#"{"data":{"keys":["default"]}}"#.to_vec()));
/// assert_eq!(names.unwrap(), ["default"]);
/// let names = List::namespaces().answer(&Reply::new(404, None, br#"{"errors":[]}"#.to_vec()));
/// assert!(names.unwrap().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct List {
    path: String,
}

impl List {
    /// Below a path of any engine, written as its API has it.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_string() }
    }

    /// The ACL policies.
    pub fn policies() -> Self {
        Self { path: "sys/policies/acl".into() }
    }

    /// The namespaces below the call's own.
    pub fn namespaces() -> Self {
        Self { path: "sys/namespaces".into() }
    }

    /// The leases and folders of leases below a prefix, such as `database/creds/app`. Takes `sudo`.
    pub fn leases(prefix: &Path) -> Self {
        Self { path: format!("sys/leases/lookup/{prefix}") }
    }

    pub(crate) fn at_text(path: String) -> Self {
        Self { path }
    }
}

impl Operation for List {
    type Answer = Vec<String>;

    fn call(&self) -> Call {
        Call::new(Method::List, &self.path)
    }

    fn accept(&self, reply: &Reply) -> Result<Vec<String>, Failure> {
        #[derive(Deserialize)]
        struct Listing {
            #[serde(default, deserialize_with = "parse::or_default")]
            keys: Vec<String>,
        }
        reply.data().map(|listing: Listing| listing.keys)
    }

    fn answer(&self, reply: &Reply) -> Result<Vec<String>, Failure> {
        if reply.is_success() {
            return self.accept(reply).map_err(|failure| failure.context(&self.path));
        }
        let failure = classify(reply, &self.call());
        if failure.kind() == Kind::NotFound && is_silent(reply) { Ok(Vec::new()) } else { Err(failure) }
    }
}

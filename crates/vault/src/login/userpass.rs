//! Login with a name and password that the server keeps.

use leasehold_core::Secret;
use leasehold_core::name::Path;

use crate::json::Json;

/// A name and password.
#[derive(Clone, Debug)]
pub struct Userpass {
    /// The mount below `auth/`; `userpass` if none.
    pub mount: Option<Path>,
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Userpass {
    pub(super) fn body(&self) -> Json<'_> {
        Json::object([("password", (&self.password).into())])
    }
}

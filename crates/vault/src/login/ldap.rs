//! Login with a name and password that a directory keeps.

use leasehold_core::Secret;
use leasehold_core::name::Path;

use crate::json::Json;

/// A name and password of the directory.
#[derive(Clone, Debug)]
pub struct Ldap {
    /// The mount below `auth/`; `ldap` if none.
    pub mount: Option<Path>,
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Ldap {
    pub(super) fn body(&self) -> Json<'_> {
        Json::object([("password", (&self.password).into())])
    }
}

//! Login with a pod's service account.

use leasehold_core::Secret;
use leasehold_core::name::Path;

use crate::json::Json;

/// A service account. Kubernetes replaces its token now and then, so it is to be read anew for each login.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The mount below `auth/`; `kubernetes` if none.
    pub mount: Option<Path>,
    /// The role.
    pub role: String,
    /// The service account's token.
    pub jwt: Secret,
}

impl Kubernetes {
    pub(super) fn body(&self) -> Json<'_> {
        Json::object([("role", (&self.role).into()), ("jwt", (&self.jwt).into())])
    }
}

//! Login with a role id and a secret id.

use leasehold_core::Secret;
use leasehold_core::name::Path;

use crate::json::Json;

/// An AppRole. The token's metadata names the role as `role_name`.
#[derive(Clone, Debug)]
pub struct AppRole {
    /// The mount below `auth/`; `approle` if none.
    pub mount: Option<Path>,
    /// The role's id.
    pub role_id: Secret,
    /// The secret id; some roles are bound to an address alone and have none.
    pub secret_id: Option<Secret>,
}

impl AppRole {
    pub(super) fn body(&self) -> Json<'_> {
        Json::object([("role_id", (&self.role_id).into()), ("secret_id", self.secret_id.as_ref().into())])
    }
}

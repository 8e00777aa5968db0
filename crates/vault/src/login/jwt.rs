//! Login with a JSON web token, such as a CI system signs for a job.

use leasehold_core::Secret;
use leasehold_core::name::Path;

use crate::json::Json;

/// A JSON web token.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// The mount below `auth/`; `jwt` if none.
    pub mount: Option<Path>,
    /// The role; the mount's default role if none.
    pub role: Option<String>,
    /// The token.
    pub jwt: Secret,
}

impl Jwt {
    pub(super) fn body(&self) -> Json<'_> {
        Json::object([("role", self.role.as_ref().into()), ("jwt", (&self.jwt).into())])
    }
}

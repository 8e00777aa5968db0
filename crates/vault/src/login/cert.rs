//! Login with the client certificate of the TLS connection.

use leasehold_core::name::Path;

use crate::json::Json;

/// The certificate that the transport presents; nothing of it is in the body.
#[derive(Clone, Debug)]
pub struct Cert {
    /// The mount below `auth/`; `cert` if none.
    pub mount: Option<Path>,
    /// The role to try; all that trust the certificate if none.
    pub role: Option<String>,
}

impl Cert {
    pub(super) fn body(&self) -> Json<'_> {
        Json::object([("name", self.role.as_ref().into())])
    }
}

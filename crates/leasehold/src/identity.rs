//! Who we are to the server: how a token is come by, as often as it takes.

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Mutex, PoisonError};

use leasehold_core::name::{Namespace, Path};
use leasehold_core::{Failure, Kind, Secret};
use leasehold_vault::login::{AppRole, Cert, Jwt, Kubernetes, Ldap, Userpass};
use leasehold_vault::operation::Operation;
use leasehold_vault::reply::Auth;
use leasehold_vault::wrapping::{LookupWrap, Unwrap, Unwrapped};
use leasehold_vault::{Login, token};

use crate::client::VaultClient;

/// Where Kubernetes puts a pod's token.
pub const SERVICE_ACCOUNT_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The largest file that is taken for a token, password or key.
const FILE_LIMIT: u64 = 64 << 10;

/// Where a secret of the login comes from. A file is read again at each login.
#[derive(Clone, Debug)]
pub enum Source {
    /// This text.
    Value(Secret),
    /// The first line of this file.
    File(PathBuf),
}

impl Source {
    /// The text, without white space around it.
    pub fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path),
        }
    }
}

/// How a token is come by.
#[derive(Debug)]
pub enum Identity {
    /// The caller brought a token. It is used, kept alive if that is possible, and never revoked.
    Brought(Source),
    /// By logging in.
    Login(Box<Method>),
}

/// A login method with what it needs.
#[derive(Debug)]
pub struct Method {
    /// The mount below `auth/`; the method's name if none.
    pub mount: Option<Path>,
    /// The namespace to log in to; the client's own if none.
    pub namespace: Option<Namespace>,
    /// The credentials.
    pub credentials: Credentials,
    /// A secret id that was unwrapped: that works only once.
    unwrapped: Mutex<Option<Secret>>,
}

/// The credentials of a login method.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A role id and a secret id.
    AppRole {
        /// The role id.
        role_id: Source,
        /// The secret id; none where the role does not bind one.
        secret_id: Option<Source>,
        /// The secret id is wrapped, and must have been wrapped at this path, such as
        /// `auth/approle/role/ROLE/secret-id`.
        wrapped_at: Option<String>,
    },
    /// A signed JSON web token.
    Jwt {
        /// The role; the mount's default if none.
        role: Option<String>,
        /// The token.
        jwt: Source,
    },
    /// A pod's service account.
    Kubernetes {
        /// The role.
        role: String,
        /// The service account's token.
        jwt: Source,
    },
    /// The client certificate of the connection.
    Cert {
        /// The name of the certificate role; any that fits if none.
        role: Option<String>,
    },
    /// A name and a password that the server keeps.
    Userpass {
        /// The name.
        username: String,
        /// The password.
        password: Source,
    },
    /// A name and a password that a directory keeps.
    Ldap {
        /// The name.
        username: String,
        /// The password.
        password: Source,
    },
}

impl Method {
    /// A login with these credentials.
    pub fn new(credentials: Credentials, mount: Option<Path>, namespace: Option<Namespace>) -> Self {
        Self { mount, namespace, credentials, unwrapped: Mutex::default() }
    }

    /// Logs in once.
    pub async fn log_in(&self, client: &VaultClient) -> Result<Auth, Failure> {
        let login = self.login(client).await?;
        client.send(&login.within(self.namespace.clone())).await
    }

    async fn login(&self, client: &VaultClient) -> Result<Login, Failure> {
        let mount = self.mount.clone();
        Ok(match &self.credentials {
            Credentials::AppRole { role_id, secret_id, wrapped_at } => {
                let role_id = role_id.read()?;
                let secret_id = match (secret_id, wrapped_at) {
                    (None, _) => None,
                    (Some(source), None) => Some(source.read()?),
                    (Some(source), Some(path)) => Some(self.unwrap(client, source, path).await?),
                };
                Login::AppRole(AppRole { mount, role_id, secret_id })
            }
            Credentials::Jwt { role, jwt } => Login::Jwt(Jwt { mount, role: role.clone(), jwt: jwt.read()? }),
            Credentials::Kubernetes { role, jwt } => {
                Login::Kubernetes(Kubernetes { mount, role: role.clone(), jwt: jwt.read()? })
            }
            Credentials::Cert { role } => Login::Cert(Cert { mount, role: role.clone() }),
            Credentials::Userpass { username, password } => {
                Login::Userpass(Userpass { mount, username: username.clone(), password: password.read()? })
            }
            Credentials::Ldap { username, password } => {
                Login::Ldap(Ldap { mount, username: username.clone(), password: password.read()? })
            }
        })
    }

    /// The secret id inside its wrapping, once it is sure that it was wrapped where it should have been:
    /// somebody who took the real one can put another in its place, but not with the right path.
    async fn unwrap(&self, client: &VaultClient, source: &Source, expected: &str) -> Result<Secret, Failure> {
        if let Some(known) = self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let token = source.read()?;
        let origin = client.send(&LookupWrap { token: token.clone() }).await?;
        if origin.creation_path.trim_matches('/') != expected.trim_matches('/') {
            let message =
                format!("the wrapped secret id was wrapped at {}, not at {expected}", origin.creation_path);
            return Err(Failure::new(Kind::NeedsLogin, message)
                .hint("it may have been replaced on its way: ask for a new one, and look into it"));
        }
        match client.send(&Unwrap { token }).await? {
            Unwrapped::Fields(fields) => match fields.field("secret_id") {
                Some(secret_id) => {
                    *self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret_id.clone());
                    Ok(secret_id.clone())
                }
                None => Err(Failure::new(Kind::NeedsLogin, "what was wrapped is no secret id")),
            },
            Unwrapped::Auth(_) => {
                Err(Failure::new(Kind::NeedsLogin, "what was wrapped is a token, no secret id"))
            }
        }
    }
}

/// What the server says of a token that the caller brought.
pub async fn look_up(client: &VaultClient, token: Secret) -> Result<token::Record, Failure> {
    client.send(&token::Lookup(token::Subject::Itself(token))).await
}

fn read_file(path: &FilePath) -> Result<Secret, Failure> {
    let invalid =
        |why: String| Failure::new(Kind::NeedsLogin, format!("cannot read {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| invalid(error.kind().to_string()))?.len();
    if size > FILE_LIMIT {
        return Err(invalid(format!("it is larger than {FILE_LIMIT} bytes")));
    }
    let text =
        zeroize::Zeroizing::new(std::fs::read(path).map_err(|error| invalid(error.kind().to_string()))?);
    let text = std::str::from_utf8(&text).map_err(|_| invalid("it is no text".into()))?;
    match text.trim() {
        "" => Err(invalid("it is empty".into())),
        text if text.contains(char::is_control) => Err(invalid("it has more than one line".into())),
        text => Ok(Secret::new(text)),
    }
}

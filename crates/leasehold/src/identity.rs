//! Who we are to the server: how a token is come by, as often as it takes.

use std::io::Read;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use leasehold_core::name::{Namespace, Path};
use leasehold_core::{Failure, Kind, Retry, Secret};
use leasehold_vault::login::{AppRole, Cert, Jwt, Kubernetes, Ldap, Userpass};
use leasehold_vault::operation::Operation;
use leasehold_vault::reply::Auth;
use leasehold_vault::wrapping::{LookupWrap, Unwrap, Unwrapped};
use leasehold_vault::{Login, token};

use crate::client::VaultClient;

/// Where Kubernetes puts a pod's token.
pub const SERVICE_ACCOUNT_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The largest file that is taken for a token, password or key.
const FILE_LIMIT: u64 = 1 << 20;

/// What the files of a login look like from outside. Another look means that there may be something else in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Vec<Look>);

/// The file itself, its length, and when it was written; none if there is no such file.
type Look = Option<(u64, u64, i64, i64)>;

/// Where a secret of the login comes from. A file is read again at each login.
#[derive(Clone, Debug)]
pub enum Source {
    /// This text.
    Value(Secret),
    /// The one line of this file.
    File(PathBuf),
}

impl Source {
    /// The text, without white space around it.
    pub fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => read_line(path),
        }
    }

    fn look(&self) -> Option<Look> {
        use std::os::unix::fs::MetadataExt;
        let Self::File(path) = self else { return None };
        let metadata = std::fs::metadata(path).ok();
        Some(metadata.map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec())))
    }

    /// The whole text, without its last line end.
    pub fn read_whole(&self) -> Result<Secret, Failure> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let text = read_file(path)?;
                Ok(Secret::new(text.expose().strip_suffix('\n').unwrap_or(text.expose())))
            }
        }
    }
}

/// How a token is come by.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The caller brought a token. It is used, kept alive if that is possible, and never revoked.
    Brought(Source),
    /// By logging in.
    Login(Box<Method>),
}

impl Identity {
    /// What the files look like that a token is come by with.
    pub fn stamp(&self) -> Stamp {
        let sources = match self {
            Self::Brought(source) => vec![source],
            Self::Login(method) => method.credentials.sources(),
        };
        Stamp(sources.into_iter().filter_map(Source::look).collect())
    }
}

/// A login method with what it needs. Clones share what was unwrapped.
#[derive(Clone, Debug)]
pub struct Method {
    /// The mount below `auth/`; the method's name if none.
    pub mount: Option<Path>,
    /// The namespace to log in to; the client's own if none.
    pub namespace: Option<Namespace>,
    /// The credentials.
    pub credentials: Credentials,
    /// A secret id that was unwrapped, after the token that it was wrapped with: that works only once.
    unwrapped: Arc<Mutex<Option<(Secret, Secret)>>>,
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

impl Credentials {
    fn sources(&self) -> Vec<&Source> {
        match self {
            Self::AppRole { role_id, secret_id, .. } => [role_id].into_iter().chain(secret_id).collect(),
            Self::Jwt { jwt, .. } | Self::Kubernetes { jwt, .. } => vec![jwt],
            Self::Cert { .. } => Vec::new(),
            Self::Userpass { password, .. } | Self::Ldap { password, .. } => vec![password],
        }
    }
}

impl Method {
    /// A login with these credentials.
    pub fn new(credentials: Credentials, mount: Option<Path>, namespace: Option<Namespace>) -> Self {
        Self { mount, namespace, credentials, unwrapped: Arc::default() }
    }

    /// Whether it can be done again when its token is lost: what was wrapped may work only once.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self.credentials, Credentials::AppRole { wrapped_at: Some(_), .. })
    }

    /// Logs in once. It is never repeated by itself: a lost answer may have left a token.
    pub async fn log_in(&self, client: &VaultClient) -> Result<Auth, Failure> {
        // Without a token, what has expired is a credential of the login: a wrapping token.
        let login = self.login(client).await.map_err(|failure| match failure.kind() {
            Kind::Expired => failure.with_kind(Kind::NeedsLogin),
            _ => failure,
        })?;
        let answer = client.send(&login.within(self.namespace.clone())).await;
        answer.inspect_err(|failure| {
            if failure.retry() == Retry::Ambiguous {
                tracing::warn!(
                    kind = failure.kind().token(),
                    "the answer to a login was lost: a token that nobody knows may live until the token_ttl of the \
                     login's role is over"
                );
            }
        })
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
        let known = self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let token = match (source.read(), known) {
            (Ok(token), Some((used, secret_id))) if used.is_same(&token) => return Ok(secret_id),
            // Its file may have been removed once it was used.
            (Err(_), Some((_, secret_id))) => return Ok(secret_id),
            (token, _) => token?,
        };
        let origin = client.send(&LookupWrap { token: token.clone() }).await?;
        if origin.creation_path.trim_matches('/') != expected.trim_matches('/') {
            let message =
                format!("the wrapped secret id was wrapped at {}, not at {expected}", origin.creation_path);
            return Err(Failure::new(Kind::NeedsLogin, message)
                .hint("it may have been replaced on its way: ask for a new one, and look into it"));
        }
        let unwrapped = client.send(&Unwrap { token: token.clone() }).await.map_err(burnt);
        match unwrapped? {
            Unwrapped::Fields(fields) => match fields.field("secret_id") {
                Some(secret_id) => {
                    let pair = (token, secret_id.clone());
                    *self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair);
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

/// An unwrapping whose answer was lost: what was wrapped is lost with it, since that works only once.
fn burnt(failure: Failure) -> Failure {
    match failure.retry() {
        Retry::Ambiguous => failure
            .context("the wrapped secret id is used up, and the answer with it was lost")
            .with_kind(Kind::NeedsLogin)
            .with_retry(Retry::Never)
            .hint("ask for a new wrapped secret id, and for this one to be destroyed"),
        Retry::Never | Retry::After(_) => failure,
    }
}

/// What the server says of a token that the caller brought.
pub async fn look_up(client: &VaultClient, token: Secret) -> Result<token::Record, Failure> {
    client.send(&token::Lookup(token::Subject::Itself(token))).await
}

fn read_line(path: &FilePath) -> Result<Secret, Failure> {
    let text = read_file(path)?;
    match text.expose().trim() {
        "" => Err(unreadable(path, "it is empty")),
        line if line.contains(char::is_control) => Err(unreadable(path, "it has more than one line")),
        line => Ok(Secret::new(line)),
    }
}

fn read_file(path: &FilePath) -> Result<Secret, Failure> {
    let failed = |error: std::io::Error| unreadable(path, &error.kind().to_string());
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    file.take(FILE_LIMIT + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(unreadable(path, &format!("it is larger than {FILE_LIMIT} bytes")));
    }
    std::str::from_utf8(&text).map(Secret::new).map_err(|_| unreadable(path, "it is no text"))
}

fn unreadable(path: &FilePath, why: &str) -> Failure {
    Failure::new(Kind::NeedsLogin, format!("cannot read {}: {why}", path.display()))
}

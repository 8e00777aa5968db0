//! Logging in: one operation for all methods, one file a method.
//!
//! A token that the caller brought needs no login and has no method here.

mod approle;
mod cert;
mod jwt;
mod kubernetes;
mod ldap;
mod userpass;

pub use approle::AppRole;
pub use cert::Cert;
pub use jwt::Jwt;
pub use kubernetes::Kubernetes;
pub use ldap::Ldap;
pub use userpass::Userpass;

use leasehold_core::name::Path;
use leasehold_core::{Failure, Kind};

use crate::call::{Bearer, Call};
use crate::failure::{classify, is_from_server};
use crate::json::Json;
use crate::operation::Operation;
use crate::reply::{Auth, Reply};

/// A login by any method. Its answer is a new token.
///
/// ```
/// use leasehold_core::Secret;
/// use leasehold_vault::{Login, Operation, Repeat, login::AppRole};
///
/// let login = Login::AppRole(AppRole {
///     mount: None,
///     role_id: Secret::new("my-role"),
///     secret_id: Some(Secret::new("my-secret")),
/// });
/// assert_eq!(login.call().path, "auth/approle/login");
/// assert_eq!(login.call().repeat, Repeat::Once);
/// ```
#[derive(Clone, Debug)]
pub enum Login {
    /// With a role id and a secret id.
    AppRole(AppRole),
    /// With a signed JSON web token.
    Jwt(Jwt),
    /// With a pod's service account.
    Kubernetes(Kubernetes),
    /// With the client certificate of the connection.
    Cert(Cert),
    /// With a name and password that the server keeps.
    Userpass(Userpass),
    /// With a name and password that a directory keeps.
    Ldap(Ldap),
}

impl Login {
    /// The method's name, which is also the mount where it is found by default: `approle`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::AppRole(_) => "approle",
            Self::Jwt(_) => "jwt",
            Self::Kubernetes(_) => "kubernetes",
            Self::Cert(_) => "cert",
            Self::Userpass(_) => "userpass",
            Self::Ldap(_) => "ldap",
        }
    }

    /// The mount below `auth/`.
    pub fn mount(&self) -> &str {
        let mount = match self {
            Self::AppRole(AppRole { mount, .. })
            | Self::Jwt(Jwt { mount, .. })
            | Self::Kubernetes(Kubernetes { mount, .. })
            | Self::Cert(Cert { mount, .. })
            | Self::Userpass(Userpass { mount, .. })
            | Self::Ldap(Ldap { mount, .. }) => mount,
        };
        mount.as_ref().map_or(self.method(), Path::as_str)
    }

    /// The name that is part of the path, for the methods that have one.
    fn user(&self) -> Option<&str> {
        match self {
            Self::Userpass(Userpass { username, .. }) | Self::Ldap(Ldap { username, .. }) => {
                Some(username.as_str())
            }
            Self::AppRole(_) | Self::Jwt(_) | Self::Kubernetes(_) | Self::Cert(_) => None,
        }
    }

    fn body(&self) -> Json<'_> {
        match self {
            Self::AppRole(login) => login.body(),
            Self::Jwt(login) => login.body(),
            Self::Kubernetes(login) => login.body(),
            Self::Cert(login) => login.body(),
            Self::Userpass(login) => login.body(),
            Self::Ldap(login) => login.body(),
        }
    }
}

impl Operation for Login {
    type Answer = Auth;

    fn call(&self) -> Call {
        let path = match self.user() {
            Some(user) => format!("auth/{}/login/{user}", self.mount()),
            None => format!("auth/{}/login", self.mount()),
        };
        Call::post(&path, &self.body()).with_bearer(Bearer::Nobody).once()
    }

    fn accept(&self, reply: &Reply) -> Result<Auth, Failure> {
        reply.envelope()?.token()
    }

    /// A login that the server refuses is [`Kind::NeedsLogin`], and its own words are not repeated. There is no
    /// token yet that could be dead or denied: 403 is an unknown mount, or a name locked after wrong tries.
    fn refuse(&self, reply: &Reply) -> Failure {
        let failure = classify(reply, &self.call());
        let is_verdict = matches!(failure.kind(), Kind::Denied | Kind::Expired | Kind::Invalid);
        if !is_verdict || !is_from_server(reply) || !matches!(reply.status, 400 | 401 | 403) {
            return failure;
        }
        let what = format!("the server refuses the {} login at auth/{}", self.method(), self.mount());
        let hint = match reply.status {
            403 => "check the mount; after several wrong logins the server locks the name for some minutes",
            _ => "check the role and that its credentials are not wrong, expired or used up",
        };
        Failure::new(Kind::NeedsLogin, what).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Secret;

    fn check(login: &Login, path: &str, body: &str) {
        let call = login.call();
        assert_eq!(call.path, path);
        let sent = call.body.as_ref().map(|sent| String::from_utf8_lossy(sent.bytes()).into_owned());
        assert_eq!(sent.as_deref(), Some(body));
        assert!(!format!("{login:?} {call:?}").contains("canary"));
    }

    fn canary() -> Secret {
        Secret::new("canary")
    }

    #[test]
    fn each_method_says_what_it_must() {
        let mount = Some(Path::parse("corp/roles").unwrap());
        check(
            &Login::AppRole(AppRole { mount, role_id: canary(), secret_id: Some(canary()) }),
            "auth/corp/roles/login",
            r#"{"role_id":"canary","secret_id":"canary"}"#,
        );
        check(
            &Login::AppRole(AppRole { mount: None, role_id: canary(), secret_id: None }),
            "auth/approle/login",
            r#"{"role_id":"canary"}"#,
        );
        check(
            &Login::Jwt(Jwt { mount: None, role: Some("ci".into()), jwt: canary() }),
            "auth/jwt/login",
            r#"{"role":"ci","jwt":"canary"}"#,
        );
        check(
            &Login::Kubernetes(Kubernetes { mount: None, role: "app".into(), jwt: canary() }),
            "auth/kubernetes/login",
            r#"{"role":"app","jwt":"canary"}"#,
        );
        check(&Login::Cert(Cert { mount: None, role: None }), "auth/cert/login", "{}");
        check(
            &Login::Userpass(Userpass { mount: None, username: "me@x/y".into(), password: canary() }),
            "auth/userpass/login/me%40x/y",
            r#"{"password":"canary"}"#,
        );
        check(
            &Login::Ldap(Ldap { mount: None, username: "me".into(), password: canary() }),
            "auth/ldap/login/me",
            r#"{"password":"canary"}"#,
        );
    }

    fn refused(status: u16, body: &str, kind: Kind) {
        let login = Login::AppRole(AppRole { mount: None, role_id: canary(), secret_id: None });
        let failure = login.answer(&Reply::new(status, None, body.into())).unwrap_err();
        assert_eq!(failure.kind(), kind, "{status} {body}");
        assert!(!failure.message().contains("canary"), "{failure}");
    }

    #[test]
    fn a_refused_login_needs_another() {
        refused(400, r#"{"errors":["invalid role or secret ID canary"]}"#, Kind::NeedsLogin);
        refused(403, r#"{"errors":["permission denied"]}"#, Kind::NeedsLogin);
        refused(500, r#"{"errors":["missing role_id"]}"#, Kind::Invalid);
        refused(503, r#"{"errors":["Vault is sealed"]}"#, Kind::Sealed);
        refused(404, r#"{"errors":["namespace not found"]}"#, Kind::NotFound);
        refused(400, "Client sent an HTTP request to an HTTPS server.", Kind::Invalid);
        refused(
            400,
            r#"{"errors":["failed to persist accessor index entry: leadership lost"]}"#,
            Kind::Unreachable,
        );
    }
}

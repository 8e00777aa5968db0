//! The flags that say how to log in. A secret has no flag: it comes from a file, a variable or standard input.

/// The login methods.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    /// A token that is there already
    Token,
    /// A role id and a secret id
    #[value(name = "approle")]
    AppRole,
    /// A signed JSON web token
    Jwt,
    /// The pod's service account
    Kubernetes,
    /// The client certificate of the connection
    Cert,
    /// A name and a password that the server keeps
    Userpass,
    /// A name and a password that a directory keeps
    Ldap,
}

impl AuthMethod {
    /// The method as it is written: `approle`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::AppRole => "approle",
            Self::Jwt => "jwt",
            Self::Kubernetes => "kubernetes",
            Self::Cert => "cert",
            Self::Userpass => "userpass",
            Self::Ldap => "ldap",
        }
    }
}

/// How to log in. A FILE may be `-` for a line of standard input; of two, the role id comes first.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Login")]
pub(crate) struct LoginArguments {
    /// Login method; found out from what is there if not given [LEASEHOLD_AUTH]
    #[arg(long, value_name = "METHOD")]
    pub(crate) auth: Option<AuthMethod>,
    /// Mount of the method, if it is not named as the method is [LEASEHOLD_AUTH_MOUNT]
    #[arg(long, value_name = "PATH")]
    pub(crate) auth_mount: Option<String>,
    /// Namespace to log in to, if it is not the one to work in [LEASEHOLD_AUTH_NAMESPACE]
    #[arg(long, value_name = "NS")]
    pub(crate) auth_namespace: Option<String>,
    /// Role to log in with: jwt, kubernetes, cert [LEASEHOLD_ROLE]
    #[arg(id = "login_role", long = "role", value_name = "NAME")]
    pub(crate) role: Option<String>,
    /// AppRole: the role id [VAULT_ROLE_ID]
    #[arg(long, value_name = "ID")]
    pub(crate) role_id: Option<String>,
    /// AppRole: file with the role id
    #[arg(long, value_name = "FILE")]
    pub(crate) role_id_file: Option<String>,
    /// AppRole: file with the secret id [VAULT_SECRET_ID]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_id_file: Option<String>,
    /// AppRole: the secret id is wrapped, and must have been wrapped at this path
    #[arg(long, value_name = "PATH")]
    pub(crate) secret_id_wrapped_at: Option<String>,
    /// JWT, Kubernetes: file with the token [VAULT_JWT]
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_file: Option<String>,
    /// Userpass, LDAP: the name [LEASEHOLD_USERNAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// Userpass, LDAP: file with the password [LEASEHOLD_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<String>,
    /// Token: file with the token [VAULT_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn methods_are_named_as_they_are_parsed() {
        for method in AuthMethod::value_variants() {
            assert_eq!(AuthMethod::from_str(method.name(), false), Ok(*method));
        }
    }
}

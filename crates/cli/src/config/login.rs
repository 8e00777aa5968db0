//! The login: which method, with which credentials, and what is missing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use leasehold::core::name::{Namespace, Path};
use leasehold::core::{Failure, Kind, Secret};
use leasehold::identity::{Credentials, Identity, Method, SERVICE_ACCOUNT_FILE, Source};

use super::environment::Environment;
use super::fault::Trouble;
use super::key::{self, Key, ways};
use super::layers::Layers;
use super::text::Rank;
use crate::arguments::login::AuthMethod;

/// The longest line that is read from standard input.
const LIMIT: usize = 64 << 10;

/// How to log in. Nothing of it was opened yet.
#[derive(Clone, Debug)]
pub(crate) struct LoginSettings {
    /// What was asked for; without that, the method is found out.
    asked: Option<AuthMethod>,
    mount: Option<Path>,
    namespace: Option<Namespace>,
    role: Option<String>,
    username: Option<String>,
    wrapped_at: Option<String>,
    role_id: Option<Part>,
    secret_id: Option<Part>,
    jwt: Option<Part>,
    password: Option<Part>,
    token: Option<Part>,
    /// Whether a client certificate is configured.
    has_certificate: bool,
}

/// One part of the credentials.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Value(Secret),
    File(PathBuf),
    /// A line of standard input, once it was read.
    Stdin(Arc<OnceLock<Secret>>),
}

impl LoginSettings {
    pub(super) fn settle(layers: &mut Layers, environment: &Environment) -> Self {
        let mut part = |value, file| part(layers, value, file, environment.working_dir());
        let role_id = part(&key::ROLE_ID, &key::ROLE_ID_FILE);
        let secret_id = part(&key::SECRET_ID, &key::SECRET_ID_FILE);
        let jwt = part(&key::JWT, &key::JWT_FILE);
        let password = part(&key::PASSWORD, &key::PASSWORD_FILE);
        let token = part(&key::TOKEN, &key::TOKEN_FILE).or_else(|| home_token(environment));
        let named_token = (layers.rank(&key::TOKEN_FILE) == Rank::Flag).then_some(AuthMethod::Token);
        Self {
            asked: layers.one(&key::METHOD, parse_method).or(named_token),
            mount: layers.one(&key::MOUNT, parse_mount),
            namespace: layers.one(&key::LOGIN_NAMESPACE, |text| Ok(Namespace::parse(text)?)),
            role: layers.text(&key::ROLE),
            username: layers.text(&key::USERNAME),
            wrapped_at: layers.text(&key::SECRET_ID_WRAPPED_AT),
            has_certificate: layers.winner(&key::CLIENT_CERT).is_some(),
            role_id,
            secret_id,
            jwt,
            password,
            token,
        }
    }

    /// The method: the one that was asked for; AppRole if both its ids are there, or one of them and no token; else
    /// the token.
    pub(crate) fn method(&self) -> AuthMethod {
        let inferred = match (&self.role_id, &self.secret_id, &self.token) {
            (Some(_), Some(_), _) | (Some(_), None, None) | (None, Some(_), None) => AuthMethod::AppRole,
            _ => AuthMethod::Token,
        };
        self.asked.unwrap_or(inferred)
    }

    /// Whether there is anything to log in with.
    pub(super) fn is_there(&self) -> bool {
        self.asked.is_some() || self.method() != AuthMethod::Token || self.token.is_some()
    }

    /// Who we are to the server. Reads a line of standard input, once, if a part of the login comes from there.
    ///
    /// # Errors
    ///
    /// Names what is missing, and the ways to give it.
    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        if self.method() == AuthMethod::Token {
            let token = self.token.as_ref().ok_or_else(no_login)?;
            return token.source().map(Identity::Brought);
        }
        let method = Method::new(self.credentials()?, self.mount.clone(), self.namespace.clone());
        Ok(Identity::Login(Box::new(method)))
    }

    fn credentials(&self) -> Result<Credentials, Failure> {
        Ok(match self.method() {
            AuthMethod::Token => return Err(no_login()),
            AuthMethod::AppRole => self.app_role()?,
            AuthMethod::Jwt => {
                let jwt = self.need(&self.jwt, "token", &[&key::JWT, &key::JWT_FILE])?.source()?;
                Credentials::Jwt { role: self.role.clone(), jwt }
            }
            AuthMethod::Kubernetes => Credentials::Kubernetes {
                role: self.need(&self.role, "role", &[&key::ROLE])?.clone(),
                jwt: match &self.jwt {
                    Some(jwt) => jwt.source()?,
                    None => Source::File(SERVICE_ACCOUNT_FILE.into()),
                },
            },
            AuthMethod::Cert => {
                let certificate = self.has_certificate.then_some(());
                self.need(&certificate, "client certificate", &[&key::CLIENT_CERT])?;
                Credentials::Cert { role: self.role.clone() }
            }
            AuthMethod::Userpass => {
                let (username, password) = self.name_and_password()?;
                Credentials::Userpass { username, password }
            }
            AuthMethod::Ldap => {
                let (username, password) = self.name_and_password()?;
                Credentials::Ldap { username, password }
            }
        })
    }

    fn app_role(&self) -> Result<Credentials, Failure> {
        let role_id = self.need(&self.role_id, "role id", &[&key::ROLE_ID, &key::ROLE_ID_FILE])?;
        // A role may do without a secret id; somebody who asked for AppRole by name knows whether it does.
        if self.asked.is_none() {
            let keys = [&key::SECRET_ID, &key::SECRET_ID_FILE];
            self.need(&self.secret_id, "secret id", &keys)
                .map_err(|failure| with_more(failure, "; if the role needs none, give --auth approle"))?;
        }
        Ok(Credentials::AppRole {
            role_id: role_id.source()?,
            secret_id: self.secret_id.as_ref().map(Part::source).transpose()?,
            wrapped_at: self.wrapped_at.clone(),
        })
    }

    fn name_and_password(&self) -> Result<(String, Source), Failure> {
        let username = self.need(&self.username, "name", &[&key::USERNAME])?;
        let password = self.need(&self.password, "password", &[&key::PASSWORD, &key::PASSWORD_FILE])?;
        Ok((username.clone(), password.source()?))
    }

    fn need<'a, T>(&self, part: &'a Option<T>, what: &str, keys: &[&Key]) -> Result<&'a T, Failure> {
        part.as_ref().ok_or_else(|| {
            let message = format!("the login by {} has no {what}", self.method().name());
            Failure::new(Kind::NeedsLogin, message).hint(ways(keys))
        })
    }
}

fn no_login() -> Failure {
    Failure::new(Kind::NeedsLogin, "there is no token, and no other login is configured").hint(
        "set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or choose a login with --auth; \
         `leasehold help run` shows what each one needs",
    )
}

fn with_more(failure: Failure, more: &str) -> Failure {
    let hint = format!("{}{more}", failure.advice().unwrap_or_default());
    failure.hint(hint)
}

/// The value or the file of one part, whichever layer goes before.
pub(super) fn part(layers: &mut Layers, value: &Key, file: &Key, working_dir: &FilePath) -> Option<Part> {
    let path = layers.path(file, working_dir);
    let text = layers.text(value).and_then(|_| layers.winner(value).map(|text| text.secret().clone()));
    if layers.rank(value) == layers.rank(file)
        && let Some(second) = layers.winner(file)
    {
        let fault = second.fault(format!("both {} and {} are given: one is enough", value.name, file.name));
        layers.faults.push(fault);
    }
    let is_stdin = layers.winner(file).is_some_and(|text| text.secret().expose() == "-");
    match layers.rank(value) > layers.rank(file) {
        true => text.map(Part::Value),
        false if is_stdin => Some(Part::Stdin(Arc::default())),
        false => path.map(Part::File),
    }
}

/// Where `vault login` and `bao login` leave their token.
fn home_token(environment: &Environment) -> Option<Part> {
    let path = environment.folder("HOME")?.join(".vault-token");
    let is_filled = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
    is_filled.then_some(Part::File(path))
}

fn parse_method(text: &str) -> Result<AuthMethod, Trouble> {
    AuthMethod::from_str(text, false).map_err(|_| {
        let known: Vec<_> = AuthMethod::value_variants().iter().map(|method| method.name()).collect();
        Trouble::at(0, format!("the login methods are {}", known.join(", ")))
    })
}

/// A mount below `auth/`, which may be written or not.
fn parse_mount(text: &str) -> Result<Path, Trouble> {
    let start = if text.starts_with("auth/") { "auth/".len() } else { 0 };
    Path::parse(&text[start..]).map_err(|fault| Trouble::at(start + fault.at(), fault.message()))
}

impl Part {
    pub(super) fn source(&self) -> Result<Source, Failure> {
        match self {
            Self::Value(secret) => Ok(Source::Value(secret.clone())),
            Self::File(path) => Ok(Source::File(path.clone())),
            Self::Stdin(line) => match line.get() {
                Some(secret) => Ok(Source::Value(secret.clone())),
                None => standard_input().map(|secret| Source::Value(line.get_or_init(|| secret).clone())),
            },
        }
    }
}

/// The first line of standard input. It is read past the buffer of `std::io::stdin`, so that what follows is the
/// child's.
fn standard_input() -> Result<Secret, Failure> {
    let copy =
        io::stdin().as_fd().try_clone_to_owned().map_err(|error| unreadable(&error.kind().to_string()))?;
    first_line(File::from(copy))
}

/// The first line, without white space around it. Not a byte after the line end is read.
fn first_line(mut input: impl Read) -> Result<Secret, Failure> {
    // Room for all from the start: a vector that grows leaves copies behind.
    let mut line = Vec::with_capacity(LIMIT + 1);
    let mut byte = [0];
    while input.read(&mut byte).map_err(|error| unreadable(&error.kind().to_string()))? == 1 && byte != *b"\n"
    {
        if line.len() == LIMIT {
            return Err(unreadable(&format!("the line is longer than {LIMIT} bytes")));
        }
        line.push(byte[0]);
    }
    line.truncate(line.trim_ascii_end().len());
    line.drain(..line.len() - line.trim_ascii_start().len());
    match String::from_utf8(line).map(Secret::new) {
        Err(_) => Err(unreadable("it is no text")),
        Ok(secret) if secret.is_empty() => Err(unreadable("it is empty")),
        Ok(secret) if secret.expose().contains(char::is_control) => {
            Err(unreadable("it has a control character"))
        }
        Ok(secret) => Ok(secret),
    }
}

fn unreadable(why: &str) -> Failure {
    Failure::new(Kind::NeedsLogin, format!("cannot read the login from standard input: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::tests::{login_of, settings_of};

    #[test]
    fn methods_are_found_out() {
        let check = |pairs: &[(&str, &str)], words: &[&str], expect: AuthMethod| {
            assert_eq!(settings_of(pairs, words).unwrap().login.method(), expect, "{pairs:?} {words:?}");
        };
        let ids = [("VAULT_ROLE_ID", "r"), ("BAO_SECRET_ID", "s"), ("VAULT_TOKEN", "t")];
        check(&[], &[], AuthMethod::Token);
        check(&ids, &[], AuthMethod::AppRole);
        check(&ids[..2], &[], AuthMethod::AppRole);
        check(&ids[2..], &[], AuthMethod::Token);
        check(&[ids[0], ids[2]], &[], AuthMethod::Token);
        check(&ids[..1], &[], AuthMethod::AppRole);
        check(&ids[2..], &["--role-id", "r", "--secret-id-file", "f"], AuthMethod::AppRole);
        check(&ids, &["--auth", "token"], AuthMethod::Token);
        check(&ids, &["--token-file", "f"], AuthMethod::Token);
        check(&ids, &["--token-file", "f", "--auth", "jwt"], AuthMethod::Jwt);
        check(&[("LEASEHOLD_AUTH", "cert")], &[], AuthMethod::Cert);
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |pairs: &[(&str, &str)], words: &[&str], message: &str, hint: &str| {
            let failure = login_of(pairs, words).unwrap_err();
            assert_eq!((failure.kind(), failure.message()), (Kind::NeedsLogin, message));
            assert!(failure.advice().unwrap().starts_with(hint), "{failure:?}");
        };
        check(&[], &[], "there is no token, and no other login is configured", "set VAULT_TOKEN, or");
        check(
            &[("VAULT_ROLE_ID", "r")],
            &[],
            "the login by approle has no secret id",
            "set VAULT_SECRET_ID, give --secret-id-file, or write login.secret_id_file in the configuration; if",
        );
        check(
            &[("VAULT_SECRET_ID", "s")],
            &[],
            "the login by approle has no role id",
            "set VAULT_ROLE_ID, give --role-id, write login.role_id in the configuration, give --role-id-file, or",
        );
        check(&[], &["--auth", "jwt"], "the login by jwt has no token", "set VAULT_JWT, give --jwt-file, or");
        check(
            &[],
            &["--auth", "kubernetes"],
            "the login by kubernetes has no role",
            "set LEASEHOLD_ROLE, give",
        );
        check(
            &[],
            &["--auth", "cert"],
            "the login by cert has no client certificate",
            "set VAULT_CLIENT_CERT",
        );
        check(&[], &["--auth", "userpass"], "the login by userpass has no name", "set LEASEHOLD_USERNAME");
        check(
            &[],
            &["--auth", "ldap", "--username", "u"],
            "the login by ldap has no password",
            "set LEASEHOLD_PASSWORD, give --password-file, or",
        );
    }

    #[test]
    fn what_goes_before_what() {
        let check = |pairs: &[(&str, &str)], words: &[&str], expect: &str| {
            let identity = login_of(pairs, words).unwrap();
            let shown = match &identity {
                Identity::Brought(source) => format!("{source:?}"),
                Identity::Login(method) => format!("{:?}", method.credentials),
            };
            assert_eq!(shown, expect, "{pairs:?} {words:?}");
        };
        check(&[("VAULT_TOKEN", "t")], &[], "Value(Secret(..))");
        check(&[("VAULT_TOKEN", "t")], &["--token-file", "f"], "File(\"/f\")");
        check(
            &[("VAULT_ROLE_ID", "r")],
            &["--auth", "approle"],
            "AppRole { role_id: Value(Secret(..)), secret_id: None, wrapped_at: None }",
        );
        check(
            &[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")],
            &["--secret-id-file", "f", "--secret-id-wrapped-at", "auth/approle/role/x/secret-id"],
            "AppRole { role_id: Value(Secret(..)), secret_id: Some(File(\"/f\")), \
             wrapped_at: Some(\"auth/approle/role/x/secret-id\") }",
        );
        check(
            &[],
            &["--auth", "kubernetes", "--role", "r"],
            "Kubernetes { role: \"r\", jwt: File(\"/var/run/secrets/kubernetes.io/serviceaccount/token\") }",
        );
        check(
            &[("LEASEHOLD_PASSWORD", "p")],
            &["--auth", "ldap", "--username", "u"],
            "Ldap { username: \"u\", password: Value(Secret(..)) }",
        );
    }

    #[test]
    fn one_line_and_no_more() {
        let check = |input: &str, expect: Option<&str>, rest: &str| {
            let mut reader = input.as_bytes();
            let line = first_line(&mut reader).ok();
            assert_eq!(line.as_ref().map(Secret::expose), expect, "{input:?}");
            assert_eq!(reader, rest.as_bytes(), "{input:?}");
        };
        check("secret", Some("secret"), "");
        check(" secret \r\nrest\n", Some("secret"), "rest\n");
        check("\nrest", None, "rest");
        check("", None, "");
        check("a\tb\n", None, "");
    }

    #[test]
    fn mounts() {
        let check = |text: &str, expect: Result<&str, usize>| {
            let got = parse_mount(text);
            assert_eq!(
                got.as_ref().map(Path::as_str).map_err(|trouble| trouble.at.unwrap()),
                expect,
                "{text}"
            );
        };
        check("approle", Ok("approle"));
        check("auth/team/approle/", Ok("team/approle"));
        check("auth/a//b", Err(7));
    }
}

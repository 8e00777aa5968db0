//! The flags that were given, each with its key.

use super::key::{self, Key};
use super::text::Text;
use crate::arguments::login::{AuthMethod, LoginArguments};
use crate::arguments::server::ServerArguments;
use crate::arguments::workstation::WorkstationArguments;

/// The flags by their subjects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags<'a> {
    pub(crate) server: &'a ServerArguments,
    pub(crate) login: &'a LoginArguments,
    pub(crate) workstation: &'a WorkstationArguments,
}

/// Each key with what its flag gives, empty where it was not given.
pub(super) fn given(flags: Flags<'_>) -> Vec<(&'static Key, Vec<Text>)> {
    let Flags { server, login, workstation } = flags;
    let skip_verify = server.tls_skip_verify.then(|| "true".to_owned());
    let method = login.auth.map(AuthMethod::name).map(str::to_owned);
    let single: [(&'static Key, &Option<String>); _] = [
        (&key::CONFIG, &server.config),
        (&key::STATE_DIR, &server.state_dir),
        (&key::NAMESPACE, &server.namespace),
        (&key::CA_CERT, &server.ca_cert),
        (&key::CA_PATH, &server.ca_path),
        (&key::CLIENT_CERT, &server.client_cert),
        (&key::CLIENT_KEY, &server.client_key),
        (&key::TLS_SERVER_NAME, &server.tls_server_name),
        (&key::SKIP_VERIFY, &skip_verify),
        (&key::METHOD, &method),
        (&key::MOUNT, &login.auth_mount),
        (&key::LOGIN_NAMESPACE, &login.auth_namespace),
        (&key::ROLE, &login.role),
        (&key::ROLE_ID, &login.role_id),
        (&key::ROLE_ID_FILE, &login.role_id_file),
        (&key::SECRET_ID_FILE, &login.secret_id_file),
        (&key::SECRET_ID_WRAPPED_AT, &login.secret_id_wrapped_at),
        (&key::JWT_FILE, &login.jwt_file),
        (&key::USERNAME, &login.username),
        (&key::PASSWORD_FILE, &login.password_file),
        (&key::TOKEN_FILE, &login.token_file),
        (&key::MANIFEST, &workstation.manifest),
        (&key::STORE, &workstation.store),
    ];
    let single = single.into_iter().map(|(key, value)| (key, texts(key, value.as_slice())));
    single.chain([(&key::ADDRESS, texts(&key::ADDRESS, &server.address))]).collect()
}

fn texts(key: &'static Key, values: &[String]) -> Vec<Text> {
    let name = key.flag.unwrap_or(key.name);
    values.iter().map(|value| Text::of_flag(value, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        server: ServerArguments,
        #[command(flatten)]
        login: LoginArguments,
        #[command(flatten)]
        workstation: WorkstationArguments,
    }

    #[test]
    fn each_flag_of_the_table_is_a_flag_that_arrives() {
        for key in key::ALL {
            let Some(flag) = key.flag else { continue };
            let value = match flag {
                "--tls-skip-verify" => "true",
                "--auth" => "approle",
                _ => "value",
            };
            let words = ["leasehold", flag, value];
            let line = Line::parse_from(if value == "true" { &words[..2] } else { &words });
            let given =
                given(Flags { server: &line.server, login: &line.login, workstation: &line.workstation });
            let given: Vec<_> = given.iter().filter(|(_, texts)| !texts.is_empty()).collect();
            assert_eq!(given.len(), 1, "{flag}");
            assert_eq!(given[0].0.name, key.name);
            assert_eq!(given[0].1[0].secret().expose(), value);
        }
    }
}

//! The table of everything that can be configured: its name in the file, its variables and its flag.

/// What the file holds for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// A text or a list of texts.
    List,
    /// `true` or `false`.
    Switch,
    /// Nothing: the value is a secret, and only a variable can hold it.
    Secret,
}

/// One thing that can be configured.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// `SECTION.NAME`, as in the file; without a dot if it cannot stand there.
    pub(super) name: &'static str,
    /// What the file holds.
    pub(super) shape: Shape,
    /// The variables that give it, all spellings; the first is the one that hints name.
    pub(super) variables: &'static [&'static str],
    /// The flag that gives it.
    pub(super) flag: Option<&'static str>,
    /// Whether its value is never shown.
    pub(super) is_hidden: bool,
}

impl Key {
    const fn new(name: &'static str, shape: Shape) -> Self {
        let is_hidden = matches!(shape, Shape::Secret);
        Self { name, shape, variables: &[], flag: None, is_hidden }
    }

    const fn variables(mut self, variables: &'static [&'static str]) -> Self {
        self.variables = variables;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    /// The section and the name in it; none if it cannot stand in a file at all.
    pub(super) fn in_section(&self) -> Option<(&'static str, &'static str)> {
        self.name.split_once('.')
    }

    /// The ways to give it: `set VAULT_ADDR, give --address, or write server.address in the configuration`.
    pub(super) fn ways(&self) -> Vec<String> {
        let variable = self.variables.first().map(|name| format!("set {name}"));
        let flag = self.flag.map(|flag| format!("give {flag}"));
        let file = (self.shape != Shape::Secret && self.in_section().is_some())
            .then(|| format!("write {} in the configuration", self.name));
        [variable, flag, file].into_iter().flatten().collect()
    }
}

/// The ways to give any of these keys, as one sentence.
pub(super) fn ways(keys: &[&Key]) -> String {
    let ways: Vec<_> = keys.iter().flat_map(|key| key.ways()).collect();
    match ways.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{}, or {last}", rest.join(", ")),
        None => String::new(),
    }
}

macro_rules! keys {
    ($($constant:ident = $key:expr;)*) => {
        $(pub(super) static $constant: Key = $key;)*
        /// Every key, in the order in which they are shown.
        pub(super) static ALL: &[&Key] = &[$(&$constant),*];
    };
}

keys! {
    CONFIG = Key::new("config", Shape::Text).variables(&["LEASEHOLD_CONFIG"]).flag("--config");
    STATE_DIR = Key::new("state_dir", Shape::Text).variables(&["LEASEHOLD_STATE_DIR"]).flag("--state-dir");
    PROFILE = Key::new("profile", Shape::Text).variables(&["LEASEHOLD_PROFILE"]);

    ADDRESS = Key::new("server.address", Shape::List)
        .variables(&["VAULT_ADDR", "BAO_ADDR", "VAULT_ADDRESS"]).flag("--address");
    NAMESPACE = Key::new("server.namespace", Shape::Text)
        .variables(&["VAULT_NAMESPACE", "BAO_NAMESPACE"]).flag("--namespace");
    CA_CERT = Key::new("server.ca_cert", Shape::Text)
        .variables(&["VAULT_CACERT", "BAO_CACERT"]).flag("--ca-cert");
    CA_PATH = Key::new("server.ca_path", Shape::Text)
        .variables(&["VAULT_CAPATH", "BAO_CAPATH"]).flag("--ca-path");
    CLIENT_CERT = Key::new("server.client_cert", Shape::Text)
        .variables(&["VAULT_CLIENT_CERT", "BAO_CLIENT_CERT"]).flag("--client-cert");
    CLIENT_KEY = Key::new("server.client_key", Shape::Text)
        .variables(&["VAULT_CLIENT_KEY", "BAO_CLIENT_KEY"]).flag("--client-key");
    TLS_SERVER_NAME = Key::new("server.tls_server_name", Shape::Text)
        .variables(&["VAULT_TLS_SERVER_NAME", "BAO_TLS_SERVER_NAME"]).flag("--tls-server-name");
    SKIP_VERIFY = Key::new("server.skip_verify", Shape::Switch)
        .variables(&["VAULT_SKIP_VERIFY", "BAO_SKIP_VERIFY"]).flag("--tls-skip-verify");

    METHOD = Key::new("login.method", Shape::Text).variables(&["LEASEHOLD_AUTH"]).flag("--auth");
    MOUNT = Key::new("login.mount", Shape::Text).variables(&["LEASEHOLD_AUTH_MOUNT"]).flag("--auth-mount");
    LOGIN_NAMESPACE = Key::new("login.namespace", Shape::Text)
        .variables(&["LEASEHOLD_AUTH_NAMESPACE"]).flag("--auth-namespace");
    ROLE = Key::new("login.role", Shape::Text).variables(&["LEASEHOLD_ROLE"]).flag("--role");
    ROLE_ID = Key::new("login.role_id", Shape::Text)
        .variables(&["VAULT_ROLE_ID", "BAO_ROLE_ID"]).flag("--role-id").hidden();
    ROLE_ID_FILE = Key::new("login.role_id_file", Shape::Text).flag("--role-id-file");
    SECRET_ID = Key::new("login.secret_id", Shape::Secret).variables(&["VAULT_SECRET_ID", "BAO_SECRET_ID"]);
    SECRET_ID_FILE = Key::new("login.secret_id_file", Shape::Text).flag("--secret-id-file");
    SECRET_ID_WRAPPED_AT = Key::new("login.secret_id_wrapped_at", Shape::Text)
        .variables(&["LEASEHOLD_SECRET_ID_WRAPPED_AT"]).flag("--secret-id-wrapped-at");
    JWT = Key::new("login.jwt", Shape::Secret).variables(&["VAULT_JWT", "BAO_JWT"]);
    JWT_FILE = Key::new("login.jwt_file", Shape::Text).flag("--jwt-file");
    USERNAME = Key::new("login.username", Shape::Text).variables(&["LEASEHOLD_USERNAME"]).flag("--username");
    PASSWORD = Key::new("login.password", Shape::Secret).variables(&["LEASEHOLD_PASSWORD"]);
    PASSWORD_FILE = Key::new("login.password_file", Shape::Text).flag("--password-file");
    TOKEN = Key::new("login.token", Shape::Secret).variables(&["VAULT_TOKEN", "BAO_TOKEN"]);
    TOKEN_FILE = Key::new("login.token_file", Shape::Text).flag("--token-file");

    MANIFEST = Key::new("workstation.manifest", Shape::Text)
        .variables(&["LEASEHOLD_MANIFEST"]).flag("--manifest");
    STORE = Key::new("workstation.store", Shape::Text).variables(&["LEASEHOLD_STORE"]).flag("--store");
    SEALED_FILE = Key::new("workstation.sealed_file", Shape::Text).variables(&["LEASEHOLD_SEALED_FILE"]);
    SEALED_KEY = Key::new("workstation.sealed_key", Shape::Text).variables(&["LEASEHOLD_SEALED_KEY"]);
    PASSPHRASE = Key::new("workstation.passphrase", Shape::Secret).variables(&["LEASEHOLD_PASSPHRASE"]);
    PASSPHRASE_FILE = Key::new("workstation.passphrase_file", Shape::Text)
        .variables(&["LEASEHOLD_PASSPHRASE_FILE"]);

    ALERT_TO = Key::new("alerts.to", Shape::Text);
    ALERT_LEAST = Key::new("alerts.least", Shape::Text);
    ALERT_REMINDER = Key::new("alerts.reminder", Shape::Text);
    ALERT_URL = Key::new("alerts.url", Shape::Text);
    ALERT_SECRET = Key::new("alerts.secret", Shape::Text);
    ALERT_ROUTING_KEY = Key::new("alerts.routing_key", Shape::Text);
    ALERT_ADDRESS = Key::new("alerts.address", Shape::Text);

    ON_CHANGE = Key::new("run.on_change", Shape::Text);
    STOP_SIGNAL = Key::new("run.stop_signal", Shape::Text);
    STOP_TIMEOUT = Key::new("run.stop_timeout", Shape::Text);
    REFRESH_INTERVAL = Key::new("run.refresh_interval", Shape::Text);
    PARENT_TTL = Key::new("run.parent_ttl", Shape::Text);
    START_SPREAD = Key::new("run.start_spread", Shape::Text);
}

/// The keys of a section, each with its name in it.
pub(super) fn of_section(section: &str) -> impl Iterator<Item = (&'static str, &'static Key)> {
    ALL.iter().filter_map(move |key| {
        let (own, name) = key.in_section()?;
        (own == section).then_some((name, *key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::LOGIN_VARIABLES;

    #[test]
    fn what_is_hidden_does_not_reach_a_child() {
        let hidden = ALL.iter().filter(|key| key.is_hidden).flat_map(|key| key.variables);
        let mut hidden: Vec<_> = hidden.copied().collect();
        let mut login = LOGIN_VARIABLES.to_vec();
        hidden.sort_unstable();
        login.sort_unstable();
        assert_eq!(hidden, login);
    }

    #[test]
    fn each_secret_has_a_key_for_its_file() {
        for key in ALL.iter().filter(|key| key.shape == Shape::Secret) {
            let file = format!("{}_file", key.name);
            assert!(ALL.iter().any(|other| other.name == file), "{file}");
            assert_eq!(key.flag, None, "{}", key.name);
        }
    }

    #[test]
    fn words_that_were_meant() {
        let check = |word: &str, expect: Option<&str>| {
            let known = of_section("server").map(|(name, _)| name);
            assert_eq!(leasehold::likeness::nearest(word, known), expect, "{word}");
        };
        check("adress", Some("address"));
        check("addr", Some("address"));
        check("cacert", Some("ca_cert"));
        check("skip-verify", Some("skip_verify"));
        check("colour", None);
    }

    #[test]
    fn ways_to_give_a_value() {
        let check = |keys: &[&Key], expect: &str| assert_eq!(ways(keys), expect);
        check(
            &[&SECRET_ID, &SECRET_ID_FILE],
            "set VAULT_SECRET_ID, give --secret-id-file, or write login.secret_id_file in the configuration",
        );
        check(&[&STATE_DIR], "set LEASEHOLD_STATE_DIR, or give --state-dir");
    }
}

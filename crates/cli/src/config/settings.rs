//! The settings: what is in force, with nothing left open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use leasehold::core::name::{Address, Namespace};
use leasehold::core::{Failure, Kind};
use leasehold::identity::Identity;
use leasehold::likeness::nearest;
use leasehold::transport::{ClientCertificate, Tls, TransportSettings};

use super::alerts::SinkSettings;
use super::environment::{Environment, homeless};
use super::fault::{ConfigFault, ConfigFaults, Trouble};
use super::files;
use super::flags::{self, Flags};
use super::key::{self, ALL, ways};
use super::layers::Layers;
use super::login::LoginSettings;
pub(crate) use super::profile::{OnChange, Profile};
use super::raw::{self, RawFile, RawProfile, RawSink};
use super::text::Origin;
use super::workstation::WorkstationSettings;

/// What is in force. Loading it opened no socket and no keyring, and read no secret from a file.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the server is; without an address if none is configured.
    pub(crate) server: TransportSettings,
    /// The namespace to work in.
    pub(crate) namespace: Option<Namespace>,
    /// The folder of the journal.
    pub(crate) state_dir: PathBuf,
    /// How to log in.
    pub(crate) login: LoginSettings,
    /// Where the manifest and the stores are.
    pub(crate) workstation: WorkstationSettings,
    /// Those who are told of alerts, by name.
    pub(crate) sinks: BTreeMap<String, SinkSettings>,
    /// What holds for a command without a profile.
    pub(crate) defaults: Profile,
    /// The profiles by name, each with the defaults in it.
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// The files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// The profile that `LEASEHOLD_PROFILE` names.
    chosen: Option<String>,
    rows: Vec<Row>,
}

/// One setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The name of the key, such as `server.address`.
    pub(crate) key: String,
    /// The value; none if it is a secret.
    pub(crate) value: Option<String>,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

impl Settings {
    /// Reads the files, and puts environment and flags over them.
    ///
    /// # Errors
    ///
    /// All faults that were found.
    pub(crate) fn load(given: Flags<'_>, environment: &Environment) -> Result<Self, ConfigFaults> {
        let working_dir = environment.working_dir();
        let mut layers = Layers::default();
        layers.put_environment(environment);
        for (key, texts) in flags::given(given) {
            layers.put(key, texts);
        }
        let (files, raw_profiles, raw_sinks) = read_files(&mut layers, environment);
        let defaults = Profile::defaults(&mut layers);
        let mut settings = Self {
            server: server_settings(&mut layers, working_dir),
            namespace: layers.one(&key::NAMESPACE, |text| Ok(Namespace::parse(text)?)),
            state_dir: layers.path(&key::STATE_DIR, working_dir).unwrap_or_else(|| state_dir(environment)),
            login: LoginSettings::settle(&mut layers, environment),
            workstation: WorkstationSettings::settle(&mut layers, environment),
            sinks: settle_sinks(raw_sinks, &mut layers.faults),
            profiles: settle_profiles(raw_profiles, &defaults, &mut layers.faults),
            defaults,
            files,
            chosen: layers.text(&key::PROFILE),
            rows: Vec::new(),
        };
        settings.rows = settings.rows(&layers);
        if layers.faults.is_empty() { Ok(settings) } else { Err(ConfigFaults(layers.faults)) }
    }

    /// Who we are to the server; see [`LoginSettings::identity`].
    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        self.login.identity()
    }

    /// The profile of this name, or else the one that `LEASEHOLD_PROFILE` names, or else the defaults.
    pub(crate) fn profile(&self, name: Option<&str>) -> Result<&Profile, Failure> {
        let Some(name) = name.or(self.chosen.as_deref()) else { return Ok(&self.defaults) };
        self.profiles.get(name).ok_or_else(|| {
            let hint = match self.profiles.is_empty() {
                true => "no file that was read has a [profile.NAME]; see `leasehold config check`".into(),
                false => meant(name, &self.profiles),
            };
            Failure::new(Kind::Invalid, format!("there is no profile `{name}`")).hint(hint)
        })
    }

    /// The sink for alerts of this name, or all of them.
    pub(crate) fn sinks(&self, name: Option<&str>) -> Result<Vec<&SinkSettings>, Failure> {
        if self.sinks.is_empty() {
            let message = "nobody is told of alerts: no file that was read has an [alerts.NAME]";
            return Err(Failure::new(Kind::Invalid, message).hint(
                "write one into ~/.config/leasehold/config.toml, such as [alerts.log] with to = \"log\"",
            ));
        }
        let Some(name) = name else { return Ok(self.sinks.values().collect()) };
        self.sinks.get(name).map(|sink| vec![sink]).ok_or_else(|| {
            let failure = Failure::new(Kind::Invalid, format!("there is no [alerts.{name}]"));
            failure.hint(meant(name, &self.sinks))
        })
    }

    /// Every setting that somebody made or that is found out, with its origin.
    pub(crate) fn origins(&self) -> &[Row] {
        &self.rows
    }

    fn rows(&self, layers: &Layers) -> Vec<Row> {
        let known = ALL.iter().filter_map(|key| {
            let (value, origin) = layers.shown(key).or_else(|| self.by_default(key.name))?;
            Some(Row { key: key.name.into(), value, origin })
        });
        let sinks = self.sinks.values().map(|sink| Row {
            key: format!("alerts.{}", sink.name),
            value: Some(sink.shown()),
            origin: sink.origin.clone(),
        });
        known.chain(sinks).collect()
    }

    /// The value of a key that nobody gave.
    fn by_default(&self, key: &str) -> Option<(Option<String>, Origin)> {
        let value = match key {
            "state_dir" => self.state_dir.display().to_string(),
            "workstation.manifest" => self.workstation.manifest.display().to_string(),
            "workstation.sealed_file" => self.workstation.sealed_file.display().to_string(),
            "login.method" if self.login.is_there() => self.login.method().name().to_owned(),
            _ => return None,
        };
        Some((Some(value), Origin::Default))
    }
}

/// What may have been meant by a name that is none of these.
fn meant<T>(name: &str, known: &BTreeMap<String, T>) -> String {
    let names = || known.keys().map(String::as_str);
    nearest(name, names()).map_or_else(
        || format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        |meant| format!("did you mean `{meant}`?"),
    )
}

/// Reads the files into the layers; gives their paths, and the profiles and sinks in them.
fn read_files(
    layers: &mut Layers,
    environment: &Environment,
) -> (Vec<PathBuf>, Vec<RawProfile>, Vec<RawSink>) {
    layers.text(&key::CONFIG);
    let candidates = files::candidates(layers.winner(&key::CONFIG), environment);
    let (mut paths, mut profiles, mut sinks) = (Vec::new(), Vec::new(), Vec::new());
    for (path, trust) in candidates {
        match files::read(&path, trust) {
            Ok(None) => {}
            Ok(Some(file)) => {
                let file = raw::read(&file, trust, &mut layers.faults);
                let RawFile { given, profiles: of_file, sinks: told } = file;
                given.into_iter().for_each(|(key, texts)| layers.put(key, texts));
                profiles.extend(of_file);
                sinks.extend(told);
                paths.push(path);
            }
            Err(fault) => layers.faults.push(fault),
        }
    }
    (paths, profiles, sinks)
}

/// Of two profiles with one name, the one of the later file holds, as a whole.
fn settle_profiles(
    raw: Vec<RawProfile>,
    defaults: &Profile,
    faults: &mut Vec<ConfigFault>,
) -> BTreeMap<String, Profile> {
    raw.into_iter().map(|raw| (raw.name.clone(), Profile::settle(raw, defaults, faults))).collect()
}

/// The same of sinks.
fn settle_sinks(raw: Vec<RawSink>, faults: &mut Vec<ConfigFault>) -> BTreeMap<String, SinkSettings> {
    let sinks = raw.into_iter().filter_map(|raw| SinkSettings::settle(raw, faults));
    sinks.map(|sink| (sink.name.clone(), sink)).collect()
}

fn server_settings(layers: &mut Layers, working_dir: &Path) -> TransportSettings {
    let mut server = TransportSettings::new(layers.all(&key::ADDRESS, parse_address));
    server.tls = Tls {
        ca_file: layers.path(&key::CA_CERT, working_dir),
        ca_folder: layers.path(&key::CA_PATH, working_dir),
        client: client_certificate(layers, working_dir),
        server_name: layers.text(&key::TLS_SERVER_NAME),
        skip_verify: layers.one(&key::SKIP_VERIFY, parse_switch).unwrap_or(false),
    };
    server
}

fn client_certificate(layers: &mut Layers, working_dir: &Path) -> Option<ClientCertificate> {
    let certificate = layers.path(&key::CLIENT_CERT, working_dir);
    let key = layers.path(&key::CLIENT_KEY, working_dir);
    let lonely = match (&certificate, &key) {
        (Some(_), None) => Some((&key::CLIENT_CERT, "a client certificate needs its key", &key::CLIENT_KEY)),
        (None, Some(_)) => Some((&key::CLIENT_KEY, "a client key needs its certificate", &key::CLIENT_CERT)),
        _ => None,
    };
    let fault = lonely.and_then(|(given, message, missing)| {
        layers.winner(given).map(|text| text.fault(message).hint(ways(&[missing])))
    });
    layers.faults.extend(fault);
    Some(ClientCertificate { certificate: certificate?, key: key? })
}

/// Parses an address. One with user information is not shown: there may be a password in it.
fn parse_address(text: &str) -> Result<Address, Trouble> {
    Address::parse(text).map_err(|fault| match text.contains('@') {
        true => Trouble::unseen("an address has no user information in it"),
        false => fault.into(),
    })
}

/// Parses a switch in the words that the official command line takes.
fn parse_switch(text: &str) -> Result<bool, Trouble> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Trouble::at(0, "this is neither true nor false")),
    }
}

fn state_dir(environment: &Environment) -> PathBuf {
    let state = environment.folder("XDG_STATE_HOME").or_else(|| environment.below_home(".local/state"));
    state.map_or_else(homeless, |folder| folder.join("leasehold"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::arguments::login::LoginArguments;
    use crate::arguments::server::ServerArguments;
    use crate::arguments::workstation::WorkstationArguments;
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

    /// The settings by these variables and flags.
    pub(in crate::config) fn settings_of(pairs: &[(&str, &str)], words: &[&str]) -> Result<Settings, String> {
        let line = Line::parse_from(["leasehold"].iter().chain(words));
        let environment = pairs.iter().copied().collect();
        let flags = Flags { server: &line.server, login: &line.login, workstation: &line.workstation };
        Settings::load(flags, &environment).map_err(|faults| faults.to_string())
    }

    /// The identity by these variables and flags.
    pub(in crate::config) fn login_of(pairs: &[(&str, &str)], words: &[&str]) -> Result<Identity, Failure> {
        settings_of(pairs, words).unwrap().identity()
    }

    /// The settings by a file with this text, and these variables and flags.
    fn with_file(text: &str, pairs: &[(&str, &str)], words: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        let words: Vec<_> = words.iter().copied().chain(["--config", path.to_str().unwrap()]).collect();
        let folder = format!("{}/", folder.path().display());
        settings_of(pairs, &words).map_err(|faults| faults.replace(&folder, ""))
    }

    fn row(settings: &Settings, key: &str) -> Option<(Option<String>, String)> {
        let row = settings.origins().iter().find(|row| row.key == key)?;
        let origin = row.origin.to_string();
        Some((row.value.clone(), origin.rsplit('/').next().unwrap_or_default().to_owned()))
    }

    #[test]
    fn each_layer_goes_before_the_one_below() {
        let check = |text: &str, pairs: &[(&str, &str)], words: &[&str], value: &str, origin: &str| {
            let settings = with_file(text, pairs, words).unwrap();
            let got = row(&settings, "server.namespace").unwrap_or_default();
            assert_eq!(
                (got.0.as_deref().unwrap_or_default(), &*got.1),
                (value, origin),
                "{text} {pairs:?} {words:?}"
            );
            assert_eq!(settings.namespace.map(|name| name.to_string()).unwrap_or_default(), value);
        };
        let file = "[server]\n\nnamespace = 'file'";
        check("", &[], &[], "", "");
        check(file, &[], &[], "file", "x.toml:3");
        check(file, &[("BAO_NAMESPACE", "variable")], &[], "variable", "BAO_NAMESPACE");
        check(file, &[("BAO_NAMESPACE", "variable")], &["--namespace", "flag"], "flag", "--namespace");
    }

    #[test]
    fn switches() {
        let check = |value: &str, expect: Result<bool, ()>| {
            let got = settings_of(&[("VAULT_SKIP_VERIFY", value)], &[]);
            assert_eq!(
                got.map(|settings| settings.server.tls.skip_verify).map_err(drop),
                expect,
                "{value:?}"
            );
        };
        check("", Ok(false));
        check("1", Ok(true));
        check("true", Ok(true));
        check("F", Ok(false));
        check("yes", Err(()));
        check("tRUE", Err(()));
    }

    #[test]
    fn faults_name_their_place_and_show_no_secret() {
        let check = |text: &str, pairs: &[(&str, &str)], words: &[&str], expect: &str| {
            assert_eq!(with_file(text, pairs, words).unwrap_err(), expect);
        };
        check(
            "",
            &[("VAULT_ADDR", "http://x:0")],
            &[],
            "the configuration has a fault\n\
            VAULT_ADDR: a port is a number from 1 to 65535\n  http://x:0\n           ^",
        );
        check(
            "[server]\naddress = ['http://x', 'http://u:canary@x']",
            &[],
            &[],
            "the configuration has a fault\n\
            x.toml:2:24: an address has no user information in it",
        );
        check(
            "[server]\naddress = 'y'\n[run]\nstop_timeout = '10'",
            &[("VAULT_ADDR", "http://x")],
            &["--auth-mount", "a//b"],
            "the configuration has 3 faults\n\
            x.toml:4:19: a time is whole numbers with the units d, h, m, s, ms in this order, such as 1h30m or 10s\n  10\n    ^\n\
            x.toml:2:12: an address begins with https://, http:// or unix://\n  y\n  ^\n\
            --auth-mount: an empty part in the path\n  a//b\n    ^",
        );
        check(
            "[server]\nclient_cert = 'c.pem'",
            &[],
            &[],
            "the configuration has a fault\n\
            x.toml:2:15: a client certificate needs its key\n  \
            hint: set VAULT_CLIENT_KEY, give --client-key, or write server.client_key in the configuration",
        );
        check(
            "[login]\nrole_id = 'a'\nrole_id_file = 'b'",
            &[],
            &[],
            "the configuration has a fault\n\
            x.toml:3:16: both login.role_id and login.role_id_file are given: one is enough",
        );
        check(
            "[profile.a]\nenv = { A = 'canary' }",
            &[],
            &[],
            "the configuration has a fault\n\
            x.toml:2:13: a reference begins with vault://, env://, file://, keyring://, sealed:// or kernel://\n  \
            hint: a secret itself does not belong here: store it on the server, and name its place, such as \
            vault://secret/db#password",
        );
    }

    #[test]
    fn a_variable_that_is_not_used_is_no_fault() {
        let settings = settings_of(&[("VAULT_ADDR", "nonsense")], &["--address", "http://x"]).unwrap();
        assert_eq!(settings.server.addresses, [Address::parse("http://x").unwrap()]);
    }

    #[test]
    fn profiles_have_the_defaults_in_them() {
        let text = "[run]\non_change = 'signal'\nstop_timeout = '5s'\n[profile.web]\non_change = 'restart'\n\
            env = { A = 'vault://a/b#c' }\nenv_from = ['vault://a/b']\nfiles = { 'tls/key' = 'vault://a/b#c' }";
        let settings = with_file(text, &[("LEASEHOLD_PROFILE", "web")], &[]).unwrap();
        let web = settings.profile(None).unwrap();
        assert_eq!(web.on_change, Some(OnChange::Restart));
        assert_eq!(web.stop_timeout, Some(std::time::Duration::from_secs(5)));
        assert_eq!((web.env.len(), web.env_from.len(), web.files.len()), (1, 1, 1));
        assert_eq!(settings.defaults.on_change, Some(OnChange::Signal("HUP".into())));
        let failure = settings.profile(Some("wep")).unwrap_err();
        assert_eq!(
            (failure.message(), failure.advice()),
            ("there is no profile `wep`", Some("did you mean `web`?"))
        );
    }

    #[test]
    fn without_a_profile_the_defaults_hold() {
        let text = "[run]\nrefresh_interval = '5m'\nparent_ttl = '2m'\nstart_spread = '30s'";
        let settings = with_file(text, &[], &[]).unwrap();
        let (defaults, seconds) = (settings.profile(None).unwrap(), std::time::Duration::from_secs);
        assert_eq!(
            (defaults.refresh_interval, defaults.parent_ttl, defaults.start_spread),
            (Some(seconds(300)), Some(seconds(120)), Some(seconds(30)))
        );
    }

    /// The settings by the user's own file and one in the working directory.
    fn with_two_files(own: &str, found: &str, mode: u32) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = std::fs::File::create(&path).unwrap();
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        write(folder.path().join("home/.config/leasehold/config.toml"), own);
        write(folder.path().join("work/leasehold.toml"), found);
        let environment: Environment = [("HOME", folder.path().join("home"))].into_iter().collect();
        let environment = environment.within(&folder.path().join("work"));
        let (server, login, workstation) =
            <(ServerArguments, LoginArguments, WorkstationArguments)>::default();
        Settings::load(Flags { server: &server, login: &login, workstation: &workstation }, &environment)
            .map_err(|faults| faults.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn the_nearer_file_goes_before() {
        let own = "[server]\naddress = 'http://x'\n[run]\non_change = 'ignore'\n[profile.a]\n[profile.b]";
        let found = "[run]\non_change = 'restart'\n[profile.b]\nstop_signal = 'INT'\n[profile.c]";
        let settings = with_two_files(own, found, 0o644).unwrap();
        assert_eq!(settings.files.len(), 2);
        assert_eq!(settings.server.addresses.len(), 1);
        assert_eq!(settings.defaults.on_change, Some(OnChange::Restart));
        assert_eq!(settings.profiles.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(settings.profiles["b"].stop_signal.as_deref(), Some("INT"));
    }

    #[test]
    fn a_found_file_cannot_send_a_login_elsewhere() {
        let fault = with_two_files("", "[server]\naddress = 'http://evil'", 0o644).unwrap_err();
        assert!(fault.contains("work/leasehold.toml:1:2: [server] is not read from"), "{fault}");
    }

    #[test]
    fn a_file_that_others_can_write_to_is_not_read() {
        let fault = with_two_files("nonsense", "nonsense", 0o666).unwrap_err();
        assert_eq!(
            fault,
            "the configuration has 2 faults\n\
             home/.config/leasehold/config.toml: others can write to this file\n  \
             hint: chmod go-w home/.config/leasehold/config.toml\n\
             work/leasehold.toml: others can write to this file\n  hint: chmod go-w work/leasehold.toml"
        );
    }

    #[test]
    fn secrets_are_in_no_row_and_no_debug() {
        let pairs = [
            ("VAULT_TOKEN", "canary"),
            ("VAULT_ROLE_ID", "canary"),
            ("BAO_SECRET_ID", "canary"),
            ("VAULT_JWT", "canary"),
            ("LEASEHOLD_PASSWORD", "canary"),
        ];
        let settings = settings_of(&pairs, &["--address", "http://x"]).unwrap();
        let hidden = settings.origins().iter().filter(|row| row.value.is_none()).count();
        assert_eq!(hidden, pairs.len());
        assert!(!format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn where_the_journal_is() {
        let check = |pairs: &[(&str, &str)], words: &[&str], expect: &str| {
            assert_eq!(
                settings_of(pairs, words).unwrap().state_dir,
                Path::new(expect),
                "{pairs:?} {words:?}"
            );
        };
        let own = format!("/var/tmp/leasehold-{}", nix::unistd::geteuid());
        check(&[], &[], &own);
        check(&[("HOME", "/home/a")], &[], "/home/a/.local/state/leasehold");
        check(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "/state")], &[], "/state/leasehold");
        check(&[("LEASEHOLD_STATE_DIR", "/own")], &[], "/own");
        check(&[("LEASEHOLD_STATE_DIR", "/own")], &["--state-dir", "flag"], "/flag");
    }
}

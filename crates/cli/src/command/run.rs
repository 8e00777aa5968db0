//! `leasehold run`: a command with its secrets, and nothing left behind.

mod alarms;
mod bindings;
mod program;
mod providers;
mod sources;
mod supervise;

use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold::child::{ChildSignal, Exit as ChildExit, Signals};
use leasehold::core::name::VaultReference;
use leasehold::core::policy::Every;
use leasehold::core::{Failure, Kind, Policy};
use leasehold::credential::Credential;
use leasehold::session::Session;
use leasehold::store::ServerStore;

use self::alarms::Alarms;
use self::bindings::Bindings;
use self::providers::{Keys, Wanted};
use self::sources::Sources;
use self::supervise::{Ended, Supervisor};
use crate::arguments::run::RunArguments;
use crate::command::workstation::workstation;
use crate::command::{CLOSING, PARENT_TTL, block_on, guarded, session, settings_at, tell_owed};
use crate::config::environment::Environment;
use crate::config::settings::OnChange;
use crate::config::settings::Settings;
use crate::exit::{self, Exit};
use crate::ui::Ui;

/// How often places of this workstation are read again.
const REFRESH: Duration = Duration::from_secs(65);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// With less than this left it is told that a credential ends, where anybody is told.
const EXPIRING: Duration = Duration::from_secs(24 * 3600);
/// How much longer a replaced credential lives than a restart may take.
const OVERLAP: Duration = Duration::from_secs(20);

/// Runs the command. Whatever fails before it has started is our own failure.
///
/// The command may leave core files up to this limit, in bytes, as our caller allows it.
pub(crate) fn run(arguments: &RunArguments, environment: &Environment, core_limit: u64, ui: Ui) -> Exit {
    attempt(arguments, environment, core_limit, ui).unwrap_or_else(|(exit, failure)| {
        ui.failure(&failure);
        exit
    })
}

fn attempt(
    arguments: &RunArguments,
    environment: &Environment,
    core_limit: u64,
    ui: Ui,
) -> Result<Exit, (Exit, Failure)> {
    let own = |failure| (Exit(exit::OWN), failure);
    let mut order = Order::new(arguments, environment, core_limit).map_err(own)?;
    // Before anything is obtained for it.
    let (program, command) = program::resolve(&order.command, environment)?;
    order.command = command;
    block_on(order.carry_out(program, ui)).map_err(own)
}

/// What is to be run, and how.
struct Order<'a> {
    settings: Settings,
    environment: &'a Environment,
    bindings: Bindings,
    wanted: Option<Wanted>,
    command: Vec<std::ffi::OsString>,
    on_change: Action,
    stop_signal: ChildSignal,
    stop_timeout: Duration,
    refresh_interval: Option<Duration>,
    parent_ttl: Duration,
    start_spread: Duration,
    keep_login: bool,
    core_limit: u64,
    /// Whether all that the command needs is there.
    is_prepared: Cell<bool>,
}

/// What the command gets when a secret changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ignore,
    Signal(ChildSignal),
    Restart,
}

impl<'a> Order<'a> {
    fn new(arguments: &RunArguments, environment: &'a Environment, core_limit: u64) -> Result<Self, Failure> {
        let settings = settings_at(&arguments.connection, &arguments.workstation, environment)?;
        let profile = settings.profile(arguments.profile.as_deref())?;
        let on_change = arguments.on_change.as_ref().or(profile.on_change.as_ref());
        let stop_signal = arguments.stop_signal.as_deref().or(profile.stop_signal.as_deref());
        let bindings = Bindings::collect(arguments, profile)?;
        Ok(Self {
            environment,
            wanted: Wanted::of(arguments, &settings, &bindings)?,
            bindings,
            command: arguments.command.clone(),
            on_change: action(on_change)?,
            stop_signal: signal(stop_signal.unwrap_or("TERM"))?,
            stop_timeout: arguments.stop_timeout.or(profile.stop_timeout).unwrap_or(STOP_TIMEOUT),
            refresh_interval: arguments.refresh_interval.or(profile.refresh_interval),
            parent_ttl: arguments.parent_ttl.or(profile.parent_ttl).unwrap_or(PARENT_TTL),
            start_spread: profile.start_spread.unwrap_or_default(),
            keep_login: arguments.keep_login,
            core_limit,
            is_prepared: Cell::new(false),
            settings,
        })
    }

    async fn carry_out(self, program: PathBuf, ui: Ui) -> Result<Exit, Failure> {
        // From here on a signal ends the work in good order.
        let mut signals = Signals::listen()?;
        let session = self.session()?;
        let mut alarms = Alarms::of(&self, session.as_ref(), ui);
        let life = guarded(async {
            tokio::select! {
                sources = self.prepare(session.as_ref(), ui) => {
                    let sources = sources?;
                    self.is_prepared.set(true);
                    Supervisor::new(&self, program, sources, ui)?.run(&mut signals).await.map(Life::Ended)
                }
                signal = signals.next_end() => Ok(Life::None(signal)),
            }
        });
        let mut result = tokio::select! {
            biased;
            life = life => life,
            never = alarms.listen(session.as_ref()) => match never {},
        };
        alarms.hear_rest(session.as_ref()).await;
        let rest = async {
            if let Ok(Life::Ended(ended)) = &mut result {
                ended.end_rest(&mut signals).await;
            }
        };
        let closing = async {
            if let Some(session) = session {
                tell_owed(ui, &session.close(CLOSING).await);
            }
        };
        // What the child left running has no say in how long its secrets live.
        tokio::join!(closing, rest, alarms.end());
        result.map(|life| life.exit())
    }

    /// A session, if a server has to be asked.
    fn session(&self) -> Result<Option<Session>, Failure> {
        let is_bound = self.bindings.vault_references().next().is_some();
        let wanted = self.wanted.as_ref().filter(|wanted| wanted.is_on_server(&self.settings));
        if !is_bound && wanted.is_none() {
            return Ok(None);
        }
        match session(&self.settings, self.parent_ttl, self.start_spread, self.policy()) {
            // Without a login the policy passes over the providers whose keys are on a server.
            Err(_) if !is_bound && wanted.is_some_and(Wanted::is_by_policy) => Ok(None),
            session => session.map(Some),
        }
    }

    /// Finds out what is bound to what, and fetches all of it.
    async fn prepare(&self, session: Option<&Session>, ui: Ui) -> Result<Sources, Failure> {
        let (mut bindings, mut keys) = (self.bindings.clone(), Keys::default());
        let here = workstation(&self.settings, self.environment)?;
        if let Some(wanted) = &self.wanted {
            let workstation = here.clone();
            let workstation = match session {
                Some(session) => workstation.with_server(Arc::new(ServerStore::new(session))),
                // There is none although it is needed, since there is no login: that is why.
                None if wanted.is_on_server(&self.settings) => match self.settings.identity() {
                    Err(failure) => workstation.without_server(failure),
                    Ok(_) => workstation,
                },
                None => workstation,
            };
            keys = wanted.bind(&mut bindings, &workstation, ui).await?;
        }
        let credentials = match session {
            Some(session) => fetch(session, &bindings).await?,
            None => HashMap::new(),
        };
        let interval = self.refresh_interval.unwrap_or(REFRESH);
        Sources::open(bindings, keys, credentials, here, interval, ui).await
    }

    fn policy(&self) -> Policy {
        let usual = Policy::default();
        let refresh = self.refresh_interval.map(Every::exactly).or(usual.refresh);
        let expiring = (!self.settings.sinks.is_empty()).then_some(EXPIRING);
        Policy { refresh, expiring, overlap: usual.overlap.max(self.stop_timeout + OVERLAP), ..usual }
    }
}

/// Fetches all secrets from the server, together.
async fn fetch(
    session: &Session,
    bindings: &Bindings,
) -> Result<HashMap<VaultReference, Credential>, Failure> {
    let mut credentials = HashMap::new();
    let mut references = bindings.vault_references().peekable();
    if references.peek().is_some() {
        session.log_in().await?;
    }
    for reference in references {
        let credential = session.ask(reference).await.map_err(|failure| failure.context(reference))?;
        credentials.insert(reference.clone(), credential);
    }
    Ok(credentials)
}

/// What became of the command.
enum Life {
    /// It was not started: this signal came first.
    None(ChildSignal),
    Ended(Ended),
}

impl Life {
    fn exit(&self) -> Exit {
        Exit(match self {
            Self::None(signal) => ChildExit::Signal(*signal).code(),
            Self::Ended(ended) => ended.exit.code(),
        })
    }
}

fn action(on_change: Option<&OnChange>) -> Result<Action, Failure> {
    Ok(match on_change {
        None | Some(OnChange::Ignore) => Action::Ignore,
        Some(OnChange::Signal(name)) => Action::Signal(signal(name)?),
        Some(OnChange::Restart) => Action::Restart,
    })
}

fn signal(name: &str) -> Result<ChildSignal, Failure> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse().map_err(|_| {
        Failure::new(Kind::Invalid, format!("`{name}` is no signal")).hint("such as TERM, HUP, INT, USR1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name() {
        for (name, expect) in [
            ("TERM", Some(ChildSignal::SIGTERM)),
            ("sigusr1", Some(ChildSignal::SIGUSR1)),
            ("NOPE", None),
            ("", None),
        ] {
            assert_eq!(signal(name).ok(), expect, "{name}");
        }
    }
}

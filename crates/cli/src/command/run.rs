//! `leasehold run`: a command with its secrets, and nothing left behind.

mod bindings;
mod program;
mod supervise;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use leasehold::child::{ChildSignal, Exit as ChildExit, Signals};
use leasehold::core::name::VaultReference;
use leasehold::core::policy::Every;
use leasehold::core::{Failure, Kind, Policy};
use leasehold::credential::Credential;
use leasehold::session::Session;

use self::bindings::Bindings;
use self::supervise::{Ended, Supervisor};
use crate::arguments::run::RunArguments;
use crate::command::{CLOSING, PARENT_TTL, block_on, guarded, session, settings, tell_owed};
use crate::config::environment::Environment;
use crate::config::settings::OnChange;
use crate::config::settings::Settings;
use crate::exit::{self, Exit};
use crate::ui::Ui;

const STOP_TIMEOUT: Duration = Duration::from_secs(10);
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
    let order = Order::new(arguments, environment, core_limit).map_err(own)?;
    // Before anything is obtained for it.
    let program = program::find(&order.command[0], environment)?;
    block_on(order.carry_out(program, ui)).map_err(own)
}

/// What is to be run, and how.
struct Order<'a> {
    settings: Settings,
    environment: &'a Environment,
    bindings: Bindings,
    command: Vec<std::ffi::OsString>,
    on_change: Action,
    stop_signal: ChildSignal,
    stop_timeout: Duration,
    refresh_interval: Option<Duration>,
    parent_ttl: Duration,
    start_spread: Duration,
    keep_login: bool,
    core_limit: u64,
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
        let settings = settings(&arguments.connection, environment)?;
        let profile = settings.profile(arguments.profile.as_deref())?;
        let on_change = arguments.on_change.as_ref().or(profile.on_change.as_ref());
        let stop_signal = arguments.stop_signal.as_deref().or(profile.stop_signal.as_deref());
        Ok(Self {
            environment,
            bindings: Bindings::collect(arguments, profile)?,
            command: arguments.command.clone(),
            on_change: action(on_change)?,
            stop_signal: signal(stop_signal.unwrap_or("TERM"))?,
            stop_timeout: arguments.stop_timeout.or(profile.stop_timeout).unwrap_or(STOP_TIMEOUT),
            refresh_interval: arguments.refresh_interval.or(profile.refresh_interval),
            parent_ttl: arguments.parent_ttl.or(profile.parent_ttl).unwrap_or(PARENT_TTL),
            start_spread: profile.start_spread.unwrap_or_default(),
            keep_login: arguments.keep_login,
            core_limit,
            settings,
        })
    }

    async fn carry_out(self, program: PathBuf, ui: Ui) -> Result<Exit, Failure> {
        // From here on a signal ends the work in good order.
        let mut signals = Signals::listen()?;
        if self.bindings.vault_references().next().is_none() {
            let mut ended = self.supervise(program, HashMap::new(), &mut signals, ui).await?;
            ended.end_rest(&mut signals).await;
            return Ok(Exit(ended.exit.code()));
        }
        let session = session(&self.settings, self.parent_ttl, self.start_spread, self.policy())?;
        let result = guarded(async {
            tokio::select! {
                credentials = self.fetch(&session) => {
                    self.supervise(program, credentials?, &mut signals, ui).await.map(Life::Ended)
                }
                signal = signals.next_end() => Ok(Life::None(signal)),
            }
        });
        let mut result = result.await;
        let rest = async {
            if let Ok(Life::Ended(ended)) = &mut result {
                ended.end_rest(&mut signals).await;
            }
        };
        // What the child left running has no say in how long its secrets live.
        let (owed, ()) = tokio::join!(session.close(CLOSING), rest);
        tell_owed(ui, &owed);
        result.map(|life| life.exit())
    }

    fn policy(&self) -> Policy {
        let usual = Policy::default();
        let refresh = self.refresh_interval.map(Every::exactly).or(usual.refresh);
        Policy { refresh, overlap: usual.overlap.max(self.stop_timeout + OVERLAP), ..usual }
    }

    /// Fetches all secrets, together.
    async fn fetch(&self, session: &Session) -> Result<HashMap<VaultReference, Credential>, Failure> {
        session.log_in().await?;
        let mut credentials = HashMap::new();
        for reference in self.bindings.vault_references() {
            let credential = session.ask(reference).await.map_err(|failure| failure.context(reference))?;
            credentials.insert(reference.clone(), credential);
        }
        Ok(credentials)
    }

    async fn supervise(
        &self,
        program: PathBuf,
        credentials: HashMap<VaultReference, Credential>,
        signals: &mut Signals,
        ui: Ui,
    ) -> Result<Ended, Failure> {
        Supervisor::new(self, program, credentials, ui)?.run(signals).await
    }
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

//! The child's life: started with its values, signalled, told of rotations, restarted, ended.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use leasehold::child::{Child, ChildSignal, Exit, Plan, Signals};
use leasehold::core::Failure;
use leasehold::credential::Credential;
use leasehold::files::{self, Files};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bindings::Values;
use super::sources::{Locals, Sources};
use super::{Action, Order};
use crate::config::environment::LOGIN_VARIABLES;
use crate::ui::Ui;

/// The variable that tells the command where its files are.
const FILES: &str = "LEASEHOLD_FILES";
/// Secrets that change within this time of each other are one change.
const SETTLING: Duration = Duration::from_millis(50);

pub(super) struct Supervisor<'a> {
    order: &'a Order<'a>,
    program: PathBuf,
    sources: Sources,
    files: Option<Files>,
    ui: Ui,
}

/// Why the child is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    ToEnd,
    ToRestart,
}

/// A child that has ended; what it started may still run.
pub(super) struct Ended {
    pub(super) exit: Exit,
    child: Child,
    /// Until when what is left may take to stop.
    limit: Instant,
}

impl Ended {
    /// Ends what is left. A signal that asks us to end leaves it no more time.
    pub(super) async fn end_rest(&mut self, signals: &mut Signals) {
        if self.is_followed_by_a_signal(signals).await {
            self.child.end_rest(Instant::now()).await;
        }
    }

    /// Ends what is left, unless there is a signal first that asks us to end.
    async fn is_followed_by_a_signal(&mut self, signals: &mut Signals) -> bool {
        tokio::select! {
            () = self.child.end_rest(self.limit) => false,
            _ = signals.next_end() => true,
        }
    }
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        order: &'a Order<'a>,
        program: PathBuf,
        sources: Sources,
        ui: Ui,
    ) -> Result<Self, Failure> {
        let places = order.environment.private_places();
        files::clear(&places);
        let files = sources.has_files().then(|| Files::create(&places));
        Ok(Self { order, program, sources, files: files.transpose()?, ui })
    }

    /// Runs the child, and its successors, to the end of the last.
    pub(super) async fn run(mut self, signals: &mut Signals) -> Result<Ended, Failure> {
        let mut changes = Changes::of(&self.sources);
        let mut child = self.start()?;
        let mut stopping: Option<(Stopping, Instant)> = None;
        loop {
            let kill_at = stopping.map(|(_, at)| at);
            tokio::select! {
                // A signal that came before the child's end is not for its successor.
                biased;
                signal = signals.next() => {
                    match signal {
                        ChildSignal::SIGTERM => child.ask_to_stop(),
                        _ => child.forward(signal),
                    }
                    stopping = self.after(signal, stopping);
                }
                exit = child.wait() => match stopping {
                    Some((Stopping::ToRestart, limit)) if !self.was_interrupted(exit) => {
                        let mut ended = Ended { exit, child, limit };
                        if ended.is_followed_by_a_signal(signals).await {
                            return Ok(ended);
                        }
                        stopping = None;
                        child = self.start()?;
                    }
                    _ => {
                        let limit = stopping.map_or_else(|| self.limit(), |(_, at)| at);
                        return Ok(Ended { exit, child, limit });
                    }
                },
                () = changes.next() => if self.is_told(&child) && stopping.is_none() {
                    child.ask_to_stop();
                    stopping = Some((Stopping::ToRestart, self.limit()));
                },
                () = until(kill_at) => {
                    self.ui.warn("the command did not stop in time, and is killed");
                    child.kill();
                    stopping = stopping.map(|(why, at)| (why, at + self.order.stop_timeout));
                }
            }
        }
    }

    /// What a signal makes of a stop: it ends a restart, and a second one does not put the limit off.
    fn after(
        &self,
        signal: ChildSignal,
        stopping: Option<(Stopping, Instant)>,
    ) -> Option<(Stopping, Instant)> {
        match signal {
            ChildSignal::SIGTERM => {
                Some((Stopping::ToEnd, stopping.map_or_else(|| self.limit(), |(_, at)| at)))
            }
            ChildSignal::SIGINT | ChildSignal::SIGQUIT => stopping.map(|(_, at)| (Stopping::ToEnd, at)),
            _ => stopping,
        }
    }

    /// Whether somebody at the terminal ended the child while it was to be restarted.
    fn was_interrupted(&self, exit: Exit) -> bool {
        let typed = [ChildSignal::SIGINT, ChildSignal::SIGQUIT].map(Exit::Signal);
        typed.contains(&exit) && exit != Exit::Signal(self.order.stop_signal)
    }

    fn limit(&self) -> Instant {
        Instant::now() + self.order.stop_timeout
    }

    /// Starts the child with the values as they are now.
    fn start(&mut self) -> Result<Child, Failure> {
        let values = self.sources.values()?;
        self.write(&values)?;
        Child::start(&Plan {
            program: self.program.clone(),
            arguments: self.order.command.clone(),
            environment: self.environment(&values),
            stop_signal: self.order.stop_signal,
            core_limit: self.order.core_limit,
        })
    }

    /// Our own environment, without the login, and with what was asked for.
    fn environment(&self, values: &Values) -> Vec<(OsString, OsString)> {
        let is_kept = |name: &OsString| {
            self.order.keep_login || !LOGIN_VARIABLES.iter().any(|login| name.as_os_str() == *login)
        };
        let own = self.order.environment.all().filter(|(name, _)| is_kept(name));
        let files = self.files.iter().map(|files| (FILES.into(), files.folder().into()));
        let asked = values.env.iter().map(|(name, value)| (name.into(), value.expose().into()));
        own.chain(files).chain(asked).collect()
    }

    fn write(&mut self, values: &Values) -> Result<(), Failure> {
        let Some(files) = &mut self.files else { return Ok(()) };
        for (path, value) in &values.files {
            files.put(path, value.expose())?;
        }
        Ok(())
    }

    /// Carries a rotation to the child: files first, then a signal. Says whether a restart is needed.
    fn is_told(&mut self, child: &Child) -> bool {
        if let Err(failure) = self.sources.values().and_then(|values| self.write(&values)) {
            // What the child has stays as it is; the next change is another chance.
            self.ui.warn(&format!("a rotation was not handed over: {failure}"));
            return false;
        }
        match self.order.on_change {
            Action::Ignore => false,
            Action::Signal(signal) => {
                child.signal(signal);
                false
            }
            Action::Restart => true,
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The changes of what the command gets.
struct Changes {
    watched: JoinSet<Option<Credential>>,
    /// What is on this workstation.
    local: watch::Receiver<Locals>,
    /// When the change that is under way counts as a whole.
    settled: Option<Instant>,
}

impl Changes {
    fn of(sources: &Sources) -> Self {
        let mut changes = Self { watched: JoinSet::new(), local: sources.locals(), settled: None };
        sources.credentials().for_each(|credential| changes.watch(credential.clone()));
        changes
    }

    fn watch(&mut self, mut credential: Credential) {
        self.watched.spawn(async move { credential.changed().await.then_some(credential) });
    }

    /// Returns when something has changed. What changes together is one change.
    ///
    /// Cancelling it loses nothing.
    async fn next(&mut self) {
        loop {
            let settled = self.settled;
            tokio::select! {
                Some(changed) = self.watched.join_next() => if let Ok(Some(credential)) = changed {
                    self.watch(credential);
                    self.settled.get_or_insert_with(|| Instant::now() + SETTLING);
                },
                Ok(()) = self.local.changed() => {
                    self.settled.get_or_insert_with(|| Instant::now() + SETTLING);
                }
                () = until(settled) => break,
            }
        }
        self.settled = None;
    }
}

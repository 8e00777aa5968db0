//! A process with its credentials: started, signalled, waited for, stopped.
//!
//! The child gets a process group of its own, and the terminal whenever we have it. Only in a pipeline or a script on a
//! terminal it stays in ours. It is started by way of a
//! [launcher](launch), so that the kernel signals it when we die. On Linux nothing that it starts outlives it for long:
//! this process becomes the parent of all orphans below it, asks them to stop, and kills those that do not.

mod descendants;
mod launch;
mod terminal;

use std::ffi::OsString;
use std::path::PathBuf;
use std::task::Poll;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill, killpg, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, timeout, timeout_at};

use leasehold_core::{Failure, Kind};

use descendants::Descendants;
pub use launch::{LAUNCH, launch};
pub use nix::sys::signal::Signal as ChildSignal;
use terminal::{AfterStop, Terminal};

/// How long the kernel may take to end what is killed.
const DYING: Duration = Duration::from_millis(100);
/// How often those that have come meanwhile are killed too.
const ROUNDS: usize = 20;

/// What to start.
pub struct Plan {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments, the name by which it is called first.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The signal that asks it to stop, and that it gets when we die.
    pub stop_signal: Signal,
    /// The largest core file that it may leave, in bytes (the soft limit; the hard one is ours).
    pub core_limit: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
}

impl Exit {
    /// The exit code by which a shell tells it: a signal's is 128 and its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => u8::try_from(code & 0xFF).unwrap_or(u8::MAX),
            Self::Signal(signal) => 128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(127)),
        }
    }
}

/// A running process.
///
/// Whoever has one starts no other processes by other means: all children of this process are waited for here.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    stop_signal: Signal,
    /// Tells that a child changed its state.
    news: unix::Signal,
    terminal: Terminal,
    descendants: Descendants,
}

impl Child {
    /// Starts the process. The standard streams are ours.
    pub fn start(plan: &Plan) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Kind::Broken, format!("cannot start {}: {error}", plan.program.display()))
        };
        let news = unix::signal(SignalKind::child()).map_err(|error| failed(&error))?;
        let terminal = Terminal::of_this_process();
        let descendants = Descendants::adopt().map_err(|error| failed(&error))?;
        // From the background, giving the terminal away is allowed to whoever blocks this signal.
        SigSet::from(Signal::SIGTTOU).thread_block().map_err(|error| failed(&error))?;
        let pid = launch::spawn(plan, &terminal).map_err(|error| failed(&error))?;
        let child = Self { pid, stop_signal: plan.stop_signal, news, terminal, descendants };
        child.open_gate().map_err(|error| failed(&error))?;
        Ok(child)
    }

    /// Where the terminal is handed over, the launcher waits, stopped, until that is done.
    fn open_gate(&self) -> nix::Result<()> {
        if !self.terminal.is_handed_over() {
            return Ok(());
        }
        match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => {}
            // It has ended at the gate, and is waited for: there is no child.
            _ => return Err(Errno::ECHILD),
        }
        self.terminal.give(self.pid);
        killpg(self.pid, Signal::SIGCONT)
    }

    /// Waits for the end. A child that is stopped from the terminal takes us along, and goes on with us.
    ///
    /// Cancelling it loses nothing.
    pub async fn wait(&mut self) -> Exit {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::StillAlive) => drop(self.news.recv().await),
                // Somebody else has waited for it; what nobody can tell is no success.
                Err(Errno::ECHILD) => return self.ended(Exit::Code(255)),
                // An orphan that fell to us.
                Ok(status) if status.pid() != Some(self.pid) => {}
                Ok(WaitStatus::Exited(_, code)) => return self.ended(Exit::Code(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => return self.ended(Exit::Signal(signal)),
                Ok(WaitStatus::Stopped(_, signal)) => self.stopped(signal),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Ends what the child has left running, once it has ended itself: asks it to stop, and kills what is still there
    /// at this instant.
    ///
    /// Cancelling it loses nothing: it can be asked for again.
    pub async fn end_rest(&mut self, limit: Instant) {
        let left = self.descendants.count();
        if left == 0 {
            return;
        }
        tracing::info!("the command left {left} processes running: they are asked to stop");
        self.descendants.signal(Signal::SIGTERM);
        self.descendants.signal(Signal::SIGCONT);
        if timeout_at(limit, self.until_none_is_left()).await.is_err() {
            self.kill_rest().await;
        }
    }

    async fn kill_rest(&mut self) {
        tracing::info!("those that are left did not stop in time, and are killed");
        for _ in 0..ROUNDS {
            self.descendants.signal(Signal::SIGKILL);
            if timeout(DYING, self.until_none_is_left()).await.is_ok() {
                return;
            }
        }
        let left = self.descendants.count();
        tracing::warn!("{left} processes that the command left running cannot be ended");
    }

    /// Each one's end is news, sooner or later: what is below another falls to us when that one ends.
    async fn until_none_is_left(&mut self) {
        loop {
            while waitpid(None, Some(WaitPidFlag::WNOHANG))
                .is_ok_and(|status| status != WaitStatus::StillAlive)
            {}
            if self.descendants.count() == 0 {
                return;
            }
            self.news.recv().await;
        }
    }

    fn ended(&self, exit: Exit) -> Exit {
        self.terminal.take_back(self.pid);
        exit
    }

    fn stopped(&self, signal: Signal) {
        match self.terminal.after_stop(signal) {
            AfterStop::Leave => return,
            AfterStop::Resume => {}
            AfterStop::Suspend => {
                tracing::debug!(%signal, "the child was stopped, and so are we");
                self.terminal.take_back(self.pid);
                // What cannot be done here is of no harm: then only the prompt does not come back.
                let _ = raise(Signal::SIGSTOP);
            }
        }
        self.terminal.give(self.pid);
        // It may have ended at this moment.
        let _ = killpg(self.pid, Signal::SIGCONT);
    }

    /// Passes a signal on. One that was typed at a terminal which the child shares with us has reached it.
    pub fn forward(&self, signal: Signal) {
        if signal == Signal::SIGCONT {
            self.terminal.give(self.pid);
        }
        if !(self.terminal.is_shared() && is_typed(signal)) {
            // It may have ended at this moment.
            let _ = kill(self.pid, signal);
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended at this moment.
        let _ = kill(self.pid, signal);
    }

    /// Asks the child to stop, by its stop signal.
    pub fn ask_to_stop(&self) {
        self.signal(self.stop_signal);
        // One that is stopped gets the signal only once it goes on.
        self.signal(Signal::SIGCONT);
    }

    /// Kills the child with all that is below it, and its process group if it has one of its own.
    pub fn kill(&self) {
        // Any of them may have ended at this moment.
        let _ = kill(self.pid, Signal::SIGKILL);
        if !self.terminal.is_shared() {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
        self.descendants.signal(Signal::SIGKILL);
    }
}

/// Whether a terminal sends it to all processes in its foreground.
fn is_typed(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP | Signal::SIGHUP | Signal::SIGWINCH)
}

/// The signals that are passed on to the child.
#[derive(Debug)]
pub struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// From now on these signals do not end this process. One that the caller has us ignore, as `nohup` does with a
    /// hangup, stays ignored, by the child too.
    pub fn listen() -> Result<Self, Failure> {
        let signals = [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGWINCH,
            Signal::SIGCONT,
            Signal::SIGTSTP,
        ];
        let ignored = ignored();
        let heard = signals.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
        let listen =
            |signal: Signal| unix::signal(SignalKind::from_raw(signal as i32)).map(|stream| (signal, stream));
        let streams: Result<Vec<_>, _> = heard.map(listen).collect();
        let failed = |error| Failure::new(Kind::Broken, format!("cannot listen for signals: {error}"));
        streams.map(Self).map_err(failed)
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            let ready = self
                .0
                .iter_mut()
                .find_map(|(signal, stream)| stream.poll_recv(cx).is_ready().then_some(*signal));
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The next signal that asks this process to end.
    pub async fn next_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if matches!(signal, Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM) {
                return signal;
            }
        }
    }
}

/// The signals that this process ignores, the bit of signal N at N - 1. Where the system does not tell, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (exit, code) in [
            (Exit::Code(0), 0),
            (Exit::Code(255), 255),
            (Exit::Signal(Signal::SIGTERM), 143),
            (Exit::Signal(Signal::SIGKILL), 137),
        ] {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}

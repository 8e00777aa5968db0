//! A program that ends with its value, and with the test process at the latest.

use crate::deadline;
use crate::tools::on_path;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;
use std::{fs, io};

/// How long a program may take to end in its own way before it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// A running program, the leader of its own process group.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    end: End,
}

/// How a program is ended.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// SIGKILL: nothing is kept, so nothing is lost.
    Kill,
    /// SIGQUIT, which PostgreSQL takes as "at once, but clean up after your own children".
    Quit,
}

impl End {
    fn signal(self) -> (Signal, &'static str) {
        match self {
            Self::Kill => (Signal::KILL, "KILL"),
            Self::Quit => (Signal::QUIT, "QUIT"),
        }
    }
}

/// A command for `program` that gets the signal of `end` when this process dies, run as `user` if that is named.
pub(crate) fn command(program: &Path, end: End, user: Option<&str>) -> Command {
    let Some(setpriv) = on_path("setpriv") else {
        assert!(
            user.is_none(),
            "`setpriv` is missing (package util-linux): it is needed to run a program as a user"
        );
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    if let Some(user) = user {
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups"]);
    }
    command.args(["--pdeathsig", end.signal().1, "--"]).arg(program);
    command
}

impl Process {
    /// Starts a [`command`] in its own process group.
    pub(crate) fn start(mut command: Command, end: End) -> io::Result<Self> {
        command.process_group(0);
        let child = spawn(command)?;
        let group = Pid::from_child(&child);
        Ok(Self { child, group, end })
    }

    /// Sends a signal to the whole group. A group that is gone is not an error.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.group, signal);
    }

    /// Stops the group and waits until no thread of the program runs any more. On a busy machine they go on for a while
    /// after the signal is sent.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        let stats = || -> Vec<_> {
            let threads = fs::read_dir(&threads).into_iter().flatten().flatten();
            threads.map(|thread| fs::read_to_string(thread.path().join("stat"))).collect()
        };
        let is_stopped = |stat: &str| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'));
        // A thread that is gone by now does not run.
        let all = |stats: &[io::Result<String>]| stats.iter().flatten().all(|stat| is_stopped(stat));
        let is_so = || Some(stats()).filter(|stats| !stats.is_empty() && all(stats));
        let stopped = deadline::wait_for(deadline::START, is_so);
        assert!(stopped.is_some(), "it goes on after SIGSTOP, or has ended: {:?}", stats());
    }

    /// Whether it has ended by itself; reaps it if so.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it and its group and waits until it is gone. Does nothing the second time.
    pub(crate) fn end(&mut self) {
        if self.has_ended() {
            return;
        }
        self.signal(self.end.signal().0);
        if deadline::wait_for(FAREWELL, || self.has_ended().then_some(())).is_none() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a program from one thread that lives as long as this process, because Linux sends the parent-death
/// signal when the *thread* that started the program ends: a server kept in a `static` would die with the first
/// test that used it.
fn spawn(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    nursery
        .lock()
        .expect("nobody panics with the nursery")
        .send((command, reply))
        .expect("the nursery lives");
    answer.recv().expect("the nursery answers")
}

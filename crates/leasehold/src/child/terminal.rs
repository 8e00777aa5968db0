//! Who has the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgrp, getpid, getppid, getsid, tcgetpgrp, tcsetpgrp};

/// The terminal that controls this process, as far as the child is concerned.
#[derive(Debug)]
pub(super) enum Terminal {
    /// There is none.
    None,
    /// Others are in our process group: a pipeline, a script. The child stays in it too, so that whatever is typed
    /// reaches all of them.
    Shared,
    /// The group is ours alone. The child gets one of its own, and the terminal whenever we have it.
    Own(File),
}

/// What follows when the child was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterStop {
    /// Nothing: whoever stopped it lets it go on.
    Leave,
    /// It gets the terminal and goes on.
    Resume,
    /// We stop too, so that the shell gets its prompt, and go on when the shell says so.
    Suspend,
}

impl Terminal {
    pub(super) fn of_this_process() -> Self {
        let Ok(file) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Self::None };
        // The first of a pipeline leads its group as well; the second may want the terminal, as a pager does.
        let is_alone = getpgrp() == getpid() && io::stdin().is_terminal() && io::stdout().is_terminal();
        if is_alone { Self::Own(file) } else { Self::Shared }
    }

    pub(super) fn is_handed_over(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }

    /// What to do when the child was stopped by this signal.
    pub(super) fn after_stop(&self, signal: Signal) -> AfterStop {
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        match self {
            Self::None => AfterStop::Leave,
            // This one is not typed: somebody means the child alone, and will not wake us.
            Self::Shared if signal == Signal::SIGSTOP => AfterStop::Leave,
            Self::Shared => AfterStop::Suspend,
            // A shell does not always say when it puts a job that is running into the foreground.
            Self::Own(_) if wants_terminal && self.is_at_hand() => AfterStop::Resume,
            Self::Own(_) if is_minded() => AfterStop::Suspend,
            // So does the kernel where no shell could wake the job.
            Self::Own(_) if signal == Signal::SIGTSTP => AfterStop::Resume,
            Self::Own(_) => AfterStop::Leave,
        }
    }

    /// Whether our process group is in the foreground.
    fn is_at_hand(&self) -> bool {
        matches!(self, Self::Own(file) if tcgetpgrp(file) == Ok(getpgrp()))
    }

    /// Gives the terminal to the child's group, unless we are in the background.
    pub(super) fn give(&self, group: Pid) {
        if let Self::Own(file) = self
            && self.is_at_hand()
        {
            // Without the terminal the child is in the background, which a shell's user can mend.
            let _ = tcsetpgrp(file, group);
        }
    }

    /// Takes the terminal back from the child's group. If somebody else has it, a shell has taken it already.
    pub(super) fn take_back(&self, group: Pid) {
        if let Self::Own(file) = self
            && tcgetpgrp(file) == Ok(group)
        {
            // It may have hung up.
            let _ = tcsetpgrp(file, getpgrp());
        }
    }
}

/// Whether there may be a shell that wakes us when we stop: our parent is of our session.
fn is_minded() -> bool {
    let parent = getppid();
    parent.as_raw() > 0 && getsid(Some(parent)).is_ok_and(|session| Ok(session) == getsid(None))
}

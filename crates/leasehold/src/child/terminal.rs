//! Who has the terminal.

use std::fs::{File, OpenOptions};

use nix::unistd::{Pid, getpgrp, getpid, tcgetpgrp, tcsetpgrp};

/// The terminal that controls this process, as far as the child is concerned.
#[derive(Debug)]
pub(super) enum Terminal {
    /// There is none, or we are in its background.
    None,
    /// We have it, and share it with others in our process group: a pipeline, a script. The child stays in the group.
    Shared,
    /// We have it for ourselves, and hand it over to the child.
    Own(File),
}

impl Terminal {
    pub(super) fn of_this_process() -> Self {
        let Ok(file) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Self::None };
        match tcgetpgrp(&file) {
            Ok(group) if group != getpgrp() => Self::None,
            Ok(_) if getpgrp() == getpid() => Self::Own(file),
            Ok(_) => Self::Shared,
            Err(_) => Self::None,
        }
    }

    pub(super) fn is_handed_over(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }

    /// Whether what is typed there concerns us or the child.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Gives the terminal to a process group, unless we are in the background.
    pub(super) fn give(&self, group: Pid) {
        if let Self::Own(file) = self
            && tcgetpgrp(file) == Ok(getpgrp())
        {
            // Without the terminal the child is in the background, which a shell's user can mend.
            let _ = tcsetpgrp(file, group);
        }
    }

    /// Takes the terminal back from the child.
    pub(super) fn take_back(&self) {
        if let Self::Own(file) = self {
            // It may have hung up.
            let _ = tcsetpgrp(file, getpgrp());
        }
    }
}

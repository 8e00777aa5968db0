//! All processes below this one, however they got there.
//!
//! On Linux this process is made a subreaper: whoever below it loses its parent becomes its child. So nothing that the
//! command starts gets away, be it by a session of its own or by a double fork. Elsewhere none of this is seen.

use std::collections::HashSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, told apart from a later one of the same number by when it was started.
type Identity = (i32, u64);

/// The processes below this one, but for those that were there already.
#[derive(Debug)]
pub(super) struct Descendants {
    earlier: HashSet<Identity>,
}

impl Descendants {
    /// From now on orphans fall to this process, and what it starts is a descendant.
    pub(super) fn adopt() -> nix::Result<Self> {
        #[cfg(target_os = "linux")]
        nix::sys::prctl::set_child_subreaper(true)?;
        let earlier = if has_children() { below(&processes(), &HashSet::new()) } else { Vec::new() };
        Ok(Self { earlier: earlier.into_iter().collect() })
    }

    /// How many live.
    pub(super) fn count(&self) -> usize {
        self.alive().len()
    }

    /// Sends a signal to each. Those that have just ended, or are another user's now, do not get it.
    pub(super) fn signal(&self, signal: Signal) {
        for (pid, _) in self.alive() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn alive(&self) -> Vec<Identity> {
        // The usual case, in which nobody looks at all the processes of this host.
        if has_children() { below(&processes(), &self.earlier) } else { Vec::new() }
    }
}

#[cfg(target_os = "linux")]
fn has_children() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let only_look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, only_look).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn has_children() -> bool {
    false
}

/// A line of the table of processes.
struct Entry {
    identity: Identity,
    parent: i32,
}

/// All processes that live.
fn processes() -> Vec<Entry> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let stat = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    numbers.filter_map(|pid| entry(pid, &stat(pid)?)).collect()
}

/// What `/proc/PID/stat` says; none of one that is dead and only waited for.
fn entry(pid: i32, stat: &str) -> Option<Entry> {
    // The program's name stands in brackets and may hold anything.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let (state, parent, started) = (fields.first()?, fields.get(1)?, fields.get(19)?);
    let is_dead = matches!(*state, "Z" | "X");
    (!is_dead).then_some(Entry { identity: (pid, started.parse().ok()?), parent: parent.parse().ok()? })
}

/// Those below this process, without these and what is below them.
fn below(processes: &[Entry], without: &HashSet<Identity>) -> Vec<Identity> {
    let mut parents = vec![nix::unistd::getpid().as_raw()];
    let mut found = Vec::new();
    while let Some(parent) = parents.pop() {
        let children = processes.iter().filter(|process| process.parent == parent);
        for child in children.filter(|child| !without.contains(&child.identity)) {
            parents.push(child.identity.0);
            found.push(child.identity);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_of_processes() {
        let tail = "1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200";
        let check = |stat: &str, expect: Option<(Identity, i32)>| {
            let found = entry(7, stat).map(|entry| (entry.identity, entry.parent));
            assert_eq!(found, expect, "{stat}");
        };
        check(&format!("7 (sh) S 42 {tail}"), Some(((7, 98765), 42)));
        check(&format!("7 (a) b) R 1 (c) S 42 {tail}"), Some(((7, 98765), 42)));
        check(&format!("7 (sh) Z 42 {tail}"), None);
        check("7 (sh) S 42", None);
        check("", None);
    }

    #[test]
    fn those_below_are_found_at_any_depth_and_no_others() {
        let own = nix::unistd::getpid().as_raw();
        let table = [(2, own), (3, 2), (4, 3), (5, 1), (6, own), (7, 6)]
            .map(|(pid, parent)| Entry { identity: (pid, 0), parent });
        let check = |without: &[Identity], expect: &[i32]| {
            let mut found: Vec<_> = below(&table, &without.iter().copied().collect());
            found.sort_unstable();
            assert_eq!(found.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), expect);
        };
        check(&[], &[2, 3, 4, 6, 7]);
        check(&[(6, 0)], &[2, 3, 4]);
        // This one is another: the number is used again.
        check(&[(6, 1)], &[2, 3, 4, 6, 7]);
    }
}

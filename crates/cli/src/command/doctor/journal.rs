//! What dead runs left behind.

use std::path::Path;

use leasehold::journal::leftovers;

use super::finding::Finding;
use super::visit::Visit;

/// What is owed on behalf of dead runs, and which journals nobody can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owed {
    /// How many tokens and leases.
    held: usize,
    /// Those that were set aside.
    unreadable: Vec<String>,
}

impl Owed {
    /// What there is now.
    pub(super) fn now(visit: &Visit<'_>) -> Self {
        let folder = visit.settings.state_dir.join("journal");
        let held = leftovers(&folder).iter().map(|leftover| leftover.held.len()).sum();
        Self { held, unreadable: unreadable(&folder) }
    }
}

fn unreadable(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let aside = entries.filter(|path| path.extension().is_some_and(|ending| ending == "corrupt"));
    let mut aside: Vec<_> = aside.map(|path| path.display().to_string()).collect();
    aside.sort();
    aside
}

/// What is left, seen before and after a login: that gives back what it may.
pub(super) fn finding(before: &Owed, after: &Owed) -> Finding {
    const ID: &str = "journal";
    if after.held > 0 {
        let told = format!("dead runs left tokens and leases that may live on: {}", after.held);
        return Finding::warning(ID, told).hint("give them back: leasehold journal --revoke");
    }
    if !after.unreadable.is_empty() {
        return Finding::warning(ID, format!("cannot be read: {}", after.unreadable.join(", ")))
            .hint("what it names may live on until its time is over; delete the file when that is past");
    }
    match before.held {
        0 => Finding::ok(ID, "no dead run left anything"),
        held => Finding::mended(ID, format!("gave back what dead runs left, tokens and leases: {held}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    #[test]
    fn what_is_owed_is_told_as_it_is_in_the_end() {
        let check = |before: usize, after: usize, aside: &[&str], status: Status, told: &str| {
            let unreadable: Vec<_> = aside.iter().map(ToString::to_string).collect();
            let owed = |held| Owed { held, unreadable: unreadable.clone() };
            let finding = finding(&owed(before), &owed(after));
            assert_eq!(finding.status, status, "{finding:?}");
            assert!(finding.message.contains(told), "{finding:?}");
        };
        check(0, 0, &[], Status::Ok, "no dead run");
        check(2, 0, &[], Status::Ok, "leases: 2");
        check(2, 1, &[], Status::Warning, "live on: 1");
        check(0, 0, &["/x.corrupt"], Status::Warning, "cannot be read: /x.corrupt");
    }
}

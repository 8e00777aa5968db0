//! At most four refused logins in a quarter of an hour: a server locks out after five in a row.

use std::collections::VecDeque;
use std::time::Duration;

use crate::moment::Moment;

/// How many refused logins in a row end the trying: what is refused three times is wrong.
const IN_A_ROW: u8 = 3;
/// How many may be refused within [`WINDOW`], whatever happens in between.
const IN_A_WINDOW: usize = 4;
const WINDOW: Duration = Duration::from_secs(900);

/// The refused logins of one identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lockout {
    in_a_row: u8,
    /// When the last ones were refused, the oldest first.
    last: VecDeque<Moment>,
}

impl Lockout {
    /// Notes a refusal. Says whether it is the last in a row: no other login is tried until [`open`](Self::open).
    pub(crate) fn refuse(&mut self, now: Moment) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.last.len() == IN_A_WINDOW {
            self.last.pop_front();
        }
        self.last.push_back(now);
        self.is_shut()
    }

    /// Notes a login that went well. What was refused before it still counts for the window.
    pub(crate) fn accept(&mut self) {
        self.in_a_row = 0;
    }

    /// Something has changed: one more login may be tried.
    pub(crate) fn open(&mut self) {
        self.in_a_row = self.in_a_row.min(IN_A_ROW - 1);
    }

    /// Whether none is to be tried until something changes.
    pub(crate) fn is_shut(&self) -> bool {
        self.in_a_row >= IN_A_ROW
    }

    /// The earliest moment for a login; never while none is to be tried.
    pub(crate) fn gate(&self) -> Moment {
        match self.last.front() {
            _ if self.is_shut() => Moment::NEVER,
            Some(oldest) if self.last.len() == IN_A_WINDOW => *oldest + WINDOW,
            _ => Moment::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::default() + Duration::from_secs(second)
    }

    #[test]
    fn three_in_a_row_are_the_last_until_something_changes() {
        let mut lockout = Lockout::default();
        assert_eq!([1, 2, 3].map(|second| lockout.refuse(at(second))), [false, false, true]);
        assert_eq!(lockout.gate(), Moment::NEVER);
        lockout.open();
        assert_eq!(lockout.gate(), Moment::default(), "a fourth is allowed at once");
        assert!(lockout.refuse(at(4)));
        lockout.open();
        assert_eq!(lockout.gate(), at(901), "a fifth is not");
    }

    #[test]
    fn a_login_that_went_well_ends_the_row_and_not_the_window() {
        let mut lockout = Lockout::default();
        for second in [10, 20, 30, 40] {
            lockout.refuse(at(second));
            lockout.accept();
        }
        assert_eq!(lockout.gate(), at(910));
    }
}

//! What tells two states apart. All that a ledger knows stands in its `Debug`, which shows no value of a secret; so that
//! text is taken, in which moments are told from now on and numbers that only count are told by their order.

use std::fmt::{Debug, Write};
use std::time::Duration;

use crate::moment::Moment;

/// What lies further back than this is past, whenever it was: nothing that a model lives through asks.
const PAST: Duration = Duration::from_secs(60);

/// The text of one state.
#[derive(Default)]
pub(super) struct Fingerprint {
    text: Vec<u8>,
    now: u64,
    /// What the piece that comes next is.
    next: Next,
    /// The numbers of errands and debts, and of what the server keeps, in the order in which the text names them.
    numbers: [Vec<u64>; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Text,
    Moment,
    Number(usize),
    Counter,
}

impl Fingerprint {
    /// The fingerprint of this state at this moment.
    pub(super) fn of(state: &impl Debug, now: Moment) -> Vec<u8> {
        let now = u64::try_from((now - Moment::default()).as_nanos()).unwrap_or(u64::MAX);
        let mut print = Self { now, text: Vec::with_capacity(8_192), ..Self::default() };
        // Writing to memory does not fail.
        let _ = write!(print, "{state:?}");
        print.rank();
        print.text
    }

    /// Appends the numbers by their rank: which is older matters, and how many were counted in between does not.
    fn rank(&mut self) {
        for numbers in &self.numbers {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let rank = |number| sorted.binary_search(number).unwrap_or_default() as u8;
            self.text.extend(numbers.iter().map(rank));
        }
    }

    fn name(&mut self, label: &str) {
        self.number(Next::Number(1), label.trim_start_matches('#').trim_end_matches(".X"));
    }

    fn number(&mut self, expected: Next, digits: &str) {
        match expected {
            Next::Moment => self.moment(digits),
            Next::Number(sort) => self.numbers[sort].extend(digits.parse::<u64>()),
            Next::Counter | Next::Text => {}
        }
    }

    fn moment(&mut self, digits: &str) {
        let moment = digits.parse().unwrap_or(u64::MAX);
        let past = self.now.saturating_sub(PAST.as_nanos() as u64);
        let told = match moment {
            0 | u64::MAX => moment,
            _ => moment.max(past).wrapping_sub(self.now).wrapping_add(1 << 62),
        };
        self.text.extend_from_slice(&told.to_le_bytes());
    }
}

impl Write for Fingerprint {
    /// Each piece is looked at by its first byte only, unless that begins a word that matters: most of the time of the
    /// checker goes by here.
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let first = piece.as_bytes().first().copied().unwrap_or_default();
        match self.next {
            Next::Text if first == b'#' => self.name(piece),
            Next::Text => {
                if matches!(first, b'M' | b'E' | b'D' | b'N' | b'n' | b's') {
                    self.next = next(piece);
                }
                self.text.extend_from_slice(piece.as_bytes());
            }
            _ if matches!(first, b'(' | b':') => {}
            expected => {
                self.next = Next::Text;
                self.number(expected, piece);
            }
        }
        Ok(())
    }
}

/// What comes after this piece.
fn next(piece: &str) -> Next {
    match piece {
        "Moment" => Next::Moment,
        "ErrandId" | "DebtId" => Next::Number(0),
        "Name" => Next::Number(1),
        "numbers" | "serial" => Next::Counter,
        _ => Next::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errand::ErrandId;

    fn at(second: u64) -> Moment {
        Moment::default() + Duration::from_secs(second)
    }

    #[test]
    fn only_differences_count() {
        let check = |one: (u64, u64, u64), other: (u64, u64, u64), is_same: bool| {
            let print = |(now, then, errand): (u64, u64, u64)| {
                let errands = (ErrandId(errand), ErrandId(7), format!("#{errand}"));
                Fingerprint::of(&(at(then), errands), at(now))
            };
            assert_eq!(print(one) == print(other), is_same, "{one:?} {other:?}");
        };
        check((1_000, 1_010, 1), (2_000, 2_010, 3), true);
        check((1_000, 1_010, 1), (1_000, 1_011, 1), false);
        check((1_000, 990, 1), (1_000, 991, 1), false);
        check((1_000, 900, 1), (1_000, 901, 1), true);
        check((1_000, 900, 1), (1_000, 0, 1), false);
        check((1_000, 1_010, 1), (1_000, 1_010, 8), false);
    }
}

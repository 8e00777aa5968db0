//! How long a token can be kept at all, told as soon as it is known.

use std::time::Duration;

use leasehold_core::Moment;
use leasehold_core::ledger::SlotStatus;

use super::status::{Instant, SLACK};
use crate::clock::wall_seconds;

/// Notices when it becomes known that a token has a last day and that there is nothing to log in with after it, or that
/// nobody knows when it ends; and when that is not so any more. Each is told once, and again if it changes or is said of
/// another token.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    generation: u32,
    fate: Fate,
}

/// News of how long a token can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// It cannot be kept. Takes the place of what was said before.
    Doomed(Doom),
    /// It can be kept after all, or there is another that can: what was said before is not so any more.
    Lifted,
}

/// A token that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    /// When it ends, in words; or that nobody knows when.
    pub message: String,
    /// How long it still lives; none if that is not known.
    pub left: Option<Duration>,
}

/// How it ends, as far as is known.
#[derive(Clone, Copy, Debug, Default)]
enum Fate {
    /// It is kept, or replaced by a login.
    #[default]
    Open,
    /// It was brought, and lives until then at the most.
    Last(Moment),
    /// It was brought, and nobody knows until when it lives.
    Unknown,
}

impl Outlook {
    /// What is news in how the login's slot stands after it was obtained, renewed or looked up. Of a slot that holds
    /// nothing there is none.
    pub fn learn(&mut self, status: &SlotStatus, now: Moment) -> Option<Prospect> {
        let fate = Fate::of(status)?;
        if self.generation == status.generation && self.fate.is_same(fate) {
            return None;
        }
        let known = std::mem::replace(self, Self { generation: status.generation, fate });
        let lifted = || (!known.fate.is_same(Fate::Open)).then_some(Prospect::Lifted);
        fate.doom(now).map(Prospect::Doomed).or_else(lifted)
    }
}

impl Fate {
    fn of(status: &SlotStatus) -> Option<Self> {
        let lease = status.lease.as_ref()?;
        Some(match status.last.filter(|_| !lease.ours) {
            Some(last) => Self::Last(last),
            None if lease.is_blind && status.expiry.is_none() => Self::Unknown,
            None => Self::Open,
        })
    }

    fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Last(a), Self::Last(b)) => a.max(b) - a.min(b) <= SLACK,
            (Self::Open, Self::Open) | (Self::Unknown, Self::Unknown) => true,
            _ => false,
        }
    }

    fn doom(self, now: Moment) -> Option<Doom> {
        match self {
            Self::Open => None,
            Self::Last(last) => {
                let date = Instant { moment: now, wall: wall_seconds() }.date(last);
                let message =
                    format!("the token cannot be kept beyond {date}, and there is nothing to log in with");
                Some(Doom { message, left: Some(last - now) })
            }
            Self::Unknown => Some(Doom {
                message: "nobody knows when the token ends: its policies allow neither its look-up nor its \
                          renewal (auth/token/lookup-self, auth/token/renew-self), and there is nothing to log \
                          in with"
                    .to_owned(),
                left: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::ledger::Stage;
    use leasehold_core::{Holding, Lease, SlotId};

    fn at(hour: u32) -> Moment {
        Moment::default() + Duration::from_secs(3_600) * hour
    }

    /// A token of this generation that was brought, and its last day if it has one.
    fn brought(generation: u32, last: Option<Moment>) -> SlotStatus {
        let lease = Lease { holding: Holding::Token { accessor: None }, ours: false, ..Lease::STATIC };
        SlotStatus {
            slot: SlotId(0),
            stage: Stage::Live,
            generation,
            expiry: Some(last.unwrap_or(at(24))),
            last,
            life: None,
            lease: Some(lease),
            due: None,
            failure: None,
            attempts: 0,
            is_halted: false,
        }
    }

    fn last(hour: u32) -> SlotStatus {
        brought(1, Some(at(hour)))
    }

    fn leased(mut status: SlotStatus, change: fn(&mut Lease)) -> SlotStatus {
        status.lease.iter_mut().for_each(change);
        status
    }

    #[test]
    fn what_is_not_so_any_more_is_lifted() {
        let check = |statuses: &[&SlotStatus], expect: &str| {
            let mut outlook = Outlook::default();
            let news = statuses.iter().map(|status| match outlook.learn(status, at(0)) {
                Some(Prospect::Doomed(Doom { left: Some(left), .. })) => {
                    format!("{}h", left.as_secs() / 3_600)
                }
                Some(Prospect::Doomed(Doom { left: None, .. })) => "unknown".into(),
                Some(Prospect::Lifted) => "lifted".into(),
                None => "-".into(),
            });
            assert_eq!(news.collect::<Vec<_>>().join(" "), expect, "{statuses:?}");
        };
        let (open, other) = (brought(1, None), brought(2, None));
        check(&[&open, &open, &other], "- - -");
        check(&[&last(8), &last(8), &open, &open, &last(8)], "8h - lifted - 8h");
        // Another token in the file: it can be kept, or has a last day of its own, be it the same.
        check(&[&last(8), &other], "8h lifted");
        check(&[&last(8), &brought(2, Some(at(8))), &brought(2, Some(at(8)))], "8h 8h -");
        // The server counts whole seconds.
        check(&[&last(8), &brought(1, Some(at(8) + SLACK)), &last(9), &last(7)], "8h - 9h 7h");
        let blind = SlotStatus { expiry: None, ..leased(open.clone(), |lease| lease.is_blind = true) };
        check(&[&blind, &blind, &open, &blind, &last(8), &open], "unknown - lifted unknown 8h lifted");
        // What is ours is replaced before; and what is gone says nothing.
        let ours = leased(last(8), |lease| lease.ours = true);
        check(&[&ours, &last(8), &ours], "- 8h lifted");
        let gone = SlotStatus { lease: None, ..open.clone() };
        check(&[&last(8), &gone, &last(8)], "8h - -");
    }
}

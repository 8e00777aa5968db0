//! What a journal says, line by line.
//!
//! A line is a CRC-32 in hex, a space and a JSON object: a [`Header`] first, then a line for each thing that is held
//! and one for each that is gone. A torn last line was never acted upon and is dropped.

use std::time::Duration;

use leasehold_core::Holding;
use serde::{Deserialize, Serialize};

use crate::clock::wall_seconds;

/// The version of the format. A newer one is left alone.
pub(super) const VERSION: u32 = 1;
const DAY: u64 = 24 * 60 * 60;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Journal(Header),
    Held(Entry),
    Gone(What),
}

/// Who wrote a journal, and against which server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub version: u32,
    /// The server's address.
    pub address: String,
    /// The namespace, if not the root.
    pub namespace: Option<String>,
    /// The process that wrote it.
    pub pid: u32,
    /// When, in seconds since 1970.
    pub started: u64,
}

/// Something that the server keeps on our behalf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    /// When it ends by itself, in seconds since 1970; with what it hangs below, maybe earlier.
    pub ends: Option<u64>,
    /// How long it lives, in seconds, and how much a renewal gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
}

impl Entry {
    /// Something that was obtained just now and lives this long; for ever if none.
    pub fn new(what: What, ttl: Option<Duration>) -> Self {
        let ttl = ttl.map(|ttl| ttl.as_secs());
        Self { what, ends: ttl.map(|ttl| wall_seconds().saturating_add(ttl)), ttl }
    }

    /// The same, where its run last renewed something at that second.
    pub(super) fn renewed(self, at: u64) -> Self {
        let renewed = self.ttl.map(|ttl| at.saturating_add(ttl));
        Self { ends: self.ends.map(|ends| ends.max(renewed.unwrap_or(ends))), ..self }
    }

    /// Whether it ended more than a day ago. That is by the wall clock, which may be set wrong: whoever can ask the
    /// server does.
    pub(crate) fn ended_long_ago(&self) -> bool {
        self.ends.is_some_and(|ends| ends.saturating_add(DAY) < wall_seconds())
    }
}

/// A token or lease, by the name under which it is revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A token's accessor.
    Token(String),
    /// A lease's id.
    Lease(String),
}

impl What {
    /// What has to be revoked of a holding; none if nothing has.
    pub fn of(holding: &Holding) -> Option<Self> {
        match holding {
            Holding::Token { accessor } => accessor.as_deref().map(|accessor| Self::Token(accessor.into())),
            Holding::Lease { id } => Some(Self::Lease((**id).into())),
            Holding::Nothing => None,
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(accessor) => write!(f, "token with accessor {accessor}"),
            Self::Lease(id) => write!(f, "lease {id}"),
        }
    }
}

pub(super) fn encode(line: &Line) -> String {
    // These types have no map with keys that are not text, which is all that could fail.
    let json = serde_json::to_string(line).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn decode(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    (sum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// What a journal says: who wrote it and what is held. Lines that are damaged are skipped, since what the others
/// say is still to be revoked; none without a header.
pub(super) fn replay(text: &[u8]) -> Option<(Header, Vec<Entry>)> {
    let mut header = None;
    let mut held: Vec<Entry> = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter_map(decode) {
        match line {
            Line::Journal(first) => header = header.or(Some(first)),
            Line::Held(entry) => held.push(entry),
            Line::Gone(what) => held.retain(|entry| entry.what != what),
        }
    }
    header.map(|header| (header, held))
}

/// Whether a line cannot be read that was written to its end.
pub(super) fn is_damaged(text: &[u8]) -> bool {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    whole.split(|byte| *byte == b'\n').any(|line| !line.is_empty() && decode(line).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::token;

    #[test]
    fn torn_and_flipped_lines_lose_nothing_else() {
        let header = Header { version: 1, address: "x".into(), namespace: None, pid: 1, started: 0 };
        let lines =
            [Line::Journal(header), Line::Held(token("a")), Line::Held(token("b"))].map(|line| encode(&line));
        let whole = lines.concat();
        for cut in 0..=whole.len() {
            let held = replay(&whole.as_bytes()[..cut]).map_or(0, |(_, held)| held.len());
            let full = [lines[0].len() + lines[1].len(), whole.len()];
            let expect = full.iter().filter(|end| cut + 1 >= **end).count();
            assert_eq!(held, expect, "cut at {cut}");
        }
        let mut flipped = whole.clone().into_bytes();
        flipped[lines[0].len() + 20] ^= 1;
        assert_eq!(replay(&flipped).unwrap().1, [token("b")]);
    }

    #[test]
    fn a_damaged_line_is_told_from_a_torn_one() {
        let lines = [token("a"), token("b")].map(|entry| encode(&Line::Held(entry))).concat();
        let mut flipped = lines.clone().into_bytes();
        flipped[20] ^= 1;
        let check = |text: &[u8], expect: bool| assert_eq!(is_damaged(text), expect, "{text:?}");
        check(lines.as_bytes(), false);
        check(&lines.as_bytes()[..lines.len() - 5], false);
        check(&flipped, true);
        check(format!("{}\n{lines}", &lines[..20]).as_bytes(), true);
    }

    #[test]
    fn what_was_renewed_is_looked_for_longer() {
        let check = |ttl: Option<u64>, renewed: u64, expect: Option<u64>| {
            let entry = Entry { what: What::Token("a".into()), ends: ttl.map(|ttl| 1_000 + ttl), ttl };
            assert_eq!(entry.renewed(renewed).ends, expect, "{ttl:?} {renewed}");
        };
        check(Some(60), 1_000, Some(1_060));
        check(Some(60), 5_000, Some(5_060));
        check(Some(600), 1_200, Some(1_800));
        check(Some(600), 900, Some(1_600));
        check(None, 5_000, None);
    }

    #[test]
    fn an_end_moves_with_a_renewal_and_is_told_for_a_day_more() {
        let ends = |ends, ttl| Entry { what: What::Token("a".into()), ends, ttl };
        let renewed = |entry: Entry, expect| assert_eq!(entry.renewed(80).ends, expect);
        renewed(ends(Some(100), Some(50)), Some(130));
        renewed(ends(Some(140), Some(50)), Some(140));
        renewed(ends(Some(100), None), Some(100));
        renewed(ends(None, None), None);
        let ago = |hours: u64| ends(Some(wall_seconds() - hours * 3_600), None).ended_long_ago();
        assert_eq!([ago(1), ago(23), ago(25)], [false, false, true]);
    }

    #[test]
    fn only_what_has_a_name_is_written_down() {
        let check = |holding: Holding, expect: Option<&str>| {
            assert_eq!(What::of(&holding).map(|what| what.to_string()).as_deref(), expect);
        };
        check(Holding::Token { accessor: Some("a".into()) }, Some("token with accessor a"));
        check(Holding::Token { accessor: None }, None);
        check(Holding::Lease { id: "db/creds/1".into() }, Some("lease db/creds/1"));
        check(Holding::Nothing, None);
    }
}

//! All that was measured, and whether it is good enough.

use super::contender::{AGENT, KV_GET, LEASEHOLD};
use super::figures::Figures;
use super::keys::{BARE, KEYRING, Keys, RIVALS, SEALED};
use super::probe::Sample;
use super::race::Tally;
use crate::step::Outcome;
use crate::surroundings::Surroundings;

/// Everything that the page tells.
pub(super) struct Report {
    pub(super) rounds: usize,
    pub(super) surroundings: Surroundings,
    /// What the probe sees of a program that does nothing.
    pub(super) floor: Sample,
    pub(super) with_static: Vec<Tally>,
    pub(super) with_dynamic: Vec<Tally>,
    /// A key of the workstation.
    pub(super) keys: Keys,
    /// The programs and their sizes in MB.
    pub(super) sizes: [(&'static str, f64); 2],
    pub(super) crates: usize,
    pub(super) figures: Figures,
}

/// What must hold.
pub(super) struct Bar {
    pub(super) what: &'static str,
    allowed: f64,
    measured: f64,
    show: fn(f64) -> String,
}

impl Bar {
    pub(super) fn is_met(&self) -> bool {
        self.measured <= self.allowed
    }

    pub(super) fn allowed(&self) -> String {
        (self.show)(self.allowed)
    }

    pub(super) fn measured(&self) -> String {
        (self.show)(self.measured)
    }
}

impl Report {
    /// Every bar with what was measured for it.
    pub(super) fn bars(&self) -> Outcome<Vec<Bar>> {
        let bar = |what, allowed, measured, show| Bar { what, allowed, measured, show };
        let ours = tally(&self.with_static, LEASEHOLD)?;
        let part = |name| Ok::<_, String>(ours.wall().median / tally(&self.with_static, name)?.wall().median);
        let left: usize = [ours, tally(&self.with_dynamic, LEASEHOLD)?]
            .map(|tally| tally.left.tokens + tally.left.leases)
            .iter()
            .sum();
        let figure = |name| self.figures.value(name);
        let of_bare = |name| Ok::<_, String>(figure(name)? / figure("hmac_1mib")?);
        let key_wall = |name| Ok::<_, String>(tally(&self.keys.tallies, name)?.wall().median);
        let rivals = self.keys.tallies.iter().filter(|tally| RIVALS.contains(&tally.name));
        let fastest = rivals.map(|tally| tally.wall().median).fold(f64::INFINITY, f64::min);
        let slower = key_wall(SEALED)?.max(key_wall(KEYRING)?);
        Ok(vec![
            bar("wall time, of `bao agent`'s", 1.0 / 40.0, part(AGENT)?, fraction),
            bar("wall time, of `bao kv get`'s", 1.0 / 4.0, part(KV_GET)?, fraction),
            bar(
                "key from the sealed file, over the bare process",
                15.0,
                key_wall(SEALED)? - key_wall(BARE)?,
                milliseconds,
            ),
            bar("key, of the fastest rival's wall time", 1.0, slower / fastest, fraction),
            bar("peak memory", 15.0, ours.peak().most, |value| format!("{value:.1} MiB")),
            bar("stripped binary", 15.0, self.sizes[0].1, |value| format!("{value:.1} MB")),
            bar("tokens and leases left alive", 0.0, left as f64, |value| format!("{value}")),
            bar("ledger, memory of a slot", 1_024.0, figure("bytes_per_slot")?, |value| format!("{value} B")),
            bar("ledger, one due slot", 5_000.0, figure("due_slot")?, |value| format!("{value} ns")),
            bar(
                "`credential.current()`, rotated without pause",
                20.0,
                figure("current_unpaced")?,
                nanoseconds,
            ),
            bar("`credential.current()`, rotated every 10 µs", 20.0, figure("current_paced")?, nanoseconds),
            bar(
                "token cache, by a reader of the thread's own, at 2 threads, of `RwLock<String>`'s time",
                1.0 / 10.0,
                figure("token_reader_2")? / figure("token_rwlock_2")?,
                fraction,
            ),
            bar("signing 1 MiB, of the bare HMAC's time", 1.0 / 0.9, of_bare("sign_1mib")?, fraction),
            bar("verifying 1 MiB, of the bare HMAC's time", 1.0 / 0.9, of_bare("verify_1mib")?, fraction),
        ])
    }
}

fn tally<'a>(tallies: &'a [Tally], name: &str) -> Outcome<&'a Tally> {
    tallies.iter().find(|tally| tally.name == name).ok_or_else(|| format!("{name} was not measured"))
}

fn fraction(value: f64) -> String {
    if value > 0.5 { format!("{value:.2}") } else { format!("1/{:.0}", (1.0 / value + 1e-9).floor()) }
}

fn milliseconds(value: f64) -> String {
    format!("{value:.1} ms")
}

fn nanoseconds(value: f64) -> String {
    format!("{value:.1} ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_up_to_its_height() {
        let check = |measured, text: &str, expect| {
            let bar = Bar { what: "time", allowed: 0.025, measured, show: fraction };
            assert_eq!((bar.measured().as_str(), bar.is_met()), (text, expect));
        };
        check(1.0 / 80.4, "1/80", true);
        check(0.025, "1/40", true);
        check(1.0 / 39.9, "1/39", false);
        check(0.778, "0.78", false);
        check(1.043, "1.04", false);
        check(f64::NAN, "1/NaN", false);
    }
}

//! The page: `docs/benchmarks.md`.

use super::race::{Spread, Tally};
use super::report::{Bar, Report};
use crate::markdown::{Columns, table};
use crate::step::Outcome;

/// The whole page.
pub(super) fn page(report: &Report, bars: &[Bar]) -> Outcome<String> {
    Ok(format!(
        include_str!("page.md"),
        rounds = report.rounds,
        bars = bar_table(bars),
        with_static = race_table(&report.with_static),
        with_dynamic = race_table(&report.with_dynamic),
        keys = key_table(&report.keys.tallies),
        absent = absent(&report.keys.absent),
        floor_wall = report.floor.wall,
        floor_peak = report.floor.peak,
        sizes = table(
            Columns::Figures,
            &["program", "size"],
            report.sizes.map(|(name, size)| vec![format!("`{name}`"), format!("{size:.1} MB")])
        ),
        crates = report.crates,
        ledger = ledger_table(report)?,
        reads = read_table(report)?,
        tokens = token_table(report)?,
        signatures = signature_table(report)?,
        surroundings = table(
            Columns::Figures,
            &["", ""],
            report.surroundings.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()])
        ),
    ))
}

/// The bars alone, for the page and for the terminal.
pub(super) fn bar_table(bars: &[Bar]) -> String {
    let verdict = |bar: &Bar| if bar.is_met() { "yes" } else { "**no**" }.to_owned();
    let row = |bar: &Bar| vec![bar.what.to_owned(), bar.allowed(), bar.measured(), verdict(bar)];
    table(Columns::Figures, &["bar", "at most", "measured", "met"], bars.iter().map(row))
}

fn race_table(tallies: &[Tally]) -> String {
    let left = |tally: &Tally| [tally.left.tokens.to_string(), tally.left.leases.to_string()];
    let rows = rows(tallies).zip(tallies).map(|(row, tally)| row.into_iter().chain(left(tally)).collect());
    table(Columns::Figures, &[&HEAD[..], &["tokens left", "leases left"]].concat(), rows)
}

fn key_table(tallies: &[Tally]) -> String {
    table(Columns::Figures, &HEAD, rows(tallies))
}

const HEAD: [&str; 5] = ["", "wall time, ms", "times ours", "CPU time, ms", "peak memory, MiB"];

/// What each took; the first is ours.
fn rows(tallies: &[Tally]) -> impl Iterator<Item = Vec<String>> {
    let ours = tallies.first().map_or(f64::NAN, |tally| tally.wall().median);
    tallies.iter().map(move |tally| {
        vec![
            format!("`{}`", tally.name),
            spread(tally.wall()),
            format!("{:.1}", tally.wall().median / ours),
            spread(tally.cpu()),
            spread(tally.peak()),
        ]
    })
}

/// Who could not be had, as a sentence.
fn absent(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!(" Not installed here, and so not measured: {}.", names.join(", "))
    }
}

fn ledger_table(report: &Report) -> Outcome<String> {
    let row = |name: &str, figure: &str, unit: &str| {
        Ok::<_, String>(vec![name.to_owned(), format!("{} {unit}", report.figures.value(figure)?)])
    };
    let rows = [
        row("memory of a slot, beside its secret", "bytes_per_slot", "B")?,
        row("one due slot: its errand out, its result in", "due_slot", "ns")?,
        row("a tick when nothing is due", "tick_nothing_due", "ns")?,
    ];
    Ok(table(Columns::Figures, &["", ""], rows))
}

fn read_table(report: &Report) -> Outcome<String> {
    let reads = [
        ("`credential.current()`", "current"),
        ("`credential.current()` and a byte of the token", "current_and_token"),
        ("`credential.hold()`", "hold"),
        ("`RwLock<String>`, read and cloned", "rwlock_string_clone"),
    ];
    let rows: Outcome<Vec<Vec<String>>> =
        reads.iter().map(|(name, figure)| read_row(report, name, figure)).collect();
    Ok(table(Columns::Figures, &["read", "without pause", "rotations", "every 10 µs", "rotations"], rows?))
}

fn read_row(report: &Report, name: &str, figure: &str) -> Outcome<Vec<String>> {
    let mut row = vec![name.to_owned()];
    for pace in ["unpaced", "paced"] {
        row.push(nanoseconds(report.figures.value(&format!("{figure}_{pace}"))?));
        row.push(format!("{}/s", report.figures.value(&format!("{figure}_{pace}_rotations"))?));
    }
    Ok(row)
}

/// The token of an application, by how many threads read it.
fn token_table(report: &Report) -> Outcome<String> {
    let reads = [
        ("`TokenCache`, by a reader of the thread's own", "reader"),
        ("`TokenCache::current()`", "current"),
        ("`RwLock<String>`, read and cloned", "rwlock"),
    ];
    let times =
        [("the lock's time, of a reader's", "reader"), ("the lock's time, of `current()`'s", "current")];
    let reads = reads.map(|(name, figure)| {
        let cell = |threads| Ok(nanoseconds(report.figures.value(&format!("token_{figure}_{threads}"))?));
        token_row(name, cell)
    });
    let times = times.map(|(name, figure)| {
        let times = |threads| report.figures.value(&format!("token_rwlock_{threads}_of_{figure}"));
        token_row(name, |threads| Ok(format!("{:.1}", times(threads)?)))
    });
    let rows: Outcome<Vec<Vec<String>>> = reads.into_iter().chain(times).collect();
    Ok(table(Columns::Figures, &["read", "1 thread", "2", "4", "8"], rows?))
}

/// A name, and what is in the cell of so many threads.
fn token_row(name: &str, cell: impl Fn(u32) -> Outcome<String>) -> Outcome<Vec<String>> {
    let cells: Outcome<Vec<String>> = [1, 2, 4, 8].into_iter().map(cell).collect();
    Ok([vec![name.to_owned()], cells?].concat())
}

fn signature_table(report: &Report) -> Outcome<String> {
    let calls = [
        ("the bare HMAC", "hmac"),
        ("signing", "sign"),
        ("verifying", "verify"),
        ("verifying within an overlap, with both tokens", "verify_in_overlap"),
    ];
    let row = |(name, figure): (&str, &str)| -> Outcome<Vec<String>> {
        let value = |size: &str| report.figures.value(&format!("{figure}_{size}"));
        Ok(vec![
            name.to_owned(),
            format!("{:.2} µs", value("1kib")? / 1e3),
            format!("{:.0} µs", value("1mib")? / 1e3),
            format!("{:.2}", report.figures.value("hmac_1mib")? / value("1mib")?),
        ])
    };
    let rows: Outcome<Vec<Vec<String>>> = calls.into_iter().map(row).collect();
    Ok(table(Columns::Figures, &["", "1 KiB", "1 MiB", "of the HMAC's speed, at 1 MiB"], rows?))
}

fn nanoseconds(value: f64) -> String {
    format!("{value:.1} ns")
}

fn spread(spread: Spread) -> String {
    format!("{:.1} ({:.1} to {:.1})", spread.median, spread.least, spread.most)
}

//! The picture: bars on a log scale, the same for every unit, in the reader's light or dark.

use super::race::Tally;
use super::report::Report;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
/// Where the scale begins and ends, in pixels; left of it are the names, right of it the longest value.
const SCALE: (f64, f64) = (190.0, 670.0);
/// What the scale ends at: from 1 on, four decades.
const DECADES: i32 = 4;
const ROW: f64 = 24.0;
const TITLE: f64 = 34.0;

const STYLE: &str = "    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-weight: 600 }
    .small { font-size: 12px; fill: #59636e }
    .bar { fill: #8c959f }
    .ours { fill: #0969da }
    path { stroke: #d1d9e0; stroke-width: 1 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .small { fill: #9198a1 }
      .bar { fill: #656c76 }
      .ours { fill: #4493f8 }
      path { stroke: #3d444d }
    }
";

/// Bars that share a unit.
struct Panel {
    title: &'static str,
    unit: &'static str,
    bars: Vec<(&'static str, f64)>,
}

/// The whole picture.
pub(super) fn plot(report: &Report) -> String {
    let panels = panels(report);
    let height: f64 = 40.0 + panels.iter().map(|panel| TITLE + ROW * panel.bars.len() as f64).sum::<f64>();
    let mut svg = head(height) + &numbers(height);
    let mut top = 0.0;
    for panel in &panels {
        draw(&mut svg, panel, top);
        top += TITLE + ROW * panel.bars.len() as f64;
    }
    svg + "</svg>\n"
}

fn panels(report: &Report) -> Vec<Panel> {
    let of = |tallies: &[Tally], value: fn(&Tally) -> f64| {
        tallies.iter().map(|tally| (tally.name, value(tally))).collect()
    };
    let wall = |tally: &Tally| tally.wall().median;
    vec![
        Panel { title: "Wall time, a static secret", unit: "ms", bars: of(&report.with_static, wall) },
        Panel { title: "Wall time, a PostgreSQL login", unit: "ms", bars: of(&report.with_dynamic, wall) },
        Panel {
            title: "Wall time, a key of the workstation",
            unit: "ms",
            bars: of(&report.keys.tallies, wall),
        },
        Panel {
            title: "Peak memory, a static secret",
            unit: "MiB",
            bars: of(&report.with_static, |tally| tally.peak().median),
        },
        Panel { title: "Program", unit: "MB", bars: report.sizes.to_vec() },
    ]
}

fn head(height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"title\">\n  <title id=\"title\">leasehold beside bao agent and bao kv get, on a log \
         scale; the figures are in benchmarks.md</title>\n  <style>\n{STYLE}  </style>\n"
    )
}

/// The powers of ten, at the foot.
fn numbers(height: f64) -> String {
    (0..=DECADES).fold(String::new(), |mut svg, power| {
        let (value, y) = (10_f64.powi(power), height - 8.0);
        let x = place(value);
        let _ = writeln!(
            svg,
            "  <text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" class=\"small\">{value}</text>"
        );
        svg
    })
}

/// A line for each power of ten behind the bars of a panel.
fn grid(svg: &mut String, begin: f64, end: f64) {
    for power in 0..=DECADES {
        let _ = writeln!(svg, "  <path d=\"M{:.1} {begin} V{end}\"/>", place(10_f64.powi(power)));
    }
}

fn draw(svg: &mut String, panel: &Panel, top: f64) {
    let _ = writeln!(svg, "  <text x=\"10\" y=\"{}\" class=\"title\">{}</text>", top + 24.0, panel.title);
    grid(svg, top + TITLE - 3.0, top + TITLE + ROW * panel.bars.len() as f64 - 3.0);
    for (index, (name, value)) in panel.bars.iter().enumerate() {
        let y = top + TITLE + ROW * index as f64;
        let (x, end, text) = (SCALE.0, place(*value), y + 14.0);
        let class = if name.starts_with("leasehold") { "ours" } else { "bar" };
        let _ = writeln!(svg, "  <text x=\"10\" y=\"{text}\">{name}</text>");
        let _ = writeln!(
            svg,
            "  <rect x=\"{x}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" rx=\"2\" class=\"{class}\"/>",
            end - x
        );
        let _ = writeln!(
            svg,
            "  <text x=\"{:.1}\" y=\"{text}\">{} {}</text>",
            end + 6.0,
            three_digits(*value),
            panel.unit
        );
    }
}

/// Where a value is on the scale, in pixels.
fn place(value: f64) -> f64 {
    let share = (value.max(1.0).log10() / f64::from(DECADES)).min(1.0);
    SCALE.0 + share * (SCALE.1 - SCALE.0)
}

/// As many digits as a bar can show.
fn three_digits(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_is_as_wide_as_the_next() {
        let check = |value: f64, expect: f64| {
            assert!((place(value) - expect).abs() < 0.01, "{value}: {}", place(value));
        };
        check(0.1, SCALE.0);
        check(1.0, SCALE.0);
        check(100.0, f64::midpoint(SCALE.0, SCALE.1));
        check(10_000.0, SCALE.1);
        check(1e9, SCALE.1);
    }
}

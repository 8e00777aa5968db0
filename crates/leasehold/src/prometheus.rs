//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

/// The format, as a header says it.
#[cfg(feature = "axum")]
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// One number with what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: f64,
}

impl Sample {
    /// What only goes up.
    pub(crate) fn counter(name: &'static str, help: &'static str, count: u64) -> Self {
        Self { name, kind: "counter", help, value: count as f64 }
    }

    /// How many signed requests were refused.
    pub(crate) fn refusals(count: u64) -> Self {
        Self::counter("hmac_verification_failures_total", "Signed requests that were refused.", count)
    }

    /// What goes up and down; infinity is `+Inf`.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, kind: "gauge", help, value }
    }

    /// What is so or not: 1 or 0.
    pub(crate) fn flag(name: &'static str, help: &'static str, is_so: bool) -> Self {
        Self::gauge(name, help, u8::from(is_so).into())
    }
}

/// Three lines for each sample.
pub(crate) fn text(samples: impl IntoIterator<Item = Sample>) -> String {
    let mut text = String::new();
    for Sample { name, kind, help, value } in samples {
        let value = if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() };
        // Writing to memory does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_three_lines() {
        let check = |sample, expect: &str| assert_eq!(text([sample, sample]), expect.repeat(2));
        check(
            Sample::counter("a_total", "As.", 3),
            "# HELP a_total As.\n# TYPE a_total counter\na_total 3\n",
        );
        check(Sample::gauge("b", "B.", 0.5), "# HELP b B.\n# TYPE b gauge\nb 0.5\n");
        check(Sample::gauge("b", "B.", f64::INFINITY), "# HELP b B.\n# TYPE b gauge\nb +Inf\n");
    }
}

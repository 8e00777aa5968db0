//! Spans of time as people write them: `10s`, `1h30m`, `250ms`.

use std::time::Duration;

use super::fault::Trouble;

/// The units, the largest first, each in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses whole numbers with units, each unit once and the larger ones first: `1h30m`, `250ms`.
pub(crate) fn parse(text: &str) -> Result<Duration, Trouble> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    while !rest.is_empty() || text.is_empty() {
        let at = text.len() - rest.len();
        let (number, tail) = split_number(rest).ok_or_else(|| wrong(at))?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let (_, size) =
            units.find(|(name, _)| *name == unit).ok_or_else(|| wrong(text.len() - tail.len()))?;
        let part = number.checked_mul(*size).and_then(|part| total.checked_add(part));
        total = part.ok_or_else(|| Trouble::at(at, "this is too long"))?;
        rest = next;
    }
    Ok(Duration::from_millis(total))
}

/// Parses a span of at least one second.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, Trouble> {
    at_least(text, 1, "the shortest interval is 1s")
}

/// Parses the life of a token that is renewed: one that is too short ends while the server is away for a moment.
pub(crate) fn parse_life(text: &str) -> Result<Duration, Trouble> {
    at_least(text, 10, "the shortest life is 10s")
}

fn at_least(text: &str, seconds: u64, complaint: &'static str) -> Result<Duration, Trouble> {
    match parse(text)? {
        span if span < Duration::from_secs(seconds) => Err(Trouble::at(0, complaint)),
        span => Ok(span),
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, tail) = text.split_at(end);
    digits.parse().ok().map(|number| (number, tail))
}

fn wrong(at: usize) -> Trouble {
    Trouble::at(
        at,
        "a time is whole numbers with the units d, h, m, s, ms in this order, such as 1h30m or 10s",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expect: Result<u64, usize>| {
            let got = parse(text).map(|span| u64::try_from(span.as_millis()).unwrap());
            assert_eq!(got.map_err(|trouble| trouble.at.unwrap()), expect, "{text:?}");
        };
        check("10s", Ok(10_000));
        check("250ms", Ok(250));
        check("1h30m", Ok(5_400_000));
        check("1d2h3m4s5ms", Ok(93_784_005));
        check("0s", Ok(0));
        check("0s5ms", Ok(5));
        check("", Err(0));
        check("10", Err(2));
        check("s", Err(0));
        check("-1s", Err(0));
        check("1.5h", Err(1));
        check("1m1h", Err(3));
        check("1s1s", Err(3));
        check("1s 5ms", Err(1));
        check("10S", Err(2));
        check("99999999999999999999s", Err(0));
        check("9999999999999999999s", Err(0));
    }

    #[test]
    fn an_interval_is_not_a_hot_loop_and_a_life_not_too_short() {
        assert!(parse_interval("999ms").is_err());
        assert_eq!(parse_interval("1s"), Ok(Duration::from_secs(1)));
        assert!(parse_life("9s999ms").is_err());
        assert_eq!(parse_life("10s"), Ok(Duration::from_secs(10)));
    }
}

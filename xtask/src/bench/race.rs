//! The contenders in turn, round after round, so that what disturbs the machine disturbs them alike.

use super::contender::Contender;
use super::probe::{Sample, sample};
use super::stage::{Alive, Stage};
use crate::step::{Outcome, say};

/// What was seen of one contender.
pub(super) struct Tally {
    pub(super) name: &'static str,
    samples: Vec<Sample>,
    /// What its counted runs left alive on the server, a second after each.
    pub(super) left: Alive,
}

/// The middle and the ends of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// One round to warm up, and those that count. Where there is a server, what they leave alive on it is counted.
pub(super) fn race(stage: Option<&Stage>, contenders: &[Contender], rounds: usize) -> Outcome<Vec<Tally>> {
    let blank = |one: &Contender| Tally { name: one.name, samples: Vec::new(), left: Alive::default() };
    let mut tallies: Vec<Tally> = contenders.iter().map(blank).collect();
    for round in 0..=rounds {
        say(&format!("round {round} of {rounds}"));
        for (contender, tally) in contenders.iter().zip(&mut tallies) {
            let before = stage.map(Stage::alive);
            let sample = sample(&contender.command)?;
            if round > 0 {
                tally.samples.push(sample);
                let left = stage.zip(before).map(|(stage, before)| stage.left_since(before));
                tally.left = tally.left.plus(left.unwrap_or_default());
            }
        }
    }
    Ok(tallies)
}

impl Tally {
    /// One measure over all counted runs.
    pub(super) fn spread(&self, measure: impl Fn(&Sample) -> f64) -> Spread {
        spread(self.samples.iter().map(measure).collect())
    }

    pub(super) fn wall(&self) -> Spread {
        self.spread(|sample| sample.wall)
    }

    pub(super) fn cpu(&self) -> Spread {
        self.spread(|sample| sample.cpu)
    }

    pub(super) fn peak(&self) -> Spread {
        self.spread(|sample| sample.peak)
    }
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let median = f64::midpoint(at(values.len().saturating_sub(1) / 2), at(values.len() / 2));
    Spread { median, least: at(0), most: at(values.len().saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let check = |values: &[f64], (least, median, most)| {
            assert_eq!(spread(values.to_vec()), Spread { median, least, most }, "{values:?}");
        };
        check(&[3.0], (3.0, 3.0, 3.0));
        check(&[9.0, 1.0, 2.0], (1.0, 2.0, 9.0));
        check(&[4.0, 1.0, 2.0, 9.0], (1.0, 3.0, 9.0));
    }
}

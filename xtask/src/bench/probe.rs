//! One program, measured by a process that does nothing else: the kernel tells what all children together took, so
//! a process that has had one child tells what this one took.

use crate::step::{Outcome, output, run};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::env;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// From the start to the end of the program, in milliseconds.
    pub(super) wall: f64,
    /// User and system time of it and its children, in milliseconds.
    pub(super) cpu: f64,
    /// Resident memory at its most, in MiB, of the largest process among it and its children.
    pub(super) peak: f64,
}

/// Measures a program in a process of its own. The environment is that of `command` and nothing else.
pub(super) fn sample(command: &Command) -> Outcome<Sample> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let mut probe = Command::new(own);
    probe.args(["bench", "--probe"]).arg(command.get_program()).args(command.get_args()).env_clear();
    probe.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let text = output(&mut probe)?;
    parse(&text).ok_or_else(|| format!("the probe said: {text}"))
}

/// The probe's own side: runs the program of the words and prints what it took.
pub(super) fn probe(words: &[&str]) -> Outcome {
    let (program, args) = words.split_first().ok_or("--probe takes a command")?;
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    run(&mut command)?;
    let wall = begin.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| error.to_string())?;
    let cpu = usage.user_time() + usage.system_time();
    println!("{} {} {}", wall.as_micros(), cpu.num_microseconds(), usage.max_rss());
    Ok(())
}

/// Microseconds, microseconds and KiB, as [`probe`] prints them.
fn parse(text: &str) -> Option<Sample> {
    let numbers: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak] = numbers?.try_into().ok()?;
    Some(Sample { wall: wall / 1_000.0, cpu: cpu / 1_000.0, peak: peak / 1_024.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_make_a_sample() {
        let check = |text: &str, expect: Option<Sample>| assert_eq!(parse(text), expect, "{text}");
        check("1500 500 2048\n", Some(Sample { wall: 1.5, cpu: 0.5, peak: 2.0 }));
        check("1500 500", None);
        check("1500 500 2048 1", None);
        check("it failed badly", None);
    }
}

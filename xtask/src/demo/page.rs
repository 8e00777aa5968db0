//! What the reader sees: steps, the commands one would type, and what came of them.

use std::env;
use std::io::{IsTerminal, stdout};

/// The page, in colour on a terminal only.
pub(super) struct Page {
    coloured: bool,
    steps: usize,
}

const BOLD: &str = "1";
const COMMAND: &str = "36";
const GOOD: &str = "32";

impl Page {
    pub(super) fn new() -> Self {
        Self { coloured: stdout().is_terminal() && env::var_os("NO_COLOR").is_none(), steps: 0 }
    }

    /// A new step, by what it is for.
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        println!("\n{}", self.paint(BOLD, &format!("{}. {title}", self.steps)));
    }

    /// A command that a reader would type to do the same.
    pub(super) fn command(&self, line: &str) {
        println!("{}", self.paint(COMMAND, &format!("$ {line}")));
    }

    /// What came of it.
    pub(super) fn note(&self, text: &str) {
        println!("  {text}");
    }

    /// What was to be proved.
    pub(super) fn proof(&self, text: &str) {
        println!("  {}", self.paint(GOOD, text));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

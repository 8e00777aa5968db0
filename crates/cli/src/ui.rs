//! The one file that prints.
//!
//! What was asked for goes to standard output, everything else to standard error. Colour is used on a terminal only,
//! and not with NO_COLOR. A secret is written by [`secret`] alone. What cannot be told, since nobody reads it or the disk
//! is full, is left untold: it must not end a run.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use leasehold::child::{ChildSignal, Signals};
use leasehold::core::{Failure, Kind, Secret};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{FlushArg, LocalFlags, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use zeroize::Zeroizing;

use crate::arguments::{LogFormat, OutputArguments};

/// What notes are logged as: they are told without -v, as other information is not.
const NOTES: &str = "note";

/// How this program speaks to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    format: LogFormat,
    has_colour: bool,
    /// Whether answers, on standard output, are in colour.
    answers_in_colour: bool,
    is_quiet: bool,
}

impl Ui {
    /// Sets messages up, once.
    pub(crate) fn new(output: OutputArguments, no_color: bool) -> Self {
        let has_colour = io::stderr().is_terminal() && !no_color;
        let answers_in_colour = is_terminal() && !no_color;
        let ui = Self { format: output.log_format, has_colour, answers_in_colour, is_quiet: output.quiet };
        ui.subscribe(match (output.quiet, output.verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::INFO,
            (false, 2..) => LevelFilter::DEBUG,
        });
        ui
    }

    fn subscribe(self, level: LevelFilter) {
        let layer = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(io::stderr)
            .with_target(false)
            .log_internal_errors(false);
        let wanted = Targets::new().with_default(level).with_target(NOTES, LevelFilter::INFO);
        // Set up once; a second time would be a test's.
        let _ = match self.format {
            LogFormat::Text => {
                let layer = layer.without_time().with_ansi(self.has_colour).event_format(Plain(self));
                tracing::subscriber::set_global_default(layer.finish().with(wanted))
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true);
                tracing::subscriber::set_global_default(layer.finish().with(wanted))
            }
        };
    }

    /// Tells a failure, with what can be done about it.
    pub(crate) fn failure(self, failure: &Failure) {
        match self.format {
            LogFormat::Text => {
                tell(&self.line("error", "31", failure.message()));
                if let Some(hint) = failure.advice() {
                    tell(&self.line("hint", "36", hint));
                }
            }
            LogFormat::Json => {
                let kind = failure.kind().token();
                tracing::error!(kind, hint = failure.advice(), "{}", failure.message());
            }
        }
    }

    /// Tells something that is wrong, but does not stop the work.
    pub(crate) fn warn(self, message: &str) {
        match self.format {
            LogFormat::Text => tell(&self.line("warning", "33", message)),
            LogFormat::Json => tracing::warn!("{message}"),
        }
    }

    /// Tells what is done, or what is asked for next, unless nothing but errors is wanted.
    pub(crate) fn note(self, message: &str) {
        match self.format {
            _ if self.is_quiet => {}
            LogFormat::Text => tell(&format!("leasehold: {message}")),
            LogFormat::Json => tracing::info!(target: NOTES, note = true, "{message}"),
        }
    }

    /// A part of an answer in this colour, where answers have any.
    pub(crate) fn coloured(self, text: &str, colour: &str) -> String {
        match self.answers_in_colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn line(self, word: &str, colour: &str, text: &str) -> String {
        match self.has_colour {
            true => format!("leasehold: \x1b[{colour}m{word}:\x1b[0m {text}"),
            false => format!("leasehold: {word}: {text}"),
        }
    }
}

/// Writes a line to standard error, as one piece.
fn tell(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Log lines that look like the other messages.
struct Plain(Ui);

impl<S, N> tracing_subscriber::fmt::FormatEvent<S, N> for Plain
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    N: for<'a> tracing_subscriber::fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &tracing_subscriber::fmt::FmtContext<'_, S, N>,
        mut writer: tracing_subscriber::fmt::format::Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let (word, colour) = match *event.metadata().level() {
            tracing::Level::ERROR => ("error", "31"),
            tracing::Level::WARN => ("warning", "33"),
            tracing::Level::INFO => ("info", "36"),
            _ => ("debug", "2"),
        };
        write!(writer, "{}", self.0.line(word, colour, ""))?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Prints what was asked for. A reader that has gone is no error of ours.
pub(crate) fn answer(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints a secret: the one place where one leaves this process by standard output.
pub(crate) fn secret(secret: &Secret, newline: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let end: &[u8] = if newline { b"\n" } else { b"" };
    let written = out.write_all(secret.expose().as_bytes()).and_then(|()| out.write_all(end));
    let flushed = written.and_then(|()| out.flush());
    flushed.map_err(|error| Failure::new(Kind::Broken, format!("cannot write to standard output: {error}")))
}

/// Asks for a secret at the terminal; what is typed is not shown. If a signal to end comes first, it is that.
pub(crate) async fn ask_secret(prompt: &str) -> Result<Result<Secret, ChildSignal>, Failure> {
    let mut signals = Signals::listen()?;
    let terminal = Blind::open().map_err(|error| unasked(&error))?;
    let typed = terminal.ask(prompt).map_err(|error| unasked(&error))?;
    tokio::select! {
        typed = typed => typed.unwrap_or_else(|_| Err(unasked(&io::ErrorKind::BrokenPipe.into()))).map(Ok),
        signal = signals.next_end() => Ok(Err(signal)),
    }
}

fn unasked(error: &io::Error) -> Failure {
    Failure::new(Kind::Invalid, format!("cannot ask at the terminal: {error}")).hint(PIPE)
}

const PIPE: &str = "pipe the secret to standard input, and say `-`";

/// The terminal, which does not show what is typed until this is dropped. Nobody else changes it meanwhile, so that a
/// signal at any moment finds it as it was before.
struct Blind {
    terminal: File,
    before: Termios,
}

impl Blind {
    fn open() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut blind = before.clone();
        // A line would have an end after 4095 bytes; the reader does what the terminal does with a line.
        blind.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON);
        tcsetattr(&terminal, SetArg::TCSANOW, &blind)?;
        Ok(Self { terminal, before })
    }

    /// Asks; what is typed comes from a thread that is none of the runtime, whose end would wait for it.
    fn ask(&self, prompt: &str) -> io::Result<oneshot::Receiver<Result<Secret, Failure>>> {
        (&self.terminal).write_all(format!("{prompt}: ").as_bytes())?;
        let reader = self.terminal.try_clone()?;
        let (teller, typed) = oneshot::channel();
        std::thread::spawn(move || teller.send(one_line(&reader)));
        Ok(typed)
    }
}

/// The line that is typed. Of a text that is pasted with more lines it would be a part that looks like all of it.
fn one_line(reader: &File) -> Result<Secret, Failure> {
    let typed = reader.try_clone().and_then(|reader| {
        let input = rpassword::ConfigBuilder::new().input_reader(reader).output_discard().build();
        rpassword::read_password_with_config(input).map(Secret::new)
    });
    let secret = typed.map_err(|error| unasked(&error))?;
    match has_more(reader).map_err(|error| unasked(&error))? {
        false => Ok(secret),
        true => {
            Err(Failure::new(Kind::Invalid, "what was typed has several lines; nothing was stored")
                .hint(PIPE))
        }
    }
}

/// How long the next piece of a text that is pasted may take, in milliseconds.
const PASTING: u16 = 50;

/// Takes what comes right behind a line; whether there is anything but blanks. Nothing of it is left for a shell to run.
fn has_more(mut terminal: &File) -> io::Result<bool> {
    let mut piece = Zeroizing::new([0; 4096]);
    let mut has_more = false;
    loop {
        let mut waits = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waits, PollTimeout::from(PASTING)) {
            Ok(0) => return Ok(has_more),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match terminal.read(&mut *piece)? {
            0 => return Ok(has_more),
            read => has_more |= !piece[..read].trim_ascii().is_empty(),
        }
    }
}

impl Drop for Blind {
    fn drop(&mut self) {
        // It may have hung up. What was typed and not read is no command of a shell.
        let _ = tcflush(&self.terminal, FlushArg::TCIFLUSH);
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
        let _ = (&self.terminal).write_all(b"\n");
    }
}

/// Whether somebody can be asked: standard input is a terminal.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Whether somebody at the terminal agrees; where nobody can be asked, nobody does.
pub(crate) fn agrees(question: &str) -> Result<bool, Failure> {
    if !can_ask() {
        return Ok(false);
    }
    let mut answer = String::new();
    let asked = io::stderr().write_all(format!("{question} [y/N] ").as_bytes());
    let read = asked.and_then(|()| io::stdin().read_line(&mut answer));
    read.map_err(|error| Failure::new(Kind::Invalid, format!("cannot ask at the terminal: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Reads all of standard input as one secret, without its last line end.
pub(crate) fn secret_from_stdin(limit: usize) -> Result<Secret, Failure> {
    let invalid = |message: String| Failure::new(Kind::Invalid, message).hint("nothing was stored");
    let mut bytes = Zeroizing::new(Vec::new());
    let most = limit as u64 + 2;
    let read = io::stdin().lock().take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| invalid(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > most {
        return Err(invalid(format!("standard input is longer than {limit} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| invalid("standard input is no UTF-8 text".into()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

/// Tells a fault of the command line or of the launcher, before anything is set up.
pub(crate) fn early(message: &str) {
    tell(&format!("leasehold: error: {message}"));
}

/// A table whose columns are as wide as they have to be.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(table(&["x", "y"], &rows), "x    y\na    bb\nccc  d");
    }
}

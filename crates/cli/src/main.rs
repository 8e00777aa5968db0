//! The command `leasehold`.

mod arguments;
mod exit;
mod hardening;
mod ui;
mod config;
mod command;

use std::process::ExitCode;

use leasehold::child;

use arguments::{Arguments, Command};
use config::environment::Environment;
use exit::Exit;
use ui::Ui;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == child::LAUNCH) {
        return launch(words);
    }
    hide_panics();
    let core_limit = match hardening::close() {
        Ok(limit) => limit,
        Err(error) => {
            ui::early(&format!("cannot keep others out of this process: {error}"));
            return Exit(exit::OWN).into();
        }
    };
    let arguments = Arguments::read();
    let environment = Environment::read();
    let ui = Ui::new(arguments.output, environment.is_set("NO_COLOR"));
    dispatch(&arguments.command, &environment, core_limit, ui).into()
}

fn dispatch(command: &Command, environment: &Environment, core_limit: u64, ui: Ui) -> Exit {
    let result = match command {
        Command::Run(arguments) => return command::run::run(arguments, environment, core_limit, ui),
        Command::Get(arguments) => command::get::get(arguments, environment, ui),
        Command::Init(arguments) => command::init::init(arguments, environment),
        Command::SetKey(arguments) => command::set_key::set_key(arguments, environment, ui),
        Command::DeleteKey(arguments) => command::delete_key::delete_key(arguments, environment, ui),
        Command::Providers(arguments) => command::providers::providers(arguments, environment, ui),
        Command::Doctor(arguments) => command::doctor::doctor(arguments, environment, ui),
        Command::Test(arguments) => command::test::test(arguments, environment, ui),
        Command::Import(arguments) => command::import::import(arguments, environment, ui),
        Command::Store(arguments) => command::store::store(arguments, environment, ui),
        Command::Token(arguments) => command::token::token(arguments, environment, ui),
        Command::Verify(arguments) => command::verify::verify(arguments, environment, ui),
        Command::Journal(arguments) => command::journal::journal(arguments, environment, ui),
        Command::Alert(arguments) => command::alert::alert(arguments, environment, ui),
        Command::Config(arguments) => command::config::config(arguments, environment),
        Command::Completions(arguments) => command::completions::completions(arguments),
        Command::Man(arguments) => command::completions::man(arguments),
    };
    result.unwrap_or_else(|failure| {
        ui.failure(&failure);
        failure.kind().into()
    })
}

/// Turns into the command that `run` starts.
fn launch(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let error = child::launch(words);
    ui::early(&format!("cannot execute the command: {error}"));
    match error.kind() {
        std::io::ErrorKind::NotFound => Exit(exit::NOT_FOUND).into(),
        _ => Exit(exit::NOT_EXECUTABLE).into(),
    }
}

/// A panic tells its place and nothing else: its message may hold whatever was at hand.
fn hide_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        ui::early(&format!("an internal error at {place}; please report it"));
    }));
}

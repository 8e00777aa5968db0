//! `leasehold completions` and `leasehold man`.

use std::path::Path;

use clap::CommandFactory;
use leasehold::core::{Failure, Kind};

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::exit::Exit;
use crate::ui;

/// Prints completions.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "leasehold", &mut text);
    ui::answer(&String::from_utf8_lossy(&text));
    Ok(Exit::OK)
}

/// Writes the manual: a page for the program and one for each verb.
pub(crate) fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    match &arguments.folder {
        Some(folder) => std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
            .map_err(|error| unwritable(folder, &error))?,
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command())
                .render(&mut text)
                .map_err(|error| Failure::new(Kind::Broken, format!("cannot write the manual: {error}")))?;
            ui::answer(&String::from_utf8_lossy(&text));
        }
    }
    Ok(Exit::OK)
}

fn unwritable(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Invalid, format!("cannot write to {}: {error}", folder.display()))
}

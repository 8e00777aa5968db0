//! Fuzzes what reads a configuration file: its text is put into force, or each fault is told with its place.
//!
//! The command is a program and no library, so its modules are built in here as they stand.
#![no_main]
#![allow(dead_code, unused_imports, reason = "two modules of the command, without those that use them")]

#[path = "../../crates/cli/src"]
mod cli {
    pub(crate) mod arguments;
    pub(crate) mod config;
}

use arguments::login::LoginArguments;
use arguments::server::ServerArguments;
use arguments::workstation::WorkstationArguments;
use cli::{arguments, config};
use config::flags::Flags;
use config::settings::Settings;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    folder.expect("a folder for configurations")
});

fuzz_target!(|text: &str| {
    let path = FOLDER.path().join("x.toml");
    fs::write(&path, text).expect("a configuration");
    let server = ServerArguments { config: Some(path.display().to_string()), ..ServerArguments::default() };
    let nothing: [(&str, &str); 0] = [];
    let (login, workstation) = <(LoginArguments, WorkstationArguments)>::default();
    let flags = Flags { server: &server, login: &login, workstation: &workstation };
    match Settings::load(flags, &nothing.into_iter().collect()) {
        Ok(settings) => {
            let _ = format!("{settings:?} {:?}", settings.origins());
            settings.profiles.keys().for_each(|name| assert!(settings.profile(Some(name)).is_ok()));
        }
        Err(faults) => {
            let (told, path) = (faults.to_string(), path.display().to_string());
            assert!(told.lines().skip(1).any(|line| line.starts_with(&path)), "{told}");
        }
    }
});

//! The arguments of `leasehold import`.

use std::path::PathBuf;

use clap::Args;

use super::workstation::ProviderConnection;

/// Moves the keys of a .env file to the stores of their providers.
///
/// A variable belongs to the provider that has it as its `env_var` in the manifest. What would be done is shown first,
/// and done after --yes, or a `y` at the terminal. Each key is read back from its store and compared. Values are never
/// shown, and what belongs to no provider is left alone. Programs read .env files in different ways; a value that
/// they do not all read alike is not taken, and the exit code is then 2, as it is where nothing belongs to a provider.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold import --env-file .env
  leasehold import --env-file .env --yes --delete-file")]
pub(crate) struct ImportArguments {
    /// The file with the variables; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: PathBuf,
    /// Does it without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Deletes the file in the end, where all that it holds is in the stores. The keys were on the disk all the same:
    /// it is better to change them.
    #[arg(long)]
    pub(crate) delete_file: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

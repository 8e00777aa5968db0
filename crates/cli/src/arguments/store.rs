//! The arguments of `leasehold store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use leasehold::core::name::Reference;
use leasehold::workstation::Choice;

use super::workstation::ProviderConnection;
use crate::config::workstation::{parse_choice, parse_key};

/// Shows, moves, seals anew and deletes what is in the stores of this workstation.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold store list
  leasehold store migrate --from sealed --to keyring --dry-run
  leasehold store delete keyring://agent_vault/api.openai.com/old_key")]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    pub(crate) verb: StoreVerb,
}

/// What is done with the stores.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    List(StoreListArguments),
    Migrate(StoreMigrateArguments),
    Rekey(StoreRekeyArguments),
    Delete(StoreDeleteArguments),
}

/// Lists the keys in the store that plain pointers mean, or in the one that --store names, and who points there.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold store list
  leasehold store list --store sealed --json")]
pub(crate) struct StoreListArguments {
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Copies all keys from one store to another, and compares each there.
///
/// A store is keyring, sealed, kernel (lost when this machine stops), or a secret on the server such as
/// vault://secret/ai. Nothing is deleted at the old place before everything is at the new one. The manifest is not changed: its plain pointers follow the store that
/// is set as `store`, and full references stay what they are.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold store migrate --from sealed --to keyring --dry-run
  leasehold store migrate --from keyring --to vault://secret/ai --delete-source")]
pub(crate) struct StoreMigrateArguments {
    /// The store that has the keys.
    #[arg(long, value_name = "STORE", value_parser = parse_choice)]
    pub(crate) from: Choice,
    /// The store that will have them.
    #[arg(long, value_name = "STORE", value_parser = parse_choice)]
    pub(crate) to: Choice,
    /// Tells what would be done, and does nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Deletes the keys at their old place, once all of them are at the new one.
    #[arg(long)]
    pub(crate) delete_source: bool,
    /// Writes over keys at the new place that are not the same.
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Seals the sealed file with another key or passphrase.
///
/// It is opened as the settings say, and sealed with what is named here. A key that is not there yet is drawn: 32 random
/// bytes. The new file takes the old one's place as a whole, once it was opened with the new key. Change the settings after
/// that; a command that runs meanwhile goes on with the keys that it has.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("to").required(true)))]
#[command(after_help = "Examples:
  leasehold store rekey --to-passphrase-file ~/.config/leasehold/passphrase
  leasehold store rekey --to-key keyring://leasehold/sealed.key")]
pub(crate) struct StoreRekeyArguments {
    /// The place of the new key: file:///PATH or keyring://SERVICE/NAME.
    #[arg(long, value_name = "REF", group = "to", value_parser = parse_key)]
    pub(crate) to_key: Option<Reference>,
    /// The file with the new passphrase.
    #[arg(long, value_name = "FILE", group = "to")]
    pub(crate) to_passphrase_file: Option<PathBuf>,
    /// The key file that is drawn where nothing else was said.
    #[arg(long, group = "to")]
    pub(crate) to_drawn: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Deletes one key by its full reference, as `store list` and `doctor` tell it.
///
/// On the server, where its engine keeps versions, the earlier ones still hold the key.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold store delete --dry-run sealed://agent_vault/api.openai.com/old_key
  leasehold store delete vault://secret/ai#old_key")]
pub(crate) struct StoreDeleteArguments {
    /// Where it is.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Tells what would be deleted, and deletes nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

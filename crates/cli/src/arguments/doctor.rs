//! The arguments of `leasehold doctor`.

use clap::Args;

use super::workstation::ProviderConnection;

/// Looks whether everything is as it should be, and says what to do where it is not.
///
/// One line a check: manifest, stores, keys, endpoints, the server and its login, and what was left lying about. A
/// key is tried by a call that costs nothing. Exit code 0; 7 with warnings; 8 with failures.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold doctor
  leasehold doctor --fix
  leasehold doctor --offline --only manifest,secret
  leasehold doctor --json --only key:openai_pro")]
pub(crate) struct DoctorArguments {
    /// Looks at these alone: whole ids, or their part before the colon.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Mends what can be mended: permissions, and a manifest or folder that is missing.
    #[arg(long)]
    pub(crate) fix: bool,
    /// Asks nobody over the network: no server, endpoint or provider.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

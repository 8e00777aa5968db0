//! The arguments of the verbs that look after the keys of a workstation.

use clap::Args;

use super::{Connection, Dash};

/// Where the manifest is, and which store is used.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Workstation")]
pub(crate) struct WorkstationArguments {
    /// The manifest of providers [LEASEHOLD_MANIFEST; default: ~/.config/ai/ai_agents/manifest.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<String>,
    /// The store that plain pointers mean: keyring, sealed, kernel (lost when this machine stops) or vault://PATH
    /// [LEASEHOLD_STORE; default: the keyring if there is one, else the sealed file]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
}

/// What all verbs about providers take.
#[derive(Args, Debug)]
pub(crate) struct ProviderConnection {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workstation: WorkstationArguments,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Writes a manifest to begin with, if there is none.
///
/// A manifest names providers and points to where the key of each rests. It never holds a key.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  leasehold init && leasehold set-key openai_pro")]
pub(crate) struct InitArguments {
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Sets or replaces a provider's key.
///
/// The key is asked for at the terminal and not shown; with `-`, or where standard input is no terminal, it is read
/// from there. It is never an argument. Where it goes is told first. Blanks and line ends before or after it are left out.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold set-key openai_pro
  pass show openai | leasehold set-key openai_pro -")]
pub(crate) struct SetKeyArguments {
    /// The provider, by its name in the manifest.
    #[arg(value_name = "PROVIDER")]
    pub(crate) provider: String,
    /// `-` reads the key from standard input.
    #[arg(value_name = "-", value_parser = Dash::parse)]
    pub(crate) stdin: Option<Dash>,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Deletes a provider's key from its store.
///
/// On the server, where its engine keeps versions, the earlier ones still hold the key.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold delete-key --dry-run openai_pro
  leasehold delete-key openai_pro")]
pub(crate) struct DeleteKeyArguments {
    /// The provider, by its name in the manifest.
    #[arg(value_name = "PROVIDER")]
    pub(crate) provider: String,
    /// Tells what would be deleted, and deletes nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Tests whether providers can be used: the key is there, the endpoint is reached, and the provider accepts the key.
///
/// Each provider whose kind is known (OpenAI, Anthropic, OpenRouter, Gemini, GitHub, Ollama) is asked by a call that costs
/// nothing. A key goes to its provider's own host alone, over TLS. The exit code is that of what is worst: 4 a key is
/// rejected, 5 one is missing, 6 a provider cannot be reached, wants money, or does not say.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold test
  leasehold test openai_pro --json")]
pub(crate) struct TestArguments {
    /// The providers, by their names in the manifest; all if none is named.
    #[arg(value_name = "PROVIDER")]
    pub(crate) providers: Vec<String>,
    /// Asks nobody: only whether the keys are there.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

/// Lists the providers of the manifest, the one that is taken first on top.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold providers
  leasehold providers --json --offline")]
pub(crate) struct ProvidersArguments {
    /// Asks no endpoint whether it can be reached.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) common: ProviderConnection,
}

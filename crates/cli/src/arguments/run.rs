//! The arguments of `leasehold run`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::Connection;
use super::workstation::WorkstationArguments;
use crate::config::duration;
use crate::config::settings::OnChange;

/// Runs a command with its secrets, and leaves nothing behind.
///
/// Logs in, fetches what the command needs, hands it to that process alone, keeps the token and every lease alive
/// while it runs, carries rotations to it, and revokes everything when it ends. The exit code is the command's own
/// (128+N after signal N); 125 if leasehold itself failed, 126 if the command cannot be executed, 127 if it is not
/// found.
///
/// A reference is vault://MOUNT/PATH#FIELD, with ?version=N or ?namespace=NS after the path; env://NAME;
/// file:///path; or an entry of a store of this workstation: keyring://SERVICE/NAME, sealed:// or kernel://. Fields of
/// one dynamic secret come from one lease.
///
/// Several words are the command and its arguments as they are; a single one that is no program and has spaces or the like
/// in it is given to the shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  leasehold run --env DB_PASSWORD=vault://secret/db#password -- ./server
  leasehold run --env PGUSER=vault://database/creds/app#username \\
                --env PGPASSWORD=vault://database/creds/app#password --on-change restart -- ./server
  leasehold run --env-from vault://secret/app --file tls.key=vault://secret/tls#key -- sh -c 'use $LEASEHOLD_FILES/tls.key'
  leasehold run --profile web -- ./server
  leasehold run --provider openai_pro -- ./agent
  leasehold run -- 'curl -H \"Authorization: Bearer $OPENROUTER_API_KEY\" https://openrouter.ai/api/v1/key'")]
pub(crate) struct RunArguments {
    /// Uses what this profile of leasehold.toml names.
    #[arg(long, value_name = "PROFILE", help_heading = "Secrets")]
    pub(crate) profile: Option<String>,
    /// Sets a variable of the command to a secret.
    #[arg(long = "env", value_name = "NAME=REF", help_heading = "Secrets")]
    pub(crate) env: Vec<String>,
    /// Sets a variable for each field of a secret, its name in upper case.
    #[arg(long = "env-from", value_name = "REF", help_heading = "Secrets")]
    pub(crate) env_from: Vec<String>,
    /// Writes a secret to a file, in memory where possible. A relative path is below $LEASEHOLD_FILES; at an
    /// absolute one a link is made. Without #FIELD the file holds all fields as JSON.
    #[arg(long = "file", value_name = "PATH=REF", help_heading = "Secrets")]
    pub(crate) files: Vec<String>,
    /// Gives the command the key of this provider of the manifest, in the variable that the manifest names; once more
    /// for each further one. Where nothing at all is asked for, the first usable provider by priority is taken.
    #[arg(long = "provider", value_name = "PROVIDER", help_heading = "Secrets")]
    pub(crate) providers: Vec<String>,
    /// Takes the first provider by priority, or fails.
    #[arg(long, conflicts_with = "providers", help_heading = "Secrets")]
    pub(crate) strict_priority: bool,
    /// What the command gets when a secret changes: `ignore`, `signal[:SIG]` (HUP if none is named) or `restart`.
    /// Files are replaced in any case [default: ignore]
    #[arg(long, value_name = "ACTION", help_heading = "Life")]
    pub(crate) on_change: Option<OnChange>,
    /// How often static secrets are read again [default: 65s to 70s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_interval, help_heading = "Life")]
    pub(crate) refresh_interval: Option<Duration>,
    /// The signal that asks the command to stop [default: TERM]
    #[arg(long, value_name = "SIG", help_heading = "Life")]
    pub(crate) stop_signal: Option<String>,
    /// How long the command may take to stop before its process group is killed [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, help_heading = "Life")]
    pub(crate) stop_timeout: Option<Duration>,
    /// How long the login's token and all leases live when this host dies, or when the server is away; at least 10s
    /// [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_life, help_heading = "Life")]
    pub(crate) parent_ttl: Option<Duration>,
    /// Leaves VAULT_TOKEN and the login's other variables in the command's environment.
    #[arg(long, help_heading = "Life")]
    pub(crate) keep_login: bool,
    #[command(flatten)]
    pub(crate) workstation: WorkstationArguments,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

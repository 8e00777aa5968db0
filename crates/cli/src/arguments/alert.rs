//! The arguments of `leasehold alert`.

use clap::{Args, Subcommand};

use super::Connection;
use super::workstation::WorkstationArguments;

/// Tries those who are told when a credential cannot be kept.
///
/// They are named in the configuration, each in a section [alerts.NAME]: a log, a webhook, Slack or PagerDuty.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold alert test
  leasehold alert test --sink oncall --json")]
pub(crate) struct AlertArguments {
    #[command(subcommand)]
    pub(crate) verb: AlertVerb,
}

/// What is done with alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertVerb {
    Test(AlertTestArguments),
}

/// Sends a test alert to each, once; at PagerDuty an incident is triggered and resolved.
///
/// The exit code is that of what is worst: 1 a sink fails (it answers with 500, say), 2 it refuses what it is sent, 4 it
/// does not let us, 5 it or its secret is not there, 6 it cannot be reached.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold alert test
  leasehold alert test --sink oncall --json")]
pub(crate) struct AlertTestArguments {
    /// Tests this one alone.
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workstation: WorkstationArguments,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

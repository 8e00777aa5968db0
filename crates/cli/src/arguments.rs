//! What can be typed: one definition that feeds the parser, the help, the completions and the manual pages.

pub(crate) mod doctor;
pub(crate) mod import;
pub(crate) mod login;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod workstation;
pub(crate) mod alert;

use std::convert::Infallible;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use leasehold::manifest::looks_like_a_key;

use self::alert::AlertArguments;
use self::doctor::DoctorArguments;
use self::import::ImportArguments;
use self::login::LoginArguments;
use self::run::RunArguments;
use self::server::ServerArguments;
use self::store::StoreArguments;
use self::workstation::{
    DeleteKeyArguments, InitArguments, ProvidersArguments, SetKeyArguments, TestArguments,
    WorkstationArguments,
};

/// Runs commands with secrets from HashiCorp Vault or OpenBao, keeps the secrets alive, and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(
    name = "leasehold",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "Examples:
  leasehold run --env DB_PASSWORD=vault://secret/db#password -- ./server
  leasehold get vault://secret/registry#password | docker login --username ci --password-stdin
  leasehold set-key openai_pro && leasehold run --provider openai_pro -- ./agent
  leasehold config show --origin

Settings come from flags, then variables (VAULT_ADDR, VAULT_NAMESPACE, VAULT_TOKEN,
VAULT_ROLE_ID, VAULT_SECRET_ID and their BAO_ twins, LEASEHOLD_MANIFEST, LEASEHOLD_STORE),
then leasehold.toml.
`leasehold help COMMAND` tells more.")]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

impl Arguments {
    /// What was typed. Where that is no command, it ends the program with what is wrong, and shows nothing that may be a
    /// secret: what is told here is in logs, too.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| masked(error).exit())
    }
}

/// What stands in place of a text that may be a secret.
const MASK: &str = "..";

/// The error without texts that may be secrets: a word too many, a value that is none, and what looks like a key.
fn masked(mut error: clap::Error) -> clap::Error {
    let is_surplus = error.kind() == ErrorKind::UnknownArgument;
    let is_refused = error.kind() == ErrorKind::ValueValidation;
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand] {
        let Some(ContextValue::String(text)) = error.get(kind) else { continue };
        let is_word = is_surplus && !text.starts_with('-');
        let is_value = is_refused && kind == ContextKind::InvalidValue;
        if is_word || is_value || looks_like_a_key(text.trim_start_matches('-')) {
            error.insert(kind, ContextValue::String(MASK.into()));
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// What stands where `-` may: a secret is never an argument, and one that is given all the same is not kept, so that nothing
/// can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dash {
    /// `-`: the secret is on standard input.
    Stdin,
    /// Something else.
    Other,
}

impl Dash {
    /// Takes any text, since clap would show one that is refused.
    #[expect(clippy::unnecessary_wraps, reason = "as clap wants it")]
    fn parse(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Stdin } else { Self::Other })
    }
}

/// How this program speaks.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// How messages are written to standard error.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// How much is told: -v what happens to each credential, -vv every renewal.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Tells errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for a person.
    Text,
    /// A JSON object a line.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<RunArguments>),
    Get(GetArguments),
    Init(InitArguments),
    SetKey(SetKeyArguments),
    DeleteKey(DeleteKeyArguments),
    Providers(ProvidersArguments),
    Doctor(DoctorArguments),
    Test(TestArguments),
    Import(ImportArguments),
    Store(StoreArguments),
    Token(TokenArguments),
    Verify(VerifyArguments),
    Journal(JournalArguments),
    Alert(AlertArguments),
    Config(ConfigArguments),
    Completions(CompletionsArguments),
    Man(ManArguments),
}

/// Prints one secret.
///
/// The value goes to a pipe or file. On a terminal it is shown only with --reveal. Everything that was obtained to
/// read it is revoked before the command ends; so a dynamic secret, which would die with its lease, is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  leasehold get vault://secret/db#password | tool --password-stdin
  leasehold get --json vault://secret/db > db.json
  leasehold get 'vault://secret/db?version=3#password' --reveal")]
pub(crate) struct GetArguments {
    /// What to read; without #FIELD the only field there is, or with --json all fields.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Shows the value on a terminal.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Prints a JSON object of all fields.
    #[arg(long)]
    pub(crate) json: bool,
    /// Prints no line end after the value.
    #[arg(short = 'n', long)]
    pub(crate) no_newline: bool,
    #[command(flatten)]
    pub(crate) workstation: WorkstationArguments,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Creates, looks up, renews and revokes tokens.
///
/// Where no token is named, it is the one of the login (VAULT_TOKEN or ~/.vault-token). A token is never an argument:
/// it is read from standard input with `-`, or named by its accessor.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  VAULT_TOKEN=$(leasehold token create --ttl 1h --policy app) ./job
  leasehold token lookup --json
  leasehold token renew --increment 1h
  echo \"$TOKEN\" | leasehold token revoke -
  leasehold token revoke --accessor 8KH3bS2mYfnUQ9RCuQrMwRys")]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    pub(crate) verb: TokenVerb,
}

/// What is done to a token.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    Create(TokenCreateArguments),
    Lookup(TokenSubjectArguments),
    Renew(TokenRenewArguments),
    Revoke(TokenSubjectArguments),
}

/// Creates a token and prints it. It is yours: it is not revoked at the end.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  export VAULT_TOKEN=\"$(leasehold token create --ttl 1h --policy app)\"")]
pub(crate) struct TokenCreateArguments {
    /// How long it lives, such as 1h.
    #[arg(long, value_parser = crate::config::duration::parse, value_name = "TIME")]
    pub(crate) ttl: Option<std::time::Duration>,
    /// How long it can live at the most.
    #[arg(long, value_parser = crate::config::duration::parse, value_name = "TIME")]
    pub(crate) explicit_max_ttl: Option<std::time::Duration>,
    /// A periodic token: each renewal gives it this time again.
    #[arg(long, value_parser = crate::config::duration::parse, value_name = "TIME")]
    pub(crate) period: Option<std::time::Duration>,
    /// A policy of the token; those of the creating token if none is named.
    #[arg(long = "policy", value_name = "POLICY")]
    pub(crate) policies: Vec<String>,
    /// The token role to create it by.
    #[arg(long, value_name = "ROLE")]
    pub(crate) token_role: Option<String>,
    /// It lives on when the token that creates it ends.
    #[arg(long)]
    pub(crate) orphan: bool,
    /// A batch token: cheap, and neither renewable nor revocable.
    #[arg(long)]
    pub(crate) batch: bool,
    /// The name it has in the server's log.
    #[arg(long, value_name = "NAME")]
    pub(crate) display_name: Option<String>,
    /// A note on the token.
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    pub(crate) meta: Vec<String>,
    /// How often it can be used.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub(crate) uses: u64,
    /// Prints a JSON object with accessor, policies and time to live, too.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The login's token, one from standard input, or one by its accessor.
#[derive(Debug, Args)]
pub(crate) struct TokenSubjectArguments {
    /// `-` reads the token from standard input.
    #[arg(value_name = "-", value_parser = Dash::parse)]
    pub(crate) stdin: Option<Dash>,
    /// The token with this accessor.
    #[arg(long, conflicts_with = "stdin", value_name = "ACCESSOR")]
    pub(crate) accessor: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Renews a token.
#[derive(Debug, Args)]
pub(crate) struct TokenRenewArguments {
    /// How long it shall live from now; the server may give less.
    #[arg(long, value_parser = crate::config::duration::parse, value_name = "TIME")]
    pub(crate) increment: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) subject: TokenSubjectArguments,
}

/// Verifies that a role can log in, read a path, and go on with a rotated token.
///
/// Logs in, reads, rotates (a second login), reads again with the new token, and revokes both. Shows the names of
/// the fields, never a value. For AppRole, ROLE is checked against the login's `role_name`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  leasehold verify my-app-role secret/data/api
  leasehold verify --json my-app-role secret/api")]
pub(crate) struct VerifyArguments {
    /// The role to log in with.
    #[arg(value_name = "ROLE")]
    pub(crate) role: String,
    /// The secret to read.
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Shows what dead runs on this host left behind, and gives it back.
///
/// Every run writes down what it obtains before it uses it. What a run could not give back, because it was killed
/// or the server was away, is tried again by the next run, or by `leasehold journal --revoke`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  leasehold journal
  leasehold journal --revoke
  leasehold journal --json")]
pub(crate) struct JournalArguments {
    /// Logs in and revokes what is left, as far as the login may.
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Checks and shows the settings, and where each comes from.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  leasehold config check
  leasehold config show --origin
  leasehold config schema > manifest.schema.json")]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

/// What is done with the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Reads all settings and tells every fault with its place. Opens no connection.
    Check {
        #[command(flatten)]
        workstation: WorkstationArguments,
        #[command(flatten)]
        connection: Connection,
    },
    /// Prints the JSON schema of the manifest of providers, for editors and for other programs.
    Schema,
    /// Shows the settings that are in force. Secrets are not shown.
    Show {
        /// Shows where each comes from.
        #[arg(long)]
        origin: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        workstation: WorkstationArguments,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Prints completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  leasehold completions bash > ~/.local/share/bash-completion/completions/leasehold")]
pub(crate) struct CompletionsArguments {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// Writes the manual pages.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  leasehold man ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// The folder to write them to; the main page to standard output if none.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

/// The server and the login.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    #[command(flatten)]
    pub(crate) login: LoginArguments,
}

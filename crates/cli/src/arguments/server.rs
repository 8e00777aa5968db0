//! The flags that say which server is spoken to, and how.

/// Where the server is and how it is trusted. Nothing here is a secret.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArguments {
    /// Address of the server; give it again for each further address of the same cluster [VAULT_ADDR]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) address: Vec<String>,
    /// Namespace of the server to work in [VAULT_NAMESPACE]
    #[arg(long, global = true, value_name = "NS")]
    pub(crate) namespace: Option<String>,
    /// PEM file of the authorities to trust in place of the system's [VAULT_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<String>,
    /// Folder of such files [VAULT_CAPATH]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) ca_path: Option<String>,
    /// PEM file of the client certificate [VAULT_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_cert: Option<String>,
    /// PEM file of the client certificate's key [VAULT_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_key: Option<String>,
    /// Name that the server's certificate must have, in place of the address's host [VAULT_TLS_SERVER_NAME]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// Take any certificate; everyone on the way can then read everything [VAULT_SKIP_VERIFY]
    #[arg(long, global = true)]
    pub(crate) tls_skip_verify: bool,
    /// The configuration to read, in place of the user's and the working directory's [LEASEHOLD_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<String>,
    /// Folder for the journal [LEASEHOLD_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<String>,
}

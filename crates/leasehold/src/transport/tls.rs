//! How TLS is done: whom we trust, who we are, and under which name we expect the server.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use leasehold_core::{Failure, Kind};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What is configured of TLS. By default the system's certificate authorities are trusted.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// A PEM file of the authorities to trust, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A folder of such files.
    pub ca_folder: Option<PathBuf>,
    /// The certificate by which the server knows us.
    pub client: Option<ClientCertificate>,
    /// The name that the server's certificate must have, in place of the address's host.
    pub server_name: Option<String>,
    /// Whether any certificate of the server is good enough. Everyone on the way can then read everything.
    pub skip_verify: bool,
}

/// The PEM files of a client certificate and its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What is configured of TLS as its files have it at the moment: an authority or certificate that is replaced counts from
/// the next connection on.
pub(super) struct Trust {
    settings: Tls,
    read: Mutex<Read>,
}

struct Read {
    stamps: Vec<Stamp>,
    config: Arc<ClientConfig>,
}

/// By what one sees that a file is another than before; none if it is not there.
type Stamp = (PathBuf, Option<(SystemTime, u64, u64)>);

impl Trust {
    /// Reads the files.
    pub(super) fn new(settings: &Tls) -> Result<Self, Failure> {
        let (settings, stamps) = (settings.clone(), settings.stamps());
        let config = Arc::new(settings.load()?);
        Ok(Self { settings, read: Mutex::new(Read { stamps, config }) })
    }

    /// The name that the server's certificate must have, if it is not the address's host.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.settings.server_name.as_deref()
    }

    /// The configuration for a new connection. What cannot be read leaves the last one in force.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        let stamps = self.settings.stamps();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps != read.stamps {
            read.stamps = stamps;
            match self.settings.load() {
                Ok(config) => read.config = Arc::new(config),
                Err(failure) => tracing::warn!(
                    kind = failure.kind().token(),
                    "a file of TLS has changed and is of no use ({failure}); what it held before stays in force"
                ),
            }
        }
        Arc::clone(&read.config)
    }
}

impl Tls {
    fn load(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| invalid("this build of TLS has no protocol versions"))?;
        let builder = match self.skip_verify {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider))),
            false => builder.with_root_certificates(self.roots()?),
        };
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = client.load()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| invalid("the client's certificate and key do not fit together"))?
            }
        };
        // A session that is taken up again is not verified again, and its certificate may have expired since.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, Failure> {
        let mut roots = RootCertStore::empty();
        for file in self.files()? {
            for certificate in certificates(&file)? {
                roots
                    .add(certificate)
                    .map_err(|_| invalid(format!("{}: not a CA certificate", file.display())))?;
            }
        }
        if self.ca_file.is_none() && self.ca_folder.is_none() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        match roots.is_empty() {
            true => Err(invalid("there is no certificate authority to trust")
                .hint("set VAULT_CACERT, or install the package ca-certificates")),
            false => Ok(roots),
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let authorities = self.files().unwrap_or_default();
        let own = self.client.iter().flat_map(|client| [client.certificate.clone(), client.key.clone()]);
        let seen = |path: &Path| {
            let metadata = path.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        authorities.into_iter().chain(own).map(|path| (path.clone(), seen(&path))).collect()
    }

    fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut files: Vec<_> = self.ca_file.iter().cloned().collect();
        if let Some(folder) = &self.ca_folder {
            let entries = folder.read_dir().map_err(|error| unreadable(folder, &error))?;
            let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
            files
                .extend(paths.filter(|path| {
                    path.extension().is_some_and(|ending| ending == "pem" || ending == "crt")
                }));
        }
        Ok(files)
    }
}

impl ClientCertificate {
    fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Failure> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|_| invalid(format!("{}: no private key in PEM form", self.key.display())))?;
        Ok((certificates(&self.certificate)?, key))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let none = || invalid(format!("{}: no certificate in PEM form", file.display()));
    let text = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(none)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    invalid(format!("cannot read {}: {}", path.display(), error.kind()))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Invalid, message)
}

/// The verifier of `VAULT_SKIP_VERIFY`: signatures are checked, names and authorities are not.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Connections to one address, whatever the request's URI says.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use leasehold_core::name::{Address, Scheme};
use leasehold_core::{Failure, Kind, Retry};
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::resolve::Resolver;
use super::tls::Trust;

/// Connects to its one address.
#[derive(Clone)]
pub(super) struct Connector(Arc<Target>);

struct Target {
    address: Address,
    resolver: Resolver,
    trust: Option<Arc<Trust>>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(address: Address, trust: Option<Arc<Trust>>, timeout: Duration) -> Self {
        let resolver = Resolver::new(host(&address), address.port());
        Self(Arc::new(Target { address, resolver, trust, timeout }))
    }

    /// Connects by TCP, and no further.
    pub(super) async fn reach(&self) -> Result<(), Failure> {
        self.0.connect_tcp().await.map(drop)
    }
}

/// The host as a resolver wants it: an IPv6 address without its brackets.
fn host(address: &Address) -> &str {
    address.host().trim_matches(['[', ']'])
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({})", self.0.address)
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = Arc::clone(&self.0);
        Box::pin(async move { target.connect().await })
    }
}

impl Target {
    async fn connect(&self) -> Result<Stream, Failure> {
        match self.address.scheme() {
            Scheme::Unix => {
                Ok(Stream::Unix(TokioIo::new(self.limit(UnixStream::connect(self.address.host())).await?)))
            }
            Scheme::Http => Ok(Stream::Tcp(TokioIo::new(self.connect_tcp().await?))),
            Scheme::Https => Ok(Stream::Tls(Box::new(TokioIo::new(self.connect_tls().await?)))),
        }
    }

    /// The outcome within the time that connecting may take.
    async fn limit<T>(&self, connect: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.unreachable(&plain(&error))),
            Err(_) => Err(self.unreachable(&plain(&io::ErrorKind::TimedOut.into()))),
        }
    }

    async fn connect_tcp(&self) -> Result<TcpStream, Failure> {
        let addresses = match host(&self.address).parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, self.address.port())],
            Err(_) => {
                let found = self.resolver.addresses(self.timeout).await;
                found.map_err(|_| self.unreachable("its name cannot be resolved"))?
            }
        };
        let stream = self.limit(first(&addresses, self.timeout)).await?;
        // Small requests must not wait for each other; where this fails, they only do.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn connect_tls(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let trust = self.trust.as_ref().ok_or_else(|| self.unreachable("TLS is not set up"))?;
        let name = trust.server_name().unwrap_or_else(|| host(&self.address));
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::new(Kind::Invalid, format!("`{name}` cannot be the name of a server")))?;
        let stream = self.connect_tcp().await?;
        let shake = TlsConnector::from(trust.config()).connect(name, stream);
        match tokio::time::timeout(self.timeout, shake).await {
            Ok(result) => result.map_err(|error| self.distrusted(&error)),
            Err(_) => Err(self.unreachable("no TLS handshake in time")),
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        let failure = Failure::new(Kind::Unreachable, format!("cannot reach {}: {why}", self.address));
        failure.hint("is the server running, and is VAULT_ADDR right?")
    }

    /// What a failed handshake means. To shake hands again at once is no use; the engine, which keeps what it holds
    /// meanwhile, comes back when somebody may have put the certificate in order.
    fn distrusted(&self, error: &io::Error) -> Failure {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let certificate = match tls {
            Some(rustls::Error::InvalidCertificate(why)) => why,
            Some(rustls::Error::InvalidMessage(_)) => {
                return no_tls(format!("{} does not speak TLS", self.address))
                    .hint("does the server listen on http:// there?");
            }
            Some(rustls::Error::AlertReceived(_)) => return refused(&self.address),
            Some(_) | None => {
                return self.unreachable("the TLS handshake failed").with_retry(Retry::After(None));
            }
        };
        let (what, hint) = match certificate {
            // An authority of the same name with another key is another authority.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                "is signed by an authority that is not trusted here",
                "name that authority's file in VAULT_CACERT",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ("has expired", "renew the server's certificate, or check this machine's clock")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ("is not valid yet", "check this machine's clock")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ("is for another name", "use that name in VAULT_ADDR, or set VAULT_TLS_SERVER_NAME")
            }
            _ => ("is not valid", "look at it with `openssl s_client -connect HOST:PORT -showcerts`"),
        };
        no_tls(format!("the certificate of {} {what}", self.address)).hint(hint)
    }
}

fn no_tls(message: String) -> Failure {
    Failure::new(Kind::Unreachable, message).with_retry(Retry::Never)
}

/// What a TLS alert means that came instead of an answer: from TLS 1.3 on, a server refuses the client's certificate
/// only after the handshake.
pub(super) fn alert(address: &Address, error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    let is_alert = matches!(inner.downcast_ref(), Some(rustls::Error::AlertReceived(_)));
    is_alert.then(|| refused(address))
}

fn refused(address: &Address) -> Failure {
    no_tls(format!("{address} refused our side of TLS"))
        .hint("does it ask for a client certificate (VAULT_CLIENT_CERT, VAULT_CLIENT_KEY)?")
}

/// A connection to the first address that takes one. Each has its share of the time, so that one that is silent does
/// not use it up for the others.
async fn first(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = io::ErrorKind::TimedOut.into();
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// A system error in few words, without the number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut => "no connection in time".into(),
        io::ErrorKind::NotFound => "no such socket".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        kind => kind.to_string(),
    }
}

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
    Unix(TokioIo<UnixStream>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_is_found_while_its_name_is_not() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        let (is_down, told) =
            (Arc::new(AtomicBool::new(false)), Address::parse("http://vault.example").unwrap());
        let (clock, steering) = Clock::steered();
        let down = Arc::clone(&is_down);
        let look_up = move || match down.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(vec![at]),
        };
        let timeout = Duration::from_secs(5);
        let target = Target { address: told, resolver: Resolver::by(look_up, clock), trust: None, timeout };
        assert!(target.connect().await.is_ok());
        is_down.store(true, Ordering::SeqCst);
        assert!(target.connect().await.is_ok(), "by the last good address");
        steering.sleep(Duration::from_secs(600));
        let failure = target.connect().await.err().unwrap();
        assert_eq!(failure.message(), "cannot reach http://vault.example:80: its name cannot be resolved");
    }
    #[tokio::test(flavor = "current_thread")]
    async fn an_address_that_is_silent_leaves_time_for_the_next() {
        let hole = leasehold_testkit::Hole::open();
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (silent, good) = (SocketAddr::from(([127, 0, 0, 1], hole.port())), server.local_addr().unwrap());
        let limit = Duration::from_millis(200);
        assert_eq!(first(&[silent, good], limit).await.unwrap().peer_addr().unwrap(), good);
        assert_eq!(first(&[silent], limit).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

//! The one HTTP client: sends one call to one of the configured addresses, and to nobody else.

mod resolve;
mod tls;

mod connect;

mod leader;

mod fetch;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use leasehold_core::name::{Address, Namespace, Scheme};
use leasehold_core::{Failure, Kind, Retry, Secret};
use leasehold_vault::call::{Call, Method};
use leasehold_vault::reply::Reply;

use zeroize::Zeroizing;

use connect::Connector;
pub(crate) use fetch::{Question, Receipt, reach};
use tls::Trust;
pub use tls::{ClientCertificate, Tls};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
/// How we call ourselves.
const AGENT: &str = concat!("leasehold/", env!("CARGO_PKG_VERSION"));

/// How long, how much and where to.
#[derive(Clone, Debug)]
pub struct TransportSettings {
    /// The addresses of one cluster, the preferred one first. Not empty.
    pub addresses: Vec<Address>,
    /// How TLS is done.
    pub tls: Tls,
    /// The longest time to connect.
    pub connect_timeout: Duration,
    /// The longest time for one try, connecting included.
    pub try_timeout: Duration,
    /// The largest answer, in bytes.
    pub body_limit: usize,
}

impl TransportSettings {
    /// The usual limits: 1 s to connect, 3 s a try, 8 MiB.
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(1),
            try_timeout: Duration::from_secs(3),
            body_limit: 8 << 20,
        }
    }
}

/// A client of one cluster. It knows no token of its own.
#[derive(Debug)]
pub struct Transport {
    endpoints: Vec<Endpoint>,
    /// The endpoint that is asked next.
    preferred: AtomicUsize,
    try_timeout: Duration,
    body_limit: usize,
    /// The state of the server after our last write, so that a standby that is behind does not answer.
    index: Mutex<Option<HeaderValue>>,
    /// How many answers have begun to come.
    answers: AtomicU64,
}

#[derive(Debug)]
struct Endpoint {
    address: Address,
    client: Client<Connector, Full<Bytes>>,
}

/// What one try brought: a reply, or the address it is to be had at.
enum Try {
    Reply(Reply),
    Redirect(String),
}

impl Transport {
    /// A client by these settings. Reads the certificates, and opens nothing else.
    pub fn new(settings: &TransportSettings) -> Result<Self, Failure> {
        let needs_tls = settings.addresses.iter().any(|address| address.scheme() == Scheme::Https);
        let trust = needs_tls.then(|| Trust::new(&settings.tls)).transpose()?.map(Arc::new);
        let endpoint = |address: &Address| Endpoint {
            address: address.clone(),
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_secs(60))
                .build(Connector::new(address.clone(), trust.clone(), settings.connect_timeout)),
        };
        if settings.addresses.is_empty() {
            return Err(Failure::new(Kind::Invalid, "no server address is configured")
                .hint("set VAULT_ADDR, or --address"));
        }
        Ok(Self {
            endpoints: settings.addresses.iter().map(endpoint).collect(),
            preferred: AtomicUsize::new(0),
            try_timeout: settings.try_timeout,
            body_limit: settings.body_limit,
            index: Mutex::default(),
            answers: AtomicU64::new(0),
        })
    }

    /// All addresses, the preferred one first.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.endpoints.iter().map(|endpoint| &endpoint.address)
    }

    /// The address that is asked next.
    pub fn address(&self) -> &Address {
        &self.endpoint().address
    }

    /// Whether there is another address to ask when one fails.
    pub(crate) fn has_others(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// Counts the answers, of whatever kind, from their first line on.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoints[self.preferred.load(Ordering::Relaxed)]
    }

    /// Sends the call once. After a failure of the server, or to reach it, the next call goes to the next address.
    ///
    /// One redirect is followed, to a configured address only, so that a token never goes anywhere else.
    pub async fn send(
        &self,
        call: &Call,
        token: Option<&Secret>,
        namespace: Option<&Namespace>,
    ) -> Result<Reply, Failure> {
        let asked = self.preferred.load(Ordering::Relaxed);
        let endpoint = &self.endpoints[asked];
        let exchange = self.send_from(endpoint, call, token, namespace);
        let answered = tokio::time::timeout(self.try_timeout, exchange).await;
        let result = answered.unwrap_or_else(|_| Err(late(endpoint)));
        // From 472 on a node tells that it is of another kind than is asked for.
        if result.as_ref().is_ok_and(|reply| reply.status < 472) {
            return result;
        }
        let next = (asked + 1) % self.endpoints.len();
        // Where another call has passed on already, this one need not.
        let _ = self.preferred.compare_exchange(asked, next, Ordering::Relaxed, Ordering::Relaxed);
        result
    }

    async fn send_from(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        token: Option<&Secret>,
        namespace: Option<&Namespace>,
    ) -> Result<Reply, Failure> {
        let location = match self.send_to(endpoint, call, token, namespace).await? {
            Try::Reply(reply) => return Ok(reply),
            Try::Redirect(location) => location,
        };
        let next = self.redirected(endpoint, &location)?;
        match self.send_to(next, call, token, namespace).await? {
            Try::Reply(reply) => Ok(reply),
            Try::Redirect(_) => Err(redirect_failure(endpoint, "twice in a row")),
        }
    }

    /// The configured endpoint that a redirect leads to: same host and port, and no plain text over the network
    /// where there was none.
    fn redirected(&self, from: &Endpoint, location: &str) -> Result<&Endpoint, Failure> {
        let origin = origin(location);
        let allowed = |endpoint: &&Endpoint| {
            origin.as_ref() == Some(&endpoint.address)
                && (from.address.scheme() == Scheme::Http || endpoint.address.scheme() == Scheme::Https)
        };
        self.endpoints.iter().find(allowed).ok_or_else(|| {
            let to = origin.map_or_else(|| "elsewhere".to_owned(), |origin| format!("to {origin}"));
            redirect_failure(from, &to)
                .hint("if that address belongs to the same cluster, add it to the configured addresses")
        })
    }

    async fn send_to(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        token: Option<&Secret>,
        namespace: Option<&Namespace>,
    ) -> Result<Try, Failure> {
        let request = self.request(endpoint, call, token, namespace)?;
        let response = endpoint.client.request(request).await.map_err(|error| lost(endpoint, &error))?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.read(endpoint, call, response).await
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        token: Option<&Secret>,
        namespace: Option<&Namespace>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let body = call.body.as_ref().map(|body| Bytes::copy_from_slice(body.bytes())).unwrap_or_default();
        let mut request = Request::builder()
            .method(verb(call.method))
            .uri(uri(&endpoint.address, call))
            .body(Full::new(body))
            .map_err(|_| Failure::new(Kind::Invalid, format!("`{}` cannot be a path", call.plain_path())))?;
        let headers = request.headers_mut();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type()));
        }
        if let Some(token) = token {
            headers.insert(TOKEN, token_value(token)?);
        }
        if let Some(namespace) = namespace {
            headers.insert(NAMESPACE, plain_value(namespace.as_str())?);
        }
        if let Some(ttl) = call.wrap {
            headers.insert(WRAP_TTL, plain_value(&format!("{}s", ttl.as_secs()))?);
        }
        self.insert_index(call, headers);
        Ok(request)
    }

    /// A read after our own write: a standby that does not know that write yet hands the read to the leader.
    fn insert_index(&self, call: &Call, headers: &mut HeaderMap) {
        if !is_read(call) {
            return;
        }
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if index.is_some() || call.forward {
            headers.insert(INCONSISTENT, HeaderValue::from_static("forward-active-node"));
        }
        if let Some(index) = index {
            headers.insert(INDEX, index);
        }
    }

    async fn read(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        response: Response<Incoming>,
    ) -> Result<Try, Failure> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::TEMPORARY_REDIRECT {
            let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            return Ok(Try::Redirect(location.unwrap_or_default().to_owned()));
        }
        if let Some(index) = head.headers.get(INDEX).filter(|_| !is_read(call)) {
            *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.clone());
        }
        let mut body = collect(body, self.body_limit).await.map_err(|broken| broken.failure(endpoint))?;
        let retry_after = head.headers.get(RETRY_AFTER).and_then(seconds);
        Ok(Try::Reply(Reply::new(head.status.as_u16(), retry_after, std::mem::take(&mut *body))))
    }
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    TooLarge,
    Off,
}

impl Broken {
    fn failure(self, endpoint: &Endpoint) -> Failure {
        match self {
            Self::TooLarge => {
                Failure::new(Kind::Broken, format!("the answer of {} is too large", endpoint.address))
                    .with_retry(Retry::Never)
            }
            Self::Off => unreachable(endpoint, "the answer broke off").with_retry(Retry::Ambiguous),
        }
    }
}

/// The whole body. Of one that says that it is too large, nothing is read.
async fn collect<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Broken> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(Broken::TooLarge);
    }
    let mut whole = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Broken::Off)?.into_data() else { continue };
        let length = whole.len() + data.len();
        if length > limit {
            return Err(Broken::TooLarge);
        }
        if length > whole.capacity() {
            // A vector that grows by itself leaves its old bytes behind.
            let mut larger = Zeroizing::new(Vec::with_capacity((length * 2).min(limit)));
            larger.extend_from_slice(&whole);
            whole = larger;
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

fn is_read(call: &Call) -> bool {
    matches!(call.method, Method::Get | Method::List)
}

fn verb(method: Method) -> http::Method {
    match method {
        Method::Get | Method::List => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}

fn uri(address: &Address, call: &Call) -> String {
    let base = match address.scheme() {
        Scheme::Unix => "http://localhost".to_owned(),
        Scheme::Http | Scheme::Https => address.to_string(),
    };
    let list = (call.method == Method::List).then(|| ("list", "true".to_owned()));
    let query: Vec<_> = call
        .query
        .iter()
        .cloned()
        .chain(list)
        .map(|(name, value)| format!("{name}={}", escaped(&value)))
        .collect();
    match query.is_empty() {
        true => format!("{base}/v1/{}", call.path),
        false => format!("{base}/v1/{}?{}", call.path, query.join("&")),
    }
}

fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The address that a URL begins with. User information makes it none.
pub(crate) fn origin(location: &str) -> Option<Address> {
    let (scheme, rest) = location.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Address::parse(&format!("{scheme}://{host}")).ok()
}

fn token_value(token: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(token.expose())
        .map_err(|_| Failure::new(Kind::Invalid, "the token has a character that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn plain_value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure::new(Kind::Invalid, "a header with a control character"))
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn unreachable(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(Kind::Unreachable, format!("cannot reach {}: {why}", endpoint.address))
}

fn late(endpoint: &Endpoint) -> Failure {
    unreachable(endpoint, "no answer in time").with_retry(Retry::Ambiguous)
}

fn redirect_failure(from: &Endpoint, to: &str) -> Failure {
    unreachable(from, &format!("it redirects {to}"))
}

/// What a failed exchange means. One that failed before the request was sent may be made again.
fn lost(endpoint: &Endpoint, error: &hyper_util::client::legacy::Error) -> Failure {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(at) = source {
        if let Some(failure) = at.downcast_ref::<Failure>() {
            return failure.clone();
        }
        if let Some(failure) = connect::alert(&endpoint.address, at) {
            return failure;
        }
        source = at.source();
    }
    match error.is_connect() {
        true => unreachable(endpoint, "the connection failed"),
        false => unreachable(endpoint, "the connection broke").with_retry(Retry::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_redirects() {
        let check = |location: &str, expect: Option<&str>| {
            assert_eq!(origin(location).map(|origin| origin.to_string()).as_deref(), expect, "{location}");
        };
        check("http://127.0.0.1:8200/v1/x", Some("http://127.0.0.1:8200"));
        check("https://vault/v1/x?y", Some("https://vault:443"));
        check("https://vault@evil.example/v1/x", None);
        check("https://vault:8200@evil.example", None);
        check("//evil.example/v1", None);
        check("/v1/x", None);
        check("file:///etc/passwd", None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn bodies_are_whole_or_refused() {
        for (length, limit) in [(0, 0), (5000, 5000), (5001, 5000), (5000, 0)] {
            let text: Vec<_> = (0..length).map(|at| (at % 251) as u8).collect();
            let body = collect(Full::new(Bytes::from(text.clone())), limit).await.map(|body| body.to_vec());
            let expect = if length <= limit { Ok(text) } else { Err(Broken::TooLarge) };
            assert_eq!(body, expect, "{length}");
        }
    }

    #[test]
    fn a_token_with_a_line_end_is_refused_without_being_told() {
        let failure = token_value(&Secret::new("s.canary\r\nHost: evil")).unwrap_err();
        assert!(!failure.to_string().contains("canary"));
    }
}

//! One question to a server that is no Vault, or one letter: one try, no redirect, and the answer as it came.

use std::time::Duration;

use http::header::{ACCEPT, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use leasehold_core::name::Address;
use leasehold_core::{Failure, Kind, Secret};
use zeroize::Zeroizing;

use super::connect::Connector;
use super::{AGENT, Endpoint, Transport, collect, late, lost, seconds, token_value};

/// How long is waited for what is said besides a status.
const ASIDE: Duration = Duration::from_secs(1);

/// What is asked for.
pub(crate) struct Question<'a> {
    /// From the first slash on.
    pub(crate) path: &'a str,
    /// Headers without secrets.
    pub(crate) headers: &'a [(&'static str, &'static str)],
    /// The header that a key goes in, and its value.
    pub(crate) key: Option<(&'static str, Secret)>,
}

/// What came.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What came of a letter.
pub(crate) struct Receipt {
    pub(crate) status: u16,
    /// When it may be sent again, if that was said.
    pub(crate) retry_after: Option<Duration>,
    /// The first bytes of what was said to it; none where it was taken.
    pub(crate) said: Bytes,
}

impl Transport {
    /// Sends once, within the time for one try. The request's URI begins with the address.
    ///
    /// Whether it was taken is known by the status: however long the answer is, little of it is read.
    pub(crate) async fn post(&self, mut letter: Request<Bytes>) -> Result<Receipt, Failure> {
        let endpoint = self.endpoint();
        letter.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let sent = tokio::time::timeout(self.try_timeout, endpoint.client.request(letter.map(Full::new)));
        let answered = sent.await.map_err(|_| late(endpoint))?.map_err(|error| lost(endpoint, &error))?;
        let (head, body) = answered.into_parts();
        let said = match head.status.is_success() {
            true => Bytes::new(),
            false => tokio::time::timeout(ASIDE, first(body)).await.unwrap_or_default(),
        };
        let retry_after = head.headers.get(RETRY_AFTER).and_then(seconds);
        Ok(Receipt { status: head.status.as_u16(), retry_after, said })
    }

    /// Asks once, within the time for one try. The body is read up to the limit.
    pub(crate) async fn fetch(&self, question: &Question<'_>) -> Result<Page, Failure> {
        let endpoint = self.endpoint();
        let page = self.page(endpoint, question);
        tokio::time::timeout(self.try_timeout, page).await.unwrap_or_else(|_| Err(late(endpoint)))
    }

    async fn page(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<Page, Failure> {
        let request = get(endpoint, question)?;
        let response = endpoint.client.request(request).await.map_err(|error| lost(endpoint, &error))?;
        let status = response.status().as_u16();
        let body = collect(response.into_body(), self.body_limit).await;
        Ok(Page { status, body: body.map_err(|broken| broken.failure(endpoint))? })
    }
}

/// The first piece of a body; empty if it does not come.
async fn first(mut body: Incoming) -> Bytes {
    let frame = body.frame().await.and_then(Result::ok);
    frame.and_then(|frame| frame.into_data().ok()).unwrap_or_default()
}

/// Whether anybody listens there: connects within this time, and sends nothing.
pub(crate) async fn reach(address: &Address, limit: Duration) -> Result<(), Failure> {
    let reached = tokio::time::timeout(limit, Connector::new(address.clone(), None, limit).reach()).await;
    let late = |_| Err(Failure::new(Kind::Unreachable, format!("cannot reach {address}: no answer in time")));
    reached.unwrap_or_else(late)
}

fn get(endpoint: &Endpoint, question: &Question<'_>) -> Result<Request<Full<Bytes>>, Failure> {
    let invalid = || Failure::new(Kind::Invalid, format!("no such path can be at {}", endpoint.address));
    let uri: Uri = format!("{}{}", endpoint.address, question.path).parse().map_err(|_| invalid())?;
    let mut request = Request::get(uri).body(Full::default()).map_err(|_| invalid())?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in question.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some((name, key)) = &question.key {
        let odd = |_| Failure::new(Kind::Invalid, "the key has a character that no key has");
        headers.insert(HeaderName::from_static(name), token_value(key).map_err(odd)?);
    }
    Ok(request)
}

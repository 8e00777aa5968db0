//! One question to a server that is no Vault: one try, no redirect, and the answer as it came.

use std::time::Duration;

use http::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use leasehold_core::name::Address;
use leasehold_core::{Failure, Kind, Secret};
use zeroize::Zeroizing;

use super::connect::Connector;
use super::{AGENT, Endpoint, Transport, collect, late, lost, token_value};

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

impl Transport {
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

//! The verifier as a layer for servers built on tower, such as axum.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;

use super::{Refusal, Verification, Verifier};

/// How long a body may take unless it is said otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets only verified requests through, each with its [`Verified`](super::Verified) among its extensions.
///
/// What is behind it sees a request once its body is whole and verified, as a [`Received`] body without trailers,
/// which are not signed. All refused requests get the same answer, 401 with [`Refusal::ANSWER`]; a body that is
/// longer than the limit gets 413, one that takes longer than [`within`](Self::within) 408, and one that broke off 400.
/// When the request's own time is over, the rest of its body is not waited for. This takes a runtime of tokio with its
/// timer.
///
/// The layer is always ready: what is behind it is asked whether it is when a request is verified, so that nobody takes
/// a place there who has not proved anything. A limit of how many bodies may be on their way goes around the layer, a
/// limit of how many requests are worked on goes behind it.
///
/// With [`Covering::Everything`](super::Covering::Everything) the layer stands outside of whatever rewrites paths. The
/// nested routers of axum are no trouble, if the feature `axum` is on.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use leasehold::clock::Clock;
/// use leasehold::signing::layer::{Received, VerifyLayer};
/// use leasehold::signing::{Covering, Verified, Verifier};
/// use leasehold::token_cache::TokenCache;
/// use std::convert::Infallible;
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tower_layer::Layer;
///
/// #[derive(Clone)]
/// struct Handler;
///
/// impl tower_service::Service<Request<Received>> for Handler {
///     type Response = Response<Full<Bytes>>;
///     type Error = Infallible;
///     type Future = std::future::Ready<Result<Self::Response, Infallible>>;
///
///     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
///         std::task::Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, request: Request<Received>) -> Self::Future {
///         let agent = request.extensions().get::<Verified>().map(|by| by.agent.clone());
///         std::future::ready(Ok(Response::new(agent.unwrap_or_default().into())))
///     }
/// }
///
/// let tokens = TokenCache::new(Clock::default(), Duration::from_secs(30));
/// let verifier = Arc::new(Verifier::new(tokens, Covering::Body));
/// let service = VerifyLayer::new(verifier, 1 << 20).layer(Handler);
/// # fn is_a_service<S: tower_service::Service<Request<Full<Bytes>>>>(_: S) {}
/// # is_a_service(service);
/// ```
#[derive(Clone, Debug)]
pub struct VerifyLayer {
    verifier: Arc<Verifier>,
    limit: usize,
    patience: Duration,
}

impl VerifyLayer {
    /// Takes no body that is longer than `limit` bytes. That much of each request is kept until it is verified.
    pub fn new(verifier: Arc<Verifier>, limit: usize) -> Self {
        Self { verifier, limit, patience: PATIENCE }
    }

    /// Waits no longer than that for a whole body; 60 s unless it is said otherwise.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify { inner, layer: self.clone() }
    }
}

/// A service behind a [`VerifyLayer`].
#[derive(Clone, Debug)]
pub struct Verify<S> {
    inner: S,
    layer: VerifyLayer,
}

impl<S, B, R> Service<Request<B>> for Verify<S>
where
    S: Service<Request<Received>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    R: From<&'static str>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move {
            let request = match layer.verified(request).await {
                Ok(request) => request,
                Err(answer) => return Ok(answer.response()),
            };
            // The one that was asked whether it is ready is the one to call.
            poll_fn(|context| inner.poll_ready(context)).await?;
            inner.call(request).await
        })
    }
}

/// What a request is told that is not let through.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Refused,
    TooLong,
    TooSlow,
    BrokenOff,
}

impl From<Refusal> for Answer {
    fn from(_: Refusal) -> Self {
        Self::Refused
    }
}

impl Answer {
    fn response<R: From<&'static str>>(self) -> Response<R> {
        let (status, text) = match self {
            Self::Refused => (StatusCode::UNAUTHORIZED, Refusal::ANSWER),
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"detail":"Payload Too Large"}"#),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, r#"{"detail":"Request Timeout"}"#),
            Self::BrokenOff => (StatusCode::BAD_REQUEST, r#"{"detail":"Bad Request"}"#),
        };
        let mut response = Response::new(R::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl VerifyLayer {
    /// The request with its whole body, once both are known to be good.
    async fn verified<B: Body>(&self, mut request: Request<B>) -> Result<Request<Received>, Answer> {
        let path = written(&request);
        let path = mem::replace(request.uri_mut(), path);
        let verification = self.verifier.open(&request)?;
        *request.uri_mut() = path;
        let (mut parts, body) = request.into_parts();
        let (verification, received) = self.received(verification, body).await?;
        parts.extensions.insert(verification.finish_or_refresh(received.pieces()).await?);
        Ok(Request::from_parts(parts, received))
    }

    /// The whole body, and what has seen it, unless it takes too long.
    async fn received<'v, B: Body>(
        &self,
        mut verification: Verification<'v>,
        body: B,
    ) -> Result<(Verification<'v>, Received), Answer> {
        let left = verification.time_left();
        let receiving = receive(body, self.limit, |piece| verification.update(piece));
        match timeout(left.min(self.patience), receiving).await {
            Ok(received) => received.map(|received| (verification, received)),
            Err(_) if left <= self.patience => Err(verification.late().into()),
            Err(_) => Err(Answer::TooSlow),
        }
    }
}

/// The path as the client wrote and signed it: a nested router of axum takes its beginning off.
fn written<B>(request: &Request<B>) -> Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions().get::<axum::extract::OriginalUri>() {
        return original.0.clone();
    }
    request.uri().clone()
}

/// The whole body, each piece of which is shown to `see` once.
async fn receive<B: Body>(body: B, limit: usize, mut see: impl FnMut(&[u8])) -> Result<Received, Answer> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Answer::TooLong);
    }
    let (mut body, mut received) = (pin!(body), Received::default());
    while let Some(frame) = body.frame().await {
        let Ok(mut piece) = frame.map_err(|_| Answer::BrokenOff)?.into_data() else { continue };
        if piece.remaining() > limit - received.length {
            return Err(Answer::TooLong);
        }
        // The same memory, where the server's pieces are `Bytes` already.
        let piece = piece.copy_to_bytes(piece.remaining());
        see(&piece);
        received.push(piece);
    }
    received.gather();
    Ok(received)
}

/// A body that was verified as a whole: the pieces in which it came, not copied but for small ones.
#[derive(Debug, Default)]
pub struct Received {
    pieces: VecDeque<Bytes>,
    /// Small pieces that are being gathered, so that a body sent byte by byte does not take many times its length.
    small: BytesMut,
    length: usize,
}

/// A piece that is shorter is copied.
const SMALL: usize = 1024;

impl Received {
    /// The pieces that are not yet read.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> + Clone {
        self.pieces.iter()
    }

    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < SMALL {
            self.small.extend_from_slice(&piece);
            return;
        }
        self.gather();
        self.pieces.push_back(piece);
    }

    fn gather(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.length -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}

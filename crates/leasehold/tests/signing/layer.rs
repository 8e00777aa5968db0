//! The layer for servers, called as a server calls it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{iter, pending};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use leasehold::clock::wall_seconds;
use leasehold::signing::layer::{Received, VerifyLayer};
use leasehold::signing::{Covering, Refusal, SIGNATURE, SKEW_SECONDS, Verified, Verifier};
use tower_layer::Layer;
use tower_service::Service;

use crate::ground::Ground;

const LIMIT: usize = 4096;

/// Says who sent what, and in how many pieces it came.
#[derive(Clone)]
struct Handler;

impl Service<Request<Received>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Received>) -> Self::Future {
        let agent = request.extensions().get::<Verified>().unwrap().agent.clone();
        assert_eq!(
            request.body().size_hint().exact(),
            Some(request.body().pieces().map(|piece| piece.len() as u64).sum())
        );
        let pieces = request.body().pieces().count();
        let told = format!("{agent}, {} bytes, {pieces} pieces", request.body().size_hint().lower());
        ready(Ok(Response::new(told.into())))
    }
}

/// What comes of a request whose body comes in these pieces.
async fn answer(
    ground: Ground,
    body: &'static str,
    pieces: Vec<Result<Frame<Bytes>, ()>>,
) -> (StatusCode, String) {
    let mut request = Request::post("/").body(body).unwrap();
    ground.signer.sign(&mut request).unwrap();
    answer_to(ground.verifier, request.map(|_| StreamBody::new(iter(pieces)))).await
}

async fn answer_to<B>(verifier: Verifier, request: Request<B>) -> (StatusCode, String)
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let mut service = VerifyLayer::new(Arc::new(verifier), LIMIT).layer(Handler);
    let response = service.call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    assert_eq!(is_json, parts.status != StatusCode::OK);
    let text = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(text.to_vec()).unwrap())
}

fn data(text: &'static str) -> Result<Frame<Bytes>, ()> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

const LONG: &str = match str::from_utf8(&[b'x'; LIMIT]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

#[tokio::test]
async fn what_is_verified_comes_through_and_nothing_else() {
    let check = async |body, pieces, status: StatusCode, told: &str| {
        let ground = Ground::new(Covering::Everything);
        assert_eq!(answer(ground, body, pieces).await, (status, told.to_owned()), "{told}");
    };
    let refused = StatusCode::UNAUTHORIZED;
    check("", vec![], StatusCode::OK, "agent-1, 0 bytes, 0 pieces").await;
    check("reboot", vec![data("re"), data(""), data("boot")], StatusCode::OK, "agent-1, 6 bytes, 1 pieces")
        .await;
    check(
        LONG,
        vec![data(&LONG[..2000]), data(&LONG[2000..])],
        StatusCode::OK,
        "agent-1, 4096 bytes, 2 pieces",
    )
    .await;
    let single = (0..LIMIT).map(|at| data(&LONG[at..=at])).collect();
    check(LONG, single, StatusCode::OK, "agent-1, 4096 bytes, 1 pieces").await;
    check("reboot", vec![data("reboo"), data("T")], refused, Refusal::ANSWER).await;
    check("reboot", vec![data("reboo")], refused, Refusal::ANSWER).await;
    let too_long = r#"{"detail":"Payload Too Large"}"#;
    check(LONG, vec![data(LONG), data("x")], StatusCode::PAYLOAD_TOO_LARGE, too_long).await;
    let broken = vec![data("re"), Err(())];
    check("reboot", broken, StatusCode::BAD_REQUEST, r#"{"detail":"Bad Request"}"#).await;
}

#[tokio::test]
async fn all_refusals_have_one_answer() {
    let refused = (StatusCode::UNAUTHORIZED, Refusal::ANSWER.to_owned());
    let ground = Ground::new(Covering::Body);
    let mut request = ground.signed_at("reboot", 0);
    assert_eq!(answer_to(ground.verifier, request.clone().map(Full::<Bytes>::from)).await, refused, "skew");
    request.headers_mut().remove(SIGNATURE);
    let ground = Ground::new(Covering::Body);
    assert_eq!(answer_to(ground.verifier, request.map(Full::<Bytes>::from)).await, refused, "missing");
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let ground = Ground::new(Covering::Body);
    let body = Full::<Bytes>::from(vec![0; LIMIT + 1]);
    let mut request = Request::post("/").body("").unwrap();
    ground.signer.sign(&mut request).unwrap();
    let (status, _) = answer_to(ground.verifier, request.map(|_| body)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let check = async |age, patience, expect: (u16, u64)| {
        let ground = Ground::new(Covering::Body);
        let verifier = Arc::new(ground.verifier);
        let mut signing = ground.signer.open_at(&Request::new(()), wall_seconds() - age).unwrap();
        signing.update(b"reboot");
        let mut request = Request::new(StreamBody::new(iter([data("reboot")]).chain(pending())));
        signing.finish().insert_into(request.headers_mut());
        let layer = VerifyLayer::new(Arc::clone(&verifier), LIMIT).within(patience);
        let response = layer.layer(Handler).call(request).await.unwrap();
        assert_eq!((response.status().as_u16(), verifier.failures()), expect);
    };
    let (short, long) = (Duration::from_millis(20), Duration::from_secs(3600));
    check(SKEW_SECONDS - 60, short, (408, 0)).await;
    check(SKEW_SECONDS - 1, long, (401, 1)).await;
}

/// Ready when it is asked for the second time, and to be called only then.
#[derive(Default)]
struct Careful {
    asked: u32,
}

impl Clone for Careful {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Received>> for Careful {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        context.waker().wake_by_ref();
        if self.asked > 1 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<Received>) -> Self::Future {
        assert_eq!(self.asked, 2, "it is called when it has said that it is ready");
        ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn who_is_not_verified_takes_no_place() {
    let ground = Ground::new(Covering::Body);
    let mut request = Request::post("/").body("").unwrap();
    ground.signer.sign(&mut request).unwrap();
    let mut service = VerifyLayer::new(Arc::new(ground.verifier), LIMIT).layer(Careful::default());
    let is_ready =
        Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut Context::from_waker(Waker::noop()));
    assert!(is_ready.is_ready(), "what is behind it is not asked before");
    for expect in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
        let response = service.call(request.clone().map(Full::<Bytes>::from)).await.unwrap();
        assert_eq!(response.status(), expect);
    }
}

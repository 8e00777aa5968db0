//! The layer in a service of axum, over TCP.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension};
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Uri};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use leasehold::signing::layer::VerifyLayer;
use leasehold::signing::{Covering, Refusal, Signer, Verified};

use crate::ground::{COVERINGS, Ground};

const KIB: usize = 1024;
const LIMIT: usize = 4 * KIB * KIB;
/// The layer is stacked in each of these ways: on the service, on a nested one, and around the one that nests.
const PATHS: [&str; 3] = ["/commands", "/inner/commands", "/outer/commands?wait=1"];

async fn command(Extension(by): Extension<Verified>, body: Bytes) -> String {
    format!("{}, {} bytes", by.agent, body.len())
}

async fn health() -> &'static str {
    "well"
}

/// A service of three signed routes and one for everybody, and what signs for it.
async fn service(covering: Covering) -> (SocketAddr, Signer) {
    let Ground { verifier, signer, .. } = Ground::new(covering);
    let layer = VerifyLayer::new(Arc::new(verifier), LIMIT);
    let commands = || Router::new().route("/commands", post(command)).layer(DefaultBodyLimit::disable());
    let signed = commands().merge(Router::new().nest("/outer", commands())).layer(layer.clone());
    let router = signed.nest("/inner", commands().layer(layer)).route("/health", axum::routing::get(health));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, signer)
}

/// Sends a request, and says what came of it.
async fn send<B>(address: SocketAddr, request: Request<B>) -> (StatusCode, String)
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let (mut parts, body) = request.into_parts();
    parts.uri = Uri::try_from(format!("http://{address}{}", parts.uri)).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(Request::from_parts(parts, body)).await.unwrap().into_parts();
    let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    assert_eq!(is_json, parts.status != StatusCode::OK);
    let text = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(text.to_vec()).unwrap())
}

fn signed(signer: &Signer, path: &str, body: &Bytes) -> Request<Bytes> {
    let mut request = Request::post(path).body(body.clone()).unwrap();
    signer.sign(&mut request).unwrap();
    request
}

/// The body in pieces of this length, without saying how long it is.
fn chunked(body: Bytes, length: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    let pieces = (0..body.len()).step_by(length);
    let frames = pieces.map(move |at| Ok(Frame::data(body.slice(at..body.len().min(at + length)))));
    StreamBody::new(stream::iter(frames))
}

#[tokio::test]
async fn bodies_of_all_lengths_come_through_whole_and_in_chunks() {
    for covering in COVERINGS {
        let (address, signer) = service(covering).await;
        for length in [0, KIB, 2 * KIB * KIB, LIMIT] {
            let body = Bytes::from(vec![b'x'; length]);
            let expect = (StatusCode::OK, format!("agent-1, {length} bytes"));
            for path in if length == KIB { &PATHS[..] } else { &PATHS[..1] } {
                let whole = signed(&signer, path, &body).map(Full::new);
                assert_eq!(send(address, whole).await, expect, "{covering:?} {path}");
            }
            let streamed = signed(&signer, PATHS[0], &body).map(|body| chunked(body, 64 * KIB - 1));
            assert_eq!(send(address, streamed).await, expect, "{covering:?}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_reaches_no_handler() {
    let (address, signer) = service(Covering::Everything).await;
    let body = Bytes::from(vec![b'x'; 2 * KIB * KIB]);
    let refused = (StatusCode::UNAUTHORIZED, Refusal::ANSWER.to_owned());
    let mut changed = body.to_vec();
    changed[KIB * KIB] ^= 1;
    let changed = Bytes::from(changed);
    let forged = || signed(&signer, PATHS[0], &body).map(|_| changed.clone());
    assert_eq!(send(address, forged().map(Full::new)).await, refused);
    assert_eq!(send(address, forged().map(|body| chunked(body, KIB))).await, refused);
    let mut elsewhere = signed(&signer, PATHS[0], &body).map(Full::new);
    *elsewhere.uri_mut() = Uri::from_static(PATHS[1]);
    assert_eq!(send(address, elsewhere).await, refused, "another path");
    let unsigned = Request::post(PATHS[0]).body(Full::new(body.clone())).unwrap();
    assert_eq!(send(address, unsigned).await, refused, "no headers");
    let unsigned = Request::get("/health").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(send(address, unsigned).await, (StatusCode::OK, "well".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_not_taken() {
    let (address, signer) = service(Covering::Body).await;
    let body = Bytes::from(vec![b'x'; LIMIT + 1]);
    let too_long = (StatusCode::PAYLOAD_TOO_LARGE, r#"{"detail":"Payload Too Large"}"#.to_owned());
    let streamed = signed(&signer, PATHS[0], &body).map(|body| chunked(body, 64 * KIB));
    assert_eq!(send(address, streamed).await, too_long);
    // It says how long it is and waits for leave to send it.
    let head = signed(&signer, PATHS[0], &body);
    assert!(asked_for_leave(address, &head).starts_with("HTTP/1.1 413 "), "no `100 Continue` before it");
    let mut unsigned = head;
    unsigned.headers_mut().clear();
    assert!(asked_for_leave(address, &unsigned).starts_with("HTTP/1.1 401 "));
    unsigned = signed(&signer, PATHS[0], &Bytes::from_static(b"x"));
    assert!(asked_for_leave(address, &unsigned).starts_with("HTTP/1.1 100 "));
}

/// The beginning of what is answered to a request that sends its head alone, and waits.
fn asked_for_leave(address: SocketAddr, request: &Request<Bytes>) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("POST {} HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n", request.uri());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    write!(stream, "{head}Content-Length: {}\r\n\r\n", request.body().len()).unwrap();
    let mut answer = [0; 13];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

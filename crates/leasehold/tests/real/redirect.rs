//! Redirects: one, to a configured address; a stranger never gets a byte of the token.

use std::sync::Arc;

use leasehold::core::{Failure, Kind, Retry, Secret};
use leasehold::transport::{Tls, Transport};
use leasehold::vault::Operation;
use leasehold::vault::token::Create;
use leasehold_testkit::{Server, canary};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::ground::{assert_failure, client, settings};
use crate::listener::{Listener, answer, kv};

fn pointing(status: u16, location: &str) -> impl Fn(&str) -> Vec<u8> + Send + Sync + use<> {
    let header = format!("location: {location}\r\n");
    move |_| answer(status, &header, "")
}

/// The requests to a listener that are no looks for the leader.
fn calls(listener: &Listener) -> Vec<String> {
    let is_call = |request: &String| !request.starts_with("GET /v1/sys/health");
    listener.requests().into_iter().filter(is_call).collect()
}

fn holds_token(listener: &Listener, token: &str) -> bool {
    listener.requests().iter().any(|request| request.contains(token))
}

#[tokio::test(flavor = "current_thread")]
async fn one_redirect_to_a_configured_address_is_followed_with_the_token() {
    let token = canary("token");
    let leader = Listener::start(kv);
    let standby = Listener::start(pointing(307, &format!("{}/v1/elsewhere", leader.address())));
    let client = client(&[&standby.address(), &leader.address()], &token);
    assert!(client.read_kv_secret("secret/db").await.is_ok());
    assert_eq!((standby.requests().len(), leader.requests().len()), (2, 2));
    let paths: Vec<_> =
        leader.requests().iter().map(|text| text.lines().next().unwrap().to_owned()).collect();
    let asked = ["GET /v1/sys/internal/ui/mounts/secret/db HTTP/1.1", "GET /v1/secret/data/db HTTP/1.1"];
    assert_eq!(paths, asked, "the server may say where, not what");
    assert!(leader.requests().iter().all(|text| text.contains(&format!("x-vault-token: {token}"))));

    let leader = Listener::start(|_| answer(200, "", r#"{"auth":{"client_token":"s.a","accessor":"b"}}"#));
    let standby = Listener::start(pointing(307, &leader.address()));
    let client = crate::ground::client(&[&standby.address(), &leader.address()], &token);
    let create = Create { display_name: Some("redirected".into()), ..Create::default() };
    client.send(&create).await.unwrap();
    let asked = calls(&leader);
    assert!(asked.len() == 1 && asked[0].contains(r#""display_name":"redirected""#), "the body goes along");
}

/// What comes of a server that answers with this status and location, `{}` standing for a stranger's port.
async fn misled(status: u16, location: &str) -> Failure {
    let token = canary("token");
    let stranger = Listener::stranger();
    let location = location.replace("{}", &stranger.port().to_string());
    let server = Listener::start(pointing(status, &location));
    let client = client(&[&server.address()], &token);
    let failure = client.read_kv_secret("secret/db").await.unwrap_err();
    assert_eq!((stranger.connections(), stranger.requests().len()), (0, 0), "{status} {location}");
    assert!(holds_token(&server, &token) && !format!("{failure:?}").contains(&token));
    assert_eq!((failure.kind(), failure.retry()), (Kind::Unreachable, Retry::After(None)));
    failure
}

#[tokio::test(flavor = "current_thread")]
async fn no_other_address_is_ever_gone_to() {
    for location in [
        "http://127.0.0.1:{}/v1/secret/data/db",
        "http://localhost:{}/v1/secret/data/db",
        "https://127.0.0.1:{}/v1/secret/data/db",
        "http://user@127.0.0.1:{}/v1/secret/data/db",
        "http://user:password@127.0.0.1:{}/v1/secret/data/db",
        "//127.0.0.1:{}/v1/secret/data/db",
        "/v1/secret/data/db",
        "http:127.0.0.1:{}",
        "HTTP://127.0.0.1:{}",
        "http://127.0.0.1:{}\\@vault",
        "unix:///var/run/docker.sock",
        "",
    ] {
        misled(307, location).await;
    }
    let stranger = Listener::stranger();
    let server = Listener::start(pointing(307, &stranger.address()));
    let client = client(&[&server.address()], "s.token");
    assert_failure(
        &client.read_kv_secret("secret/db").await.unwrap_err(),
        Kind::Unreachable,
        &format!("cannot reach {}: it redirects to {}", server.address(), stranger.address()),
        "if that address belongs to the same cluster, add it to the configured addresses",
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_configured_address_in_the_user_part_is_not_the_host() {
    let stranger = Listener::stranger();
    let configured = Listener::stranger();
    let location = format!("{}@127.0.0.1:{}/v1/x", configured.address(), stranger.port());
    let server = Listener::start(pointing(307, &location));
    let client = client(&[&server.address(), &configured.address()], "s.token");
    // The second try goes to the other configured address, which answers nonsense.
    assert!(client.read_kv_secret("secret/db").await.is_err());
    assert_eq!(stranger.connections(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn only_the_redirect_that_keeps_the_method_is_followed() {
    for status in [300, 301, 302, 303, 304, 305, 308] {
        let token = canary("token");
        let other = Listener::start(kv);
        let server = Listener::start(pointing(status, &other.address()));
        let transport = Transport::new(&settings(&[&server.address(), &other.address()])).unwrap();
        let (create, token) = (Create::default(), Secret::new(&*token));
        let reply = transport.send(&create.call(), Some(&token), None).await.unwrap();
        let failure = create.answer(&reply).unwrap_err();
        assert_eq!(failure.kind(), Kind::Unreachable, "{status} {failure}");
        assert!(!holds_token(&other, token.expose()), "{status}");
        misled(status, "http://127.0.0.1:{}/v1/secret/data/db").await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn two_redirects_in_a_row_are_one_too_many() {
    let (first, second) = (Arc::new(std::sync::OnceLock::<String>::new()), Listener::stranger());
    drop(second);
    let place = Arc::clone(&first);
    let back = Listener::start(move |_| {
        let header = format!("location: {}\r\n", place.get().unwrap());
        answer(307, &header, "")
    });
    let server = Listener::start(pointing(307, &back.address()));
    first.set(server.address()).unwrap();
    let client = client(&[&server.address(), &back.address()], "s.token");
    let failure = client.send(&Create::default()).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Unreachable);
    assert!(failure.message().ends_with("it redirects twice in a row"), "{failure}");
    let (asked, back) = (calls(&server).len(), calls(&back).len());
    // As long as an election may take, with growing pauses.
    assert!(asked == back && (3..50).contains(&asked), "each try is two requests: {asked}, {back}");
}

/// Answers each connection over TLS with a redirect, with the certificate of this test server.
async fn redirect_over_tls(server: &Server, location: String) -> u16 {
    let folder = server.folder();
    let chain = CertificateDer::pem_file_iter(folder.join("vault-cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("vault-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let header = format!("connection: close\r\nlocation: {location}\r\n");
            stream.write_all(&answer(307, &header, "")).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    port
}

#[tokio::test(flavor = "current_thread")]
async fn a_redirect_does_not_lead_from_tls_to_plain_text() {
    let server = Server::start_tls();
    let plain = Listener::start(kv);
    let port = redirect_over_tls(&server, plain.address()).await;
    let mut settings = settings(&[&format!("https://127.0.0.1:{port}"), &plain.address()]);
    settings.tls = Tls { ca_file: Some(server.ca_cert()), ..Tls::default() };
    let transport = Transport::new(&settings).unwrap();
    let token = Secret::new("s.token");
    let call = Create::default().call();
    let failure = transport.send(&call, Some(&token), None).await.unwrap_err();
    let message = format!("cannot reach https://127.0.0.1:{port}: it redirects to {}", plain.address());
    assert_eq!(failure.message(), message);
    assert_eq!(plain.connections(), 0);

    let port = redirect_over_tls(&server, server.address().to_owned()).await;
    settings.addresses =
        crate::ground::settings(&[&format!("https://127.0.0.1:{port}"), server.address()]).addresses;
    let client = leasehold::client::VaultClient::new(&settings, None).unwrap();
    client.set_token(Secret::new(server.root_token()), None);
    assert!(client.send(&Create::default()).await.is_ok(), "from TLS to TLS it does");
}

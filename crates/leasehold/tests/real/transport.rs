//! The transport: TLS, addresses, times, limits, and what is sent twice.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::core::name::Namespace;
use leasehold::core::{Failure, Fields, Kind, Retry, Secret};
use leasehold::transport::{Tls, TransportSettings};
use leasehold::vault::login::Userpass;
use leasehold::vault::system::Condition;
use leasehold::vault::token::{Create, Lookup, Subject};
use leasehold::vault::wrapping::{Unwrap, Wrap};
use leasehold::vault::{Login, kv};
use leasehold_testkit::{Fault, Hole, Port, Postgres, Proxy, Server, Tap, canary, random_hex};
use serde_json::json;

use crate::ground::{Folder, assert_failure, authority, certificate, client, root, settings, timed};
use crate::listener::{Listener, answer, kv};

async fn health(settings: &TransportSettings) -> Result<Condition, Failure> {
    VaultClient::new(settings, None)?.health_check().await
}

#[tokio::test(flavor = "current_thread")]
async fn a_certificate_is_trusted_only_with_the_right_authority_and_name() {
    let server = Server::start_tls();
    let with = |tls: Tls| TransportSettings { tls, ..settings(&[server.address()]) };
    let right = Tls { ca_file: Some(server.ca_cert()), ..Tls::default() };
    assert!(health(&with(right.clone())).await.is_ok());
    let cas = server.folder().join("cas");
    std::fs::create_dir(&cas).unwrap();
    std::fs::copy(server.ca_cert(), cas.join("a.pem")).unwrap();
    std::fs::write(cas.join("README"), "no certificate").unwrap();
    assert!(health(&with(Tls { ca_folder: Some(cas), ..Tls::default() })).await.is_ok());
    assert!(health(&with(Tls { skip_verify: true, ..Tls::default() })).await.is_ok());
    let localhost = Some("localhost".to_owned());
    assert!(health(&with(Tls { server_name: localhost, ..right.clone() })).await.is_ok());

    let stranger = Tls { ca_file: Some(authority(server.folder())), ..Tls::default() };
    for tls in [Tls::default(), stranger] {
        let message = format!(
            "the certificate of {} is signed by an authority that is not trusted here",
            server.address()
        );
        let hint = "name that authority's file in VAULT_CACERT";
        let failure = health(&with(tls)).await.unwrap_err();
        assert_failure(&failure, Kind::Unreachable, &message, hint);
        assert_eq!(failure.retry(), Retry::Never, "the same handshake fails again");
    }
    let other = Tls { server_name: Some("vault.example".into()), ..right.clone() };
    assert_failure(
        &health(&with(other)).await.unwrap_err(),
        Kind::Unreachable,
        &format!("the certificate of {} is for another name", server.address()),
        "use that name in VAULT_ADDR, or set VAULT_TLS_SERVER_NAME",
    );
    let missing = Tls { ca_file: Some("/nowhere/ca.pem".into()), ..Tls::default() };
    let message = "cannot read /nowhere/ca.pem: entity not found";
    assert_failure(&health(&with(missing)).await.unwrap_err(), Kind::Invalid, message, "");
    let log = server.folder().join("log");
    let message = format!("{}: no certificate in PEM form", log.display());
    let empty = Tls { ca_file: Some(log), ..Tls::default() };
    assert_failure(&health(&with(empty)).await.unwrap_err(), Kind::Invalid, &message, "");
}

#[tokio::test(flavor = "current_thread")]
async fn an_authority_that_is_replaced_counts_from_the_next_connection_on() {
    let (server, folder) = (Server::start_tls(), Folder::new());
    let (right, file) = (std::fs::read(server.ca_cert()).unwrap(), folder.0.join("trusted.pem"));
    let wrong = std::fs::read(authority(&folder.0)).unwrap();
    std::fs::write(&file, &wrong).unwrap();
    let tap = Tap::before(server.address());
    let mut settings = settings(&[&format!("https://127.0.0.1:{}", tap.port())]);
    settings.tls.ca_file = Some(file.clone());
    let client = VaultClient::new(&settings, None).unwrap();
    for (content, is_good) in
        [(&wrong, false), (&right, true), (&wrong, false), (&right, true), (&vec![], true)]
    {
        let new = folder.0.join("new.pem");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, &file).unwrap();
        tap.cut();
        let health = client.health_check().await;
        assert_eq!(health.is_ok(), is_good, "{health:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn plain_text_and_tls_are_told_apart() {
    let server = Server::start_tls();
    let plain = Server::start();
    let address = server.address().replace("https", "http");
    assert_failure(
        &health(&settings(&[&address])).await.unwrap_err(),
        Kind::Invalid,
        "the server speaks TLS (reading sys/health)",
        "use https:// in its address",
    );
    let address = plain.address().replace("http", "https");
    assert_failure(
        &health(&settings(&[&address])).await.unwrap_err(),
        Kind::Unreachable,
        &format!("{address} does not speak TLS"),
        "does the server listen on http:// there?",
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_certificate_that_has_expired_is_told_so() {
    let folder = Folder::new();
    let ca = authority(&folder.0);
    certificate(&folder.0, "old", "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n", -1);
    let (port, at) = (Port::reserve(), folder.0.display());
    let _server = Server::start_with(&format!(
        "listener \"tcp\" {{\n address = \"127.0.0.1:{}\"\n tls_cert_file = \"{at}/old.pem\"\n tls_key_file = \"{at}/old.key\"\n}}",
        port.number()
    ));
    let address = format!("https://127.0.0.1:{}", port.number());
    let settings =
        TransportSettings { tls: Tls { ca_file: Some(ca), ..Tls::default() }, ..settings(&[&address]) };
    assert_failure(
        &health(&settings).await.unwrap_err(),
        Kind::Unreachable,
        &format!("the certificate of {address} has expired"),
        "renew the server's certificate, or check this machine's clock",
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_unix_socket_is_an_address() {
    let socket = std::env::temp_dir().join(format!("leasehold-{}.sock", random_hex()));
    let address = format!("unix://{}", socket.display());
    assert_failure(
        &health(&settings(&[&address])).await.unwrap_err(),
        Kind::Unreachable,
        &format!("cannot reach {address}: no such socket"),
        "is the server running, and is VAULT_ADDR right?",
    );
    let listener =
        format!("listener \"unix\" {{\n address = \"{}\"\n tls_disable = true\n}}", socket.display());
    let server = Server::start_with(&listener);
    server.put_secret("secret/db", json!({ "a": "b" }));
    let client = client(&[&address], server.root_token());
    assert!(client.read_kv_secret("secret/db").await.is_ok());
    drop(server);
    let _ = std::fs::remove_file(socket);
}

#[tokio::test(flavor = "current_thread")]
async fn a_sealed_node_hands_over_to_the_next() {
    let (sealed, server) = (Server::start(), Server::start());
    sealed.seal();
    let both = client(&[sealed.address(), server.address()], server.root_token());
    let (created, time) = timed(both.send(&Create::default())).await;
    assert!(created.is_ok(), "a sealed node carries nothing out");
    between(time, 0.0, 1.5);
    let proxy = Proxy::start(sealed.address());
    let alone = client(&[&proxy.address()], sealed.root_token());
    assert_eq!(alone.send(&Create::default()).await.unwrap_err().kind(), Kind::Sealed);
    assert_eq!(proxy.requests("token/create").len(), 1, "it is not asked again");
}

fn between(time: Duration, least: f64, most: f64) {
    assert!(time >= Duration::from_secs_f64(least) && time <= Duration::from_secs_f64(most), "{time:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_next_address_is_asked_when_one_does_not_answer() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let address = proxy.address();
    server.put_secret("secret/db", json!({ "a": "b" }));
    proxy.set(Fault::Refuse);
    let refused = client(&[&address, server.address()], server.root_token());
    let (read, time) = timed(refused.read_kv_secret("secret/db")).await;
    assert!(read.is_ok());
    between(time, 0.0, 1.5);
    assert!(refused.send(&Create::default()).await.is_ok(), "it stays with the one that answers");
    let anew = client(&[&address, server.address()], server.root_token());
    assert!(anew.send(&Create::default()).await.is_ok(), "a refused create was surely not carried out");

    proxy.set(Fault::Hang);
    let hung = client(&[&address, server.address()], server.root_token());
    let (read, time) = timed(hung.read_kv_secret("secret/db")).await;
    assert!(read.is_ok());
    between(time, 3.0, 5.0);
    assert!(proxy.requests("POST").is_empty());

    let full = Hole::open();
    let hole = format!("http://127.0.0.1:{}", full.port());
    let silent = client(&[&hole, server.address()], server.root_token());
    let (created, time) = timed(silent.send(&Create::default())).await;
    assert!(created.is_ok(), "nothing was sent to the first");
    // The look for the leader waits for half a second.
    between(time, 0.5, 2.0);
    let message = format!("cannot reach {hole}: no connection in time");
    let failure = client(&[&hole], "").send(&login()).await.unwrap_err();
    assert_failure(&failure, Kind::Unreachable, &message, "is the server running, and is VAULT_ADDR right?");
}

#[tokio::test(flavor = "current_thread")]
async fn a_handshake_that_hangs_is_a_connection_that_hangs() {
    let (socket, server) = (TcpListener::bind(("127.0.0.1", 0)).unwrap(), Server::start_tls());
    let address = format!("https://{}", socket.local_addr().unwrap());
    let mut settings = settings(&[&address, server.address()]);
    settings.tls.ca_file = Some(server.ca_cert());
    let client = VaultClient::new(&settings, None).unwrap();
    client.set_token(Secret::new(server.root_token()), None);
    let (created, time) = timed(client.send(&Create::default())).await;
    assert!(created.is_ok(), "nothing was sent to the first: {created:?}");
    between(time, 0.5, 2.0);
}

fn login() -> Login {
    Login::Userpass(Userpass { mount: None, username: "me".into(), password: Secret::new("wrong") })
}

#[tokio::test(flavor = "current_thread")]
async fn a_try_takes_three_seconds_at_most() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    proxy.set(Fault::Hang);
    let client = client(&[&proxy.address()], "");
    let (failure, time) = timed(client.send(&login())).await;
    let failure = failure.unwrap_err();
    let message = format!("cannot reach {}: no answer in time", proxy.address());
    assert_eq!((failure.kind(), failure.message()), (Kind::Unreachable, &*message));
    assert_eq!(failure.retry(), Retry::Ambiguous);
    between(time, 3.0, 4.5);
    assert_eq!(proxy.requests("login").len(), 1);
    let short =
        TransportSettings { try_timeout: Duration::from_millis(200), ..settings(&[&proxy.address()]) };
    let (failure, time) = timed(health(&short)).await;
    assert_eq!(failure.unwrap_err().kind(), Kind::Unreachable);
    between(time, 0.6, 2.0);
    assert_eq!(proxy.requests("health").len(), 3, "what is harmless twice is tried three times");
}

/// Answers with `head` and then a body without end; counts what it could send.
fn flood(head: &'static str, filler: u8) -> (u16, Arc<AtomicUsize>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, sent) = (socket.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&sent);
    thread::spawn(move || {
        for mut stream in socket.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(head.as_bytes());
            let chunk = vec![filler; 64 * 1024];
            while stream.write_all(&chunk).is_ok() {
                count.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    });
    (port, sent)
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_has_an_end() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    for (head, most) in [(announced, 8), ("HTTP/1.1 200 OK\r\n\r\n", 32)] {
        let (port, sent) = flood(head, b'{');
        let address = format!("http://127.0.0.1:{port}");
        let failure = client(&[&address], "").health_check().await.unwrap_err();
        let message = format!("the answer of {address} is too large");
        assert_failure(&failure, Kind::Broken, &message, "");
        assert_eq!(failure.retry(), Retry::Never);
        let sent = sent.load(Ordering::SeqCst) >> 20;
        assert!(sent < most, "{sent} MiB were read");
    }
    let (port, sent) = flood("HTTP/1.1 200 OK\r\nx-long: ", b'x');
    let failure = client(&[&format!("http://127.0.0.1:{port}")], "").health_check().await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Unreachable, "{failure}");
    assert!(sent.load(Ordering::SeqCst) >> 20 < 32);
    let large = Listener::start(|_| answer(200, "", &format!("{{{}}}", " ".repeat((8 << 20) - 2))));
    let failure = client(&[&large.address()], "").health_check().await.unwrap_err();
    assert!(!failure.message().contains("too large"), "8 MiB are allowed: {failure}");
}

#[tokio::test(flavor = "current_thread")]
async fn nonsense_and_broken_answers_are_failures() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "a": canary("value") }));
    let proxy = Proxy::start(server.address());
    let client = client(&[&proxy.address()], server.root_token());
    assert!(client.read_kv_secret("secret/db").await.is_ok());
    proxy.set_for("data/db", Fault::Cut(300), 1);
    assert!(client.read_kv_secret("secret/db").await.is_ok(), "asked again");
    proxy.set_for("data/db", Fault::Cut(300), 3);
    let failure = client.read_kv_secret("secret/db").await.unwrap_err();
    let message = format!("cannot reach {}: the answer broke off", proxy.address());
    assert_eq!((failure.kind(), failure.message()), (Kind::Unreachable, &*message));
    for body in ["", "null", "[]", "{\"data\":", "canary", "\u{0}"] {
        proxy.set(Fault::Answer(200, body.into()));
        let failure = client.read_kv_secret("secret/db").await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Broken, "{body:?} {failure}");
        assert!(failure.message().starts_with("secret/data/db: ") && !failure.message().contains("canary"));
    }
    for text in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200\r\n\0\0\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 999999\r\n\r\n",
    ] {
        let other = Listener::start(|_| text.into());
        let failure = crate::ground::client(&[&other.address()], "").health_check().await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Unreachable, "{text:?} {failure}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_would_be_two_headers_is_not_sent() {
    let listener = Listener::stranger();
    for token in ["s.canary\r\nX-Evil: 1", "s.canary\n", "s.canary\0"] {
        let failure = client(&[&listener.address()], token).send(&Create::default()).await.unwrap_err();
        let message = "the token has a character that no token has";
        assert_failure(&failure, Kind::Invalid, message, "");
    }
    for name in ["team\r\nX-Evil: 1", "team\n", "te am"] {
        assert!(Namespace::parse(name).is_err());
    }
    assert_eq!(listener.connections(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn only_what_is_harmless_twice_is_repeated() {
    let (server, postgres) = (Server::start(), Postgres::start());
    server.put_secret("secret/db", json!({ "a": "b" }));
    server.database(&postgres, "app", "60s", "120s");
    server.auth_method("userpass", "userpass");
    server.api("POST", "auth/userpass/users/me", Some(json!({ "password": "wrong" })));
    let proxy = Proxy::start(server.address());
    let client = client(&[&proxy.address()], server.root_token());
    let seen = |part: &str| proxy.requests(part).len();
    proxy.set_for("GET /v1/secret/data/db", Fault::Cut(0), 2);
    assert!(client.read_kv_secret("secret/db").await.is_ok());
    assert_eq!(seen("GET /v1/secret/data/db"), 3);
    let fields = Fields::from_iter([("a", Secret::new("b"))]);
    let wrapped = client.send(&Wrap::fields(fields.clone(), Duration::from_secs(60))).await.unwrap();
    let before = server.accessors().len();

    proxy.set_for("", Fault::Cut(0), usize::MAX);
    let lost = |failure: Failure| {
        assert_eq!((failure.kind(), failure.retry()), (Kind::Unreachable, Retry::Ambiguous));
    };
    lost(client.send(&login()).await.unwrap_err());
    lost(client.send(&Create::default()).await.unwrap_err());
    lost(client.send(&Unwrap { token: wrapped.token.clone() }).await.unwrap_err());
    lost(client.send(&Wrap::fields(fields, Duration::from_secs(60))).await.unwrap_err());
    proxy.set(Fault::Pass);
    proxy.set_for("/v1/database/creds", Fault::Cut(0), usize::MAX);
    lost(client.read_kv_secret("database/creds/app").await.unwrap_err());
    let once = ["userpass/login", "token/create", "wrapping/unwrap", "v1/database/creds"];
    assert_eq!(once.map(seen), [1, 1, 1, 1]);
    assert_eq!(seen("sys/wrapping/wrap"), 2);
    assert!(server.accessors().len() > before, "each was carried out, and its answer lost");

    proxy.set(Fault::Refuse);
    let failure = client.send(&Create::default()).await.unwrap_err();
    let message = format!("cannot reach {}: connection refused", proxy.address());
    assert_failure(&failure, Kind::Unreachable, &message, "is the server running, and is VAULT_ADDR right?");
    assert_eq!(failure.retry(), Retry::After(None));
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_that_asks_for_a_pause_gets_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let busy = Listener::start(move |request| match counter.fetch_add(1, Ordering::SeqCst) {
        0 => answer(429, "retry-after: 1\r\n", r#"{"errors":[]}"#),
        _ => kv(request),
    });
    let client = client(&[&busy.address()], "s.token");
    let (read, time) = timed(client.read_kv_secret("secret/db")).await;
    assert!(read.is_ok());
    between(time, 1.0, 2.5);
    let behind = Listener::start(|request| match request.contains("forward-active-node") {
        true => kv(request),
        false => answer(412, "retry-after: 0\r\n", r#"{"errors":[]}"#),
    });
    let (read, time) =
        timed(crate::ground::client(&[&behind.address()], "x").read_kv_secret("secret/db")).await;
    assert!(read.is_ok(), "the leader is asked through the node that is behind");
    between(time, 0.1, 2.0);
    assert_eq!(behind.requests().len(), 4, "two reads, each after a rest");
    let created = Listener::start(|_| answer(429, "retry-after: 60\r\n", r#"{"errors":[]}"#));
    let (failure, time) = timed(crate::ground::client(&[&created.address()], "x").health_check()).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.kind(), Kind::Throttled);
    assert_eq!(failure.retry(), Retry::After(Some(Duration::from_secs(60))));
    between(time, 0.0, 2.0);
    assert_eq!(created.requests().len(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn reads_carry_the_state_of_the_last_write() {
    let listener = Listener::start(|request| match request.starts_with("GET") {
        true => answer(200, "x-vault-index: of-a-read\r\n", r#"{"data":{"keys":[]}}"#),
        false => {
            answer(200, "x-vault-index: of-a-write\r\n", r#"{"auth":{"client_token":"s.a","accessor":"b"}}"#)
        }
    });
    let client = client(&[&listener.address()], "s.token");
    let look = Lookup(Subject::Own);
    let _ = client.send(&look).await;
    let _ = client.send(&look).await;
    client.send(&Create::default()).await.unwrap();
    client.send(&Create::default()).await.unwrap();
    let _ = client.clone().with_token(Secret::new("other")).send(&look).await;
    let carried: Vec<_> =
        listener.requests().iter().map(|text| text.contains("x-vault-index: of-a-write\r\n")).collect();
    assert_eq!(carried, [false, false, false, false, true]);
    assert!(listener.requests()[4].contains("x-vault-inconsistent: forward-active-node\r\n"));
    assert!(listener.requests()[4].contains("x-vault-request: true\r\n"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_cluster_that_was_replaced_is_no_trouble_for_the_next_read() {
    let (mut old, new) = (Server::start(), Server::start());
    new.put_secret("secret/db", json!({ "a": "new" }));
    let client = root(&old);
    let both = crate::ground::client(&[old.address(), new.address()], old.root_token());
    both.send(&Create::default()).await.unwrap();
    let mount = kv::Mount { path: "secret".into(), version: kv::Version::V2 };
    let entry = mount.entry(&leasehold::core::name::Path::parse("secret/x").unwrap()).unwrap();
    let fields = Fields::from_iter([("a", Secret::new("b"))]);
    both.send(&kv::Write::new(entry, fields, None).unwrap()).await.unwrap();
    old.kill();
    both.set_token(Secret::new(new.root_token()), None);
    assert!(both.read_kv_secret("secret/db").await.is_ok());
    assert!(client.health_check().await.is_err());
}

//! The proxy: each fault is what it says, and requests are counted.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that measures a delay")]

use leasehold_testkit::{Fault, Proxy, Server, Tap};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn start() -> (Server, Proxy) {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    (server, proxy)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Asks for the health and reads until the connection ends.
fn health(proxy: &Proxy) -> String {
    let mut stream = connect(proxy);
    stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn all_passes_at_first_and_is_counted() {
    let (_server, proxy) = start();
    assert!(health(&proxy).starts_with("HTTP/1.1 200"));
    assert_eq!(proxy.requests("sys"), ["GET /v1/sys/health"]);
    assert!(proxy.requests("login").is_empty());
}

#[test]
fn one_connection_carries_many_requests() {
    let (_server, proxy) = start();
    let mut stream = connect(&proxy);
    for count in 1..=3 {
        stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        proxy.wait_for("health", count);
    }
    proxy.cut();
    assert!(!stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0));
}

#[test]
fn a_refused_connection_never_opens_and_the_port_comes_back() {
    let (_server, proxy) = start();
    for _ in 0..3 {
        proxy.set(Fault::Refuse);
        let refused = TcpStream::connect(proxy.address().strip_prefix("http://").unwrap());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::Pass);
        assert!(health(&proxy).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_hanging_request_is_closed_unanswered_when_the_fault_ends() {
    let (_server, proxy) = start();
    proxy.set(Fault::Hang);
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| health(&proxy));
        proxy.wait_for("health", 1);
        assert!(!asked.is_finished());
        proxy.set(Fault::Pass);
        asked.join().unwrap()
    });
    assert_eq!(answer, "");
}

#[test]
fn a_cut_answer_was_acted_upon_by_the_server() {
    let (server, proxy) = start();
    let before = server.accessors().len();
    proxy.set_for("token/create", Fault::Cut(0), 1);
    let mut stream = connect(&proxy);
    let (token, body) = (server.root_token(), json!({ "ttl": "60s" }).to_string());
    let length = body.len();
    write!(stream, "POST /v1/auth/token/create HTTP/1.1\r\nhost: x\r\nx-vault-token: {token}\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    assert!(!stream.read(&mut [0; 16]).is_ok_and(|read| read > 0));
    assert_eq!(server.accessors().len(), before + 1);
    proxy.set(Fault::Cut(12));
    assert_eq!(health(&proxy), "HTTP/1.1 200");
}

#[test]
fn answers_in_the_servers_stead_and_delays_are_for_the_requests_named() {
    let (_server, proxy) = start();
    proxy.set_for("health", Fault::Answer(503, json!({ "errors": ["Vault is sealed"] }).to_string()), 2);
    proxy.set_for("health", Fault::Delay(Duration::from_millis(60)), 1);
    assert!(health(&proxy).starts_with("HTTP/1.1 503") && health(&proxy).ends_with("sealed\"]}"));
    let begin = Instant::now();
    assert!(health(&proxy).starts_with("HTTP/1.1 200"));
    assert!(begin.elapsed() >= Duration::from_millis(60));
    assert!(health(&proxy).starts_with("HTTP/1.1 200"));
}

#[test]
fn answers_come_by_drips_or_end_in_a_reset() {
    let (_server, proxy) = start();
    proxy.set(Fault::Drip(Duration::from_millis(1)));
    let begin = Instant::now();
    let answer = health(&proxy);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("initialized"));
    assert!(begin.elapsed() >= Duration::from_millis(u64::try_from(answer.len()).unwrap()));

    proxy.set(Fault::Reset);
    let mut stream = connect(&proxy);
    stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn answers_of_any_shape() {
    let (_server, proxy) = start();
    let check = |fault: Fault, begin: &str, end: &str| {
        proxy.set(fault);
        let answer = health(&proxy);
        assert!(answer.starts_with(begin) && answer.ends_with(end), "{answer:.300}");
    };
    let to = "HTTP/1.1 307 Fault\r\nlocation: http://x\r\n";
    check(Fault::redirect(307, "http://x"), to, "\r\n\r\n");
    check(Fault::with_headers(429, "retry-after: 1\r\n", "{}"), "HTTP/1.1 429 Fault\r\nretry-after: 1", "{}");
    check(Fault::Raw(b"SSH-2.0\r\n".into()), "SSH-2.0\r\n", "");
    let announced = "HTTP/1.1 200 Fault\r\ncontent-length: 129\r\n";
    check(Fault::Flood { size: 100, announced: true }, announced, &"x".repeat(100));
    let silent = "HTTP/1.1 200 Fault\r\nconnection: close\r\n";
    check(Fault::Flood { size: 100, announced: false }, silent, &"x".repeat(100));
    assert_eq!(proxy.requests("health").len(), 5);
}

#[test]
fn a_tap_keeps_what_it_is_sent() {
    let (server, stranger) = (Server::start(), Tap::stranger());
    let tap = Tap::before(server.address());
    for (tap, expect) in [(&tap, "initialized"), (&stranger, "of a stranger")] {
        assert_eq!((tap.connections(), tap.heard().len()), (0, 0));
        let mut stream = TcpStream::connect(("127.0.0.1", tap.port())).unwrap();
        stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = vec![0; 2000];
        let read = stream.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..read]).contains(expect));
        assert_eq!(tap.connections(), 1);
        assert!(tap.heard().starts_with(b"GET /v1/sys/health HTTP/1.1\r\n"));
    }
}

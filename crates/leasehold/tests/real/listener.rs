//! A server of a few lines: it answers each request as it is told to, and keeps every byte that it was sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Listens on a loopback port until the test process ends.
pub(crate) struct Listener {
    port: u16,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Clone, Default)]
struct Heard {
    connections: usize,
    requests: Vec<String>,
}

/// What one request is answered with.
pub(crate) type Answer = Vec<u8>;

impl Listener {
    /// Answers each request with what `respond` makes of its text; nothing at all and a closed connection if that
    /// is empty.
    pub(crate) fn start(respond: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let (respond, ears) = (Arc::new(respond), Arc::clone(&heard));
        thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let (respond, ears) = (Arc::clone(&respond), Arc::clone(&ears));
                ears.lock().unwrap().connections += 1;
                thread::spawn(move || serve(stream, &*respond, &ears));
            }
        });
        Self { port, heard }
    }

    /// One that nobody should come to.
    pub(crate) fn stranger() -> Self {
        Self::start(|_| answer(200, "", r#"{"data":{}}"#))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Head and body of all requests so far, headers in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.heard.lock().unwrap().requests.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.heard.lock().unwrap().connections
    }
}

/// A whole answer: status, more headers (each with its line end), body.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Answer {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// A KV version 2 answer with one field, and the mount that the client asks for first.
pub(crate) fn kv(request: &str) -> Answer {
    match request.contains("/internal/ui/mounts/") {
        true => answer(200, "", r#"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#),
        false => answer(200, "", r#"{"data":{"data":{"a":"b"},"metadata":{"version":1}}}"#),
    }
}

fn serve(mut stream: TcpStream, respond: &dyn Fn(&str) -> Answer, ears: &Mutex<Heard>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    while let Some(request) = read(&mut stream) {
        ears.lock().unwrap().requests.push(request.clone());
        let answer = respond(&request);
        if answer.is_empty() || stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// One request; none at the end of the connection.
fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(length) = whole(&bytes) {
            bytes.truncate(length);
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = end + length.unwrap_or(0);
    (bytes.len() >= whole).then_some(whole)
}

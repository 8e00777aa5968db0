//! A server of a few lines: it answers each request as it is told to, and keeps every byte that it was sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Listens on a loopback port until the test process ends.
pub struct Listener {
    port: u16,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Clone, Default)]
struct Heard {
    connections: usize,
    requests: Vec<String>,
}

impl Listener {
    /// Answers each request with what `respond` makes of its text; nothing at all and a closed connection if that
    /// is empty.
    pub fn start(respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::speaking(move |request, stream| {
            let answer = respond(request);
            !answer.is_empty() && stream.write_all(&answer).is_ok()
        })
    }

    /// Lets `speak` answer each request as it likes, and say whether the connection goes on.
    pub fn speaking(speak: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
        let port = socket.local_addr().expect("a bound socket has an address").port();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let (speak, ears) = (Arc::new(speak), Arc::clone(&heard));
        thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let (speak, ears) = (Arc::clone(&speak), Arc::clone(&ears));
                ears.lock().expect("no listener panics").connections += 1;
                thread::spawn(move || serve(stream, &*speak, &ears));
            }
        });
        Self { port, heard }
    }

    /// One that nobody should come to.
    pub fn stranger() -> Self {
        Self::start(|_| answer(200, "", r#"{"data":{}}"#))
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Head and body of all requests so far, headers in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.heard.lock().expect("no listener panics").requests.clone()
    }

    /// How many have connected.
    pub fn connections(&self) -> usize {
        self.heard.lock().expect("no listener panics").connections
    }
}

/// A whole answer: status, more headers (each with its line end), body.
pub fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn serve(mut stream: TcpStream, speak: &dyn Fn(&str, &mut TcpStream) -> bool, ears: &Mutex<Heard>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    while let Some(request) = read(&mut stream) {
        ears.lock().expect("no listener panics").requests.push(request.clone());
        if !speak(&request, &mut stream) {
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

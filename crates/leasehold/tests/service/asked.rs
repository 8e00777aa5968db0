//! Asking a service over TCP, byte by byte as it answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// With the line of the status, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Whether this line is in the head.
    pub(crate) fn says(&self, line: &str) -> bool {
        self.head.lines().any(|said| said == line)
    }
}

/// Asks `METHOD PATH` of `HOST:PORT`.
pub(crate) fn ask(address: &str, line: &str) -> Answer {
    send(address, line, "", "")
}

/// The same with more headers, each with its line end, and a body.
pub(crate) fn send(address: &str, line: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

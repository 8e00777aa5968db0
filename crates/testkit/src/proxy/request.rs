//! Just enough of HTTP/1.1 to tell one request from the next: a head, and a body with a `Content-Length`.

use std::io::{self, Read};

/// One request as it came.
pub(super) struct Request {
    /// Method and path with its query: `GET /v1/secret/data/db?version=2`.
    pub(super) line: String,
    /// Head and body.
    pub(super) bytes: Vec<u8>,
}

impl Request {
    /// Line and headers.
    pub(super) fn head(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }
}

/// The requests of one connection.
pub(super) struct Requests<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: Read> Requests<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new() }
    }

    /// The next whole request; none when the connection was closed between two.
    pub(super) fn next(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(length) = whole_length(&self.buffer)? {
                let rest = self.buffer.split_off(length);
                let bytes = std::mem::replace(&mut self.buffer, rest);
                return Ok(Some(Request { line: line(&bytes), bytes }));
            }
            let mut chunk = [0; 16 * 1024];
            match self.source.read(&mut chunk)? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.buffer.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

/// How long the first request in `bytes` is, once all of it is there.
fn whole_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding:") {
        return Err(io::Error::other("the proxy reads no chunked requests"));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let body: usize = length.map_or(Ok(0), |number| number.trim().parse()).map_err(io::Error::other)?;
    let whole = end + 4 + body;
    Ok((bytes.len() >= whole).then_some(whole))
}

/// The first line without its `HTTP/1.1`.
fn line(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == b'\r').unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end_matches(" HTTP/1.1").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let check = |stream: &str, expect: &[&str]| {
            let mut requests = Requests::new(stream.as_bytes());
            let lines = std::iter::from_fn(|| requests.next().unwrap().map(|request| request.line));
            assert_eq!(lines.collect::<Vec<_>>(), expect, "{stream}");
        };
        check("", &[]);
        check("GET /a HTTP/1.1\r\nhost: x\r\n\r\n", &["GET /a"]);
        check(
            "PUT /a?b=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET /b HTTP/1.1\r\n\r\n",
            &["PUT /a?b=1", "GET /b"],
        );
    }

    #[test]
    fn broken_and_chunked_requests_are_errors() {
        let check = |stream: &str| assert!(Requests::new(stream.as_bytes()).next().is_err(), "{stream}");
        check("GET /a HTTP/1.1\r\nhost:");
        check("PUT /a HTTP/1.1\r\ncontent-length: 3\r\n\r\n{}");
        check("PUT /a HTTP/1.1\r\ncontent-length: many\r\n\r\n");
        check("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    }
}

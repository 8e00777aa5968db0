//! The way back: answers that are passed on in one manner or another, and answers in the server's stead.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

const CHUNK: usize = 64 * 1024;

/// How what the server answers is passed on.
#[derive(Clone, Copy, Default)]
pub(super) enum Manner {
    /// As it is.
    #[default]
    Whole,
    /// So many bytes more.
    Cut(usize),
    /// A byte after each such time.
    Drip(Duration),
    /// Not at all: the connection is reset.
    Reset,
}

/// Passes bytes back until the server is done or the manner says so.
pub(super) fn pass(mut server: &TcpStream, client: &TcpStream, manner: &Mutex<Manner>) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        let read = server.read(&mut buffer)?;
        let mut manner = manner.lock().expect("no thread of the proxy panics while it holds the manner");
        let left = manner.pass(&buffer[..read], client)?;
        if read == 0 || left.is_none() {
            return Ok(());
        }
        *manner = left.unwrap_or_default();
    }
}

impl Manner {
    /// Passes these bytes; the manner for those that follow, none if none may.
    fn pass(self, bytes: &[u8], mut client: &TcpStream) -> io::Result<Option<Self>> {
        match self {
            Self::Whole => client.write_all(bytes)?,
            Self::Cut(left) => {
                client.write_all(&bytes[..bytes.len().min(left)])?;
                return Ok((left > bytes.len()).then(|| Self::Cut(left - bytes.len())));
            }
            Self::Drip(pause) => {
                for byte in bytes {
                    client.write_all(&[*byte])?;
                    thread::sleep(pause);
                }
            }
            Self::Reset => {
                // Linux resets a connection that is taken back, whoever else holds a copy of the socket.
                rustix::net::connect_unspec(client)?;
                return Ok(None);
            }
        }
        Ok(Some(self))
    }
}

/// A whole answer: status, headers, each ended by CR and LF, and body.
pub(super) fn text(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Fault\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

pub(super) fn give(mut client: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes)
}

/// The begin of a KV secret whose value is so long, made as it is sent.
pub(super) fn flood(mut client: &TcpStream, size: u64, announced: bool) -> io::Result<()> {
    const BEGIN: &str = r#"{"data":{"data":{"password":""#;
    let length = match announced {
        true => format!("content-length: {}\r\n", size + BEGIN.len() as u64),
        false => String::new(),
    };
    let head = format!("HTTP/1.1 200 Fault\r\n{length}connection: close\r\n\r\n{BEGIN}");
    client.write_all(head.as_bytes())?;
    io::copy(&mut io::repeat(b'x').take(size), &mut client).map(drop)
}

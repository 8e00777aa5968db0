//! Listeners that are no servers: one that keeps every byte that it is sent, and one that takes no connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::answer;

/// Listens on a free loopback port until the test process ends, and keeps what comes, be it HTTP, TLS or nothing of the
/// kind.
pub struct Tap {
    port: u16,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    connections: Vec<TcpStream>,
    bytes: Vec<u8>,
}

impl Tap {
    /// One to which nobody should come. It answers whatever comes, so that who comes goes on talking.
    pub fn stranger() -> Self {
        let answer = answer::text(200, "", r#"{"data":{"data":{"password":"of a stranger"}}}"#);
        Self::start(move |client, heard| keep(client, heard, |mut client, _| client.write_all(&answer)))
    }

    /// One that passes everything on to this address, such as a server's `http://127.0.0.1:8200`, and back.
    pub fn before(address: &str) -> Self {
        let upstream = address.rsplit('/').next().expect("the last part of an address").to_owned();
        Self::start(move |client, heard| {
            let server = TcpStream::connect(&upstream)?;
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _ = io::copy(&mut &server, &mut &*client);
                    client.shutdown(Shutdown::Both)
                });
                let result = keep(client, heard, |_, bytes| (&server).write_all(bytes));
                server.shutdown(Shutdown::Both).and(result)
            })
        })
    }

    fn start(serve: impl Fn(&TcpStream, &Mutex<Heard>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on the loopback");
        let port = socket.local_addr().expect("the port of a bound socket").port();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let (serve, ears) = (Arc::new(serve), Arc::clone(&heard));
        thread::spawn(move || {
            for client in socket.incoming().flatten() {
                let (serve, ears) = (Arc::clone(&serve), Arc::clone(&ears));
                lock(&ears).connections.extend(client.try_clone());
                thread::spawn(move || serve(&client, &ears));
            }
        });
        Self { port, heard }
    }

    /// The port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often somebody came.
    pub fn connections(&self) -> usize {
        lock(&self.heard).connections.len()
    }

    /// Closes all connections, as a load balancer that restarts would.
    pub fn cut(&self) {
        for connection in &lock(&self.heard).connections {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// All that came so far, of all connections.
    pub fn heard(&self) -> Vec<u8> {
        lock(&self.heard).bytes.clone()
    }
}

/// A loopback port whose queue is full: who connects waits, as for a host behind a broken network.
pub struct Hole {
    port: u16,
    /// The listener and the connections that fill its queue.
    _open: (TcpListener, Vec<TcpStream>),
}

impl Hole {
    /// Opens a port and fills its queue.
    pub fn open() -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on the loopback");
        let at = socket.local_addr().expect("the port of a bound socket");
        let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&at, FULL).ok()).take(10_000);
        let waiting = waiting.collect();
        Self { port: at.port(), _open: (socket, waiting) }
    }

    /// The port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A queue that takes nobody for this long is full.
const FULL: Duration = Duration::from_millis(200);

/// Writes down what the client says, before anything is done with it.
fn keep(
    mut client: &TcpStream,
    heard: &Mutex<Heard>,
    mut react: impl FnMut(&TcpStream, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        lock(heard).bytes.extend_from_slice(&buffer[..read]);
        react(client, &buffer[..read])?;
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().expect("no thread of the tap panics while it holds what it heard")
}

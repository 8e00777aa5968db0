//! A proxy in front of a plain-HTTP server that breaks requests on demand and counts them.

mod request;

use crate::deadline;
use request::Requests;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing: it is passed on and answered.
    #[default]
    Pass,
    /// Connections are refused, as by a host on which nothing listens. Only for [`Proxy::set`].
    Refuse,
    /// It is read and neither passed on nor answered. The connection is closed when the faults are next changed.
    Hang,
    /// The server gets it and acts on it, and the connection is closed after that many bytes of the answer.
    Cut(usize),
    /// It is passed on after that time.
    Delay(Duration),
    /// The server never sees it: this status and JSON body are the answer, and the connection is closed.
    Answer(u16, String),
}

/// A proxy on a free loopback port, gone when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    fault: Fault,
    /// Faults for requests whose line holds a text, and for how many more. The first that fits counts.
    special: Vec<(String, Fault, usize)>,
    /// Counts the changes of the faults, so that a hanging request notices one.
    edition: u64,
    requests: Vec<String>,
    connections: Vec<TcpStream>,
    listening: bool,
    closed: bool,
}

impl Proxy {
    /// Starts one before `upstream`, such as a server's [`address`](crate::Server::address); it passes everything.
    pub fn start(upstream: &str) -> Self {
        let host = upstream.strip_prefix("http://").expect("the proxy reads plain HTTP only");
        let upstream = host.parse().expect("an address such as http://127.0.0.1:8200");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on the loopback");
        let address = listener.local_addr().expect("the port of a bound socket");
        let state = Mutex::new(State { listening: true, ..State::default() });
        let shared = Arc::new(Shared { upstream, state, changed: Condvar::new() });
        let doorman = Arc::clone(&shared);
        thread::spawn(move || doorman.keep_door(listener, address));
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to all requests from now on; forgets what [`set_for`](Self::set_for) said.
    /// [`Fault::Refuse`] also cuts the open connections.
    pub fn set(&self, fault: Fault) {
        let open = !matches!(fault, Fault::Refuse);
        self.shared.change(|state| {
            state.special.clear();
            state.fault = fault;
            if !open {
                state.cut_all();
            }
        });
        self.wake_doorman();
        self.wait_until("the port is as it was asked for", |state| state.listening == open);
    }

    /// What happens to the next `times` requests whose line, such as `POST /v1/auth/approle/login`, holds `part`.
    pub fn set_for(&self, part: &str, fault: Fault, times: usize) {
        self.shared.change(|state| state.special.push((part.to_owned(), fault, times)));
    }

    /// Closes all open connections, as a load balancer that restarts would.
    pub fn cut(&self) {
        self.shared.change(State::cut_all);
    }

    /// The lines of all requests so far that hold `part`: method and path, in the order of their arrival.
    pub fn requests(&self, part: &str) -> Vec<String> {
        self.shared.lock().requests.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// Waits until `count` requests whose line holds `part` have arrived. Panics after ten seconds.
    pub fn wait_for(&self, part: &str, count: usize) {
        let arrived =
            |state: &State| state.requests.iter().filter(|line| line.contains(part)).count() >= count;
        self.wait_until(&format!("{count} requests of `{part}` have arrived"), arrived);
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let (state, changed) = (self.shared.lock(), &self.shared.changed);
        let waited = changed.wait_timeout_while(state, deadline::START, |state| !is_so(state));
        assert!(!waited.expect(SOUND).1.timed_out(), "waited in vain until {what}");
    }

    /// Makes the thread that accepts connections look at the state.
    fn wake_doorman(&self) {
        let _ = TcpStream::connect(self.address);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.closed = true;
            state.cut_all();
        });
        self.wake_doorman();
    }
}

const SOUND: &str = "no thread of the proxy panics while it holds the state";

impl State {
    fn cut_all(&mut self) {
        for connection in self.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Notes a request and decides on its fault.
    fn arrive(&mut self, line: &str) -> Fault {
        self.requests.push(line.to_owned());
        let fits = |(part, _, left): &&mut (String, Fault, usize)| *left > 0 && line.contains(&**part);
        let Some((_, fault, left)) = self.special.iter_mut().find(fits) else { return self.fault.clone() };
        *left -= 1;
        fault.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(SOUND)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.edition += 1;
        self.changed.notify_all();
    }

    /// Accepts connections until the proxy is dropped. The port is shut while connections are refused.
    fn keep_door(self: &Arc<Self>, mut listener: TcpListener, address: SocketAddr) {
        loop {
            if let Ok((client, _)) = listener.accept() {
                let shared = Arc::clone(self);
                thread::spawn(move || shared.serve(&client));
            }
            if self.is_refusing() {
                drop(listener);
                self.wait_while_refusing();
                listener = TcpListener::bind(address).expect("nobody took the port of the proxy meanwhile");
                self.change(|state| state.listening = true);
            }
            if self.lock().closed {
                return;
            }
        }
    }

    fn is_refusing(&self) -> bool {
        matches!(self.lock().fault, Fault::Refuse)
    }

    fn wait_while_refusing(&self) {
        self.change(|state| state.listening = false);
        let refusing = |state: &mut State| matches!(state.fault, Fault::Refuse) && !state.closed;
        drop(self.changed.wait_while(self.lock(), refusing).expect(SOUND));
    }

    /// One connection, to its end.
    fn serve(&self, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(self.upstream) else { return };
        if self.enter(client, &server).is_err() {
            return;
        }
        // How much of the server's answers may still be passed on.
        let allowance = AtomicUsize::new(usize::MAX);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = pass_answers(&server, client, &allowance);
                close(client, &server);
            });
            let _ = self.pass_requests(client, &server, &allowance);
            close_unless_cutting(client, &server, &allowance);
        });
    }

    /// Writes the connection down, so that it can be cut from outside.
    fn enter(&self, client: &TcpStream, server: &TcpStream) -> io::Result<()> {
        let pair = [client.try_clone()?, server.try_clone()?];
        let mut state = self.lock();
        if state.closed || matches!(state.fault, Fault::Refuse) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        state.connections.extend(pair);
        Ok(())
    }

    /// Passes requests on, each with its fault, until the client is done or a fault ends the connection.
    fn pass_requests(
        &self,
        client: &TcpStream,
        mut server: &TcpStream,
        allowance: &AtomicUsize,
    ) -> io::Result<()> {
        let mut requests = Requests::new(client);
        while let Some(request) = requests.next()? {
            let (fault, edition) = self.arrive(&request.line);
            match fault {
                Fault::Pass | Fault::Refuse => {}
                Fault::Delay(time) => thread::sleep(time),
                Fault::Cut(bytes) => allowance.store(bytes, Ordering::SeqCst),
                Fault::Hang => return self.hang(edition),
                Fault::Answer(status, body) => return answer(client, status, &body),
            }
            server.write_all(&request.bytes)?;
        }
        Ok(())
    }

    fn arrive(&self, line: &str) -> (Fault, u64) {
        let mut state = self.lock();
        let fault = state.arrive(line);
        self.changed.notify_all();
        (fault, state.edition)
    }

    fn hang(&self, edition: u64) -> io::Result<()> {
        let unchanged = |state: &mut State| state.edition == edition;
        drop(self.changed.wait_while(self.lock(), unchanged).expect(SOUND));
        Ok(())
    }
}

/// Passes bytes back until the server is done or the allowance is used up.
fn pass_answers(mut server: &TcpStream, mut client: &TcpStream, allowance: &AtomicUsize) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = server.read(&mut buffer)?;
        let left = allowance.load(Ordering::SeqCst);
        client.write_all(&buffer[..read.min(left)])?;
        if read == 0 || read >= left {
            return Ok(());
        }
        if left != usize::MAX {
            allowance.store(left - read, Ordering::SeqCst);
        }
    }
}

fn answer(mut client: &TcpStream, status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    client.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())
}

fn close(client: &TcpStream, server: &TcpStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// While an answer is being cut, the thread that passes it closes the connection at the right byte.
fn close_unless_cutting(client: &TcpStream, server: &TcpStream, allowance: &AtomicUsize) {
    if allowance.load(Ordering::SeqCst) == usize::MAX {
        close(client, server);
    }
}

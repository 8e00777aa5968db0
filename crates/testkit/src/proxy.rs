//! A proxy in front of a plain-HTTP server that breaks requests on demand and counts them.

mod answer;
mod request;
mod tap;

pub use tap::{Hole, Tap};

use crate::deadline;
use crate::port::Port;
use answer::Manner;
use request::{Request, Requests};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
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
    /// The server gets it and acts on it, and the connection is reset (RST) where its answer would begin.
    Reset,
    /// It is answered by one byte after each such time.
    Drip(Duration),
    /// It is passed on after that time.
    Delay(Duration),
    /// The server never sees it: this status and JSON body are the answer, and the connection is closed.
    Answer(u16, String),
    /// The server never sees it: these bytes are the answer, head and body, and the connection is closed.
    Raw(Vec<u8>),
    /// The server never sees it: the answer is the begin of a KV secret with a value of so many bytes, which are made as
    /// they are sent. Its length stands in the head only if `announced`.
    Flood {
        /// How long the value is, in bytes.
        size: u64,
        /// Whether the head tells the length.
        announced: bool,
    },
}

impl Fault {
    /// An answer of this status with these headers, each ended by CR and LF.
    pub fn with_headers(status: u16, headers: &str, body: &str) -> Self {
        Self::Raw(answer::text(status, headers, body))
    }

    /// An answer that points to another place.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::with_headers(status, &format!("location: {location}\r\n"), "")
    }
}

/// How long it is waited for a request, on the slowest machine that runs the tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy on a free loopback port, gone when dropped.
pub struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    /// Its own, which nobody takes while it is shut.
    port: Port,
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
    requests: Vec<Arrived>,
    connections: Vec<TcpStream>,
    listening: bool,
    closed: bool,
}

/// A request that came.
struct Arrived {
    line: String,
    head: String,
}

impl Proxy {
    /// Starts one before `upstream`, such as a server's [`address`](crate::Server::address); it passes everything.
    pub fn start(upstream: &str) -> Self {
        let host = upstream.strip_prefix("http://").expect("the proxy reads plain HTTP only");
        let upstream = host.parse().expect("an address such as http://127.0.0.1:8200");
        let port = Port::reserve();
        let state = Mutex::new(State { listening: true, ..State::default() });
        let shared = Arc::new(Shared { upstream, port, state, changed: Condvar::new() });
        let (doorman, listener) = (Arc::clone(&shared), shared.listen());
        thread::spawn(move || doorman.keep_door(listener));
        Self { shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.shared.address())
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
        self.shared.lock().arrived(part).map(|arrived| arrived.line.clone()).collect()
    }

    /// The heads of the same requests: line and headers.
    pub fn heads(&self, part: &str) -> Vec<String> {
        self.shared.lock().arrived(part).map(|arrived| arrived.head.clone()).collect()
    }

    /// Waits until `count` requests whose line holds `part` have arrived. Panics after half a minute.
    pub fn wait_for(&self, part: &str, count: usize) {
        let arrived = |state: &State| state.arrived(part).count() >= count;
        self.wait_until(&format!("{count} requests of `{part}` have arrived"), arrived);
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let (state, changed) = (self.shared.lock(), &self.shared.changed);
        let waited = changed.wait_timeout_while(state, PATIENCE, |state| !is_so(state));
        assert!(!waited.expect(SOUND).1.timed_out(), "waited in vain until {what}");
    }

    /// Makes the thread that accepts connections look at the state.
    fn wake_doorman(&self) {
        let _ = TcpStream::connect(self.shared.address());
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

const JSON: &str = "content-type: application/json\r\n";
const SOUND: &str = "no thread of the proxy panics while it holds the state";

impl State {
    fn cut_all(&mut self) {
        for connection in self.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn arrived(&self, part: &str) -> impl Iterator<Item = &Arrived> {
        self.requests.iter().filter(move |arrived| arrived.line.contains(part))
    }

    /// Notes a request and decides on its fault.
    fn arrive(&mut self, request: &Request) -> Fault {
        let line = &request.line;
        self.requests.push(Arrived { line: line.clone(), head: request.head() });
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

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    fn listen(&self) -> TcpListener {
        TcpListener::bind(self.address()).expect("the port that is kept for this")
    }

    /// Accepts connections until the proxy is dropped. The port is shut while connections are refused.
    fn keep_door(self: &Arc<Self>, mut listener: TcpListener) {
        loop {
            if let Ok((client, _)) = listener.accept() {
                let shared = Arc::clone(self);
                thread::spawn(move || shared.serve(&client));
            }
            if self.is_refusing() {
                drop(listener);
                self.wait_while_refusing();
                listener = self.listen();
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
        // A program that is just being started has the listener, too, until it is under way.
        let is_shut = || TcpStream::connect(self.address()).is_err().then_some(());
        deadline::wait_for(PATIENCE, is_shut).expect("a port at which nobody listens");
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
        let manner = Mutex::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = answer::pass(&server, client, &manner);
                close(client, &server);
            });
            let _ = self.pass_requests(client, &server, &manner);
            // What answers in a manner of its own closes the connection at the right byte.
            if matches!(*manner.lock().expect(SOUND), Manner::Whole) {
                close(client, &server);
            }
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
        manner: &Mutex<Manner>,
    ) -> io::Result<()> {
        let mut requests = Requests::new(client);
        while let Some(request) = requests.next()? {
            let (fault, edition) = self.arrive(&request);
            let set = |new| *manner.lock().expect(SOUND) = new;
            match fault {
                Fault::Pass | Fault::Refuse => {}
                Fault::Delay(time) => thread::sleep(time),
                Fault::Cut(bytes) => set(Manner::Cut(bytes)),
                Fault::Reset => set(Manner::Reset),
                Fault::Drip(pause) => set(Manner::Drip(pause)),
                Fault::Hang => return self.hang(edition),
                Fault::Answer(status, body) => {
                    return answer::give(client, &answer::text(status, JSON, &body));
                }
                Fault::Raw(bytes) => return answer::give(client, &bytes),
                Fault::Flood { size, announced } => return answer::flood(client, size, announced),
            }
            server.write_all(&request.bytes)?;
        }
        Ok(())
    }

    fn arrive(&self, request: &Request) -> (Fault, u64) {
        let mut state = self.lock();
        let fault = state.arrive(request);
        self.changed.notify_all();
        (fault, state.edition)
    }

    fn hang(&self, edition: u64) -> io::Result<()> {
        let unchanged = |state: &mut State| state.edition == edition;
        drop(self.changed.wait_while(self.lock(), unchanged).expect(SOUND));
        Ok(())
    }
}

fn close(client: &TcpStream, server: &TcpStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

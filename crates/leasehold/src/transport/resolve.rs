//! From a host's name to its addresses: off the runtime, in bounded time, and by the last good answer where none comes.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use leasehold_core::Moment;
use tokio::sync::watch;

use crate::clock::Clock;

/// How long addresses are good for when the name cannot be resolved any more.
const GOOD: Duration = Duration::from_secs(600);

/// The system's own look-up, which may block for as long as it likes.
type LookUp = dyn Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Resolves one name.
pub(super) struct Resolver {
    look_up: Arc<LookUp>,
    answers: Arc<watch::Sender<Answer>>,
    clock: Clock,
}

/// What the last look-ups brought.
#[derive(Default)]
struct Answer {
    is_awaited: bool,
    good: Option<(Moment, Vec<SocketAddr>)>,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let host = host.to_owned();
        Self::by(move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect), Clock::default())
    }

    pub(super) fn by(
        look_up: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
        clock: Clock,
    ) -> Self {
        Self { look_up: Arc::new(look_up), answers: Arc::default(), clock }
    }

    /// The addresses: those that are found within this time, or else the last that were, if they are good still.
    pub(super) async fn addresses(&self, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        let mut answers = self.answers.subscribe();
        self.ask()?;
        // Whether it is answered, fails or takes too long: what counts is what is known then.
        let _ = tokio::time::timeout(limit, answers.wait_for(|answer| !answer.is_awaited)).await;
        let answer = self.answers.borrow();
        let good = answer.good.as_ref().filter(|(at, _)| self.clock.now() - *at < GOOD);
        good.map(|(_, addresses)| addresses.clone()).ok_or_else(|| io::ErrorKind::HostUnreachable.into())
    }

    /// Looks the name up, unless that is under way. The thread is one that nobody waits for: a resolver that hangs must
    /// not delay the end of the process, as one on the runtime's own threads would.
    fn ask(&self) -> io::Result<()> {
        let is_first =
            self.answers.send_if_modified(|answer| !std::mem::replace(&mut answer.is_awaited, true));
        if !is_first {
            return Ok(());
        }
        let (look_up, answers, clock) =
            (Arc::clone(&self.look_up), Arc::clone(&self.answers), self.clock.clone());
        let ask = move || {
            let found = look_up().ok().filter(|addresses| !addresses.is_empty());
            answers.send_modify(|answer| answer.take(clock.now(), found));
        };
        let started = thread::Builder::new().name("resolver".into()).spawn(ask);
        if started.is_err() {
            self.answers.send_modify(|answer| answer.is_awaited = false);
        }
        started.map(drop)
    }
}

impl Answer {
    fn take(&mut self, now: Moment, found: Option<Vec<SocketAddr>>) {
        self.is_awaited = false;
        self.good = found.map(|addresses| (now, addresses)).or(self.good.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    /// Short enough to wait for in vain.
    const LIMIT: Duration = Duration::from_millis(200);
    /// Long enough for any answer that comes at all.
    const LONG: Duration = Duration::from_secs(20);

    fn at(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], port))]
    }

    /// A resolver that gives these answers in turn, and none after them.
    fn resolver<const N: usize>(answers: [Option<u16>; N], clock: Clock) -> Resolver {
        let answers = Mutex::new(answers.into_iter());
        let next = move || answers.lock().unwrap().next().flatten();
        Resolver::by(move || next().map(at).ok_or_else(|| io::ErrorKind::NotFound.into()), clock)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_last_good_addresses_are_kept_for_ten_minutes() {
        let (clock, steering) = Clock::steered();
        let names = resolver([Some(1), Some(2), None, None], clock);
        assert_eq!(names.addresses(LONG).await.unwrap(), at(1));
        assert_eq!(names.addresses(LONG).await.unwrap(), at(2), "a name that moves is followed");
        steering.sleep(Duration::from_secs(599));
        assert_eq!(names.addresses(LIMIT).await.unwrap(), at(2));
        steering.sleep(Duration::from_secs(2));
        assert!(names.addresses(LIMIT).await.is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_resolver_that_hangs_is_asked_once_and_not_waited_for() {
        let (go_on, held) = mpsc::channel::<()>();
        let (held, asked) = (Mutex::new(held), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let hanging = move || {
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                let _ = held.lock().unwrap().recv();
            }
            Ok(at(7))
        };
        let names = Resolver::by(hanging, Clock::default());
        assert_eq!(names.addresses(LONG).await.unwrap(), at(7));
        let begun = names.clock.now();
        for _ in 0..3 {
            assert_eq!(names.addresses(LIMIT).await.unwrap(), at(7));
        }
        assert!(names.clock.now() - begun >= LIMIT * 3);
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one that hangs is not asked again");
        go_on.send(()).unwrap();
        names.answers.subscribe().wait_for(|answer| !answer.is_awaited).await.unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_no_name_needs_no_resolver() {
        let addresses = Resolver::new("127.0.0.1", 8200).addresses(LONG).await;
        assert_eq!(addresses.unwrap(), at(8200));
        assert!(Resolver::new("no-such-host.invalid", 80).addresses(LONG).await.is_err());
    }
}

//! The token of an application: the present one at the cost of an atomic load, and the one before it for as long as
//! requests that were signed with it may be under way.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::{Moment, Secret};

use crate::clock::{Clock, wall_text};
use crate::published::{Reader, Writer};

/// The token that peers know us by, rotated behind their readers' backs. Cheap to clone; all clones see the same.
///
/// No reader waits for a rotation, and none for another reader. What a request has taken stays as it is for as long as
/// the request holds it, and its memory is wiped when the last holder is gone. The token before it is let go when somebody
/// signs, verifies or asks for more than the present token after the overlap, be it for [`age_seconds`](Self::age_seconds),
/// and each time that a [`TokenRefresh`](crate::token_refresh::TokenRefresh) hears of the server.
///
/// ```
/// use leasehold::clock::Clock;
/// use leasehold::core::Secret;
/// use leasehold::token_cache::TokenCache;
/// use std::time::Duration;
///
/// let tokens = TokenCache::new(Clock::default(), Duration::from_secs(30));
/// assert!(tokens.current().is_none());
/// assert!(tokens.rotate(Secret::new("blue")));
///
/// let held = tokens.current().expect("it was just put there");
/// assert!(tokens.rotate(Secret::new("green")));
/// assert!(!tokens.rotate(Secret::new("green")), "the same value is no rotation");
/// assert_eq!(held.secret().expose(), "blue");
/// assert_eq!(tokens.previous().expect("within the overlap").expose(), "blue");
/// assert_eq!(tokens.age_seconds(), Some(0));
/// ```
#[derive(Clone)]
pub struct TokenCache(Arc<Shared>);

struct Shared {
    clock: Clock,
    overlap: Duration,
    held: Writer<Held>,
    /// Whose turn it is to write; readers know nothing of it.
    turn: Mutex<()>,
}

/// Both tokens as one value, so that nobody sees the new one without the one before it, or the other way round.
struct Held {
    token: Arc<Token>,
    /// Until that moment it is good.
    before: Option<(Arc<Token>, Moment)>,
}

impl Held {
    fn previous(&self, clock: &Clock) -> Option<Arc<Token>> {
        self.before.as_ref().filter(|(_, until)| clock.now() < *until).map(|(token, _)| Arc::clone(token))
    }

    /// Whether there is a token whose overlap is over.
    fn is_over(&self, clock: &Clock) -> bool {
        self.before.as_ref().is_some_and(|(_, until)| clock.now() >= *until)
    }
}

/// One value of the token.
#[derive(Debug)]
pub struct Token {
    secret: Secret,
    generation: u32,
    since: Moment,
    since_wall_seconds: u64,
}

impl Token {
    /// The token itself; never blank.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Counts the tokens of this cache from 1 on.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl TokenCache {
    /// Without a token yet. For so long after a rotation the token before it is still good.
    pub fn new(clock: Clock, overlap: Duration) -> Self {
        Self(Arc::new(Shared { clock, overlap, held: Writer::empty(), turn: Mutex::default() }))
    }

    /// The present token, to be kept for the length of a request; none before the first [`rotate`](Self::rotate).
    ///
    /// Costs some tens of nanoseconds, and more while other cores do the same; a thread that reads often has a
    /// [`reader`](Self::reader) of its own, which costs a tenth.
    pub fn current(&self) -> Option<Arc<Token>> {
        self.0.held.look(|held| Arc::clone(&held.token))
    }

    /// The token before the present one, for the length of the overlap.
    ///
    /// There is one and no more: of two rotations within an overlap, the second ends the overlap of the first.
    pub fn previous(&self) -> Option<Secret> {
        self.both().and_then(|(_, previous)| previous).map(|token| token.secret.clone())
    }

    /// The present token, and the one before it within the overlap, of one moment.
    pub(crate) fn both(&self) -> Option<(Arc<Token>, Option<Arc<Token>>)> {
        self.look(|held| (Arc::clone(&held.token), held.previous(&self.0.clock)))
    }

    /// What `question` sees. Whoever looks makes the cache forget a token whose overlap is over.
    fn look<R>(&self, question: impl FnOnce(&Held) -> R) -> Option<R> {
        self.forget_once_over();
        self.0.held.look(question)
    }

    /// From now on this is the token. `false`, and nothing happens, if it is the present one or blank.
    pub fn rotate(&self, secret: Secret) -> bool {
        let _turn = self.turn();
        let old = self.0.held.look(|held| Arc::clone(&held.token));
        if is_blank(&secret) || old.as_ref().is_some_and(|old| old.secret.is_same(&secret)) {
            self.drop_if_over();
            return false;
        }
        let (now, since_wall_seconds) = (self.0.clock.now(), self.0.clock.wall_seconds());
        let generation = old.as_ref().map_or(1, |old| old.generation.saturating_add(1));
        let before = old.map(|old| (old, now + self.0.overlap));
        let token = Arc::new(Token { secret, generation, since: now, since_wall_seconds });
        self.0.held.publish(generation, Arc::new(Held { token, before }));
        true
    }

    /// Ends the overlap at once: for a token that was rotated because somebody else has it.
    pub fn forget_previous(&self) {
        let _turn = self.turn();
        self.0.held.replace(|held| Held { token: Arc::clone(&held.token), before: None });
    }

    /// So that a token whose overlap is over does not stay in memory until the next rotation. Called by readers, so it
    /// leaves the work to another time if somebody is writing. The clock is looked at only while there are two tokens.
    pub(crate) fn forget_once_over(&self) {
        if self.is_over()
            && let Ok(_turn) = self.0.turn.try_lock()
        {
            self.drop_if_over();
        }
    }

    fn is_over(&self) -> bool {
        self.0.held.look(|held| held.is_over(&self.0.clock)).unwrap_or_default()
    }

    /// By whoever's turn it is to write.
    fn drop_if_over(&self) {
        if self.is_over() {
            self.0.held.replace(|held| Held { token: Arc::clone(&held.token), before: None });
        }
    }

    /// The clock by which it goes.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// For how many whole seconds the present token has been the present one.
    pub fn age_seconds(&self) -> Option<u64> {
        let since = self.look(|held| held.token.since)?;
        Some((self.0.clock.now() - since).as_secs())
    }

    /// When the present token was put there, as RFC 3339 in UTC; the first one counts as well.
    pub fn last_rotation(&self) -> Option<String> {
        self.look(|held| wall_text(held.token.since_wall_seconds))
    }

    /// A handle for one thread or task.
    pub fn reader(&self) -> TokenReader {
        TokenReader(self.0.held.reader())
    }

    /// Nothing is done under this lock that could panic halfway.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether everybody has that key: no text, or nothing but blanks and ends of lines.
pub(crate) fn is_blank(token: &Secret) -> bool {
    token.expose().trim().is_empty()
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.0.held.look(|held| held.token.generation);
        write!(f, "TokenCache(generation {})", generation.unwrap_or_default())
    }
}

/// One thread's handle on a [`TokenCache`]: reading it writes to no memory that another core looks at.
///
/// It keeps what it gave last, and the token before that, until it is asked again or dropped.
#[derive(Clone)]
pub struct TokenReader(Reader<Held>);

impl TokenReader {
    /// The present token; none before the first.
    pub fn current(&mut self) -> Option<&Token> {
        self.0.current().map(|held| &*held.token)
    }

    /// Returns when the token was rotated since the last call. `false` once the cache is gone.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await
    }
}

impl fmt::Debug for TokenReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenReader(generation {})", self.0.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{Covering, Signer};
    use http::Request;

    const OVERLAP: Duration = Duration::from_secs(30);

    fn shown(secret: Option<Secret>) -> Option<String> {
        secret.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn each_rotation_counts_once_and_nothing_is_no_token() {
        let tokens = TokenCache::new(Clock::default(), OVERLAP);
        assert_eq!((tokens.age_seconds(), tokens.last_rotation()), (None, None));
        let check = |text: &str, rotates: bool, generation: Option<u32>, previous: Option<&str>| {
            assert_eq!(tokens.rotate(Secret::new(text)), rotates, "{text:?}");
            assert_eq!(tokens.current().map(|token| token.generation()), generation, "{text:?}");
            assert_eq!(shown(tokens.previous()).as_deref(), previous, "{text:?}");
        };
        check("", false, None, None);
        check("a", true, Some(1), None);
        check("a", false, Some(1), None);
        check("b", true, Some(2), Some("a"));
        check("", false, Some(2), Some("a"));
        check("\n", false, Some(2), Some("a"));
        check("a", true, Some(3), Some("b"));
    }

    #[test]
    fn the_token_before_is_good_for_the_overlap_and_then_gone_from_memory() {
        let (clock, steering) = Clock::steered();
        let tokens = TokenCache::new(clock, OVERLAP);
        let old = Secret::new("old");
        tokens.rotate(old.clone());
        tokens.rotate(Secret::new("new"));
        steering.sleep(OVERLAP - Duration::from_secs(5));
        assert!(tokens.previous().is_some_and(|previous| previous.is_same(&old)));
        steering.sleep(Duration::from_secs(5));
        assert!(tokens.previous().is_none());
        assert!(tokens.0.held.look(|held| held.before.is_none()).unwrap());
        assert_eq!(tokens.age_seconds(), Some(30));
    }

    #[test]
    fn whoever_looks_makes_the_cache_forget() {
        let check = |what: &str, look: fn(&TokenCache), expect: bool| {
            let (clock, steering) = Clock::steered();
            let tokens = TokenCache::new(clock, OVERLAP);
            ["old", "new"].into_iter().for_each(|text| _ = tokens.rotate(Secret::new(text)));
            let is_held = || tokens.0.held.look(|held| held.before.is_some()).unwrap();
            look(&tokens);
            assert!(is_held(), "{what}, within the overlap");
            steering.sleep(OVERLAP);
            look(&tokens);
            assert_eq!(is_held(), expect, "{what}, after it");
        };
        let sign = |tokens: &TokenCache| {
            let signer = Signer::new(tokens.clone(), "agent-1", Covering::Body).unwrap();
            assert!(signer.sign(&mut Request::new("")).is_ok());
        };
        check("a signature", sign, false);
        check("previous", |tokens| drop(tokens.previous()), false);
        check("age_seconds", |tokens| _ = tokens.age_seconds(), false);
        check("the same token", |tokens| _ = tokens.rotate(Secret::new("new")), false);
        check("a tick", TokenCache::forget_once_over, false);
        // These look at no clock.
        check("current", |tokens| drop(tokens.current()), true);
        check("a reader", |tokens| _ = tokens.reader().current(), true);
    }

    #[test]
    fn a_leaked_token_is_forgotten_at_once() {
        let tokens = TokenCache::new(Clock::default(), OVERLAP);
        for text in ["leaked", "new"] {
            tokens.rotate(Secret::new(text));
        }
        tokens.forget_previous();
        assert!(tokens.previous().is_none());
        assert_eq!(tokens.current().unwrap().secret().expose(), "new");
    }

    #[test]
    fn what_is_held_stays_and_nobody_else_keeps_it() {
        let tokens = TokenCache::new(Clock::default(), OVERLAP);
        tokens.rotate(Secret::new("first"));
        let (held, mut reader) = (tokens.current().unwrap(), tokens.reader());
        for text in ["second", "third"] {
            tokens.rotate(Secret::new(text));
        }
        assert_eq!(held.secret().expose(), "first");
        assert_eq!(Arc::strong_count(&held), 1, "the cache has let go of it");
        assert_eq!(reader.current().unwrap().secret().expose(), "third");
    }

    #[test]
    fn debug_shows_no_token() {
        let tokens = TokenCache::new(Clock::default(), OVERLAP);
        tokens.rotate(Secret::new("canary"));
        let shown = format!("{tokens:?} {:?} {:?}", tokens.reader(), tokens.current());
        assert!(!shown.contains("canary") && shown.contains("generation 1"), "{shown}");
    }
}

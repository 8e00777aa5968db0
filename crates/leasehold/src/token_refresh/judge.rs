//! Which token is served, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use leasehold_core::{Failure, Secret};

use super::settings::Fallback;
use super::status::View;
use crate::clock::{Clock, wall_seconds, wall_text};
use crate::token_cache::TokenCache;

/// What a refresh and its keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tokens: TokenCache,
    pub(super) view: ArcSwap<View>,
    pub(super) clock: Clock,
    pub(super) stale_after: Duration,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }
}

/// Decides between Vault's word and that of the fallback: whoever has said something new last is right. So what was
/// there all the time never comes back in place of something newer, whichever of both is away for a while.
pub(super) struct Judge {
    shared: Arc<Shared>,
    deployment: String,
    fallback: Fallback,
    /// What each has said last.
    vault_said: Option<Secret>,
    fallback_said: Option<Secret>,
}

impl Judge {
    /// Serves the fallback's token, if there is one.
    pub(super) fn new(shared: Arc<Shared>, deployment: String, fallback: Fallback) -> Self {
        let mut judge = Self { shared, deployment, fallback, vault_said: None, fallback_said: None };
        judge.ask_fallback();
        judge
    }

    /// Vault says that this is the token.
    pub(super) fn hear_vault(&mut self, token: &Secret) {
        self.shared.tokens.forget_once_over();
        let now = self.shared.clock.now();
        self.shared.change(|view| (view.last_refresh_ok, view.confirmed) = (Some(true), now));
        let is_first = self.vault_said.is_none();
        match is_news(&mut self.vault_said, token) {
            true if is_first && self.serves_what_stood_there() => self.begin_with(token.clone()),
            true => self.serve(token.clone()),
            false => self.ask_fallback(),
        }
    }

    /// Whether it is the fallback's token of the start, if Vault has said nothing yet.
    fn serves_what_stood_there(&self) -> bool {
        self.shared.tokens.current().is_some_and(|token| token.generation() == 1)
    }

    /// Serves Vault's first word in place of a token that may have been rotated out long before this process was
    /// started. So it gets no overlap, and there is no rotation to tell of.
    fn begin_with(&self, token: Secret) {
        if self.shared.tokens.rotate(token) {
            self.shared.tokens.forget_previous();
            tracing::info!("Vault has another token than the fallback, whose token is refused from now on");
        }
    }

    /// Vault does not say what the token is.
    pub(super) fn miss_vault(&mut self, failure: &Failure) {
        tracing::warn!(error = %failure, will_retry = true, "Failed to fetch token from Vault");
        self.shared.tokens.forget_once_over();
        self.shared.change(|view| {
            view.last_refresh_ok = Some(false);
            view.fetch_errors += 1;
        });
        self.ask_fallback();
    }

    /// Reads the fallback again. A token that is gone from there, or cannot be read, is no news.
    pub(super) fn ask_fallback(&mut self) {
        let token = self.fallback.read().unwrap_or_else(|failure| {
            tracing::debug!("the fallback token is not to be had: {failure}");
            None
        });
        if let Some(token) = token
            && is_news(&mut self.fallback_said, &token)
        {
            self.serve(token);
        }
    }

    /// From now on this is the token. To get the first one is no rotation.
    fn serve(&self, token: Secret) {
        let age_seconds = self.shared.tokens.age_seconds();
        if !self.shared.tokens.rotate(token) {
            return;
        }
        let Some(age_seconds) = age_seconds else { return };
        self.shared.change(|view| view.rotations += 1);
        let (deployment_hash, timestamp) = (self.deployment.as_str(), wall_text(wall_seconds()));
        tracing::info!(target: "audit", deployment_hash, timestamp, age_seconds, "Token rotated");
    }
}

/// Whoever judges runs. That nobody does any more is told, be it stopped, its runtime gone, or after a panic.
impl Drop for Judge {
    fn drop(&mut self) {
        self.shared.change(View::stop);
    }
}

/// Whether that was not said before. From now on it was.
fn is_news(said: &mut Option<Secret>, token: &Secret) -> bool {
    let is_news = said.as_ref().is_none_or(|said| !said.is_same(token));
    if is_news {
        *said = Some(token.clone());
    }
    is_news
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Kind;
    use std::sync::Mutex;

    /// One step: what Vault says (none: it fails), and what stands in the fallback then.
    type Step = (Option<&'static str>, Option<&'static str>);

    /// What is served after each step, `<` the token before it if that is good too. At the start the fallback has
    /// `first`.
    fn served(first: Option<&'static str>, steps: &[Step]) -> Vec<String> {
        let tokens = TokenCache::new(Clock::default(), Duration::from_secs(60));
        let (view, clock) = (ArcSwap::default(), Clock::default());
        let shared = Shared { tokens: tokens.clone(), view, clock, stale_after: Duration::ZERO };
        let stands = Arc::new(Mutex::new(first));
        let inside = Arc::clone(&stands);
        let fallback = Fallback::reading(move || inside.lock().unwrap().map(Secret::new));
        let mut judge = Judge::new(Arc::new(shared), "d".into(), fallback);
        let present = || {
            let token =
                tokens.current().map_or_else(|| "-".to_owned(), |token| token.secret().expose().to_owned());
            tokens.previous().map_or(token.clone(), |previous| format!("{token}<{}", previous.expose()))
        };
        let mut seen = vec![present()];
        for (vault, fallback) in steps {
            *stands.lock().unwrap() = *fallback;
            match vault {
                Some(token) => judge.hear_vault(&Secret::new(*token)),
                None => judge.miss_vault(&Failure::new(Kind::Unreachable, "x")),
            }
            seen.push(present());
        }
        seen
    }

    #[test]
    fn the_last_news_count_and_nothing_old_comes_back() {
        let check = |first, steps: &[Step], expect: &str| {
            assert_eq!(served(first, steps).join(" "), expect, "{first:?} {steps:?}");
        };
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        check(None, &[(None, None), (b, None), (None, None)], "- - b b");
        check(a, &[(None, a), (a, a), (b, a)], "a a a b<a");
        // The stale value of the environment does not win over Vault's.
        check(a, &[(b, a), (b, a), (None, a), (b, a)], "a b b b b");
        // Nor when its file is empty for a moment.
        check(a, &[(b, a), (b, None), (None, a), (b, a)], "a b b b b");
        // What somebody has changed there since is news, while Vault is away or has none.
        check(a, &[(b, a), (None, c), (None, c), (b, c)], "a b c<b c<b c<b");
        check(a, &[(b, a), (b, c), (b, c)], "a b c<b c<b");
        check(a, &[(b, a), (None, c), (a, c), (a, c)], "a b c<b a<c a<c");
        // That too is rotated out by Vault's first word; what stood there at the start is not, since it may be old.
        check(a, &[(None, c), (b, c)], "a c<a b<c");
        // Whatever Vault has anew wins, also what it had before.
        check(None, &[(a, None), (b, None), (a, None)], "- a b<a a<b");
    }
}

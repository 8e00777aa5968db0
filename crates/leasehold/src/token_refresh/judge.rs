//! Which token is served, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use leasehold_core::{Failure, Moment, Secret};
use tokio::sync::{broadcast, watch};

use super::events::RefreshEvent;
use super::settings::Fallback;
use super::status::{AgentHealth, View};
use crate::clock::{Clock, wall_seconds, wall_text};
use crate::token_cache::TokenCache;
use crate::token_manager::Doom;

/// What a refresh and its keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tokens: TokenCache,
    pub(super) view: ArcSwap<View>,
    pub(super) clock: Clock,
    pub(super) stale_after: Duration,
    /// Rings when Vault refuses us.
    pub(super) refused: watch::Sender<()>,
    pub(super) events: broadcast::Sender<RefreshEvent>,
}

impl Shared {
    pub(super) fn health(&self) -> AgentHealth {
        self.view.load().health(self.tokens.age_seconds(), self.clock.now(), self.stale_after)
    }

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
    has_told_stale: bool,
}

impl Judge {
    /// Serves the fallback's token, if there is one.
    pub(super) fn new(shared: Arc<Shared>, deployment: String, fallback: Fallback) -> Self {
        let (vault_said, fallback_said) = (None, None);
        let mut judge =
            Self { shared, deployment, fallback, vault_said, fallback_said, has_told_stale: false };
        judge.ask_fallback();
        judge
    }

    /// Vault says that this is the token.
    pub(super) fn hear_vault(&mut self, token: &Secret) {
        self.shared.tokens.forget_once_over();
        let now = self.shared.clock.now();
        self.shared.change(|view| (view.last_refresh_ok, view.confirmed) = (Some(true), now));
        self.has_told_stale = false;
        self.tell(RefreshEvent::Read);
        let is_first = self.vault_said.is_none();
        match is_news(&mut self.vault_said, token) {
            true if is_first && self.serves_what_stood_there() => self.begin_with(token.clone()),
            true => _ = self.serve(token.clone()),
            false => self.ask_fallback(),
        }
    }

    /// Whether it is the fallback's token of the start, if Vault has said nothing yet.
    fn serves_what_stood_there(&self) -> bool {
        self.shared.tokens.current().is_some_and(|token| token.generation() == 1)
    }

    /// Serves Vault's first word in place of a token that may have been rotated out long before this process was
    /// started. So that one gets no overlap.
    fn begin_with(&self, token: Secret) {
        if self.serve(token) {
            self.shared.tokens.forget_previous();
            tracing::info!("Vault has another token than the fallback, whose token is refused from now on");
        }
    }

    /// Vault does not accept who we are, or not for this.
    pub(super) fn hear_refusal(&self) {
        self.shared.refused.send_replace(());
    }

    /// Vault does not say what the token is.
    pub(super) fn miss_vault(&mut self, failure: &Failure) {
        tracing::warn!(error = %failure, will_retry = true, "Failed to fetch token from Vault");
        self.shared.tokens.forget_once_over();
        self.shared.change(|view| {
            view.last_refresh_ok = Some(false);
            view.fetch_errors += 1;
        });
        self.tell(RefreshEvent::Failed { kind: failure.kind(), message: failure.message().to_owned() });
        self.tell_stale();
        self.ask_fallback();
    }

    /// Tells that Vault is silent, once it is for too long.
    pub(super) fn tell_stale(&mut self) {
        let silent = self.silent();
        if silent > self.shared.stale_after && !std::mem::replace(&mut self.has_told_stale, true) {
            self.tell(RefreshEvent::Stale { silent });
        }
    }

    /// How long Vault may be silent still before that is told; none if it was.
    pub(super) fn stale_in(&self) -> Option<Duration> {
        (!self.has_told_stale).then(|| self.shared.stale_after.saturating_sub(self.silent()))
    }

    fn silent(&self) -> Duration {
        self.shared.clock.now() - self.shared.view.load().confirmed
    }

    pub(super) fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    /// What Vault is asked with is another token than before.
    pub(super) fn hear_login(&self) {
        self.shared.change(|view| view.doom = None);
        self.tell(RefreshEvent::LoggedIn);
    }

    /// What Vault is asked with cannot be kept.
    pub(super) fn hear_doom(&self, doom: Doom) {
        tracing::warn!("{}", doom.message);
        self.shared.change(|view| view.doom = Some((doom.clone(), self.now())));
        self.tell(RefreshEvent::Doomed { message: doom.message, left: doom.left });
    }

    /// What Vault is asked with can be kept, whatever was said before.
    pub(super) fn hear_reprieve(&self) {
        if self.shared.view.load().doom.is_some() {
            self.shared.change(|view| view.doom = None);
            self.tell(RefreshEvent::Lifted);
        }
    }

    /// Tells all who listen.
    fn tell(&self, event: RefreshEvent) {
        // Nobody may be listening.
        let _ = self.shared.events.send(event);
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
            let _ = self.serve(token);
        }
    }

    /// From now on this is the token, if it is another one. To get the first one is no rotation.
    fn serve(&self, token: Secret) -> bool {
        let age_seconds = self.shared.tokens.age_seconds();
        let is_other = self.shared.tokens.rotate(token);
        if let Some(age_seconds) = age_seconds.filter(|_| is_other) {
            self.tell_rotation(age_seconds);
        }
        is_other
    }

    /// There is another token than that of this age.
    fn tell_rotation(&self, age_seconds: u64) {
        self.shared.change(|view| view.rotations += 1);
        self.tell(RefreshEvent::Rotated);
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
        let (refused, stale_after) = (watch::Sender::new(()), Duration::ZERO);
        let (events, _) = broadcast::channel(1);
        let shared = Shared { tokens: tokens.clone(), view, clock, stale_after, refused, events };
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

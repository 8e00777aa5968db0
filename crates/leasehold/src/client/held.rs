//! The token that a client and its clones have, or why they have none.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use leasehold_core::{Failure, Moment, Secret};
use tokio::sync::Notify;

/// What all clones of a client share. Reading it waits for nobody.
#[derive(Default)]
pub(super) struct Place {
    held: ArcSwapOption<Held>,
    /// Rings when the server said that the present token is dead.
    refused: Notify,
}

/// What is in a place that was ever filled.
pub(super) enum Held {
    Token {
        token: Secret,
        expiry: Option<Moment>,
    },
    /// Whoever took the token away says why there is none.
    Gone(Failure),
}

impl Place {
    pub(super) fn put(&self, held: Held) {
        self.held.store(Some(Arc::new(held)));
    }

    /// Says why there is no token, if there is none.
    pub(super) fn put_unless_held(&self, why: Failure) {
        let gone = Arc::new(Held::Gone(why));
        self.held.rcu(|held| match held {
            Some(held) if matches!(**held, Held::Token { .. }) => Some(Arc::clone(held)),
            _ => Some(Arc::clone(&gone)),
        });
    }

    pub(super) fn load(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    /// The token, and when it ends if that is known.
    pub(super) fn token(&self) -> Option<(Secret, Option<Moment>)> {
        match self.held.load().as_deref() {
            Some(Held::Token { token, expiry }) => Some((token.clone(), *expiry)),
            Some(Held::Gone(_)) | None => None,
        }
    }

    /// A call with this was refused because it is dead. If there is another by now, that says nothing of it.
    pub(super) fn refuse(&self, refused: &Secret) {
        if self.token().is_some_and(|(present, _)| present.is_same(refused)) {
            self.doubt();
        }
    }

    /// Somebody doubts that the token lives.
    pub(super) fn doubt(&self) {
        self.refused.notify_one();
    }

    /// Returns once somebody doubts, or has doubted since the last call.
    pub(super) async fn doubted(&self) {
        self.refused.notified().await;
    }
}

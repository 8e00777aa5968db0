//! One run of a manager, from a start to its end: what is known of the token, and the right to give it to the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use leasehold_core::{Failure, Secret};
use tokio::sync::Notify;

use super::status::View;
use super::{not_yet, stopped};
use crate::client::VaultClient;

/// A run. Its reign alone changes it, so that what is left of an older run cannot speak for a later one.
#[derive(Debug, Default)]
pub(super) struct Run {
    view: ArcSwap<View>,
    /// Rings when the view has changed.
    pub(super) changed: Notify,
    /// None once the run is over, or there is a later one. Locked by those who start and keep, never by readers.
    client: Mutex<Option<VaultClient>>,
}

impl Run {
    /// What is known at this moment.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// From now on the client is another run's.
    pub(super) fn leave_client(&self) {
        *self.client() = None;
    }

    fn client(&self) -> MutexGuard<'_, Option<VaultClient>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has this keeps the token. When it is dropped, be it because a task was aborted or has panicked, nobody does,
/// which the run then says.
#[derive(Debug)]
pub(super) struct Reign(Arc<Run>);

impl Reign {
    /// A new run, after one of which this was known.
    pub(super) fn begin(client: VaultClient, before: &View) -> (Arc<Run>, Self) {
        client.await_token(not_yet());
        let view = ArcSwap::from_pointee(before.next());
        let run = Arc::new(Run { view, client: Mutex::new(Some(client)), ..Run::default() });
        (Arc::clone(&run), Self(run))
    }

    /// What is known at this moment.
    pub(super) fn view(&self) -> Arc<View> {
        self.0.view()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.0.view.load());
        change(&mut view);
        self.0.view.store(Arc::new(view));
        self.0.changed.notify_waiters();
    }

    /// Gives the client this token, which lives for so long.
    pub(super) fn hand_over(&self, token: &Secret, ttl: Option<Duration>) {
        if let Some(client) = &*self.0.client() {
            client.set_token(token.clone(), ttl);
        }
    }

    /// Takes its token away from the client, which says why to those who use it.
    pub(super) fn withdraw(&self, why: Failure) {
        if let Some(client) = &*self.0.client() {
            client.withdraw_token(why);
        }
    }
}

impl Drop for Reign {
    fn drop(&mut self) {
        self.withdraw(stopped());
        self.0.leave_client();
        self.change(View::stop);
    }
}

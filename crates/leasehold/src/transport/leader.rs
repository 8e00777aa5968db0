//! Finding the node that leads, for what must not be sent twice.
//!
//! A node that hangs, or a standby that hands on to one, leaves open whether a login was carried out; and a standby that
//! is behind refuses a login that was made a moment ago. The leader does neither. So with several addresses a call
//! that must not be repeated is preceded by a look at the health of the nodes, which is harmless.

use std::sync::atomic::Ordering;
use std::time::Duration;

use leasehold_vault::Operation;
use leasehold_vault::system::Health;

use super::{Endpoint, Transport, Try};

/// How long a node may take to tell its health.
const GLANCE: Duration = Duration::from_millis(500);
/// How long a call waits for an election at the most; one after a hang takes four to six seconds.
const ELECTION: Duration = Duration::from_secs(8);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What one look at all nodes found, by their places among the endpoints.
enum View {
    /// This one leads.
    Leader(usize),
    /// This one follows, and one that does not answer may have been the leader: there may be an election.
    Election(usize),
    /// There is nothing to wait for.
    Settled,
}

impl Transport {
    /// Makes the leader the one that is asked next, if it is among the addresses. Waits for an election; without one
    /// in time it is a node that answers. Otherwise the call itself will tell what is wrong. The call has taken so long
    /// already.
    pub(crate) async fn find_leader(&self, already: Duration) {
        if self.endpoints.len() > 1 {
            let left = ELECTION.saturating_sub(already);
            // Where the look was at when the time was over is preferred already.
            let _ = tokio::time::timeout(left, self.look_for_leader()).await;
        }
    }

    async fn look_for_leader(&self) {
        loop {
            match self.view().await {
                View::Leader(number) => return self.preferred.store(number, Ordering::Relaxed),
                View::Settled => return,
                View::Election(number) => self.preferred.store(number, Ordering::Relaxed),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn view(&self) -> View {
        let (first, count) = (self.preferred.load(Ordering::Relaxed), self.endpoints.len());
        let (mut follower, mut is_one_silent) = (None, false);
        for number in (first..first + count).map(|number| number % count) {
            match self.health(&self.endpoints[number]).await {
                Some(200) => return View::Leader(number),
                Some(429) => follower = Some(number),
                Some(_) => {}
                None => is_one_silent = true,
            }
        }
        follower.filter(|_| is_one_silent).map_or(View::Settled, View::Election)
    }

    /// The status of the node's health, which tells its state.
    async fn health(&self, endpoint: &Endpoint) -> Option<u16> {
        let call = Health.call();
        match tokio::time::timeout(GLANCE, self.send_to(endpoint, &call, None, None)).await {
            Ok(Ok(Try::Reply(reply))) => Some(reply.status),
            _ => None,
        }
    }
}

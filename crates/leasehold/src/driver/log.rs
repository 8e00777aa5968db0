//! Events as log lines.

use leasehold_core::event::Event;

/// Events as log lines: names, counts and times.
pub(super) fn log(event: &Event) {
    match event {
        Event::Failed { slot, failure, attempt } => {
            tracing::warn!(slot = slot.0, kind = failure.kind().token(), attempt, "{failure}");
        }
        // Whoever stops the engine is told of what is still owed then; much of it goes along with its token before.
        Event::Owed { slot, failure, .. } => {
            tracing::info!(
                slot = slot.0,
                kind = failure.kind().token(),
                "could not be given back: {failure}"
            );
        }
        Event::Clamped { slot, life } => {
            tracing::warn!(
                slot = slot.0,
                life = life.as_secs(),
                "the renewal threshold is longer than half of the lease, which is used instead"
            );
        }
        Event::Halted { slot } => {
            tracing::error!(
                slot = slot.0,
                "the login was refused three times: no other is tried until the file that we log in with has changed, \
                 lest the server lock us out"
            );
        }
        Event::Expiring { slot, left } => {
            tracing::warn!(slot = slot.0, left = left.as_secs(), "ends soon");
        }
        Event::Ended { slot, end } => tracing::info!(slot = slot.0, ?end, "ended"),
        Event::Obtained { slot, ttl } => {
            tracing::info!(slot = slot.0, ttl = ttl.map(|ttl| ttl.as_secs()), "obtained");
        }
        Event::Replaced { slot, generation } => tracing::info!(slot = slot.0, generation, "replaced"),
        Event::Renewed { slot, ttl, extends } => {
            tracing::debug!(slot = slot.0, ttl = ttl.map(|ttl| ttl.as_secs()), extends, "renewed");
        }
        Event::Refreshed { slot, changed } => tracing::debug!(slot = slot.0, changed, "read again"),
        Event::Checked { slot, ttl } => {
            tracing::debug!(slot = slot.0, ttl = ttl.map(|ttl| ttl.as_secs()), "looked up");
        }
        Event::Settled { slot, .. } => tracing::debug!(slot = slot.0, "given back"),
    }
}

//! Instants that no story depends on to the second.

use std::time::Duration;

use leasehold_core::Moment;
use leasehold_core::policy::{Jitter, Renew};
use leasehold_core::schedule::instants;

#[test]
fn a_threshold_bounds_the_margin() {
    let check = |life: u64, threshold: u64, margin: u64| {
        let seconds = Duration::from_secs;
        let begun = Moment::default() + seconds(1_000);
        let renew = Renew::Below(seconds(threshold));
        let (instants, _) = instants(renew, begun, begun + seconds(life), Duration::ZERO, Jitter(0));
        assert_eq!(instants.expiry - instants.hard, seconds(margin), "{life} {threshold}");
    };
    // A tenth of the life, or half of the threshold where that is less.
    check(360_000, 1_000, 500);
    check(3_600, 1_000, 360);
    check(1_000, 1_000, 100);
    // Two seconds at least, and half of the life at most.
    check(360_000, 2, 2);
    check(2, 2, 1);
}

//! What reading a credential costs while it is rotated without pause, beside the `Arc<RwLock<String>>` clone that
//! services use today. Prints `name value unit` a line.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark tells time"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use leasehold::core::{Fields, Grant, Lease, Secret, SlotId};
use leasehold::credential::Publisher;

const READS: u32 = 20_000_000;
const TOKEN: &str = "hvs.CAESIJ3nQ4yW8fQ0x5cQm9h2Zr7uT1vK6pL0sD3aE8bN4xGh4KHGh2cy5";

fn main() {
    let publisher = Publisher::new(SlotId(1));
    publisher.publish(1, grant());
    let credential = publisher.credential();
    let ours = beside(|round| publisher.publish(round, grant()), || drop(black_box(credential.current())));
    println!("credential_current {ours:.1} ns");

    let lock = Arc::new(RwLock::new(TOKEN.to_owned()));
    let theirs = beside(
        |_| TOKEN.clone_into(&mut lock.write().expect("no panic")),
        || drop(black_box(lock.read().expect("no panic").clone())),
    );
    println!("rwlock_string_clone {theirs:.1} ns");
}

/// Nanoseconds a read takes while another thread writes without pause.
fn beside(write: impl Fn(u32) + Sync, read: impl Fn()) -> f64 {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 2.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                write(round);
            }
        });
        let started = Instant::now();
        (0..READS).for_each(|_| read());
        let spent = started.elapsed();
        is_over.store(true, Ordering::Relaxed);
        spent.as_nanos() as f64 / f64::from(READS)
    })
}

fn grant() -> Arc<Grant> {
    let fields = Fields::from_iter([(Grant::TOKEN, Secret::new(TOKEN))]);
    Arc::new(Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None })
}

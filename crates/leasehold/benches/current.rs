//! What reading a credential costs while it is rotated, beside the clone of an `RwLock<String>` that services use
//! today: without a pause between rotations, and with one every ten microseconds, which is still a hundred
//! thousand rotations a second. Prints `name value unit` a line.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark tells time"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use leasehold::core::{Fields, Grant, Lease, Secret, SlotId};
use leasehold::credential::{Credential, Publisher};
use nix::time::{ClockId, clock_gettime};

/// Chunks of reads that count, and the reads of each.
const CHUNKS: usize = 500;
const READS: u32 = 20_000;
/// Where cores are short, most chunks don't count. They end nevertheless.
const CHUNKS_AT_MOST: usize = 100 * CHUNKS;
const PACES: [(&str, Duration); 2] = [("unpaced", Duration::ZERO), ("paced", Duration::from_micros(10))];
const TOKEN: &str = "hvs.CAESIJ3nQ4yW8fQ0x5cQm9h2Zr7uT1vK6pL0sD3aE8bN4xGh4KHGh2cy5";

fn main() {
    for (pace, pause) in PACES {
        let publisher = Publisher::new(SlotId(1));
        publisher.publish(1, grant());
        let publish = |round| publisher.publish(round, grant());
        let mut credential = publisher.credential();
        show("current", pace, &beside(publish, pause, || credential.current().is_some()));
        show("current_and_token", pace, &beside(publish, pause, || token(&mut credential)));
        show("hold", pace, &beside(publish, pause, || credential.hold()));

        let lock = RwLock::new(TOKEN.to_owned());
        let write = |_| TOKEN.clone_into(&mut lock.write().expect("no panic"));
        let clone = || lock.read().expect("no panic").clone();
        show("rwlock_string_clone", pace, &beside(write, pause, clone));
    }
}

/// What a read took, and how often a new value was written meanwhile.
struct Measure {
    nanoseconds: f64,
    rotations_per_second: f64,
}

/// Reads while another thread writes, with `pause` from one write to the next.
fn beside<T>(write: impl Fn(u32) + Sync, pause: Duration, read: impl FnMut() -> T) -> Measure {
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut due = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                write(rounds.fetch_add(1, Ordering::Relaxed));
                due = Instant::now().max(due + pause);
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
            }
        });
        let chunks = chunks(read, &rounds);
        is_over.store(true, Ordering::Relaxed);
        Measure::of(chunks)
    })
}

/// The time of each chunk of reads and the writes during it, for those chunks that the writer really ran beside:
/// there were writes, and not because the reader had lost its core to the writer.
fn chunks<T>(mut read: impl FnMut() -> T, rounds: &AtomicU32) -> Vec<(Duration, u32)> {
    let mut chunks = Vec::with_capacity(CHUNKS);
    for _ in 0..CHUNKS_AT_MOST {
        let (before, own, started) = (rounds.load(Ordering::Relaxed), core_time(), Instant::now());
        (0..READS).for_each(|_| drop(black_box(read())));
        let (spent, writes) = (started.elapsed(), rounds.load(Ordering::Relaxed) - before);
        let kept_core = spent < (core_time() - own) * 5 / 4;
        if writes > 0 && kept_core {
            chunks.push((spent, writes));
        }
        if chunks.len() == CHUNKS {
            break;
        }
    }
    chunks
}

/// How long this thread has had a core.
fn core_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux").into()
}

impl Measure {
    /// The median chunk.
    fn of(mut chunks: Vec<(Duration, u32)>) -> Self {
        assert!(!chunks.is_empty(), "the writer never ran beside the reader: this needs two cores");
        chunks.sort_unstable();
        let (spent, writes) = chunks.iter().fold((0.0, 0.0), |(spent, writes), chunk| {
            (spent + chunk.0.as_secs_f64(), writes + f64::from(chunk.1))
        });
        let median = chunks[chunks.len() / 2].0;
        Self {
            nanoseconds: median.as_nanos() as f64 / f64::from(READS),
            rotations_per_second: writes / spent,
        }
    }
}

fn show(name: &str, pace: &str, measure: &Measure) {
    println!("{name}_{pace} {:.1} ns", measure.nanoseconds);
    println!("{name}_{pace}_rotations {:.0} 1/s", measure.rotations_per_second);
}

fn token(credential: &mut Credential) -> Option<u8> {
    let token = credential.current()?.token()?;
    token.expose().bytes().next()
}

fn grant() -> Arc<Grant> {
    let fields = Fields::from_iter([(Grant::TOKEN, Secret::new(TOKEN))]);
    Arc::new(Grant { fields, lease: Lease::STATIC, version: None, refresh_in: None })
}

//! Waiting for an event of another process: ask, pause a little, ask again, and give up at a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to start, on the slowest machine that runs the tests.
pub(crate) const START: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer; none once `limit` has passed.
pub fn wait_for<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begin.elapsed() > limit {
            return answer;
        }
        thread::sleep(PAUSE);
    }
}

//! How soon a token is dead once its command has ended: alone in its program, so that no other test takes the time.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test harness starts programs and looks at the clock, and a failure is a failed test"
)]

mod stage;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stage::{PASSWORD, Stage};

/// Goes on until it may finish, and writes down when it does.
const SCRIPT: &str = "touch started; until [ -e finish ]; do sleep 0.02; done; date +%s%N >ended";

#[test]
fn a_token_is_dead_within_a_second_of_the_childs_end() {
    let stage = Stage::new();
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let home = stage.home();
        let mut run = home.run_started(&["--env", PASSWORD], SCRIPT);
        let accessor = home.accessor();
        assert!(stage.server.is_alive(&accessor));
        home.touch("finish");
        assert_eq!(run.wait(), 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(!stage.server.is_alive(&accessor));
        let ended: u64 = home.read("ended").trim().parse().unwrap();
        longest = longest.max(now.saturating_sub(Duration::from_nanos(ended)));
    }
    println!("at most {longest:?} from the child's end to that of leasehold, the token dead by then");
    assert!(longest < Duration::from_secs(1));
}

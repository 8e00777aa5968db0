//! Whether the server is there at all, for those who wait for something else of it.

use std::pin::pin;
use std::time::Duration;

use leasehold_core::{Failure, Kind};
use tokio::time::timeout;

use crate::client::VaultClient;

/// The server may be silent for so many of these times. They are counted one by one, so that silence counts only while
/// we listen, and not while this process stands still.
const BEAT: Duration = Duration::from_millis(100);
const BEATS: u32 = 9;

/// Asks the server for a sign of life, which is its answer to this or to anything else that is asked meanwhile.
///
/// # Errors
///
/// `Unreachable`, and only that: a server that refuses to tell how it is, is there.
pub(super) async fn probe(client: VaultClient) -> Result<(), Failure> {
    let before = client.answers();
    let mut asked = pin!(client.health_check());
    for _ in 0..BEATS {
        match timeout(BEAT, &mut asked).await {
            Ok(Err(failure)) if failure.kind() == Kind::Unreachable => return Err(failure),
            Ok(_) => return Ok(()),
            Err(_) if client.answers() > before => return Ok(()),
            Err(_) => {}
        }
    }
    Err(Failure::new(Kind::Unreachable, format!("no answer from {}", client.address())))
}

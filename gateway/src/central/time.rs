//! Keeps the central system's clock known while its line works, so that a wall clock that goes wrong is noticed.

use super::client::CentralClient;
use crate::clock::Clock;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How old what was heard may become. The machine's own clock, by which it is carried on, drifts less than a second in this time.
const HEARD_FOR: Duration = Duration::from_secs(60 * 60);
/// Between looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Asks again before what was heard is too old, for as long as it is not aborted. The first time is the courier's: it asks whether its
/// destination is there.
pub fn keep_time(client: CentralClient, clock: Clock) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let old = clock.central().is_some_and(|heard| clock.mono().since(heard.heard) >= HEARD_FOR);
            if old && let Err(error) = client.ping().await {
                tracing::debug!(%error, "the central system did not say its time");
            }
        }
    })
}

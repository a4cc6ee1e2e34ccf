//! A line to the central system that changes its mind every few hundred milliseconds.

use crate::central::ModeSpec;
use crate::control::Central;
use anyhow::{Context, Result, anyhow};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::RangeInclusive;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long each mode lasts. Short beside a campaign, long beside a request.
const LASTS_MS: RangeInclusive<u64> = 100..=700;
/// Answers late enough that some patients are received provisionally.
const SLOW_MS: RangeInclusive<u64> = 50..=1_000;

/// A thread that changes the modes.
pub(super) struct UnsteadyLine {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<u64>>,
}

impl UnsteadyLine {
    /// Starts with the first mode at once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(central: Central, seed: u64) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut rng = StdRng::seed_from_u64(seed);
        let thread = std::thread::Builder::new().name("line".into()).spawn(move || {
            let mut changes = 0;
            loop {
                central.set_mode(&draw(&mut rng))?;
                changes += 1;
                let lasts = Duration::from_millis(rng.random_range(LASTS_MS));
                if stopped.recv_timeout(lasts) != Err(RecvTimeoutError::Timeout) {
                    central.set_mode(&ModeSpec::new("up"))?;
                    return Ok(changes);
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Leaves the line up; returns how often the mode changed.
    ///
    /// # Errors
    /// The simulator did not obey.
    pub(super) fn steady(self) -> Result<u64> {
        drop(self.stop);
        self.thread.join().map_err(|_| anyhow!("the thread that changes modes panicked"))?.context("changing modes")
    }
}

fn draw(rng: &mut StdRng) -> ModeSpec {
    match rng.random_range(0..10) {
        0..=4 => ModeSpec::new("up"),
        5 | 6 => ModeSpec::slow(rng.random_range(SLOW_MS)),
        7 | 8 => ModeSpec::new("drop_answer").times(rng.random_range(1..=4)),
        _ => ModeSpec::new("down"),
    }
}

//! When a failed child is started again, and when it is given up.

use crate::backoff::Backoff;
use crate::clock::Mono;
use std::time::Duration;

/// How patient a supervisor is with one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Delay between restarts.
    pub backoff: Backoff,
    /// Failures in a row that are tolerated; one more gives the child up.
    pub restarts_max: u32,
    /// A child that ran this long was healthy: its earlier failures no longer count.
    pub healthy_after: Duration,
}

/// What the supervisor does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after this long.
    RestartAfter(Duration),
    /// Stop trying until a person asks for it.
    GiveUp,
}

/// The record of one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restarts {
    policy: Policy,
    failures: u32,
    started: Mono,
}

impl Restarts {
    /// A child that starts now for the first time.
    pub fn new(policy: Policy, now: Mono) -> Self {
        Self { policy, failures: 0, started: now }
    }

    /// The child was started (again).
    pub fn started(&mut self, now: Mono) {
        self.started = now;
    }

    /// The child failed. `jitter` in 0..=1.
    pub fn failed(&mut self, now: Mono, jitter: f64) -> Decision {
        if now.since(self.started) >= self.policy.healthy_after {
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures > self.policy.restarts_max {
            return Decision::GiveUp;
        }
        Decision::RestartAfter(self.policy.backoff.delay(self.failures, jitter))
    }

    /// A person asked to try again: a clean slate.
    pub fn forgive(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        backoff: Backoff { first: Duration::from_millis(200), most: Duration::from_secs(30) },
        restarts_max: 3,
        healthy_after: Duration::from_secs(60),
    };

    #[test]
    fn a_child_that_fails_again_and_again_is_given_up_after_the_last_tolerated_restart() {
        let mut restarts = Restarts::new(POLICY, Mono(0));
        let decisions: Vec<_> = (1..=4).map(|n| restarts.failed(Mono(n * 1000), 1.0)).collect();
        assert_eq!(
            decisions,
            [
                Decision::RestartAfter(Duration::from_millis(200)),
                Decision::RestartAfter(Duration::from_millis(400)),
                Decision::RestartAfter(Duration::from_millis(800)),
                Decision::GiveUp
            ]
        );
    }

    #[test]
    fn a_healthy_run_clears_the_count() {
        let mut restarts = Restarts::new(POLICY, Mono(0));
        for n in 1..=3 {
            restarts.failed(Mono(n), 0.0);
        }
        restarts.started(Mono(10));
        assert_eq!(restarts.failed(Mono(60_010), 1.0), Decision::RestartAfter(Duration::from_millis(200)));
    }

    #[test]
    fn a_person_who_asks_for_it_gets_a_clean_slate() {
        let mut restarts = Restarts::new(POLICY, Mono(0));
        while restarts.failed(Mono(1), 0.0) != Decision::GiveUp {}
        restarts.forgive();
        assert!(matches!(restarts.failed(Mono(2), 0.0), Decision::RestartAfter(_)));
    }
}

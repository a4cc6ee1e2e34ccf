//! Exponential back-off with jitter, as arithmetic.

use std::time::Duration;

/// Doubles from `first` to `most`; the caller supplies the randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure, before jitter.
    pub first: Duration,
    /// Delay that is never exceeded, jitter included.
    pub most: Duration,
}

impl Backoff {
    /// Delay before try `failures + 1`. `jitter` in 0..=1 spreads it over the upper half, so that peers that failed together do
    /// not come back together; a value outside counts as the nearest bound.
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let full = self.first.saturating_mul(2u32.saturating_pow((failures - 1).min(20))).min(self.most);
        let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
        full.mul_f64(0.5 + jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) };

    #[test]
    fn the_first_try_waits_for_nothing() {
        assert_eq!(BACKOFF.delay(0, 1.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_delay_lies_between_half_and_all_of_its_step(failures in 1u32..100, jitter in proptest::num::f64::ANY) {
            let full = Duration::from_millis(100 * 2u64.pow(failures.min(8) - 1)).min(BACKOFF.most);
            let delay = BACKOFF.delay(failures, jitter);
            prop_assert!(delay >= full / 2 && delay <= BACKOFF.most);
        }
    }
}

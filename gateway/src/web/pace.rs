//! How fast a peer may send.

use std::time::{Duration, Instant};

/// Messages at once: a kiosk that reconnects, a patient who presses in anger.
const BURST: f64 = 120.0;

/// Messages per second in the long run. The camera is the fastest sender: 30 frames per second, each asked for.
const PER_SECOND: f64 = 60.0;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Pace {
    tokens: f64,
    last: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: BURST, last: now }
    }

    /// Counts one message; `false` when the peer sends too fast.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.last);
        self.last = now;
        self.tokens = (self.tokens + passed.as_secs_f64() * PER_SECOND).min(BURST);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_never_too_fast_and_a_flood_always_is() {
        let start = Instant::now();
        let mut camera = Pace::new(start);
        assert!((0..3000).all(|frame| camera.allows(start + Duration::from_millis(frame * 33))));
        let mut flood = Pace::new(start);
        let allowed = (0..10_000).filter(|_| flood.allows(start)).count();
        assert_eq!(allowed, BURST as usize);
    }
}

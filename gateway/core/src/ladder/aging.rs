//! Ages that outlive a boot.
//!
//! The monotonic clock is right but begins anew with each boot; the wall clock goes on but jumps. An [`Aging`] adds up what the
//! monotonic clock counts, whatever the wall clock does meanwhile, and takes from the wall clock only what no other clock can
//! know: how long the machine was off. For that it needs a synchronised reading on either side, and believes it only as far
//! as a machine is plausibly off. So an age never shrinks, and an error makes it too small rather than too large: a case
//! that lives a little longer does no harm.

use crate::clock::{Mono, Now};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time off that is believed; a longer one counts for nothing. Covers the longest holidays of a site.
pub const OFF_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long something has existed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aging {
    age_ms: u64,
    boot: u64,
    mono_ms: u64,
    /// What a right wall clock would show by now if no time had been lost since it was last synchronised.
    reckoned_wall_ms: Option<i64>,
    /// A boot has ended since then; what was lost is not added yet.
    off: bool,
}

impl Aging {
    /// Something that begins now.
    pub fn start(now: Now) -> Self {
        let reckoned_wall_ms = now.stamp.synchronised.then_some(now.stamp.wall_ms);
        Self { age_ms: 0, boot: now.boot, mono_ms: now.mono.0, reckoned_wall_ms, off: false }
    }

    /// The age when it was last told the time.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.age_ms)
    }

    /// The boot in which it was last told the time.
    pub(super) fn boot(&self) -> u64 {
        self.boot
    }

    /// Lets time pass until `now`. A reading older than the last one of this boot changes nothing.
    pub fn observe(&mut self, now: Now) {
        if now.boot == self.boot {
            let passed = now.mono.since(Mono(self.mono_ms));
            self.grow(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
            self.mono_ms = self.mono_ms.max(now.mono.0);
        } else {
            self.boot = now.boot;
            self.mono_ms = now.mono.0;
            self.off = true;
        }
        // After a start it takes a while until the clock is synchronised: what was lost is added then.
        if now.stamp.synchronised {
            if let Some(reckoned) = self.reckoned_wall_ms
                && self.off
            {
                let lost = u64::try_from(now.stamp.wall_ms.saturating_sub(reckoned)).unwrap_or(0);
                if u128::from(lost) <= OFF_MAX.as_millis() {
                    self.grow(lost);
                }
            }
            self.reckoned_wall_ms = Some(now.stamp.wall_ms);
            self.off = false;
        }
    }

    fn grow(&mut self, by_ms: u64) {
        self.age_ms = self.age_ms.saturating_add(by_ms);
        let by_ms = i64::try_from(by_ms).unwrap_or(i64::MAX);
        self.reckoned_wall_ms = self.reckoned_wall_ms.map(|wall| wall.saturating_add(by_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR as i64;

    fn now(boot: u64, mono: u64, wall_ms: i64, synchronised: bool) -> Now {
        Now { boot, mono: Mono(mono), stamp: Stamp { wall_ms, synchronised } }
    }

    fn hours(aging: &Aging) -> u64 {
        aging.age().as_secs() / 3600
    }

    #[test]
    fn the_time_a_machine_was_off_counts_once_its_clock_is_synchronised() {
        let mut aging = Aging::start(now(1, 0, 0, true));
        aging.observe(now(1, HOUR, HOUR as i64, true));
        aging.observe(now(2, 10, 0, false));
        assert_eq!(hours(&aging), 1, "an unsynchronised clock says nothing");
        aging.observe(now(2, 10 + HOUR, 12 * HOUR as i64, true));
        assert_eq!(hours(&aging), 12, "an hour on, ten off, an hour on");
        aging.observe(now(2, 10 + HOUR, 12 * HOUR as i64, true));
        assert_eq!(hours(&aging), 12, "counted once");
    }

    #[test]
    fn without_a_synchronised_reading_on_both_sides_time_off_counts_for_nothing() {
        let mut aging = Aging::start(now(1, 0, 0, false));
        aging.observe(now(2, 0, 9 * HOUR as i64, true));
        assert_eq!(aging.age(), Duration::ZERO);
    }

    #[test]
    fn a_wall_clock_that_jumps_with_a_restart_adds_nothing() {
        for jump in [-YEAR, -1_000, YEAR] {
            let mut aging = Aging::start(now(1, 0, 0, true));
            aging.observe(now(2, 0, jump, true));
            assert_eq!(aging.age(), Duration::ZERO, "{jump}");
        }
    }

    proptest! {
        #[test]
        fn within_a_boot_an_age_is_what_the_monotonic_clock_counted(
            readings in proptest::collection::vec((0..10 * HOUR, -YEAR..YEAR, any::<bool>()), 1..40)
        ) {
            let mut aging = Aging::start(now(7, 500, 0, true));
            let mut latest = 500;
            for (mono, wall, synchronised) in readings {
                aging.observe(now(7, mono, wall, synchronised));
                latest = latest.max(mono);
                prop_assert_eq!(aging.age(), Duration::from_millis(latest - 500));
            }
        }

        #[test]
        fn whatever_clocks_do_an_age_never_shrinks_and_a_restart_adds_a_bounded_time(
            readings in proptest::collection::vec((0u64..4, 0..10 * HOUR, -YEAR..YEAR, any::<bool>()), 1..60)
        ) {
            let mut aging = Aging::start(now(0, 0, 0, true));
            let (mut boot, mut mono, mut allowed, mut restarts) = (0, 0, 0u128, 0u128);
            for (restart, step, wall, synchronised) in readings {
                if restart == 0 {
                    (boot, mono, restarts) = (boot + 1, 0, restarts + 1);
                } else {
                    mono += step;
                    allowed += u128::from(step);
                }
                let before = aging.age();
                aging.observe(now(boot, mono, wall, synchronised));
                prop_assert!(aging.age() >= before);
                prop_assert!(aging.age().as_millis() <= allowed + restarts * OFF_MAX.as_millis());
            }
        }

        #[test]
        fn with_a_right_clock_an_age_is_right_across_restarts(
            readings in proptest::collection::vec((any::<bool>(), 0..10 * HOUR), 1..40)
        ) {
            let mut aging = Aging::start(now(0, 0, 0, true));
            let (mut boot, mut mono, mut wall) = (0, 0, 0u64);
            for (restart, passed) in readings {
                wall += passed;
                if restart { (boot, mono) = (boot + 1, 0) } else { mono += passed }
                aging.observe(now(boot, mono, wall as i64, true));
            }
            prop_assert_eq!(aging.age(), Duration::from_millis(wall));
        }
    }
}

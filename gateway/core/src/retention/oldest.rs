//! How long the oldest row has waited, at least.

use super::{Deletion, Doubt, VouchedBy};
use crate::clock::{EARLIEST_MS, Mono, Now};
use std::time::Duration;

/// The oldest row that waits, as it was first seen. Its age then grows with the monotonic clock: a jump of the wall clock does not change it.
///
/// The wall clock gives an age only when the central system or a person vouches for it. Otherwise the age starts at 0, for rows wait
/// exactly when the central system cannot be heard, and a wrong clock at a start would make them any number of days old. So the age is a
/// lower bound; it becomes exact as soon as somebody vouches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oldest(Option<Seen>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    created_ms: i64,
    age: Duration,
    at: Mono,
    known: Known,
}

/// How much was known of the present when the row was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// Only what this machine's wall clock says.
    Nothing,
    /// A person has confirmed the date.
    Date,
    /// The central system's clock.
    Time,
}

impl Oldest {
    /// The age of the row that was created at `created_ms` by the wall clock of that time; 0 when no row waits.
    pub fn age(&mut self, created_ms: Option<i64>, now: Now, deletion: Deletion) -> Duration {
        let Some(created_ms) = created_ms else {
            self.0 = None;
            return Duration::ZERO;
        };
        let (present_ms, known) = present(now, deletion);
        let former = self.0.filter(|seen| seen.created_ms == created_ms);
        let seen = match former {
            Some(seen) if seen.known >= known => seen,
            _ => {
                // Without a wall clock only what was really waited since the first sight was counted.
                let observed = former.filter(|seen| seen.known == Known::Nothing).map(|seen| now.mono.since(seen.at));
                let age = claimed(created_ms, present_ms).max(observed.unwrap_or_default());
                Seen { created_ms, age, at: now.mono, known }
            }
        };
        self.0 = Some(seen);
        seen.age + now.mono.since(seen.at)
    }
}

/// The present that somebody vouches for: the lower of the two clocks when they differ.
fn present(now: Now, deletion: Deletion) -> (Option<i64>, Known) {
    use VouchedBy::{CentralSystem, Person};
    match deletion {
        Deletion::GoesOn { now_ms, by: CentralSystem } => (Some(now_ms), Known::Time),
        Deletion::GoesOn { now_ms, by: Person } => (Some(now_ms), Known::Date),
        Deletion::Waits(Doubt::Disagrees { ahead_ms }) => {
            (Some(now.stamp.wall_ms.saturating_sub(ahead_ms.max(0))), Known::Time)
        }
        Deletion::Waits(Doubt::NotHeard) => (None, Known::Nothing),
    }
}

/// What the two dates say. A row that was dated by a clock that was not set has no age of its own.
fn claimed(created_ms: i64, present_ms: Option<i64>) -> Duration {
    let apart_ms =
        present_ms.filter(|_| created_ms >= EARLIEST_MS).map_or(0, |present| present.saturating_sub(created_ms));
    Duration::from_millis(u64::try_from(apart_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;

    const DAY: i64 = 24 * 60 * 60 * 1000;
    const TODAY: i64 = EARLIEST_MS + 500 * DAY;
    const NOT_HEARD: Deletion = Deletion::Waits(Doubt::NotHeard);

    /// Seconds after the start, with a wall clock that is ahead of the true time by so many days.
    fn now(seconds: u64, ahead_days: i64) -> Now {
        let wall_ms = TODAY + i64::try_from(seconds).unwrap() * 1000 + ahead_days * DAY;
        Now { boot: 1, mono: Mono(seconds * 1000), stamp: Stamp { wall_ms, synchronised: true } }
    }

    fn agrees(now: Now, by: VouchedBy) -> Deletion {
        Deletion::GoesOn { now_ms: now.stamp.wall_ms, by }
    }

    fn ahead(days: i64) -> Deletion {
        Deletion::Waits(Doubt::Disagrees { ahead_ms: days * DAY })
    }

    #[test]
    fn a_start_with_a_wrong_clock_and_without_the_central_system_makes_no_row_older_than_the_start() {
        for ahead_days in [401, -3653, 1, 0] {
            let mut oldest = Oldest::default();
            let row = Some(TODAY - 60_000);
            assert_eq!(oldest.age(row, now(0, ahead_days), NOT_HEARD), Duration::ZERO, "{ahead_days}");
            // The wall clock is corrected, or jumps the other way.
            assert_eq!(oldest.age(row, now(10, 0), NOT_HEARD), Duration::from_secs(10));
            assert_eq!(oldest.age(row, now(20, -ahead_days), NOT_HEARD), Duration::from_secs(20));
        }
    }

    #[test]
    fn the_age_is_exact_from_the_moment_that_somebody_vouches_and_no_later_doubt_takes_it_back() {
        let row = Some(TODAY - 2 * DAY);
        let days = |days: u64, seconds| Duration::from_secs(days * 24 * 60 * 60 + seconds);
        for (vouches, said) in [
            (agrees(now(20, 0), VouchedBy::CentralSystem), days(2, 20)),
            (agrees(now(20, 0), VouchedBy::Person), days(2, 20)),
        ] {
            let mut oldest = Oldest::default();
            assert_eq!(oldest.age(row, now(0, 0), NOT_HEARD), Duration::ZERO);
            assert_eq!(oldest.age(row, now(20, 0), vouches), said);
            for doubt in [NOT_HEARD, vouches] {
                assert_eq!(oldest.age(row, now(30, 401), doubt), said + Duration::from_secs(10));
            }
        }
        let mut oldest = Oldest::default();
        assert_eq!(oldest.age(row, now(20, 401), ahead(401)), days(2, 20), "by the central system's clock");
        assert_eq!(oldest.age(row, now(30, 0), ahead(-401)), days(2, 30), "which may itself be wrong later");
    }

    #[test]
    fn a_row_that_was_dated_by_a_clock_that_was_wrong_is_not_older_than_its_first_sight() {
        for created_ms in [0, EARLIEST_MS - 1, TODAY + 401 * DAY, i64::MIN, i64::MAX] {
            let mut oldest = Oldest::default();
            let there = agrees(now(0, 0), VouchedBy::CentralSystem);
            assert_eq!(oldest.age(Some(created_ms), now(0, 0), there), Duration::ZERO, "{created_ms}");
            assert_eq!(oldest.age(Some(created_ms), now(7, 0), there), Duration::from_secs(7));
            let mut oldest = Oldest::default();
            oldest.age(Some(created_ms), now(0, 0), NOT_HEARD);
            assert_eq!(oldest.age(Some(created_ms), now(7, 0), there), Duration::from_secs(7), "{created_ms}");
        }
    }

    #[test]
    fn another_row_has_an_age_of_its_own_and_no_row_has_none() {
        let mut oldest = Oldest::default();
        let agrees = |seconds| agrees(now(seconds, 0), VouchedBy::CentralSystem);
        assert_eq!(oldest.age(Some(TODAY - 60_000), now(0, 0), agrees(0)), Duration::from_secs(60));
        assert_eq!(oldest.age(Some(TODAY - 5_000), now(1, 0), agrees(1)), Duration::from_secs(6));
        assert_eq!(oldest.age(None, now(2, 0), agrees(2)), Duration::ZERO);
    }
}

//! Wall-clock times as people in Japan read them: UTC+9, no daylight saving.

use time::OffsetDateTime;

const OFFSET_MS: i64 = 9 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// `08:05` for milliseconds since 1970 UTC.
pub(super) fn time_of_day(wall_ms: i64) -> String {
    let minutes = wall_ms.saturating_add(OFFSET_MS).rem_euclid(DAY_MS) / 60_000;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `08:05` today and `6/1 08:05` on any other day, so that what stayed overnight is told apart.
pub(super) fn moment(wall_ms: i64, now_ms: i64) -> String {
    let time = time_of_day(wall_ms);
    if midnight_before(wall_ms) == midnight_before(now_ms) {
        return time;
    }
    // A clock beyond the calendar has no date; its time of day must do.
    match OffsetDateTime::from_unix_timestamp(wall_ms.saturating_add(OFFSET_MS).div_euclid(1000)) {
        Ok(in_japan) => format!("{}/{} {time}", u8::from(in_japan.month()), in_japan.day()),
        Err(_) => time,
    }
}

/// The last midnight in Japan, in milliseconds since 1970 UTC.
pub(super) fn midnight_before(wall_ms: i64) -> i64 {
    wall_ms.saturating_sub(wall_ms.saturating_add(OFFSET_MS).rem_euclid(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_begins_at_fifteen_hundred_utc() {
        // 2026-06-01T15:00:00Z is 2026-06-02T00:00:00+09:00.
        let midnight = 1_780_326_000_000;
        assert_eq!(time_of_day(midnight), "00:00");
        assert_eq!(time_of_day(midnight - 1), "23:59");
        assert_eq!(midnight_before(midnight), midnight);
        assert_eq!(midnight_before(midnight + 1), midnight);
        assert_eq!(midnight_before(midnight - 1), midnight - DAY_MS);
    }

    #[test]
    fn another_day_is_told_by_its_date() {
        let midnight = 1_780_326_000_000;
        assert_eq!(moment(midnight, midnight + DAY_MS - 1), "00:00");
        assert_eq!(moment(midnight - 1, midnight), "6/1 23:59");
        assert_eq!(moment(midnight + DAY_MS, midnight), "6/3 00:00");
    }

    #[test]
    fn no_clock_is_so_wrong_that_this_panics() {
        for wall_ms in [i64::MIN, -1, 0, i64::MAX] {
            time_of_day(wall_ms);
            midnight_before(wall_ms);
            moment(wall_ms, 0);
        }
    }
}

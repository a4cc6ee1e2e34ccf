//! Calendar days: the unit in which rules begin and end, and in which documents run out.
//!
//! A [`Date`] is a day of the Gregorian calendar from 0001-01-01 to 9999-12-31, as it is called in Japan. Arithmetic stops at those
//! ends rather than failing: "9999-12-31" stands for "never" (RFC 5280, 4.1.2.5), and a clock beyond the calendar is wrong anyway.

mod era;

pub(crate) use era::{Written, half_width};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use thiserror::Error;

/// Japan is nine hours ahead of UTC and has no daylight saving time.
const JAPAN_AHEAD_MS: i64 = 9 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A day. Ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A text or three numbers that are no day. Says nothing of what they were: it may have been somebody's birth date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotADate {
    /// Not of the form that was asked for.
    #[error("not a date of the form YYYY-MM-DD or YYYYMMDD")]
    Form,
    /// Of the right form, but the calendar has no such day.
    #[error("the calendar has no such day")]
    NoSuchDay,
    /// The era had no such day: it had not begun, or was over.
    #[error("the era has no such day")]
    OutsideEra,
}

impl Date {
    /// The first day that can be named.
    pub const MIN: Self = Self { year: 1, month: 1, day: 1 };
    /// The last day that can be named; in certificates it stands for "never".
    pub const MAX: Self = Self { year: 9999, month: 12, day: 31 };

    /// The day of this name, if the calendar has it.
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        if year == 0 || year > 9999 || month == 0 || month > 12 || day == 0 || day > length(year, month) {
            return None;
        }
        Some(Self { year, month, day })
    }

    /// Reads `YYYY-MM-DD` or `YYYYMMDD`, ASCII digits alone.
    ///
    /// # Errors
    /// [`NotADate::Form`] for any other form, [`NotADate::NoSuchDay`] for the 30th of February.
    pub fn parse(text: &str) -> Result<Self, NotADate> {
        let digits = match *text.as_bytes() {
            [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] | [y1, y2, y3, y4, m1, m2, d1, d2] => {
                [y1, y2, y3, y4, m1, m2, d1, d2]
            }
            _ => return Err(NotADate::Form),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(NotADate::Form);
        }
        let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        // Two digits fit a byte.
        Self::new(number(&digits[..4]), number(&digits[4..6]) as u8, number(&digits[6..]) as u8)
            .ok_or(NotADate::NoSuchDay)
    }

    /// The day in Japan at `wall_ms` milliseconds since 1970 UTC; the nearest end of the calendar for a clock beyond it.
    pub fn of_stamp_jst(wall_ms: i64) -> Self {
        Self::of_days(wall_ms.saturating_add(JAPAN_AHEAD_MS).div_euclid(DAY_MS))
    }

    /// The midnight in Japan with which this day begins, in milliseconds since 1970 UTC.
    pub fn begins_ms_jst(self) -> i64 {
        self.days() * DAY_MS - JAPAN_AHEAD_MS
    }

    /// The year, 1 to 9999.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub const fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01; negative before it.
    pub const fn days(self) -> i64 {
        // March is counted as the first month, so that the leap day is the last day of its year.
        let month = (self.month as i64 + 9) % 12;
        let year = self.year as i64 - (month >= 10) as i64;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        // (153 m + 2) / 5 are the days of the m months since March: 31 30 31 30 31, twice, and what is left.
        year * 365 + leap_days + (153 * month + 2) / 5 + self.day as i64 - 1 - DAYS_TO_1970
    }

    /// The day so many days after 1970-01-01, within the calendar.
    pub fn of_days(days: i64) -> Self {
        if days <= Self::MIN.days() {
            return Self::MIN;
        }
        if days >= Self::MAX.days() {
            return Self::MAX;
        }
        // A year from the mean length is right or one too early; the day of that year tells.
        let mut year = ((days + DAYS_TO_1970) * 400 / 146_097).clamp(1, 9999) as u16;
        while year < 9999 && first_of(year + 1).days() <= days {
            year += 1;
        }
        while first_of(year).days() > days {
            year -= 1;
        }
        let mut month = 1;
        let mut left = days - first_of(year).days();
        while left >= i64::from(length(year, month)) {
            left -= i64::from(length(year, month));
            month += 1;
        }
        // Less than the length of a month is left.
        Self { year, month, day: left as u8 + 1 }
    }

    /// This day moved by so many days, within the calendar.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        Self::of_days(self.days().saturating_add(days))
    }

    /// The same day of the month so many months away; the last day of that month where it has no such day. The certificates of
    /// cards are counted in the same way.
    #[must_use]
    pub fn plus_months(self, months: i32) -> Self {
        let months = i64::from(self.year) * 12 + i64::from(self.month) - 1 + i64::from(months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u8 + 1);
        match u16::try_from(year) {
            _ if year < 1 => Self::MIN,
            Ok(year) if year <= 9999 => Self { year, month, day: self.day.min(length(year, month)) },
            _ => Self::MAX,
        }
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus_days(1)
    }

    /// `YYYYMMDD`, as the central system writes days.
    pub fn compact(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

/// Days from the first of March of the year 0 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

const fn first_of(year: u16) -> Date {
    Date { year, month: 1, day: 1 }
}

/// Days in a month.
const fn length(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Date {
    type Err = NotADate;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

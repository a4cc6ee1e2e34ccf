//! Birth dates as registers hold them: some are known only in part.

use crate::date::{Date, Written};

/// A day of the calendar as far as it is known: registers hold birth dates whose month or day nobody knows (00).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CivilDate {
    year: u16,
    month: u8,
    day: u8,
}

impl std::fmt::Debug for CivilDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Mostly a birth date.
        f.write_str("CivilDate(…)")
    }
}

/// How two dates compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateMatch {
    /// Both are complete and the same.
    Equal,
    /// They contradict each other.
    Different,
    /// They do not contradict each other, but one of them is incomplete.
    Unknown,
}

impl CivilDate {
    /// Reads what [`Date::parse_written`] reads, and the same with 00 for a month or day that nobody knows; `None` for anything else, so
    /// that a date that is not understood decides nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let written = Written::read(text).ok()?;
        let Written { year, month, day, .. } = written;
        if month != 0 && day != 0 {
            written.date().ok()?;
        } else {
            // The first stands for what is unknown: January has every day of a month.
            Date::new(year, month.max(1), day.max(1))?;
        }
        // Nobody was born in 9999, which stands for "never" elsewhere.
        (1868..=9998).contains(&year).then_some(Self { year, month, day })
    }

    /// Compares two dates, of which either may be incomplete.
    pub fn matches(&self, other: &Self) -> DateMatch {
        let contradicts = |a: u16, b: u16| a != 0 && b != 0 && a != b;
        if contradicts(self.year, other.year)
            || contradicts(self.month.into(), other.month.into())
            || contradicts(self.day.into(), other.day.into())
        {
            DateMatch::Different
        } else if self == other && self.month != 0 && self.day != 0 {
            DateMatch::Equal
        } else {
            DateMatch::Unknown
        }
    }

    /// Whether month and day are known.
    pub fn is_complete(&self) -> bool {
        self.month != 0 && self.day != 0
    }

    /// `yyyyMMdd`, the form of the exchange files.
    pub fn compact(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_the_forms_that_people_and_machines_write() {
        let forms = [
            "19800105",
            "１９８００１０５",
            "1980-01-05",
            "1980/1/5",
            "1980年1月5日",
            "S55.1.5",
            "昭和55年1月5日",
            " 昭和５５年 1月 5日",
            "S550105",
        ];
        for form in forms {
            assert_eq!(CivilDate::parse(form).map(|date| date.compact()).as_deref(), Some("19800105"), "{form}");
        }
        assert_eq!(CivilDate::parse("令和元年5月1日").map(|date| date.compact()).as_deref(), Some("20190501"));
    }

    #[test]
    fn what_is_no_date_is_not_guessed_at() {
        for form in [
            "",
            "1980",
            "19801305",
            "19800230",
            "1980-1",
            "1980-1-5-1",
            "+980-1-5",
            "昭和64年1月8日",
            "99991231",
            "不明",
            "1-1-5",
        ] {
            assert!(CivilDate::parse(form).is_none(), "{form}");
        }
    }

    #[test]
    fn a_date_with_unknown_parts_contradicts_but_never_agrees() {
        let parse = |text| CivilDate::parse(text).unwrap();
        assert_eq!(parse("昭和55年0月0日").matches(&parse("19800105")), DateMatch::Unknown);
        assert_eq!(parse("19800000").matches(&parse("19810105")), DateMatch::Different);
        assert_eq!(parse("19800000").matches(&parse("19800105")), DateMatch::Unknown);
        assert_eq!(parse("19800000").matches(&parse("19800000")), DateMatch::Unknown);
        assert_eq!(parse("19800105").matches(&parse("19800105")), DateMatch::Equal);
    }
}

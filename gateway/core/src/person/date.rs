//! Dates of the calendar as people and machines write them.

use super::fold;

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

/// Year 0 of each era: the letter, the name, and the year before its first (元年).
const ERAS: [(char, &str, u16); 5] =
    [('m', "明治", 1867), ('t', "大正", 1911), ('s', "昭和", 1925), ('h', "平成", 1988), ('r', "令和", 2018)];

impl CivilDate {
    /// Reads `19800105`, `1980-1-5`, `1980/01/05`, `1980年1月5日`, `S55.1.5` and `昭和55年1月5日`, in full or half width;
    /// `None` for anything else, so that a date that is not understood decides nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let folded = fold::plain(text).iter().collect::<String>().to_lowercase();
        let (before, rest) = ERAS
            .iter()
            .find_map(|(letter, name, before)| {
                let rest = folded.strip_prefix(*name).or_else(|| folded.strip_prefix(*letter))?;
                Some((*before, rest.replacen('元', "1", 1)))
            })
            .unwrap_or((0, folded));
        let (year, month, day) = match digits(&rest) {
            Some(8) if before == 0 => (&rest[..4], &rest[4..6], &rest[6..]),
            Some(_) => return None,
            None => {
                let mut parts = rest.strip_suffix('日').unwrap_or(&rest).split(['-', '/', '.', '年', '月']);
                let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next());
                let (year, month, day, None) = parts else { return None };
                (year, month, day)
            }
        };
        let small = |part: &str| (digits(part)? <= 2).then(|| part.parse::<u8>().ok())?;
        digits(year).filter(|count| *count <= 4)?;
        let year = year.parse::<u16>().ok()?.checked_add(before)?;
        let date = Self { year, month: small(month)?, day: small(day)? };
        date.exists().then_some(date)
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

    fn exists(&self) -> bool {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let last = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (1868..=9998).contains(&self.year) && self.month <= 12 && self.day <= last
    }
}

/// How many digits, if it is nothing but digits.
fn digits(text: &str) -> Option<usize> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text.len())
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
        ];
        for form in forms {
            assert_eq!(CivilDate::parse(form).map(|date| date.compact()).as_deref(), Some("19800105"), "{form}");
        }
        assert_eq!(CivilDate::parse("令和元年5月1日").map(|date| date.compact()).as_deref(), Some("20190501"));
    }

    #[test]
    fn what_is_no_date_is_not_guessed_at() {
        for form in ["", "1980", "19801305", "19800230", "1980-1", "1980-1-5-1", "+980-1-5", "S550105", "不明", "1-1-5"]
        {
            assert!(CivilDate::parse(form).is_none(), "{form}");
        }
    }

    #[test]
    fn a_date_with_unknown_parts_contradicts_but_never_agrees() {
        let parse = |text| CivilDate::parse(text).unwrap();
        assert_eq!(parse("19800000").matches(&parse("19810105")), DateMatch::Different);
        assert_eq!(parse("19800000").matches(&parse("19800105")), DateMatch::Unknown);
        assert_eq!(parse("19800000").matches(&parse("19800000")), DateMatch::Unknown);
        assert_eq!(parse("19800105").matches(&parse("19800105")), DateMatch::Equal);
    }
}

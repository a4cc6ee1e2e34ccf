//! Days as people in Japan write them: by the name of the era and its year.

use super::{Date, NotADate};
use zeroize::Zeroizing;

/// An era: the ways to write it, and its days.
struct Era {
    names: &'static [&'static str],
    first: Option<Date>,
    last: Option<Date>,
}

/// Two eras share the day of the change until 1926; since then the new one begins on the day after. Japan took over this calendar
/// on 1873-01-01 (明治6年1月1日); nobody alive was born before.
const ERAS: [Era; 5] = [
    Era { names: &["明治", "M", "㍾"], first: Date::new(1873, 1, 1), last: Date::new(1912, 7, 30) },
    Era { names: &["大正", "T", "㍽"], first: Date::new(1912, 7, 30), last: Date::new(1926, 12, 25) },
    Era { names: &["昭和", "S", "㍼"], first: Date::new(1926, 12, 25), last: Date::new(1989, 1, 7) },
    Era { names: &["平成", "H", "㍻"], first: Date::new(1989, 1, 8), last: Date::new(2019, 4, 30) },
    Era { names: &["令和", "R", "㋿"], first: Date::new(2019, 5, 1), last: None },
];

/// The year that each era calls its first (元年). Meiji began before the calendar did.
const FIRST_YEARS: [u16; 5] = [1868, 1912, 1926, 1989, 2019];

impl Date {
    /// Reads a day as a person at a desk types it off a card: `1980-01-02`, `1980/1/2`, `1980年1月2日`, `19800102`, `S55.1.2`,
    /// `昭和55年1月2日`, `平成元年1月8日`, `H010108`; full-width letters and digits count as their half-width forms.
    ///
    /// # Errors
    /// [`NotADate`], by what is wrong.
    pub fn parse_written(text: &str) -> Result<Self, NotADate> {
        Written::read(text)?.date()
    }
}

/// Year, month and day as they were written, the year counted as in the western calendar. Month or day may be 0, as registers write
/// what nobody knows; whether the calendar has such a day has not been asked yet.
pub(crate) struct Written {
    era: Option<&'static Era>,
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
}

impl Written {
    /// Reads the forms of [`Date::parse_written`].
    pub(crate) fn read(text: &str) -> Result<Self, NotADate> {
        // It may be somebody's birth date.
        let text: Zeroizing<String> =
            Zeroizing::new(text.chars().map(half_width).filter(|c| !c.is_whitespace()).collect());
        let era = ERAS.iter().zip(FIRST_YEARS).find_map(|(era, first_year)| {
            let rest = era.names.iter().find_map(|name| strip_name(&text, name))?;
            Some((era, first_year, rest))
        });
        let Some((era, first_year, rest)) = era else {
            let [year, month, day] = numbers(&text, 4)?;
            return Ok(Self { era: None, year, month: small(month)?, day: small(day)? });
        };
        let [year, month, day] = numbers(&Zeroizing::new(rest.replacen('元', "1", 1)), 2)?;
        let year = year.checked_sub(1).and_then(|past| first_year.checked_add(past)).ok_or(NotADate::OutsideEra)?;
        Ok(Self { era: Some(era), year, month: small(month)?, day: small(day)? })
    }

    /// The day, if the calendar and the era have it.
    pub(crate) fn date(&self) -> Result<Date, NotADate> {
        let date = Date::new(self.year, self.month, self.day).ok_or(NotADate::NoSuchDay)?;
        let begun = self.era.and_then(|era| era.first).is_none_or(|first| first <= date);
        let over = self.era.and_then(|era| era.last).is_some_and(|last| last < date);
        if begun && !over { Ok(date) } else { Err(NotADate::OutsideEra) }
    }
}

/// The full-width form of an ASCII character counts as the character itself.
pub(crate) fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

fn strip_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.get(..name.len())?;
    head.eq_ignore_ascii_case(name).then(|| &text[name.len()..])
}

/// Year, month and day, apart from each other, or run together with `year_digits` for the year and two for each of the others.
fn numbers(text: &str, year_digits: usize) -> Result<[u16; 3], NotADate> {
    if text.len() == year_digits + 4 && text.bytes().all(|b| b.is_ascii_digit()) {
        let (year, rest) = text.split_at(year_digits);
        let (month, day) = rest.split_at(2);
        return all_numbers([year, month, day]);
    }
    let text = text.strip_suffix('日').unwrap_or(text);
    let parts: Vec<&str> = text.split(['-', '/', '.', '年', '月']).collect();
    let parts: [&str; 3] = parts.try_into().map_err(|_| NotADate::Form)?;
    // "80-1-2" may be 1980 or 昭和80: a year without era is written out.
    if year_digits == 4 && parts[0].len() != 4 {
        return Err(NotADate::Form);
    }
    all_numbers(parts)
}

fn all_numbers(parts: [&str; 3]) -> Result<[u16; 3], NotADate> {
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(parts) {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        *number = if digits { part.parse().map_err(|_| NotADate::Form)? } else { return Err(NotADate::Form) };
    }
    Ok(numbers)
}

fn small(number: u16) -> Result<u8, NotADate> {
    u8::try_from(number).map_err(|_| NotADate::NoSuchDay)
}

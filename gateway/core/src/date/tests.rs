use super::*;
use proptest::prelude::*;

fn date(text: &str) -> Date {
    Date::parse(text).unwrap()
}

fn any_date() -> impl Strategy<Value = Date> {
    (Date::MIN.days()..=Date::MAX.days()).prop_map(Date::of_days)
}

#[test]
fn known_days_have_their_known_numbers() {
    for (text, days) in [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("2000-02-29", 11_016),
        ("2000-03-01", 11_017),
        ("2024-12-02", 20_059),
        ("1900-03-01", -25_508),
    ] {
        assert_eq!(date(text).days(), days, "{text}");
        assert_eq!(Date::of_days(days), date(text), "{days}");
    }
}

#[test]
fn both_forms_are_read_and_nothing_else() {
    assert_eq!(date("20251201"), date("2025-12-01"));
    for form in ["", "2025-12-1", "2025/12/01", "2025-1201", "+0251201", "2025-12-01 ", "２０２５１２０１", "202512011"]
    {
        assert_eq!(Date::parse(form), Err(NotADate::Form), "{form:?}");
    }
    for no_day in ["2025-02-29", "1900-02-29", "2025-00-01", "2025-13-01", "2025-04-31", "2025-01-00", "0000-01-01"] {
        assert_eq!(Date::parse(no_day), Err(NotADate::NoSuchDay), "{no_day:?}");
    }
}

#[test]
fn the_day_in_japan_begins_at_fifteen_hundred_utc() {
    // 2026-06-01T15:00:00Z is 2026-06-02T00:00:00+09:00.
    let midnight = 1_780_326_000_000;
    assert_eq!(Date::of_stamp_jst(midnight), date("2026-06-02"));
    assert_eq!(Date::of_stamp_jst(midnight - 1), date("2026-06-01"));
    assert_eq!(date("2026-06-02").begins_ms_jst(), midnight);
}

#[test]
fn a_clock_beyond_the_calendar_has_the_last_day_on_its_side() {
    assert_eq!(Date::of_stamp_jst(i64::MAX), Date::MAX);
    assert_eq!(Date::of_stamp_jst(i64::MIN), Date::MIN);
    assert_eq!(Date::MAX.next(), Date::MAX);
    assert_eq!(Date::MIN.plus_days(-1), Date::MIN);
    assert_eq!(Date::MAX.plus_months(1), Date::MAX);
    assert_eq!(Date::MIN.plus_months(-1), Date::MIN);
    assert_eq!(Date::MAX.plus_months(i32::MAX), Date::MAX);
    assert_eq!(Date::MIN.plus_months(i32::MIN), Date::MIN);
}

#[test]
fn a_month_that_is_too_short_ends_on_its_last_day() {
    for (from, months, to) in [
        ("2025-11-30", 3, "2026-02-28"),
        ("2023-11-30", 3, "2024-02-29"),
        ("2026-05-31", -3, "2026-02-28"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-01-15", -1, "2025-12-15"),
        ("2024-02-29", 12, "2025-02-28"),
    ] {
        assert_eq!(date(from).plus_months(months), date(to), "{from} {months:+}");
    }
}

#[test]
fn days_are_read_as_people_write_them() {
    let second = date("1980-01-02");
    for text in [
        "1980-01-02",
        "1980-1-2",
        "1980/1/2",
        "1980.01.02",
        "1980年1月2日",
        "19800102",
        "S55.1.2",
        "s55/01/02",
        "S550102",
        "昭和55年1月2日",
        "昭和５５年１月２日",
        "Ｓ５５．１．２",
        " 昭和 55年 1月 2日 ",
        "㍼55.1.2",
    ] {
        assert_eq!(Date::parse_written(text), Ok(second), "{text}");
    }
    for (text, wanted) in [
        ("H元.1.8", "1989-01-08"),
        ("平成元年1月8日", "1989-01-08"),
        ("令和7年12月1日", "2025-12-01"),
        ("R1.5.1", "2019-05-01"),
        ("T15.12.25", "1926-12-25"),
        ("M45.7.30", "1912-07-30"),
    ] {
        assert_eq!(Date::parse_written(text), Ok(date(wanted)), "{text}");
    }
}

#[test]
fn an_era_ends_where_the_next_begins() {
    for (last, first) in [("S64.1.7", "H1.1.8"), ("H31.4.30", "R1.5.1")] {
        let (last, first) = (Date::parse_written(last).unwrap(), Date::parse_written(first).unwrap());
        assert_eq!(last.next(), first);
    }
    for (last, first) in [("M45.7.30", "T1.7.30"), ("T15.12.25", "S1.12.25")] {
        assert_eq!(Date::parse_written(last), Date::parse_written(first));
    }
    for outside in ["S64.1.8", "S0.1.1", "H1.1.7", "H31.5.1", "R1.4.30", "S1.12.24", "T1.7.29", "M5.12.31"] {
        assert_eq!(Date::parse_written(outside), Err(NotADate::OutsideEra), "{outside}");
    }
}

#[test]
fn what_is_no_date_is_told_by_its_kind() {
    for form in
        ["", "S", "昭和", "80-1-2", "S55.1", "S55.1.2.3", "1980-１-二", "X55.1.2", "S55..2", "1980-1-99999", "元.1.1"]
    {
        assert_eq!(Date::parse_written(form), Err(NotADate::Form), "{form:?}");
    }
    for no_day in ["S55.2.30", "1980-13-1", "1980-1-300", "S55.0.1"] {
        assert_eq!(Date::parse_written(no_day), Err(NotADate::NoSuchDay), "{no_day:?}");
    }
}

proptest! {
    #[test]
    fn the_days_follow_each_other_without_gap(days in Date::MIN.days()..Date::MAX.days()) {
        let (day, next) = (Date::of_days(days), Date::of_days(days + 1));
        prop_assert_eq!(day.days(), days);
        prop_assert!(day < next);
        let one_on = (next.year(), next.month(), next.day()) == (day.year(), day.month(), day.day() + 1);
        let new_month = next.day() == 1 && (next.month() == day.month() + 1 || (day.month() == 12 && next.month() == 1 && next.year() == day.year() + 1));
        prop_assert!(one_on || new_month, "{day} {next}");
        prop_assert!(Date::new(day.year(), day.month(), day.day()) == Some(day));
    }

    #[test]
    fn what_is_printed_is_read_back(day in any_date()) {
        prop_assert_eq!(Date::parse(&day.to_string()), Ok(day));
        prop_assert_eq!(Date::parse(&day.compact()), Ok(day));
        prop_assert_eq!(Date::parse_written(&day.to_string()), Ok(day));
    }

    #[test]
    fn a_day_lasts_from_its_midnight_to_the_next(day in any_date(), within in 0..DAY_MS) {
        prop_assert_eq!(Date::of_stamp_jst(day.begins_ms_jst() + within), day);
    }

    #[test]
    fn months_keep_the_day_or_end_the_month(day in any_date(), months in -1200i32..1200) {
        let moved = day.plus_months(months);
        prop_assume!(moved != Date::MIN && moved != Date::MAX);
        prop_assert!(moved.day() == day.day() || (moved.day() < day.day() && moved.next().day() == 1));
        let count = |day: Date| i32::from(day.year()) * 12 + i32::from(day.month());
        prop_assert_eq!(count(moved) - count(day), months);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,16}") {
        let _ = Date::parse(&text);
        let _ = Date::parse_written(&text);
    }
}

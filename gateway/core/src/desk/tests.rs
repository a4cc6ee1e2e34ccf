use super::*;
use crate::explain::Lang;
use crate::rules::Rules;
use proptest::prelude::*;

fn on(day: &str) -> Today {
    Today { date: Date::parse(day).unwrap(), trusted: true }
}

fn good() -> Fields<'static> {
    Fields {
        insurer_number: "01130012",
        symbol: "12345678",
        number: "1234567",
        branch: "01",
        birthdate: "S55.1.2",
        valid_until: "",
    }
}

fn parse(kind: EntryKind, fields: &Fields<'_>) -> Result<DocumentEntry, Vec<FieldProblem>> {
    DocumentEntry::parse(kind, fields, on("2026-01-15"))
}

fn problems(fields: &Fields<'_>) -> Vec<Field> {
    let problems = parse(EntryKind::EligibilityCertificate, fields).unwrap_err();
    problems.iter().map(|problem| problem.field).collect()
}

fn warned(kind: EntryKind, fields: &Fields<'_>) -> Vec<Field> {
    parse(kind, fields).unwrap().warnings.iter().map(|warning| warning.field).collect()
}

fn decided(kind: EntryKind, fields: &Fields<'_>, today: Today) -> (&'static str, &'static str) {
    match decide(&parse(kind, fields).unwrap(), &Rules::on(today), today) {
        DeskDecision::Receive { rule, .. } => ("receive", rule.id),
        DeskDecision::ReceiveProvisionally { rule, .. } => ("provisionally", rule.id),
        DeskDecision::ReceiveOtherwise { rule, .. } => ("otherwise", rule.id),
    }
}

#[test]
fn a_document_is_read_with_its_digits_in_one_form() {
    let typed = Fields {
        insurer_number: "０１１３００１２",
        symbol: " 記号－１２ ",
        number: "１２３４",
        branch: "０１",
        birthdate: "昭和５５年１月２日",
        valid_until: "令和8年7月31日",
    };
    let entry = parse(EntryKind::EligibilityCertificate, &typed).unwrap();
    assert_eq!(entry.insurer_number.reveal(), "01130012");
    assert_eq!(entry.symbol.as_ref().map(Personal::reveal), Some("記号-12"));
    assert_eq!(entry.number.reveal(), "1234");
    assert_eq!(entry.branch.as_ref().map(Personal::reveal), Some("01"));
    assert_eq!(entry.birthdate.reveal(), "19800102");
    assert_eq!(entry.valid_until, Date::new(2026, 7, 31));
    assert_eq!(entry.warnings, []);
}

#[test]
fn symbol_branch_and_last_day_may_be_missing() {
    let entry = parse(EntryKind::EarlierCard, &Fields { symbol: "", branch: " ", ..good() }).unwrap();
    assert_eq!((entry.symbol, entry.branch, entry.valid_until), (None, None, None));
}

#[test]
fn every_problem_is_told_at_once_in_the_order_of_the_form() {
    let wrong = Fields {
        insurer_number: "12345",
        number: "",
        branch: "1",
        birthdate: "S64.1.8",
        valid_until: "soon",
        symbol: "",
    };
    assert_eq!(
        problems(&wrong),
        [Field::InsurerNumber, Field::Number, Field::Branch, Field::Birthdate, Field::ValidUntil]
    );
    for (fields, field) in [
        (Fields { insurer_number: "0113001x", ..good() }, Field::InsurerNumber),
        (Fields { insurer_number: "", ..good() }, Field::InsurerNumber),
        (Fields { insurer_number: "1234567", ..good() }, Field::InsurerNumber),
        (Fields { number: "12\u{7}34", ..good() }, Field::Number),
        (Fields { symbol: &"あ".repeat(201), ..good() }, Field::Symbol),
        (Fields { branch: "001", ..good() }, Field::Branch),
        (Fields { birthdate: "", ..good() }, Field::Birthdate),
        (Fields { birthdate: "2026-01-16", ..good() }, Field::Birthdate),
        (Fields { birthdate: "80-1-2", ..good() }, Field::Birthdate),
        (Fields { birthdate: "19800231", ..good() }, Field::Birthdate),
    ] {
        assert_eq!(problems(&fields), [field]);
    }
}

#[test]
fn a_problem_says_what_is_wrong_and_what_to_do_in_both_languages() {
    let wrong = Fields { insurer_number: "x", ..Fields::default() };
    for problem in parse(EntryKind::EarlierCard, &wrong).unwrap_err() {
        for lang in [Lang::Ja, Lang::En] {
            for words in [problem.field.label(), problem.what, problem.fix] {
                assert!(!words.pick(lang).is_empty(), "{problem:?}");
            }
        }
    }
}

#[test]
fn nobody_is_born_tomorrow_unless_the_clock_is_wrong() {
    let typed = Fields { birthdate: "2026-01-16", ..good() };
    let doubtful = Today { trusted: false, ..on("2026-01-15") };
    assert!(DocumentEntry::parse(EntryKind::EarlierCard, &typed, on("2026-01-16")).is_ok());
    assert!(DocumentEntry::parse(EntryKind::EarlierCard, &typed, doubtful).is_ok());
}

#[test]
fn published_insurer_numbers_have_the_check_digit_that_is_computed() {
    // The health insurance association's Tokyo branch, Chiyoda city, the elderly's insurance in Chiyoda.
    for number in ["01130012", "138016", "39131016"] {
        assert!(check_digit_fits(number), "{number}");
    }
}

#[test]
fn a_check_digit_that_does_not_fit_is_pointed_out_and_does_not_stop_anything() {
    for number in ["01130013", "138017", "10130012"] {
        let typed = Fields { insurer_number: number, ..good() };
        assert_eq!(warned(EntryKind::EligibilityCertificate, &typed), [Field::InsurerNumber], "{number}");
    }
}

#[test]
fn the_elderlys_insurance_is_known_by_its_number() {
    let elderly = Fields { insurer_number: "39131016", symbol: "", ..good() };
    assert_eq!(warned(EntryKind::EarlierCardElderly, &elderly), []);
    assert_eq!(warned(EntryKind::EarlierCardElderly, &Fields { symbol: "1", ..elderly }), [Field::Symbol]);
    assert_eq!(warned(EntryKind::EarlierCardElderly, &good()), [Field::InsurerNumber]);
    // The earlier card of the elderly's insurance ended earlier, whatever staff chose.
    let day = on("2025-08-01");
    assert_eq!(decided(EntryKind::EarlierCard, &elderly, day).1, "earlier-card-elderly-expired");
    assert_eq!(decided(EntryKind::EarlierCardElderly, &good(), day), ("receive", "earlier-card"));
}

#[test]
fn the_day_decides_what_the_desk_does() {
    use EntryKind::{EarlierCard, EligibilityCertificate};
    let until = |valid_until| Fields { valid_until, ..good() };
    for (kind, fields, day, expected) in [
        (EarlierCard, good(), "2025-12-01", ("receive", "earlier-card")),
        (EarlierCard, good(), "2025-12-02", ("provisionally", "earlier-card-expired")),
        (EarlierCard, good(), "2026-03-31", ("provisionally", "earlier-card-expired")),
        (EarlierCard, good(), "2026-04-01", ("otherwise", "earlier-card-expired")),
        (EarlierCard, until("20250630"), "2025-07-01", ("otherwise", "earlier-card")),
        (EligibilityCertificate, good(), "2024-12-01", ("otherwise", "eligibility-certificate")),
        (EligibilityCertificate, good(), "2024-12-02", ("receive", "eligibility-certificate")),
        (EligibilityCertificate, until("R8.7.31"), "2026-07-31", ("receive", "eligibility-certificate")),
        (EligibilityCertificate, until("R8.7.31"), "2026-08-01", ("otherwise", "eligibility-certificate")),
        (EntryKind::Notice, good(), "2026-08-01", ("provisionally", "notice-beside-card")),
        (EntryKind::Mynaportal, good(), "2026-08-01", ("provisionally", "mynaportal-beside-card")),
        (EntryKind::Declaration, good(), "2026-08-01", ("provisionally", "declaration")),
        // What another document could not do, because its day is over, the declaration does with the same fields.
        (EntryKind::Declaration, until("R8.7.31"), "2026-08-01", ("provisionally", "declaration")),
    ] {
        assert_eq!(decided(kind, &fields, on(day)), expected, "{kind:?} on {day}");
    }
}

#[test]
fn a_document_that_does_not_count_has_its_own_reason() {
    let reason = |kind, valid_until, day| {
        let entry = parse(kind, &Fields { valid_until, ..good() }).unwrap();
        match decide(&entry, &Rules::on(on(day)), on(day)) {
            DeskDecision::ReceiveOtherwise { reason, .. } => reason.en,
            other => panic!("{other:?}"),
        }
    };
    for (kind, valid_until, day, expected) in [
        (EntryKind::EligibilityCertificate, "", "2024-12-01", "not count yet"),
        (EntryKind::EligibilityCertificate, "20260731", "2026-08-01", "資格確認書"),
        (EntryKind::EarlierCard, "20250630", "2025-07-01", "card is past its day"),
        (EntryKind::EarlierCard, "", "2026-04-01", "is over"),
    ] {
        let reason = reason(kind, valid_until, day);
        assert!(reason.contains(expected), "{kind:?} on {day}: {reason}");
    }
}

#[test]
fn nothing_about_a_person_is_ever_printed() {
    let entry =
        parse(EntryKind::EligibilityCertificate, &Fields { symbol: "74185", number: "96307", ..good() }).unwrap();
    let printed = format!("{entry:?}");
    for personal in ["01130012", "74185", "96307", "19800102", "1980"] {
        assert!(!printed.contains(personal), "{printed}");
    }
    assert!(printed.contains("redacted"));
}

proptest! {
    #[test]
    fn one_wrong_digit_is_always_noticed(digits in proptest::collection::vec(0u8..10, 7), at in 0usize..8, wrong in 1u8..10) {
        let text = |digits: &[u8]| digits.iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
        let right = (0..10).map(|check| [&digits[..], &[check]].concat()).filter(|number| check_digit_fits(&text(number)));
        let right: Vec<_> = right.collect();
        prop_assert_eq!(right.len(), 1);
        let mut mistyped = right[0].clone();
        mistyped[at] = (mistyped[at] + wrong) % 10;
        prop_assert!(!check_digit_fits(&text(&mistyped)));
    }

    #[test]
    fn everybody_is_received_in_some_way_and_a_doubtful_clock_sends_nobody_off(
        days in 19_000i64..21_500, until in proptest::option::of(19_000i64..21_500), kind in 0..EntryKind::ALL.len(), trusted in any::<bool>(),
    ) {
        let kind = EntryKind::ALL[kind];
        let until = until.map(|days| Date::of_days(days).compact()).unwrap_or_default();
        let entry = parse(kind, &Fields { valid_until: &until, ..good() }).unwrap();
        let today = Today { date: Date::of_days(days), trusted };
        match decide(&entry, &Rules::on(today), today) {
            DeskDecision::ReceiveOtherwise { next, .. } => {
                prop_assert!(trusted);
                // Before there was a declaration the insurer was asked.
                prop_assert!(kind == EntryKind::Declaration || next.ja.contains("被保険者資格申立書"));
                prop_assert!(next.ja.contains("10割負担にはなりません"));
            }
            DeskDecision::Receive { clock_doubtful, .. } | DeskDecision::ReceiveProvisionally { clock_doubtful, .. } => {
                prop_assert_eq!(clock_doubtful, !trusted);
            }
        }
    }

    #[test]
    fn no_text_makes_reading_panic_or_fail_without_a_problem(a in "\\PC{0,12}", b in "\\PC{0,12}", c in "[0-9]{0,9}") {
        let typed = Fields { insurer_number: &c, symbol: &a, number: &b, branch: &a, birthdate: &b, valid_until: &a };
        if let Err(problems) = parse(EntryKind::EarlierCard, &typed) {
            prop_assert!(!problems.is_empty());
        }
    }
}

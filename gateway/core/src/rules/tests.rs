use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn date(text: &str) -> Date {
    Date::parse(text).unwrap()
}

fn trusted(text: &str) -> Today {
    Today { date: date(text), trusted: true }
}

fn in_force(date: Date) -> BTreeSet<&'static str> {
    Rules::on(Today { date, trusted: true }).in_force().map(|rule| rule.id).collect()
}

/// `accepted`, `beside card`, `provisionally` or `no`, and the rule.
fn shown(kind: DocumentKind, valid_until: Option<&str>, today: Today) -> (&'static str, &'static str) {
    let document = Document { kind, valid_until: valid_until.map(date) };
    told(Rules::on(today).accepts(&document, today).acceptance)
}

fn told(acceptance: Acceptance) -> (&'static str, &'static str) {
    match acceptance {
        Acceptance::Accepted { rule } => ("accepted", rule.id),
        Acceptance::AcceptedBesideCard { rule } => ("beside card", rule.id),
        Acceptance::AcceptedProvisionally { rule } => ("provisionally", rule.id),
        Acceptance::NotAccepted { rule, .. } => ("no", rule.id),
    }
}

#[test]
fn every_dated_rule_holds_from_its_first_day_to_its_last() {
    // Written down once more by hand: the first day and the last.
    let expected = [
        ("card-without-pin", Some("2023-12-15"), None),
        ("smartphone", Some("2025-09-19"), None),
        ("eligibility-certificate", Some("2024-12-02"), None),
        ("eligibility-certificate-elderly-unasked", Some("2024-12-02"), Some("2025-07-31")),
        ("earlier-card", None, Some("2025-12-01")),
        ("earlier-card-elderly", None, Some("2025-07-31")),
        ("earlier-card-not-issued", Some("2024-12-02"), None),
        ("earlier-card-expired", Some("2025-08-01"), Some("2026-03-31")),
        ("earlier-card-elderly-expired", Some("2025-08-01"), Some("2026-03-31")),
        ("declaration", Some("2023-07-10"), None),
        ("emergency-viewing", Some("2024-12-09"), None),
        ("visual-check-tablet", Some("2025-05-21"), None),
        ("ambulance-viewing", Some("2025-10-01"), None),
        ("reader-maintenance-ends", Some("2026-03-01"), None),
    ];
    let dated: BTreeSet<_> =
        Rules::all().iter().filter(|rule| rule.from.is_some() || rule.until.is_some()).map(|rule| rule.id).collect();
    assert_eq!(dated, expected.iter().map(|(id, ..)| *id).collect());
    for (id, from, until) in expected {
        let holds = |day: Date| in_force(day).contains(id);
        if let Some(from) = from.map(date) {
            assert_eq!([from.plus_days(-1), from, from.next()].map(holds), [false, true, true], "{id} begins");
        }
        if let Some(until) = until.map(date) {
            assert_eq!([until.plus_days(-1), until, until.next()].map(holds), [true, true, false], "{id} ends");
        }
    }
}

#[test]
fn undated_rules_hold_on_every_day() {
    for id in [
        "my-number-card",
        "notice-beside-card",
        "mynaportal-beside-card",
        "electronic-certificate-grace",
        "electronic-certificate-renewal-notice",
        "consent-lifetime",
        "medication-history",
        "medical-ticket-registration",
    ] {
        assert!(in_force(Date::MIN).contains(id) && in_force(Date::MAX).contains(id), "{id}");
    }
}

#[test]
fn a_document_counts_by_the_day_it_is_shown() {
    use DocumentKind::{EarlierCard, EarlierCardElderly, EligibilityCertificate, Smartphone};
    let accepted = |rule| ("accepted", rule);
    let provisionally = |rule| ("provisionally", rule);
    let no = |rule| ("no", rule);
    for (kind, valid_until, day, expected) in [
        (EarlierCard, None, "2025-11-30", accepted("earlier-card")),
        (EarlierCard, None, "2025-12-01", accepted("earlier-card")),
        (EarlierCard, None, "2025-12-02", provisionally("earlier-card-expired")),
        // What is printed on it cannot prolong it, and ends it earlier.
        (EarlierCard, Some("2027-03-31"), "2025-12-02", provisionally("earlier-card-expired")),
        (EarlierCard, Some("2025-10-31"), "2025-10-31", accepted("earlier-card")),
        (EarlierCard, Some("2025-10-31"), "2025-11-01", provisionally("earlier-card-expired")),
        (EarlierCard, Some("2025-07-31"), "2025-08-01", provisionally("earlier-card-expired")),
        (EarlierCard, Some("2025-07-30"), "2025-07-31", no("earlier-card")),
        (EarlierCard, None, "2026-03-30", provisionally("earlier-card-expired")),
        (EarlierCard, None, "2026-03-31", provisionally("earlier-card-expired")),
        (EarlierCard, None, "2026-04-01", no("earlier-card-expired")),
        (EarlierCardElderly, None, "2025-07-30", accepted("earlier-card-elderly")),
        (EarlierCardElderly, None, "2025-07-31", accepted("earlier-card-elderly")),
        (EarlierCardElderly, None, "2025-08-01", provisionally("earlier-card-elderly-expired")),
        (EarlierCardElderly, None, "2026-03-31", provisionally("earlier-card-elderly-expired")),
        (EarlierCardElderly, None, "2026-04-01", no("earlier-card-elderly-expired")),
        (EligibilityCertificate, None, "2024-12-01", no("eligibility-certificate")),
        (EligibilityCertificate, None, "2024-12-02", accepted("eligibility-certificate")),
        (EligibilityCertificate, Some("2026-07-31"), "2026-07-31", accepted("eligibility-certificate")),
        (EligibilityCertificate, Some("2026-07-31"), "2026-08-01", no("eligibility-certificate")),
        (Smartphone, None, "2025-09-18", no("smartphone")),
        (Smartphone, None, "2025-09-19", accepted("smartphone")),
        (Smartphone, None, "2025-09-20", accepted("smartphone")),
        (DocumentKind::MyNumberCard, None, "2020-01-01", accepted("my-number-card")),
        (DocumentKind::Notice, None, "2026-01-01", ("beside card", "notice-beside-card")),
        (DocumentKind::Mynaportal, None, "2026-01-01", ("beside card", "mynaportal-beside-card")),
        (DocumentKind::Declaration, None, "2023-07-09", no("declaration")),
        (DocumentKind::Declaration, None, "2023-07-10", provisionally("declaration")),
    ] {
        assert_eq!(shown(kind, valid_until, trusted(day)), expected, "{kind:?} until {valid_until:?} on {day}");
    }
}

#[test]
fn the_documents_of_a_day_are_those_that_count_on_it() {
    let documents = |day| -> Vec<_> { Rules::on(trusted(day)).documents().map(|(_, rule)| rule.id).collect() };
    let always = ["notice-beside-card", "mynaportal-beside-card", "declaration"];
    for (day, expected) in [
        ("2024-12-01", &["my-number-card", "earlier-card", "earlier-card-elderly"][..]),
        (
            "2025-12-02",
            &[
                "my-number-card",
                "smartphone",
                "eligibility-certificate",
                "earlier-card-expired",
                "earlier-card-elderly-expired",
            ],
        ),
        ("2026-04-01", &["my-number-card", "smartphone", "eligibility-certificate"]),
    ] {
        assert_eq!(documents(day), [expected, &always].concat(), "{day}");
    }
}

#[test]
fn tomorrows_rules_can_be_tried_on_todays_document() {
    let tomorrow = Rules::on(trusted("2026-04-01"));
    let card = Document { kind: DocumentKind::EarlierCard, valid_until: None };
    let today = trusted("2026-03-31");
    assert_eq!(told(Rules::on(today).accepts(&card, today).acceptance), ("provisionally", "earlier-card-expired"));
    assert_eq!(told(tomorrow.accepts(&card, today).acceptance), ("no", "earlier-card-expired"));
}

#[test]
fn whoever_is_not_accepted_is_told_a_way_that_needs_no_machine_and_never_costs_all() {
    for kind in DocumentKind::ALL {
        let next = instead(kind);
        assert!(next.ja.contains("10割負担にはなりません") && next.en.contains("100 %"), "{kind:?}");
        assert!(kind == DocumentKind::Declaration || next.ja.contains("被保険者資格申立書"), "{kind:?}");
    }
}

#[test]
fn a_certificate_ages_through_notice_and_grace() {
    use CertificateAge::{Expired, ExpiresSoon, Grace, Valid};
    for (not_after, day, expected) in [
        ("2026-06-10", "2026-03-09", Valid),
        ("2026-06-10", "2026-03-10", ExpiresSoon),
        ("2026-06-10", "2026-06-10", ExpiresSoon),
        ("2026-06-10", "2026-06-11", Grace),
        ("2026-06-10", "2026-09-10", Grace),
        ("2026-06-10", "2026-09-11", Expired),
        // Months that are too short.
        ("2025-11-30", "2026-02-28", Grace),
        ("2025-11-30", "2026-03-01", Expired),
        ("2026-05-31", "2026-02-28", ExpiresSoon),
        ("2026-05-31", "2026-02-27", Valid),
        ("9999-12-31", "9999-12-31", Valid),
    ] {
        let today = trusted(day);
        let verdict = Rules::on(today).certificate_age(date(not_after), today);
        assert_eq!(verdict, CertificateVerdict { age: expected, clock_doubtful: false }, "{not_after} on {day}");
    }
}

#[test]
fn a_doubtful_clock_never_calls_a_certificate_expired() {
    let doubtful = Today { date: date("2026-09-11"), trusted: false };
    let verdict = Rules::on(doubtful).certificate_age(date("2026-06-10"), doubtful);
    assert_eq!(verdict, CertificateVerdict { age: CertificateAge::Grace, clock_doubtful: true });
}

#[test]
fn a_consent_counts_as_long_as_the_rest_of_the_gateway_thinks() {
    assert_eq!(Rules::on(trusted("2026-01-01")).consent_lifetime(), Duration::from_secs(24 * 60 * 60));
}

#[test]
fn ways_to_receive_open_on_their_day() {
    for (route, first) in [
        (Route::VisualCheckOnTablet, "2025-05-21"),
        (Route::EmergencyViewing, "2024-12-09"),
        (Route::CardWithoutPin, "2023-12-15"),
    ] {
        let open = |date| Rules::on(Today { date, trusted: true }).opens(route).is_some();
        assert_eq!([open(date(first).plus_days(-1)), open(date(first))], [false, true], "{route:?}");
    }
}

#[test]
fn the_version_names_the_newest_change_and_is_read_back() {
    for (day, since) in [
        ("2025-12-01", "2025-10-01"),
        ("2025-12-02", "2025-12-02"),
        ("2026-02-28", "2025-12-02"),
        ("2026-03-31", "2026-03-01"),
        ("2030-01-01", "2026-04-01"),
        ("2000-01-01", "0001-01-01"),
    ] {
        let version = Rules::on(trusted(day)).version();
        assert_eq!(version.to_string(), format!("{since}.{EDITION}"), "{day}");
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    for wrong in ["", "2025-12-02", "2025-12-02.", ".1", "2025-12-02.1.1", "2025-12-02.-1"] {
        assert_eq!(wrong.parse::<Version>(), Err(NotAVersion), "{wrong:?}");
    }
}

#[test]
fn the_next_change_tells_what_begins_and_what_ends() {
    let ids = |rules: &[&Rule]| rules.iter().map(|rule| rule.id).collect::<Vec<_>>();
    let change = Rules::next_change(date("2025-12-01")).unwrap();
    assert_eq!(
        (change.date, ids(&change.begins), ids(&change.ends)),
        (date("2025-12-02"), vec![], vec!["earlier-card"])
    );
    let change = Rules::next_change(date("2024-12-01")).unwrap();
    assert_eq!(change.date, date("2024-12-02"));
    assert!(ids(&change.begins).contains(&"eligibility-certificate") && change.ends.is_empty());
    assert_eq!(Rules::next_change(date("2026-04-01")), None);
}

#[test]
fn the_table_is_in_order() {
    let ids: BTreeSet<_> = Rules::all().iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), Rules::all().len(), "an id stands twice");
    for rule in Rules::all() {
        assert!(rule.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", rule.id);
        assert!(rule.from.zip(rule.until).is_none_or(|(from, until)| from <= until), "{} ends first", rule.id);
        for words in [rule.title, rule.meaning] {
            assert!(!words.ja.is_ascii() && !words.en.is_empty(), "{}", rule.id);
        }
        assert!(!rule.source.is_empty());
    }
    for kind in DocumentKind::ALL {
        assert!(Rules::all().iter().any(|rule| document(rule.decides) == Some(kind)), "no rule for {kind:?}");
    }
}

#[test]
fn a_rule_and_a_version_are_written_for_programs() {
    let rule = Rules::all().iter().find(|rule| rule.id == "earlier-card").unwrap();
    let written = serde_json::to_value(rule).unwrap();
    assert_eq!((&written["from"], &written["until"]), (&serde_json::Value::Null, &"2025-12-01".into()));
    assert_eq!((&written["decides"], &written["value"]), (&"accepts".into(), &"earlier_card".into()));
    let version = Rules::on(trusted("2025-12-02")).version();
    let written = serde_json::to_string(&version).unwrap();
    assert_eq!(serde_json::from_str::<Version>(&written).unwrap(), version);
}

fn any_day() -> impl Strategy<Value = Date> {
    (date("2023-01-01").days()..date("2027-12-31").days()).prop_map(Date::of_days)
}

proptest! {
    #[test]
    fn a_doubtful_clock_refuses_nothing_and_says_so(
        day in any_day(), rules in any_day(), kind in 0..DocumentKind::ALL.len(), valid_until in proptest::option::of(any_day()),
        trusted in any::<bool>(),
    ) {
        let document = Document { kind: DocumentKind::ALL[kind], valid_until };
        let today = Today { date: day, trusted };
        let verdict = Rules::on(Today { date: rules, trusted: true }).accepts(&document, today);
        prop_assert_eq!(verdict.clock_doubtful, !trusted);
        let refused = matches!(verdict.acceptance, Acceptance::NotAccepted { .. });
        prop_assert!(trusted || !refused);
        if !trusted && valid_until.is_some() {
            prop_assert_ne!(told(verdict.acceptance).0, "accepted");
        }
    }

    #[test]
    fn between_two_changes_the_rules_stay_the_same(day in any_day()) {
        let (today, tomorrow) = (in_force(day), in_force(day.next()));
        let change = Rules::next_change(day).filter(|change| change.date == day.next());
        prop_assert_eq!(today == tomorrow, change.is_none());
        let version = |date| Rules::on(Today { date, trusted: true }).version();
        prop_assert_eq!(version(day) == version(day.next()), change.is_none());
    }
}

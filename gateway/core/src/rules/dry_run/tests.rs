use super::*;
use crate::ids::RequestId;
use crate::modes::Mode;
use crate::record::{Method, Stage, Verification};
use uuid::Uuid;

fn date(text: &str) -> Date {
    Date::parse(text).unwrap()
}

/// Ten in the morning in Japan.
fn morning(day: &str, synchronised: bool) -> Stamp {
    Stamp { wall_ms: date(day).begins_ms_jst() + 10 * 60 * 60 * 1000, synchronised }
}

fn record(evidence: Evidence, opened: Stamp) -> ReceptionRecord {
    ReceptionRecord {
        reception: ReceptionId(Uuid::from_u128(7)),
        request: RequestId(Uuid::nil()),
        reader: "desk-1/a".into(),
        evidence,
        same_visit_as: None,
        stage: Stage::Closed,
        opened,
        recorded: None,
        recorded_place: None,
        consents: vec![],
        abandoned: None,
        replied: None,
        followed_up: None,
    }
}

fn on_ground(basis: Basis, opened: Stamp) -> ReceptionRecord {
    record(Evidence::new(Verification::by(Method::Document), basis, opened), opened)
}

fn document(kind: DocumentKind, valid_until: Option<&str>) -> Basis {
    Basis::Document { document: Document { kind, valid_until: valid_until.map(date) } }
}

/// A card whose certificate ends with that day.
fn card(certificate: CertificateAge, last_day: &str) -> Basis {
    Basis::Card { certificate, not_after_ms: date(last_day).next().begins_ms_jst() - 1, unchecked: false }
}

#[test]
fn a_reception_is_told_as_it_would_be_decided_on_the_other_day() {
    use Decision::{
        Accepted, AcceptedProvisionally as Provisionally, AcceptedWithRenewalNotice as Notice, EligibilityOnly,
        NotAccepted,
    };
    let earlier = |until| document(DocumentKind::EarlierCard, until);
    let certificate = |until| document(DocumentKind::EligibilityCertificate, until);
    let table = [
        // The day before the earlier card ends, and the day after.
        (earlier(None), "2025-12-01", "2025-12-01", None),
        (earlier(None), "2025-12-01", "2025-12-02", Some((Accepted, Provisionally, "earlier-card-expired"))),
        (earlier(None), "2026-03-31", "2026-04-01", Some((Provisionally, NotAccepted, "earlier-card-expired"))),
        // Backwards as well: what was decided since the rule ended is tried under the rule.
        (earlier(None), "2026-03-31", "2025-12-01", Some((Provisionally, Accepted, "earlier-card"))),
        (earlier(Some("2025-09-30")), "2025-10-01", "2025-12-02", None),
        // A document that runs out in between.
        (
            certificate(Some("2026-07-31")),
            "2026-07-31",
            "2026-08-01",
            Some((Accepted, NotAccepted, "eligibility-certificate")),
        ),
        (certificate(None), "2026-07-31", "2030-01-01", None),
        // The certificate in a card: months before its end, then in grace, then over.
        (card(CertificateAge::Valid, "2026-05-10"), "2026-02-09", "2026-02-09", None),
        (
            card(CertificateAge::Valid, "2026-05-10"),
            "2026-02-09",
            "2026-02-10",
            Some((Accepted, Notice, "electronic-certificate-renewal-notice")),
        ),
        (
            card(CertificateAge::ExpiresSoon, "2026-05-10"),
            "2026-05-10",
            "2026-05-11",
            Some((Notice, EligibilityOnly, "electronic-certificate-grace")),
        ),
        (
            card(CertificateAge::Grace, "2026-05-10"),
            "2026-08-10",
            "2026-08-11",
            Some((EligibilityOnly, NotAccepted, "electronic-certificate-grace")),
        ),
        (Basis::FourItems { mode: Mode::Disaster }, "2026-03-31", "2026-04-01", None),
    ];
    for (basis, happened, tried_on, expected) in table {
        let named = format!("{basis:?} of {happened} on {tried_on}");
        let run = DryRun::of(date(tried_on), [&on_ground(basis, morning(happened, true))]);
        let told = run.differences.first().map(|found| (found.was, found.would_be, found.rule.id));
        assert_eq!((told, run.same, run.not_judged), (expected, usize::from(expected.is_none()), 0), "{named}");
    }
}

#[test]
fn what_would_be_refused_comes_with_a_way_that_costs_no_hundred_percent() {
    for basis in [document(DocumentKind::EarlierCard, None), card(CertificateAge::Grace, "2026-01-01")] {
        let run = DryRun::of(date("2026-05-01"), [&on_ground(basis, morning("2026-03-31", true))]);
        let [difference] = &run.differences[..] else { panic!("{run:?}") };
        assert_eq!(difference.would_be, Decision::NotAccepted);
        assert!(difference.next.ja.contains("10割負担にはなりません") && difference.next.en.contains("not charged"));
    }
}

#[test]
fn records_that_do_not_say_what_was_judged_are_counted_and_not_guessed_at() {
    let opened = morning("2025-12-01", true);
    let silent = record(Evidence::of(Verification::by(Method::Pin)), opened);
    let known = on_ground(document(DocumentKind::EarlierCard, None), opened);
    let mut of_another_table = known.clone();
    of_another_table.evidence.rules = Some("2025-10-01.999".parse().unwrap());

    let run = DryRun::of(date("2025-12-02"), [&silent, &known, &of_another_table]);
    assert_eq!((run.differences.len(), run.same, run.not_judged), (1, 0, 2));
    assert_eq!(
        run.summary(Lang::En),
        "1 of 1 receptions would differ. 2 more cannot be tried: their records do not say what was judged."
    );
    assert_eq!(run.summary(Lang::Ja).matches('件').count(), 3);
}

#[test]
fn a_change_is_told_in_both_languages_and_says_when_the_clock_was_doubtful() {
    let told = |synchronised| {
        let opened = morning("2026-03-31", synchronised);
        DryRun::of(date("2026-04-01"), [&on_ground(document(DocumentKind::EarlierCard, None), opened)])
    };
    let (right, doubtful) = (told(true), told(false));
    let (right, doubtful) = (&right.differences[0], &doubtful.differences[0]);
    assert_eq!(
        right.sentence(Lang::En),
        "Earlier paper or plastic insurance card: accepted provisionally → not accepted"
    );
    assert_eq!(right.sentence(Lang::Ja), "従来の健康保険証: 仮受付 → 受付できない");
    assert!(doubtful.sentence(Lang::En).ends_with("(the clock was not synchronised then)"));
    assert!(doubtful.sentence(Lang::Ja).contains("時計"));
}

#[test]
fn every_kind_of_document_has_a_title_of_its_own() {
    let titles: std::collections::BTreeSet<_> = DocumentKind::ALL.map(|kind| kind.title().ja).into_iter().collect();
    assert_eq!(titles.len(), DocumentKind::ALL.len());
    assert_eq!(DocumentKind::EarlierCard.title().ja, "従来の健康保険証");
}

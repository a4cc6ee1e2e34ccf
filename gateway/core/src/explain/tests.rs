//! Every outcome has a sentence and a next step, in both languages.

use super::*;
use crate::clock::Stamp;
use crate::consent::GivenBy;
use crate::ids::{ReceptionId, RequestId};
use crate::record::{Evidence, Method, Rejection, StaffLook, StaffName, Verification};
use uuid::Uuid;

fn at(wall_ms: i64) -> Stamp {
    Stamp { wall_ms, synchronised: true }
}

fn record(stage: Stage) -> ReceptionRecord {
    ReceptionRecord {
        reception: ReceptionId(Uuid::nil()),
        request: RequestId(Uuid::nil()),
        reader: "desk-1/a".into(),
        evidence: Evidence::of(Verification::by_face(0.68)),
        same_visit_as: None,
        stage,
        opened: at(0),
        recorded: None,
        recorded_place: None,
        consents: vec![],
        abandoned: None,
        replied: None,
        followed_up: None,
    }
}

fn answered(verdict: Verdict) -> Option<(Stamp, Reply)> {
    Some((at(5_000), Reply::Answered { verdict, unmapped_characters: false }))
}

#[test]
fn a_provisional_reception_is_told_as_waiting_and_later_as_confirmed() {
    let waiting = ReceptionRecord { recorded: Some((at(1_000), Shown::Provisional)), ..record(Stage::Closed) };
    assert_eq!(reception(&waiting, Lang::Ja).advice.code, "provisional");
    let confirmed = ReceptionRecord { replied: answered(Verdict::Eligible), ..waiting };
    let told = reception(&confirmed, Lang::En);
    assert_eq!(told.advice.code, "confirmed_later");
    assert_eq!(told.story.len(), 3);
    assert!(told.story[0].starts_with("1970-01-01 09:00:00"), "{}", told.story[0]);
}

#[test]
fn an_abandoned_reception_says_what_was_learnt_all_the_same() {
    let abandoned = ReceptionRecord {
        abandoned: Some((at(2_000), Abandonment::CardRemoved)),
        replied: answered(Verdict::Eligible),
        ..record(Stage::Abandoned)
    };
    let told = reception(&abandoned, Lang::Ja);
    assert_eq!(told.advice.code, "abandoned");
    assert!(told.advice.what.contains("資格は有効"), "{}", told.advice.what);
}

#[test]
fn the_story_is_told_in_the_order_it_happened() {
    let early_answer = ReceptionRecord {
        recorded: Some((at(9_000), Shown::Confirmed)),
        replied: answered(Verdict::Eligible),
        ..record(Stage::Closed)
    };
    let story = reception(&early_answer, Lang::En).story;
    assert!(story[1].contains("answered") && story[2].contains("checked in"), "{story:?}");
}

#[test]
fn a_clock_that_jumps_changes_no_order_that_is_known_without_it() {
    use crate::consent::{Consent, ConsentKind};
    // T2 stands before everything else by the clock, which was set back just then.
    let wrong = |wall_ms| Stamp { wall_ms, synchronised: false };
    let consents = [ConsentKind::Medication, ConsentKind::Checkups].map(|kind| (kind, 8_000));
    let confirmed = ReceptionRecord {
        recorded: Some((wrong(1_000), Shown::Confirmed)),
        consents: consents.map(|(kind, at)| Consent::new(kind, true, wrong(at), GivenBy::Patient)).into(),
        replied: answered(Verdict::Eligible),
        ..record(Stage::Closed)
    };
    let parts = |record: &ReceptionRecord| {
        let kinds = [("verified", 'o'), ("answered", 'a'), ("text version", 'c'), ("checked in", 'r'), ("ended", 'e')];
        let kind = |line: &String| kinds.iter().find(|(words, _)| line.contains(words)).map(|(_, kind)| *kind);
        reception(record, Lang::En).story.iter().filter_map(kind).collect::<String>()
    };
    assert_eq!(parts(&confirmed), "oaccr");
    let medication_first = reception(&confirmed, Lang::En).story[2].contains("medication");
    assert!(medication_first, "consents stand in the order in which they were given");
    let provisional = ReceptionRecord { recorded: Some((wrong(9_000), Shown::Provisional)), ..confirmed.clone() };
    assert_eq!(parts(&provisional), "occra", "a clock that nobody vouches for puts no answer before the end");
    let vouched = ReceptionRecord { recorded: Some((at(9_000), Shown::Provisional)), ..confirmed.clone() };
    assert_eq!(parts(&vouched), "occar", "it came while the patient was being asked");
    let later = ReceptionRecord { followed_up: answered(Verdict::Eligible), ..confirmed };
    assert_eq!(parts(&later), "oaccra", "what was asked again since comes last");
    for (stamp, order) in [(at(9_000), "oae"), (at(1_000), "oea"), (wrong(9_000), "oea")] {
        let given_up = ReceptionRecord {
            abandoned: Some((stamp, Abandonment::CardRemoved)),
            replied: answered(Verdict::Eligible),
            ..record(Stage::Abandoned)
        };
        assert_eq!(parts(&given_up), order);
    }
}

#[test]
fn an_answer_to_a_registration_is_told_before_the_end_that_shows_it() {
    let registered = ReceptionRecord {
        recorded: Some((at(1_000), Shown::Confirmed)),
        replied: answered(Verdict::Ineligible(Reason::CardNotRegistered)),
        followed_up: answered(Verdict::Eligible),
        ..record(Stage::Closed)
    };
    let story = reception(&registered, Lang::En).story;
    assert!(story[1].contains("not registered") && story[2].contains("valid"), "{story:?}");
    assert!(story[3].contains("checked in"), "{story:?}");
}

#[test]
fn every_outcome_has_a_sentence_and_a_next_step_in_both_languages() {
    let reasons = [
        Reason::InsuranceInvalid(None),
        Reason::InsuranceInvalid(Some("03".into())),
        Reason::NewInsurance,
        Reason::NoInsuranceFound,
        Reason::SeveralInsurances,
        Reason::CardNotRegistered,
        Reason::CertificateRevoked,
        Reason::UnknownCode("9".into()),
    ];
    for lang in [Lang::Ja, Lang::En] {
        let mut told: Vec<Advice> = reasons.iter().map(|why| reason(why, lang)).collect();
        for why in &reasons {
            let record = ReceptionRecord {
                recorded: Some((at(1), Shown::Ineligible(why.clone()))),
                replied: answered(Verdict::Ineligible(why.clone())),
                ..record(Stage::Closed)
            };
            told.push(reception(&record, lang).advice);
            told.push(ending(&Ending::Done(Shown::Ineligible(why.clone())), lang));
        }
        told.push(reception(&record(Stage::Open), lang).advice);
        let rejected = Some((at(1), Reply::Rejected(Rejection { code: "invalid_argument".into() })));
        told.push(reception(&ReceptionRecord { replied: rejected, ..record(Stage::Closed) }, lang).advice);
        for advice in told {
            assert!(!advice.what.is_empty() && !advice.next.is_empty(), "{advice:?}");
        }
    }
}

#[test]
fn a_reason_of_loss_that_is_not_known_is_told_with_its_code() {
    for lang in [Lang::Ja, Lang::En] {
        let told = |loss: Option<&str>| reason(&Reason::InsuranceInvalid(loss.map(str::to_owned)), lang).what;
        assert!(told(Some("42")).contains("42"), "{}", told(Some("42")));
        for known in ["01", "02", "03", "99"] {
            assert!(!told(Some(known)).contains(known) && told(Some(known)) != told(None), "{}", told(Some(known)));
        }
    }
}

#[test]
fn a_case_says_whose_it_is_until_when_and_what_to_do() {
    use crate::clock::{Mono, Now};
    use crate::ladder::{Case, Cause, Event, Rules, StaffAction};
    let now = |days: u64| Now { boot: 1, mono: Mono(days * 86_400_000), stamp: record(Stage::Open).opened };
    let mut waiting = Case::open(Rules::default(), now(0), Cause::NoAnswer, &mut Vec::new());
    let provisional = ReceptionRecord { recorded: Some((at(1), Shown::Provisional)), ..record(Stage::Closed) };
    let told = with_case(&provisional, Some((&waiting, now(0))), Lang::En);
    let of_case = told.case.clone().unwrap();
    assert_eq!((told.advice.code.as_str(), of_case.advice.code.as_str()), ("provisional", "await_answer"));
    assert_eq!((&told.advice.next, of_case.days_left), (&of_case.advice.next, Some(2)), "the case says what to do");
    assert_eq!(
        (of_case.owner_words.as_str(), of_case.deadline_words.as_str()),
        ("the gateway, by itself", "in 2 days")
    );
    assert_eq!(case(&waiting, now(1), Lang::Ja).deadline_words, "あと1日");
    let hours = |hours: u64| Now { mono: Mono(hours * 3_600_000), ..now(0) };
    // What is due in less than a day may well be due tomorrow: "today" would be wrong.
    waiting.step(hours(40), Event::Tick, &mut Vec::new());
    assert_eq!(case(&waiting, hours(40), Lang::Ja).deadline_words, "24時間以内");

    waiting.step(now(2), Event::Tick, &mut Vec::new());
    assert_eq!(case(&waiting, now(2), Lang::En).owner_words, "the desk");
    let close = StaffAction::Close(crate::ladder::CloseReason::NoTreatment);
    waiting.step(now(2), Event::Staff { turn: waiting.turn(), action: close }, &mut Vec::new());
    let ended = case(&waiting, now(2), Lang::En);
    assert_eq!((ended.owner, ended.days_left, ended.advice.code.as_str()), (None, None, "ended_closed_by_staff"));
    let told = with_case(&provisional, Some((&waiting, now(2))), Lang::En);
    assert_eq!(told.advice, ended.advice, "no reply says so: the case speaks alone");
}

#[test]
fn the_story_says_which_of_several_insurances_staff_chose() {
    use crate::clock::{Mono, Now};
    use crate::ladder::{Answered, Case, Cause, Chosen, Event, PersonMatch, Rules, StaffAction};
    let now = Now { boot: 1, mono: Mono(0), stamp: at(0) };
    let several = Verdict::Ineligible(Reason::SeveralInsurances);
    let answer = Answered { verdict: several.clone(), results: 2, person: PersonMatch::SamePerson };
    let mut case = Case::open(Rules::default(), now, Cause::Answered(answer), &mut Vec::new());
    let record = ReceptionRecord { replied: answered(several), ..record(Stage::Closed) };
    let before = with_case(&record, Some((&case, now)), Lang::En);
    case.step(now, Event::Staff { turn: case.turn(), action: StaffAction::Chosen { index: 1 } }, &mut Vec::new());
    for (lang, words) in [(Lang::Ja, "1回目の照会への答えの2番目"), (Lang::En, "number 2 of the answer to question 1")]
    {
        let told = with_case(&record, Some((&case, now)), lang);
        assert!(told.story.iter().any(|line| line.contains(words)), "{:?}", told.story);
        assert_eq!(told.case.unwrap().chosen, Some(Chosen { ask: 0, index: 1 }));
    }
    assert!(before.case.unwrap().chosen.is_none());
}

#[test]
fn the_story_tells_each_consent_and_the_rules_that_decided() {
    use crate::consent::{Consent, ConsentKind};
    let version = "2025-12-02.1".parse().ok();
    let told_by = ReceptionRecord {
        evidence: Evidence { rules: version, ..Evidence::of(Verification::by_face(0.68)) },
        recorded: Some((at(9_000), Shown::Confirmed)),
        recorded_place: None,
        consents: vec![Consent::new(ConsentKind::Medication, true, at(6_000), GivenBy::Proxy)],
        ..record(Stage::Closed)
    };
    for (lang, who) in [(Lang::Ja, "代理の方"), (Lang::En, "companion")] {
        let told = reception(&told_by, lang);
        let at_its_time = |line: &String| line.starts_with("1970-01-01 09:00:06") && line.contains(who);
        assert!(told.story.iter().any(at_its_time), "{:?}", told.story);
        assert!(told.story.iter().any(|line| line.contains("2025-12-02.1")), "{:?}", told.story);
        assert_eq!((told.consents.len(), told.consents[0].by, told.rules), (1, GivenBy::Proxy, version));
    }
}

#[test]
fn a_document_is_not_told_as_a_proof_of_who_the_patient_is() {
    let by_document = |look| ReceptionRecord {
        evidence: Evidence::of(Verification { look, ..Verification::by(Method::Document) }),
        ..record(Stage::Closed)
    };
    let look = StaffLook { by: StaffName::new("12").unwrap(), why: StaffReason::OwnAccord };
    for look in [None, Some(look)] {
        let told = reception(&by_document(look), Lang::Ja);
        assert!(told.story[0].contains("本人確認はありません"), "{}", told.story[0]);
        assert!(!told.story[0].contains("本人確認("), "{}", told.story[0]);
    }
}

#[test]
fn a_look_of_staff_is_told_with_who_and_why() {
    let look = StaffLook { by: StaffName::new("12").unwrap(), why: StaffReason::PinForgotten };
    let looked = ReceptionRecord { evidence: Evidence::of(Verification::by_look(look)), ..record(Stage::Closed) };
    for (lang, why) in [(Lang::Ja, "暗証番号を忘れた"), (Lang::En, "the PIN was forgotten")] {
        let told = reception(&looked, lang);
        assert!(told.story[0].contains("12") && told.story[0].contains(why), "{}", told.story[0]);
    }
}

#[test]
fn a_valid_insurance_whose_ticket_is_not_registered_leads_to_the_welfare_office() {
    let confirmed = ReceptionRecord {
        recorded: Some((at(9_000), Shown::Confirmed)),
        replied: answered(Verdict::Eligible),
        ..record(Stage::Closed)
    };
    let told = without_ticket(reception(&confirmed, Lang::Ja), Lang::Ja);
    assert_eq!(told.advice.code, "confirmed_without_ticket");
    assert!(told.advice.next.contains("福祉事務所") && told.story.iter().any(|line| line.contains("医療券")));
}

#[test]
fn a_reception_of_a_visit_says_which_one_counts_for_the_receipt_computer() {
    let id = |n| ReceptionId(Uuid::from_u128(n));
    for (goes, words) in [(Some(id(1)), "この受付"), (Some(id(2)), "000000000002"), (None, "まだどれも")] {
        let told = of_visit(reception(&record(Stage::Closed), Lang::Ja), id(1), goes, Lang::Ja);
        assert!(told.story.last().unwrap().contains(words), "{:?}", told.story);
        assert_eq!(told.for_receipt_computer, goes);
    }
}

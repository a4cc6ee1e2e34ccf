//! Every outcome has a sentence and a next step, in both languages.

use super::*;
use crate::clock::Stamp;
use crate::ids::{ReceptionId, RequestId};
use crate::record::{Evidence, Rejection, Verification};
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
    assert!(told.story[0].starts_with("09:00:00"), "{}", told.story[0]);
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

//! What a patient agreed to, when the question of the reception was refused and a later one proves the person.

use super::*;
use uketsuke_core::consent::{ConsentKind, GivenBy};

fn said(kind: ConsentKind, agreed: bool) -> Consent {
    Consent::new(kind, agreed, AT, GivenBy::Patient)
}

fn consent_of(number: u128, consents: &[Consent]) -> Request {
    let (reception, question) = (ReceptionId(Uuid::from_u128(number)), RequestId(Uuid::from_u128(number + 1)));
    let id = RequestId(Uuid::from_u128(number + 2));
    crate::central::consent_request(id, reception, question, "1312345678", consents)
}

/// What of the consents that wait names which question.
async fn consents_that_wait(scene: &Scene) -> Vec<(RequestId, Vec<(i32, bool)>)> {
    let rows = scene.store.select(Destination::Central, 99, &[], AT.wall_ms).await.unwrap();
    let consents = rows.iter().filter(|row| row.request.kind == RequestKind::Consent);
    let records = consents.map(|row| wire::ConsentRecord::decode(row.request.body.as_slice()).unwrap());
    records
        .map(|record| {
            let question = RequestId(Uuid::from_slice(&record.request_id).unwrap());
            (question, record.consents.iter().map(|consent| (consent.kind, consent.agreed)).collect())
        })
        .collect()
}

/// A reception whose patient agreed to two things, whose question was refused, and whose numbers are asked with.
async fn refused_and_asked_by_numbers(scene: &mut Scene) -> crate::store::CaseRow {
    let consents = vec![said(ConsentKind::Checkups, true), said(ConsentKind::Surgery, true)];
    let request = Some(consent_of(1, &consents));
    scene.receive_with(RECEPTION, QUESTION, vec![], Method::Pin, vec![], (consents, request)).await;
    scene.start();
    let rows = scene.store.outbox(Destination::Central, 9).await.unwrap();
    let question = rows.iter().find(|row| row.id == QUESTION).unwrap().seq;
    scene.store.settle(question, Settlement::Rejected { code: "asked_in_the_future".into() }, AT).await.unwrap();
    let turn = scene.until(Work::LookAtRejection).await.case.turn();
    scene.order(turn, None, Some(known("髙橋 恵子"))).await;
    scene.order(turn, Some(StaffAction::NumbersEntered(Numbers::Current)), Some(numbers(Numbers::Current))).await;
    scene.until_asked(1).await
}

const CHECKUPS: (i32, bool) = (wire::ConsentKind::Checkups as i32, true);
const SURGERY: (i32, bool) = (wire::ConsentKind::Surgery as i32, true);

#[tokio::test]
async fn what_a_patient_agreed_to_goes_once_when_a_later_question_proves_them_however_often_the_reconciler_dies_at_it()
{
    let mut scene = Scene::empty();
    let row = refused_and_asked_by_numbers(&mut scene).await;
    assert!(consents_that_wait(&scene).await.is_empty(), "they were rejected with their question");
    scene.kill().await;
    scene.answer(row.asks[1], Verdict::Eligible, Some("髙橋 恵子")).await;
    for hold in [Hold::BeforeCommit, Hold::BeforeCommit, Hold::BeforeAnswer, Hold::BeforeAnswer] {
        scene.store.as_model().unwrap().hold(hold);
        scene.start();
        // Until it waits for its write, or has nothing to write any more.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        scene.kill().await;
    }
    scene.store.as_model().unwrap().release();
    scene.start();
    scene.until(Work::Done(Final::Changed)).await;
    assert_eq!(consents_that_wait(&scene).await, [(row.asks[1], vec![CHECKUPS, SURGERY])]);
}

#[tokio::test]
async fn an_answer_about_somebody_else_sends_nothing_of_what_a_patient_agreed_to() {
    let mut scene = Scene::empty();
    let row = refused_and_asked_by_numbers(&mut scene).await;
    scene.answer(row.asks[1], Verdict::Eligible, Some("鈴木 一郎")).await;
    let turn = scene.until(Work::CheckPerson { ask: 1 }).await.case.turn();
    assert!(consents_that_wait(&scene).await.is_empty(), "before anybody has looked");
    scene.order(turn, Some(StaffAction::PersonChecked { ask: 1, same: false }), None).await;
    assert!(consents_that_wait(&scene).await.is_empty());
}

#[tokio::test]
async fn what_a_patient_took_back_at_a_later_reception_is_not_sent_after_it() {
    let mut scene = Scene::empty();
    let row = refused_and_asked_by_numbers(&mut scene).await;
    let (later, question) = (ReceptionId(Uuid::from_u128(11)), RequestId(Uuid::from_u128(12)));
    let consents = vec![said(ConsentKind::Checkups, false)];
    let request = Some(consent_of(11, &consents));
    scene.receive_with(later, question, vec![], Method::Pin, vec![], (consents, request)).await;
    scene.answer(row.asks[1], Verdict::Eligible, Some("髙橋 恵子")).await;
    scene.until(Work::Done(Final::Changed)).await;
    let rows = scene.store.outbox(Destination::Central, 99).await.unwrap();
    let question = rows.iter().find(|row| row.id == question).unwrap().seq;
    let reply = Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: false };
    let answer = Zeroizing::new(Vec::new());
    scene.store.settle(question, Settlement::Answered { reply, answer }, AT).await.unwrap();
    let first = consents_that_wait(&scene).await;
    let seq = rows.iter().find(|row| row.id == RequestId(Uuid::from_u128(13))).unwrap().seq;
    scene.store.settle(seq, Settlement::Delivered, AT).await.unwrap();
    assert_eq!(first, [(RequestId(Uuid::from_u128(12)), vec![(CHECKUPS.0, false)])]);
    assert_eq!(consents_that_wait(&scene).await, [(row.asks[1], vec![SURGERY])]);
}

//! What the store promises, whatever it is made of: every sentence here holds for SQLite and for the model.

mod cases;
mod queue;
mod visits;

use super::scene::{
    Rig, answered, at, case_write, consent_request, eligibility, eligible, follow_up, new_case, note, now, opening,
    patient, reception, recording, with_case,
};
use super::{
    CaseNotice, CaseRow, CaseWrite, Class, ConsentsAnew, Destination, Horizon, Keeping, KeptName, Lane, Proof,
    READER_CHARS_MAX, REQUEST_REJECTED, Recording, Request, RequestKind, RowState, SETTLED_KEPT, Settlement,
    StoreError, StoreHealth, TrailEntry,
};
use std::time::Duration;
use uketsuke_core::answer::Reason;
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::consent::ConsentKind;
use uketsuke_core::ids::RequestId;
use uketsuke_core::ladder::{CloseReason, Event, Owner, StaffAction};
use uketsuke_core::reception::FaceCount;
use uketsuke_core::record::{Abandonment, Rejection, Reply, Shown, Stage};
use uuid::Uuid;
use zeroize::Zeroizing;

use cases::*;
use queue::*;
use visits::*;

macro_rules! contract {
    ($($sentence:ident)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(super::Rig::sqlite().await).await;
            })+
        }
        mod on_the_model {
            $(#[tokio::test]
            async fn $sentence() {
                super::$sentence(super::Rig::model()).await;
            })+
        }
    };
}

contract! {
    a_reception_is_opened_recorded_answered_and_closed
    an_opening_again_is_acknowledged_and_sent_once
    an_opening_with_another_body_is_refused
    who_vouches_for_a_request_is_kept_with_it_and_is_no_part_of_what_it_says
    a_settled_request_is_acknowledged_and_not_queued_again
    a_recording_again_is_acknowledged_and_another_one_refused
    an_abandoned_reception_cannot_be_recorded_and_a_recorded_one_not_abandoned
    an_unknown_reception_is_said_to_be_unknown_except_when_abandoned
    only_a_recorded_reception_is_closed
    a_restart_abandons_what_was_open_at_its_reader_only
    a_late_answer_is_attached_to_an_abandoned_reception
    an_answer_before_the_recording_stays
    one_patients_requests_go_one_by_one_in_their_order
    a_key_in_flight_is_not_selected
    interactive_rows_go_first_and_backlog_is_not_starved
    what_has_failed_goes_after_what_has_not_also_in_the_backlog
    a_new_interactive_request_promotes_its_patients_older_ones
    a_failed_try_waits_is_counted_and_lets_other_receptions_pass
    a_wait_dated_by_a_clock_set_back_is_over
    a_rejection_is_kept_shown_and_releases_its_successor
    a_rejected_question_rejects_the_consents_that_reference_it
    a_later_question_that_is_rejected_with_its_first_one_has_its_reply
    a_later_question_that_stands_alone_goes_although_the_first_one_was_rejected
    a_later_question_that_is_asked_after_the_rejection_has_its_reply_at_once_and_never_goes
    consents_that_were_rejected_with_their_question_are_sent_anew_once
    consents_that_were_rejected_for_a_reason_of_their_own_stay_rejected
    what_a_patient_answers_later_is_never_overtaken_by_consents_that_are_sent_anew
    a_consent_recorded_after_its_questions_rejection_is_kept_as_rejected
    a_consent_never_holds_back_another_receptions_question
    kinds_that_are_left_out_wait_in_their_place_and_are_passed_once_they_failed
    a_question_passes_a_row_of_another_reception_that_failed_and_waits
    a_verdict_twice_changes_nothing
    a_verdict_of_the_wrong_kind_is_refused
    the_last_recorded_reception_is_that_of_this_reader_and_card_within_its_time
    limits_are_refused_and_neighbours_unharmed
    a_case_is_there_as_soon_as_its_reception_counts
    a_step_of_a_case_is_written_once_with_its_question
    a_step_made_from_an_older_version_writes_nothing
    a_case_never_counts_an_ask_that_was_not_written
    an_ended_case_leaves_the_open_ones
    open_cases_are_found_by_who_has_to_see_to_them
    a_patient_who_comes_again_is_known_by_the_open_cases_of_earlier_receptions
    every_later_reply_is_kept_with_its_answer
    receptions_of_one_visit_are_linked_and_others_are_not
    no_jump_of_the_wall_clock_joins_or_parts_two_visits
    receptions_have_places_in_the_order_in_which_they_were_recorded_whatever_the_clock_says
    listeners_hear_of_rows_and_replies
    a_crash_keeps_what_was_acknowledged
    a_dropped_caller_cancels_nothing
    what_is_kept_is_the_latest_and_the_trail_has_each_entry_once
    faces_that_do_not_match_are_counted_until_the_holder_is_known
    a_later_question_is_asked_once_and_its_reply_stands_beside_the_first
    a_row_that_waits_is_tried_at_once_when_asked
    a_row_set_aside_is_kept_and_not_sent_until_asked_for
    only_rows_that_failed_themselves_are_old
    old_receptions_are_forgotten_with_all_that_is_theirs_and_nothing_else
    settled_ids_are_forgotten_when_their_time_is_over
    a_verdict_forgets_no_settled_id_whatever_its_clock_says
    nothing_is_older_than_what_came_before_it_whatever_a_clock_that_was_wrong_has_dated_it
    what_a_clock_dated_in_the_future_is_as_old_as_what_came_after_it
    a_closed_store_says_so
}

async fn old_receptions_are_forgotten_with_all_that_is_theirs_and_nothing_else(rig: Rig) {
    let store = &rig.store;
    // 1 is over; 2 waits for its answer; 3 has a case; 4 is open; 5 was refused; 6 is young.
    for number in 1..=6 {
        let mut opening = opening(number, number as u8);
        opening.opened.stamp = if number == 6 { at(1_000_000) } else { at(i64::from(number)) };
        store.open_reception(opening).await.unwrap();
    }
    for number in [1, 2, 5, 6] {
        let silent = super::Recording { request: None, ..recording(number, Shown::Provisional) };
        store.record_reception(silent).await.unwrap();
    }
    store.record_reception(super::Recording { request: None, ..with_case(3) }).await.unwrap();
    for number in [1, 3, 4, 6] {
        rig.settle(eligibility(number).id, answered()).await;
    }
    rig.settle(eligibility(5).id, Settlement::Rejected { code: "no".into() }).await;
    let before = Horizon { before_ms: at(500_000).wall_ms, now_ms: at(2_000_000).wall_ms };
    let (mut went, mut mark) = (0, Some(0));
    while let Some(from) = mark {
        let step = store.forget_receptions(from, before, 2).await.unwrap();
        went += step.0;
        mark = step.1;
    }
    assert_eq!(went, 2);
    let rig = rig.crash().await;
    let left: Vec<_> = rig.store.receptions(9).await.unwrap().into_iter().map(|record| record.reception).collect();
    assert_eq!(left, [reception(6), reception(4), reception(3), reception(2)]);
    assert_eq!(rig.store.answer(reception(1), eligibility(1).id).await.unwrap(), None);
    assert_eq!(rig.store.outbox_counts(Destination::Central).await.unwrap().rejected, 0);
    rig.store.open_reception(opening(1, 1)).await.unwrap_err();
}

async fn settled_ids_are_forgotten_when_their_time_is_over(rig: Rig) {
    let day = |days: i64| at(days * 86_400_000);
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    let before = |now: Stamp| Horizon::of(now.wall_ms, SETTLED_KEPT).before_ms;
    assert_eq!(rig.store.forget_settled(before(day(59)), 9).await.unwrap(), 0);
    assert_eq!(rig.store.forget_settled(before(day(61)), 9).await.unwrap(), 1);
}

async fn a_verdict_forgets_no_settled_id_whatever_its_clock_says(rig: Rig) {
    let (store, day) = (&rig.store, |days: i64| at(days * 86_400_000));
    store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    // One alone, and two that are settled together.
    for number in 2..=4 {
        store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    store.settle(rig.seq(eligibility(2).id).await, answered(), day(401)).await.unwrap();
    let (third, fourth) = (rig.seq(eligibility(3).id).await, rig.seq(eligibility(4).id).await);
    let together = tokio::join!(store.settle(third, answered(), day(401)), store.settle(fourth, answered(), day(401)));
    assert_eq!(together, (Ok(()), Ok(())));
    store.open_reception(opening(1, 1)).await.unwrap();
    assert!(rig.line(9).await.is_empty(), "it is acknowledged and not sent again");
}

async fn nothing_is_older_than_what_came_before_it_whatever_a_clock_that_was_wrong_has_dated_it(rig: Rig) {
    let (store, ten_years_back) = (&rig.store, at(-3653 * 86_400_000));
    for (number, opened) in [(1, at(1_000_000)), (2, ten_years_back)] {
        let mut opening = opening(number, number as u8);
        opening.opened.stamp = opened;
        store.open_reception(opening).await.unwrap();
        let silent = super::Recording { request: None, ..recording(number, Shown::Provisional) };
        store.record_reception(silent).await.unwrap();
        store.settle(rig.seq(eligibility(number).id).await, answered(), opened).await.unwrap();
        store.count_face(patient(number as u8), FaceCount::Failed, opened).await.unwrap();
        store.note(trail_line(number.into(), opened)).await.unwrap();
    }
    let horizon = Horizon { before_ms: at(500_000).wall_ms, now_ms: at(2_000_000).wall_ms };
    assert_eq!(store.forget_receptions(0, horizon, 9).await.unwrap(), (0, None));
    assert_eq!(store.forget_settled(horizon.before_ms, 9).await.unwrap(), 0);
    assert_eq!(store.forget_notes(horizon.before_ms, 9).await.unwrap(), 0);
    let later = Horizon { before_ms: at(1_500_000).wall_ms, ..horizon };
    assert_eq!(store.forget_receptions(0, later, 9).await.unwrap().0, 2);
    assert_eq!(store.forget_settled(later.before_ms, 9).await.unwrap(), 2);
    assert_eq!(store.forget_notes(later.before_ms, 9).await.unwrap(), 4);
    let rig = rig.crash().await;
    assert!(rig.store.receptions(9).await.unwrap().is_empty() && rig.store.trail(9).await.unwrap().is_empty());
    assert_eq!(rig.store.face_failures(patient(1)).await.unwrap(), 0);
}

async fn what_a_clock_dated_in_the_future_is_as_old_as_what_came_after_it(rig: Rig) {
    let store = &rig.store;
    for (number, opened) in [(1, at(401 * 86_400_000)), (2, at(1)), (3, at(401 * 86_400_000)), (4, at(1_000_000))] {
        let mut opening = opening(number, number as u8);
        opening.opened.stamp = opened;
        store.open_reception(opening).await.unwrap();
        let silent = super::Recording { request: None, ..recording(number, Shown::Provisional) };
        store.record_reception(silent).await.unwrap();
        rig.settle(eligibility(number).id, answered()).await;
    }
    let horizon = Horizon { before_ms: at(500_000).wall_ms, now_ms: at(2_000_000).wall_ms };
    // One at a time: what decides about the last of a step may lie beyond it.
    let (mut went, mut mark) = (0, Some(0));
    while let Some(from) = mark {
        let step = store.forget_receptions(from, horizon, 1).await.unwrap();
        went += step.0;
        mark = step.1;
    }
    assert_eq!(went, 2);
    let left: Vec<_> = rig.store.receptions(9).await.unwrap().into_iter().map(|record| record.reception).collect();
    assert_eq!(left, [reception(4), reception(3)]);
}

fn trail_line(number: u128, at: Stamp) -> TrailEntry {
    let id = Uuid::from_u128(number);
    TrailEntry { id, at, by: "7".into(), what: "mode_opened".into(), detail: String::new(), rules: None }
}

async fn what_is_kept_is_the_latest_and_the_trail_has_each_entry_once(rig: Rig) {
    let store = &rig.store;
    assert_eq!(store.kept(KeptName::Modes).await.unwrap(), None);
    let entry = |n: u128| TrailEntry {
        id: Uuid::from_u128(n),
        at: at(n as i64),
        by: "佐藤".into(),
        what: "opened".into(),
        detail: "MARKED-REASON".into(),
        rules: None,
    };
    let keeping = |value: &[u8], trail: &[u128]| Keeping {
        name: KeptName::Modes,
        value: Zeroizing::new(value.to_vec()),
        trail: trail.iter().map(|n| entry(*n)).collect(),
    };
    store.keep(keeping(b"one", &[1])).await.unwrap();
    store.keep(keeping(b"two", &[1, 2])).await.unwrap();
    store.note(entry(3)).await.unwrap();
    store.note(entry(3)).await.unwrap();
    let rig = rig.crash().await;
    assert_eq!(rig.store.kept(KeptName::Modes).await.unwrap().unwrap().as_slice(), b"two");
    assert_eq!(rig.store.trail(9).await.unwrap(), [entry(3), entry(2), entry(1)]);
    assert_eq!(rig.store.trail_since(at(2).wall_ms, 9).await.unwrap(), [entry(3), entry(2)]);
    assert_eq!(rig.store.trail_since(at(0).wall_ms, 1).await.unwrap(), [entry(3)], "the newest");
    rig.store.note(entry(0)).await.unwrap();
    assert_eq!(rig.store.trail_since(at(1).wall_ms, 2).await.unwrap(), [entry(3)], "of the latest two");
}

async fn faces_that_do_not_match_are_counted_until_the_holder_is_known(rig: Rig) {
    let store = &rig.store;
    for expected in 1..=3 {
        store.count_face(patient(1), FaceCount::Failed, at(0)).await.unwrap();
        assert_eq!(store.face_failures(patient(1)).await.unwrap(), expected);
    }
    assert_eq!(store.face_failures(patient(2)).await.unwrap(), 0);
    store.count_face(patient(1), FaceCount::Cleared, at(0)).await.unwrap();
    assert_eq!(store.face_failures(patient(1)).await.unwrap(), 0);
}

async fn a_later_question_is_asked_once_and_its_reply_stands_beside_the_first(rig: Rig) {
    let store = &rig.store;
    let later = |body: &[u8]| Request {
        id: eligibility(77).id,
        kind: RequestKind::FollowUp,
        body: Zeroizing::new(body.to_vec()),
        proof: Proof::Gateway,
    };
    let unknown = store.follow_up(reception(1), later(b"a"), Lane::Interactive, at(0)).await;
    assert!(matches!(unknown, Err(StoreError::Unknown { .. })));
    store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    for _ in 0..2 {
        store.follow_up(reception(1), later(b"a"), Lane::Interactive, at(0)).await.unwrap();
    }
    let other = store.follow_up(reception(1), later(b"b"), Lane::Interactive, at(0)).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })));
    assert_eq!(rig.line(9).await, [(later(b"a").id, Lane::Interactive)]);
    rig.settle(later(b"a").id, Settlement::Rejected { code: "x".into() }).await;
    let record = store.reception(reception(1)).await.unwrap().unwrap();
    assert!(matches!(record.replied, Some((_, Reply::Answered { .. }))));
    assert!(matches!(record.reply(), Some((_, Reply::Rejected(_)))), "the latest counts");
}

async fn a_reception_is_opened_recorded_answered_and_closed(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    let open = store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!((open.stage, open.request, open.evidence), (Stage::Open, eligibility(1).id, opening(1, 1).evidence));
    assert_eq!(rig.line(9).await, [(eligibility(1).id, Lane::Interactive)]);

    rig.settle(eligibility(1).id, answered()).await;
    store.record_reception(recording(1, Shown::Confirmed)).await.unwrap();
    let recorded = store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!(recorded.stage, Stage::Recorded);
    assert_eq!(recorded.recorded, Some((at(1001), Shown::Confirmed)));
    assert_eq!(recorded.consents, recording(1, Shown::Confirmed).consents);
    assert_eq!(recorded.replied, Some((at(5000), eligible())));
    assert_eq!(rig.line(9).await, [(consent_request(1).id, Lane::Backlog)]);

    rig.settle(consent_request(1).id, Settlement::Delivered).await;
    store.close_reception(reception(1)).await.unwrap();
    assert_eq!(store.reception(reception(1)).await.unwrap().unwrap().stage, Stage::Closed);
    assert_eq!(rig.select(9).await.len(), 0);
    assert_eq!(store.receptions(9).await.unwrap().len(), 1);
}

async fn an_opening_again_is_acknowledged_and_sent_once(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    assert_eq!(rig.store.outbox_counts(Destination::Central).await.unwrap().pending, 1);
}

async fn an_opening_with_another_body_is_refused(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    let mut other_body = opening(1, 1);
    other_body.request.body.push(b'!');
    let mut other_request = opening(1, 1);
    other_request.request.id = eligibility(2).id;
    let mut other_reception = opening(1, 1);
    other_reception.reception = reception(2);
    for other in [other_body, other_request, other_reception] {
        let error = rig.store.open_reception(other).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert_eq!(error.class(), Class::Permanent);
    }
    assert_eq!(rig.select(9).await[0].request.body, eligibility(1).body);
}

async fn who_vouches_for_a_request_is_kept_with_it_and_is_no_part_of_what_it_says(rig: Rig) {
    let store = &rig.store;
    let by = |text: &str| Proof::Signed(Zeroizing::new(text.as_bytes().to_vec()));
    for (number, proof) in [(1, by("a card")), (2, Proof::Gateway), (3, Proof::Within)] {
        let vouched = |proof: Proof| {
            let mut opening = opening(number, u8::try_from(number).unwrap());
            opening.request.proof = proof;
            opening
        };
        store.open_reception(vouched(proof.clone())).await.unwrap();
        store.open_reception(vouched(by("another key"))).await.unwrap();
        let rows = rig.select(9).await;
        let [row] = rows.as_slice() else { panic!("{} rows instead of one", rows.len()) };
        assert_eq!(row.request.body, eligibility(number).body);
        assert!(row.request.proof == proof, "the first that was acknowledged stays");

        rig.settle(row.request.id, answered()).await;
        store.open_reception(vouched(Proof::Gateway)).await.unwrap();
        let mut other_body = vouched(proof);
        other_body.request.body.push(b'!');
        assert!(matches!(store.open_reception(other_body).await, Err(StoreError::Conflict { .. })));
        assert_eq!(rig.select(9).await.len(), 0);
    }
}

async fn a_settled_request_is_acknowledged_and_not_queued_again(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(recording(1, Shown::Confirmed)).await.unwrap();
    rig.settle(consent_request(1).id, Settlement::Delivered).await;
    rig.store.record_reception(recording(1, Shown::Confirmed)).await.unwrap();
    assert_eq!(rig.select(9).await.len(), 0);

    let mut other_body = opening(1, 1);
    other_body.request.body.push(b'!');
    assert!(matches!(rig.store.open_reception(other_body).await, Err(StoreError::Conflict { .. })));
}

async fn a_recording_again_is_acknowledged_and_another_one_refused(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
    let mut later = recording(1, Shown::Provisional);
    later.recorded = at(9999);
    store.record_reception(later).await.unwrap();
    assert_eq!(store.reception(reception(1)).await.unwrap().unwrap().recorded.unwrap().0, at(1001));

    let mut no_consents = recording(1, Shown::Provisional);
    no_consents.consents.clear();
    let mut no_request = recording(1, Shown::Provisional);
    no_request.request = None;
    let mut other_body = recording(1, Shown::Provisional);
    other_body.request.as_mut().unwrap().body.push(b'!');
    for other in [recording(1, Shown::Confirmed), no_consents, no_request, other_body] {
        assert!(matches!(store.record_reception(other).await, Err(StoreError::Conflict { .. })));
    }
}

async fn an_abandoned_reception_cannot_be_recorded_and_a_recorded_one_not_abandoned(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    store.abandon_reception(reception(1), Abandonment::CardRemoved, at(7)).await.unwrap();
    store.abandon_reception(reception(1), Abandonment::Cancelled, at(8)).await.unwrap();
    let error = store.record_reception(recording(1, Shown::Provisional)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    let abandoned = store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!(abandoned.abandoned, Some((at(7), Abandonment::CardRemoved)));
    assert_eq!(rig.line(9).await, [(eligibility(1).id, Lane::Backlog)], "nobody waits, but it still goes");

    store.open_reception(opening(2, 2)).await.unwrap();
    store.record_reception(recording(2, Shown::Provisional)).await.unwrap();
    store.abandon_reception(reception(2), Abandonment::CardRemoved, at(9)).await.unwrap();
    assert_eq!(store.reception(reception(2)).await.unwrap().unwrap().stage, Stage::Recorded);
    let list = store.abandoned_since(at(7).wall_ms, 9).await.unwrap();
    assert_eq!(list.iter().map(|r| r.reception).collect::<Vec<_>>(), [reception(1)]);
    assert_eq!(store.abandoned_since(at(8).wall_ms, 9).await.unwrap(), []);
}

async fn an_unknown_reception_is_said_to_be_unknown_except_when_abandoned(rig: Rig) {
    let store = &rig.store;
    store.abandon_reception(reception(1), Abandonment::Cancelled, at(0)).await.unwrap();
    assert_eq!(store.reception(reception(1)).await.unwrap(), None);
    let unknown = |result| matches!(result, Err(StoreError::Unknown { .. }));
    assert!(unknown(store.record_reception(recording(1, Shown::Confirmed)).await));
    assert!(unknown(store.close_reception(reception(1)).await));
    assert!(unknown(store.settle(77, Settlement::Delivered, at(0)).await));
}

async fn only_a_recorded_reception_is_closed(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    assert!(matches!(rig.store.close_reception(reception(1)).await, Err(StoreError::Conflict { .. })));
    rig.store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
    rig.store.close_reception(reception(1)).await.unwrap();
    rig.store.close_reception(reception(1)).await.unwrap();
}

async fn a_restart_abandons_what_was_open_at_its_reader_only(rig: Rig) {
    let store = &rig.store;
    let mut elsewhere = opening(2, 2);
    elsewhere.reader = "desk-1/b".into();
    store.open_reception(opening(1, 1)).await.unwrap();
    store.open_reception(elsewhere).await.unwrap();
    store.open_reception(opening(3, 3)).await.unwrap();
    store.record_reception(recording(3, Shown::Provisional)).await.unwrap();
    assert_eq!(store.abandon_open(Some("desk-1/a"), at(9)).await.unwrap(), [reception(1)]);
    assert_eq!(store.abandon_open(None, at(9)).await.unwrap(), [reception(2)]);
    assert_eq!(store.abandon_open(None, at(9)).await.unwrap(), []);
    let record = store.reception(reception(2)).await.unwrap().unwrap();
    assert_eq!(record.abandoned, Some((at(9), Abandonment::Restarted)));
}

async fn a_late_answer_is_attached_to_an_abandoned_reception(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.abandon_reception(reception(1), Abandonment::Cancelled, at(1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    let record = rig.store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!((record.stage, record.replied), (Stage::Abandoned, Some((at(5000), eligible()))));
}

async fn an_answer_before_the_recording_stays(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    let late = recording(1, Shown::Ineligible(Reason::InsuranceInvalid(Some("01".into()))));
    rig.store.record_reception(late.clone()).await.unwrap();
    let record = rig.store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!(record.replied, Some((at(5000), eligible())));
    assert_eq!(record.recorded.unwrap().1, late.shown);
}

async fn the_last_recorded_reception_is_that_of_this_reader_and_card_within_its_time(rig: Rig) {
    let store = &rig.store;
    let last = async |reader, number, since: i64, before: i64| {
        let (since_ms, before_ms) = (at(since).wall_ms, at(before).wall_ms);
        store.last_recorded(reader, patient(number), since_ms, before_ms).await.unwrap().map(|record| record.reception)
    };
    store.open_reception(opening(1, 1)).await.unwrap();
    assert_eq!(last("desk-1/a", 1, 0, 9999).await, None, "open, not recorded");
    store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
    assert_eq!(last("desk-1/a", 1, 0, 9999).await, Some(reception(1)));
    assert_eq!(last("desk-1/a", 1, 1001, 1002).await, Some(reception(1)), "recorded at 1001");
    assert_eq!(last("desk-1/a", 1, 1002, 9999).await, None, "too long ago");
    assert_eq!(last("desk-1/a", 1, 0, 1001).await, None, "by a clock that was ahead");
    assert_eq!(last("desk-1/a", 2, 0, 9999).await, None, "another card");
    assert_eq!(last("desk-1/b", 1, 0, 9999).await, None, "another reader");
    store.open_reception(opening(2, 2)).await.unwrap();
    assert_eq!(last("desk-1/a", 1, 0, 9999).await, None, "not the latest");
}

async fn limits_are_refused_and_neighbours_unharmed(rig: Rig) {
    let mut long_name = opening(2, 2);
    long_name.reader = "x".repeat(READER_CHARS_MAX + 1);
    let mut long_body = opening(3, 3);
    long_body.request.body.resize(super::BODY_BYTES_MAX + 1, 0);
    let (first, second, third, fourth) = tokio::join!(
        rig.store.open_reception(opening(1, 1)),
        rig.store.open_reception(long_name),
        rig.store.open_reception(long_body),
        rig.store.open_reception(opening(4, 4)),
    );
    assert_eq!((first, fourth), (Ok(()), Ok(())));
    assert!(matches!(second, Err(StoreError::Refused { .. })), "{second:?}");
    assert!(matches!(third, Err(StoreError::Refused { .. })), "{third:?}");
    assert_eq!(rig.store.receptions(9).await.unwrap().len(), 2);
    let mut largest = opening(5, 5);
    let body_bytes = super::BODY_BYTES_MAX - (largest.request.bytes() - largest.request.body.len());
    largest.request.body.resize(body_bytes, 0);
    rig.store.open_reception(largest).await.unwrap();
    let row = rig.select(9).await.into_iter().find(|row| row.reception == reception(5)).unwrap();
    assert_eq!((row.request.body.len(), row.request.bytes()), (body_bytes, super::BODY_BYTES_MAX));
    let mut long = recording(1, Shown::Confirmed);
    long.request.as_mut().unwrap().body.resize(super::BODY_BYTES_MAX + 1, 0);
    let refused = rig.store.record_reception(long).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("at most {} are kept", super::BODY_BYTES_MAX)), "{refused}");
    rig.store.record_reception(recording(1, Shown::Confirmed)).await.unwrap();
}

async fn listeners_hear_of_rows_and_replies(rig: Rig) {
    let (mut appended, mut replies) = (rig.store.appended(), rig.store.replies());
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    assert!(appended.has_changed().unwrap());
    appended.mark_unchanged();
    rig.settle(eligibility(1).id, answered()).await;
    assert!(!appended.has_changed().unwrap());
    let notice = replies.recv().await.unwrap();
    assert_eq!((notice.reception, notice.reply), (reception(1), eligible()));
    assert_eq!(*rig.store.health().borrow(), StoreHealth::Ok);
    let commits = rig.store.commits();
    rig.store.ping().await.unwrap();
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    assert_eq!(rig.store.commits(), commits, "nothing new, nothing to commit");
}

async fn a_crash_keeps_what_was_acknowledged(rig: Rig) {
    for number in 1..=5 {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    rig.store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
    rig.settle(eligibility(2).id, answered()).await;
    let (before, commits) = (rig.store.receptions(9).await.unwrap(), rig.store.commits());
    let old = rig.store.clone();
    let rig = rig.crash().await;
    assert_eq!(rig.store.receptions(9).await.unwrap(), before);
    assert_eq!(rig.store.commits(), commits);
    assert_eq!(rig.line(9).await.len(), 4);
    rig.store.open_reception(opening(2, 2)).await.unwrap();
    assert_eq!(rig.line(9).await.len(), 4, "settled requests stay settled");
    rig.store.open_reception(opening(6, 6)).await.unwrap();
    let error = old.open_reception(opening(7, 7)).await.unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
}

async fn a_dropped_caller_cancels_nothing(rig: Rig) {
    {
        let mut write = std::pin::pin!(rig.store.open_reception(opening(1, 1)));
        // Polled once: queued, and given up.
        let _ = futures_util::poll!(&mut write);
    }
    rig.store.ping().await.unwrap();
    assert!(rig.store.reception(reception(1)).await.unwrap().is_some());
}

async fn a_closed_store_says_so(rig: Rig) {
    let other = rig.store.clone();
    other.open_reception(opening(1, 1)).await.unwrap();
    rig.store.clone().close().await.unwrap();
    assert_eq!(other.open_reception(opening(2, 2)).await, Err(StoreError::Closed));
    assert_eq!(other.reception(reception(1)).await, Err(StoreError::Closed));
}

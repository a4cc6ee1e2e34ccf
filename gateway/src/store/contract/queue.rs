//! The outbox: whose turn it is, what is refused, what waits.

use super::*;

pub(super) async fn a_row_that_waits_is_tried_at_once_when_asked(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    fail(&rig, eligibility(1).id, 1).await;
    assert_eq!(rig.line(9).await, []);
    let seq = rig.seq(eligibility(1).id).await;
    let mut appended = rig.store.appended();
    appended.mark_unchanged();
    rig.store.requeue(seq).await.unwrap();
    assert!(appended.has_changed().unwrap(), "the courier hears of it");
    assert_eq!(rig.line(9).await.len(), 1);
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "no".into() }).await;
    assert!(matches!(rig.store.requeue(seq).await, Err(StoreError::Conflict { .. })));
    assert!(matches!(rig.store.set_aside(seq, "asked", at(0)).await, Err(StoreError::Conflict { .. })));
    assert!(matches!(rig.store.requeue(99).await, Err(StoreError::Unknown { .. })));
}

pub(super) async fn a_row_set_aside_is_kept_and_not_sent_until_asked_for(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.open_reception(opening(2, 1)).await.unwrap();
    let seq = rig.seq(eligibility(1).id).await;
    for _ in 0..2 {
        rig.store.set_aside(seq, "asked", at(0)).await.unwrap();
    }
    let rig = rig.crash().await;
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Interactive)], "it holds no other reception");
    let row = rig.store.outbox_row(seq).await.unwrap().unwrap();
    assert!(row.genuine && row.head.state == RowState::Isolated && row.head.last_error.as_deref() == Some("asked"));
    assert_eq!(rig.store.outbox_counts(Destination::Central).await.unwrap().isolated, 1);
    assert_eq!(*rig.store.health().borrow(), StoreHealth::Ok, "set aside is not altered");
    rig.store.requeue(seq).await.unwrap();
    assert_eq!(rig.line(9).await, [(eligibility(1).id, Lane::Interactive)]);
    rig.store.set_aside(seq, "asked", at(0)).await.unwrap();
    rig.store.settle(seq, answered(), at(0)).await.unwrap();
    assert!(rig.store.outbox_row(seq).await.unwrap().is_none(), "an answer that was on its way still counts");
    assert_eq!(rig.store.figures().await.unwrap().outbox.pending, 1);
}

pub(super) async fn only_rows_that_failed_themselves_are_old(rig: Rig) {
    for number in 1..=3 {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    fail(&rig, eligibility(2).id, 1).await;
    let seq = rig.seq(eligibility(2).id).await;
    let failing = async |ms, tries| rig.store.failing_since(at(ms).wall_ms, tries, 9).await.unwrap();
    assert!(failing(2, 1).await.is_empty() && failing(9, 2).await.is_empty());
    assert_eq!(failing(9, 1).await, [seq]);
    for _ in 0..20 {
        let retry = Settlement::Retry { code: "timed_out".into(), after: Duration::from_secs(30), own: false };
        rig.store.settle(seq, retry, at(0)).await.unwrap();
    }
    assert!(failing(9, 10).await.is_empty(), "what fails for another reason counts for a few tries at the most");
    fail(&rig, eligibility(2).id, 2).await;
    assert_eq!(failing(9, 10).await, [seq]);
}

pub(super) async fn one_patients_requests_go_one_by_one_in_their_order(rig: Rig) {
    for number in [1, 2, 3] {
        rig.store.open_reception(opening(number, 1)).await.unwrap();
    }
    rig.store.open_reception(opening(4, 2)).await.unwrap();
    assert_eq!(rig.line(9).await.iter().map(|r| r.0).collect::<Vec<_>>(), [eligibility(1).id, eligibility(4).id]);
    rig.settle(eligibility(1).id, answered()).await;
    assert_eq!(rig.line(1).await[0].0, eligibility(2).id);

    for number in [2, 3, 4] {
        rig.store.abandon_reception(reception(number), Abandonment::Cancelled, at(1)).await.unwrap();
    }
    let backlog: Vec<_> = rig.line(9).await.into_iter().map(|row| row.0).collect();
    assert_eq!(backlog, [eligibility(2).id, eligibility(4).id], "the same in the backlog");
}

pub(super) async fn a_key_in_flight_is_not_selected(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.open_reception(opening(2, 2)).await.unwrap();
    let rows = rig.store.select(Destination::Central, 9, &[patient(1)], at(0).wall_ms).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.order_key).collect::<Vec<_>>(), [patient(2)]);
}

pub(super) async fn interactive_rows_go_first_and_backlog_is_not_starved(rig: Rig) {
    for number in 1..=4 {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
        rig.store.abandon_reception(reception(number), Abandonment::Cancelled, at(1)).await.unwrap();
    }
    for number in 11..=16 {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
    }
    let expected = [11, 12, 13, 1, 14, 15, 16, 2, 3, 4].map(|number| eligibility(number).id);
    let line: Vec<_> = rig.line(99).await.into_iter().map(|row| row.0).collect();
    assert_eq!(line, expected);

    // Three interactive rows in flight: the one slot that is free belongs to the backlog.
    let busy = [11, 12, 13].map(patient);
    let next = rig.store.select(Destination::Central, 1, &busy, at(0).wall_ms).await.unwrap();
    assert_eq!(next[0].request.id, eligibility(1).id);
    let busy = [11, 12, 13, 1].map(patient);
    let next = rig.store.select(Destination::Central, 1, &busy, at(0).wall_ms).await.unwrap();
    assert_eq!(next[0].request.id, eligibility(14).id);
}

pub(super) async fn a_new_interactive_request_promotes_its_patients_older_ones(rig: Rig) {
    for number in [1, 2] {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
        rig.store.abandon_reception(reception(number), Abandonment::Cancelled, at(1)).await.unwrap();
    }
    rig.store.open_reception(opening(3, 2)).await.unwrap();
    assert_eq!(rig.line(1).await, [(eligibility(2).id, Lane::Backlog)]);
    assert_eq!(rig.line(9).await.len(), 2, "and still only one row of each patient");
}

pub(super) async fn a_failed_try_waits_is_counted_and_lets_other_receptions_pass(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.open_reception(opening(2, 1)).await.unwrap();
    let seq = rig.seq(eligibility(1).id).await;
    let retry = Settlement::Retry { code: "busy_record".into(), after: Duration::from_secs(30), own: true };
    rig.store.settle(seq, retry, at(0)).await.unwrap();
    let passing: Vec<_> = rig.select(9).await.into_iter().map(|row| row.request.id).collect();
    assert_eq!(passing, [eligibility(2).id]);
    let later = rig.store.select(Destination::Central, 9, &[], at(30_000).wall_ms).await.unwrap();
    assert_eq!((later[0].request.id, later[0].attempts), (eligibility(1).id, 1));
    let head = rig.store.outbox(Destination::Central, 1).await.unwrap().remove(0);
    assert_eq!(head.last_error.as_deref(), Some("busy_record"));
    assert_eq!((head.state, head.not_before_ms), (RowState::Pending, at(30_000).wall_ms));
}

pub(super) async fn a_wait_dated_by_a_clock_set_back_is_over(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    let seq = rig.seq(eligibility(1).id).await;
    let retry = Settlement::Retry { code: "x".into(), after: Duration::from_secs(86_400), own: true };
    rig.store.settle(seq, retry, at(1_000_000_000)).await.unwrap();
    assert_eq!(rig.select(9).await.len(), 1);
}

pub(super) async fn a_rejection_is_kept_shown_and_releases_its_successor(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.open_reception(opening(2, 1)).await.unwrap();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "bad_signature".into() }).await;
    assert_eq!(rig.line(9).await[0].0, eligibility(2).id);
    let record = rig.store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!(record.replied.unwrap().1, Reply::Rejected(Rejection { code: "bad_signature".into() }));
    let head = rig.store.outbox(Destination::Central, 9).await.unwrap().pop().unwrap();
    assert_eq!((head.state, head.last_error.as_deref()), (RowState::Rejected, Some("bad_signature")));
    let counts = rig.store.outbox_counts(Destination::Central).await.unwrap();
    assert_eq!((counts.pending, counts.rejected, counts.isolated), (1, 1, 0));
    assert_eq!(counts.oldest_created_ms, Some(at(2).wall_ms));
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    assert_eq!(rig.store.outbox_counts(Destination::Central).await.unwrap().pending, 1);
}

/// State and last error of every row of the outbox, by its request.
pub(super) async fn states(rig: &Rig) -> Vec<(RequestId, RowState, Option<String>)> {
    let rows = rig.store.outbox(Destination::Central, 99).await.unwrap();
    rows.into_iter().map(|row| (row.id, row.state, row.last_error)).collect()
}

pub(super) async fn a_rejected_question_rejects_the_consents_that_reference_it(rig: Rig) {
    for number in [1, 2] {
        rig.store.open_reception(opening(number, 1)).await.unwrap();
        rig.store.record_reception(recording(number, Shown::Provisional)).await.unwrap();
    }
    let commits = rig.store.commits();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "bad_signature".into() }).await;
    assert_eq!(rig.store.commits(), commits + 1, "in the same commit");
    let rejected = |id, code: &str| (id, RowState::Rejected, Some(code.to_owned()));
    assert_eq!(
        states(&rig).await,
        [
            (eligibility(2).id, RowState::Pending, None),
            (consent_request(2).id, RowState::Pending, None),
            rejected(eligibility(1).id, "bad_signature"),
            rejected(consent_request(1).id, REQUEST_REJECTED),
        ]
    );
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Backlog)]);
    rig.store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
    assert_eq!(states(&rig).await.len(), 4, "acknowledged again, queued never");
    let rig = rig.crash().await;
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Backlog)]);
}

pub(super) async fn a_later_question_that_is_rejected_with_its_first_one_has_its_reply(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.follow_up(reception(1), follow_up(1), Lane::Backlog, at(1)).await.unwrap();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "bad_signature".into() }).await;
    let rejected = |id, code: &str| (id, Reply::Rejected(Rejection { code: code.into() }));
    let replies = rig.store.kept_replies(reception(1)).await.unwrap();
    let replies: Vec<_> = replies.into_iter().map(|kept| (kept.request, kept.reply)).collect();
    assert_eq!(replies, [rejected(eligibility(1).id, "bad_signature"), rejected(follow_up(1).id, REQUEST_REJECTED)]);
}

pub(super) async fn a_later_question_that_is_asked_after_the_rejection_has_its_reply_at_once_and_never_goes(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(with_case(1)).await.unwrap();
    let case = rig.store.case(reception(1)).await.unwrap().unwrap();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "bad_signature".into() }).await;
    rig.store.follow_up(reception(1), follow_up(1), Lane::Backlog, at(1)).await.unwrap();
    rig.store.save_case(case_write(&case, 2)).await.unwrap();
    let replies = rig.store.kept_replies(reception(1)).await.unwrap();
    let rejected = Reply::Rejected(Rejection { code: REQUEST_REJECTED.into() });
    let later: Vec<_> = replies.into_iter().skip(1).map(|kept| (kept.request, kept.reply)).collect();
    assert_eq!(later, [(follow_up(1).id, rejected.clone()), (follow_up(2).id, rejected)]);
    assert!(rig.select(9).await.is_empty());
}

pub(super) async fn a_later_question_that_stands_alone_goes_although_the_first_one_was_rejected(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(with_case(1)).await.unwrap();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "asked_in_the_future".into() }).await;
    let case = rig.store.case(reception(1)).await.unwrap().unwrap();
    let alone = crate::store::CaseWrite { stands_alone: true, ..case_write(&case, 2) };
    rig.store.save_case(alone).await.unwrap();
    // One that names the rejected question is refused, and it alone.
    rig.store.follow_up(reception(1), follow_up(1), Lane::Backlog, at(1)).await.unwrap();
    let rig = rig.crash().await;
    assert_eq!(rig.line(9).await, [(follow_up(2).id, Lane::Backlog)]);
}

/// The case of reception 1 of patient 1, whose question was rejected, and the write that sends its consents anew as request 9.
async fn case_of_a_rejected_question(rig: &Rig) -> CaseWrite {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(with_case(1)).await.unwrap();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "asked_in_the_future".into() }).await;
    let case = rig.store.case(reception(1)).await.unwrap().unwrap();
    let anew = ConsentsAnew { request: consent_request(9), answered_since: vec![] };
    CaseWrite { request: None, case: case.case.clone(), consents: Some(anew), ..case_write(&case, 2) }
}

pub(super) async fn consents_that_were_rejected_with_their_question_are_sent_anew_once(rig: Rig) {
    let write = case_of_a_rejected_question(&rig).await;
    let commits = rig.store.commits();
    rig.store.save_case(write.clone()).await.unwrap();
    assert_eq!(rig.store.commits(), commits + 1, "with the step, in one commit");
    let rig = rig.crash().await;
    rig.store.save_case(write.clone()).await.unwrap();
    assert_eq!(rig.line(9).await, [(consent_request(9).id, Lane::Backlog)]);
    assert_eq!(states(&rig).await.len(), 2, "in place of those that were rejected");
    rig.store.record_reception(with_case(1)).await.unwrap();
    let again = ConsentsAnew { request: consent_request(10), answered_since: vec![] };
    let later = CaseWrite { version: write.version + 1, consents: Some(again), ..write };
    rig.store.save_case(later.clone()).await.unwrap();
    assert_eq!(rig.line(9).await, [(consent_request(9).id, Lane::Backlog)], "there is nothing to send in place of");
    rig.settle(consent_request(9).id, Settlement::Delivered).await;
    rig.store.save_case(CaseWrite { version: later.version + 1, ..later }).await.unwrap();
    assert!(rig.line(9).await.is_empty(), "nor after it was delivered");
}

pub(super) async fn consents_that_were_rejected_for_a_reason_of_their_own_stay_rejected(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    rig.store.record_reception(with_case(1)).await.unwrap();
    rig.settle(consent_request(1).id, Settlement::Rejected { code: "invalid_argument".into() }).await;
    let case = rig.store.case(reception(1)).await.unwrap().unwrap();
    let anew = ConsentsAnew { request: consent_request(9), answered_since: vec![] };
    let write = CaseWrite { request: None, case: case.case.clone(), consents: Some(anew), ..case_write(&case, 2) };
    rig.store.save_case(write).await.unwrap();
    let rejected = (consent_request(1).id, RowState::Rejected, Some("invalid_argument".to_owned()));
    assert_eq!(states(&rig).await, [rejected]);
}

pub(super) async fn what_a_patient_answers_later_is_never_overtaken_by_consents_that_are_sent_anew(rig: Rig) {
    // Recorded before, and opened after; another patient's.
    rig.store.open_reception(opening(2, 1)).await.unwrap();
    rig.store.record_reception(recording(2, Shown::Provisional)).await.unwrap();
    rig.store.open_reception(opening(3, 3)).await.unwrap();
    let mut write = case_of_a_rejected_question(&rig).await;
    rig.store.record_reception(recording(3, Shown::Provisional)).await.unwrap();
    assert_eq!(rig.store.answered_since(reception(1)).await, Ok(Some(vec![])));
    rig.store.open_reception(opening(4, 1)).await.unwrap();
    assert_eq!(rig.store.answered_since(reception(1)).await, Ok(Some(vec![])), "nothing was said there yet");
    rig.store.record_reception(recording(4, Shown::Provisional)).await.unwrap();
    let error = rig.store.save_case(write.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    let since = rig.store.answered_since(reception(1)).await.unwrap();
    assert_eq!(since, Some(vec![ConsentKind::Checkups]));
    assert_eq!(rig.store.answered_since(reception(99)).await, Ok(None));
    write.consents = Some(ConsentsAnew { request: consent_request(9), answered_since: since.unwrap() });
    rig.store.save_case(write).await.unwrap();
    let waiting = |row: &(_, RowState, _)| row.1 == RowState::Pending;
    let queued = states(&rig).await.into_iter().filter(waiting).map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(queued.last(), Some(&consent_request(9).id), "after all that the patient has said so far: {queued:?}");
}

pub(super) async fn a_consent_recorded_after_its_questions_rejection_is_kept_as_rejected(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, Settlement::Rejected { code: "bad_signature".into() }).await;
    let mut appended = rig.store.appended();
    appended.mark_unchanged();
    for _ in 0..2 {
        rig.store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
        let rejected = (consent_request(1).id, RowState::Rejected, Some(REQUEST_REJECTED.to_owned()));
        assert_eq!(states(&rig).await[1..], [rejected]);
    }
    assert!(rig.select(9).await.is_empty());
    let record = rig.store.reception(reception(1)).await.unwrap().unwrap();
    assert_eq!(record.consents, recording(1, Shown::Provisional).consents, "what the patient said stays");
}

/// Lets a row fail `times` times at noon; it waits for half a minute.
pub(super) async fn fail(rig: &Rig, id: RequestId, times: u32) {
    for _ in 0..times {
        let retry = Settlement::Retry { code: "busy_record".into(), after: Duration::from_secs(30), own: true };
        rig.store.settle(rig.seq(id).await, retry, at(0)).await.unwrap();
    }
}

pub(super) async fn a_consent_never_holds_back_another_receptions_question(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    store.record_reception(recording(1, Shown::Confirmed)).await.unwrap();
    store.open_reception(opening(2, 1)).await.unwrap();
    assert_eq!(rig.line(9).await[0].0, consent_request(1).id, "one that may go goes first, as it came");
    fail(&rig, consent_request(1).id, 1).await;
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Interactive)]);

    store.record_reception(recording(2, Shown::Provisional)).await.unwrap();
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Backlog)], "in the backlog too, and one row of a patient");
    rig.settle(eligibility(2).id, answered()).await;
    assert_eq!(
        rig.line(9).await,
        [(consent_request(2).id, Lane::Backlog)],
        "nor another reception's consent, once that failed"
    );
    let later = store.select(Destination::Central, 9, &[], at(30_000).wall_ms).await.unwrap();
    assert_eq!(later.iter().map(|row| row.request.id).collect::<Vec<_>>(), [consent_request(1).id]);
}

pub(super) async fn kinds_that_are_left_out_wait_in_their_place_and_are_passed_once_they_failed(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    store.record_reception(recording(1, Shown::Confirmed)).await.unwrap();
    store.follow_up(reception(1), follow_up(1), Lane::Backlog, at(1)).await.unwrap();
    store.open_reception(opening(2, 1)).await.unwrap();
    store.open_reception(opening(3, 3)).await.unwrap();
    let without = async |kinds: &[RequestKind], ms| {
        let rows = store.select_without(Destination::Central, 9, &[], kinds, at(ms).wall_ms).await.unwrap();
        rows.into_iter().map(|row| row.request.id).collect::<Vec<_>>()
    };
    let both = [RequestKind::Consent, RequestKind::FollowUp];
    assert_eq!(without(&[], 0).await, [consent_request(1).id, eligibility(3).id]);
    assert_eq!(without(&both[..1], 0).await, [follow_up(1).id, eligibility(3).id]);
    assert_eq!(without(&both, 0).await, [eligibility(3).id], "a question that has not failed is not passed");
    assert_eq!(without(&[], 0).await, [consent_request(1).id, eligibility(3).id], "as before");
    fail(&rig, follow_up(1).id, 1).await;
    assert_eq!(without(&both, 30_000).await, [eligibility(2).id, eligibility(3).id], "due again, but left out");
}

pub(super) async fn a_question_passes_a_row_of_another_reception_that_failed_and_waits(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    store.record_reception(recording(1, Shown::Provisional)).await.unwrap();
    store.open_reception(opening(2, 1)).await.unwrap();
    fail(&rig, eligibility(1).id, 1).await;
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Interactive)], "past the consent that waits for it, too");
    let due = store.select(Destination::Central, 9, &[], at(30_000).wall_ms).await.unwrap();
    assert_eq!(due.iter().map(|row| row.request.id).collect::<Vec<_>>(), [eligibility(1).id], "once due it goes first");

    store.record_reception(recording(2, Shown::Provisional)).await.unwrap();
    assert_eq!(rig.line(9).await, [(eligibility(2).id, Lane::Backlog)], "in the backlog too");
    store.open_reception(opening(3, 1)).await.unwrap();
    assert_eq!(rig.line(9).await[0].0, eligibility(2).id, "a row that has not failed is not passed");
}

pub(super) async fn a_verdict_twice_changes_nothing(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    let seq = rig.seq(eligibility(1).id).await;
    rig.store.settle(seq, answered(), at(1)).await.unwrap();
    rig.store.settle(seq, Settlement::Rejected { code: "late".into() }, at(2)).await.unwrap();
    assert_eq!(rig.store.reception(reception(1)).await.unwrap().unwrap().replied, Some((at(1), eligible())));
    let never_sent = rig.store.settle(seq + 100, answered(), at(3)).await.unwrap_err();
    assert!(matches!(never_sent, StoreError::Unknown { .. }), "{never_sent}");
}

pub(super) async fn a_verdict_of_the_wrong_kind_is_refused(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    let seq = rig.seq(eligibility(1).id).await;
    let error = rig.store.settle(seq, Settlement::Delivered, at(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(rig.select(9).await.len(), 1);
}

pub(super) async fn what_has_failed_goes_after_what_has_not_also_in_the_backlog(rig: Rig) {
    for number in 1..=4 {
        rig.store.open_reception(opening(number, u8::try_from(number).unwrap())).await.unwrap();
        let alone = Recording { request: None, consents: vec![], ..recording(number, Shown::Provisional) };
        rig.store.record_reception(alone).await.unwrap();
    }
    let retry = Settlement::Retry { code: "internal".into(), after: Duration::from_secs(2), own: true };
    for number in [1, 2] {
        let seq = rig.seq(eligibility(number).id).await;
        rig.store.settle(seq, retry.clone(), at(0)).await.unwrap();
    }
    let next = |limit| {
        let selected = rig.store.select(Destination::Central, limit, &[], at(0).wall_ms + 60_000);
        async move { selected.await.unwrap().iter().map(|row| row.request.id).collect::<Vec<_>>() }
    };
    assert_eq!(next(9).await, [3, 4, 1, 2].map(|number| eligibility(number).id));
    assert_eq!(next(3).await, [3, 4, 1].map(|number| eligibility(number).id));
}

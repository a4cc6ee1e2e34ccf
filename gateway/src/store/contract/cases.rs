//! Cases: written with their reception, step by step, and found again.

use super::*;

pub(super) async fn a_case_is_there_as_soon_as_its_reception_counts(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    assert_eq!(rig.store.case(reception(1)).await, Ok(None));
    let mut notices = rig.store.case_notices();
    rig.store.record_reception(with_case(1)).await.unwrap();
    assert_eq!(notices.recv().await, Ok(CaseNotice { reception: reception(1), version: 1 }));
    rig.store.record_reception(with_case(1)).await.unwrap();

    let rig = rig.crash().await;
    let found = rig.store.with_case(&[reception(2), reception(1)]).await;
    assert_eq!(found, Ok(vec![reception(1)]));
    let row = rig.store.case(reception(1)).await.unwrap().unwrap();
    assert_eq!((row.version, row.case.clone(), row.asks.clone()), (1, new_case(1).case, vec![eligibility(1).id]));
    assert_eq!(rig.store.papers(reception(1)).await.unwrap(), new_case(1).papers);
    assert_eq!(rig.store.open_cases(9).await.unwrap(), [row]);

    let mut refused = with_case(2);
    refused.case.as_mut().unwrap().papers = vec![note(&"長".repeat(500)); 60];
    rig.store.open_reception(opening(2, 2)).await.unwrap();
    assert!(matches!(rig.store.record_reception(refused).await, Err(StoreError::Refused { .. })));
    assert_eq!(rig.store.case(reception(2)).await, Ok(None), "neither reception nor case");
    assert_eq!(rig.store.reception(reception(2)).await.unwrap().unwrap().stage, Stage::Open);
}

pub(super) async fn a_step_of_a_case_is_written_once_with_its_question(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(with_case(1)).await.unwrap();
    let row = rig.store.case(reception(1)).await.unwrap().unwrap();
    let write = case_write(&row, 10);
    rig.store.save_case(write.clone()).await.unwrap();
    rig.store.save_case(write.clone()).await.unwrap();

    let rig = rig.crash().await;
    rig.store.save_case(write.clone()).await.unwrap();
    let row = rig.store.case(reception(1)).await.unwrap().unwrap();
    assert_eq!((row.version, &row.case), (2, &write.case));
    assert_eq!(row.asks, [eligibility(1).id, follow_up(10).id]);
    let asked = rig.store.outbox(Destination::Central, 9).await.unwrap();
    assert_eq!(asked.iter().filter(|head| head.id == follow_up(10).id).count(), 1);
    assert_eq!(rig.store.papers(reception(1)).await.unwrap().len(), new_case(1).papers.len() + 1);

    let mut other_body = write;
    other_body.request.as_mut().unwrap().body.push(b'!');
    assert!(matches!(rig.store.save_case(other_body).await, Err(StoreError::Conflict { .. })));
}

pub(super) async fn a_step_made_from_an_older_version_writes_nothing(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(with_case(1)).await.unwrap();
    let row = rig.store.case(reception(1)).await.unwrap().unwrap();
    rig.store.save_case(case_write(&row, 10)).await.unwrap();
    let error = rig.store.save_case(case_write(&row, 11)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    let asked = rig.store.outbox(Destination::Central, 9).await.unwrap();
    assert!(asked.iter().all(|head| head.id != follow_up(11).id));
    let nobody = case_write(&CaseRow { reception: reception(7), ..row }, 12);
    assert!(matches!(rig.store.save_case(nobody).await, Err(StoreError::Unknown { .. })));
}

pub(super) async fn a_case_never_counts_an_ask_that_was_not_written(rig: Rig) {
    rig.store.open_reception(opening(1, 1)).await.unwrap();
    rig.store.record_reception(with_case(1)).await.unwrap();
    let row = rig.store.case(reception(1)).await.unwrap().unwrap();
    let mut without = case_write(&row, 10);
    without.request = None;
    assert!(matches!(rig.store.save_case(without).await, Err(StoreError::Conflict { .. })));
    let mut asks_nothing = case_write(&row, 10);
    asks_nothing.case = row.case.clone();
    assert!(matches!(rig.store.save_case(asks_nothing).await, Err(StoreError::Conflict { .. })));
    assert_eq!(rig.store.case(reception(1)).await.unwrap().unwrap().version, 1);
}

pub(super) async fn an_ended_case_leaves_the_open_ones(rig: Rig) {
    for number in [1, 2] {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
        rig.store.record_reception(with_case(number)).await.unwrap();
    }
    let row = rig.store.case(reception(1)).await.unwrap().unwrap();
    let mut write = case_write(&row, 10);
    (write.case, write.request) = (row.case.clone(), None);
    let close = StaffAction::Close(CloseReason::NoTreatment);
    write.case.step(now(), Event::Staff { turn: row.case.turn(), action: close }, &mut Vec::new());
    rig.store.save_case(write.clone()).await.unwrap();
    let open = rig.store.open_cases(9).await.unwrap();
    assert_eq!(open.iter().map(|row| row.reception).collect::<Vec<_>>(), [reception(2)]);
    let ended = rig.store.ended_cases_since(write.at.wall_ms, 9).await.unwrap();
    assert_eq!(ended.iter().map(|row| row.case.ended()).collect::<Vec<_>>(), [write.case.ended()]);
    assert_eq!(rig.store.ended_cases_since(write.at.wall_ms + 1, 9).await, Ok(vec![]));
}

pub(super) async fn every_later_reply_is_kept_with_its_answer(rig: Rig) {
    let store = &rig.store;
    store.open_reception(opening(1, 1)).await.unwrap();
    rig.settle(eligibility(1).id, answered()).await;
    for number in [10, 11] {
        store.follow_up(reception(1), follow_up(number), Lane::Backlog, at(6)).await.unwrap();
    }
    let mut notices = store.replies();
    rig.settle(follow_up(10).id, answered()).await;
    assert_eq!(notices.recv().await.unwrap().request, follow_up(10).id);
    rig.settle(follow_up(11).id, Settlement::Rejected { code: "no".into() }).await;
    let kept = store.kept_replies(reception(1)).await.unwrap();
    assert_eq!(
        kept.iter().map(|kept| kept.request).collect::<Vec<_>>(),
        [eligibility(1), follow_up(10), follow_up(11)].map(|r| r.id)
    );
    assert!(matches!(kept[2].reply, Reply::Rejected(_)));
    for (request, there) in
        [(eligibility(1), true), (follow_up(10), true), (follow_up(11), false), (follow_up(12), false)]
    {
        let answer = store.answer(reception(1), request.id).await.unwrap();
        assert_eq!(answer.as_deref().map(Vec::as_slice), there.then_some(b"MARKED-ANSWER".as_slice()));
    }
    assert_eq!(store.answer(reception(2), follow_up(10).id).await, Ok(None), "not another reception's");
}

pub(super) async fn open_cases_are_found_by_who_has_to_see_to_them(rig: Rig) {
    for number in [1, 2, 3] {
        rig.store.open_reception(opening(number, number as u8)).await.unwrap();
        rig.store.record_reception(with_case(number)).await.unwrap();
    }
    let row = rig.store.case(reception(2)).await.unwrap().unwrap();
    let mut write = case_write(&row, 10);
    (write.case, write.request) = (row.case.clone(), None);
    write.case.step(now(), Event::Staff { turn: row.case.turn(), action: StaffAction::NextRung }, &mut Vec::new());
    assert_eq!(write.case.owner(), Some(Owner::Desk));
    rig.store.save_case(write).await.unwrap();
    let of = async |owner, limit| {
        let rows = rig.store.open_cases_of(owner, limit).await.unwrap();
        rows.iter().map(|row| row.reception).collect::<Vec<_>>()
    };
    assert_eq!(of(Owner::Desk, 9).await, [reception(2)]);
    assert_eq!(of(Owner::Machine, 9).await, [reception(3), reception(1)]);
    assert_eq!(of(Owner::Machine, 1).await, [reception(3)], "who came last is not left out");
    let count = async |owner| rig.store.count_open_cases_of(owner).await.unwrap();
    assert_eq!((count(Owner::Desk).await, count(Owner::Machine).await), (1, 2));
}

pub(super) async fn a_patient_who_comes_again_is_known_by_the_open_cases_of_earlier_receptions(rig: Rig) {
    // Patients 1 and 2; reception 3 is patient 1 again, reception 4 once more.
    for (number, of) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        rig.store.open_reception(opening(number, of)).await.unwrap();
    }
    for number in [1, 2, 4] {
        rig.store.record_reception(with_case(number)).await.unwrap();
    }
    let earlier = async |of| {
        let rows = rig.store.earlier_cases(reception(of), 9).await.unwrap();
        rows.iter().map(|row| row.reception).collect::<Vec<_>>()
    };
    assert_eq!(earlier(3).await, [reception(1)], "neither another patient's nor a later one");
    assert_eq!(earlier(4).await, [reception(1)]);
    assert_eq!(earlier(1).await, []);
    assert_eq!(earlier(9).await, [], "nobody's");
}

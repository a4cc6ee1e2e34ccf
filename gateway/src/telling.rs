//! A reception told with everything that the store has of it: the one place that the command line and the staff page ask.

use crate::central;
use crate::store::{CaseRow, Store, StoreError};
use uketsuke_core::answer::Verdict;
use uketsuke_core::clock::Now;
use uketsuke_core::explain::{self, Explanation, Lang};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::record::{ReceptionRecord, Reply};
use uketsuke_core::visit::{self, OfVisit};

/// Tells a reception with its case as it stands, what its answer says beside the verdict, and its place in its visit. What of that cannot
/// be read is left out and logged: it must not hide the rest.
pub async fn reception(
    store: &Store,
    record: &ReceptionRecord,
    case: Option<&CaseRow>,
    now: Now,
    lang: Lang,
) -> Explanation {
    let told = outcome(store, record, case, now, lang).await;
    match store.visit(record.same_visit_as.unwrap_or(record.reception)).await {
        Ok(visit) if visit.len() > 1 => explain::of_visit(told, record.reception, goes(&visit), lang),
        Ok(_) => told,
        Err(error) => {
            unread(record, &error);
            told
        }
    }
}

/// The same without its place in the visit, which changes no advice: for lists, which are drawn often.
pub async fn outcome(
    store: &Store,
    record: &ReceptionRecord,
    case: Option<&CaseRow>,
    now: Now,
    lang: Lang,
) -> Explanation {
    let told = explain::with_case(record, case.map(|row| (&row.case, now)), lang);
    match waits_for_ticket(store, record).await {
        Ok(true) => explain::without_ticket(told, lang),
        Ok(false) => told,
        Err(error) => {
            unread(record, &error);
            told
        }
    }
}

fn unread(record: &ReceptionRecord, error: &StoreError) {
    tracing::warn!(%error, reception = %record.reception, "a reception could not be told whole");
}

/// Which reception of a visit goes to the receipt computer. T2 carries a time; two of the same millisecond go by the order in which they
/// were opened.
fn goes(visit: &[ReceptionRecord]) -> Option<ReceptionId> {
    let mut recorded: Vec<_> = visit
        .iter()
        .filter_map(|record| record.recorded.as_ref().map(|(at, _)| (at.wall_ms, record.reception)))
        .collect();
    recorded.sort_unstable();
    let places: Vec<OfVisit> =
        (0u64..).zip(recorded).map(|(place, (_, reception))| OfVisit { reception, recorded: Some(place) }).collect();
    visit::goes_to_receipt_computer(&places)
}

/// 有効(未登録): the insurance is valid, but the medical ticket (医療券) is not registered yet.
async fn waits_for_ticket(store: &Store, record: &ReceptionRecord) -> Result<bool, StoreError> {
    let Some((_, counts @ Reply::Answered { verdict: Verdict::Eligible, .. })) = record.reply() else {
        return Ok(false);
    };
    let replies = store.kept_replies(record.reception).await?;
    let Some(kept) = replies.iter().rev().find(|kept| kept.reply == *counts) else { return Ok(false) };
    let answer = store.answer(record.reception, kept.request).await?;
    Ok(answer.is_some_and(|answer| central::waits_for_ticket(&answer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uketsuke_core::clock::Stamp;
    use uketsuke_core::ids::RequestId;
    use uketsuke_core::record::{Evidence, Method, Shown, Stage, Verification};
    use uuid::Uuid;

    fn record(n: u128, recorded_ms: Option<i64>) -> ReceptionRecord {
        let at = |wall_ms| Stamp { wall_ms, synchronised: true };
        ReceptionRecord {
            reception: ReceptionId(Uuid::from_u128(n)),
            request: RequestId(Uuid::from_u128(n)),
            reader: "desk-1/a".into(),
            evidence: Evidence::of(Verification::by(Method::Pin)),
            same_visit_as: None,
            stage: Stage::Closed,
            opened: at(0),
            recorded: recorded_ms.map(|ms| (at(ms), Shown::Confirmed)),
            consents: vec![],
            abandoned: None,
            replied: None,
            followed_up: None,
        }
    }

    #[test]
    fn the_reception_recorded_first_goes_to_the_receipt_computer_whichever_was_opened_first() {
        let visit = [record(1, None), record(2, Some(9)), record(3, Some(4))];
        assert_eq!(goes(&visit), Some(ReceptionId(Uuid::from_u128(3))));
        assert_eq!(goes(&visit[..1]), None);
    }
}

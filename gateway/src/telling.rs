//! A reception told with everything that the store has of it: the one place that the command line and the staff page ask.

use crate::central;
use crate::store::{CaseRow, Store, StoreError, papers};
use uketsuke_core::answer::Verdict;
use uketsuke_core::clock::Now;
use uketsuke_core::explain::{self, EarlierCase, Explanation, Lang};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::record::{ReceptionRecord, Reply};
use uketsuke_core::visit::{self, OfVisit};

/// Earlier open cases that are told; a patient who has more is known at the desk.
const EARLIER_MAX: usize = 3;

/// Tells a reception with its case as it stands, what was agreed to for the case, what its answer says beside the verdict, its place in
/// its visit, and what is open from earlier ones. What of that cannot be read is left out and logged: it must not hide the rest.
pub async fn reception(
    store: &Store,
    record: &ReceptionRecord,
    case: Option<&CaseRow>,
    now: Now,
    lang: Lang,
) -> Explanation {
    let mut told = outcome(store, record, case, now, lang).await;
    if case.is_some_and(|row| row.case.answered_late()) {
        told = explain::answered_late(told, lang);
    }
    let told = match case {
        Some(_) => asked_since(store, record, told, lang).await,
        None => told,
    };
    let told = match earlier(store, record.reception, lang).await {
        Ok(earlier) => explain::with_earlier(told, earlier, lang),
        Err(error) => {
            unread(record, &error);
            told
        }
    };
    match store.visit(record.same_visit_as.unwrap_or(record.reception)).await {
        Ok(visit) if visit.len() > 1 => explain::of_visit(told, record.reception, goes(&visit), lang),
        Ok(_) => told,
        Err(error) => {
            unread(record, &error);
            told
        }
    }
}

/// With what the patient agreed to when staff entered numbers for the case.
async fn asked_since(store: &Store, record: &ReceptionRecord, told: Explanation, lang: Lang) -> Explanation {
    match store.papers(record.reception).await {
        Ok(filed) => explain::asked_since(told, papers::consents_since(&filed), lang),
        Err(error) => {
            unread(record, &error);
            told
        }
    }
}

/// What is still open from earlier receptions of the same patient, and can be settled now that the patient is here; the oldest few.
///
/// # Errors
/// When the store cannot be read.
pub async fn earlier(store: &Store, reception: ReceptionId, lang: Lang) -> Result<Vec<EarlierCase>, StoreError> {
    let rows = store.earlier_cases(reception, EARLIER_MAX).await?;
    let told = rows.iter().map(|row| explain::earlier_case(row.reception, row.opened_ms, &row.case, lang));
    Ok(told.collect())
}

/// The same without what stands beside it, which changes no advice: for lists, which are drawn often.
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

/// Which reception of a visit goes to the receipt computer. Those that an older version recorded have no place: they were before all that
/// have one, and among themselves go by the order in which they were opened.
fn goes(visit: &[ReceptionRecord]) -> Option<ReceptionId> {
    let place = |record: &ReceptionRecord| record.recorded.as_ref().map(|_| record.recorded_place.unwrap_or(0));
    let places = visit.iter().map(|record| OfVisit { reception: record.reception, recorded: place(record) });
    visit::goes_to_receipt_computer(&places.collect::<Vec<_>>())
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

    fn record(n: u128, recorded_place: Option<u64>) -> ReceptionRecord {
        let at = |wall_ms| Stamp { wall_ms, synchronised: true };
        ReceptionRecord {
            reception: ReceptionId(Uuid::from_u128(n)),
            request: RequestId(Uuid::from_u128(n)),
            reader: "desk-1/a".into(),
            evidence: Evidence::of(Verification::by(Method::Pin)),
            same_visit_as: None,
            stage: Stage::Closed,
            opened: at(0),
            // A clock that was set back between two of them decides nothing.
            recorded: recorded_place.map(|place| (at(-i64::try_from(place).unwrap()), Shown::Confirmed)),
            recorded_place,
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

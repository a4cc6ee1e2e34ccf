//! Cases as they are kept: what T2 opens, what each step writes, what a reader gets.

use super::papers::{self, Paper};
use super::{Lane, Request, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::{Consent, ConsentKind};
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::Case;
use uketsuke_core::record::Reply;

/// A case that T2 opens together with its reception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// As it begins.
    pub case: Case,
    /// The request whose answer is its ask 0: the reception's own, or the 初回登録 that followed it.
    pub asked: RequestId,
    /// What is filed with it from the start.
    pub papers: Vec<Paper>,
}

/// One step of a case: the case, what was filed, and the question that it asks, in one transaction.
#[derive(Clone)]
pub struct CaseWrite {
    /// Whose case.
    pub reception: ReceptionId,
    /// The version that this step was made from.
    pub version: u64,
    /// As it is after the step.
    pub case: Case,
    /// What was filed with this step.
    pub papers: Vec<Paper>,
    /// The request for the ask that this step has made, if it made one.
    pub request: Option<Request>,
    /// The request says itself whom it asks about and names no earlier one: that the reception's question was refused is no reason not to
    /// send it.
    pub stands_alone: bool,
    /// How urgent that is.
    pub lane: Lane,
    /// What the patient said at the check-in, to be sent anew.
    pub consents: Option<ConsentsAnew>,
    /// When.
    pub at: Stamp,
}

/// The consents of a reception once more, after their question was refused and a later one has proven the person. They take the place of
/// those that were rejected with the question ([`super::REQUEST_REJECTED`]), and are sent only if those are there: so once, and none
/// that was delivered or rejected for a reason of its own.
#[derive(Clone)]
pub struct ConsentsAnew {
    /// Under an id of its own, naming the question that was answered.
    pub request: Request,
    /// What [`super::Store::answered_since`] said. If it is so no more, the write is a conflict: what the patient said later is never
    /// overtaken.
    pub answered_since: Vec<ConsentKind>,
}

/// A case as the store gives it back: everything but its papers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRow {
    /// Whose case.
    pub reception: ReceptionId,
    /// Grows with every write; the first is 1.
    pub version: u64,
    /// The case.
    pub case: Case,
    /// The requests of its asks, by number.
    pub asks: Vec<RequestId>,
    /// When it was opened, in milliseconds since 1970 UTC.
    pub opened_ms: i64,
    /// When it ended, in milliseconds since 1970 UTC.
    pub ended_ms: Option<i64>,
}

/// A reply to one of a reception's questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReply {
    /// Which question.
    pub request: RequestId,
    /// When.
    pub at: Stamp,
    /// What.
    pub reply: Reply,
}

/// A case was opened or changed. A listener that lags asks the store again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseNotice {
    /// Whose.
    pub reception: ReceptionId,
    /// Its version since.
    pub version: u64,
}

/// What both backends do with a [`CaseWrite`], once the row is found.
pub(super) enum Step {
    /// It was written before.
    Known,
    /// Write this; the papers are all that the case has.
    Write(Box<CaseRow>, Vec<Paper>),
}

/// Decides what a write does to the row that is there. `body_known`: whether the request is kept with these very bytes.
pub(super) fn step(
    write: &CaseWrite,
    row: &CaseRow,
    papers: &[Paper],
    body_known: Option<bool>,
) -> Result<Step, StoreError> {
    let what = format!("the case of reception {}", write.reception);
    let request = write.request.as_ref().map(|request| request.id);
    let conflict = |why| Err(StoreError::Conflict { what: what.clone(), why });
    if row.version == write.version.saturating_add(1)
        && row.case == write.case
        && papers.ends_with(&write.papers)
        && request.is_none_or(|id| row.asks.last() == Some(&id) && body_known == Some(true))
    {
        return Ok(Step::Known);
    }
    if row.version != write.version {
        return conflict("it has changed since it was read");
    }
    if body_known.is_some() {
        return conflict("the id of its question is in use");
    }
    let mut asks = row.asks.clone();
    asks.extend(request);
    // An ask without its request would be waited for in vain.
    if asks.len() != write.case.ask() as usize + 1 {
        return conflict("its asks and its requests do not agree");
    }
    let mut all = papers.to_vec();
    all.extend_from_slice(&write.papers);
    papers::check_size(&what, &all)?;
    let ended_ms = row.ended_ms.or_else(|| write.case.is_final().then_some(write.at.wall_ms));
    let (case, version) = (write.case.clone(), row.version + 1);
    Ok(Step::Write(Box::new(CaseRow { version, case, asks, ended_ms, ..row.clone() }), all))
}

/// The kinds of these consents, each once.
pub(super) fn kinds<'a>(consents: impl Iterator<Item = &'a Consent>) -> Vec<ConsentKind> {
    consents.map(|consent| consent.kind).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The row that T2 writes.
pub(super) fn opened(reception: ReceptionId, new: &NewCase, at: Stamp) -> CaseRow {
    CaseRow {
        reception,
        version: 1,
        case: new.case.clone(),
        asks: vec![new.asked],
        opened_ms: at.wall_ms,
        ended_ms: new.case.is_final().then_some(at.wall_ms),
    }
}

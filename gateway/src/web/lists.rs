//! The lists of the staff page: what the desk has to see to, what the gateway waits for, and who is still to be received today.
//!
//! Whoever has been seen to leaves them: by another reception of the visit, by the end of the case, or by a word of staff.

use super::WebState;
use super::jst;
use super::page;
use super::trail::{EndedRow, Trail};
use super::words::Words;
use crate::store::{CaseRow, Store, StoreError};
use crate::telling;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uketsuke_core::clock::Now;
use uketsuke_core::explain::{self, Advice};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::ladder::Owner;
use uketsuke_core::record::ReceptionRecord;

/// Rows of each list, the newest. A desk looks at the first few; a page of its own has them all.
const ROWS_MAX: usize = 50;

/// Rows of the list of latest receptions.
const LATEST_MAX: usize = 20;

/// Receptions of a day that ended early, as far as is looked for those that are still to be seen to.
const ABANDONED_MAX: usize = 1_000;

/// Rows of the page that has all cases of an owner: far more than a site has open, little enough to be drawn.
const ALL_MAX: usize = 5_000;

/// Everything the lists show.
pub(super) struct Lists {
    pub(super) desk: Cut,
    pub(super) waiting: Cut,
    pub(super) abandoned: Vec<ReceptionRow>,
    /// Some of today's did not fit.
    pub(super) more_abandoned: bool,
    pub(super) ended: Vec<EndedRow>,
    pub(super) more_ended: bool,
    pub(super) latest: Vec<ReceptionRow>,
}

/// The first rows of a list, and how many there are.
pub(super) struct Cut {
    pub(super) rows: Vec<CaseLine>,
    pub(super) total: usize,
}

impl Cut {
    /// How many rows are left out.
    pub(super) fn more(&self) -> usize {
        self.total.saturating_sub(self.rows.len())
    }
}

pub(super) struct CaseLine {
    pub(super) id: ReceptionId,
    pub(super) time: String,
    /// Where it was received; empty when that cannot be read.
    pub(super) reader: String,
    pub(super) advice: Advice,
    pub(super) deadline: String,
}

pub(super) struct ReceptionRow {
    pub(super) id: ReceptionId,
    pub(super) time: String,
    pub(super) reader: String,
    pub(super) advice: Advice,
    /// Staff may say that they have seen to it.
    pub(super) to_settle: bool,
}

#[derive(Template)]
#[template(path = "staff/cases.html")]
struct AllPage {
    w: Words,
    title: &'static str,
    cut: Cut,
}

/// Reads all of them.
pub(super) async fn lists(state: &WebState, w: Words) -> Result<Lists, StoreError> {
    let (store, now) = (&state.store, state.clock.now());
    let now_ms = now.stamp.wall_ms;
    let today = jst::midnight_before(now_ms);
    let trail = Trail::read(store, now_ms).await?;
    let mut abandoned = Vec::new();
    for record in store.abandoned_since(today, ABANDONED_MAX).await? {
        if abandoned.len() > ROWS_MAX {
            break;
        }
        if !trail.settled(record.reception.0) && !received_since(store, &record).await? {
            let advice = explain::reception(&record, w.0).advice;
            abandoned.push(row(record, advice, true, now_ms));
        }
    }
    let mut ended = trail.ended_since(today, ROWS_MAX + 1, w);
    let (more_abandoned, more_ended) = (abandoned.len() > ROWS_MAX, ended.len() > ROWS_MAX);
    abandoned.truncate(ROWS_MAX);
    ended.truncate(ROWS_MAX);
    let mut latest = Vec::new();
    for record in store.receptions(LATEST_MAX).await? {
        let case = store.case(record.reception).await?;
        let advice = telling::outcome(store, &record, case.as_ref(), now, w.0).await.advice;
        latest.push(row(record, advice, false, now_ms));
    }
    let (desk, waiting) = (cut(store, Owner::Desk, now, w).await?, cut(store, Owner::Machine, now, w).await?);
    Ok(Lists { desk, waiting, abandoned, more_abandoned, ended, more_ended, latest })
}

fn row(record: ReceptionRecord, advice: Advice, to_settle: bool, now_ms: i64) -> ReceptionRow {
    let time = jst::moment(record.opened.wall_ms, now_ms);
    ReceptionRow { id: record.reception, time, reader: record.reader, advice, to_settle }
}

/// Whether another reception of the same visit was recorded: then the patient has been received.
async fn received_since(store: &Store, record: &ReceptionRecord) -> Result<bool, StoreError> {
    let visit = store.visit(record.same_visit_as.unwrap_or(record.reception)).await?;
    Ok(visit.iter().any(|other| other.recorded.is_some()))
}

/// The newest open cases of an owner.
async fn cut(store: &Store, owner: Owner, now: Now, w: Words) -> Result<Cut, StoreError> {
    let found = store.open_cases_of(owner, ROWS_MAX).await?;
    let total = match found.len() {
        ROWS_MAX => usize::try_from(store.count_open_cases_of(owner).await?).unwrap_or(usize::MAX),
        all => all,
    };
    Ok(Cut { rows: lines(store, &found, now, w).await, total })
}

async fn lines(store: &Store, cases: &[CaseRow], now: Now, w: Words) -> Vec<CaseLine> {
    let mut lines = Vec::new();
    for row in cases {
        let told = explain::case(&row.case, now, w.0);
        let time = jst::moment(row.opened_ms, now.stamp.wall_ms);
        // One altered row must not hide the others.
        let reader = store.reception(row.reception).await.ok().flatten().map(|record| record.reader);
        let reader = reader.unwrap_or_default();
        lines.push(CaseLine { id: row.reception, time, reader, advice: told.advice, deadline: told.deadline_words });
    }
    lines
}

/// `GET /staff/cases/{owner}`: every open case of the desk or of the gateway, those due soonest first.
pub(super) async fn all(request: HttpRequest, state: web::Data<WebState>, owner: web::Path<String>) -> HttpResponse {
    let w = Words::of(&request);
    let (owner, title) = match owner.as_str() {
        "desk" => (Owner::Desk, w.t("窓口で対応する受付(すべて)", "To be seen to at the desk, all of them")),
        "machine" => (Owner::Machine, w.t("自動で確認中の受付(すべて)", "Being confirmed by itself, all of them")),
        _ => return page::not_found(request).await,
    };
    let (store, now) = (&state.store, state.clock.now());
    let mut found = match store.open_cases_of(owner, ALL_MAX).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the open cases could not be read");
            return HttpResponse::ServiceUnavailable()
                .content_type("text/plain; charset=utf-8")
                .body(error.to_string());
        }
    };
    let total = match found.len() {
        ALL_MAX => store.count_open_cases_of(owner).await.map_or(ALL_MAX, |count| count.try_into().unwrap_or(ALL_MAX)),
        all => all,
    };
    found.sort_by_key(|row| row.case.due_in(now));
    let rows = lines(store, &found, now, w).await;
    page::html(StatusCode::OK, &AllPage { w, title, cut: Cut { rows, total } })
}

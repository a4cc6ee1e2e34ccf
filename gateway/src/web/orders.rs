//! What staff decide: the only requests that change something.

use super::WebState;
use super::trail::Trail;
use crate::handle::{ReaderInput, ReaderName, ReaderStatus};
use crate::store::{Store, StoreError, TrailEntry};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::reception::StaffDecision;
use uketsuke_core::record::{ReceptionRecord, StaffName};
use uuid::Uuid;

/// `POST /staff/decision`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionOrder {
    terminal: String,
    reader: String,
    reception: ReceptionId,
    decision: Decision,
    /// Who looked.
    by: StaffName,
}

/// `POST /staff/assist`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssistOrder {
    terminal: String,
    reader: String,
    reception: ReceptionId,
    assist: Assist,
    /// Who helps, or helps no longer.
    by: StaffName,
}

/// `POST /staff/settle`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleOrder {
    /// Which row: a line of the trail, or a reception that ended early.
    entry: Uuid,
    /// Who has seen to it.
    by: StaffName,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Assist {
    Begin,
    End,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    SamePerson,
    NotSamePerson,
}

/// `POST /staff/restart`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartOrder {
    terminal: String,
    reader: String,
}

/// What came of an order: a word for the page's script.
#[derive(Debug, Serialize)]
struct Told {
    result: &'static str,
}

fn told(status: StatusCode, result: &'static str) -> HttpResponse {
    HttpResponse::build(status).json(Told { result })
}

/// Bounds the body; the answer to a bad one does not repeat it.
pub(super) fn json_config(bytes_max: usize) -> web::JsonConfig {
    web::JsonConfig::default().limit(bytes_max).error_handler(|error, _| {
        InternalError::from_response(error, told(StatusCode::BAD_REQUEST, "malformed")).into()
    })
}

/// The reception that staff may decide about now: 目視確認 may be started at any time while the person is not verified yet, asked
/// for or not.
pub(super) fn open_to_decision(status: &ReaderStatus) -> Option<ReceptionId> {
    status.reception.filter(|_| matches!(status.state, "choosing" | "face" | "pin" | "staff_look"))
}

/// Takes the decision of a staff look to the reader, if this reception is still open to one.
pub(super) async fn decision(state: web::Data<WebState>, order: web::Json<DecisionOrder>) -> HttpResponse {
    let Some(reader) = state.site.reader(&order.terminal, &order.reader) else {
        return told(StatusCode::NOT_FOUND, "unknown_reader");
    };
    if open_to_decision(&reader.status().borrow()) != Some(order.reception) {
        return told(StatusCode::CONFLICT, "not_wanted");
    }
    let decision = match order.decision {
        Decision::SamePerson => StaffDecision::SamePerson,
        Decision::NotSamePerson => StaffDecision::NotSamePerson,
    };
    let order = order.into_inner();
    if !reader.input(ReaderInput::Staff(order.reception, decision, order.by)) {
        return told(StatusCode::SERVICE_UNAVAILABLE, "busy");
    }
    tracing::info!(reader = %reader.name(), reception = %order.reception, ?decision, "staff decided");
    told(StatusCode::ACCEPTED, "accepted")
}

/// Staff do the rest of a reception for a patient who tells them, or leave it to the patient again; what is answered from here on is
/// recorded so, with who helps.
pub(super) async fn assist(state: web::Data<WebState>, order: web::Json<AssistOrder>) -> HttpResponse {
    let Some(reader) = state.site.reader(&order.terminal, &order.reader) else {
        return told(StatusCode::NOT_FOUND, "unknown_reader");
    };
    if reader.status().borrow().reception != Some(order.reception) {
        return told(StatusCode::CONFLICT, "not_wanted");
    }
    let order = order.into_inner();
    let input = match order.assist {
        Assist::Begin => ReaderInput::Assist(order.reception, order.by),
        Assist::End => ReaderInput::Leave(order.reception),
    };
    if !reader.input(input) {
        return told(StatusCode::SERVICE_UNAVAILABLE, "busy");
    }
    tracing::info!(reader = %reader.name(), reception = %order.reception, assist = ?order.assist, "staff assist");
    told(StatusCode::ACCEPTED, "accepted")
}

/// Staff have seen to a patient of the lists who was not received: the trail says so, and the row leaves the list.
pub(super) async fn settle(state: web::Data<WebState>, order: web::Json<SettleOrder>) -> HttpResponse {
    let SettleOrder { entry, by } = order.into_inner();
    let at = state.clock.stamp();
    match settles(&state.store, entry, at.wall_ms).await {
        Ok(true) => {}
        Ok(false) => return told(StatusCode::CONFLICT, "not_wanted"),
        Err(error) => return not_settled(&error),
    }
    if let Err(error) = state.store.note(TrailEntry::settling(entry, &by, at)).await {
        return not_settled(&error);
    }
    state.lists_changed();
    tracing::info!(%entry, "staff have seen to a patient who was not received");
    told(StatusCode::ACCEPTED, "accepted")
}

/// Whether there is something to settle, and nobody has.
async fn settles(store: &Store, entry: Uuid, now_ms: i64) -> Result<bool, StoreError> {
    let trail = Trail::read(store, now_ms).await?;
    if trail.settled(entry) {
        return Ok(false);
    }
    let given_up = |record: ReceptionRecord| record.abandoned.is_some();
    Ok(trail.has(entry) || store.reception(ReceptionId(entry)).await?.is_some_and(given_up))
}

fn not_settled(error: &StoreError) -> HttpResponse {
    tracing::error!(%error, "it could not be kept that staff have seen to a patient");
    told(StatusCode::SERVICE_UNAVAILABLE, "busy")
}

/// Asks for a reader to be started again.
pub(super) async fn restart(state: web::Data<WebState>, order: web::Json<RestartOrder>) -> HttpResponse {
    let Some(reader) = state.site.reader(&order.terminal, &order.reader) else {
        return told(StatusCode::NOT_FOUND, "unknown_reader");
    };
    let name: ReaderName = reader.name().clone();
    tracing::info!(reader = %name, "staff asked for a restart");
    match state.site.restarts.try_send(name) {
        Ok(()) => told(StatusCode::ACCEPTED, "accepted"),
        Err(_) => told(StatusCode::SERVICE_UNAVAILABLE, "busy"),
    }
}

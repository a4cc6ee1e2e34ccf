//! What a form on a staff page is answered: lines to be read, never what was typed.

use super::words::Words;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use uketsuke_core::fields::FieldProblem;
use uketsuke_core::ids::ReceptionId;
use uuid::Uuid;

/// The answer to a form.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    /// A word for the page's script.
    pub(super) result: &'static str,
    /// The reception that came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reception: Option<ReceptionId>,
    /// Lines for people.
    pub(super) lines: Vec<String>,
    /// What the same form can be sent as instead: a button of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offer: Option<Offer>,
}

/// Another way that is open for what was typed.
#[derive(Debug, Serialize)]
pub(super) struct Offer {
    /// The field of the form that is different then, and its value.
    pub(super) field: &'static str,
    pub(super) value: &'static str,
    /// What the button says.
    pub(super) label: &'static str,
    /// What is settled by it: the form says so in its field of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instead_of: Option<Uuid>,
}

impl Said {
    pub(super) fn yes(line: &str) -> Self {
        Self { result: "done", reception: None, lines: vec![line.to_owned()], offer: None }
    }

    pub(super) fn no(line: &str) -> Self {
        Self { result: "refused", reception: None, lines: vec![line.to_owned()], offer: None }
    }
}

pub(super) fn said(status: StatusCode, said: Said) -> HttpResponse {
    HttpResponse::build(status).json(said)
}

/// One field to be put right.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) label: &'static str,
    pub(super) what: &'static str,
    pub(super) fix: &'static str,
}

impl Problem {
    pub(super) fn of(problem: &FieldProblem, w: Words) -> Self {
        Self { label: problem.field.label().pick(w.0), what: problem.what.pick(w.0), fix: problem.fix.pick(w.0) }
    }
}

pub(super) fn problems(found: Vec<Problem>, w: Words) -> HttpResponse {
    let mut lines = vec![w.t("次の項目を直してください。", "Put these fields right:").to_owned()];
    lines.extend(found.iter().map(|Problem { label, what, fix }| format!("{label}: {what} {fix}")));
    said(StatusCode::UNPROCESSABLE_ENTITY, Said { result: "problems", reception: None, lines, offer: None })
}

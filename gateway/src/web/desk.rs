//! The desk page: patients without a card, special modes, and the trail of who opened what.

use super::WebState;
use super::forms::{Offer, Problem, Said, problems, said};
use super::page;
use super::trail::{self, TrailRow, word};
use super::words::Words;
use crate::front_desk::{Entered, NotEntered};
use crate::modes::NotDone;
use crate::telling;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use std::time::Duration;
use uketsuke_core::date::Date;
use uketsuke_core::desk::{DeskDecision, EntryKind, Fields};
use uketsuke_core::modes::{Event, FourItemsTyped, Mode, Permission, Scope};
use uketsuke_core::record::StaffName;
use uketsuke_core::rules::{Rules, Today};
use uuid::Uuid;
use zeroize::Zeroize;

#[derive(Template)]
#[template(path = "staff/desk.html")]
struct DeskPage<'a> {
    w: Words,
    site: &'a str,
    kinds: Vec<(&'static str, &'static str)>,
    documents: Vec<DocumentRow>,
    four_items: Option<&'static str>,
    modes: Vec<ModeRow>,
    nobody_authorised: bool,
    trail: Vec<TrailRow>,
}

struct DocumentRow {
    title: &'static str,
    meaning: &'static str,
}

struct ModeRow {
    word: &'static str,
    title: &'static str,
    /// What it opens here, and what it does not.
    scope: &'static str,
    open: Option<OpenRow>,
    announced: bool,
}

struct OpenRow {
    by: String,
    reason: String,
    left: String,
}

/// `GET /staff/desk`.
pub(super) async fn page(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let w = Words::of(&request);
    let now = state.clock.stamp();
    let rules = Rules::on(Today::of(now));
    let open = state.desk.modes.now();
    let trail = trail::of_modes(&state.store, now.wall_ms, w).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the trail could not be read");
        Vec::new()
    });
    let row = |mode: Mode| ModeRow {
        word: word(mode),
        title: mode.title().pick(w.0),
        scope: mode.scope().pick(w.0),
        open: open.open().find(|(opened, _)| *opened == mode).map(|(_, open)| OpenRow {
            by: open.by.as_str().to_owned(),
            reason: open.reason.clone(),
            left: minutes(open.remaining(), w),
        }),
        announced: mode == Mode::Disaster,
    };
    let page = DeskPage {
        w,
        site: &state.site.site,
        kinds: EntryKind::ALL.into_iter().map(|kind| (kind.word(), kind.document().title().pick(w.0))).collect(),
        documents: rules
            .documents()
            .map(|(_, rule)| DocumentRow { title: rule.title.pick(w.0), meaning: rule.meaning.pick(w.0) })
            .collect(),
        four_items: state.desk.modes.permits(Permission::RecordWithoutCard).map(|mode| mode.title().pick(w.0)),
        modes: Mode::ALL.into_iter().map(row).collect(),
        nobody_authorised: state.desk.modes.nobody_authorised(),
        trail,
    };
    page::html(StatusCode::OK, &page)
}

fn minutes(left: Duration, w: Words) -> String {
    let minutes = left.as_secs().div_ceil(60);
    format!("{}{} {}{}", w.t("あと", ""), minutes / 60, w.t("時間", "h "), minutes % 60) + w.t("分", " min left")
}

/// `POST /staff/document`. Wiped when dropped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentOrder {
    by: StaffName,
    kind: EntryKind,
    insurer_number: String,
    symbol: String,
    number: String,
    branch: String,
    birthdate: String,
    valid_until: String,
    /// Nothing while nobody has chosen.
    #[serde(default)]
    limit_certificate: Option<bool>,
    /// The line of the trail about a document of this patient that did not count; empty or missing for most.
    #[serde(default)]
    instead_of: String,
}

impl Drop for DocumentOrder {
    fn drop(&mut self) {
        for typed in
            [&mut self.insurer_number, &mut self.symbol, &mut self.number, &mut self.branch, &mut self.birthdate]
        {
            typed.zeroize();
        }
    }
}

/// Receives a patient by a document.
pub(super) async fn document(
    request: HttpRequest,
    state: web::Data<WebState>,
    order: web::Json<DocumentOrder>,
) -> HttpResponse {
    let w = Words::of(&request);
    let typed = Fields {
        insurer_number: &order.insurer_number,
        symbol: &order.symbol,
        number: &order.number,
        branch: &order.branch,
        birthdate: &order.birthdate,
        valid_until: &order.valid_until,
    };
    let instead_of = order.instead_of.parse().ok();
    let result = state.desk.document(order.kind, &typed, order.limit_certificate, instead_of, order.by.clone()).await;
    entered(&state, result, w).await
}

/// `POST /staff/four-items`. Wiped when dropped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FourItemsOrder {
    by: StaffName,
    name: String,
    sex: String,
    birthdate: String,
    address: String,
}

impl Drop for FourItemsOrder {
    fn drop(&mut self) {
        for typed in [&mut self.name, &mut self.sex, &mut self.birthdate, &mut self.address] {
            typed.zeroize();
        }
    }
}

/// Receives a patient by the four items.
pub(super) async fn four_items(
    request: HttpRequest,
    state: web::Data<WebState>,
    order: web::Json<FourItemsOrder>,
) -> HttpResponse {
    let typed =
        FourItemsTyped { name: &order.name, sex: &order.sex, birthdate: &order.birthdate, address: &order.address };
    entered(&state, state.desk.four_items(&typed, order.by.clone()).await, Words::of(&request)).await
}

async fn entered(state: &WebState, result: Result<Entered, NotEntered>, w: Words) -> HttpResponse {
    match result {
        Ok(Entered::Problems(found)) => problems(found.iter().map(|problem| Problem::of(problem, w)).collect(), w),
        Ok(Entered::NotAllowed) => said(
            StatusCode::CONFLICT,
            Said::no(w.t(
                "この受付は、システム障害時モードまたは災害時モードが開いている間だけ使えます。番号がわからない方には被保険者資格申立書を書いていただき、番号がわかり次第、上の「申立書」で受け付けてください。10割の請求はしません。",
                "This is possible only while the system failure or disaster mode is open. Let a patient who knows no number fill in the declaration (被保険者資格申立書), and receive by it, above, once the numbers are known. Do not bill 100 %.",
            )),
        ),
        Ok(Entered::Otherwise { decision, noted }) => {
            state.lists_changed();
            said(StatusCode::OK, otherwise(decision, noted, w))
        }
        Ok(Entered::Received { reception, decision, warnings }) => {
            let mut lines = vec![received(decision, w).to_owned()];
            lines.extend(warnings.iter().map(|warning| {
                let problem = Problem::of(warning, w);
                format!("{}: {} {}", problem.label, problem.what, problem.fix)
            }));
            match telling::earlier(&state.store, reception, w.0).await {
                Ok(earlier) => lines.extend(earlier.iter().map(|case| case.line(w.0))),
                Err(error) => tracing::warn!(%error, %reception, "earlier cases could not be read"),
            }
            said(StatusCode::CREATED, Said { result: "received", reception: Some(reception), lines, offer: None })
        }
        Err(error) => {
            tracing::error!(%error, "a patient without a card could not be received");
            said(
                StatusCode::SERVICE_UNAVAILABLE,
                Said::no(w.t(
                    "いま記録できません。もう一度お試しください。患者さんは紙に控えて受け付けてください(10割の請求はしません)。",
                    "It cannot be recorded right now; try again. Receive the patient on paper meanwhile, and do not bill 100 %.",
                )),
            )
        }
    }
}

fn received(decision: Option<DeskDecision>, w: Words) -> &'static str {
    match decision {
        Some(DeskDecision::ReceiveProvisionally { why, .. }) => why.pick(w.0),
        Some(_) => w.t(
            "受け付けました。資格は番号で照会しています。結果は一覧に出ます。",
            "Received. Eligibility is asked by the numbers; the result appears in the list.",
        ),
        None => w.t(
            "4情報で受け付けました。資格はあとで確認します。",
            "Received by the four items; eligibility is checked later.",
        ),
    }
}

fn otherwise(decision: DeskDecision, noted: Option<Uuid>, w: Words) -> Said {
    match decision {
        DeskDecision::ReceiveOtherwise { reason, next, .. } => Said {
            result: "otherwise",
            reception: None,
            lines: vec![reason.pick(w.0).to_owned(), next.pick(w.0).to_owned(), w.promise().to_owned()],
            offer: Some(Offer {
                field: "kind",
                value: EntryKind::Declaration.word(),
                label: w.t(
                    "番号で照会し、申立書で受け付ける",
                    "Ask by these numbers and receive with the declaration (被保険者資格申立書)",
                ),
                instead_of: noted,
            }),
        },
        DeskDecision::Receive { .. } | DeskDecision::ReceiveProvisionally { .. } => {
            Said { result: "received", reception: None, lines: Vec::new(), offer: None }
        }
    }
}

/// `POST /staff/mode`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModeOrder {
    by: StaffName,
    mode: Mode,
    open: bool,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    hours: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    until: String,
}

/// Opens or closes a special mode.
pub(super) async fn mode(
    request: HttpRequest,
    state: web::Data<WebState>,
    order: web::Json<ModeOrder>,
) -> HttpResponse {
    let w = Words::of(&request);
    let order = order.into_inner();
    let event = if order.open {
        let scope = match Date::parse(order.until.trim()) {
            Ok(until) => Scope::Announced { region: order.region, until },
            Err(_) => {
                let hours: u64 = order.hours.trim().parse().unwrap_or(0);
                Scope::Here(Duration::from_secs(hours.saturating_mul(3600)))
            }
        };
        Event::Open { mode: order.mode, by: order.by, reason: order.reason, scope }
    } else {
        Event::Close { mode: order.mode, by: order.by }
    };
    match state.desk.modes.order(event).await {
        Ok(()) => said(StatusCode::OK, Said::yes(w.t("記録しました。", "Done and recorded."))),
        Err(NotDone::Refused(why)) => said(StatusCode::CONFLICT, Said::no(why.words().pick(w.0))),
        Err(NotDone::Store(error)) => {
            tracing::error!(%error, "a special mode could not be kept");
            let text =
                w.t("いま記録できません。もう一度お試しください。", "It cannot be recorded right now; try again.");
            said(StatusCode::SERVICE_UNAVAILABLE, Said::no(text))
        }
    }
}

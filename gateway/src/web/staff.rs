//! The staff page: every reader, the central link, and what is left to be done. No patient has a name here.

use super::WebState;
use super::jst;
use super::lists::{self, Lists};
use super::orders;
use super::page;
use super::words::Words;
use crate::central::{LinkStatus, Reach, Said};
use crate::handle::state_words;
use crate::handle::{CourierStatus, ReaderHandle};
use crate::health::{HealthPart, HealthReport};
use crate::store::Store;
use crate::telling;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uketsuke_core::explain::{self, Advice, Explanation};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::reception::{Attention, Helper};

#[derive(Template)]
#[template(path = "staff/page.html")]
struct StaffPage<'a> {
    w: Words,
    site: &'a str,
    fragments: &'a Fragments,
}

#[derive(Template)]
#[template(path = "staff/readers.html")]
struct ReadersFragment {
    w: Words,
    readers: Vec<ReaderRow>,
}

struct ReaderRow {
    terminal: String,
    reader: String,
    state: &'static str,
    since: String,
    attention: Option<Advice>,
    /// It asks for a patient to be received at the desk.
    at_desk: bool,
    /// Set while staff may decide: what a decision must name.
    look: Option<ReceptionId>,
    /// Set while the patient is answering: what help must name.
    assist: Option<ReceptionId>,
    /// Staff are helping.
    assisted: bool,
    /// Staff are wanted for it: the buttons are in plain sight.
    look_wanted: bool,
    given_up: bool,
    closed: Option<String>,
    /// What is open from earlier receptions of the patient who is there.
    earlier: Vec<EarlierRow>,
    confirmed: u64,
    provisional: u64,
    ineligible: u64,
}

struct EarlierRow {
    id: ReceptionId,
    line: String,
}

#[derive(Template)]
#[template(path = "staff/central.html")]
struct CentralFragment {
    w: Words,
    up: bool,
    state: &'static str,
    since: String,
    /// How many requests wait.
    pending: String,
    rejected: u64,
    attention: Vec<String>,
    /// Why the line does not work.
    fault: Option<String>,
    /// What somebody should see to before it fails.
    warnings: Vec<String>,
}

#[derive(Template)]
#[template(path = "staff/work.html")]
struct WorkFragment {
    w: Words,
    lists: Option<Lists>,
    /// Patients can be received.
    receiving: bool,
}

#[derive(Template)]
#[template(path = "staff/explain.html")]
struct ExplainPage {
    w: Words,
    id: ReceptionId,
    reader: String,
    explanation: Explanation,
}

/// The three parts of the page that change by themselves, as HTML. Empty when one could not be drawn.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fragments {
    /// Every reader.
    pub(super) readers: String,
    /// The link to the central system.
    pub(super) central: String,
    /// The lists.
    pub(super) work: String,
}

impl Fragments {
    /// With the ids of the elements they go into.
    pub(super) fn parts(&self) -> [(&'static str, &str); 3] {
        [("readers", &self.readers), ("central", &self.central), ("work", &self.work)]
    }
}

/// Draws the page's parts as things are now.
pub(super) async fn fragments(state: &WebState, w: Words) -> Result<Fragments, askama::Error> {
    let mut readers = Vec::with_capacity(state.site.readers.len());
    for reader in state.site.readers.iter() {
        let reception = reader.status().borrow().reception;
        let earlier = match reception {
            Some(reception) => earlier(&state.store, reception, w).await,
            None => Vec::new(),
        };
        readers.push(row(reader, earlier, w));
    }
    let readers = ReadersFragment { w, readers };
    let mut health = (state.health)();
    health.parts.push(state.doors.health());
    let link = state.site.link.borrow().clone();
    let mut attention = attention(&health, w);
    attention.extend(state.site.mqtt.borrow().attention().map(|said| telemetry_line(&said, w)));
    let central = central(health.central, &link, attention, state.clock.stamp().wall_ms, w);
    let lists = match lists::lists(state, w).await {
        Ok(lists) => Some(lists),
        Err(error) => {
            tracing::warn!(%error, "the staff page could not read its lists");
            None
        }
    };
    let work = WorkFragment { w, lists, receiving: health.ok };
    Ok(Fragments { readers: readers.render()?, central: central.render()?, work: work.render()? })
}

fn row(reader: &ReaderHandle, earlier: Vec<EarlierRow>, w: Words) -> ReaderRow {
    let name = reader.name();
    let status = reader.status();
    let status = status.borrow();
    let (confirmed, ineligible, provisional) = status.recorded;
    ReaderRow {
        terminal: name.terminal.to_string(),
        reader: name.reader.to_string(),
        state: state_words(status.state, w.0),
        since: jst::time_of_day(status.since.wall_ms),
        attention: status.attention.as_ref().map(|attention| explain::attention(attention, w.0)),
        at_desk: matches!(status.attention, Some(Attention::Ended(_))),
        look: orders::open_to_decision(&status),
        assist: status.reception.filter(|_| matches!(status.state, "pin" | "consent" | "offering_registration")),
        assisted: status.helper == Some(Helper::Staff),
        look_wanted: matches!(status.attention, Some(Attention::StaffLook(_))),
        given_up: status.state == "given_up",
        closed: status.closed.as_deref().map(|why| why.pick(w.0).to_owned()),
        earlier,
        confirmed,
        provisional,
        ineligible,
    }
}

fn central(status: CourierStatus, link: &LinkStatus, attention: Vec<String>, now_ms: i64, w: Words) -> CentralFragment {
    let (up, state) = match status.circuit {
        Circuit::Up => (true, w.t("つながっています", "connected")),
        Circuit::Down { .. } => (false, down(Reach::of(link.fault.as_ref()), w)),
        Circuit::Paused { .. } => (false, w.t("混み合っています(少し待っています)", "busy; waiting a little")),
    };
    let since = jst::time_of_day(status.since.wall_ms);
    let said = |said: Said| said.pick(w.0).to_owned();
    CentralFragment {
        w,
        up,
        state,
        since,
        pending: status
            .counted
            .map_or_else(|| w.t("まだ数えていません", "not counted yet").into(), |counted| counted.pending.to_string()),
        rejected: status.counted.map_or(0, |counted| counted.rejected),
        fault: link.fault.as_ref().map(|fault| said(fault.said())),
        warnings: link.warnings(now_ms).into_iter().chain(link.some_wait()).map(said).collect(),
        attention,
    }
}

fn down(reach: Reach, w: Words) -> &'static str {
    match reach {
        Reach::NotServing => w.t(
            "つながっていますが、要求を受け付けません(自動で試し直しています)",
            "connected, but it does not serve requests; tried again by itself",
        ),
        Reach::Struggling => w.t(
            "つながっていますが、今はうまく応答しません(自動で試し直しています)",
            "connected, but it does not work well now; tried again by itself",
        ),
        Reach::Nobody => w.t("つながりません(自動でつなぎ直しています)", "not reachable; it is tried again by itself"),
    }
}

/// What an administrator should look at; receptions go on.
fn attention(report: &HealthReport, w: Words) -> Vec<String> {
    let troubled = report.parts.iter().filter(|part| !part.ok);
    let line = |part: &HealthPart| {
        let words = match part.name.as_str() {
            "store" => w.t("受付の保存に問題があります。管理者に連絡してください: ", "Store: "),
            "queue" => w.t("送信待ち・保留の照会が多すぎるか、保留があります。管理者に連絡してください: ", "Queue: "),
            "disk" => w.t(
                "受付を保存するディスクの空きが少なくなっています(受付は続けられます)。管理者に連絡してください: ",
                "Disk: check-in goes on, but tell the administrator: ",
            ),
            "deletion" if part.urgent => w.t(
                "【至急】時計を確かめられず、保存期限を過ぎた個人情報を14日以上削除できていません(受付は続けられます)。本日中に管理者に連絡してください: ",
                "URGENT, clock: personal data have been kept beyond their limit for 14 days or longer. Check-in goes on, but tell the administrator today: ",
            ),
            "deletion" => w.t(
                "時計を確かめられないため、保存期限を過ぎた記録の削除を止めています(受付は続けられます)。管理者に連絡してください: ",
                "Clock: check-in goes on, but tell the administrator: ",
            ),
            "configuration" => w.t(
                "設定ファイルに問題があります。管理者に連絡してください: ",
                "Configuration: tell the administrator: ",
            ),
            "card anchors" => w.t(
                "カードの認証局の証明書を使えません(受付は続けられます)。管理者に連絡してください: ",
                "Authorities of cards: check-in goes on, but tell the administrator: ",
            ),
            "connections" => w.t(
                "画面への接続が多すぎます(受付は続けられます)。管理者に連絡してください: ",
                "Connections: check-in goes on, but tell the administrator: ",
            ),
            _ => return None,
        };
        Some(format!("{words}{}", part.detail.pick(w.0)))
    };
    troubled.filter_map(line).collect()
}

/// Telemetry that only a person can mend; receptions go on.
fn telemetry_line(said: &Said, w: Words) -> String {
    let words = w.t(
        "監視への状態送信(MQTT)に問題があります(受付は続けられます)。管理者に連絡してください: ",
        "Telemetry (MQTT): check-in goes on, but tell the administrator: ",
    );
    format!("{words}{}", said.pick(w.0))
}

/// What is open from earlier receptions of the patient at a reader.
async fn earlier(store: &Store, reception: ReceptionId, w: Words) -> Vec<EarlierRow> {
    let cases = telling::earlier(store, reception, w.0).await.unwrap_or_else(|error| {
        tracing::warn!(%error, %reception, "earlier cases could not be read");
        Vec::new()
    });
    cases.into_iter().map(|case| EarlierRow { id: case.reception, line: case.line(w.0) }).collect()
}

/// `GET /staff`.
pub(super) async fn page(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let w = Words::of(&request);
    match fragments(&state, w).await {
        Ok(fragments) => page::html(StatusCode::OK, &StaffPage { w, site: &state.site.site, fragments: &fragments }),
        Err(error) => {
            tracing::error!(%error, "the staff page could not be drawn");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// `GET /staff/explain/{reception}`: what happened in one reception, and what to do.
pub(super) async fn explain(
    request: HttpRequest,
    state: web::Data<WebState>,
    reception: web::Path<String>,
) -> HttpResponse {
    let w = Words::of(&request);
    let Ok(id) = reception.parse::<ReceptionId>() else { return page::not_found(request).await };
    match state.store.reception(id).await {
        Ok(Some(record)) => {
            let case = state.store.case(id).await.unwrap_or_else(|error| {
                tracing::warn!(%error, reception = %id, "a case could not be read");
                None
            });
            let now = state.clock.now();
            let explanation = telling::reception(&state.store, &record, case.as_ref(), now, w.0).await;
            page::html(StatusCode::OK, &ExplainPage { w, id, reader: record.reader, explanation })
        }
        Ok(None) => page::not_found(request).await,
        Err(error) => {
            tracing::warn!(%error, reception = %id, "a reception could not be read");
            HttpResponse::ServiceUnavailable().content_type("text/plain; charset=utf-8").body(error.to_string())
        }
    }
}

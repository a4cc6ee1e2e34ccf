//! Whole pages and the files they load.

use super::WebState;
use super::words::Words;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use uketsuke_core::explain::Lang;

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage<'a> {
    w: Words,
    site: &'a str,
    readers: Vec<KioskLink<'a>>,
}

struct KioskLink<'a> {
    name: String,
    path: &'a str,
}

#[derive(Template)]
#[template(path = "kiosk.html")]
struct KioskPage<'a> {
    w: Words,
    site: &'a str,
    reader: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    w: Words,
    /// At least one.
    messages: Vec<Message>,
    reason: Option<String>,
    promise: bool,
    /// The page looks by itself whether something else is to be shown.
    again: bool,
}

/// In one language.
#[derive(Clone, Copy)]
struct Message {
    lang: Lang,
    title: &'static str,
    text: &'static str,
}

const RESTARTING: [Message; 2] = [
    Message {
        lang: Lang::Ja,
        title: "システムを再起動しています",
        text: "しばらくしてから開き直すか、窓口にお越しください。",
    },
    Message { lang: Lang::En, title: "The system is restarting", text: "Please try again shortly, or go to the desk." },
];

const NOTHING_RECORDED: [Message; 2] = [
    Message {
        lang: Lang::Ja,
        title: "いま受付を記録できません",
        text: "窓口にお越しください。職員の方は、システム担当者に連絡してください。",
    },
    Message {
        lang: Lang::En,
        title: "Check-ins cannot be recorded right now",
        text: "Please go to the desk. Staff: tell whoever looks after the system.",
    },
];

/// Sends a page; a template that fails is a mistake of ours and says nothing about its content.
pub(super) fn html(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(html) => HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html),
        Err(error) => {
            tracing::error!(%error, "a page could not be drawn");
            HttpResponse::InternalServerError()
                .content_type("text/plain; charset=utf-8")
                .body("the page could not be drawn")
        }
    }
}

/// Percent-encodes one segment of a path.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Where a reader's kiosk is.
fn kiosk_path(terminal: &str, reader: &str) -> String {
    format!("/kiosk/{}/{}", segment(terminal), segment(reader))
}

/// `GET /`.
pub(super) async fn index(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let paths: Vec<(String, String)> = state
        .site
        .readers
        .iter()
        .map(|reader| (reader.name().to_string(), kiosk_path(&reader.name().terminal, &reader.name().reader)))
        .collect();
    let readers = paths.iter().map(|(name, path)| KioskLink { name: name.clone(), path }).collect();
    html(StatusCode::OK, &IndexPage { w: Words::of(&request), site: &state.site.site, readers })
}

/// `GET /kiosk/{terminal}/{reader}`: the frame around the screens, which come over the socket.
pub(super) async fn kiosk(
    request: HttpRequest,
    state: web::Data<WebState>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let Some(reader) = state.site.reader(&path.0, &path.1) else { return not_found(request).await };
    let w = Words::of(&request);
    if state.refuses_kiosk_of(reader) {
        return stopping(&state, w);
    }
    html(StatusCode::OK, &KioskPage { w, site: &state.site.site, reader: reader.name().to_string() })
}

/// 404.
pub(super) async fn not_found(request: HttpRequest) -> HttpResponse {
    let w = Words::of(&request);
    let message = Message {
        lang: w.lang(),
        title: w.t("ページがありません", "There is no such page"),
        text: w.t("端末とリーダーの名前を確かめてください。", "Check the names of terminal and reader."),
    };
    let page = MessagePage { w, messages: vec![message], reason: None, promise: false, again: false };
    html(StatusCode::NOT_FOUND, &page)
}

/// 503 while the gateway stops.
pub(super) fn stopping(state: &WebState, w: Words) -> HttpResponse {
    if (state.health)().ok { nobody_received(RESTARTING, w, None) } else { nothing_recorded(w, None) }
}

/// 503 while the store takes nothing. Staff may be told the reason.
pub(super) fn nothing_recorded(w: Words, reason: Option<String>) -> HttpResponse {
    nobody_received(NOTHING_RECORDED, w, reason)
}

/// In both languages, for neither can be chosen here. The page stays until its address has something else to show, because nobody may be
/// there to open a kiosk again.
fn nobody_received(messages: [Message; 2], w: Words, reason: Option<String>) -> HttpResponse {
    let mut messages = messages.to_vec();
    messages.sort_by_key(|message| message.lang != w.lang());
    let page = MessagePage { w, messages, reason, promise: true, again: true };
    html(StatusCode::SERVICE_UNAVAILABLE, &page)
}

/// `GET /static/{file}`: a closed list, compiled in.
pub(super) async fn file(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let (kind, text) = match name.as_str() {
        "again.js" => ("text/javascript; charset=utf-8", include_str!("static/again.js")),
        "kiosk.js" => ("text/javascript; charset=utf-8", include_str!("static/kiosk.js")),
        "link.js" => ("text/javascript; charset=utf-8", include_str!("static/link.js")),
        "forms.js" => ("text/javascript; charset=utf-8", include_str!("static/forms.js")),
        "staff.js" => ("text/javascript; charset=utf-8", include_str!("static/staff.js")),
        "style.css" => ("text/css; charset=utf-8", include_str!("static/style.css")),
        "icon.svg" => ("image/svg+xml", include_str!("static/icon.svg")),
        _ => return not_found(request).await,
    };
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, kind)).body(text)
}

//! `/staff/line`: the connection check, layer by layer, for whoever has to mend it or to call somebody.

use super::WebState;
use super::page;
use super::words::Words;
use crate::central::{Looked, Outcome};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

#[derive(Template)]
#[template(path = "staff/line.html")]
struct LinePage<'a> {
    w: Words,
    site: &'a str,
    works: bool,
    /// What receptions meet on the gateway's own connection.
    trouble: Option<String>,
    lines: Vec<Line>,
    warnings: Vec<String>,
}

struct Line {
    name: &'static str,
    mark: &'static str,
    words: String,
}

/// `GET /staff/line`.
pub(super) async fn page(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let w = Words::of(&request);
    let looked = state.line.run().await;
    let link = state.site.link.borrow().clone();
    let warnings = link.warnings(state.clock.stamp().wall_ms);
    let page = LinePage {
        w,
        site: &state.site.site,
        works: looked.iter().all(|looked| matches!(looked.outcome, Outcome::Fine(_))),
        trouble: link.trouble().map(|said| said.pick(w.0).to_owned()),
        lines: looked.iter().map(|looked| line(looked, w)).collect(),
        warnings: warnings.into_iter().map(|said| said.pick(w.0).to_owned()).collect(),
    };
    page::html(StatusCode::OK, &page)
}

fn line(looked: &Looked, w: Words) -> Line {
    let mark = match &looked.outcome {
        Outcome::Fine(_) => w.t("正常", "ok"),
        Outcome::Failed(_) => w.t("異常", "failed"),
        Outcome::NotTried => "—",
    };
    Line { name: looked.layer.name(w.0), mark, words: looked.words(w.0) }
}

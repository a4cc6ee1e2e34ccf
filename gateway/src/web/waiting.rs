//! What is served until the store is open: every page and `/healthz` say that nobody can be received yet, and why.

use super::doors::Doors;
use super::page;
use super::words::Words;
use crate::health::{self, HealthPart};
use crate::store::LockHolder;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio::sync::watch;

/// What is known before the store is open.
#[derive(Clone)]
pub struct Waiting {
    /// The site's own help line, shown beside the public one.
    pub help_line: Option<&'static str>,
    /// The other program whose lock on the database is waited for.
    pub lock_holder: watch::Receiver<Option<LockHolder>>,
    /// Who is connected; the same ones as of the real pages.
    pub doors: Doors,
    /// How many readers the site has.
    pub readers: usize,
}

impl Waiting {
    fn store(&self) -> HealthPart {
        health::opening(self.lock_holder.borrow().as_ref())
    }
}

/// As [`crate::health::HealthReport`], with the parts that are there already.
#[derive(Serialize)]
struct Report {
    ok: bool,
    parts: [HealthPart; 2],
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/static/{file}", web::get().to(page::file))
        .default_service(web::to(any_page));
}

async fn healthz(waiting: web::Data<Waiting>) -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(Report { ok: false, parts: [waiting.store(), waiting.doors.health()] })
}

/// Nothing was counted yet.
async fn metrics(waiting: web::Data<Waiting>) -> HttpResponse {
    HttpResponse::ServiceUnavailable().content_type("text/plain; charset=utf-8").body(waiting.store().detail.en)
}

/// The reason is for staff.
async fn any_page(request: HttpRequest, waiting: web::Data<Waiting>) -> HttpResponse {
    let w = Words::of(&request);
    let reason = request.path().starts_with("/staff").then(|| waiting.store().detail.pick(w.lang()).to_owned());
    page::nothing_recorded(w, reason)
}

//! What machines ask: metrics and health.

use super::WebState;
use actix_web::{HttpResponse, web};

/// The media type that Prometheus asks for by this name.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn metrics(state: web::Data<WebState>) -> HttpResponse {
    HttpResponse::Ok().content_type(OPEN_METRICS).body((state.metrics)())
}

/// `GET /healthz`: 200 while patients can be received, 503 otherwise, with the parts as JSON.
pub(super) async fn healthz(state: web::Data<WebState>) -> HttpResponse {
    let mut report = (state.health)();
    report.parts.push(state.doors.health());
    if report.ok { HttpResponse::Ok().json(report) } else { HttpResponse::ServiceUnavailable().json(report) }
}

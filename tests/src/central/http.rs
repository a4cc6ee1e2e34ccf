//! The control listener: plain HTTP with JSON on loopback, for scenarios and for people with `curl`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Shared;
use super::faults::ModeSpec;
use super::frames::HalfDead;
use super::population::Person;

/// Body of every refusal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
}

/// The listener with a thread of its own: actix's server lives in an actix system, tonic in the caller's runtime.
pub(super) struct Http {
    pub(super) address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

impl Http {
    pub(super) fn start(address: SocketAddr, shared: Arc<Shared>) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("listening for control on {address}"))?;
        let address = listener.local_addr().context("asking for the control listener's address")?;
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(async move {
                    match server(listener, shared) {
                        Ok(server) => {
                            let _ = ready.send(Ok(server.handle()));
                            let _ = server.await;
                        }
                        Err(error) => {
                            let _ = ready.send(Err(error));
                        }
                    }
                });
            })
            .context("starting the control thread")?;
        let handle = started.recv().map_err(|_| anyhow!("the control thread ended while starting"))??;
        Ok(Self { address, handle, thread })
    }

    pub(super) async fn stop(self) {
        self.handle.stop(true).await;
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

fn server(listener: TcpListener, shared: Arc<Shared>) -> Result<actix_web::dev::Server> {
    let shared = web::Data::from(shared);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(web::JsonConfig::default().error_handler(|error, _| {
                let response = refuse(StatusCode::BAD_REQUEST, error.to_string());
                actix_web::error::InternalError::from_response(error, response).into()
            }))
            .route("/healthz", web::get().to(healthz))
            .route("/mode", web::get().to(get_mode))
            .route("/mode", web::put().to(put_mode))
            .route("/ledger", web::get().to(get_ledger))
            .route("/stats", web::get().to(get_stats))
            .route("/person", web::put().to(put_person))
            .route("/clock", web::put().to(put_clock))
            .route("/half-dead", web::put().to(put_half_dead))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)
    .context("starting the control listener")?;
    Ok(server.run())
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "ok": true }))
}

async fn get_mode(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.mode())
}

async fn put_mode(shared: web::Data<Shared>, spec: web::Json<ModeSpec>) -> HttpResponse {
    match spec.parse() {
        Ok(switch) => match shared.set_mode(switch).await {
            Ok(()) => HttpResponse::Ok().json(shared.mode()),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
        },
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

async fn get_ledger(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.central.state().ledger.effects())
}

async fn get_stats(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.stats())
}

async fn put_person(shared: web::Data<Shared>, person: web::Json<Person>) -> HttpResponse {
    match shared.central.state().population.wish(&person) {
        Ok(()) => HttpResponse::Ok().json(&*person),
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

/// How far the central system's clock is ahead of the machine's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClockSpec {
    pub(crate) ahead_ms: i64,
}

async fn put_clock(shared: web::Data<Shared>, spec: web::Json<ClockSpec>) -> HttpResponse {
    shared.central.set_clock_ahead(spec.ahead_ms);
    HttpResponse::Ok().json(&*spec)
}

/// What is wrong with the connections that are there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HalfDeadSpec {
    pub(crate) how: HalfDead,
}

async fn put_half_dead(shared: web::Data<Shared>, spec: web::Json<HalfDeadSpec>) -> HttpResponse {
    shared.line.half_dead(spec.how);
    HttpResponse::Ok().json(&*spec)
}

fn refuse(status: StatusCode, error: String) -> HttpResponse {
    HttpResponse::build(status).json(Refusal { error })
}

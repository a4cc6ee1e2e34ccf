//! Kiosk pages, the staff page, and what machines ask over HTTP.
//!
//! Promises: nothing personal is shown, logged or stored here; no input from a browser makes it panic; a page that is gone,
//! slow or hostile harms nobody but itself. It talks to [`crate::handle`] only and decides nothing about a reception.
//!
//! # The kiosk's socket
//!
//! `GET /kiosk/{terminal}/{reader}/ws?lang=ja|en`. The newest connection of a reader wins.
//!
//! Server to kiosk, JSON text:
//!
//! | message | meaning |
//! |---|---|
//! | `{"type":"screen","reception":"uuid"\|null,"version":7,"name":"choose","html":"…"}` | show this inside `<main>` |
//! | `{"type":"frame","request":12}` | send one camera frame with this number |
//! | `{"type":"camera_off"}` | switch the camera off |
//! | `{"type":"beat"}` | nothing: a sign of life every 3 s, for the page's script |
//! | `{"type":"heard","taken":true}` | the press arrived; with `false` it must be made again |
//! | `{"type":"replaced"}`, then close | another connection took over |
//! | `{"type":"closing"}` | the gateway is about to stop; the reception under way goes on, also after a reconnection |
//!
//! Kiosk to server, JSON text of at most 4 KiB: `{"reception":"uuid","version":7,"intent":…}` with `choose_face`, `choose_pin`,
//! `call_staff`, `back`, `cancel`, `acknowledge`, `forgotten`, `by_proxy`, `by_patient`; `"intent":"pin","keys":[0,9,8,1]` (positions on the
//! pad, never digits); `"intent":"register","agreed":true`; `"intent":"consent","question":"checkups","agreed":true`. Intents for an older version are dropped by the core.
//! Binary of at most 512 KiB: the request number, four bytes big-endian, then a JPEG. A frame that nobody waits for is dropped.
//!
//! Whatever breaks this is answered by a close and one line in the log, which never repeats what was sent: 1009 for what is too long,
//! 1007 for text that is no UTF-8, 1002 for wrong frames, 1003 for a message where none is expected, 1008 for the rest.
//! Both sides answer pings. A peer that stays silent for 12 s is dropped, by the gateway and by the page alike.

mod case_details;
mod cases;
mod desk;
mod doors;
mod forms;
mod guard;
mod jst;
mod kiosk;
mod line;
mod lists;
mod ops;
mod orders;
mod pace;
mod page;
mod protocol;
mod screen;
mod socket;
mod staff;
mod staff_socket;
mod trail;
mod waiting;
mod words;

#[cfg(test)]
mod tests;

pub use doors::Doors;
pub use socket::BEAT_EVERY;
pub use waiting::Waiting;

use crate::central::LineCheck;
use crate::clock::Clock;
use crate::front_desk::FrontDesk;
use crate::handle::{ReaderHandle, SiteHandle, View};
use crate::health::HealthReport;
use crate::store::Store;
pub use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::watch;

/// Pages are few and small; the second worker keeps kiosks live while the staff page reads its lists.
const WORKERS: usize = 2;

/// A client that takes longer to send its request is dropped.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted; the server's own default.
const BACKLOG: u32 = 1024;

/// How long open requests may take when the server stops; sockets end at once by then.
const STOP_SECONDS: u64 = 1;

/// Largest body of an order from the staff page.
const ORDER_BYTES_MAX: usize = 8 * 1024;

/// What the pages show and where orders go.
#[derive(Clone)]
pub struct WebState {
    /// Readers and central link.
    pub site: SiteHandle,
    /// The site's own help line, shown beside the public one.
    pub help_line: Option<&'static str>,
    /// Patients without a card, and special modes.
    pub desk: FrontDesk,
    /// For the staff page's lists; only read.
    pub store: Store,
    /// For "today" on the staff page.
    pub clock: Clock,
    /// The metrics in OpenMetrics text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The connection check.
    pub line: LineCheck,
    /// Changes with what only the lists of the staff page show: every such page is drawn anew.
    pub lists: watch::Sender<u64>,
    /// Whether the gateway can do its work.
    pub health: Arc<dyn Fn() -> HealthReport + Send + Sync>,
    /// Who is connected.
    pub doors: Doors,
    /// How often a socket is given a sign of life: [`BEAT_EVERY`], because the pages' scripts count on it.
    pub beat_every: Duration,
    /// `false` once the gateway is about to stop: no new pages and connections, but for kiosks in the middle of a reception;
    /// those that exist are told and stay.
    pub accepting: watch::Receiver<bool>,
}

impl WebState {
    /// The gateway is about to stop.
    fn stopping(&self) -> bool {
        !*self.accepting.borrow()
    }

    /// Has every staff page drawn anew: the store does not announce what was written.
    fn lists_changed(&self) {
        self.lists.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// The gateway is about to stop and nobody is in the middle of a reception at this reader. A kiosk that lost its connection
    /// during one comes back, so that the patient can finish.
    fn refuses_kiosk_of(&self, reader: &ReaderHandle) -> bool {
        self.stopping() && !matches!(*reader.view().borrow(), View::Live { reception: Some(_), .. })
    }
}

/// An address that is listened on, for as long as this exists. What connects waits until something serves it.
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// It tells the port when the configuration left it open (port 0).
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens. Call within a tokio runtime.
///
/// # Errors
/// `InvalidInput` for an address that is not loopback: without TLS, pairing and login nobody else may connect. `AddrInUse` and
/// the like as the operating system reports them.
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("cannot serve kiosks at {address}: only loopback addresses are allowed; use 127.0.0.1 or [::1]"),
        ));
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process that are not forgotten yet keep nobody out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let socket = socket.listen(BACKLOG)?.into_std()?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// Serves the pages. The server runs when it is awaited or spawned, inside an actix system, and ends by its handle's `stop`; it handles no
/// signals.
///
/// # Errors
/// As the operating system reports them.
pub fn serve(listener: &Listener, state: WebState) -> io::Result<Server> {
    let (doors, readers) = (state.doors.clone(), state.site.readers.len());
    let pages = move |config: &mut web::ServiceConfig| {
        config.app_data(web::Data::new(state.clone())).configure(routes);
    };
    run(listener, doors, readers, KeepAlive::default(), pages)
}

/// Serves what is known before the store is open, as [`serve`] does. Each connection ends with its answer: the next one may get the real
/// pages.
///
/// # Errors
/// As the operating system reports them.
pub fn serve_waiting(listener: &Listener, waiting: Waiting) -> io::Result<Server> {
    let (doors, readers) = (waiting.doors.clone(), waiting.readers);
    let pages = move |config: &mut web::ServiceConfig| {
        config.app_data(web::Data::new(waiting.clone())).configure(waiting::routes);
    };
    run(listener, doors, readers, KeepAlive::Disabled, pages)
}

fn run(
    listener: &Listener,
    doors: Doors,
    readers: usize,
    keep_alive: KeepAlive,
    pages: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let server = HttpServer::new(move || App::new().wrap(from_fn(guard::guard)).configure(&pages))
        .workers(WORKERS)
        .on_connect(move |io, data| doors.enter(io, data))
        .max_connections(Doors::connections_max(readers))
        .keep_alive(keep_alive)
        .client_request_timeout(REQUEST_TIMEOUT)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .listen(listener.socket.try_clone()?)?;
    Ok(server.run())
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(orders::json_config(ORDER_BYTES_MAX))
        .route("/", web::get().to(page::index))
        .route("/kiosk/{terminal}/{reader}", web::get().to(page::kiosk))
        .route("/kiosk/{terminal}/{reader}/ws", web::get().to(kiosk::connect))
        .route("/staff", web::get().to(staff::page))
        .route("/staff/ws", web::get().to(staff_socket::connect))
        .route("/staff/decision", web::post().to(orders::decision))
        .route("/staff/assist", web::post().to(orders::assist))
        .route("/staff/settle", web::post().to(orders::settle))
        .route("/staff/cases/{owner}", web::get().to(lists::all))
        .route("/staff/line", web::get().to(line::page))
        .route("/staff/desk", web::get().to(desk::page))
        .route("/staff/document", web::post().to(desk::document))
        .route("/staff/four-items", web::post().to(desk::four_items))
        .route("/staff/mode", web::post().to(desk::mode))
        .route("/staff/case/{reception}", web::get().to(cases::page))
        .route("/staff/case/{reception}", web::post().to(cases::act))
        .route("/staff/restart", web::post().to(orders::restart))
        .route("/staff/explain/{reception}", web::get().to(staff::explain))
        .route("/metrics", web::get().to(ops::metrics))
        .route("/healthz", web::get().to(ops::healthz))
        .route("/static/{file}", web::get().to(page::file))
        .default_service(web::to(page::not_found));
}

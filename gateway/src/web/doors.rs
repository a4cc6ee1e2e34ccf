//! Who is connected: keeps [`uketsuke_core::room`] informed of each connection, and cuts what that decides to cut.
//!
//! The server's own bound counts connections before it has seen a request, so whoever holds them keeps kiosks and `/healthz` out. Here
//! each connection is let in, and another one goes. The duplicate of its descriptor that is kept for that is closed with it.

use crate::central::Said;
use crate::health::HealthPart;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use std::any::Any;
use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uketsuke_core::room::{ConnectionId, Effect, Figures, Limits, Room, Use};

/// Connections that are neither kiosk nor staff page. A browser opens six at once while it loads a page.
const PASSING_MAX: usize = 128;

/// A large hospital has some twenty staff pages.
pub(super) const STAFF_MAX: usize = 32;

/// That a bound was hit is said once in this time, and `/healthz` says it for as long after the last time.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// For a connection that is cut before it was answered.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 83\r\n\
    retry-after: 5\r\nconnection: close\r\n\r\n\
    too many connections are open and this one waited longest: close some and try again";

/// All doors of the pages. Cheap to clone.
#[derive(Clone)]
pub struct Doors(Arc<Mutex<Inner>>);

struct Inner {
    room: Room,
    doors: HashMap<ConnectionId, Door>,
    /// Connections closed for the sake of others, ever.
    closed: u64,
    /// Of these, the ones that were not in the log yet.
    unsaid: u64,
    said: Option<Instant>,
    hit: Option<(Instant, IpAddr, usize)>,
}

struct Door {
    /// A duplicate of the connection's socket. None when no descriptor was to be had.
    socket: Option<std::net::TcpStream>,
    displaced: watch::Sender<bool>,
}

/// A connection, for as long as it is open.
struct Connection {
    doors: Doors,
    id: ConnectionId,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut inner = self.doors.inner();
        inner.room.leaves(self.id);
        inner.doors.remove(&self.id);
    }
}

/// A socket's place, until its serving ends.
pub(super) struct Place {
    doors: Doors,
    id: ConnectionId,
    /// Becomes true when a newer staff page takes it.
    pub(super) displaced: watch::Receiver<bool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.becomes(self.id, Use::Ending);
    }
}

impl Default for Doors {
    fn default() -> Self {
        let limits = Limits { passing: PASSING_MAX, staff: STAFF_MAX };
        Self(Arc::new(Mutex::new(Inner {
            room: Room::new(limits),
            doors: HashMap::new(),
            closed: 0,
            unsaid: 0,
            said: None,
            hit: None,
        })))
    }
}

impl Doors {
    /// More connections than there are ever for long: the server itself must not count them.
    pub(super) fn connections_max(readers: usize) -> usize {
        2 * (PASSING_MAX + STAFF_MAX) + readers
    }

    /// A connection was accepted. It stays in `data` until it ends.
    pub(super) fn enter(&self, io: &dyn Any, data: &mut Extensions) {
        let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
        // Gone already.
        let Ok(peer) = stream.peer_addr() else { return };
        let socket = stream.as_fd().try_clone_to_owned().ok().map(std::net::TcpStream::from);
        let mut inner = self.inner();
        let mut effects = Vec::new();
        let id = inner.room.admit(peer.ip(), &mut effects);
        inner.doors.insert(id, Door { socket, displaced: watch::Sender::new(false) });
        inner.perform(&effects);
        data.insert(Connection { doors: self.clone(), id });
    }

    fn becomes(&self, id: ConnectionId, used: Use) {
        let mut inner = self.inner();
        let mut effects = Vec::new();
        inner.room.becomes(id, used, &mut effects);
        inner.perform(&effects);
    }

    /// How many of each, and how many were closed for the sake of others since the start.
    pub fn figures(&self) -> (Figures, u64) {
        let inner = self.inner();
        (inner.room.figures(), inner.closed)
    }

    /// For `/healthz`.
    pub fn health(&self) -> HealthPart {
        let inner = self.inner();
        let figures = inner.room.figures();
        let (kiosks, staff, passing) = (figures.kiosks, figures.staff, figures.passing);
        let now = Said::new(
            format!("受付画面 {kiosks}、受付状況の画面 {staff}、そのほか {passing} の接続があります"),
            format!("{kiosks} kiosks and {staff} staff pages are connected, {passing} other connections are open"),
        );
        let hit = inner.hit.filter(|(at, ..)| at.elapsed() < SAY_EVERY);
        let closed = inner.closed;
        let detail = match hit {
            None => now,
            Some((_, peer, count)) => Said::new(
                format!(
                    "{}。上限(受付状況の画面 {STAFF_MAX}、そのほか {PASSING_MAX})に達し、新しい接続のために {closed} の接続を閉じました。\
                     {peer} が {count} の接続を持っていました。開いているプログラムを探してください",
                    now.ja
                ),
                format!(
                    "{}; the bound of {STAFF_MAX} staff pages or {PASSING_MAX} others was hit, {closed} were closed for newer ones: \
                     {peer} held {count}; find the program that opens them",
                    now.en
                ),
            ),
        };
        HealthPart::new("connections", hit.is_none(), detail)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn perform(&mut self, effects: &[Effect]) {
        for effect in effects {
            match *effect {
                Effect::Cut { id, answer } => {
                    if let Some(Door { socket: Some(socket), .. }) = self.doors.remove(&id) {
                        if answer {
                            // One write into an empty buffer, or none: nobody is waited for.
                            let _ = (&socket).write(FULL);
                        }
                        let _ = socket.shutdown(Shutdown::Both);
                    }
                }
                Effect::Displace(id) => {
                    if let Some(door) = self.doors.get(&id) {
                        door.displaced.send_replace(true);
                    }
                }
            }
            self.closed += 1;
            self.unsaid += 1;
        }
        if effects.is_empty() {
            return;
        }
        let Some((peer, count)) = self.room.largest_peer() else { return };
        let now = Instant::now();
        self.hit = Some((now, peer, count));
        if self.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            self.said = Some(now);
            tracing::warn!(
                %peer, held = count, closed = std::mem::take(&mut self.unsaid), passing_max = PASSING_MAX, staff_max = STAFF_MAX,
                "too many connections to the pages: the oldest that wait are closed for newer ones"
            );
        }
    }
}

/// A request begins on its connection.
pub(super) fn asked(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.doors.becomes(connection.id, Use::Request);
    }
}

/// Its answer is ready.
pub(super) fn answered(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.doors.inner().room.answered(connection.id);
    }
}

/// A staff page comes back by itself, after it gave way. False when there is no room, unless it takes another's.
pub(super) fn returns(request: &HttpRequest) -> bool {
    // One that is no real connection counts nowhere.
    let Some(connection) = request.conn_data::<Connection>() else { return true };
    let mut inner = connection.doors.inner();
    let mut effects = Vec::new();
    let has_room = inner.room.returns(connection.id, &mut effects);
    inner.perform(&effects);
    has_room
}

/// The connection becomes a socket, until its place is given back. `None` when it was cut already, or is no real one.
pub(super) fn take_place(request: &HttpRequest, used: Use) -> Option<Place> {
    let connection = request.conn_data::<Connection>()?;
    let displaced = connection.doors.inner().doors.get(&connection.id)?.displaced.subscribe();
    connection.doors.becomes(connection.id, used);
    Some(Place { doors: connection.doors.clone(), id: connection.id, displaced })
}

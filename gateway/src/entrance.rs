//! The pages' address: listened on from the start, served as soon as there is something to say.
//!
//! Promises: from the moment when the address is free until the process ends, no connection to it is refused. While the store cannot be
//! opened yet, a plain door says why; it is closed before the real pages are served.

use crate::central::Said;
use crate::health::Health;
use crate::shutdown::Signals;
use crate::store::LockHolder;
use crate::web::{self, Doors, Waiting, WebState};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between tries to listen on an address that is taken.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// A start that takes no longer shows no message: connections wait in the system's queue for the real pages.
const PLAIN_AFTER: Duration = Duration::from_millis(300);

/// Answers of the plain door that are under way get this long; the patients of the real pages wait for it.
const PLAIN_ENDS_WITHIN: Duration = Duration::from_millis(300);

/// The address, and what serves it now.
pub struct Entrance {
    address: SocketAddr,
    listener: Option<web::Listener>,
    plain: Option<web::ServerHandle>,
    /// It was said that the address cannot be listened on.
    said: bool,
}

/// The entrance, and what it is told until the real pages are there.
pub struct Door {
    /// The pages' address.
    pub entrance: Entrance,
    /// Heard from here on.
    pub signals: Signals,
    /// What the plain door knows.
    pub waiting: Waiting,
    lock_holder: watch::Sender<Option<LockHolder>>,
}

impl Door {
    /// Nothing is listened on yet but signals. Call within a tokio runtime.
    ///
    /// # Errors
    /// The operating system's, when it has no room for a handler.
    pub fn at(address: SocketAddr, help_line: Option<&'static str>, readers: usize) -> io::Result<Self> {
        let (lock_holder, told) = watch::channel(None);
        let waiting = Waiting { help_line, lock_holder: told, doors: Doors::default(), readers };
        Ok(Self { entrance: Entrance::at(address), signals: Signals::listen()?, waiting, lock_holder })
    }

    /// As [`Entrance::open_while`]; the opening tells whose lock it waits for.
    pub async fn open_while<T>(
        &mut self,
        opening: impl AsyncFnOnce(&watch::Sender<Option<LockHolder>>) -> T,
    ) -> Option<T> {
        self.entrance.open_while(&self.waiting, &mut self.signals, opening(&self.lock_holder)).await
    }
}

/// The real pages.
pub struct Served {
    /// Where.
    pub address: SocketAddr,
    handle: web::ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

impl Served {
    /// Ends in order.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        let _ = self.task.await;
    }
}

impl Entrance {
    /// Nothing is listened on yet.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, listener: None, plain: None, said: false }
    }

    /// Another address. The plain door of the former one is closed.
    pub async fn move_to(&mut self, address: SocketAddr) {
        if self.address != address {
            if let Some(plain) = self.plain.take() {
                plain.stop(false).await;
            }
            *self = Self::at(address);
        }
    }

    /// Does what comes before the first reception. If that takes a while, pages and `/healthz` say why. `None` when a signal asked
    /// for the end first.
    pub async fn open_while<T>(
        &mut self,
        waiting: &Waiting,
        signals: &mut Signals,
        opening: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            () = signals.asked() => None,
            never = self.plain_door(waiting) => match never {},
            opened = opening => Some(opened),
        }
    }

    async fn plain_door(&mut self, waiting: &Waiting) -> Infallible {
        if self.plain.is_some() {
            return std::future::pending().await;
        }
        // A failure is said by the tries below.
        let _ = self.listener();
        tokio::time::sleep(PLAIN_AFTER).await;
        let server = self.started(|_, _| {}, |listener| web::serve_waiting(listener, waiting.clone())).await;
        self.plain = Some(server.handle());
        tokio::spawn(server);
        std::future::pending().await
    }

    /// Serves the real pages once the address can be listened on. Another program that holds the port may let go of it.
    pub async fn serve(mut self, state: &WebState, health: &Health) -> Served {
        if let Some(plain) = self.plain.take() {
            // It takes no new connection from here on: they wait for the real pages.
            let _ = tokio::time::timeout(PLAIN_ENDS_WITHIN, plain.stop(true)).await;
        }
        let tell = |ok, said| health.tell("web", ok, said);
        let server = self.started(tell, |listener| web::serve(listener, state.clone())).await;
        let address = self.listener.map_or(self.address, |listener| listener.address());
        Served { address, handle: server.handle(), task: tokio::spawn(server) }
    }

    async fn started(
        &mut self,
        tell: impl Fn(bool, Said),
        serve: impl Fn(&web::Listener) -> io::Result<web::Server>,
    ) -> web::Server {
        let address = self.address;
        loop {
            match self.listener().and_then(&serve) {
                Ok(server) => {
                    if self.said {
                        tell(
                            true,
                            Said::new(format!("{address} で待ち受けています"), format!("{address} is listened on")),
                        );
                    }
                    return server;
                }
                Err(error) => {
                    let what = format!(
                        "cannot listen on {address} (web.listen): {error}; stop what uses it or choose another port; it is tried again"
                    );
                    if !std::mem::replace(&mut self.said, true) {
                        tracing::error!("{what}");
                    }
                    let ja = format!(
                        "{address} (web.listen) で待ち受けられません({error})。使っているものを止めるか、別のポートにしてください。自動で試し直しています"
                    );
                    tell(false, Said::new(ja, what));
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    fn listener(&mut self) -> io::Result<&web::Listener> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => web::listen(self.address)?,
        };
        Ok(self.listener.insert(listener))
    }
}

//! The pages' address: listened on from the start, served as soon as there is something to say.
//!
//! Promises: from the moment when the address is free until the process ends, no connection to it is refused. While the store cannot be
//! opened yet, a plain door says why; it is closed before the real pages are served.

use crate::central::Said;
use crate::health::Health;
use crate::shutdown::Signals;
use crate::web::{self, Waiting, WebState};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
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

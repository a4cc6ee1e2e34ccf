//! The site's actor: supervises the terminals and routes what staff ask for.

use crate::clock::Clock;
use crate::handle::ReaderName;
use crate::messages::{Ping, RestartReader, Stop};
use crate::supervise::{self, Child, ChildState};
use crate::terminal::{Terminal, TerminalParts, announce};
use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use uketsuke_core::backoff::Backoff;
use uketsuke_core::restart::Policy;

/// A terminal holds next to nothing that could fail; if it does, it is worth many tries, for it stands for a whole counter.
const TERMINAL_POLICY: Policy = Policy {
    backoff: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(30) },
    restarts_max: 20,
    healthy_after: Duration::from_secs(60),
};

/// Everything the site needs.
#[derive(Clone)]
pub struct SiteParts {
    /// Its terminals.
    pub terminals: Vec<TerminalParts>,
    /// Restarts that staff ask for.
    pub restarts: async_channel::Receiver<ReaderName>,
    /// Clocks.
    pub clock: Clock,
}

/// The receiver is cloned into a stream of its own and never polled in place. Actors must be `Unpin`.
impl Unpin for SiteParts {}

/// The present address of each terminal; it changes with every life.
type Addresses = Rc<RefCell<BTreeMap<Arc<str>, Addr<Terminal>>>>;

/// The one life of the site.
pub struct Site {
    parts: SiteParts,
    stop: watch::Sender<bool>,
    addresses: Addresses,
    children: Vec<Child>,
}

impl Site {
    /// A site that will start its terminals.
    pub fn new(parts: SiteParts) -> Self {
        Self { parts, stop: watch::Sender::new(false), addresses: Addresses::default(), children: Vec::new() }
    }
}

impl Actor for Site {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.add_stream(Box::pin(self.parts.restarts.clone()));
        for parts in self.parts.terminals.clone() {
            let (name, clock) = (parts.name.clone(), parts.clock.clone());
            let addresses = self.addresses.clone();
            let lives = {
                let name = name.clone();
                move |address| {
                    addresses.borrow_mut().insert(name.clone(), address);
                }
            };
            let factory = move || Terminal::new(parts.clone());
            let stop = self.stop.subscribe();
            let child = supervise::spawn_addressed(name.to_string(), TERMINAL_POLICY, clock, stop, factory, lives);
            let index = self.children.len();
            context.add_stream(WatchStream::new(child.state.clone()).map(move |state| (index, state)));
            self.children.push(child);
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.stop.send_replace(true);
    }
}

impl StreamHandler<ReaderName> for Site {
    fn handle(&mut self, name: ReaderName, _: &mut Self::Context) {
        tracing::info!(reader = %name, "staff ask for a restart");
        let terminals = self.parts.terminals.iter().zip(&self.children);
        for (_, child) in terminals.filter(|(terminal, _)| terminal.name == name.terminal) {
            if *child.state.borrow() == ChildState::GivenUp {
                child.restart();
            } else if let Some(terminal) = self.addresses.borrow().get(&name.terminal) {
                // A terminal that cannot take it is itself being started again, and its readers with it.
                let _ = terminal.try_send(RestartReader(name.clone()));
            }
        }
    }

    /// Nobody is left who could ask; the site goes on.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl StreamHandler<(usize, ChildState)> for Site {
    fn handle(&mut self, (index, state): (usize, ChildState), _: &mut Self::Context) {
        // A terminal that runs speaks for its readers itself; otherwise nobody else would.
        if !matches!(state, ChildState::Running { .. })
            && let Some(terminal) = self.parts.terminals.get(index)
        {
            for reader in &terminal.readers {
                announce(&reader.port, state, &self.parts.clock);
            }
        }
    }

    /// One terminal's supervisor has ended; the site goes on with the others.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Ping> for Site {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Stop> for Site {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.stop.send_replace(true);
        let stopped = supervise::all_stopped(std::mem::take(&mut self.children));
        context.spawn(stopped.into_actor(self).map(|(), _, context| context.stop()));
    }
}

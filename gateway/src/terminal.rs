//! The terminal's actor: supervises its readers and tells their kiosks when one is between two lives or given up.

use crate::clock::Clock;
use crate::handle::{ReaderPort, View};
use crate::messages::{Ping, RestartReader, Stop};
use crate::reader::{Reader, ReaderParts};
use crate::supervise::{self, Child, ChildState};
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use uketsuke_core::backoff::Backoff;
use uketsuke_core::restart::Policy;

/// How patient a terminal is with a reader.
const READER_POLICY: Policy = Policy {
    backoff: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(10) },
    restarts_max: 5,
    healthy_after: Duration::from_secs(60),
};

/// Everything a terminal needs to live again.
#[derive(Clone)]
pub struct TerminalParts {
    /// As in the configuration.
    pub name: Arc<str>,
    /// Its readers.
    pub readers: Vec<ReaderParts>,
    /// Clocks.
    pub clock: Clock,
}

/// One life of one terminal.
pub struct Terminal {
    parts: TerminalParts,
    stop: watch::Sender<bool>,
    children: Vec<Child>,
}

impl Terminal {
    /// A terminal that will start its readers.
    pub fn new(parts: TerminalParts) -> Self {
        Self { parts, stop: watch::Sender::new(false), children: Vec::new() }
    }
}

impl Actor for Terminal {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        for parts in self.parts.readers.clone() {
            let index = self.children.len();
            let (name, clock) = (parts.port.name.to_string(), parts.clock.clone());
            let factory = move || Reader::new(parts.clone());
            let child = supervise::spawn(name, READER_POLICY, clock, self.stop.subscribe(), factory);
            context.add_stream(WatchStream::new(child.state.clone()).map(move |state| (index, state)));
            self.children.push(child);
        }
    }

    /// However this life ends, no reader outlives it.
    fn stopped(&mut self, _: &mut Self::Context) {
        self.stop.send_replace(true);
    }
}

impl StreamHandler<(usize, ChildState)> for Terminal {
    fn handle(&mut self, (index, state): (usize, ChildState), _: &mut Self::Context) {
        if let Some(parts) = self.parts.readers.get(index) {
            announce(&parts.port, state, &self.parts.clock);
        }
    }

    /// One reader's supervisor has ended; the terminal goes on with the others.
    fn finished(&mut self, _: &mut Self::Context) {}
}

/// Kiosk and staff learn at once what became of a reader.
pub(crate) fn announce(port: &ReaderPort, state: ChildState, clock: &Clock) {
    let (view, word) = match state {
        ChildState::Running { restarts } => {
            port.status.send_modify(|status| status.restarts = restarts);
            return;
        }
        ChildState::Waiting => (View::Starting, "starting"),
        ChildState::GivenUp => (View::OutOfService, "given_up"),
        ChildState::Stopped => (View::OutOfService, "stopped"),
    };
    let since = clock.stamp();
    // Whoever sees the screen change and asks finds the state that belongs to it.
    port.status.send_modify(|status| {
        (status.state, status.reception, status.attention, status.since) = (word, None, None, since);
        status.closed = None;
    });
    port.view.send_replace(view);
}

impl Handler<RestartReader> for Terminal {
    type Result = ();
    fn handle(&mut self, RestartReader(name): RestartReader, _: &mut Self::Context) {
        for (parts, child) in self.parts.readers.iter().zip(&self.children) {
            if parts.port.name == name {
                child.restart();
            }
        }
    }
}

impl Handler<Ping> for Terminal {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Stop> for Terminal {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.stop.send_replace(true);
        let stopped = supervise::all_stopped(std::mem::take(&mut self.children));
        context.spawn(stopped.into_actor(self).map(|(), _, context| context.stop()));
    }
}

//! The reader's actor: feeds one reception core with events and performs its effects. It holds no decisions.

mod attempt;
mod effects;
mod scribe;
mod session;

pub use scribe::Scribe;
pub use session::Desk;

use crate::central::Said;
use crate::clock::Clock;
use crate::config;
use crate::driver::{self, DriverEvent, DriverHandle};
use crate::handle::{CourierStatus, ReaderInput, ReaderPort, View};
use crate::messages::{Ping, Stop};
use crate::store::ReplyNotice;
use crate::telemetry::Metrics;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, StreamHandler, WrapFuture,
};
use scribe::Write;
use session::Session;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream, WatchStream};
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::invariants::ReceptionWatch;
use uketsuke_core::outbox::Circuit;
use uketsuke_core::reception::{Ask, Event, Reception, Rules, Screen};
use uketsuke_core::record::{Method, Shown};

/// A card that was left in through a restart is told "take your card" rather than received again. After longer than this, the same
/// card is a patient who comes again.
const RESUME_WITHIN_MS: i64 = 5 * 60 * 1000;

/// Between tries to open a slot that cannot be opened.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Everything a reader's actor needs to live again; its supervisor holds one and clones it per life.
#[derive(Clone)]
pub struct ReaderParts {
    /// What it is made of.
    pub config: config::Reader,
    /// Deadlines and questions.
    pub rules: Rules,
    /// The other end of its handle.
    pub port: ReaderPort,
    /// Store, keys, trust, face.
    pub desk: Desk,
    /// Its way to the store, which outlives it.
    pub scribe: Scribe,
    /// Whether the line to the central system is up.
    pub central: watch::Receiver<CourierStatus>,
    /// False once the gateway is about to stop: no new cards.
    pub accepting: watch::Receiver<bool>,
    /// Clocks.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

/// One life of one reader.
pub struct Reader {
    parts: ReaderParts,
    core: Reception,
    watch: ReceptionWatch,
    driver: Option<DriverHandle>,
    /// Its slot was not opened yet: there is nothing to show.
    closed: bool,
    session: Option<Session>,
    /// When the reception of a card that is still in can have been recorded by an earlier life; wall clock, milliseconds.
    resumable: Option<Range<i64>>,
    /// T2 under way: what is counted when it is on disk.
    recording: Option<(ReceptionId, Method, Shown)>,
    timer: Option<SpawnHandle>,
    attempt: Option<SpawnHandle>,
}

impl Reader {
    /// A reader that will open its driver when it starts.
    pub fn new(parts: ReaderParts) -> Self {
        let core = Reception::new(parts.rules.clone());
        let born_ms = parts.clock.stamp().wall_ms;
        Self {
            parts,
            core,
            watch: ReceptionWatch::default(),
            driver: None,
            closed: true,
            session: None,
            resumable: Some(born_ms - RESUME_WITHIN_MS..born_ms),
            recording: None,
            timer: None,
            attempt: None,
        }
    }

    /// Feeds one event, performs what follows from it, and publishes the screen.
    fn on(&mut self, event: Event, context: &mut Context<Self>) {
        let start = Instant::now();
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.parts.clock.now();
            let mut effects = Vec::new();
            let before = cfg!(debug_assertions).then(|| self.core.clone());
            self.core.step(now, event.clone(), &mut effects);
            if let Some(before) = before
                && let Err(broken) = self.watch.check(now, &before, &event, &effects, &self.core)
            {
                tracing::error!(%broken, "an invariant of the reception does not hold");
                debug_assert!(false, "{broken}");
            }
            for effect in effects {
                events.extend(self.perform(effect, context));
            }
            // The wait for an answer begins with these writes: from here on the core wants to know that the line is down.
            if let Event::Opened(reception, Ok(())) | Event::RegistrationWritten(reception, Ok(())) = event
                && line_is_down(&self.parts.central.borrow())
            {
                events.push_back(Event::LineDown(reception));
            }
        }
        self.arm_timer(context);
        self.publish();
        self.own(start.elapsed());
    }

    /// Counts time that the patient waited for us and nobody else.
    fn own(&mut self, took: Duration) {
        if let Some(session) = &mut self.session {
            session.own += took;
        }
    }

    fn arm_timer(&mut self, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        if let Some(deadline) = self.core.deadline() {
            let wait = Duration::from_millis(deadline.0.saturating_sub(self.parts.clock.mono().0));
            self.timer = Some(context.run_later(wait, |actor, context| {
                actor.timer = None;
                actor.on(Event::Tick, context);
            }));
        }
    }

    fn publish(&self) {
        if self.closed {
            return;
        }
        let screen = self.core.screen();
        let view = if screen == Screen::Idle && !*self.parts.accepting.borrow() {
            View::OutOfService
        } else {
            View::Live { reception: self.core.current(), version: self.core.version(), screen }
        };
        self.parts.port.view.send_if_modified(|shown| {
            let changed = *shown != view;
            if changed {
                *shown = view;
            }
            changed
        });
        let (state, reception, attention) = (self.core.state_name(), self.core.current(), self.core.attention());
        let helper = self.core.helper();
        let now = self.parts.clock.stamp();
        self.parts.port.status.send_if_modified(|status| {
            let changed = (status.state, status.reception, status.helper, &status.attention)
                != (state, reception, helper, &attention);
            if status.state != state {
                status.since = now;
            }
            (status.state, status.reception, status.attention) = (state, reception, attention);
            status.helper = helper;
            changed
        });
    }

    fn driver_opened(
        &mut self,
        opened: Result<(DriverHandle, mpsc::Receiver<DriverEvent>), Said>,
        context: &mut Context<Self>,
    ) {
        match opened {
            Ok((driver, events)) => {
                (self.driver, self.closed) = (Some(driver), false);
                self.parts.port.status.send_modify(|status| status.closed = None);
                context.add_stream(ReceiverStream::new(events));
                self.publish();
            }
            // Another program may let go of the slot at any time: no reason to give the reader up.
            Err(error) => {
                self.say_closed(error);
                context.run_later(OPEN_AGAIN, Self::open_slot);
            }
        }
    }

    fn say_closed(&self, why: Said) {
        let port = &self.parts.port;
        if port.status.borrow().closed.as_deref() == Some(&why) {
            return;
        }
        tracing::error!(reader = %port.name, error = why.en, "the reader cannot be opened; it is tried again");
        let since = self.parts.clock.stamp();
        port.status.send_modify(|status| {
            (status.state, status.reception, status.attention, status.since) = ("closed", None, None, since);
            status.closed = Some(why.into());
        });
        port.view.send_replace(View::OutOfService);
    }

    fn open_slot(&mut self, context: &mut Context<Self>) {
        let config = self.parts.config.clone();
        let opening = async move { driver::open(&config).await };
        context.spawn(opening.into_actor(self).map(|opened, actor, context| actor.driver_opened(opened, context)));
    }

    /// A notice was missed: the store knows what it said.
    fn look_up_reply(&mut self, context: &mut Context<Self>) {
        let Some(reception) = self.core.current() else { return };
        let store = self.parts.desk.store.clone();
        let looking = async move { store.reception(reception).await };
        let done = looking.into_actor(self).map(move |found, actor, context| match found {
            Ok(record) => {
                let Some(record) = record else { return };
                for (ask, replied) in [(Ask::First, record.replied), (Ask::FollowUp, record.followed_up)] {
                    if let Some((_, reply)) = replied {
                        actor.on(Event::Replied(reception, ask, reply), context);
                    }
                }
            }
            Err(error) => tracing::warn!(%reception, %error, "the reply cannot be looked up"),
        });
        context.spawn(done);
    }
}

impl Actor for Reader {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.add_stream(Box::pin(self.parts.port.inputs.clone()));
        context.add_stream(BroadcastStream::new(self.parts.desk.store.replies()));
        context.add_stream(WatchStream::from_changes(self.parts.central.clone()));
        context.add_stream(WatchStream::from_changes(self.parts.accepting.clone()));
        // Written before anything of this life; the reader need not wait for it.
        drop(self.parts.scribe.write(Write::AbandonOpen(self.parts.clock.stamp())));
        self.open_slot(context);
    }
}

impl StreamHandler<DriverEvent> for Reader {
    fn handle(&mut self, event: DriverEvent, context: &mut Self::Context) {
        match event {
            // The gateway is about to stop; the screen says so.
            DriverEvent::Inserted if !*self.parts.accepting.borrow() => {}
            DriverEvent::Inserted => self.on(Event::CardPlaced(ReceptionId(uuid::Uuid::now_v7())), context),
            DriverEvent::Removed => self.on(Event::CardRemoved, context),
            DriverEvent::Fault(error) => {
                tracing::error!(reader = %self.parts.port.name, error, "the reader failed");
                self.on(Event::ReaderFault, context);
            }
        }
    }

    /// The driver has ended: so does this life.
    fn finished(&mut self, context: &mut Self::Context) {
        self.driver = None;
        // A notice about it stays readable for its time.
        let notice = matches!(self.core.screen(), Screen::Notice(_));
        let wait = if notice { self.parts.rules.timing.notice } else { Duration::ZERO };
        context.run_later(wait, |_, context| context.stop());
    }
}

impl StreamHandler<ReaderInput> for Reader {
    fn handle(&mut self, input: ReaderInput, context: &mut Self::Context) {
        match input {
            ReaderInput::Intent(reception, version, intent) => {
                self.on(Event::Intent(reception, version, intent), context);
            }
            ReaderInput::Staff(reception, decision, by) => {
                self.on(Event::StaffDecided(reception, decision, by), context);
            }
            ReaderInput::Assist(reception, by) => self.on(Event::StaffAssists(reception, by), context),
            ReaderInput::Leave(reception) => self.on(Event::StaffLeave(reception), context),
        }
    }
}

impl StreamHandler<Result<ReplyNotice, BroadcastStreamRecvError>> for Reader {
    fn handle(&mut self, notice: Result<ReplyNotice, BroadcastStreamRecvError>, context: &mut Self::Context) {
        match notice {
            // Every reader hears every notice; the core drops those of other receptions.
            Ok(notice) if self.core.current() == Some(notice.reception) => {
                self.on(Event::Replied(notice.reception, notice.ask, notice.reply), context);
            }
            Ok(_) => {}
            Err(BroadcastStreamRecvError::Lagged(_)) => self.look_up_reply(context),
        }
    }
}

impl StreamHandler<CourierStatus> for Reader {
    fn handle(&mut self, central: CourierStatus, context: &mut Self::Context) {
        if let Some(reception) = self.core.current().filter(|_| line_is_down(&central)) {
            self.on(Event::LineDown(reception), context);
        }
    }
}

impl StreamHandler<bool> for Reader {
    fn handle(&mut self, _accepting: bool, _: &mut Self::Context) {
        self.publish();
    }

    /// Nobody is left who could change it; the reader goes on.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Ping> for Reader {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Stop> for Reader {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}

fn line_is_down(central: &CourierStatus) -> bool {
    matches!(central.circuit, Circuit::Down { .. })
}

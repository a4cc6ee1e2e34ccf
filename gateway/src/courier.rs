//! The courier's actor: feeds the plan of one destination with events and performs its effects. It holds no decisions.

use crate::central::{CentralClient, CentralError, Delivery};
use crate::clock::Clock;
use crate::handle::{Counted, CourierStatus};
use crate::messages::{Ping, Stop};
use crate::store::{Destination, Lane, OutboxRow, RequestKind, Settlement, Store};
use crate::telemetry::Metrics;
use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, StreamHandler, WrapFuture,
};
use futures_util::FutureExt;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use uketsuke_core::outbox::{Circuit, Effect, Event, Head, Kind, Plan, Rules, Settle, Tried};

/// Verdicts that nobody waits for and that the store is given at once. More would share a commit, but who stands at a reader waits for
/// the commit under way.
const SETTLING_MAX: usize = 32;
/// Between two counts of what waits: at least this long…
const COUNT_EVERY: Duration = Duration::from_millis(200);
/// …and so many times what the last one took, so that counting a very long queue costs no more than counting a short one.
const COUNT_REST: u32 = 50;

/// Everything a courier needs to live again.
#[derive(Clone)]
pub struct CourierParts {
    /// Limits.
    pub rules: Rules,
    /// Where the rows are.
    pub store: Store,
    /// Where they go.
    pub central: CentralClient,
    /// Clocks.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// What staff and telemetry see.
    pub status: Arc<watch::Sender<CourierStatus>>,
}

/// What waits is counted seldom enough to cost nothing, and once more after the last change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// The known count is as good as any.
    Rests,
    /// Under way, or too soon after the last one.
    Busy {
        /// Something has changed since.
        again: bool,
    },
}

/// What is to be written about a row, who waits for that, and when its answer came if there was one.
type Verdict = (i64, Settlement, Lane, Option<Instant>);

/// One life of the courier to the central system.
pub struct Courier {
    parts: CourierParts,
    plan: Plan,
    rows: BTreeMap<i64, OutboxRow>,
    /// Answers that came and are not written down yet, with the moment they came.
    answers: BTreeMap<i64, (Delivery, Instant)>,
    /// Verdicts that wait to be written down: those that somebody at a reader waits for, which go first, and the others; each in the order
    /// they came.
    urgent: VecDeque<Verdict>,
    verdicts: VecDeque<Verdict>,
    /// Verdicts that the store was given.
    settling: usize,
    timer: Option<SpawnHandle>,
    counting: Counting,
    /// The state that was logged last.
    logged: &'static str,
    /// No new rows go out; the life ends when the rest is settled.
    stopping: bool,
}

impl Courier {
    /// A courier that asks first whether its destination is there, then looks into the outbox.
    pub fn new(parts: CourierParts) -> Self {
        let plan = Plan::new(parts.rules, parts.clock.now());
        Self {
            parts,
            plan,
            rows: BTreeMap::new(),
            answers: BTreeMap::new(),
            urgent: VecDeque::new(),
            verdicts: VecDeque::new(),
            settling: 0,
            timer: None,
            counting: Counting::Rests,
            logged: "",
            stopping: false,
        }
    }

    fn on(&mut self, event: Event, context: &mut Context<Self>) {
        let mut effects = Vec::new();
        self.plan.step(self.parts.clock.now(), event, rand::random(), &mut effects);
        for effect in effects {
            self.perform(effect, context);
        }
        self.arm_timer(context);
        self.publish();
        if self.stopping && self.plan.in_flight() == 0 {
            context.stop();
        }
    }

    fn perform(&mut self, effect: Effect, context: &mut Context<Self>) {
        match effect {
            Effect::Select { .. } | Effect::Probe if self.stopping => {}
            Effect::Select { limit, busy, without } => {
                let store = self.parts.store.clone();
                let now_ms = self.parts.clock.stamp().wall_ms;
                let without: Vec<_> = without.into_iter().map(RequestKind::of).collect();
                let select = async move {
                    store.select_without(Destination::Central, limit as usize, &busy, &without, now_ms).await
                };
                context.spawn(select.into_actor(self).map(|selected, actor, context| match selected {
                    Ok(rows) => actor.selected(rows, context),
                    Err(error) => {
                        tracing::error!(%error, "the outbox cannot be read");
                        actor.on(Event::SelectFailed, context);
                    }
                }));
            }
            Effect::Send(seq) => self.send(seq, context),
            Effect::Settle(seq, settle) => self.settle(seq, settle, context),
            Effect::Probe => {
                let central = self.parts.central.clone();
                let probing = tokio::spawn(async move { central.ping().await });
                context.spawn(probing.into_actor(self).map(|probed, actor, context| {
                    let answered = match probed {
                        Ok(Ok(())) => true,
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "probe failed");
                            // A destination that says "busy" or "no" to a ping is there.
                            !matches!(
                                error,
                                CentralError::Unreachable(_)
                                    | CentralError::Unavailable
                                    | CentralError::TimedOut
                                    | CentralError::Refused(_)
                            )
                        }
                        Err(_) => false,
                    };
                    actor.on(Event::Probed(answered), context);
                }));
            }
        }
    }

    fn selected(&mut self, rows: Vec<OutboxRow>, context: &mut Context<Self>) {
        if self.stopping {
            return self.on(Event::SelectFailed, context);
        }
        let heads = rows.iter().map(OutboxRow::head).collect();
        for row in rows {
            self.rows.insert(row.seq, row);
        }
        self.on(Event::Selected(heads), context);
        // What the plan did not take up is not kept: bodies are personal.
        let Self { rows, plan, .. } = self;
        rows.retain(|seq, _| plan.is_in_flight(*seq));
    }

    fn send(&mut self, seq: i64, context: &mut Context<Self>) {
        let Some(row) = self.rows.get(&seq).cloned() else {
            return self.on(Event::Tried(seq, Tried::Failed { code: "row_lost".into() }), context);
        };
        let central = self.parts.central.clone();
        // One that panics fails alone.
        let sending = AssertUnwindSafe(async move { central.deliver(&row).await }).catch_unwind();
        context.spawn(sending.into_actor(self).map(move |sent, actor, context| {
            let tried = match sent {
                Ok(Ok(delivery)) => {
                    actor.answers.insert(seq, (delivery, Instant::now()));
                    Tried::Delivered
                }
                Ok(Err(error)) => {
                    // Of the line it is told when its state changes, not at every request.
                    if matches!(error, CentralError::Rejected(_) | CentralError::Protocol(_)) {
                        tracing::warn!(seq, %error, "a request was not delivered");
                    } else {
                        tracing::debug!(seq, %error, "a request was not delivered");
                    }
                    tried(error)
                }
                Err(_) => Tried::Failed { code: "panicked".into() },
            };
            actor.parts.metrics.tried(tried_name(&tried));
            actor.on(Event::Tried(seq, tried), context);
            // One that goes back into the queue is read again: bodies are personal, and its lane may change.
            if !actor.plan.is_in_flight(seq) {
                actor.rows.remove(&seq);
            }
        }));
    }

    fn settle(&mut self, seq: i64, settle: Settle, context: &mut Context<Self>) {
        let came = self.answers.remove(&seq);
        let since = came.as_ref().map(|(_, at)| *at);
        let settlement = match (settle, came) {
            (Settle::Delivered, Some((Delivery::Answered { reply, answer }, _))) => {
                Settlement::Answered { reply, answer }
            }
            (Settle::Delivered, _) => Settlement::Delivered,
            (Settle::Retry { code, after, own }, _) => Settlement::Retry { code, after, own },
            (Settle::Rejected { code }, _) => Settlement::Rejected { code },
        };
        let lane = self.rows.get(&seq).map_or(Lane::Backlog, |row| row.lane);
        let waiting = if lane == Lane::Interactive { &mut self.urgent } else { &mut self.verdicts };
        waiting.push_back((seq, settlement, lane, since));
        self.settle_next(context);
    }

    fn settle_next(&mut self, context: &mut Context<Self>) {
        let next = match self.urgent.pop_front() {
            None if self.settling < SETTLING_MAX => self.verdicts.pop_front(),
            urgent => urgent,
        };
        let Some((seq, settlement, lane, since)) = next else { return };
        self.settling += 1;
        let store = self.parts.store.clone();
        let at = self.parts.clock.stamp();
        let settling = async move { store.settle_in(lane, seq, settlement, at).await };
        context.spawn(settling.into_actor(self).map(move |settled, actor, context| {
            actor.settling -= 1;
            actor.settle_next(context);
            actor.rows.remove(&seq);
            let event = match settled {
                Ok(()) => {
                    if let Some(since) = since {
                        actor.parts.metrics.settled(since.elapsed());
                    }
                    Event::Settled(seq)
                }
                Err(error) => {
                    tracing::error!(seq, %error, "a verdict could not be written down");
                    Event::SettleFailed(seq)
                }
            };
            actor.on(event, context);
            actor.count(context);
        }));
    }

    /// Reads how much waits; the numbers are state, so a late one is no harm.
    fn count(&mut self, context: &mut Context<Self>) {
        if self.counting != Counting::Rests {
            self.counting = Counting::Busy { again: true };
            return;
        }
        self.counting = Counting::Busy { again: false };
        let store = self.parts.store.clone();
        let counting = async move {
            let begun = Instant::now();
            (store.outbox_counts(Destination::Central).await, begun.elapsed())
        };
        context.spawn(counting.into_actor(self).map(|(counted, took), actor, context| {
            match counted {
                Ok(counts) => {
                    actor.parts.status.send_if_modified(|status| {
                        let counted = Some(Counted { pending: counts.pending, rejected: counts.rejected });
                        std::mem::replace(&mut status.counted, counted) != counted
                    });
                }
                Err(error) => tracing::warn!(%error, "the outbox cannot be counted"),
            }
            context.run_later(COUNT_EVERY.max(took * COUNT_REST), |actor, context| {
                if std::mem::replace(&mut actor.counting, Counting::Rests) == (Counting::Busy { again: true }) {
                    actor.count(context);
                }
            });
        }));
    }

    fn arm_timer(&mut self, context: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        if let Some(deadline) = self.plan.deadline() {
            let wait = Duration::from_millis(deadline.0.saturating_sub(self.parts.clock.mono().0));
            self.timer = Some(context.run_later(wait, |actor, context| {
                actor.timer = None;
                actor.on(Event::Tick, context);
            }));
        }
    }

    fn publish(&mut self) {
        let (circuit, in_flight, window) = (self.plan.circuit(), self.plan.in_flight(), self.plan.window());
        let now = self.parts.clock.stamp();
        let turned = self.parts.status.send_if_modified(|status| {
            let turned = std::mem::discriminant(&status.circuit) != std::mem::discriminant(&circuit);
            if turned {
                status.since = now;
            }
            (status.circuit, status.in_flight, status.window) = (circuit, in_flight, window);
            turned
        });
        if turned {
            self.log(circuit);
        }
    }

    /// A fault of the line has been logged with its reason, and is again when it ends: the state that follows from it is no news.
    fn log(&mut self, circuit: Circuit) {
        let state = match circuit {
            Circuit::Up => "up",
            Circuit::Paused { .. } => "busy",
            Circuit::Down { .. } => "down",
        };
        let explained = self.parts.central.status().borrow().fault.is_some();
        if explained || state == self.logged {
            tracing::debug!(state, "the central system");
        } else {
            tracing::info!(state, "the central system");
            self.logged = state;
        }
    }
}

impl OutboxRow {
    /// What the plan needs to know of it.
    pub fn head(&self) -> Head {
        let kind = match self.request.kind {
            RequestKind::Eligibility => Kind::Question,
            RequestKind::FollowUp => Kind::FollowUp,
            RequestKind::Consent => Kind::Consent,
        };
        Head { seq: self.seq, kind, order_key: self.order_key, attempts: self.attempts }
    }
}

impl RequestKind {
    /// What the plan calls so.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Question => Self::Eligibility,
            Kind::FollowUp => Self::FollowUp,
            Kind::Consent => Self::Consent,
        }
    }
}

fn tried(error: CentralError) -> Tried {
    match error {
        CentralError::Unreachable(_) => Tried::Unreachable,
        CentralError::TimedOut => Tried::Doubtful { code: "timed_out".into() },
        CentralError::Unavailable => Tried::Doubtful { code: "unavailable".into() },
        CentralError::Refused(code) => Tried::Doubtful { code },
        CentralError::Busy(pause) => Tried::Busy(pause),
        CentralError::Rejected(code) => Tried::Rejected { code },
        CentralError::Protocol(code) => Tried::Failed { code },
        CentralError::NotBelieved(_) => Tried::Disbelieved { code: "signature_not_believed".into() },
    }
}

fn tried_name(tried: &Tried) -> &'static str {
    match tried {
        Tried::Delivered => "delivered",
        Tried::Unreachable => "unreachable",
        Tried::Doubtful { .. } => "doubtful",
        Tried::Busy(_) => "busy",
        Tried::Failed { .. } => "failed",
        Tried::Disbelieved { .. } => "disbelieved",
        Tried::Rejected { .. } => "rejected",
    }
}

impl Actor for Courier {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Yields the present value at once: the first wake.
        context.add_stream(WatchStream::new(self.parts.store.appended()));
    }
}

impl StreamHandler<u64> for Courier {
    fn handle(&mut self, _: u64, context: &mut Self::Context) {
        self.on(Event::Wake, context);
        self.count(context);
    }
}

impl Handler<Ping> for Courier {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<Stop> for Courier {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.stopping = true;
        if self.plan.in_flight() == 0 {
            context.stop();
        }
    }
}

#[cfg(test)]
mod tests;

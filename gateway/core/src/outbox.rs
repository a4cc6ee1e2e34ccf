//! What a courier does next: how many requests are in flight ([`window`]), when a destination counts as down, and what a failure says.
//!
//! *Unreachable and busy say something about the destination, never about a row, and write nothing.* A row that fails although the
//! destination works is tried again, less and less often but never seldom, and never given up here: it may have been the
//! destination's fault after all. The store lets the patient's other requests pass meanwhile. When nothing gets through at
//! all, everything pauses. One row per patient (order key) is in flight at a time.
//!
//! A destination that answers probes and no request, or accepts none, is not up for its probes: after a few such requests one at a time
//! finds out when it serves again, and the state stays *down* until it does. A request that fails again holds no other up meanwhile.
//!
//! *Only first questions say that the destination is down.* A patient waits for their answers. Consents or follow-ups may be refused, or
//! hang, while questions are answered: then they are tried again by themselves, and no patient is told that the line is down. A pause that
//! was asked for when consents or follow-ups were sent is kept for that kind alone.
//!
//! The window counts requests that the destination has not answered. One whose verdict is on its way to disk stays in flight, but makes
//! room for another: neither the line nor a patient at a reader waits for the disk.
//!
//! A look into the store costs about as much for many rows as for one. So a queue that runs empty is taken in handfuls, an eighth of the
//! window; a row that has just come is looked for at once.

mod event;
mod window;

use crate::backoff::Backoff;
use crate::clock::{Mono, Now};
pub use event::{Circuit, Effect, Event, Head, Kind, Settle, Tried};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use window::Window;

/// Between tries of a row that fails.
const RETRY: Backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };

/// So many tries that failed for no reason of the request's own are counted, no more: enough for the longest pause.
const FOREIGN_TRIES_MAX: u32 = 8;

/// How many tries of a row failed, after one more. `own`: at this request, while the destination works. What fails for another reason, such
/// as a pair that nobody believes or an answer that did not come, does not bring a row nearer to being set aside ([`tries_in`]).
pub fn attempts_after(attempts: u32, own: bool) -> u32 {
    let more = attempts.saturating_add(1);
    if own { more } else { attempts.max(more.min(FOREIGN_TRIES_MAX)) }
}

/// How many tries a row has had that has failed by itself for so long, while the line was up: nothing is tried over a line that is down.
pub fn tries_in(failing: Duration) -> u32 {
    // Jitter spreads a pause over its upper half.
    let pause_s = (RETRY.most * 3 / 4).as_secs().max(1);
    u32::try_from(failing.as_secs() / pause_s).unwrap_or(u32::MAX).saturating_add(FOREIGN_TRIES_MAX)
}

/// Limits of one courier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Requests without an answer at the most; as many again may wait for their verdict to be on disk.
    pub window_max: u32,
    /// Mean time between connection probes while the destination is down; each is spread by ± 50 %.
    pub probe_every: Duration,
    /// Pause after "busy" when the destination names none.
    pub busy_pause: Duration,
    /// An idle courier looks again after this long: rows may have waited for their time.
    pub sweep_every: Duration,
    /// Between tries of a row that fails.
    pub retry: Backoff,
    /// Failures in a row, of whatever questions, after which the destination counts as failing and everything pauses…
    pub failures_max: u32,
    /// …once there has been nothing else for so long: a few rows that fail, or a few hundred, must not hold up those behind them.
    pub failing_for: Duration,
    /// Requests, none of which has failed before, that are not answered or not accepted, one after the other, before probes are believed
    /// no more.
    pub doubts_max: u32,
    /// While nothing is to be sent, the destination is asked this often whether it is there.
    pub idle_probe_every: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            window_max: 64,
            probe_every: Duration::from_secs(1),
            busy_pause: Duration::from_secs(2),
            sweep_every: Duration::from_secs(2),
            retry: RETRY,
            failures_max: 16,
            failing_for: Duration::from_secs(2),
            doubts_max: 2,
            idle_probe_every: Duration::from_secs(10),
        }
    }
}

/// A row that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flight {
    head: Head,
    sent: Mono,
    /// Questions answered before it was sent: any since then show that the destination works.
    answered: u64,
    /// The try has ended; its verdict is on its way to disk.
    tried: bool,
}

impl Head {
    /// Whether its answer says how the next patient would fare.
    fn is_fresh_question(&self) -> bool {
        self.kind == Kind::Question && self.attempts == 0
    }
}

/// Whether there may be rows that could go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    /// None that we know of.
    Nothing,
    /// Some that have waited, and can wait for a handful of room.
    More,
    /// Perhaps one that somebody waits for.
    Now,
}

/// This part of the window is a handful.
const HANDFUL: u32 = 8;

/// The plan of one courier.
#[derive(Debug, Clone)]
pub struct Plan {
    rules: Rules,
    circuit: Circuit,
    window: Window,
    in_flight: BTreeMap<i64, Flight>,
    /// Questions answered so far.
    answered: u64,
    /// Failures since the last delivery, and since when there has been nothing else.
    failures: u32,
    failing_since: Option<Mono>,
    /// Questions that were not answered or not accepted since the last one that was.
    doubts: u32,
    /// Kinds beside questions of which the last one was not taken.
    doubted: BTreeSet<Kind>,
    /// Kinds beside questions of which none goes out before: the destination has asked for a pause.
    rests: BTreeMap<Kind, Mono>,
    /// It is down for requests, and answers probes: one request at a time is sent.
    tries_requests: bool,
    /// No request goes out before, whatever else happens to the line: the destination has asked for a pause, or failed at everything.
    busy_until: Mono,
    /// When the destination was heard of last.
    heard: Mono,
    /// A probe beside the work is under way.
    probing: bool,
    selecting: bool,
    wanted: Wanted,
    looked: Mono,
}

impl Plan {
    /// A courier that starts now. Nothing is known of the destination yet, so the first thing is a probe.
    pub fn new(rules: Rules, now: Now) -> Self {
        Self {
            rules,
            circuit: Circuit::Down { probe_at: Some(now.mono) },
            window: Window::new(rules.window_max),
            in_flight: BTreeMap::new(),
            answered: 0,
            failures: 0,
            failing_since: None,
            doubts: 0,
            doubted: BTreeSet::new(),
            rests: BTreeMap::new(),
            tries_requests: false,
            busy_until: now.mono,
            heard: now.mono,
            probing: false,
            selecting: false,
            wanted: Wanted::Now,
            looked: now.mono,
        }
    }

    /// Whether the destination works.
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Rows that were sent and are not settled yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether this row was sent and is not settled yet.
    pub fn is_in_flight(&self, seq: i64) -> bool {
        self.in_flight.contains_key(&seq)
    }

    /// Requests that may be without an answer now.
    pub fn window(&self) -> u32 {
        self.window.size()
    }

    /// When a `Tick` is wanted at the latest.
    pub fn deadline(&self) -> Option<Mono> {
        match self.circuit {
            Circuit::Up => {
                let probe = self.heard.after(self.rules.idle_probe_every);
                let sweep = self.looked.after(self.rules.sweep_every);
                Some(if self.probing { sweep } else { sweep.min(probe) })
            }
            Circuit::Down { probe_at } => probe_at,
            Circuit::Paused { until } => Some(until),
        }
    }

    /// The one way in. `jitter` in 0..=1 is fresh randomness.
    pub fn step(&mut self, now: Now, event: Event, jitter: f64, effects: &mut Vec<Effect>) {
        match event {
            Event::Wake => self.wanted = Wanted::Now,
            Event::Selected(rows) => self.selected(now, rows, effects),
            Event::SelectFailed => self.selecting = false,
            Event::Tried(seq, tried) => self.tried(now, seq, tried, jitter, effects),
            Event::Settled(seq) => {
                self.in_flight.remove(&seq);
                // The patient's next request may have waited for this one.
                self.wanted = self.wanted.max(Wanted::More);
            }
            Event::SettleFailed(seq) => {
                // It will be selected and sent again; its id makes that harmless.
                self.in_flight.remove(&seq);
            }
            Event::Probed(answered) => self.probed(now, answered, jitter),
            Event::Tick => self.tick(now, effects),
        }
        self.select(now, effects);
    }

    fn probed(&mut self, now: Now, answered: bool, jitter: f64) {
        self.probing = false;
        match (self.circuit, answered) {
            (Circuit::Up | Circuit::Paused { .. }, true) => self.heard = now.mono,
            (Circuit::Down { .. }, true) if self.doubts >= self.rules.doubts_max => {
                self.heard = now.mono;
                self.tries_requests = true;
                self.wanted = Wanted::Now;
                self.circuit = Circuit::Down { probe_at: Some(self.next_probe(now, jitter)) };
            }
            (Circuit::Down { .. }, true) => {
                let until = self.busy_until;
                self.circuit = if until > now.mono { Circuit::Paused { until } } else { Circuit::Up };
                self.wanted = Wanted::Now;
                self.heard = now.mono;
            }
            (Circuit::Down { .. }, false) => {
                self.tries_requests = false;
                self.circuit = Circuit::Down { probe_at: Some(self.next_probe(now, jitter)) };
            }
            (_, false) => self.go_down(now, jitter),
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match self.circuit {
            Circuit::Down { probe_at: Some(at) } if now.mono >= at => {
                self.circuit = Circuit::Down { probe_at: None };
                effects.push(Effect::Probe);
            }
            Circuit::Paused { until } if now.mono >= until => {
                self.circuit = Circuit::Up;
                self.wanted = Wanted::Now;
            }
            Circuit::Up => {
                if now.mono >= self.looked.after(self.rules.sweep_every) {
                    self.looked = now.mono;
                    self.wanted = Wanted::Now;
                }
                // A line that drops while nobody needs it is better known before somebody does.
                if !self.probing && now.mono >= self.heard.after(self.rules.idle_probe_every) {
                    self.probing = true;
                    effects.push(Effect::Probe);
                }
            }
            Circuit::Down { .. } | Circuit::Paused { .. } => {}
        }
    }

    fn select(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let room = match self.circuit {
            Circuit::Up => self.room(),
            Circuit::Down { .. } if self.may_try(now) => 1,
            Circuit::Down { .. } | Circuit::Paused { .. } => 0,
        };
        let enough = match self.wanted {
            Wanted::Nothing => false,
            Wanted::More => room >= (self.window.size() / HANDFUL).max(1) || self.unanswered() == 0,
            Wanted::Now => true,
        };
        if enough && !self.selecting && room > 0 {
            self.selecting = true;
            self.wanted = Wanted::Nothing;
            self.looked = now.mono;
            let busy = self.in_flight.values().map(|flight| flight.head.order_key).collect();
            self.rests.retain(|_, until| *until > now.mono);
            let without = self.rests.keys().copied().collect();
            effects.push(Effect::Select { limit: room, busy, without });
        }
    }

    /// Whether a request may find out whether others would be served. One that fails again may hang: a patient who has come waits for a
    /// fresh one only.
    fn may_try(&self, now: Now) -> bool {
        let waits = self.waiting().any(Head::is_fresh_question);
        self.tries_requests && !waits && now.mono >= self.busy_until
    }

    /// What is out and has no answer yet.
    fn waiting(&self) -> impl Iterator<Item = &Head> {
        self.in_flight.values().filter(|flight| !flight.tried).map(|flight| &flight.head)
    }

    /// Requests that are out and have no answer yet.
    fn unanswered(&self) -> u32 {
        count(self.waiting().count())
    }

    /// How many more may be sent.
    fn room(&self) -> u32 {
        // A disk that falls behind holds the line back in the end.
        let unwritten = self.window.size().saturating_add(self.rules.window_max);
        // Requests that have failed before, and may hang again, never take all of the room; nor do kinds that are in doubt.
        let hopeful = |head: &Head| head.attempts == 0 && !self.doubted.contains(&head.kind);
        let hopeful = self.waiting().any(hopeful);
        let room = self.window.size().saturating_sub(self.unanswered()).max(u32::from(!hopeful));
        room.min(unwritten.saturating_sub(count(self.in_flight.len())))
    }

    fn selected(&mut self, now: Now, rows: Vec<Head>, effects: &mut Vec<Effect>) {
        self.selecting = false;
        let most = match self.circuit {
            Circuit::Up => usize::MAX,
            Circuit::Down { .. } if self.may_try(now) => 1,
            Circuit::Down { .. } | Circuit::Paused { .. } => return,
        };
        let up = self.circuit == Circuit::Up;
        for head in rows.into_iter().take(most) {
            let taken = self.in_flight.values().any(|other| other.head.order_key == head.order_key);
            // Of a destination that is down at most one other request waits beside the fresh one.
            let too_many = !up && !head.is_fresh_question() && self.unanswered() > 0;
            if taken || too_many || self.in_flight.contains_key(&head.seq) {
                continue;
            }
            self.in_flight.insert(head.seq, Flight { head, sent: now.mono, answered: self.answered, tried: false });
            // There was something, so there may be more as soon as there is room.
            self.wanted = self.wanted.max(Wanted::More);
            effects.push(Effect::Send(head.seq));
        }
    }

    fn tried(&mut self, now: Now, seq: i64, tried: Tried, jitter: f64, effects: &mut Vec<Effect>) {
        let Some(flight) = self.in_flight.get_mut(&seq) else { return };
        flight.tried = true;
        let Flight { head, sent, answered, .. } = *flight;
        let question = head.kind == Kind::Question;
        if !matches!(tried, Tried::Unreachable | Tried::Doubtful { .. }) {
            self.heard = now.mono;
        }
        if question
            && matches!(
                tried,
                Tried::Delivered | Tried::Rejected { .. } | Tried::Failed { .. } | Tried::Disbelieved { .. }
            )
        {
            self.serves(now);
        }
        if !question && matches!(tried, Tried::Failed { .. } | Tried::Disbelieved { .. } | Tried::Doubtful { .. }) {
            self.doubted.insert(head.kind);
        } else {
            self.doubted.remove(&head.kind);
        }
        match tried {
            Tried::Delivered => {
                self.window.delivered(now.mono.since(sent));
                self.answered += u64::from(question);
                self.works();
                effects.push(Effect::Settle(seq, Settle::Delivered));
            }
            Tried::Rejected { code } => {
                self.works();
                effects.push(Effect::Settle(seq, Settle::Rejected { code }));
            }
            Tried::Failed { code } => self.failed(now, head, (code, true), jitter, effects),
            Tried::Disbelieved { code } => self.failed(now, head, (code, false), jitter, effects),
            Tried::Doubtful { code } => {
                self.failed(now, head, (code, false), jitter, effects);
                // Other questions were answered while this one was on its way: then it is this one. Of one that has failed before, and of
                // what no patient waits for, nothing is concluded: whether the destination is there is asked.
                if self.answered == answered && head.is_fresh_question() {
                    self.doubts = self.doubts.saturating_add(1);
                    self.go_down(now, jitter);
                } else if self.answered == answered && !self.probing && self.circuit == Circuit::Up {
                    self.probing = true;
                    effects.push(Effect::Probe);
                }
            }
            Tried::Unreachable => {
                self.in_flight.remove(&seq);
                self.tries_requests = false;
                self.go_down(now, jitter);
            }
            Tried::Busy(pause) if !question => {
                self.in_flight.remove(&seq);
                let until = now.mono.after(pause.unwrap_or(self.rules.busy_pause));
                self.rests.entry(head.kind).and_modify(|known| *known = until.max(*known)).or_insert(until);
            }
            Tried::Busy(pause) => {
                self.in_flight.remove(&seq);
                // Those that were in flight together are one complaint.
                if self.circuit == Circuit::Up {
                    self.window.busy();
                }
                self.pause(now, pause.unwrap_or(self.rules.busy_pause));
            }
        }
    }

    fn failed(&mut self, now: Now, head: Head, (code, own): (String, bool), jitter: f64, effects: &mut Vec<Effect>) {
        let after = self.rules.retry.delay(head.attempts.saturating_add(1), jitter);
        effects.push(Effect::Settle(head.seq, Settle::Retry { code, after, own }));
        if head.kind != Kind::Question {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now.mono);
        let failing = self.failures >= self.rules.failures_max && now.mono.since(since) >= self.rules.failing_for;
        // One request at a time is no burden that a pause would take off.
        if failing && !self.tries_requests {
            self.window.lost();
            self.pause(now, self.rules.busy_pause);
            // After the pause it has another chance.
            self.works();
        }
    }

    /// It spoke about a request.
    fn serves(&mut self, now: Now) {
        self.doubts = 0;
        if std::mem::take(&mut self.tries_requests) && matches!(self.circuit, Circuit::Down { .. }) {
            let until = self.busy_until;
            self.circuit = if until > now.mono { Circuit::Paused { until } } else { Circuit::Up };
            self.wanted = Wanted::Now;
        }
    }

    /// Something got through.
    fn works(&mut self) {
        (self.failures, self.failing_since) = (0, None);
    }

    fn pause(&mut self, now: Now, lasts: Duration) {
        self.busy_until = self.busy_until.max(now.mono.after(lasts));
        if !matches!(self.circuit, Circuit::Down { .. }) {
            self.circuit = Circuit::Paused { until: self.busy_until };
        }
    }

    fn go_down(&mut self, now: Now, jitter: f64) {
        // Several requests fail together when a line drops: the first sets the probe, the others neither hasten nor delay it.
        if !matches!(self.circuit, Circuit::Down { .. }) {
            self.tries_requests = false;
            self.window.lost();
            self.circuit = Circuit::Down { probe_at: Some(self.next_probe(now, jitter)) };
        }
    }

    fn next_probe(&self, now: Now, jitter: f64) -> Mono {
        let spread = 0.5 + if jitter.is_nan() { 0.5 } else { jitter.clamp(0.0, 1.0) };
        now.mono.after(self.rules.probe_every.mul_f64(spread))
    }
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

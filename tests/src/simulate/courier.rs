//! The courier's shell and the line to the central system: feeds the plan and performs its effects, as the courier's actor does.

use super::agenda::{Inside, Outside};
use super::central::{Answer, Answered, Content, Letter, Mode};
use super::disk::{For, Write, at_once};
use super::world::World;
use rand::Rng;
use std::collections::BTreeMap;
use uketsuke::store::{Destination, OutboxRow, RequestKind, Settlement, StoreError};
use uketsuke_core::clock::{Mono, Now};
use uketsuke_core::ids::OrderKey;
use uketsuke_core::outbox::{Circuit, Effect, Event, Plan, Rules, Settle, Tried};

/// `central.call_deadline_ms`.
const CALL_DEADLINE_MS: u64 = 5_000;

/// The courier in this life of the process.
pub(super) struct Courier {
    life: Option<u64>,
    pub(super) plan: Plan,
    rows: BTreeMap<i64, OutboxRow>,
    answers: BTreeMap<i64, Answered>,
    /// Calls that have not ended, with their rows.
    calls: BTreeMap<u64, i64>,
    armed: Option<Mono>,
}

impl Courier {
    pub(super) fn asleep(now: Now) -> Self {
        let (rows, answers, calls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { life: None, plan: Plan::new(Rules::default(), now), rows, answers, calls, armed: None }
    }
}

impl World {
    fn courier_in(&mut self, life: u64) -> Option<&mut Courier> {
        self.process.as_mut().map(|process| &mut process.courier).filter(|courier| courier.life == Some(life))
    }

    pub(super) fn courier_up(&mut self) {
        let (life, now) = (self.new_life(), self.time.now());
        let Some(process) = &mut self.process else { return };
        process.courier = Courier { life: Some(life), ..Courier::asleep(now) };
        self.trace.note(self.time.ms, 20, life, || format!("the courier lives (life {life})"));
        self.plan(life, Event::Wake);
    }

    pub(super) fn courier_dies(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.courier.life.take().is_some() {
            self.counts.courier_restarts += 1;
            self.trace.note(self.time.ms, 21, 0, || "the courier's actor dies".into());
            self.soon(100..=3_000, Inside::CourierUp);
        }
    }

    pub(super) fn wake_courier(&mut self) {
        if let Some(life) = self.process.as_ref().and_then(|process| process.courier.life) {
            self.soon(0..=3, Inside::Plan(life, Event::Wake));
        }
    }

    pub(super) fn plan_timer(&mut self, life: u64) {
        if let Some(later) = self.only_cases_wait_until() {
            // Weeks of looking for rows that are not there; a row that is added wakes it.
            return self.at(later, Inside::PlanTimer(life));
        }
        self.plan(life, Event::Tick);
    }

    /// Feeds one event to the plan and performs what follows.
    pub(super) fn plan(&mut self, life: u64, event: Event) {
        let (now, jitter) = (self.time.now(), self.rng.random());
        let Some(courier) = self.courier_in(life) else { return };
        let was_down = matches!(courier.plan.circuit(), Circuit::Down { .. });
        let mut effects = Vec::new();
        courier.plan.step(now, event.clone(), jitter, &mut effects);
        let down = matches!(courier.plan.circuit(), Circuit::Down { .. });
        let detail = (courier.plan.in_flight() as u64) << 8 | u64::from(courier.plan.window());
        if event != Event::Tick || !effects.is_empty() {
            self.trace.note(self.time.ms, 22, detail, || format!("courier: {event:?}; {effects:?}"));
        }
        for effect in effects {
            if self.dies_now() {
                return;
            }
            self.carry_out(life, effect);
        }
        if down && !was_down {
            self.tell_line_down();
        }
        self.arm_plan(life);
    }

    fn arm_plan(&mut self, life: u64) {
        let boot_ms = self.time.boot_ms;
        let Some(courier) = self.courier_in(life) else { return };
        let deadline = courier.plan.deadline();
        if courier.armed != deadline {
            courier.armed = deadline;
            if let Some(deadline) = deadline {
                let at = (boot_ms + deadline.0).max(self.time.ms) + self.rng.random_range(0..20);
                self.at(at, Inside::PlanTimer(life));
            }
        }
    }

    fn carry_out(&mut self, life: u64, effect: Effect) {
        match effect {
            Effect::Select { limit, busy, without } => {
                let without = without.into_iter().map(RequestKind::of).collect();
                self.soon(0..=5, Inside::Select(life, limit, busy, without));
            }
            Effect::Send(seq) => self.call(life, seq),
            Effect::Settle(seq, settle) => self.settle(life, seq, settle),
            Effect::Probe => {
                let answered = self.line_up && self.central.mode != Mode::Down && !self.bad_luck(self.temper.loss);
                let took = if answered { 2 * *self.temper.way.end() } else { 3_000 };
                self.soon(1..=took, Inside::Plan(life, Event::Probed(answered)));
            }
        }
    }

    pub(super) fn select(&mut self, life: u64, limit: u32, busy: &[OrderKey], without: &[RequestKind]) {
        let now_ms = self.time.stamp().wall_ms;
        let selecting = self.disk.store.select_without(Destination::Central, limit as usize, busy, without, now_ms);
        let Some(Ok(rows)) = at_once(selecting) else { return self.plan(life, Event::SelectFailed) };
        self.judge.learn(&self.disk.outbox());
        let Some(courier) = self.courier_in(life) else { return };
        let heads = rows.iter().map(OutboxRow::head).collect();
        for row in rows {
            courier.rows.entry(row.seq).or_insert(row);
        }
        self.plan(life, Event::Selected(heads));
        if let Some(Courier { rows, plan, .. }) = self.courier_in(life) {
            rows.retain(|seq, _| plan.is_in_flight(*seq));
        }
    }

    /// One try at one row.
    fn call(&mut self, life: u64, seq: i64) {
        let (number, process_life) = (self.new_life(), self.life);
        let line_up = self.line_up;
        let Some(courier) = self.courier_in(life) else { return };
        let Some(row) = courier.rows.get(&seq) else { return };
        let Some(content) = Content::from_body(&row.request.body) else { return };
        courier.calls.insert(number, seq);
        let letter =
            Letter { from: (process_life, life, number), seq, id: row.request.id, kind: row.request.kind, content };
        self.check_one_in_flight(life, seq, content.patient);
        let end = |tried| Inside::CallEnds(life, number, tried, None);
        if !line_up && self.rng.random() {
            return self.soon(5..=3_000, end(Tried::Unreachable));
        }
        self.soon(CALL_DEADLINE_MS..=CALL_DEADLINE_MS + 50, end(Tried::Doubtful { code: "timed_out".into() }));
        if !line_up || self.bad_luck(self.temper.loss) {
            self.counts.lost_requests += 1;
            return;
        }
        let way = self.temper.way.clone();
        if self.bad_luck(self.temper.twice) {
            self.counts.duplicates += 1;
            self.later(way.clone(), Outside::Arrives(letter.clone()));
        }
        self.later(way, Outside::Arrives(letter));
    }

    fn check_one_in_flight(&mut self, life: u64, seq: i64, patient: u8) {
        let Some(courier) = self.courier_in(life) else { return };
        let of_patient = |row: &OutboxRow| Content::from_body(&row.request.body).is_some_and(|c| c.patient == patient);
        let other = courier
            .rows
            .iter()
            .find(|(other, row)| **other != seq && courier.plan.is_in_flight(**other) && of_patient(row));
        if let Some((other, _)) = other {
            let other = *other;
            self.judge.fails(format!("I3 broken: rows {other} and {seq} of patient {patient} are in flight together"));
        }
    }

    /// A message reaches the central system, whatever has become of its sender.
    pub(super) fn arrives(&mut self, letter: Letter) {
        if !self.line_up {
            self.counts.lost_requests += 1;
            return;
        }
        let (answer, known) = self.central.receive(&letter, &mut self.rng);
        self.counts.recognised += u64::from(known);
        self.trace.note(self.time.ms, 23, letter.seq.unsigned_abs(), || {
            format!("central: {:?} {} (row {}): {answer:?}", letter.kind, letter.id.0.as_u128(), letter.seq)
        });
        self.judge_central(&letter, &answer);
        if self.bad_luck(self.temper.loss) {
            self.counts.lost_answers += 1;
            return;
        }
        let (tried, reply) = match answer {
            Answer::Replied(reply) => (Tried::Delivered, Some(reply)),
            Answer::Taken => (Tried::Delivered, None),
            Answer::Rejected(code) => {
                self.counts.rejected += 1;
                (Tried::Rejected { code: code.into() }, None)
            }
            Answer::NotProcessed => {
                self.counts.not_processed += 1;
                (Tried::Failed { code: "not_processed".into() }, None)
            }
            Answer::Busy(pause) => {
                self.counts.busy += 1;
                (Tried::Busy(Some(pause)), None)
            }
            Answer::Gone => (Tried::Unreachable, None),
        };
        let (process_life, life, call) = letter.from;
        if process_life == self.life {
            let way = self.temper.way.clone();
            if self.bad_luck(self.temper.twice) {
                self.soon(way.clone(), Inside::CallEnds(life, call, tried.clone(), reply.clone()));
            }
            self.soon(way, Inside::CallEnds(life, call, tried, reply));
        }
    }

    pub(super) fn call_ends(&mut self, life: u64, call: u64, tried: Tried, reply: Option<Answered>) {
        let Some(courier) = self.courier_in(life) else { return };
        let Some(seq) = courier.calls.remove(&call) else {
            self.counts.late_answers += u64::from(!matches!(tried, Tried::Doubtful { .. }));
            return;
        };
        if let Some(reply) = reply {
            courier.answers.insert(seq, reply);
        }
        self.plan(life, Event::Tried(seq, tried));
    }

    fn settle(&mut self, life: u64, seq: i64, settle: Settle) {
        let at = self.time.stamp();
        let store = self.disk.store.clone();
        let Some(courier) = self.courier_in(life) else { return };
        let settlement = match (settle, courier.answers.remove(&seq)) {
            (Settle::Delivered, Some((reply, about))) => {
                Settlement::Answered { reply, answer: zeroize::Zeroizing::new(about) }
            }
            (Settle::Delivered, None) => Settlement::Delivered,
            (Settle::Retry { code, after, own }, _) => {
                self.judge.failed(seq);
                Settlement::Retry { code, after, own }
            }
            (Settle::Rejected { code }, _) => Settlement::Rejected { code },
        };
        let write: Write = Box::pin(async move { store.settle(seq, settlement, at).await });
        self.submit(For::Courier(life, seq), write);
    }

    pub(super) fn settled(&mut self, life: u64, seq: i64, result: Result<(), StoreError>) {
        let Some(courier) = self.courier_in(life) else { return };
        courier.rows.remove(&seq);
        self.plan(life, if result.is_ok() { Event::Settled(seq) } else { Event::SettleFailed(seq) });
    }
}

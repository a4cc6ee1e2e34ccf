//! Plan and store together, in a time of their own: what neither shows alone.

use crate::store::{Destination, Opening, OutboxRow, Proof, Request, RequestKind, Settlement, Store};
use std::collections::BTreeMap;
use uketsuke_core::answer::Verdict;
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::outbox::{Effect, Event, Plan, Rules, Settle, Tried};
use uketsuke_core::record::{Evidence, Method, Reply, Verification};
use uuid::Uuid;

/// A courier's plan over a store in memory, with a destination that answers as the test says.
struct Line<F> {
    store: Store,
    plan: Plan,
    ms: u64,
    answers: F,
    /// When each request was answered well.
    delivered: BTreeMap<RequestId, u64>,
}

impl<F: Fn(RequestId) -> Tried> Line<F> {
    fn new(answers: F) -> Self {
        let plan = Plan::new(Rules::default(), now(0));
        Self { store: Store::model(), plan, ms: 0, answers, delivered: BTreeMap::new() }
    }

    async fn visit(&mut self, number: u128, patient: u8) -> RequestId {
        let id = RequestId(Uuid::from_u128(number));
        let body = zeroize::Zeroizing::new(number.to_be_bytes().to_vec());
        let opening = Opening {
            reception: ReceptionId(Uuid::from_u128(number)),
            reader: "desk-1/a".into(),
            order_key: OrderKey([patient; 32]),
            evidence: Evidence::of(Verification::by(Method::Pin)),
            opened: now(self.ms),
            request: Request { id, kind: RequestKind::Eligibility, body, proof: Proof::Gateway },
        };
        self.store.open_reception(opening).await.unwrap();
        self.on(Event::Wake).await;
        id
    }

    /// Lets time pass, deadline by deadline.
    async fn until(&mut self, ms: u64) {
        while let Some(deadline) = self.plan.deadline().filter(|deadline| deadline.0 <= ms) {
            self.ms = self.ms.max(deadline.0) + 1;
            self.on(Event::Tick).await;
        }
        self.ms = self.ms.max(ms);
    }

    async fn on(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.plan.step(now(self.ms), event, 0.5, &mut effects);
            for effect in effects {
                events.insert(0, self.perform(effect).await);
            }
        }
    }

    async fn perform(&mut self, effect: Effect) -> Event {
        match effect {
            Effect::Probe => Event::Probed(true),
            Effect::Select { limit, busy, .. } => {
                let now_ms = now(self.ms).stamp.wall_ms;
                let rows = self.store.select(Destination::Central, limit as usize, &busy, now_ms).await.unwrap();
                Event::Selected(rows.iter().map(OutboxRow::head).collect())
            }
            Effect::Send(seq) => {
                let id = self.id(seq).await;
                let tried = (self.answers)(id);
                if tried == Tried::Delivered {
                    self.delivered.insert(id, self.ms);
                }
                Event::Tried(seq, tried)
            }
            Effect::Settle(seq, settle) => {
                let settlement = match settle {
                    Settle::Delivered => Settlement::Answered {
                        reply: Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: false },
                        answer: zeroize::Zeroizing::new(Vec::new()),
                    },
                    Settle::Retry { code, after, own } => Settlement::Retry { code, after, own },
                    Settle::Rejected { code } => Settlement::Rejected { code },
                };
                self.store.settle(seq, settlement, now(self.ms).stamp).await.unwrap();
                Event::Settled(seq)
            }
        }
    }

    async fn id(&self, seq: i64) -> RequestId {
        let rows = self.store.outbox(Destination::Central, 9999).await.unwrap();
        rows.iter().find(|row| row.seq == seq).unwrap().id
    }
}

fn now(ms: u64) -> Now {
    let stamp = Stamp { wall_ms: i64::try_from(ms).unwrap(), synchronised: true };
    Now { boot: 1, mono: Mono(ms), stamp }
}

fn failing() -> Tried {
    Tried::Failed { code: "internal".into() }
}

const MINUTE: u64 = 60_000;

#[tokio::test]
async fn a_request_that_always_fails_does_not_hold_up_its_patients_next_visit() {
    let cursed = RequestId(Uuid::from_u128(1));
    let mut line = Line::new(|id| if id == cursed { failing() } else { Tried::Delivered });
    line.visit(1, 7).await;
    for minute in 1..30 {
        line.until(minute * MINUTE).await;
        let id = line.visit(u128::from(minute) + 100, 7).await;
        line.until(minute * MINUTE + 3_000).await;
        assert!(line.delivered.contains_key(&id), "the visit of minute {minute} waits behind the first one");
    }
}

#[tokio::test]
async fn after_an_hour_in_which_everything_failed_nothing_is_lost_and_all_goes_out_within_minutes() {
    let healthy = std::cell::Cell::new(false);
    let mut line = Line::new(|_| if healthy.get() { Tried::Delivered } else { failing() });
    for number in 1..=60 {
        line.until(u64::from(number) * MINUTE).await;
        line.visit(u128::from(number), number).await;
    }
    healthy.set(true);
    line.until(63 * MINUTE).await;
    assert_eq!(line.delivered.len(), 60);
    assert_eq!(line.store.outbox_counts(Destination::Central).await.unwrap().rejected, 0);
}

#[tokio::test]
async fn many_failing_requests_do_not_keep_a_patient_waiting() {
    let mut line = Line::new(|id: RequestId| if id.0.as_u128() <= 60 { failing() } else { Tried::Delivered });
    for number in 1..=60 {
        line.visit(u128::from(number), number).await;
    }
    // Long enough for each of them to have failed once.
    line.until(3 * MINUTE).await;
    let mut slowest = 0;
    for number in 61..=160u64 {
        let came = 3 * MINUTE + (number - 60) * 5_000;
        line.until(came).await;
        let id = line.visit(u128::from(number), u8::try_from(number).unwrap()).await;
        line.until(came + 4_000).await;
        slowest = slowest.max(line.delivered.get(&id).map_or(u64::MAX, |at| at - came));
    }
    assert!(slowest <= 3_000, "somebody waited {slowest} ms");
}

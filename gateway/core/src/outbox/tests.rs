//! The courier's plan: a table of situations, then a small model of store and destination.

use super::*;
use crate::clock::Stamp;
use proptest::prelude::*;

fn now(ms: u64) -> Now {
    Now { boot: 1, mono: Mono(ms), stamp: Stamp { wall_ms: 0, synchronised: true } }
}

fn head(seq: i64, patient: u8) -> Head {
    Head { seq, order_key: OrderKey([patient; 32]), attempts: 0 }
}

fn step(plan: &mut Plan, ms: u64, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    plan.step(now(ms), event, 0.5, &mut effects);
    effects
}

fn plan() -> Plan {
    Plan::new(Rules::default(), now(0))
}

#[test]
fn the_window_starts_at_one_and_grows_with_each_delivery() {
    let mut plan = plan();
    assert_eq!(step(&mut plan, 0, Event::Wake), [Effect::Select { limit: 1, busy: vec![] }]);
    assert_eq!(step(&mut plan, 0, Event::Selected(vec![head(1, 1)])), [Effect::Send(1)]);
    let effects = step(&mut plan, 1, Event::Tried(1, Tried::Delivered));
    assert_eq!(
        effects,
        [Effect::Settle(1, Settle::Delivered), Effect::Select { limit: 1, busy: vec![OrderKey([1; 32])] }]
    );
    assert_eq!(plan.window(), 2);
}

#[test]
fn an_unreachable_destination_gets_one_probe_at_a_time_and_its_rows_are_not_touched() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    step(&mut plan, 0, Event::Selected(vec![head(1, 1)]));
    assert_eq!(step(&mut plan, 10, Event::Tried(1, Tried::Unreachable)), []);
    assert_eq!(step(&mut plan, 20, Event::Wake), []);
    assert_eq!(plan.deadline(), Some(Mono(1010)));
    assert_eq!(step(&mut plan, 1010, Event::Tick), [Effect::Probe]);
    assert_eq!(step(&mut plan, 1011, Event::Tick), []);
    step(&mut plan, 1020, Event::Probed(false));
    assert_eq!(step(&mut plan, 2020, Event::Tick), [Effect::Probe]);
    assert_eq!(step(&mut plan, 2030, Event::Probed(true)), [Effect::Select { limit: 1, busy: vec![] }]);
}

fn doubtful() -> Tried {
    Tried::Doubtful { code: "timed_out".into() }
}

/// Delivers one other patient's row, so that the destination is known to work.
fn deliver_another(plan: &mut Plan, ms: u64, seq: i64) {
    step(plan, ms, Event::Selected(vec![head(seq, 200)]));
    step(plan, ms, Event::Tried(seq, Tried::Delivered));
    step(plan, ms, Event::Settled(seq));
}

#[test]
fn a_row_that_fails_alone_steps_aside_and_is_not_blamed() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    step(&mut plan, 0, Event::Selected(vec![head(1, 1)]));
    assert_eq!(step(&mut plan, 10, Event::Tried(1, doubtful())), []);
    assert_eq!(step(&mut plan, 1010, Event::Tick), [Effect::Probe]);
    let effects = step(&mut plan, 1010, Event::Probed(true));
    assert_eq!(effects, [Effect::Select { limit: 1, busy: vec![OrderKey([1; 32])] }]);
}

#[test]
fn a_row_that_fails_while_others_succeed_is_blamed_and_in_the_end_refused() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    step(&mut plan, 0, Event::Selected(vec![head(1, 1)]));
    step(&mut plan, 0, Event::Tried(1, Tried::Failed { code: "internal".into() }));
    let mut settled = Vec::new();
    for attempts in 0..8 {
        let ms = 1_000_000 * u64::from(attempts + 1);
        deliver_another(&mut plan, ms, 100 + i64::from(attempts));
        step(&mut plan, ms, Event::Selected(vec![Head { attempts, ..head(1, 1) }]));
        let effects = step(&mut plan, ms, Event::Tried(1, Tried::Failed { code: "internal".into() }));
        settled.extend(effects.into_iter().filter(|effect| matches!(effect, Effect::Settle(1, _))));
        step(&mut plan, ms, Event::Settled(1));
        step(&mut plan, ms, Event::Selected(vec![]));
    }
    assert_eq!(settled.len(), 8);
    assert!(settled[..7].iter().all(|effect| matches!(effect, Effect::Settle(1, Settle::Retry { .. }))), "{settled:?}");
    assert_eq!(settled[7], Effect::Settle(1, Settle::Rejected { code: "internal".into() }));
}

#[test]
fn while_nothing_gets_through_nothing_is_held_against_anybody() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    for round in 1..200 {
        let ms = round * 100_000;
        for seq in [1, 2] {
            step(&mut plan, ms, Event::Selected(vec![head(seq, seq as u8)]));
            let effects = step(&mut plan, ms, Event::Tried(seq, Tried::Failed { code: "internal".into() }));
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Settle(..))), "{effects:?}");
        }
    }
}

#[test]
fn busy_pauses_for_as_long_as_the_destination_says_and_halves_the_window() {
    let mut plan = plan();
    for seq in 1..=7 {
        step(&mut plan, 0, Event::Wake);
        step(&mut plan, 0, Event::Selected(vec![head(seq, seq as u8)]));
        step(&mut plan, 0, Event::Tried(seq, Tried::Delivered));
        step(&mut plan, 0, Event::Settled(seq));
    }
    assert_eq!(plan.window(), 8);
    step(&mut plan, 0, Event::Selected(vec![head(9, 9)]));
    step(&mut plan, 0, Event::Selected(vec![]));
    step(&mut plan, 5, Event::Tried(9, Tried::Busy(Some(Duration::from_millis(300)))));
    assert_eq!((plan.window(), plan.circuit()), (4, Circuit::Paused { until: Mono(305) }));
    assert!(matches!(step(&mut plan, 305, Event::Tick)[..], [Effect::Select { limit: 4, .. }]));
}

#[test]
fn a_row_stays_in_flight_until_its_verdict_is_on_disk() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    step(&mut plan, 0, Event::Selected(vec![head(1, 1)]));
    step(&mut plan, 1, Event::Tried(1, Tried::Delivered));
    assert_eq!(step(&mut plan, 2, Event::Selected(vec![head(1, 1), head(2, 1)])), []);
    let effects = step(&mut plan, 3, Event::Settled(1));
    assert!(matches!(&effects[..], [Effect::Select { .. }]), "{effects:?}");
}

proptest! {
    /// Against a small model of store and destination: everything is delivered exactly in order per patient.
    #[test]
    fn every_row_is_delivered_once_and_in_its_patients_order(
        patients in proptest::collection::vec(0u8..4, 1..40),
        luck in proptest::collection::vec(0u8..10, 200),
    ) {
        let mut pending: Vec<Head> = patients.iter().enumerate().map(|(n, p)| head(n as i64 + 1, *p)).collect();
        let mut plan = plan();
        let mut luck = luck.into_iter().chain(std::iter::repeat(9));
        let mut delivered: Vec<Head> = Vec::new();
        let mut ms = 0;
        let mut queue = vec![Event::Wake];
        for _ in 0..20_000 {
            let event = match queue.pop() {
                Some(event) => event,
                None if pending.is_empty() => break,
                None => { ms = plan.deadline().map_or(ms + 1, |d| d.0.max(ms + 1)); Event::Tick }
            };
            for effect in step(&mut plan, ms, event) {
                match effect {
                    Effect::Select { limit, busy } => {
                        let mut seen = busy;
                        let mut rows = Vec::new();
                        for row in &pending {
                            if !seen.contains(&row.order_key) && rows.len() < limit as usize { rows.push(*row); }
                            seen.push(row.order_key);
                        }
                        queue.push(Event::Selected(rows));
                    }
                    Effect::Send(seq) => queue.insert(0, Event::Tried(seq, match luck.next().unwrap() {
                        0 => Tried::Unreachable,
                        1 => Tried::Busy(None),
                        2 => doubtful(),
                        3 => Tried::Failed { code: "x".into() },
                        _ => Tried::Delivered,
                    })),
                    Effect::Settle(seq, settle) => {
                        if settle == Settle::Delivered {
                            let at = pending.iter().position(|row| row.seq == seq);
                            prop_assert!(at.is_some(), "row {} settled twice", seq);
                            delivered.push(pending.remove(at.unwrap()));
                        }
                        queue.insert(0, Event::Settled(seq));
                    }
                    Effect::Probe => { let up = luck.next().unwrap() > 2; queue.insert(0, Event::Probed(up)); }
                }
            }
        }
        prop_assert_eq!(delivered.len(), patients.len());
        for patient in 0..4u8 {
            let order: Vec<i64> = delivered.iter().filter(|r| r.order_key == OrderKey([patient; 32])).map(|r| r.seq).collect();
            prop_assert!(order.is_sorted());
        }
    }
}

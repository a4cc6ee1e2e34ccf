//! The courier's plan: a table of situations, then a small model of store and destination.

use super::*;
use crate::clock::Stamp;
use crate::ids::OrderKey;
use proptest::prelude::*;

fn now(ms: u64) -> Now {
    Now { boot: 1, mono: Mono(ms), stamp: Stamp { wall_ms: 0, synchronised: true } }
}

fn head(seq: i64, patient: u8) -> Head {
    Head { seq, kind: Kind::Question, order_key: OrderKey([patient; 32]), attempts: 0 }
}

fn consent(seq: i64, patient: u8) -> Head {
    Head { kind: Kind::Consent, ..head(seq, patient) }
}

fn step(plan: &mut Plan, ms: u64, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    plan.step(now(ms), event, 0.5, &mut effects);
    effects
}

/// A courier whose destination has just answered the first probe, so that it is about to look into the outbox.
fn plan() -> Plan {
    let mut plan = Plan::new(Rules::default(), now(0));
    assert_eq!(step(&mut plan, 0, Event::Tick), [Effect::Probe]);
    assert_eq!(step(&mut plan, 0, Event::Probed(true)), [Effect::Select { limit: 1, busy: vec![], without: vec![] }]);
    step(&mut plan, 0, Event::Selected(vec![]));
    plan
}

/// One that has delivered a row, so that there was room for two more, which are out.
fn two_out() -> Plan {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    step(&mut plan, 0, Event::Selected(vec![head(1, 1)]));
    step(&mut plan, 0, Event::Tried(1, Tried::Delivered));
    step(&mut plan, 0, Event::Settled(1));
    step(&mut plan, 0, Event::Selected(vec![head(2, 2), head(3, 3)]));
    plan
}

#[test]
fn the_window_starts_at_one_and_grows_with_each_delivery() {
    let mut plan = plan();
    assert_eq!(step(&mut plan, 0, Event::Wake), [Effect::Select { limit: 1, busy: vec![], without: vec![] }]);
    assert_eq!(step(&mut plan, 0, Event::Selected(vec![head(1, 1)])), [Effect::Send(1)]);
    let effects = step(&mut plan, 1, Event::Tried(1, Tried::Delivered));
    assert_eq!(
        effects,
        [
            Effect::Settle(1, Settle::Delivered),
            Effect::Select { limit: 2, busy: vec![OrderKey([1; 32])], without: vec![] }
        ]
    );
    assert_eq!(plan.window(), 2);
}

#[test]
fn an_answer_makes_room_before_it_is_on_disk_until_the_disk_is_a_window_behind() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    assert_eq!(step(&mut plan, 0, Event::Selected(vec![head(1, 1)])), [Effect::Send(1)]);
    let mut events = vec![Event::Tried(1, Tried::Delivered)];
    let mut seq = 1;
    while let Some(event) = events.pop() {
        for effect in step(&mut plan, 0, event) {
            match effect {
                Effect::Select { .. } => {
                    seq += 1;
                    events.push(Event::Selected(vec![head(seq, u8::try_from(seq).unwrap())]));
                }
                Effect::Send(seq) => events.push(Event::Tried(seq, Tried::Delivered)),
                // The disk writes nothing.
                Effect::Settle(..) | Effect::Probe => {}
            }
        }
    }
    assert_eq!(plan.window(), Rules::default().window_max);
    assert_eq!(plan.in_flight(), 2 * Rules::default().window_max as usize);
    assert!(matches!(step(&mut plan, 0, Event::Settled(1))[..], [Effect::Select { limit: 1, .. }]));
}

#[test]
fn a_queue_is_taken_in_handfuls_and_a_row_that_has_just_come_at_once() {
    let mut plan = plan();
    plan.window = Window::grown(64);
    step(&mut plan, 0, Event::Wake);
    let rows: Vec<Head> = (1..=64).map(|seq| head(seq, u8::try_from(seq).unwrap())).collect();
    assert_eq!(step(&mut plan, 0, Event::Selected(rows)).len(), 64);
    let looks = |plan: &mut Plan, event| {
        step(plan, 0, event).into_iter().find_map(|effect| match effect {
            Effect::Select { limit, .. } => Some(limit),
            _ => None,
        })
    };
    let limits: Vec<_> = (1..=16).map(|seq| looks(&mut plan, Event::Tried(seq, Tried::Delivered))).collect();
    assert_eq!(limits.iter().position(Option::is_some), Some(7));
    assert_eq!(limits[7], Some(8));
    step(&mut plan, 0, Event::Selected(vec![]));
    assert_eq!(looks(&mut plan, Event::Tried(17, Tried::Delivered)), None, "there was nothing more");
    assert_eq!(looks(&mut plan, Event::Wake), Some(17));
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
    assert_eq!(
        step(&mut plan, 2030, Event::Probed(true)),
        [Effect::Select { limit: 1, busy: vec![], without: vec![] }]
    );
}

fn doubtful() -> Tried {
    Tried::Doubtful { code: "timed_out".into() }
}

/// A courier whose destination answers pings, and has refused two requests in a row.
fn refused() -> Plan {
    let mut plan = plan();
    for seq in [1, 2] {
        let ms = u64::try_from(seq).unwrap() * 2_000;
        step(&mut plan, ms, Event::Wake);
        step(&mut plan, ms, Event::Selected(vec![head(seq, u8::try_from(seq).unwrap())]));
        step(&mut plan, ms, Event::Tried(seq, refusal()));
        step(&mut plan, ms, Event::Settled(seq));
        assert_eq!(step(&mut plan, ms + 1_000, Event::Tick), [Effect::Probe]);
        step(&mut plan, ms + 1_001, Event::Probed(true));
        step(&mut plan, ms + 1_001, Event::Selected(vec![]));
    }
    plan
}

#[test]
fn consents_that_are_refused_or_hang_do_not_take_the_line_down_while_the_destination_is_there() {
    for tried in [refusal(), doubtful(), Tried::Failed { code: "internal".into() }] {
        let mut plan = plan();
        for seq in 1..40 {
            let ms = u64::try_from(seq).unwrap() * 2_000;
            step(&mut plan, ms, Event::Wake);
            step(&mut plan, ms, Event::Selected(vec![consent(seq, u8::try_from(seq).unwrap())]));
            step(&mut plan, ms, Event::Tried(seq, tried.clone()));
            step(&mut plan, ms, Event::Settled(seq));
            step(&mut plan, ms, Event::Selected(vec![]));
            assert_eq!(plan.circuit(), Circuit::Up, "after {seq}: {tried:?}");
            step(&mut plan, ms + 1, Event::Probed(true));
        }
        step(&mut plan, 90_000, Event::Wake);
        step(&mut plan, 90_000, Event::Selected(vec![consent(90, 90)]));
        step(&mut plan, 90_001, Event::Wake);
        assert_eq!(step(&mut plan, 90_002, Event::Selected(vec![head(91, 91)])).first(), Some(&Effect::Send(91)));
        step(&mut plan, 90_003, Event::Probed(false));
        assert!(is_down(&plan), "but when nobody is there it is down");
    }
}

#[test]
fn consents_that_are_taken_hide_no_questions_that_are_not_answered() {
    let mut plan = two_out();
    step(&mut plan, 1, Event::Tried(2, Tried::Delivered));
    step(&mut plan, 1, Event::Selected(vec![consent(4, 4)]));
    step(&mut plan, 2, Event::Tried(4, Tried::Delivered));
    step(&mut plan, 3, Event::Settled(4));
    assert_eq!(plan.circuit(), Circuit::Up);
    let mut plan = refused();
    step(&mut plan, 10_000, Event::Wake);
    step(&mut plan, 10_000, Event::Selected(vec![consent(5, 5)]));
    step(&mut plan, 10_010, Event::Tried(5, Tried::Delivered));
    assert!(is_down(&plan), "questions are not answered yet");
    let mut plan = two_out();
    step(&mut plan, 1, Event::Tried(2, Tried::Rejected { code: "x".into() }));
    step(&mut plan, 1, Event::Selected(vec![consent(4, 4)]));
    step(&mut plan, 2, Event::Tried(4, Tried::Delivered));
    step(&mut plan, 5_000, Event::Tried(3, doubtful()));
    assert!(is_down(&plan), "no question was answered meanwhile");
}

#[test]
fn a_request_that_hangs_again_does_not_hold_up_a_patient_while_the_line_is_down() {
    let mut plan = refused();
    step(&mut plan, 10_000, Event::Wake);
    let again = |seq, patient| Head { attempts: 1, ..head(seq, patient) };
    step(&mut plan, 10_000, Event::Selected(vec![again(1, 1)]));
    assert_eq!(step(&mut plan, 10_001, Event::Selected(vec![again(2, 2)])), [], "one that fails again at a time");
    step(&mut plan, 10_002, Event::Wake);
    assert_eq!(step(&mut plan, 10_003, Event::Selected(vec![head(3, 3)]))[0], Effect::Send(3));
    assert_eq!(step(&mut plan, 10_004, Event::Wake), [], "a fresh one is waited for");
    step(&mut plan, 10_010, Event::Tried(3, Tried::Delivered));
    assert_eq!(plan.circuit(), Circuit::Up);
}

fn refusal() -> Tried {
    Tried::Doubtful { code: "permission_denied".into() }
}

fn is_down(plan: &Plan) -> bool {
    matches!(plan.circuit(), Circuit::Down { .. })
}

#[test]
fn a_destination_that_answers_pings_and_accepts_no_request_stays_down_until_it_accepts_one() {
    let mut plan = refused();
    assert!(is_down(&plan));
    for seq in 3..40 {
        let ms = u64::try_from(seq).unwrap() * 2_000;
        assert_eq!(
            step(&mut plan, ms, Event::Wake),
            [Effect::Select { limit: 1, busy: vec![], without: vec![] }],
            "it is tried at once"
        );
        let patient = u8::try_from(seq).unwrap();
        assert_eq!(
            step(&mut plan, ms, Event::Selected(vec![head(seq, patient), head(seq + 1, 99)])),
            [Effect::Send(seq)]
        );
        assert_eq!(step(&mut plan, ms + 1, Event::Wake), [], "one at a time");
        step(&mut plan, ms + 5, Event::Tried(seq, refusal()));
        step(&mut plan, ms + 6, Event::Settled(seq));
        // It looked before that was on disk, and looks once more.
        assert_eq!(
            step(&mut plan, ms + 6, Event::Selected(vec![])),
            [Effect::Select { limit: 1, busy: vec![], without: vec![] }]
        );
        step(&mut plan, ms + 6, Event::Selected(vec![]));
        assert!(is_down(&plan));
        if step(&mut plan, ms + 1_500, Event::Tick) == [Effect::Probe] {
            step(&mut plan, ms + 1_510, Event::Probed(true));
            step(&mut plan, ms + 1_510, Event::Selected(vec![]));
        }
        assert!(is_down(&plan));
    }
    step(&mut plan, 100_000, Event::Wake);
    step(&mut plan, 100_000, Event::Selected(vec![head(90, 1)]));
    step(&mut plan, 100_010, Event::Tried(90, Tried::Delivered));
    assert_eq!(plan.circuit(), Circuit::Up);
}

#[test]
fn one_request_that_is_not_accepted_does_not_make_pings_unbelievable() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    step(&mut plan, 0, Event::Selected(vec![head(1, 1)]));
    step(&mut plan, 10, Event::Tried(1, refusal()));
    step(&mut plan, 10, Event::Settled(1));
    step(&mut plan, 1_010, Event::Tick);
    step(&mut plan, 1_020, Event::Probed(true));
    assert_eq!(plan.circuit(), Circuit::Up);
}

#[test]
fn a_destination_that_cannot_be_reached_any_more_is_asked_by_pings_again() {
    let mut plan = refused();
    step(&mut plan, 10_000, Event::Wake);
    step(&mut plan, 10_000, Event::Selected(vec![head(3, 3)]));
    step(&mut plan, 10_010, Event::Tried(3, Tried::Unreachable));
    assert_eq!(step(&mut plan, 10_020, Event::Wake), []);
}

#[test]
fn before_anything_is_known_of_the_destination_nothing_is_sent() {
    let mut plan = Plan::new(Rules::default(), now(0));
    assert_eq!(step(&mut plan, 0, Event::Wake), []);
    assert_eq!(plan.deadline(), Some(Mono(0)));
}

#[test]
fn a_destination_that_nobody_needs_is_probed_all_the_same() {
    let mut plan = plan();
    let probes = (1..=60).filter(|s| step(&mut plan, s * 1000, Event::Tick).contains(&Effect::Probe)).count();
    assert_eq!(probes, 1, "one at a time");
    step(&mut plan, 61_000, Event::Probed(false));
    assert!(matches!(plan.circuit(), Circuit::Down { .. }));
}

#[test]
fn a_row_that_fails_is_tried_again_less_and_less_often_but_never_given_up() {
    let mut plan = plan();
    let mut waits = Vec::new();
    for attempts in 0..40 {
        let ms = u64::from(attempts) * 100_000;
        step(&mut plan, ms, Event::Tick);
        step(&mut plan, ms, Event::Selected(vec![Head { attempts, ..head(1, 1) }]));
        for effect in step(&mut plan, ms, Event::Tried(1, Tried::Failed { code: "internal".into() })) {
            if let Effect::Settle(1, Settle::Retry { after, .. }) = effect {
                waits.push(after);
            }
        }
        step(&mut plan, ms, Event::Settled(1));
        step(&mut plan, ms, Event::Selected(vec![]));
        step(&mut plan, ms + 10, Event::Probed(true));
    }
    assert_eq!(waits.len(), 40);
    assert!(waits.is_sorted() && waits[39] <= Duration::from_secs(60), "{waits:?}");
}

#[test]
fn when_nothing_gets_through_everything_pauses() {
    let mut plan = plan();
    let mut paused_at = Vec::new();
    for seq in 1..=200 {
        let ms = seq as u64 * 100;
        step(&mut plan, ms, Event::Tick);
        step(&mut plan, ms, Event::Selected(vec![head(seq, seq as u8)]));
        let paused = matches!(plan.circuit(), Circuit::Paused { .. });
        step(&mut plan, ms, Event::Tried(seq, Tried::Failed { code: "internal".into() }));
        step(&mut plan, ms, Event::Settled(seq));
        step(&mut plan, ms, Event::Probed(true));
        if !paused && matches!(plan.circuit(), Circuit::Paused { .. }) {
            paused_at.push(ms);
        }
    }
    assert_eq!(paused_at, [2_100, 6_100, 10_100, 14_100, 18_100], "two seconds of failures, two of rest");
}

/// Rows that fail whenever they are tried, in front of as many that do not; each answer takes 20 ms. When the first of those behind was
/// delivered, and the last.
fn behind_failing(failing: i64, healthy: i64, mut plan: Plan) -> (u64, u64) {
    let mut queue: BTreeMap<i64, (u64, u32)> = (1..=failing + healthy).map(|seq| (seq, (0, 0))).collect();
    let key = |seq: i64| OrderKey([seq.to_le_bytes(); 4].concat().try_into().unwrap());
    let mut agenda = BTreeMap::from([((0, 0), Event::Wake)]);
    let (mut number, mut delivered) = (0, Vec::new());
    while delivered.len() < healthy as usize {
        let ((ms, _), event) = match (agenda.pop_first(), plan.deadline()) {
            (Some(((ms, _), _)), Some(due)) if due.0 < ms => ((due.0, 0), Event::Tick),
            (Some(next), _) => next,
            (None, due) => ((due.unwrap().0, 0), Event::Tick),
        };
        assert!(ms < 600_000, "{} of {healthy} after ten minutes", delivered.len());
        let mut then = |after: u64, event| {
            number += 1;
            agenda.insert((ms + after, number), event);
        };
        for effect in step(&mut plan, ms, event) {
            match effect {
                Effect::Select { limit, busy, .. } => {
                    let due = queue.iter().filter(|(seq, (at, _))| *at <= ms && !busy.contains(&key(**seq)));
                    let mut due: Vec<_> = due.map(|(seq, (_, attempts))| (*attempts, *seq)).collect();
                    due.sort_by_key(|(attempts, seq)| (*attempts > 0, *seq));
                    let rows = due.into_iter().take(limit as usize);
                    let heads = rows.map(|(attempts, seq)| Head { attempts, order_key: key(seq), ..head(seq, 0) });
                    then(1, Event::Selected(heads.collect()));
                }
                Effect::Send(seq) if seq <= failing => {
                    then(20, Event::Tried(seq, Tried::Failed { code: "internal".into() }));
                }
                Effect::Send(seq) => then(20, Event::Tried(seq, Tried::Delivered)),
                Effect::Settle(seq, Settle::Retry { after, .. }) => {
                    let row = queue.get_mut(&seq).unwrap();
                    *row = (ms + after.as_millis() as u64, row.1 + 1);
                    then(1, Event::Settled(seq));
                }
                Effect::Settle(seq, _) => {
                    queue.remove(&seq);
                    delivered.push(ms);
                    then(1, Event::Settled(seq));
                }
                Effect::Probe => then(5, Event::Probed(true)),
            }
        }
    }
    (delivered[0], *delivered.last().unwrap())
}

#[test]
fn rows_that_fail_do_not_hold_up_those_behind_them() {
    for failing in [1, 16, 30, 100] {
        let (first, last) = behind_failing(failing, 200, plan());
        assert!(first <= 5_000 && last <= 10_000, "behind {failing}: from {first} to {last} ms");
    }
    let grown = || Plan { window: Window::grown(64), ..plan() };
    let (first, last) = behind_failing(2_000, 200, grown());
    assert!(first <= 5_000 && last <= 10_000, "behind 2000: from {first} to {last} ms");
}

#[test]
fn a_request_that_hangs_again_takes_neither_the_line_down_nor_the_last_of_the_room() {
    let mut plan = plan();
    step(&mut plan, 0, Event::Wake);
    let effects = step(&mut plan, 0, Event::Selected(vec![Head { attempts: 1, ..head(1, 1) }]));
    assert_eq!(effects, [Effect::Send(1), Effect::Select { limit: 1, busy: vec![OrderKey([1; 32])], without: vec![] }]);
    assert_eq!(step(&mut plan, 11, Event::Selected(vec![head(2, 2)]))[0], Effect::Send(2));
    assert_eq!(step(&mut plan, 12, Event::Wake), [], "a fresh one is waited for");
    step(&mut plan, 20, Event::Tried(2, Tried::Delivered));
    step(&mut plan, 21, Event::Settled(2));
    // Nothing else was on its way meanwhile.
    step(&mut plan, 30, Event::Selected(vec![Head { attempts: 2, ..head(3, 3) }]));
    let effects = step(&mut plan, 5_030, Event::Tried(3, doubtful()));
    assert!(effects.contains(&Effect::Probe) && plan.circuit() == Circuit::Up, "{effects:?}");
    step(&mut plan, 5_040, Event::Probed(false));
    assert!(matches!(plan.circuit(), Circuit::Down { .. }), "but when nobody is there it is down");
}

#[test]
fn a_pause_that_was_asked_for_is_kept_whatever_happens_to_the_line() {
    let mut plan = two_out();
    step(&mut plan, 5, Event::Tried(2, Tried::Busy(Some(Duration::from_secs(60)))));
    step(&mut plan, 10, Event::Tried(3, doubtful()));
    assert!(matches!(plan.circuit(), Circuit::Down { .. }));
    assert_eq!(step(&mut plan, 1_010, Event::Tick), [Effect::Probe]);
    step(&mut plan, 1_020, Event::Probed(true));
    assert_eq!(plan.circuit(), Circuit::Paused { until: Mono(60_005) });
    assert!(matches!(step(&mut plan, 60_005, Event::Tick)[..], [Effect::Select { .. }]));
}

#[test]
fn a_request_that_times_out_takes_the_line_down_only_if_no_other_was_answered_meanwhile() {
    for (others, down) in [(true, false), (false, true)] {
        let mut plan = two_out();
        if others {
            step(&mut plan, 5, Event::Tried(3, Tried::Delivered));
        }
        let effects = step(&mut plan, 10, Event::Tried(2, doubtful()));
        assert!(matches!(effects[0], Effect::Settle(2, Settle::Retry { .. })), "{effects:?}");
        assert_eq!(matches!(plan.circuit(), Circuit::Down { .. }), down);
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
fn a_pause_asked_for_beside_questions_is_kept_for_that_kind_alone_while_patients_are_served() {
    for kind in [Kind::Consent, Kind::FollowUp] {
        let mut plan = two_out();
        step(&mut plan, 1, Event::Tried(2, Tried::Delivered));
        step(&mut plan, 1, Event::Settled(2));
        step(&mut plan, 1, Event::Selected(vec![Head { kind, ..head(4, 4) }]));
        let window = plan.window();
        step(&mut plan, 5, Event::Tried(4, Tried::Busy(Some(Duration::from_secs(300)))));
        assert_eq!((plan.circuit(), plan.window()), (Circuit::Up, window), "{kind:?}");
        let looks = |plan: &mut Plan, ms| {
            step(plan, ms, Event::Selected(vec![]));
            step(plan, ms, Event::Wake).into_iter().find_map(|effect| match effect {
                Effect::Select { without, .. } => Some(without),
                _ => None,
            })
        };
        assert_eq!(looks(&mut plan, 6), Some(vec![kind]));
        assert_eq!(looks(&mut plan, 300_004), Some(vec![kind]));
        assert_eq!(looks(&mut plan, 300_005), Some(vec![]), "the pause is over");
    }
}

#[test]
fn follow_ups_that_are_refused_or_hang_do_not_take_the_line_down() {
    let mut plan = two_out();
    for seq in [2, 3] {
        step(&mut plan, 1, Event::Tried(seq, Tried::Delivered));
        step(&mut plan, 1, Event::Settled(seq));
    }
    for seq in 10..30 {
        step(
            &mut plan,
            2_000 + seq as u64,
            Event::Selected(vec![Head { kind: Kind::FollowUp, ..head(seq, seq as u8) }]),
        );
        let effects = step(&mut plan, 5_000 + seq as u64, Event::Tried(seq, refusal()));
        assert!(matches!(effects[0], Effect::Settle(_, Settle::Retry { .. })), "{effects:?}");
        step(&mut plan, 5_000 + seq as u64, Event::Settled(seq));
        step(&mut plan, 5_000 + seq as u64, Event::Probed(true));
        assert_eq!(plan.circuit(), Circuit::Up, "{seq}");
        step(&mut plan, 5_000 + seq as u64, Event::Wake);
    }
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
                    Effect::Select { limit, busy, .. } => {
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

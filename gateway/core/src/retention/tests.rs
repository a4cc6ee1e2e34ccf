//! Every clock at a start, and every jump while running.

use super::*;
use crate::clock::{AGREES_WITHIN, EARLIEST_MS, Stamp, synchronised};
use proptest::prelude::*;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// 2026-06-01: where the right clock stands, and the central system's.
const RIGHT_MS: i64 = 1_780_272_000_000;
const BOOT: u64 = 7;

fn now(wall_ms: i64, marked: bool, mono: u64, central: Option<CentralTime>) -> Now {
    let mono = Mono(mono);
    let stamp = Stamp { wall_ms, synchronised: synchronised(marked, wall_ms, mono, central) };
    Now { boot: BOOT, mono, stamp }
}

fn central(mono: u64) -> CentralTime {
    CentralTime { said_ms: RIGHT_MS, heard: Mono(mono) }
}

/// The wall clock's offset at a start, whether central was heard, what is said about deletion, and the stamp's flag with the marker.
#[test]
fn a_wrong_clock_at_a_start_deletes_nothing_with_or_without_the_marker() {
    let table = [
        ("-10 y", -3653 * DAY, false, Deletion::Waits(Doubt::NotHeard), false),
        ("-10 y", -3653 * DAY, true, Deletion::Waits(Doubt::Disagrees { ahead_ms: -3653 * DAY }), false),
        ("+401 d", 401 * DAY, false, Deletion::Waits(Doubt::NotHeard), true),
        ("+401 d", 401 * DAY, true, Deletion::Waits(Doubt::Disagrees { ahead_ms: 401 * DAY }), false),
        ("+1 d", DAY, false, Deletion::Waits(Doubt::NotHeard), true),
        ("+1 d", DAY, true, Deletion::Waits(Doubt::Disagrees { ahead_ms: DAY }), false),
        ("right", 0, false, Deletion::Waits(Doubt::NotHeard), true),
        ("right", 0, true, Deletion::GoesOn { now_ms: RIGHT_MS, by: VouchedBy::CentralSystem }, true),
    ];
    for (name, offset, heard, wanted, vouched) in table {
        for marked in [true, false] {
            let central = heard.then(|| central(1000));
            let now = now(RIGHT_MS + offset, marked, 1000, central);
            assert_eq!(decide(now, central, None), wanted, "{name}, marker {marked}, heard {heard}");
            assert_eq!(now.stamp.synchronised, marked && vouched, "{name}, marker {marked}, heard {heard}");
        }
    }
}

#[test]
fn a_clock_that_jumps_while_the_gateway_runs_stops_deletion_and_goes_on_when_it_is_back() {
    let heard = Some(central(0));
    let at = |passed: u64, jump: i64| now(RIGHT_MS + passed as i64 + jump, true, passed, heard);
    let goes_on = |now: Now| matches!(decide(now, heard, None), Deletion::GoesOn { .. });
    assert!(goes_on(at(60_000, 0)));
    for jump in [-3653 * DAY, -DAY, -301_000, 301_000, DAY, 401 * DAY] {
        assert!(!goes_on(at(120_000, jump)) && !at(120_000, jump).stamp.synchronised, "{jump}");
        assert!(goes_on(at(180_000, 0)));
    }
}

#[test]
fn a_person_vouches_for_the_date_until_the_clock_jumps_or_the_machine_starts_anew() {
    let begun = now(RIGHT_MS, false, 5_000, None);
    let confirmed = Some(Confirmation::of(begun));
    let later = |wall_ms, mono| decide(now(wall_ms, false, mono, None), None, confirmed);
    let by_person = |now_ms| Deletion::GoesOn { now_ms, by: VouchedBy::Person };
    assert_eq!(later(RIGHT_MS + DAY, 5_000 + DAY as u64), by_person(RIGHT_MS + DAY));
    assert_eq!(later(RIGHT_MS + 401 * DAY, 6_000), Deletion::Waits(Doubt::NotHeard));
    let other_boot = Now { boot: BOOT + 1, ..begun };
    assert_eq!(decide(other_boot, None, confirmed), Deletion::Waits(Doubt::NotHeard));
}

#[test]
fn a_date_that_was_confirmed_by_mistake_deletes_nothing_that_the_central_system_calls_young() {
    let wrong = now(RIGHT_MS + 401 * DAY, true, 1000, Some(central(1000)));
    let decided = decide(wrong, Some(central(1000)), Some(Confirmation::of(wrong)));
    assert_eq!(decided, Deletion::GoesOn { now_ms: RIGHT_MS, by: VouchedBy::Person });
}

#[test]
fn a_wait_alarms_after_fourteen_days_also_over_restarts_and_no_jump_of_the_clock_makes_it() {
    let day = DAY as u64;
    let mut waiting = Waiting::begin(now(RIGHT_MS, true, 0, None));
    waiting.observe(now(RIGHT_MS + 401 * DAY, true, 5 * day, None));
    assert_eq!(waiting.waited(), Duration::from_millis(5 * day));
    // Off for a night by a clock that was right, then anew with one that jumped, then with one that fell back.
    let boot = |boot, wall_ms, mono| Now { boot, ..now(wall_ms, true, mono, None) };
    waiting.observe(boot(8, RIGHT_MS + 402 * DAY, 10_000));
    assert_eq!(waiting.waited(), Duration::from_millis(6 * day));
    waiting.observe(boot(9, RIGHT_MS + 4000 * DAY, 10_000));
    assert_eq!(waiting.waited(), Duration::from_millis(9 * day));
    waiting.observe(boot(10, 0, 10_000));
    assert_eq!(waiting.waited(), Duration::from_millis(9 * day));
    waiting.observe(boot(10, 0, 10_000 + 5 * day - 1));
    assert!(!waiting.alarms());
    waiting.observe(boot(10, 0, 10_000 + 5 * day));
    assert!(waiting.alarms());
}

proptest! {
    #[test]
    fn deletion_never_goes_on_by_a_time_that_one_of_the_clocks_has_not_reached(
        wall_ms in EARLIEST_MS..RIGHT_MS + 4000 * DAY,
        marked: bool,
        heard in proptest::option::of((RIGHT_MS - DAY..RIGHT_MS + DAY, 0u64..1_000_000)),
        passed in 0u64..100 * DAY as u64,
        confirmed in proptest::option::of((0u64..9, 0u64..1_000_000, RIGHT_MS - DAY..RIGHT_MS + DAY)),
    ) {
        let mono = 1_000_000 + passed;
        let central = heard.map(|(said_ms, heard)| CentralTime { said_ms, heard: Mono(heard) });
        let confirmed = confirmed.map(|(boot, mono_ms, wall_ms)| Confirmation { boot, mono_ms, wall_ms });
        let now = now(wall_ms, marked, mono, central);
        let apart = central.map(|central| central.ahead_ms(now.mono, wall_ms).unsigned_abs());
        let agrees = apart.is_some_and(|apart| u128::from(apart) <= AGREES_WITHIN.as_millis());
        match decide(now, central, confirmed) {
            Deletion::GoesOn { now_ms, by } => {
                prop_assert!(now_ms <= wall_ms && central.is_none_or(|central| now_ms <= central.at(now.mono)));
                prop_assert_eq!(by == VouchedBy::CentralSystem, agrees);
                prop_assert!(agrees || confirmed.is_some_and(|confirmed| confirmed.boot == BOOT));
            }
            Deletion::Waits(Doubt::NotHeard) => prop_assert!(central.is_none()),
            Deletion::Waits(Doubt::Disagrees { ahead_ms }) => {
                prop_assert!(!agrees && apart == Some(ahead_ms.unsigned_abs()));
            }
        }
    }
}

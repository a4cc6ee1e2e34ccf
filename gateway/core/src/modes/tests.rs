use super::*;
use proptest::prelude::*;

const HOUR_MS: u64 = 60 * 60 * 1000;
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

fn staff(name: &str) -> StaffName {
    StaffName::new(name).unwrap()
}

fn limits() -> Limits {
    Limits { authorised: [staff("sato"), staff("mori")].into(), emergency_hospital: true, ..Limits::default() }
}

/// 2026-01-15 12:00 in Japan, and so much later.
fn at(mono_ms: u64) -> Now {
    let noon = Date::new(2026, 1, 15).unwrap().begins_ms_jst() + 12 * HOUR_MS as i64;
    Now { boot: 1, mono: Mono(mono_ms), stamp: Stamp { wall_ms: noon + mono_ms as i64, synchronised: true } }
}

fn open_by(mode: Mode, by: &str, reason: &str, scope: Scope) -> Event {
    Event::Open { mode, by: staff(by), reason: reason.into(), scope }
}

fn hours(hours: u64) -> Scope {
    Scope::Here(Duration::from_secs(hours * 60 * 60))
}

fn failure(lasting_hours: u64) -> Event {
    open_by(Mode::SystemFailure, "sato", "the centre announced a failure", hours(lasting_hours))
}

fn announced(region: &str, until: &str) -> Scope {
    Scope::Announced { region: region.into(), until: Date::parse(until).unwrap() }
}

fn disaster(region: &str, until: &str) -> Event {
    open_by(Mode::Disaster, "sato", "earthquake", announced(region, until))
}

fn step(modes: &mut Modes, now: Now, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    modes.step(now, &limits(), event, &mut effects);
    effects
}

fn refusal(modes: &mut Modes, now: Now, event: Event) -> Option<Refusal> {
    match step(modes, now, event).first() {
        Some(Effect::Refused { why, .. }) => Some(*why),
        _ => None,
    }
}

fn open_modes(modes: &Modes) -> Vec<Mode> {
    modes.open().map(|(mode, _)| mode).collect()
}

fn closings(effects: &[Effect]) -> Vec<(Mode, Closing)> {
    let closed = effects.iter().filter_map(|effect| match effect {
        Effect::Closed { mode, why, .. } => Some((*mode, why.clone())),
        _ => None,
    });
    closed.collect()
}

#[test]
fn a_mode_opens_allows_and_closes_by_itself() {
    let mut modes = Modes::default();
    let effects = step(&mut modes, at(0), failure(3));
    let [Effect::Opened { mode: Mode::SystemFailure, open }, Effect::Persist] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((open.by.clone(), open.remaining()), (staff("sato"), Duration::from_secs(3 * 60 * 60)));
    assert_eq!(modes.permits(Permission::RecordWithoutCard, at(1)), Some(Mode::SystemFailure));

    assert_eq!(closings(&step(&mut modes, at(3 * HOUR_MS - 1), Event::Tick)), []);
    assert_eq!(modes.deadline(), Some(Mono(3 * HOUR_MS)));
    let effects = step(&mut modes, at(3 * HOUR_MS), Event::Tick);
    assert_eq!(closings(&effects), [(Mode::SystemFailure, Closing::TimeUp)]);
    assert_eq!(effects.last(), Some(&Effect::Persist));
    assert_eq!((open_modes(&modes), modes.deadline()), (vec![], None));
}

#[test]
fn a_mode_whose_time_is_up_allows_nothing_even_before_its_tick() {
    let mut modes = Modes::default();
    step(&mut modes, at(0), failure(1));
    assert_eq!(modes.permits(Permission::RecordWithoutCard, at(HOUR_MS - 1)), Some(Mode::SystemFailure));
    assert_eq!(modes.permits(Permission::RecordWithoutCard, at(HOUR_MS)), None);
}

#[test]
fn staff_close_what_staff_opened() {
    let mut modes = Modes::default();
    step(&mut modes, at(0), failure(3));
    let close = |by| Event::Close { mode: Mode::SystemFailure, by: staff(by) };
    assert_eq!(refusal(&mut modes, at(1), close("visitor")), Some(Refusal::NotAuthorised));
    assert_eq!(closings(&step(&mut modes, at(2), close("mori"))), [(Mode::SystemFailure, Closing::By(staff("mori")))]);
    assert_eq!(refusal(&mut modes, at(3), close("mori")), Some(Refusal::NotOpen));
}

#[test]
fn every_guard_refuses_and_leaves_everything_as_it_was() {
    let emergency = |by, reason| open_by(Mode::EmergencyViewing, by, reason, hours(1));
    for (event, expected) in [
        (open_by(Mode::SystemFailure, "visitor", "because", hours(1)), Refusal::NotAuthorised),
        (emergency("tanaka", "unconscious"), Refusal::NotAuthorised),
        (emergency("sato", " \u{3000}"), Refusal::NoReason),
        (failure(0), Refusal::NoTime),
        (open_by(Mode::SystemFailure, "sato", "because", announced("石川県", "2026-02-01")), Refusal::NoTime),
        (disaster(" ", "2026-02-01"), Refusal::NoRegionOrPeriod),
        (open_by(Mode::Disaster, "sato", "earthquake", hours(5)), Refusal::NoRegionOrPeriod),
        (disaster("石川県", "2026-01-14"), Refusal::PeriodOver),
    ] {
        let mut modes = Modes::default();
        assert_eq!(refusal(&mut modes, at(0), event.clone()), Some(expected), "{event:?}");
        assert_eq!((open_modes(&modes), modes.deadline()), (vec![], None), "{event:?}");
    }
    let mut modes = Modes::default();
    step(&mut modes, at(0), failure(1));
    assert_eq!(refusal(&mut modes, at(1), failure(5)), Some(Refusal::AlreadyOpen));
    assert_eq!(modes.open().next().map(|(_, open)| open.remaining()), Some(Duration::from_millis(HOUR_MS - 1)));

    let clinic = Limits { emergency_hospital: false, ..limits() };
    let mut effects = Vec::new();
    Modes::default().step(at(0), &clinic, emergency("sato", "unconscious"), &mut effects);
    assert!(matches!(effects[..], [Effect::Refused { why: Refusal::NotThisSite, .. }]), "{effects:?}");
}

#[test]
fn emergency_viewing_opens_from_the_day_on_which_the_rules_have_it() {
    let on = |date: &str, synchronised| {
        let wall_ms = Date::parse(date).unwrap().begins_ms_jst();
        let now = Now { stamp: Stamp { wall_ms, synchronised }, ..at(0) };
        refusal(&mut Modes::default(), now, open_by(Mode::EmergencyViewing, "sato", "unconscious", hours(1)))
    };
    assert_eq!(on("2024-12-08", true), Some(Refusal::NotInForce));
    assert_eq!(on("2024-12-09", true), None);
    assert_eq!(on("2024-12-08", false), None, "a doubtful clock refuses nothing");
}

#[test]
fn by_default_nobody_opens_anything() {
    let mut effects = Vec::new();
    Modes::default().step(at(0), &Limits::default(), failure(1), &mut effects);
    assert!(matches!(effects[..], [Effect::Refused { why: Refusal::NotAuthorised, .. }]), "{effects:?}");
}

#[test]
fn no_mode_stays_open_longer_than_the_site_allows() {
    for (event, longest) in [
        (failure(1000), limits().system_failure_max),
        (disaster("石川県", "2027-01-01"), limits().disaster_max),
        (open_by(Mode::EmergencyViewing, "sato", "unconscious", hours(1000)), limits().emergency_viewing_max),
    ] {
        let mut modes = Modes::default();
        step(&mut modes, at(0), event.clone());
        assert_eq!(modes.open().next().map(|(_, open)| open.remaining()), Some(longest), "{event:?}");
    }
}

#[test]
fn a_disaster_mode_ends_with_the_last_day_of_its_period() {
    let mut modes = Modes::default();
    step(&mut modes, at(0), disaster("石川県", "2026-01-15"));
    // It is noon.
    assert_eq!(closings(&step(&mut modes, at(12 * HOUR_MS - 1), Event::Tick)), []);
    assert_eq!(closings(&step(&mut modes, at(12 * HOUR_MS), Event::Tick)), [(Mode::Disaster, Closing::TimeUp)]);
}

#[test]
fn a_doubtful_clock_opens_a_disaster_mode_for_a_day_and_says_so() {
    for wrong_by_ms in [-YEAR_MS, YEAR_MS] {
        let mut now = at(0);
        now.stamp = Stamp { wall_ms: now.stamp.wall_ms + wrong_by_ms, synchronised: false };
        let mut modes = Modes::default();
        step(&mut modes, now, disaster("石川県", "2026-01-31"));
        let (_, open) = modes.open().next().unwrap();
        assert_eq!((open.clock_doubtful, open.remaining()), (true, DOUBTFUL_PERIOD));
    }
}

#[test]
fn a_clock_that_jumps_a_year_neither_closes_nor_prolongs() {
    for jump_ms in [-YEAR_MS, -1000, 1000, YEAR_MS] {
        let mut modes = Modes::default();
        step(&mut modes, at(0), failure(3));
        let jumped = |mono_ms| {
            let mut now = at(mono_ms);
            now.stamp.wall_ms += jump_ms;
            now
        };
        assert_eq!(closings(&step(&mut modes, jumped(3 * HOUR_MS - 1), Event::Tick)), [], "{jump_ms}");
        assert_eq!(closings(&step(&mut modes, jumped(3 * HOUR_MS), Event::Tick)).len(), 1, "{jump_ms}");
    }
}

#[test]
fn the_time_that_was_left_goes_on_counting_under_another_boot() {
    let mut modes = Modes::default();
    step(&mut modes, at(5 * HOUR_MS), failure(3));
    step(&mut modes, at(6 * HOUR_MS), Event::Tick);
    let rebooted = |mono_ms| Now { boot: 2, ..at(mono_ms) };
    assert_eq!(closings(&step(&mut modes, rebooted(7), Event::Tick)), []);
    assert_eq!(closings(&step(&mut modes, rebooted(7 + 2 * HOUR_MS - 1), Event::Tick)), []);
    assert_eq!(closings(&step(&mut modes, rebooted(7 + 2 * HOUR_MS), Event::Tick)).len(), 1);
}

#[test]
fn a_restarted_process_goes_on_with_the_time_that_was_left() {
    let mut modes = Modes::default();
    step(&mut modes, at(5 * HOUR_MS), failure(3));
    step(&mut modes, at(5 * HOUR_MS), disaster("石川県", "2026-01-31"));
    step(&mut modes, at(6 * HOUR_MS), Event::Tick);
    let written = serde_json::to_string(&modes).unwrap();

    // The same boot, but the clock of the new process begins at zero again.
    let mut read: Modes = serde_json::from_str(&written).unwrap();
    assert!(read.open().eq(modes.open()));
    assert_eq!(closings(&step(&mut read, at(0), Event::Tick)), []);
    assert_eq!(closings(&step(&mut read, at(2 * HOUR_MS - 1), Event::Tick)), []);
    assert_eq!(closings(&step(&mut read, at(2 * HOUR_MS), Event::Tick)), [(Mode::SystemFailure, Closing::TimeUp)]);
    assert_eq!(open_modes(&read), [Mode::Disaster]);
}

#[test]
fn what_remains_is_persisted_every_minute_while_something_is_open() {
    let minute_ms = PERSIST_EVERY.as_millis() as u64;
    let mut modes = Modes::default();
    assert_eq!(step(&mut modes, at(10 * minute_ms), Event::Tick), []);
    step(&mut modes, at(10 * minute_ms), failure(3));
    assert_eq!(modes.deadline(), Some(Mono(11 * minute_ms)));
    assert_eq!(step(&mut modes, at(11 * minute_ms - 1), Event::Tick), []);
    assert_eq!(step(&mut modes, at(11 * minute_ms), Event::Tick), [Effect::Persist]);
    assert_eq!(modes.deadline(), Some(Mono(12 * minute_ms)));
}

#[test]
fn modes_of_different_kinds_are_open_side_by_side() {
    let mut modes = Modes::default();
    step(&mut modes, at(0), failure(3));
    step(&mut modes, at(0), disaster("石川県", "2026-01-31"));
    step(&mut modes, at(0), open_by(Mode::EmergencyViewing, "mori", "unconscious", hours(1)));
    assert_eq!(open_modes(&modes), Mode::ALL);
    assert_eq!(modes.permits(Permission::RecordWithoutCard, at(0)), Some(Mode::SystemFailure));
    step(&mut modes, at(2 * HOUR_MS), Event::Tick);
    assert_eq!(open_modes(&modes), [Mode::SystemFailure, Mode::Disaster]);
}

#[test]
fn the_four_items_are_read_and_never_printed() {
    let today = Today { date: Date::new(2026, 1, 15).unwrap(), trusted: true };
    let typed = FourItemsTyped {
        name: " 髙橋 花子 ", sex: "女", birthdate: "S55.1.2", address: "石川県輪島市１－２"
    };
    let items = FourItems::parse(&typed, today).unwrap();
    // Name and address are kept as they were typed: another form of a character may be another person.
    assert_eq!((items.name.reveal(), items.address.reveal()), ("髙橋 花子", "石川県輪島市１－２"));
    assert_eq!((items.sex.code(), items.birthdate.reveal()), (2, "19800102"));
    let printed = format!("{items:?}");
    for personal in ["髙橋", "輪島", "1980", "2"] {
        assert!(!printed.contains(personal), "{printed}");
    }
    for (sex, code) in [("男", 1), ("１", 1), ("F", 2), ("未設定", 3)] {
        assert_eq!(FourItems::parse(&FourItemsTyped { sex, ..typed }, today).unwrap().sex.code(), code, "{sex}");
    }
}

#[test]
fn every_missing_item_is_told_at_once() {
    let today = Today { date: Date::new(2026, 1, 15).unwrap(), trusted: true };
    let fields = |typed: &FourItemsTyped<'_>| -> Vec<_> {
        FourItems::parse(typed, today).unwrap_err().iter().map(|problem| problem.field).collect()
    };
    use crate::fields::Field::{Address, Birthdate, Name, Sex};
    assert_eq!(fields(&FourItemsTyped::default()), [Name, Sex, Birthdate, Address]);
    let wrong = FourItemsTyped { name: "a\u{0}", sex: "x", birthdate: "2026-01-16", address: "b" };
    assert_eq!(fields(&wrong), [Name, Sex, Birthdate]);
}

#[derive(Debug, Clone)]
enum Act {
    Open(usize, u64),
    Close(usize),
    Wait(u64),
    JumpWall(i64),
    Reboot,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3usize, 0..40 * HOUR_MS).prop_map(|(mode, ms)| Act::Open(mode, ms)),
        (0..3usize).prop_map(Act::Close),
        (0..5 * HOUR_MS).prop_map(Act::Wait),
        (-YEAR_MS..YEAR_MS).prop_map(Act::JumpWall),
        Just(Act::Reboot),
    ]
}

proptest! {
    /// Against a model that only knows how long each mode has been running: modes close at their time to the millisecond, whatever
    /// the wall clock does, and every opening is followed by exactly one closing or is still open.
    #[test]
    fn a_mode_is_open_exactly_for_its_time(acts in proptest::collection::vec(any_act(), 1..60)) {
        let mut modes = Modes::default();
        let mut now = at(0);
        let mut left: BTreeMap<Mode, u64> = BTreeMap::new();
        for act in acts {
            let event = match act {
                Act::Open(mode, ms) => {
                    let scope = match Mode::ALL[mode] {
                        // Far enough to be cut to the longest.
                        Mode::Disaster => announced("石川県", "9999-12-30"),
                        _ => Scope::Here(Duration::from_millis(ms)),
                    };
                    now.stamp.synchronised = true;
                    open_by(Mode::ALL[mode], "sato", "because", scope)
                }
                Act::Close(mode) => Event::Close { mode: Mode::ALL[mode], by: staff("mori") },
                Act::Wait(ms) => {
                    now.mono = now.mono.after(Duration::from_millis(ms));
                    now.stamp.wall_ms += ms as i64;
                    left.values_mut().for_each(|left| *left = left.saturating_sub(ms));
                    Event::Tick
                }
                Act::JumpWall(ms) => {
                    now.stamp.wall_ms += ms;
                    Event::Tick
                }
                Act::Reboot => {
                    now.boot += 1;
                    now.mono = Mono(0);
                    Event::Tick
                }
            };
            let allowed = modes.permits(Permission::RecordWithoutCard, now);
            let over: Vec<Mode> = left.iter().filter(|(_, left)| **left == 0).map(|(mode, _)| *mode).collect();
            left.retain(|_, left| *left > 0);
            let expected = left.keys().copied().find(|mode| mode.permits().contains(&Permission::RecordWithoutCard));
            prop_assert_eq!(allowed, expected);

            let effects = step(&mut modes, now, event);
            let timed_out: Vec<Mode> =
                closings(&effects).into_iter().filter(|(_, why)| *why == Closing::TimeUp).map(|(mode, _)| mode).collect();
            prop_assert_eq!(timed_out, over);
            for effect in &effects {
                match effect {
                    Effect::Opened { mode, open } => {
                        prop_assert!(open.remaining() <= limits().longest(*mode));
                        prop_assert_eq!(left.insert(*mode, open.remaining().as_millis() as u64), None);
                    }
                    Effect::Closed { mode, why: Closing::By(_), .. } => {
                        prop_assert!(left.remove(mode).is_some());
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(open_modes(&modes), left.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(modes.deadline().is_some(), !left.is_empty());
            prop_assert!(modes.deadline().is_none_or(|deadline| deadline > now.mono));
        }
    }
}

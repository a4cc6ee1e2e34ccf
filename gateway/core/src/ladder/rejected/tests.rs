//! A refusal that a wrong clock brought costs the patient nothing.

use super::*;
use crate::answer::Verdict;
use crate::clock::{CentralTime, EARLIEST_MS};
use crate::ladder::{Answered, Cause, Event, Final, Numbers, PersonMatch, Rules, StaffAction, Work};
use proptest::prelude::*;
use std::time::Duration;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// What a right clock says at the boot of the machine.
const RIGHT_MS: i64 = EARLIEST_MS + 500 * DAY;

/// So long after boot 1, by a wall clock that is so far ahead.
fn now(mono_ms: i64, ahead_ms: i64) -> Now {
    let mono = Mono(u64::try_from(mono_ms).unwrap());
    Now { boot: 1, mono, stamp: Stamp { wall_ms: RIGHT_MS + mono_ms + ahead_ms, synchronised: true } }
}

/// The central system's clock, heard so long after the boot.
fn heard(mono_ms: i64) -> Option<CentralTime> {
    let moment = now(mono_ms, 0);
    Some(CentralTime { said_ms: moment.stamp.wall_ms, heard: moment.mono })
}

/// A reception that was opened ten minutes after the boot with a wall clock that was so far ahead; an hour later the line is there.
struct Scene {
    case: Case,
    opened: Stamp,
    now: Now,
}

impl Scene {
    fn ahead(ms: i64) -> Self {
        let opened = now(10 * MINUTE, ms);
        let case = Case::open(Rules::default(), opened, Cause::NoAnswer, &mut Vec::new());
        Self { case, opened: opened.stamp, now: now(70 * MINUTE, 0) }
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.case.step(self.now, event, &mut effects);
        effects
    }

    fn refused(&mut self, ask: u32, by_card: bool) -> Vec<Effect> {
        self.refused_when(ask, by_card, heard(69 * MINUTE))
    }

    fn refused_when(&mut self, ask: u32, by_card: bool, central: Option<CentralTime>) -> Vec<Effect> {
        let rejected = Rejected { at: self.now.stamp, opened: self.opened, central, by_card };
        self.on(Event::Rejected { ask, rejected })
    }

    fn staff(&mut self, action: StaffAction) -> Vec<Effect> {
        self.on(Event::Staff { turn: self.case.turn(), action })
    }

    fn wait(&mut self, days: i64) -> Vec<Effect> {
        self.now.mono = self.now.mono.after(Duration::from_millis((days * DAY).unsigned_abs()));
        self.now.stamp.wall_ms += days * DAY;
        self.on(Event::Tick)
    }
}

fn again(ask: u32, with: Numbers) -> Vec<Effect> {
    vec![Effect::AskAgain { ask, with }]
}

#[test]
fn a_document_that_was_refused_for_its_time_is_asked_about_again_at_once_and_confirms() {
    for ahead in [401 * DAY, DAY, 6 * MINUTE, -6 * MINUTE, -DAY] {
        let mut scene = Scene::ahead(ahead);
        assert_eq!(scene.refused(0, false), again(1, Numbers::Original), "{ahead}");
        assert_eq!(scene.case.work(), Work::AwaitAnswer);
        let answered = Answered { verdict: Verdict::Eligible, results: 1, person: PersonMatch::NothingToCompare };
        assert_eq!(scene.on(Event::Answer { ask: 1, answered }), [Effect::Ended(Final::Confirmed)]);
    }
}

#[test]
fn a_second_refusal_stands() {
    let mut scene = Scene::ahead(DAY);
    // The clock is still wrong, and still vouched for.
    scene.now = now(70 * MINUTE, DAY);
    assert_eq!(scene.refused(0, false).len(), 1);
    assert_eq!(scene.refused(1, false), []);
    assert_eq!(scene.case.work(), Work::LookAtRejection);
}

#[test]
fn a_refusal_with_a_right_clock_is_looked_at_by_staff_as_before() {
    for ahead in [0, 4 * MINUTE, -4 * MINUTE] {
        let mut scene = Scene::ahead(ahead);
        assert_eq!(scene.refused(0, false), [], "{ahead}");
        assert_eq!(scene.case.work(), Work::LookAtRejection);
    }
}

#[test]
fn a_question_that_did_not_claim_a_synchronised_clock_was_not_refused_for_its_time() {
    let mut scene = Scene::ahead(DAY);
    scene.opened.synchronised = false;
    assert_eq!(scene.refused(0, false), []);
    assert_eq!(scene.case.work(), Work::LookAtRejection);
}

#[test]
fn what_a_card_vouched_for_is_handed_to_staff_with_the_reason_and_never_ends_as_refused() {
    let mut scene = Scene::ahead(401 * DAY);
    assert_eq!(scene.refused(0, true), [], "the card is gone");
    assert_eq!(scene.case.work(), Work::EnterNumbersAsClockWasWrong);
    let asked = scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    assert_eq!(asked, again(1, Numbers::Current), "numbers lead on");
    let mut ignored = Scene::ahead(401 * DAY);
    ignored.refused(0, true);
    let mut effects = Vec::new();
    while !ignored.case.is_final() {
        effects.extend(ignored.wait(7));
    }
    assert_eq!(effects, [Effect::Ended(Final::Expired)], "a question that asks about nobody is never sent");
}

#[test]
fn numbers_that_were_typed_under_a_wrong_clock_are_asked_again_without_being_typed_again() {
    let mut scene = Scene::ahead(401 * DAY);
    scene.refused(0, true);
    // The clock goes wrong once more, and the line is gone.
    scene.now = now(71 * MINUTE, DAY);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    scene.now = now(90 * MINUTE, 0);
    assert_eq!(scene.refused(1, false), again(2, Numbers::Current));
    assert_eq!(scene.case.work(), Work::AwaitNumbersAnswer);
    assert_eq!(scene.refused(2, false), []);
    assert_eq!(scene.case.work(), Work::EnterNumbersAsClockWasWrong, "mistyped as well");
}

#[test]
fn a_refusal_that_came_before_the_central_systems_clock_was_known_is_taken_back_once_it_is() {
    for (by_card, asked, work) in
        [(false, again(1, Numbers::Original), Work::AwaitAnswer), (true, vec![], Work::EnterNumbersAsClockWasWrong)]
    {
        let mut scene = Scene::ahead(-DAY);
        scene.refused_when(0, by_card, None);
        assert_eq!(scene.case.work(), Work::LookAtRejection);
        assert_eq!(scene.refused(0, by_card), asked);
        assert_eq!(scene.case.work(), work);
    }
}

#[test]
fn after_a_restart_only_a_time_that_lies_ahead_shows_that_the_clock_was_wrong() {
    for (ahead, wrong) in [(DAY, true), (-DAY, false), (0, false)] {
        let mut scene = Scene::ahead(ahead);
        scene.now.boot = 2;
        assert_eq!(!scene.refused(0, false).is_empty(), wrong, "{ahead}");
    }
    // Nothing is heard; the clock was set right in between.
    for (ahead, wrong) in [(DAY, true), (-DAY, false)] {
        assert_eq!(!Scene::ahead(ahead).refused_when(0, false, None).is_empty(), wrong, "{ahead}");
    }
}

#[test]
fn a_case_of_a_version_that_did_not_keep_when_it_asked_is_judged_by_its_reception() {
    for (ahead, wrong) in [(DAY, true), (-DAY, false)] {
        let mut scene = Scene::ahead(ahead);
        let mut kept = serde_json::to_value(&scene.case).unwrap();
        assert!(kept["asks"][0].as_object_mut().unwrap().remove("made").is_some());
        scene.case = serde_json::from_value(kept).unwrap();
        assert_eq!(!scene.refused(0, false).is_empty(), wrong, "{ahead}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever else happens: while every refusal is of a question that was asked under a wrong clock, no case ends as refused, each
    /// question is asked at most once more, and what a card vouched for never is.
    #[test]
    fn a_wrong_clock_ends_no_case_and_asks_once_more_at_most(
        by_card in any::<bool>(),
        ahead in prop_oneof![-400 * DAY..-6 * MINUTE, 6 * MINUTE..401 * DAY],
        moves in proptest::collection::vec((0u8..5, 0u32..3), 1..30),
    ) {
        let mut scene = Scene::ahead(ahead);
        let mut originals = 0;
        for (what, back) in moves {
            // Staff work under the wrong clock.
            scene.now.stamp.wall_ms = RIGHT_MS + i64::try_from(scene.now.mono.0).unwrap() + ahead;
            let asks = scene.case.ask();
            let effects = match what {
                0 => scene.staff(StaffAction::NumbersEntered(Numbers::Current)),
                1 => scene.staff(StaffAction::NextRung),
                2 => scene.wait(3),
                _ => {
                    let ask = asks.saturating_sub(back);
                    let corrects = scene.case.asks[ask as usize].corrects;
                    let effects = if corrects { vec![] } else { scene.refused(ask, by_card && ask == 0) };
                    prop_assert!(effects.len() <= 1);
                    effects
                }
            };
            let asked = effects.iter().filter(|effect| matches!(effect, Effect::AskAgain { .. })).count();
            prop_assert_eq!(scene.case.ask() as usize, asks as usize + asked);
            originals += effects.iter().filter(|e| matches!(e, Effect::AskAgain { with: Numbers::Original, .. })).count();
            prop_assert_ne!(scene.case.ended(), Some(Final::RejectedByCentral));
            prop_assert_ne!(scene.case.work(), Work::LookAtRejection);
            if scene.case.card_spent {
                prop_assert_eq!(originals, 0);
            }
        }
    }
}

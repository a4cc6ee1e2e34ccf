//! Every case ends, once, in the right way, and is somebody's until then.

use super::*;
use crate::answer::{Reason, Verdict};
use crate::clock::{CentralTime, Mono, Stamp};
use proptest::prelude::*;

fn at(days: u64) -> Now {
    let ms = days * 86_400_000;
    Now { boot: 1, mono: Mono(ms), stamp: Stamp { wall_ms: ms as i64, synchronised: true } }
}

fn not_valid(reason: Reason) -> Answered {
    Answered { verdict: Verdict::Ineligible(reason), results: 1, person: PersonMatch::NothingToCompare }
}

fn valid(person: PersonMatch) -> Answered {
    Answered { verdict: Verdict::Eligible, results: 1, person }
}

fn several(results: u32, person: PersonMatch) -> Answered {
    Answered { verdict: Verdict::Ineligible(Reason::SeveralInsurances), results, person }
}

fn on_file() -> OnFile {
    let fields = [
        ("name", "a"),
        ("birthdate", "19800105"),
        ("sex", "1"),
        ("address", "b"),
        ("insurer_unknown", "yes"),
        ("cause", "other"),
        ("signed", "yes"),
    ];
    Declaration::parse(fields).unwrap().on_file()
}

/// A refusal that no clock explains.
fn refused(ask: u32) -> Event {
    let (opened, refused) = (at(0).stamp, at(365).stamp);
    Event::Rejected { ask, rejected: Rejected { at: refused, opened, central: None, by_card: false } }
}

/// A case with the day that it is on.
struct Scene {
    case: Case,
    day: u64,
}

impl Scene {
    fn open(cause: Cause) -> Self {
        Self { case: Case::open(Rules::default(), at(0), cause, &mut Vec::new()), day: 0 }
    }

    fn after_answer(reason: Reason) -> Self {
        Self::open(Cause::Answered(not_valid(reason)))
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.case.step(at(self.day), event, &mut effects);
        effects
    }

    fn staff(&mut self, action: StaffAction) -> Vec<Effect> {
        self.on(Event::Staff { turn: self.case.turn(), action })
    }

    fn answer(&mut self, ask: u32, answered: Answered) -> Vec<Effect> {
        self.on(Event::Answer { ask, answered })
    }

    fn wait(&mut self, days: u64) -> Vec<Effect> {
        self.day += days;
        self.on(Event::Tick)
    }
}

#[test]
fn a_last_try_for_late_data_that_is_refused_is_over_as_well() {
    let mut scene = Scene::after_answer(Reason::NoInsuranceFound);
    for (ask, days) in (1..).zip([1, 3, 7]) {
        scene.wait(days);
        assert_eq!((scene.case.ask(), scene.case.work()), (ask, Work::AwaitLaterData));
        scene.on(refused(ask));
    }
    assert_eq!(scene.case.work(), Work::EnterCurrentNumbers, "nobody waits for an answer that has come");
}

#[test]
fn a_provisional_reception_is_confirmed_by_its_answer() {
    let mut scene = Scene::open(Cause::NoAnswer);
    assert_eq!((scene.case.work(), scene.case.owner()), (Work::AwaitAnswer, Some(Owner::Machine)));
    assert_eq!(scene.answer(0, valid(PersonMatch::SameWithDifferences)), [Effect::Ended(Final::Confirmed)]);
    assert_eq!((scene.case.deadline(), scene.case.owner()), (None, None));
}

#[test]
fn data_that_comes_late_is_asked_for_again_and_confirms() {
    let mut scene = Scene::after_answer(Reason::NoInsuranceFound);
    assert_eq!(scene.case.work(), Work::AwaitLaterData);
    assert_eq!(scene.wait(1), [Effect::AskAgain { ask: 1, with: Numbers::Original }]);
    assert_eq!(scene.answer(1, not_valid(Reason::NoInsuranceFound)), []);
    assert_eq!(scene.wait(3), [Effect::AskAgain { ask: 2, with: Numbers::Original }]);
    assert_eq!(scene.answer(2, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Confirmed)]);
}

#[test]
fn an_ask_that_is_still_to_be_answered_is_not_asked_twice() {
    let mut scene = Scene::after_answer(Reason::NoInsuranceFound);
    assert_eq!(scene.wait(1).len(), 1);
    assert_eq!(scene.wait(3), []);
    assert_eq!(scene.wait(7), []);
    scene.wait(2);
    assert_eq!(scene.case.work(), Work::EnterCurrentNumbers);
}

#[test]
fn the_last_answer_without_data_hands_the_case_to_the_desk() {
    let mut scene = Scene::after_answer(Reason::NoInsuranceFound);
    for (ask, days) in [(1, 1), (2, 3), (3, 7)] {
        scene.wait(days);
        scene.answer(ask, not_valid(Reason::NoInsuranceFound));
    }
    assert_eq!((scene.case.work(), scene.case.owner()), (Work::EnterCurrentNumbers, Some(Owner::Desk)));
}

#[test]
fn a_new_insurance_leads_to_its_numbers_at_once_and_counts_as_changed() {
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    assert_eq!(scene.case.work(), Work::EnterCurrentNumbers);
    let asked = scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    assert_eq!(asked, [Effect::AskAgain { ask: 1, with: Numbers::Current }]);
    assert_eq!((scene.case.work(), scene.case.owner()), (Work::AwaitNumbersAnswer, Some(Owner::Machine)));
    assert_eq!(scene.answer(1, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Changed)]);
}

#[test]
fn an_insurance_that_had_ended_and_is_valid_later_is_another_one() {
    let mut scene = Scene::after_answer(Reason::InsuranceInvalid(Some("03".into())));
    scene.wait(1);
    assert_eq!(scene.answer(1, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Changed)]);
}

#[test]
fn numbers_that_lead_nowhere_lead_to_the_next_rung_down_to_the_declaration() {
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    scene.answer(1, not_valid(Reason::NoInsuranceFound));
    assert_eq!(scene.case.work(), Work::EnterEarlierNumbers);
    scene.staff(StaffAction::NumbersEntered(Numbers::Earlier));
    scene.answer(2, not_valid(Reason::InsuranceInvalid(None)));
    assert_eq!(scene.case.work(), Work::TakeDeclaration);
}

#[test]
fn the_declaration_cannot_be_passed_over() {
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    scene.staff(StaffAction::NextRung);
    scene.staff(StaffAction::NextRung);
    assert_eq!(scene.case.work(), Work::TakeDeclaration);
    assert_eq!(scene.staff(StaffAction::NextRung), [Effect::Refused(Refusal::DeclarationMissing)]);
    let end = StaffAction::EndIneligible { basis: Basis::Declaration };
    assert_eq!(scene.staff(end), [Effect::Refused(Refusal::DeclarationMissing)]);
    assert_eq!(scene.staff(StaffAction::Declared(on_file())), []);
    assert_eq!(scene.case.work(), Work::DeclarationOnFile);
    assert_eq!(scene.staff(end), [Effect::Ended(Final::Ineligible(Basis::Declaration))]);
}

#[test]
fn nobody_is_ended_as_ineligible_whom_the_central_system_has_not_found_so() {
    let mut scene = Scene::open(Cause::NoAnswer);
    scene.staff(StaffAction::Declared(on_file()));
    let end = StaffAction::EndIneligible { basis: Basis::Declaration };
    assert_eq!(scene.staff(end), [Effect::Refused(Refusal::NotFoundIneligible)]);
}

#[test]
fn with_a_declaration_on_file_the_question_is_asked_again_and_still_confirms() {
    let mut scene = Scene::after_answer(Reason::NoInsuranceFound);
    scene.staff(StaffAction::Declared(on_file()));
    assert_eq!(scene.wait(7), [Effect::AskAgain { ask: 1, with: Numbers::Original }]);
    assert_eq!(scene.answer(1, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Confirmed)]);
}

#[test]
fn a_declaration_that_is_filed_by_a_double_click_counts_once() {
    let mut scene = Scene::after_answer(Reason::NoInsuranceFound);
    scene.staff(StaffAction::Declared(on_file()));
    let event = Event::Staff { turn: scene.case.turn(), action: StaffAction::Declared(on_file()) };
    assert_eq!(scene.on(event.clone()), []);
    assert_eq!(scene.on(event), [Effect::Refused(Refusal::Stale)]);
}

#[test]
fn a_deadline_that_moves_by_itself_is_a_change() {
    let rules = Rules { asks_max: 1, ..Rules::default() };
    let mut scene = Scene::open(Cause::NoAnswer);
    scene.case = Case::open(rules, at(0), Cause::NoAnswer, &mut Vec::new());
    scene.staff(StaffAction::Declared(on_file()));
    let turn = scene.case.turn();
    assert_eq!(scene.wait(7), [], "there is nothing left to ask with");
    assert!(scene.case.turn() > turn, "otherwise nobody would write the new deadline down");
}

#[test]
fn a_case_ages_in_every_boot_whose_first_look_is_kept() {
    let scene = Scene::open(Cause::NoAnswer);
    let (mut kept, day) = (scene.case, Duration::from_secs(86_400));
    let after_the_start = |days: u64| {
        let mono = Mono(days * 86_400_000);
        Now { boot: 2, mono, stamp: Stamp { wall_ms: 0, synchronised: false } }
    };
    for days in 0..=60 {
        let mut looked_at = kept.clone();
        looked_at.step(after_the_start(days), Event::Tick, &mut Vec::new());
        if looked_at.has_aged(&kept, day * 5) || looked_at.turn() != kept.turn() {
            kept = looked_at;
        }
    }
    assert_eq!(kept.ended(), Some(Final::Expired));
}

#[test]
fn one_of_several_is_chosen_within_their_count() {
    let mut scene = Scene::open(Cause::Answered(several(2, PersonMatch::SamePerson)));
    assert_eq!(scene.case.work(), Work::ChooseInsurance { ask: 0, count: 2 });
    assert_eq!(scene.staff(StaffAction::Chosen { index: 2 }), [Effect::Refused(Refusal::NoSuchChoice)]);
    assert_eq!(scene.case.chosen(), None);
    assert_eq!(scene.staff(StaffAction::Chosen { index: 1 }), [Effect::Ended(Final::Changed)]);
    assert_eq!(scene.case.chosen(), Some(Chosen { ask: 0, index: 1 }));
}

#[test]
fn what_staff_choose_from_is_not_shifted_by_another_answer() {
    let mut scene = Scene::open(Cause::Answered(several(2, PersonMatch::SamePerson)));
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    scene.answer(1, not_valid(Reason::NoInsuranceFound));
    assert_eq!(
        scene.case.work(),
        Work::ChooseInsurance { ask: 0, count: 2 },
        "the answer that names them stays the same"
    );
    let seen = scene.case.turn();
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    scene.answer(2, several(3, PersonMatch::SamePerson));
    assert_eq!(scene.case.work(), Work::ChooseInsurance { ask: 2, count: 3 });
    let meant_for_the_first = Event::Staff { turn: seen, action: StaffAction::Chosen { index: 1 } };
    assert_eq!(scene.on(meant_for_the_first), [Effect::Refused(Refusal::Stale)]);
    scene.staff(StaffAction::Chosen { index: 1 });
    assert_eq!(scene.case.chosen(), Some(Chosen { ask: 2, index: 1 }));
}

#[test]
fn a_case_stored_before_it_kept_which_answer_it_chose_from_is_still_read() {
    let scene = Scene::open(Cause::Answered(several(2, PersonMatch::SamePerson)));
    let mut stored = serde_json::to_value(&scene.case).unwrap();
    let choosing = stored.pointer_mut("/state/choosing").and_then(|state| state.as_object_mut()).unwrap();
    assert!(choosing.remove("ask").is_some());
    assert_eq!(serde_json::from_value::<Case>(stored).unwrap(), scene.case);
}

#[test]
fn revoked_unregistered_and_refused_end_when_staff_have_seen_them_or_by_themselves() {
    let causes = [
        (Cause::Answered(not_valid(Reason::CertificateRevoked)), Work::TellRevoked, Final::Revoked),
        (Cause::Answered(not_valid(Reason::CardNotRegistered)), Work::TellNotRegistered, Final::NotRegistered),
        (Cause::Rejected, Work::LookAtRejection, Final::RejectedByCentral),
    ];
    for (cause, work, end) in causes {
        let mut seen = Scene::open(cause.clone());
        assert_eq!((seen.case.work(), seen.case.owner()), (work, Some(Owner::Desk)));
        assert_eq!(seen.staff(StaffAction::Acknowledged), [Effect::Ended(end)]);
        let mut unseen = Scene::open(cause);
        assert_eq!(unseen.wait(29), []);
        assert_eq!(unseen.wait(1), [Effect::Ended(end)]);
    }
}

#[test]
fn a_patient_with_a_revoked_certificate_can_be_confirmed_by_numbers() {
    let mut scene = Scene::after_answer(Reason::CertificateRevoked);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    assert_eq!(scene.case.work(), Work::TellRevoked);
    assert_eq!(scene.answer(1, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Changed)]);
}

#[test]
fn an_answer_about_somebody_else_settles_nothing_until_staff_have_looked() {
    for person in [PersonMatch::DifferentPerson, PersonMatch::Undecided] {
        let mut scene = Scene::open(Cause::NoAnswer);
        assert_eq!(scene.answer(0, valid(person)), []);
        assert_eq!((scene.case.work(), scene.case.owner()), (Work::CheckPerson { ask: 0 }, Some(Owner::Desk)));
        assert_eq!(scene.staff(StaffAction::NextRung), [Effect::Refused(Refusal::PersonUnchecked)]);
        assert_eq!(scene.staff(StaffAction::PersonChecked { ask: 0, same: false }), []);
        assert_eq!(scene.case.work(), Work::EnterCurrentNumbers);
        assert_eq!(scene.answer(0, valid(person)), [], "the same answer again");
        assert_eq!(scene.case.work(), Work::EnterCurrentNumbers);
        let mut same = Scene::open(Cause::Answered(valid(person)));
        let settled = same.staff(StaffAction::PersonChecked { ask: 0, same: true });
        assert_eq!(settled, [Effect::Ended(Final::Confirmed)]);
    }
}

#[test]
fn several_insurances_of_somebody_else_are_not_offered() {
    let mut scene = Scene::open(Cause::Answered(several(2, PersonMatch::Undecided)));
    assert_eq!(scene.staff(StaffAction::Chosen { index: 0 }), [Effect::Refused(Refusal::PersonUnchecked)]);
    scene.staff(StaffAction::PersonChecked { ask: 0, same: true });
    assert_eq!(scene.case.work(), Work::ChooseInsurance { ask: 0, count: 2 });
}

#[test]
fn what_becomes_known_about_the_person_settles_an_answer_that_waits_for_a_look() {
    let mut scene = Scene::open(Cause::Answered(several(2, PersonMatch::Undecided)));
    assert_eq!(scene.answer(0, several(2, PersonMatch::DifferentPerson)), []);
    assert_eq!(scene.case.work(), Work::CheckPerson { ask: 0 });
    assert_eq!(scene.answer(0, several(2, PersonMatch::SamePerson)), []);
    assert_eq!(scene.case.work(), Work::ChooseInsurance { ask: 0, count: 2 });
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    scene.answer(1, valid(PersonMatch::NothingToCompare));
    assert_eq!(scene.answer(1, valid(PersonMatch::SameWithDifferences)), [Effect::Ended(Final::Changed)]);
}

#[test]
fn numbers_that_were_typed_need_a_look_where_nobody_can_be_compared() {
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    assert_eq!(scene.answer(1, valid(PersonMatch::NothingToCompare)), []);
    assert_eq!(scene.case.work(), Work::CheckPerson { ask: 1 });
}

#[test]
fn an_older_ask_still_confirms_but_no_longer_denies() {
    let mut scene = Scene::open(Cause::NoAnswer);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    assert_eq!(scene.answer(0, not_valid(Reason::CertificateRevoked)), []);
    assert_eq!(scene.case.work(), Work::AwaitNumbersAnswer);
    assert_eq!(scene.answer(0, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Confirmed)]);
}

#[test]
fn an_answer_to_what_was_never_asked_is_not_about_this_case() {
    let mut scene = Scene::open(Cause::NoAnswer);
    assert_eq!(scene.answer(1, valid(PersonMatch::SamePerson)), []);
    assert!(!scene.case.is_final());
}

#[test]
fn an_answer_after_the_end_changes_nothing_and_is_reported_once() {
    let mut scene = Scene::open(Cause::NoAnswer);
    scene.staff(StaffAction::Close(CloseReason::NoTreatment));
    let late = Effect::LateAnswer { ask: 0, verdict: Verdict::Eligible };
    assert!(!scene.case.answered_late());
    let turn = scene.case.turn();
    assert_eq!(scene.answer(0, valid(PersonMatch::SamePerson)), [late]);
    assert!(scene.case.answered_late() && scene.case.turn() > turn, "and is to be kept");
    assert_eq!(scene.answer(0, valid(PersonMatch::SamePerson)), []);
    assert_eq!(scene.case.ended(), Some(Final::ClosedByStaff(CloseReason::NoTreatment)));
}

#[test]
fn what_the_patient_said_is_sent_anew_by_the_later_answer_that_is_valid_and_about_them() {
    const YES: Option<u32> = Some(1);
    let looked = |same| Some(StaffAction::PersonChecked { ask: 1, same });
    let chosen = Some(StaffAction::Chosen { index: 0 });
    for (answer, then, anew) in [
        (valid(PersonMatch::SamePerson), None, YES),
        (valid(PersonMatch::SameWithDifferences), None, YES),
        // Typed numbers prove nothing: it waits for a look.
        (valid(PersonMatch::NothingToCompare), None, None),
        (valid(PersonMatch::NothingToCompare), looked(true), YES),
        (valid(PersonMatch::Undecided), looked(true), YES),
        (valid(PersonMatch::DifferentPerson), looked(false), None),
        (several(2, PersonMatch::SamePerson), None, None),
        (several(2, PersonMatch::SamePerson), chosen, YES),
        (not_valid(Reason::NoInsuranceFound), None, None),
        (not_valid(Reason::NewInsurance), None, None),
    ] {
        let mut scene = Scene::open(Cause::NoAnswer);
        scene.on(refused(0));
        scene.staff(StaffAction::NumbersEntered(Numbers::Current));
        let before = scene.case.clone();
        scene.answer(1, answer.clone());
        if let Some(action) = then {
            scene.staff(action);
        }
        assert_eq!(scene.case.proven_anew(&before), anew, "{answer:?}, {then:?}");
        let after = scene.case.clone();
        scene.answer(1, answer.clone());
        assert_eq!(scene.case.proven_anew(&after), None, "once: {answer:?}");
        let kept = serde_json::to_string(&after).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&kept).unwrap(), after);
    }
}

#[test]
fn what_the_patient_said_is_sent_anew_also_after_the_end_and_never_for_the_first_answer() {
    for (person, anew) in [
        (PersonMatch::SamePerson, Some(1)),
        (PersonMatch::NothingToCompare, None),
        (PersonMatch::Undecided, None),
        (PersonMatch::DifferentPerson, None),
    ] {
        let mut scene = Scene::open(Cause::NoAnswer);
        scene.on(refused(0));
        scene.staff(StaffAction::NumbersEntered(Numbers::Current));
        scene.staff(StaffAction::Close(CloseReason::ConfirmedElsewhere));
        let ended = scene.case.clone();
        scene.answer(1, valid(person));
        assert_eq!(scene.case.proven_anew(&ended), anew, "{person:?}");
        assert_eq!(scene.case.ended(), ended.ended());
    }
    let mut first = Scene::open(Cause::NoAnswer);
    let before = first.case.clone();
    first.answer(0, valid(PersonMatch::SamePerson));
    assert_eq!((first.case.proven(), first.case.proven_anew(&before)), (Some(0), None));
}

#[test]
fn what_was_in_hand_at_the_end_is_heard_and_not_late() {
    let mut scene = Scene::open(Cause::NoAnswer);
    scene.staff(StaffAction::Close(CloseReason::NoTreatment));
    let answer = Event::Answer { ask: 0, answered: valid(PersonMatch::SamePerson) };
    scene.case.had_in_hand(&answer);
    assert_eq!(scene.on(answer), [], "it is no news any more");
    assert!(!scene.case.answered_late());
}

#[test]
fn a_case_of_a_version_that_did_not_keep_what_was_late_is_still_read() {
    let mut scene = Scene::open(Cause::NoAnswer);
    let kept = serde_json::to_value(&scene.case).unwrap();
    assert!(!kept.to_string().contains("late\""), "what says nothing is not written: {kept}");
    assert_eq!(serde_json::from_value::<Case>(kept).unwrap(), scene.case);
    scene.staff(StaffAction::Close(CloseReason::NoTreatment));
    scene.on(refused(0));
    let kept = serde_json::to_string(&scene.case).unwrap();
    assert!(serde_json::from_str::<Case>(&kept).unwrap().answered_late());
}

#[test]
fn a_click_that_comes_twice_counts_once() {
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    let click = Event::Staff { turn: scene.case.turn(), action: StaffAction::NumbersEntered(Numbers::Current) };
    assert_eq!(scene.on(click.clone()).len(), 1);
    assert_eq!(scene.on(click), [Effect::Refused(Refusal::Stale)]);
}

#[test]
fn numbers_that_the_central_system_refuses_can_be_typed_again() {
    let mut scene = Scene::after_answer(Reason::NewInsurance);
    scene.staff(StaffAction::NumbersEntered(Numbers::Current));
    scene.on(refused(1));
    assert_eq!(scene.case.work(), Work::EnterCurrentNumbers);
}

#[test]
fn an_answer_in_hand_outweighs_a_deadline_that_passed_unseen() {
    let mut scene = Scene::open(Cause::NoAnswer);
    scene.day = 90;
    assert_eq!(scene.answer(0, valid(PersonMatch::SamePerson)), [Effect::Ended(Final::Confirmed)]);
    let mut silent = Scene::open(Cause::NoAnswer);
    assert_eq!(silent.wait(60), [Effect::Ended(Final::Expired)]);
}

#[test]
fn a_jump_of_the_wall_clock_and_a_restart_move_no_deadline() {
    let year = 365 * 86_400_000;
    for wall_ms in [-year, year] {
        for (boot, synchronised) in [(1, true), (2, true), (2, false)] {
            let mut case = Case::open(Rules::default(), at(0), Cause::NoAnswer, &mut Vec::new());
            let jumped = Now { boot, mono: Mono(0), stamp: Stamp { wall_ms, synchronised } };
            assert_eq!(case.due_in(jumped), Some(2 * DAY));
            case.step(jumped, Event::Tick, &mut Vec::new());
            assert_eq!((case.age(), case.work()), (Duration::ZERO, Work::AwaitAnswer));
        }
    }
}

#[test]
fn a_case_of_a_format_that_is_not_known_is_refused() {
    assert!(Format::try_from(FORMAT).is_ok());
    assert!(Format::try_from(FORMAT + 1).is_err());
}

// ---- whatever happens ----

#[derive(Debug, Clone)]
enum Move {
    Answer { back: u32, answered: Answered },
    Rejected { back: u32, rejected: Rejected },
    Staff { stale: bool, action: StaffAction },
    Wait { hours: u64 },
    Restart { wall_ms: i64, synchronised: bool },
}

fn an_answer() -> impl Strategy<Value = Answered> {
    let verdict = prop_oneof![
        2 => Just(Verdict::Eligible),
        6 => prop_oneof![
            Just(Reason::InsuranceInvalid(None)),
            Just(Reason::NewInsurance),
            Just(Reason::NoInsuranceFound),
            Just(Reason::SeveralInsurances),
            Just(Reason::CardNotRegistered),
            Just(Reason::CertificateRevoked),
            Just(Reason::UnknownCode("9".into())),
        ].prop_map(Verdict::Ineligible),
    ];
    let person = prop_oneof![
        Just(PersonMatch::SamePerson),
        Just(PersonMatch::SameWithDifferences),
        Just(PersonMatch::DifferentPerson),
        Just(PersonMatch::Undecided),
        Just(PersonMatch::NothingToCompare),
    ];
    (verdict, 0u32..4, person).prop_map(|(verdict, results, person)| Answered { verdict, results, person })
}

fn an_action() -> impl Strategy<Value = StaffAction> {
    prop_oneof![
        3 => prop_oneof![Just(Numbers::Original), Just(Numbers::Current), Just(Numbers::Earlier)]
            .prop_map(StaffAction::NumbersEntered),
        3 => Just(StaffAction::NextRung),
        2 => (0u32..4).prop_map(|index| StaffAction::Chosen { index }),
        3 => (0u32..4, any::<bool>()).prop_map(|(ask, same)| StaffAction::PersonChecked { ask, same }),
        2 => Just(StaffAction::Declared(on_file())),
        1 => Just(StaffAction::Acknowledged),
        1 => prop_oneof![Just(Basis::Declaration), Just(Basis::PaymentRuleExplained)]
            .prop_map(|basis| StaffAction::EndIneligible { basis }),
        1 => Just(StaffAction::Close(CloseReason::Other)),
    ]
}

/// By clocks of any kind.
fn a_rejection() -> impl Strategy<Value = Rejected> {
    const YEAR: i64 = 365 * 86_400_000;
    let stamp = || (-YEAR..YEAR, any::<bool>()).prop_map(|(wall_ms, synchronised)| Stamp { wall_ms, synchronised });
    let central = proptest::option::of((-YEAR..YEAR, 0u64..1_000_000_000));
    (stamp(), stamp(), central, any::<bool>()).prop_map(|(at, opened, central, by_card)| {
        let central = central.map(|(said_ms, heard)| CentralTime { said_ms, heard: Mono(heard) });
        Rejected { at, opened, central, by_card }
    })
}

fn a_move() -> impl Strategy<Value = Move> {
    const YEAR: i64 = 365 * 86_400_000;
    prop_oneof![
        4 => (0u32..3, an_answer()).prop_map(|(back, answered)| Move::Answer { back, answered }),
        2 => (0u32..3, a_rejection()).prop_map(|(back, rejected)| Move::Rejected { back, rejected }),
        4 => (proptest::bool::weighted(0.1), an_action()).prop_map(|(stale, action)| Move::Staff { stale, action }),
        3 => (0u64..200).prop_map(|hours| Move::Wait { hours }),
        1 => (-YEAR..YEAR, any::<bool>()).prop_map(|(wall_ms, synchronised)| Move::Restart { wall_ms, synchronised }),
    ]
}

fn a_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![3 => Just(Cause::NoAnswer), 3 => an_answer().prop_map(Cause::Answered), 1 => Just(Cause::Rejected)]
}

/// A case, the clocks around it, and what has been seen of it.
struct World {
    case: Case,
    now: Now,
    ended: Vec<Final>,
    asked: Vec<u32>,
    /// Somebody with the right to say so has said that an eligible answer, or several results, are about this person.
    person_vouched: bool,
}

impl World {
    fn open(cause: Cause) -> Self {
        let now = at(0);
        let mut effects = Vec::new();
        let person_vouched = matches!(&cause, Cause::Answered(answered) if vouches(answered));
        let case = Case::open(Rules::default(), now, cause, &mut effects);
        let mut world = Self { case, now, ended: Vec::new(), asked: Vec::new(), person_vouched };
        world.look_at(&effects);
        world
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.case.step(self.now, event, &mut effects);
        self.look_at(&effects);
        effects
    }

    fn look_at(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Ended(end) => self.ended.push(*end),
                Effect::AskAgain { ask, .. } => self.asked.push(*ask),
                Effect::LateAnswer { .. } | Effect::Refused(_) => {}
            }
        }
    }

    fn event(&mut self, what: Move) -> Event {
        let recent = |back: u32, case: &Case| case.ask().saturating_sub(back);
        match what {
            Move::Answer { back, answered } => {
                self.person_vouched |= vouches(&answered);
                Event::Answer { ask: recent(back, &self.case), answered }
            }
            Move::Rejected { back, rejected } => Event::Rejected { ask: recent(back, &self.case), rejected },
            Move::Staff { stale, action } => {
                self.person_vouched |= matches!(action, StaffAction::PersonChecked { same: true, .. });
                Event::Staff { turn: self.case.turn().wrapping_sub(u32::from(stale)), action }
            }
            Move::Wait { hours } => {
                self.now.mono = self.now.mono.after(Duration::from_secs(hours * 3600));
                Event::Tick
            }
            Move::Restart { wall_ms, synchronised } => {
                self.now = Now { boot: self.now.boot + 1, mono: Mono(0), stamp: Stamp { wall_ms, synchronised } };
                Event::Tick
            }
        }
    }

    fn hold_invariants(&self) -> Result<(), TestCaseError> {
        let case = &self.case;
        prop_assert_eq!(self.ended.len(), usize::from(case.is_final()), "ended {:?}", self.ended);
        prop_assert_eq!(self.ended.first().copied(), case.ended());
        prop_assert_eq!(case.owner().is_some(), !case.is_final());
        prop_assert_eq!(case.deadline().is_some(), !case.is_final());
        if let Some(deadline) = case.deadline() {
            prop_assert!(deadline <= case.rules.life);
        }
        let numbers: Vec<u32> = (1..=case.ask()).collect();
        prop_assert_eq!(&self.asked, &numbers, "each ask has a number of its own");
        if matches!(case.ended(), Some(Final::Confirmed | Final::Changed)) {
            prop_assert!(self.person_vouched, "joined with somebody that nobody vouched for");
            prop_assert!(case.proven().is_some(), "confirmed without an answer");
        }
        if case.proven().is_some() {
            prop_assert!(self.person_vouched, "proven by an answer about somebody that nobody vouched for");
        }
        if case.ended() == Some(Final::Ineligible(Basis::Declaration)) {
            prop_assert!(case.declared);
        }
        Ok(())
    }
}

/// An answer that by itself may settle a case: somebody compared, or the card was there.
fn vouches(answered: &Answered) -> bool {
    !matches!(answered.person, PersonMatch::DifferentPerson | PersonMatch::Undecided)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_case_has_one_end_and_an_owner_and_a_deadline_until_then(
        cause in a_cause(), moves in proptest::collection::vec(a_move(), 0..60)
    ) {
        let mut world = World::open(cause);
        world.hold_invariants()?;
        for what in moves {
            let event = world.event(what);
            world.step(event);
            world.hold_invariants()?;
        }
        // From here on nobody does anything but wait for deadlines.
        for _ in 0..100 {
            let Some(due) = world.case.due_in(world.now) else { break };
            world.now.mono = world.now.mono.after(due);
            world.step(Event::Tick);
            world.hold_invariants()?;
        }
        prop_assert!(world.case.is_final(), "{:?} does not end", world.case);
    }

    #[test]
    fn the_same_event_twice_does_nothing_more(cause in a_cause(), moves in proptest::collection::vec(a_move(), 1..40)) {
        let mut world = World::open(cause);
        for what in moves {
            let event = world.event(what);
            world.step(event.clone());
            let before = world.case.clone();
            // Not the report that a click came twice: that is for the one who clicked.
            let again: Vec<Effect> =
                world.step(event.clone()).into_iter().filter(|effect| !matches!(effect, Effect::Refused(_))).collect();
            prop_assert_eq!(again, vec![], "{:?}", event);
            prop_assert_eq!(&world.case, &before, "{:?}", event);
        }
    }

    #[test]
    fn an_eligible_answer_about_this_person_settles_a_case_at_every_rung(
        cause in a_cause(), moves in proptest::collection::vec(a_move(), 0..40), back in 0u32..3
    ) {
        let mut world = World::open(cause);
        for what in moves {
            let event = world.event(what);
            world.step(event);
        }
        let before = world.case.ended();
        let ask = world.case.ask().saturating_sub(back);
        let somebody_else = world.case.asks[ask as usize].check == Check::OtherPerson;
        world.step(Event::Answer { ask, answered: valid(PersonMatch::SamePerson) });
        match before {
            Some(end) => prop_assert_eq!(world.case.ended(), Some(end)),
            None if somebody_else => prop_assert!(!world.case.is_final()),
            None => {
                let settled = matches!(world.case.ended(), Some(Final::Confirmed | Final::Changed));
                prop_assert!(settled);
            }
        }
    }
}

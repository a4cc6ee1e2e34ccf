//! The reception as its users know it: tables of situations, then random sequences of anything at any time.

use super::*;
use crate::answer::{Answer, Validity, Verdict};
use crate::clock::Stamp;
use crate::consent::{ConsentKind, GivenBy};
use crate::invariants::ReceptionWatch;
use crate::pin::{Pad, PinKeys};
use crate::record::{Method, Rejection, Reply, StaffLook, StaffName, Verification};
use proptest::prelude::*;
use uuid::Uuid;

fn id(n: u128) -> ReceptionId {
    ReceptionId(Uuid::from_u128(n))
}

fn rules() -> Rules {
    Rules { timing: Timing::default(), questions: vec![Question::TreatmentAndMedication, Question::Checkups] }
}

fn facts() -> CardFacts {
    CardFacts {
        certificate: CertificateAge::Valid,
        pin: PinMethod::Tries(3),
        face: FaceMethod::Ready,
        face_failures: 0,
        recorded_before: None,
    }
}

fn staff() -> StaffName {
    StaffName::new("佐藤").unwrap()
}

fn pad() -> Pad {
    Pad::new([1, 4, 9, 5, 7, 0, 8, 6, 3, 2]).unwrap()
}

fn replied(validity: Validity) -> Reply {
    let answer = Answer {
        processed: true,
        processing_code: String::new(),
        validity,
        card_registered: true,
        certificate_revoked: false,
        reason_of_loss: None,
        unmapped_characters: false,
    };
    Reply::Answered { verdict: answer.verdict().unwrap(), unmapped_characters: false }
}

fn not_registered() -> Reply {
    Reply::Answered { verdict: Verdict::Ineligible(Reason::CardNotRegistered), unmapped_characters: false }
}

/// A reader with a clock and a watch that panics when an invariant breaks.
struct Scene {
    core: Reception,
    watch: ReceptionWatch,
    mono: u64,
    effects: Vec<Effect>,
}

impl Scene {
    fn new() -> Self {
        Self { core: Reception::new(rules()), watch: ReceptionWatch::default(), mono: 0, effects: Vec::new() }
    }

    fn with_card(facts: CardFacts) -> Self {
        let mut scene = Self::new();
        scene.on(Event::CardPlaced(id(1)));
        scene.on(Event::CardRead(id(1), Ok(facts)));
        scene
    }

    fn asking_by_face() -> Self {
        let mut scene = Self::with_card(facts());
        scene.intent(Intent::ChooseFace);
        scene.on(Event::FaceJudged(id(1), 1, FaceOutcome::Match { score: 0.68 }));
        scene.on(Event::Opened(id(1), Ok(())));
        scene
    }

    fn now(&self) -> Now {
        let wall_ms = i64::try_from(self.mono).unwrap();
        Now { boot: 1, mono: Mono(self.mono), stamp: Stamp { wall_ms, synchronised: true } }
    }

    fn on(&mut self, event: Event) -> &mut Self {
        let before = self.core.clone();
        self.effects.clear();
        self.core.step(self.now(), event.clone(), &mut self.effects);
        self.watch.check(self.now(), &before, &event, &self.effects, &self.core).unwrap();
        self
    }

    fn intent(&mut self, intent: Intent) -> &mut Self {
        let reception = self.core.current().unwrap();
        self.on(Event::Intent(reception, self.core.version(), intent))
    }

    fn consent_to_all(&mut self) -> &mut Self {
        for question in rules().questions {
            self.intent(Intent::Consent { question, agreed: true });
        }
        self
    }

    /// Lets the present deadline pass.
    fn wait(&mut self) -> &mut Self {
        self.mono = self.core.deadline().unwrap().0;
        self.on(Event::Tick)
    }

    fn ending(&self) -> Ending {
        match self.core.screen() {
            Screen::TakeCard { ending, .. } | Screen::Notice(ending) => ending,
            other => panic!("not at the end: {other:?}"),
        }
    }
}

#[test]
fn a_patient_checks_in_by_face() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChooseFace);
    assert_eq!(scene.effects, [Effect::StartFace(id(1), 1)]);
    scene.on(Event::FaceJudged(id(1), 1, FaceOutcome::Match { score: 0.68 }));
    assert_eq!(
        scene.effects,
        [Effect::StopFace(id(1)), Effect::Open { reception: id(1), verification: Verification::by_face(0.68) }]
    );
    scene.on(Event::Opened(id(1), Ok(()))).on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    scene.consent_to_all();
    assert!(
        matches!(&scene.effects[..], [Effect::Record { shown: Shown::Confirmed, consents, .. }] if consents.len() == 4)
    );
    assert_eq!(scene.core.screen(), Screen::Recording);
    scene.on(Event::Recorded(id(1), Ok(())));
    assert_eq!(scene.ending(), Ending::Done(Shown::Confirmed));
    scene.on(Event::CardRemoved);
    assert_eq!(scene.effects, [Effect::Close(id(1))]);
    assert_eq!(scene.core.screen(), Screen::Idle);
}

#[test]
fn a_patient_checks_in_by_pin_typed_on_a_scrambled_pad() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChoosePin);
    assert_eq!(scene.effects, [Effect::DrawPad(id(1))]);
    scene.on(Event::PadDrawn(id(1), pad()));
    scene.intent(Intent::Pin(PinKeys::new(&[0, 9, 8, 1]).unwrap()));
    assert!(matches!(&scene.effects[..], [Effect::VerifyPin(_, pin, Method::Pin)] if pin.digits() == b"1234"));
    scene.on(Event::PinChecked(id(1), PinOutcome::Verified));
    assert_eq!(scene.effects, [Effect::Open { reception: id(1), verification: Verification::by(Method::Pin) }]);
}

#[test]
fn a_wrong_pin_draws_a_new_pad_and_the_last_one_locks_but_leaves_face_and_staff() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChoosePin);
    for tries_left in [2, 1] {
        scene.on(Event::PadDrawn(id(1), pad())).intent(Intent::Pin(PinKeys::new(&[1, 1, 1, 1]).unwrap()));
        scene.on(Event::PinChecked(id(1), PinOutcome::Wrong { tries_left }));
        assert_eq!(scene.effects, [Effect::DrawPad(id(1))]);
        assert_eq!(scene.core.screen(), Screen::Pin(PinScreen { pad: None, tries_left, wrong: true, helper: None }));
    }
    scene.on(Event::PadDrawn(id(1), pad())).intent(Intent::Pin(PinKeys::new(&[1, 1, 1, 1]).unwrap()));
    scene.on(Event::PinChecked(id(1), PinOutcome::Locked));
    let expected = Choose { face: true, pin: false, notice: Some(ChooseNotice::PinLocked), renew: None };
    assert_eq!(scene.core.screen(), Screen::Choose(expected));
}

#[test]
fn a_pad_serves_one_try_and_a_second_press_of_the_same_keys_does_not_reach_the_card() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChoosePin).on(Event::PadDrawn(id(1), pad()));
    let keys = PinKeys::new(&[1, 1, 1, 1]).unwrap();
    scene.intent(Intent::Pin(keys.clone()));
    scene.intent(Intent::Pin(keys));
    assert_eq!(scene.effects, []);
}

#[test]
fn a_card_that_offers_neither_face_nor_pin_goes_straight_to_staff() {
    for (pin, reason) in [(PinMethod::Absent, StaffReason::Pinless), (PinMethod::Locked, StaffReason::PinLocked)] {
        let certificate = CertificateAge::Grace;
        let scene = Scene::with_card(CardFacts { face: FaceMethod::PhotoUnusable, pin, certificate, ..facts() });
        let renew = Some(Renewal::Grace);
        assert_eq!(scene.core.screen(), Screen::Staff { reason, back: false, renew });
        assert_eq!(scene.core.attention(), Some(Attention::StaffLook(reason)));
    }
}

#[test]
fn a_face_that_does_not_match_twice_leaves_the_pin_and_staff_who_decide() {
    for (decision, expected) in [
        (StaffDecision::SamePerson, Screen::Asking),
        (StaffDecision::NotSamePerson, Screen::TakeCard { ending: Ending::NotSamePerson, reminder: false }),
    ] {
        let mut scene = Scene::with_card(facts());
        scene.intent(Intent::ChooseFace);
        scene.on(Event::FaceJudged(id(1), 1, FaceOutcome::NoMatch { score: 0.12 }));
        assert!(matches!(scene.core.screen(), Screen::Choose(c) if c.notice == Some(ChooseNotice::FaceNotMatched)));
        scene.intent(Intent::ChooseFace);
        scene.on(Event::FaceJudged(id(1), 2, FaceOutcome::NoMatch { score: 0.12 }));
        let left = Choose { face: false, pin: true, notice: Some(ChooseNotice::FaceNotMatched), renew: None };
        assert_eq!(scene.core.screen(), Screen::Choose(left));
        scene.intent(Intent::CallStaff).on(Event::StaffDecided(id(1), decision, staff()));
        assert_eq!(scene.core.screen(), expected);
    }
}

#[test]
fn a_patient_who_is_sent_to_the_desk_before_there_is_a_reception_is_on_its_list() {
    let noted = |scene: &Scene| {
        scene.effects.iter().find_map(|effect| match effect {
            Effect::Note { ending, by, .. } => Some((ending.clone(), by.clone())),
            _ => None,
        })
    };
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::CallStaff).on(Event::StaffDecided(id(1), StaffDecision::NotSamePerson, staff()));
    assert_eq!(noted(&scene), Some((Ending::NotSamePerson, Some(staff()))));

    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::CallStaff).wait();
    assert_eq!(noted(&scene), Some((Ending::StaffDidNotCome, None)));

    let scene = Scene::with_card(CardFacts { certificate: CertificateAge::Expired, ..facts() });
    assert_eq!(noted(&scene), Some((Ending::CertificateExpired, None)));

    // Whoever took the card, or pressed 取消, decided so; what has a reception tells of itself.
    for event in [Event::CardRemoved, Event::ReaderFault] {
        let mut scene = Scene::with_card(facts());
        assert_eq!(noted(scene.on(event)), None);
    }
    let mut scene = Scene::asking_by_face();
    assert_eq!(noted(scene.on(Event::CardRemoved)), None);
}

#[test]
fn a_face_that_failed_often_enough_is_not_offered_again_in_this_reception() {
    let mut scene = Scene::with_card(facts());
    for attempt in 1..=2 {
        scene.intent(Intent::ChooseFace);
        scene.on(Event::FaceJudged(id(1), attempt, FaceOutcome::NoMatch { score: 0.12 }));
    }
    let expected = Choose { face: false, pin: true, notice: Some(ChooseNotice::FaceNotMatched), renew: None };
    assert_eq!(scene.core.screen(), Screen::Choose(expected));
    scene.intent(Intent::ChooseFace);
    assert_eq!(scene.effects, []);
}

#[test]
fn a_face_too_close_to_call_may_try_again_or_the_pin_and_goes_to_staff_where_nothing_else_is_left() {
    let uncertain = |attempt| Event::FaceJudged(id(1), attempt, FaceOutcome::Uncertain { score: 0.39 });
    let mut scene = Scene::with_card(facts());
    for (attempt, face) in [(1, true), (2, false)] {
        scene.intent(Intent::ChooseFace).on(uncertain(attempt));
        let left = Choose { face, pin: true, notice: Some(ChooseNotice::FaceUncertain), renew: None };
        assert_eq!(scene.core.screen(), Screen::Choose(left));
        assert!(!scene.effects.iter().any(|effect| matches!(effect, Effect::CountFace(..))), "no failure of the card");
    }
    let mut scene = Scene::with_card(CardFacts { pin: PinMethod::Locked, ..facts() });
    scene.intent(Intent::ChooseFace).on(uncertain(1)).intent(Intent::ChooseFace).on(uncertain(2));
    assert_eq!(scene.core.screen(), Screen::Staff { reason: StaffReason::FaceUncertain, back: false, renew: None });
}

#[test]
fn a_judgement_of_an_earlier_attempt_is_not_taken_for_the_present_one() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChooseFace).intent(Intent::Back).intent(Intent::ChooseFace);
    scene.on(Event::FaceJudged(id(1), 1, FaceOutcome::Match { score: 0.9 }));
    assert_eq!(scene.core.screen(), Screen::Face);
}

#[test]
fn an_ineligible_patient_reads_why_and_the_reception_is_recorded_with_the_reason() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::NoneFound)));
    assert_eq!(scene.core.screen(), Screen::Ineligible(Reason::NoInsuranceFound));
    scene.intent(Intent::Acknowledge);
    assert!(
        matches!(&scene.effects[..], [Effect::Record { shown: Shown::Ineligible(Reason::NoInsuranceFound), consents, .. }] if consents.is_empty())
    );
}

#[test]
fn without_an_answer_in_time_the_reception_goes_on_as_provisional() {
    let mut scene = Scene::asking_by_face();
    scene.wait();
    assert!(matches!(scene.core.screen(), Screen::Consent { provisional: true, number: 1, of: 2, .. }));
    scene.consent_to_all().on(Event::Recorded(id(1), Ok(())));
    assert_eq!(scene.ending(), Ending::Done(Shown::Provisional));
}

#[test]
fn while_the_line_is_known_to_be_down_nobody_waits_for_the_whole_deadline() {
    let mut scene = Scene::asking_by_face();
    let timing = Timing::default();
    scene.on(Event::LineDown(id(1)));
    assert_eq!(scene.core.deadline(), Some(Mono(0).after(timing.answer_line_down)));
    scene.wait();
    assert!(matches!(scene.core.screen(), Screen::Consent { provisional: true, .. }));
}

#[test]
fn a_request_that_central_refuses_still_lets_the_patient_in() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, Reply::Rejected(Rejection { code: "invalid_argument".into() })));
    assert!(matches!(scene.core.screen(), Screen::Consent { provisional: true, .. }));
}

#[test]
fn an_answer_that_comes_during_the_consents_is_what_the_patient_hears_in_the_end() {
    let mut scene = Scene::asking_by_face();
    scene.wait().on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    scene.consent_to_all().on(Event::Recorded(id(1), Ok(())));
    assert_eq!(scene.ending(), Ending::Done(Shown::Confirmed));
}

#[test]
fn an_answer_may_overtake_the_news_of_its_own_commit() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::CallStaff).on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff()));
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    assert!(matches!(scene.core.screen(), Screen::Consent { provisional: false, .. }));
}

#[test]
fn questions_nobody_answers_count_as_not_agreed() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    scene.intent(Intent::Consent { question: Question::TreatmentAndMedication, agreed: true }).wait();
    let [Effect::Record { consents, .. }] = &scene.effects[..] else { panic!("{:?}", scene.effects) };
    let told: Vec<_> = consents.iter().map(|consent| (consent.kind, consent.agreed, consent.by)).collect();
    let expected = [
        (ConsentKind::Diagnosis, true, GivenBy::Patient),
        (ConsentKind::Medication, true, GivenBy::Patient),
        (ConsentKind::Checkups, false, GivenBy::NotAnswered),
        (ConsentKind::LimitCertificate, true, GivenBy::NotNeeded),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_certificate_within_its_grace_gives_eligibility_without_consent_questions() {
    let mut scene = Scene::with_card(CardFacts { certificate: CertificateAge::Grace, ..facts() });
    assert!(matches!(scene.core.screen(), Screen::Choose(c) if c.renew == Some(Renewal::Grace)));
    scene.intent(Intent::CallStaff).on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff()));
    scene.on(Event::Opened(id(1), Ok(()))).on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    assert_eq!(scene.core.screen(), Screen::Recording);
}

#[test]
fn a_pulled_card_ends_an_open_reception_as_abandoned_and_frees_the_reader() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::CardRemoved);
    assert_eq!(scene.effects, [Effect::Abandon(id(1), Abandonment::CardRemoved), Effect::ForgetCard(id(1))]);
    assert_eq!(scene.core.screen(), Screen::Notice(Ending::CardPulled));
    scene.wait();
    assert_eq!(scene.core.screen(), Screen::Idle);
}

#[test]
fn a_card_pulled_before_anything_was_asked_leaves_no_record() {
    let mut scene = Scene::with_card(facts());
    scene.on(Event::CardRemoved);
    assert_eq!(scene.effects, [Effect::ForgetCard(id(1))]);
}

#[test]
fn whoever_takes_the_card_or_cancels_while_a_verdict_is_told_has_read_it() {
    let not_valid = || Event::Replied(id(1), Ask::First, replied(Validity::NoneFound));
    let offering = || Event::Replied(id(1), Ask::First, not_registered());
    for (event, reason) in [(not_valid(), Reason::NoInsuranceFound), (offering(), Reason::CardNotRegistered)] {
        let shown = Shown::Ineligible(reason);
        let record = Effect::Record { reception: id(1), shown: shown.clone(), consents: Vec::new() };

        let mut scene = Scene::asking_by_face();
        scene.on(event.clone()).on(Event::CardRemoved);
        assert_eq!(scene.effects, [record.clone(), Effect::ForgetCard(id(1)), Effect::Close(id(1))]);
        scene.on(Event::Recorded(id(1), Ok(())));
        assert_eq!(scene.core.screen(), Screen::Notice(Ending::Done(shown.clone())));
        assert_eq!(scene.core.attention(), Some(Attention::Ended(Ending::Done(shown.clone()))));

        let mut scene = Scene::asking_by_face();
        scene.on(event.clone()).intent(Intent::Cancel);
        assert_eq!(scene.effects, std::slice::from_ref(&record));
        scene.on(Event::Recorded(id(1), Ok(())));
        assert_eq!(scene.ending(), Ending::Done(shown.clone()));

        // A reader that fails takes the words from the screen, not from the desk.
        let mut scene = Scene::asking_by_face();
        scene.on(event.clone()).on(Event::ReaderFault);
        assert_eq!(scene.effects, [record, Effect::ForgetCard(id(1))]);

        // T2 cannot be written: given up like any other.
        let mut scene = Scene::asking_by_face();
        scene.on(event).on(Event::CardRemoved).on(Event::Recorded(id(1), Err(NotWritten)));
        assert_eq!(scene.effects, [Effect::Abandon(id(1), Abandonment::NotRecorded)]);
        assert_eq!(scene.core.screen(), Screen::Notice(Ending::NotWritten));
    }
}

#[test]
fn a_verdict_that_was_told_stands_when_the_card_is_taken_at_the_questions_after_it() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Several))).intent(Intent::Acknowledge);
    assert!(matches!(scene.core.screen(), Screen::Consent { .. }));
    scene.on(Event::CardRemoved);
    let [Effect::Record { shown, consents, .. }, Effect::ForgetCard(_), Effect::Close(_)] = &scene.effects[..] else {
        panic!("{:?}", scene.effects)
    };
    assert_eq!(*shown, Shown::Ineligible(Reason::SeveralInsurances));
    assert!(consents.iter().all(|consent| consent.by == GivenBy::NotNeeded), "{consents:?}");
}

#[test]
fn cancel_ends_the_reception_but_not_once_it_is_being_recorded() {
    let mut scene = Scene::asking_by_face();
    scene.intent(Intent::Cancel);
    assert_eq!(scene.ending(), Ending::Cancelled);

    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Valid))).consent_to_all().intent(Intent::Cancel);
    assert_eq!(scene.core.screen(), Screen::Recording);
}

#[test]
fn a_card_pulled_while_t2_is_written_does_not_undo_it_and_the_next_patient_may_start() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Valid))).consent_to_all().on(Event::CardRemoved);
    assert_eq!(scene.effects, [Effect::ForgetCard(id(1)), Effect::Close(id(1))]);
    scene.on(Event::CardPlaced(id(2)));
    assert_eq!(scene.core.screen(), Screen::Reading);
    scene.on(Event::Recorded(id(1), Ok(())));
    assert_eq!(scene.core.screen(), Screen::Reading);
}

#[test]
fn when_nothing_can_be_written_the_screen_sends_the_patient_to_the_desk() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::CallStaff).on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff()));
    scene.on(Event::Opened(id(1), Err(NotWritten)));
    assert_eq!(scene.ending(), Ending::NotWritten);
    assert_eq!(scene.core.attention(), Some(Attention::Ended(Ending::NotWritten)));
}

#[test]
fn while_the_disk_does_not_answer_nothing_is_said_to_be_done() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Valid))).consent_to_all().wait();
    assert_eq!(scene.ending(), Ending::NotWritten);
    assert_eq!(scene.effects, [Effect::Abandon(id(1), Abandonment::NotRecorded), Effect::ForgetCard(id(1))]);
}

#[test]
fn a_card_recorded_just_before_a_restart_is_only_told_to_be_taken() {
    let before = Some((id(7), Shown::Confirmed));
    let mut scene = Scene::with_card(CardFacts { recorded_before: before, ..facts() });
    assert_eq!(scene.ending(), Ending::Done(Shown::Confirmed));
    scene.on(Event::CardRemoved);
    assert_eq!(scene.effects, [Effect::Close(id(7))]);
}

#[test]
fn a_reader_that_fails_after_the_end_does_not_claim_that_the_card_was_taken() {
    let mut scene = Scene::asking_by_face();
    scene
        .on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)))
        .consent_to_all()
        .on(Event::Recorded(id(1), Ok(())));
    scene.on(Event::ReaderFault);
    assert_eq!(scene.effects, []);
}

#[test]
fn a_card_left_behind_is_called_out_until_it_is_taken() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::Cancel).wait();
    assert_eq!(scene.core.screen(), Screen::TakeCard { ending: Ending::Cancelled, reminder: true });
    assert_eq!(scene.core.attention(), Some(Attention::LeftBehind));
}

#[test]
fn a_card_that_is_not_registered_is_registered_on_the_spot_and_the_reception_goes_on() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, not_registered()));
    assert_eq!(scene.core.screen(), Screen::Register { helper: None });
    scene.intent(Intent::Register(true));
    assert_eq!(scene.effects, [Effect::Register(id(1))]);
    scene.on(Event::RegistrationWritten(id(1), Ok(())));
    // The first answer once more: it says nothing about the registration.
    scene.on(Event::Replied(id(1), Ask::First, not_registered()));
    assert_eq!(scene.core.screen(), Screen::Registering);
    scene.on(Event::Replied(id(1), Ask::FollowUp, replied(Validity::Valid)));
    assert!(matches!(scene.core.screen(), Screen::Consent { provisional: false, .. }));
}

#[test]
fn a_patient_who_does_not_want_to_register_is_told_the_next_step() {
    for end in [Intent::Register(false), Intent::Acknowledge] {
        let mut scene = Scene::asking_by_face();
        scene.on(Event::Replied(id(1), Ask::First, not_registered()));
        if end == Intent::Acknowledge {
            scene.wait();
        } else {
            scene.intent(end);
            assert_eq!(scene.core.screen(), Screen::Ineligible(Reason::CardNotRegistered));
            scene.intent(Intent::Acknowledge);
        }
        let shown = Shown::Ineligible(Reason::CardNotRegistered);
        assert!(matches!(&scene.effects[..], [Effect::Record { shown: told, .. }] if *told == shown));
    }
}

#[test]
fn a_registration_that_is_not_answered_in_time_leaves_a_provisional_reception() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, not_registered())).intent(Intent::Register(true));
    scene.on(Event::RegistrationWritten(id(1), Ok(()))).wait();
    assert!(matches!(scene.core.screen(), Screen::Consent { provisional: true, .. }));
}

#[test]
fn a_staff_look_is_not_enough_to_register_a_card() {
    let mut scene = Scene::with_card(facts());
    scene.on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff())).on(Event::Opened(id(1), Ok(())));
    scene.on(Event::Replied(id(1), Ask::First, not_registered()));
    assert_eq!(scene.core.screen(), Screen::Ineligible(Reason::CardNotRegistered));
}

#[test]
fn a_staff_look_says_who_and_why_and_the_next_reception_begins_as_ever() {
    for (call, why) in [(true, StaffReason::Asked), (false, StaffReason::OwnAccord)] {
        let mut scene = Scene::with_card(facts());
        if call {
            scene.intent(Intent::CallStaff);
        }
        scene.on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff()));
        let verification = Verification::by_look(StaffLook { by: staff(), why });
        assert_eq!(scene.effects, [Effect::Open { reception: id(1), verification }]);
        scene.on(Event::CardRemoved).on(Event::CardPlaced(id(2))).on(Event::CardRead(id(2), Ok(facts())));
        assert!(matches!(scene.core.screen(), Screen::Choose(Choose { face: true, pin: true, notice: None, .. })));
    }
}

#[test]
fn who_has_forgotten_the_pin_is_led_to_the_face_and_to_staff_where_that_cannot_be_used() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChoosePin).intent(Intent::Forgotten);
    assert!(matches!(scene.core.screen(), Screen::Choose(c) if c.notice == Some(ChooseNotice::PinForgotten)));
    let mut scene = Scene::with_card(CardFacts { face: FaceMethod::Off, ..facts() });
    scene.intent(Intent::ChoosePin).intent(Intent::Forgotten);
    assert_eq!(scene.core.screen(), Screen::Staff { reason: StaffReason::PinForgotten, back: true, renew: None });
}

#[test]
fn a_companion_who_types_the_pin_is_recorded_and_so_are_the_answers_given_for_the_patient() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChoosePin).intent(Intent::ByProxy).on(Event::PadDrawn(id(1), pad()));
    assert!(matches!(scene.core.screen(), Screen::Pin(PinScreen { helper: Some(Helper::Proxy), .. })));
    scene.intent(Intent::Pin(PinKeys::new(&[0, 9, 8, 1]).unwrap())).on(Event::PinChecked(id(1), PinOutcome::Verified));
    assert_eq!(scene.effects, [Effect::Open { reception: id(1), verification: Verification::by(Method::PinByProxy) }]);
    scene.on(Event::Opened(id(1), Ok(()))).on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    scene.intent(Intent::Consent { question: Question::TreatmentAndMedication, agreed: true });
    // Now staff take over.
    scene
        .on(Event::StaffAssists(id(1), staff()))
        .intent(Intent::Consent { question: Question::Checkups, agreed: true });
    let [Effect::Record { consents, .. }] = &scene.effects[..] else { panic!("{:?}", scene.effects) };
    let by: Vec<_> = consents.iter().map(|consent| consent.by).collect();
    assert_eq!(by, [GivenBy::Proxy, GivenBy::Proxy, GivenBy::StaffAssisted, GivenBy::NotNeeded]);
    let who: Vec<_> = consents.iter().map(|consent| consent.assisted_by.clone()).collect();
    assert_eq!(who, [None, None, Some(staff()), None]);
}

#[test]
fn staff_who_help_before_the_pin_are_named_in_the_evidence() {
    let keys = PinKeys::new(&[0, 9, 8, 1]).unwrap();
    let mut scene = Scene::with_card(facts());
    scene.on(Event::StaffAssists(id(1), staff())).intent(Intent::ChoosePin).on(Event::PadDrawn(id(1), pad()));
    scene.intent(Intent::Pin(keys));
    // Who helps from now on did not type this PIN.
    scene.on(Event::StaffLeave(id(1))).on(Event::PinChecked(id(1), PinOutcome::Verified));
    let verification = Verification { assisted_by: Some(staff()), ..Verification::by(Method::Pin) };
    assert_eq!(scene.effects, [Effect::Open { reception: id(1), verification }]);
}

#[test]
fn a_helper_by_mistake_is_undone_by_the_patient_and_by_staff_before_the_pin() {
    for (staff_help, by_staff) in [(false, false), (true, false), (true, true)] {
        let mut scene = Scene::with_card(facts());
        scene.intent(Intent::ChoosePin).on(Event::PadDrawn(id(1), pad()));
        if staff_help {
            scene.on(Event::StaffAssists(id(1), staff()));
        } else {
            scene.intent(Intent::ByProxy);
        }
        assert!(scene.core.helper().is_some());
        if by_staff {
            scene.on(Event::StaffLeave(id(1)));
        } else {
            scene.intent(Intent::ByPatient);
        }
        assert!(
            matches!(scene.core.screen(), Screen::Pin(PinScreen { pad: Some(_), helper: None, .. })),
            "the same pad"
        );
        scene.intent(Intent::Pin(PinKeys::new(&[0, 9, 8, 1]).unwrap()));
        scene.on(Event::PinChecked(id(1), PinOutcome::Verified));
        let verification = Verification::by(Method::Pin);
        assert_eq!(scene.effects, [Effect::Open { reception: id(1), verification }]);
    }
}

#[test]
fn staff_who_leave_do_not_send_a_companion_away() {
    let mut scene = Scene::with_card(facts());
    scene.intent(Intent::ChoosePin).intent(Intent::ByProxy).on(Event::StaffLeave(id(1)));
    assert_eq!(scene.core.helper(), Some(Helper::Proxy));
}

#[test]
fn who_calls_for_help_at_a_question_is_seen_by_staff_and_answers_alone_until_they_come() {
    let mut scene = Scene::asking_by_face();
    scene.on(Event::Replied(id(1), Ask::First, replied(Validity::Valid)));
    let before = scene.core.deadline();
    scene.intent(Intent::CallStaff);
    assert_eq!(scene.core.attention(), Some(Attention::HelpWanted));
    assert!(matches!(scene.core.screen(), Screen::Consent { number: 1, helper: Some(Helper::Called), .. }));
    assert!(scene.core.deadline() > before, "time until they come");
    let Screen::Consent { question, .. } = scene.core.screen() else { panic!() };
    scene.intent(Intent::Consent { question, agreed: true }).on(Event::StaffAssists(id(1), staff()));
    assert_eq!(scene.core.attention(), None);
    scene.consent_to_all();
    let [Effect::Record { consents, .. }] = &scene.effects[..] else { panic!("{:?}", scene.effects) };
    let by: Vec<_> = consents.iter().map(|consent| consent.by).filter(|by| *by != GivenBy::NotNeeded).collect();
    assert_eq!((by.first(), by.last()), (Some(&GivenBy::Patient), Some(&GivenBy::StaffAssisted)), "{by:?}");
}

#[test]
fn the_way_back_from_staff_is_offered_only_where_it_leads_somewhere() {
    for (pin, back) in [(PinMethod::Tries(3), true), (PinMethod::Locked, false), (PinMethod::Absent, false)] {
        let mut scene = Scene::with_card(CardFacts { pin, ..facts() });
        for attempt in 1..=rules().timing.face_attempts_max {
            scene.intent(Intent::ChooseFace);
            scene.on(Event::FaceJudged(id(1), attempt, FaceOutcome::NoMatch { score: 0.1 }));
        }
        let mut reason = StaffReason::FaceNotMatched;
        if back {
            scene.intent(Intent::CallStaff);
            reason = StaffReason::Asked;
        }
        assert_eq!(scene.core.screen(), Screen::Staff { reason, back, renew: None });
        scene.intent(Intent::Back);
        assert_eq!(matches!(scene.core.screen(), Screen::Choose(_)), back);
    }
}

#[test]
fn who_has_a_new_insurance_or_several_is_asked_for_consents_and_who_has_none_is_not() {
    for (validity, asked) in [
        (Validity::InvalidNewInsurance, true),
        (Validity::Several, true),
        (Validity::Invalid, false),
        (Validity::NoneFound, false),
    ] {
        let mut scene = Scene::asking_by_face();
        scene.on(Event::Replied(id(1), Ask::First, replied(validity.clone()))).intent(Intent::Acknowledge);
        if asked {
            scene.consent_to_all();
        }
        let [Effect::Record { shown: Shown::Ineligible(_), consents, .. }] = &scene.effects[..] else {
            panic!("{validity:?}: {:?}", scene.effects)
        };
        let given = consents.iter().filter(|consent| consent.agreed && consent.by == GivenBy::Patient).count();
        assert_eq!((given, consents.len()), if asked { (3, 4) } else { (0, 0) }, "{validity:?}");
    }
}

#[test]
fn ten_faces_in_a_row_that_do_not_match_lock_the_face_and_leave_pin_and_staff() {
    let mut scene = Scene::with_card(CardFacts { face_failures: 9, ..facts() });
    scene.intent(Intent::ChooseFace).on(Event::FaceJudged(id(1), 1, FaceOutcome::NoMatch { score: 0.1 }));
    assert_eq!(scene.effects, [Effect::CountFace(id(1), FaceCount::Failed), Effect::StopFace(id(1))]);
    assert!(matches!(
        scene.core.screen(),
        Screen::Choose(Choose { face: false, pin: true, notice: Some(ChooseNotice::FaceLocked), .. })
    ));
    let scene = Scene::with_card(CardFacts { face_failures: 10, pin: PinMethod::Absent, ..facts() });
    assert_eq!(scene.core.screen(), Screen::Staff { reason: StaffReason::Pinless, back: false, renew: None });
}

#[test]
fn a_face_that_matches_clears_the_failures_before_it() {
    let mut scene = Scene::with_card(CardFacts { face_failures: 3, ..facts() });
    scene.intent(Intent::ChooseFace).on(Event::FaceJudged(id(1), 1, FaceOutcome::Match { score: 0.7 }));
    assert_eq!(scene.effects[0], Effect::CountFace(id(1), FaceCount::Cleared));
}

#[test]
fn a_pin_that_is_right_or_staff_who_looked_open_a_locked_face_again() {
    let locked = || Scene::with_card(CardFacts { face_failures: FACE_FAILURES_MAX, ..facts() });
    let cleared = Effect::CountFace(id(1), FaceCount::Cleared);
    let mut by_pin = locked();
    by_pin.intent(Intent::ChoosePin);
    by_pin.on(Event::PadDrawn(id(1), pad())).intent(Intent::Pin(PinKeys::new(&[0, 9, 8, 1]).unwrap()));
    by_pin.on(Event::PinChecked(id(1), PinOutcome::Wrong { tries_left: 2 }));
    assert!(!by_pin.effects.contains(&cleared), "a wrong PIN is nobody's");
    by_pin.on(Event::PadDrawn(id(1), pad())).intent(Intent::Pin(PinKeys::new(&[0, 9, 8, 1]).unwrap()));
    by_pin.on(Event::PinChecked(id(1), PinOutcome::Verified));
    assert_eq!(by_pin.effects[0], cleared);
    let mut by_look = locked();
    by_look.on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff()));
    assert_eq!(by_look.effects[0], cleared);
    let mut somebody_else = locked();
    somebody_else.on(Event::StaffDecided(id(1), StaffDecision::NotSamePerson, staff()));
    assert!(!somebody_else.effects.contains(&cleared));
    // Nothing to clear, nothing to write.
    let mut fresh = Scene::with_card(facts());
    fresh.on(Event::StaffDecided(id(1), StaffDecision::SamePerson, staff()));
    assert!(!fresh.effects.contains(&cleared));
}

#[test]
fn the_choice_says_why_a_way_is_missing() {
    for (pin, face, notice) in [
        (PinMethod::Locked, FaceMethod::Ready, ChooseNotice::PinLocked),
        (PinMethod::Absent, FaceMethod::Ready, ChooseNotice::Pinless),
        (PinMethod::Tries(3), FaceMethod::PhotoUnusable, ChooseNotice::PhotoUnusable),
        (PinMethod::Tries(3), FaceMethod::Locked, ChooseNotice::FaceLocked),
    ] {
        let scene = Scene::with_card(CardFacts { pin, face, ..facts() });
        assert!(matches!(scene.core.screen(), Screen::Choose(c) if c.notice == Some(notice)), "{notice:?}");
    }
}

#[test]
fn an_intent_made_for_an_older_screen_is_dropped() {
    let mut scene = Scene::with_card(facts());
    let stale = scene.core.version();
    scene.intent(Intent::CallStaff);
    scene.on(Event::Intent(id(1), stale, Intent::Cancel));
    assert!(matches!(scene.core.screen(), Screen::Staff { .. }));
}

#[test]
fn each_certificate_age_leads_where_it_should() {
    let table = [
        (CertificateAge::Valid, None),
        (CertificateAge::ExpiresSoon, None),
        (CertificateAge::Grace, None),
        (CertificateAge::Expired, Some(Ending::CertificateExpired)),
        (CertificateAge::NotYetValid, Some(Ending::CertificateNotYetValid)),
    ];
    for (certificate, expected) in table {
        let scene = Scene::with_card(CardFacts { certificate, ..facts() });
        match expected {
            Some(ending) => assert_eq!(scene.ending(), ending),
            None => assert!(matches!(scene.core.screen(), Screen::Choose(_)), "{certificate:?}"),
        }
    }
}

/// What the outside world may do at any moment; reception and attempt numbers are as likely to be stale as not.
#[derive(Debug, Clone)]
enum Step {
    Now(Event),
    Fresh(Intent),
    /// What a patient and a working gateway would do next: without it random sequences hardly ever get far.
    Forward,
    Wait,
}

fn any_reception() -> impl Strategy<Value = ReceptionId> {
    (1u128..4).prop_map(id)
}

fn any_intent() -> impl Strategy<Value = Intent> {
    prop_oneof![
        Just(Intent::ChooseFace),
        Just(Intent::ChoosePin),
        Just(Intent::CallStaff),
        Just(Intent::Back),
        Just(Intent::Acknowledge),
        Just(Intent::Cancel),
        Just(Intent::Pin(PinKeys::new(&[0, 1, 2, 3]).unwrap())),
        Just(Intent::Forgotten),
        Just(Intent::ByProxy),
        Just(Intent::ByPatient),
        any::<bool>().prop_map(Intent::Register),
        (any::<bool>(), any::<bool>()).prop_map(|(first, agreed)| Intent::Consent {
            question: if first { Question::TreatmentAndMedication } else { Question::Checkups },
            agreed
        }),
    ]
}

fn any_facts() -> impl Strategy<Value = CardFacts> {
    let certificate = prop_oneof![
        6 => Just(CertificateAge::Valid),
        1 => Just(CertificateAge::ExpiresSoon),
        1 => Just(CertificateAge::Grace),
        1 => Just(CertificateAge::Expired),
        1 => Just(CertificateAge::NotYetValid),
    ];
    let face = prop_oneof![4 => Just(FaceMethod::Ready), 1 => Just(FaceMethod::Off)];
    let failures = prop_oneof![4 => Just(0u32), 1 => 0u32..12];
    let pin = prop_oneof![4 => (1u8..4).prop_map(PinMethod::Tries), 1 => Just(PinMethod::Locked), 1 => Just(PinMethod::Absent)];
    let before = prop_oneof![9 => Just(None), 1 => Just(Some((id(9), Shown::Provisional)))];
    (certificate, face, failures, pin, before).prop_map(|(certificate, face, face_failures, pin, recorded_before)| {
        CardFacts { certificate, face, face_failures, pin, recorded_before }
    })
}

fn any_ask() -> impl Strategy<Value = Ask> {
    prop_oneof![Just(Ask::First), Just(Ask::FollowUp)]
}

fn any_event() -> impl Strategy<Value = Event> {
    let validity = prop_oneof![
        Just(Validity::Valid),
        Just(Validity::Invalid),
        Just(Validity::Several),
        Just(Validity::Unknown("X".into()))
    ];
    let judged = prop_oneof![
        Just(FaceOutcome::Match { score: 0.6 }),
        Just(FaceOutcome::Uncertain { score: 0.4 }),
        Just(FaceOutcome::NoMatch { score: 0.1 }),
        Just(FaceOutcome::NoFace),
        Just(FaceOutcome::Fault),
    ];
    let checked = prop_oneof![
        Just(PinOutcome::Verified),
        (0u8..3).prop_map(|tries_left| PinOutcome::Wrong { tries_left }),
        Just(PinOutcome::Locked),
        Just(PinOutcome::Fault),
    ];
    let written = prop_oneof![4 => Just(Ok(())), 1 => Just(Err(NotWritten))];
    prop_oneof![
        any_reception().prop_map(Event::CardPlaced),
        Just(Event::CardRemoved),
        Just(Event::ReaderFault),
        (any_reception(), any_facts()).prop_map(|(r, f)| Event::CardRead(r, Ok(f))),
        any_reception().prop_map(|r| Event::CardRead(r, Err(ReadFailure::Unreadable))),
        any_reception().prop_map(|r| Event::PadDrawn(r, pad())),
        (any_reception(), 0u64..40, any_intent()).prop_map(|(r, v, i)| Event::Intent(r, v, i)),
        (any_reception(), 0u32..4, judged).prop_map(|(r, a, j)| Event::FaceJudged(r, a, j)),
        (any_reception(), checked).prop_map(|(r, c)| Event::PinChecked(r, c)),
        (any_reception(), any::<bool>()).prop_map(|(r, same)| Event::StaffDecided(
            r,
            if same { StaffDecision::SamePerson } else { StaffDecision::NotSamePerson },
            staff(),
        )),
        any_reception().prop_map(|r| Event::StaffAssists(r, staff())),
        any_reception().prop_map(Event::StaffLeave),
        (any_reception(), written.clone()).prop_map(|(r, w)| Event::Opened(r, w)),
        (any_reception(), written.clone()).prop_map(|(r, w)| Event::RegistrationWritten(r, w)),
        (any_reception(), any_ask(), validity).prop_map(|(r, ask, v)| Event::Replied(r, ask, replied(v))),
        (any_reception(), any_ask()).prop_map(|(r, ask)| Event::Replied(r, ask, not_registered())),
        (any_reception(), any_ask()).prop_map(|(r, ask)| Event::Replied(
            r,
            ask,
            Reply::Rejected(Rejection { code: "x".into() })
        )),
        any_reception().prop_map(Event::LineDown),
        (any_reception(), written).prop_map(|(r, w)| Event::Recorded(r, w)),
        Just(Event::Tick),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_event().prop_map(Step::Now),
        2 => any_intent().prop_map(Step::Fresh),
        12 => Just(Step::Forward),
        1 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The watch inside the scene panics when an invariant breaks.
    #[test]
    fn no_sequence_of_events_breaks_an_invariant(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut scene = Scene::new();
        let mut fresh = 100;
        for step in steps {
            match step {
                // Ids are made by the shell and never come twice.
                Step::Now(Event::CardPlaced(_)) => { fresh += 1; scene.on(Event::CardPlaced(id(fresh))); }
                Step::Now(event) => { scene.on(redirected(event, scene.core.current())); }
                Step::Fresh(intent) if scene.core.current().is_some() => { scene.intent(intent); }
                Step::Forward => { fresh += 1; let next = forward(&scene, id(fresh)); scene.on(next); }
                Step::Wait if scene.core.deadline().is_some() => { scene.wait(); }
                Step::Fresh(_) | Step::Wait => {}
            }
        }
    }

    /// I6 as the next patient sees it: with nobody doing anything, every state comes to its end by itself.
    #[test]
    fn left_alone_a_reader_ends_at_idle_or_at_take_your_card(steps in proptest::collection::vec(any_step(), 1..40), removed: bool) {
        let mut scene = Scene::new();
        let mut fresh = 100;
        let mut card_in = false;
        for step in steps {
            match step {
                Step::Now(Event::CardPlaced(_)) => { fresh += 1; card_in = true; scene.on(Event::CardPlaced(id(fresh))); }
                Step::Now(event) => {
                    card_in &= !matches!(event, Event::CardRemoved | Event::ReaderFault);
                    scene.on(redirected(event, scene.core.current()));
                }
                Step::Fresh(intent) if scene.core.current().is_some() => { scene.intent(intent); }
                Step::Forward => {
                    fresh += 1;
                    let next = forward(&scene, id(fresh));
                    card_in = match next {
                        Event::CardPlaced(_) => true,
                        Event::CardRemoved => false,
                        _ => card_in,
                    };
                    scene.on(next);
                }
                Step::Fresh(_) | Step::Wait => {}
            }
        }
        if removed { scene.on(Event::CardRemoved); card_in = false; }
        for _ in 0..12 {
            if scene.core.deadline().is_some() { scene.wait(); }
        }
        match scene.core.screen() {
            Screen::Idle => {}
            Screen::TakeCard { reminder: true, .. } => prop_assert!(card_in),
            other => prop_assert!(false, "stuck at {other:?}"),
        }
    }
}

/// The next event of an ordinary reception, by what is on the screen.
fn forward(scene: &Scene, fresh: ReceptionId) -> Event {
    let (Some(current), version) = (scene.core.current(), scene.core.version()) else {
        return Event::CardPlaced(fresh);
    };
    match scene.core.screen() {
        Screen::Reading => Event::CardRead(current, Ok(facts())),
        Screen::Choose(_) => Event::Intent(current, version, Intent::ChooseFace),
        Screen::Face => Event::FaceJudged(current, 1, FaceOutcome::Match { score: 0.7 }),
        Screen::Pin(PinScreen { pad: Some(_), .. }) => {
            Event::Intent(current, version, Intent::Pin(PinKeys::new(&[0, 1, 2, 3]).unwrap()))
        }
        Screen::Pin(_) => Event::PinChecked(current, PinOutcome::Verified),
        Screen::Staff { .. } => Event::StaffDecided(current, StaffDecision::SamePerson, staff()),
        Screen::Asking => Event::Replied(current, Ask::First, replied(Validity::Valid)),
        Screen::Register { .. } => Event::Intent(current, version, Intent::Register(true)),
        Screen::Registering => Event::Replied(current, Ask::FollowUp, replied(Validity::Valid)),
        Screen::Ineligible(_) => Event::Intent(current, version, Intent::Acknowledge),
        Screen::Consent { question, .. } => Event::Intent(current, version, Intent::Consent { question, agreed: true }),
        Screen::Recording => Event::Recorded(current, Ok(())),
        Screen::TakeCard { .. } => Event::CardRemoved,
        Screen::Idle | Screen::Notice(_) => Event::CardPlaced(fresh),
    }
}

/// Two of three result events are aimed at the reception of the moment, or random sequences would never get far.
fn redirected(event: Event, current: Option<ReceptionId>) -> Event {
    let Some(current) = current else { return event };
    match event {
        Event::CardRead(r, x) if r != id(3) => Event::CardRead(current, x),
        Event::PadDrawn(r, x) if r != id(3) => Event::PadDrawn(current, x),
        Event::FaceJudged(r, a, x) if r != id(3) => Event::FaceJudged(current, a, x),
        Event::PinChecked(r, x) if r != id(3) => Event::PinChecked(current, x),
        Event::StaffDecided(r, x, by) if r != id(3) => Event::StaffDecided(current, x, by),
        Event::StaffAssists(r, by) if r != id(3) => Event::StaffAssists(current, by),
        Event::StaffLeave(r) if r != id(3) => Event::StaffLeave(current),
        Event::RegistrationWritten(r, x) if r != id(3) => Event::RegistrationWritten(current, x),
        Event::Opened(r, x) if r != id(3) => Event::Opened(current, x),
        Event::Replied(r, ask, x) if r != id(3) => Event::Replied(current, ask, x),
        Event::LineDown(r) if r != id(3) => Event::LineDown(current),
        Event::Recorded(r, x) if r != id(3) => Event::Recorded(current, x),
        other => other,
    }
}

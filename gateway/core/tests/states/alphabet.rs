//! Everything that can happen to a reception, one of each kind.

use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::consent::Question;
use uketsuke_core::ids::ReceptionId;
use uketsuke_core::pin::{Pad, PinKeys};
use uketsuke_core::reception::{
    Ask, CardFacts, CertificateAge, Event, FACE_FAILURES_MAX, FaceMethod, FaceOutcome, Intent, NotWritten, PinMethod,
    PinOutcome, ReadFailure, Reception, StaffDecision,
};
use uketsuke_core::record::{Rejection, Reply, Shown, StaffName};

const CARD: ReceptionId = ReceptionId(uuid::Uuid::nil());

fn facts(pin: PinMethod, face: FaceMethod, certificate: CertificateAge) -> CardFacts {
    CardFacts { certificate, pin, face, face_failures: 0, recorded_before: None }
}

/// The face attempt that is going on, which only the shell is told.
fn attempt(core: &Reception) -> u32 {
    let told = format!("{core:?}");
    let digits = told.split_once("face_attempt: ").map_or("0", |(_, rest)| rest.split(',').next().unwrap());
    digits.trim().parse().unwrap()
}

/// One of each kind of thing that can happen, with the name it has in diagram and table.
pub fn alphabet(core: &Reception) -> Vec<(&'static str, Event)> {
    let intent = |intent| Event::Intent(CARD, core.version(), intent);
    let read = |facts| Event::CardRead(CARD, Ok(facts));
    let not_valid = |reason| Reply::Answered { verdict: Verdict::Ineligible(reason), unmapped_characters: false };
    let first = |reason| Event::Replied(CARD, Ask::First, not_valid(reason));
    let eligible = Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: false };
    let refused = Reply::Rejected(Rejection { code: "x".into() });
    let consent = |question| intent(Intent::Consent { question, agreed: true });
    let plain = || facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::Valid);
    let face_locked = |pin| CardFacts { pin, face_failures: FACE_FAILURES_MAX, ..plain() };
    let staff = || StaffName::new("staff").unwrap();
    let judged = |outcome| Event::FaceJudged(CARD, attempt(core), outcome);
    vec![
        ("card placed", Event::CardPlaced(CARD)),
        ("card removed", Event::CardRemoved),
        ("reader fault", Event::ReaderFault),
        ("read", read(plain())),
        ("read: PIN locked", read(facts(PinMethod::Locked, FaceMethod::Ready, CertificateAge::Valid))),
        ("read: no PIN", read(facts(PinMethod::Absent, FaceMethod::Ready, CertificateAge::ExpiresSoon))),
        ("read: face locked", read(face_locked(PinMethod::Tries(3)))),
        ("read: PIN and face locked", read(face_locked(PinMethod::Locked))),
        ("read: photo unusable", read(facts(PinMethod::Tries(1), FaceMethod::PhotoUnusable, CertificateAge::Valid))),
        ("read: neither face nor PIN", read(facts(PinMethod::Absent, FaceMethod::Off, CertificateAge::Valid))),
        ("read: in grace", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::Grace))),
        ("read: expired", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::Expired))),
        ("read: not valid yet", read(facts(PinMethod::Tries(3), FaceMethod::Ready, CertificateAge::NotYetValid))),
        ("read: recorded just before", read(CardFacts { recorded_before: Some((CARD, Shown::Confirmed)), ..plain() })),
        ("not read", Event::CardRead(CARD, Err(ReadFailure::Unreadable))),
        ("not a card", Event::CardRead(CARD, Err(ReadFailure::NotACard))),
        ("another card", Event::CardRead(CARD, Err(ReadFailure::NotMyNumberCard))),
        ("untrusted card", Event::CardRead(CARD, Err(ReadFailure::Untrusted))),
        ("reader fails at reading", Event::CardRead(CARD, Err(ReadFailure::ReaderFault))),
        ("face", intent(Intent::ChooseFace)),
        ("PIN", intent(Intent::ChoosePin)),
        ("pad drawn", Event::PadDrawn(CARD, Pad::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap())),
        ("PIN typed", intent(Intent::Pin(PinKeys::new(&[1, 2, 3, 4]).unwrap()))),
        ("call staff", intent(Intent::CallStaff)),
        ("PIN forgotten", intent(Intent::Forgotten)),
        ("by a companion", intent(Intent::ByProxy)),
        ("by the patient", intent(Intent::ByPatient)),
        ("staff assist", Event::StaffAssists(CARD, staff())),
        ("staff leave", Event::StaffLeave(CARD)),
        ("back", intent(Intent::Back)),
        ("cancel", intent(Intent::Cancel)),
        ("acknowledge", intent(Intent::Acknowledge)),
        ("match", judged(FaceOutcome::Match { score: 0.7 })),
        ("uncertain", judged(FaceOutcome::Uncertain { score: 0.4 })),
        ("no match", judged(FaceOutcome::NoMatch { score: 0.1 })),
        ("no face", judged(FaceOutcome::NoFace)),
        ("face fault", judged(FaceOutcome::Fault)),
        ("PIN right", Event::PinChecked(CARD, PinOutcome::Verified)),
        ("PIN wrong", Event::PinChecked(CARD, PinOutcome::Wrong { tries_left: 2 })),
        ("PIN locked", Event::PinChecked(CARD, PinOutcome::Locked)),
        ("PIN fault", Event::PinChecked(CARD, PinOutcome::Fault)),
        ("same person", Event::StaffDecided(CARD, StaffDecision::SamePerson, staff())),
        ("not same person", Event::StaffDecided(CARD, StaffDecision::NotSamePerson, staff())),
        ("T1 written", Event::Opened(CARD, Ok(()))),
        ("T1 failed", Event::Opened(CARD, Err(NotWritten))),
        ("eligible", Event::Replied(CARD, Ask::First, eligible.clone())),
        ("invalid", first(Reason::InsuranceInvalid(None))),
        ("new insurance", first(Reason::NewInsurance)),
        ("no insurance found", first(Reason::NoInsuranceFound)),
        ("several insurances", first(Reason::SeveralInsurances)),
        ("not registered", first(Reason::CardNotRegistered)),
        ("revoked", first(Reason::CertificateRevoked)),
        ("unknown code", first(Reason::UnknownCode("9".into()))),
        ("refused", Event::Replied(CARD, Ask::First, refused.clone())),
        ("register", intent(Intent::Register(true))),
        ("do not register", intent(Intent::Register(false))),
        ("registration written", Event::RegistrationWritten(CARD, Ok(()))),
        ("registration failed", Event::RegistrationWritten(CARD, Err(NotWritten))),
        ("registered, eligible", Event::Replied(CARD, Ask::FollowUp, eligible)),
        ("registered, ineligible", Event::Replied(CARD, Ask::FollowUp, not_valid(Reason::NoInsuranceFound))),
        ("still not registered", Event::Replied(CARD, Ask::FollowUp, not_valid(Reason::CardNotRegistered))),
        ("registration refused", Event::Replied(CARD, Ask::FollowUp, refused)),
        ("line down", Event::LineDown(CARD)),
        ("consent 1", consent(Question::TreatmentAndMedication)),
        ("consent 2", consent(Question::Checkups)),
        ("T2 written", Event::Recorded(CARD, Ok(()))),
        ("T2 failed", Event::Recorded(CARD, Err(NotWritten))),
        ("deadline", Event::Tick),
    ]
}

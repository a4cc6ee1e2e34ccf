//! 本人確認: face ⇄ PIN ⇄ staff, in any order, until one of them says who stands here.

use super::event::{
    CardFacts, CertificateAge, Effect, Event, FACE_FAILURES_MAX, FaceCount, FaceMethod, FaceOutcome, Intent, PinMethod,
    PinOutcome, StaffDecision,
};
use super::help::{self, Help};
use super::screen::{Choose, ChooseNotice, Ending, PinScreen, Renewal, Screen, StaffReason};
use super::timing::Timing;
use crate::clock::{Mono, Now};
use crate::ids::ReceptionId;
use crate::pin::Pad;
use crate::record::{StaffLook, StaffName, Verification};

/// One verification. Failing one way keeps the others open; the flow never starts over.
#[derive(Debug, Clone, PartialEq)]
pub struct Verify {
    reception: ReceptionId,
    /// Attempts that may still fail before the face is left to the staff for the rest of this reception.
    face_failures_left: u32,
    face: FaceMethod,
    /// Attempts of this card that failed one after the other, those of earlier receptions included.
    face_failures: u32,
    pin: PinMethod,
    certificate: CertificateAge,
    face_attempt: u32,
    stage: Stage,
    deadline: Mono,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Choose(Option<ChooseNotice>),
    Face,
    /// `checking`: a PIN is with the card, and what it proves if it is right. Who helps afterwards did not type it.
    Pin {
        pad: Option<Pad>,
        checking: Option<Verification>,
        wrong: bool,
    },
    Staff(StaffReason),
}

/// What verification led to.
pub enum Outcome {
    /// The person is the holder of the card.
    Verified(Verification),
    /// The reception ends here.
    End(Ending),
}

impl Verify {
    pub(super) fn start(reception: ReceptionId, facts: &CardFacts, now: Now, timing: &Timing) -> Self {
        let mut verify = Self {
            reception,
            face: if facts.face_failures >= FACE_FAILURES_MAX { FaceMethod::Locked } else { facts.face },
            face_failures: facts.face_failures,
            pin: facts.pin,
            certificate: facts.certificate,
            face_attempt: 0,
            face_failures_left: timing.face_attempts_max,
            stage: Stage::Choose(None),
            deadline: now.mono.after(timing.choose),
        };
        if !verify.another_way() {
            verify.ask_staff(verify.no_other_way(), now, timing);
        } else {
            verify.stage = Stage::Choose(verify.opening_notice());
        }
        verify
    }

    /// Why a way that most people know is missing from the choice.
    fn opening_notice(&self) -> Option<ChooseNotice> {
        match (self.pin, self.face) {
            (PinMethod::Locked, _) => Some(ChooseNotice::PinLocked),
            (_, FaceMethod::Locked) => Some(ChooseNotice::FaceLocked),
            (_, FaceMethod::PhotoUnusable) => Some(ChooseNotice::PhotoUnusable),
            (PinMethod::Absent, _) => Some(ChooseNotice::Pinless),
            (PinMethod::Tries(_), _) => None,
        }
    }

    /// Why neither face nor PIN is left: what the patient, and who helps, can do about it differs.
    fn no_other_way(&self) -> StaffReason {
        match self.pin {
            PinMethod::Locked => StaffReason::PinLocked,
            PinMethod::Absent => StaffReason::Pinless,
            PinMethod::Tries(_) => StaffReason::NoOtherWay,
        }
    }

    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    fn face_offered(&self) -> bool {
        self.face == FaceMethod::Ready && self.face_failures_left > 0
    }

    fn pin_offered(&self) -> bool {
        matches!(self.pin, PinMethod::Tries(1..))
    }

    /// Whether there is anything to choose.
    fn another_way(&self) -> bool {
        self.face_offered() || self.pin_offered()
    }

    fn tries_left(&self) -> u8 {
        match self.pin {
            PinMethod::Tries(tries) => tries,
            PinMethod::Locked | PinMethod::Absent => 0,
        }
    }

    /// Whether staff are wanted, and why.
    pub(super) fn staff_wanted(&self) -> Option<StaffReason> {
        match self.stage {
            Stage::Staff(reason) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn screen(&self, help: Option<&Help>) -> Screen {
        match &self.stage {
            Stage::Choose(notice) => Screen::Choose(Choose {
                face: self.face_offered(),
                pin: self.pin_offered(),
                notice: *notice,
                renew: self.renewal(),
            }),
            Stage::Face => Screen::Face,
            Stage::Pin { pad, checking, wrong } => Screen::Pin(PinScreen {
                pad: if checking.is_some() { None } else { pad.clone() },
                tries_left: self.tries_left(),
                wrong: *wrong,
                helper: help.map(Help::shown),
            }),
            Stage::Staff(reason) => Screen::Staff { reason: *reason, back: self.another_way(), renew: self.renewal() },
        }
    }

    fn renewal(&self) -> Option<Renewal> {
        match self.certificate {
            CertificateAge::ExpiresSoon => Some(Renewal::Soon),
            CertificateAge::Grace => Some(Renewal::Grace),
            CertificateAge::Valid | CertificateAge::Expired | CertificateAge::NotYetValid => None,
        }
    }

    pub(super) fn on(
        &mut self,
        now: Now,
        event: &Event,
        help: Option<&Help>,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        let was_face = self.stage == Stage::Face;
        let outcome = self.decide(now, event, help, timing, effects);
        // Whichever way it came out that the holder is here: otherwise a face that is locked could never be used again.
        if self.face_failures > 0 && matches!(outcome, Some(Outcome::Verified(_))) {
            effects.push(Effect::CountFace(self.reception, FaceCount::Cleared));
        }
        if was_face && self.stage != Stage::Face {
            effects.push(Effect::StopFace(self.reception));
        }
        outcome
    }

    /// Verification is over, one way or another: no more frames.
    pub(super) fn leave(&self, effects: &mut Vec<Effect>) {
        if self.stage == Stage::Face {
            effects.push(Effect::StopFace(self.reception));
        }
    }

    fn decide(
        &mut self,
        now: Now,
        event: &Event,
        help: Option<&Help>,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        match event {
            Event::Intent(_, _, intent) => self.intent(now, intent, help, timing, effects),
            // 目視確認 may be started by staff at any time, and holds for this reception alone: the next one begins as ever.
            Event::StaffDecided(_, StaffDecision::SamePerson, by) => Some(Outcome::Verified(self.looked(by))),
            Event::StaffDecided(_, StaffDecision::NotSamePerson, _) => Some(Outcome::End(Ending::NotSamePerson)),
            Event::FaceJudged(_, attempt, judged) if self.stage == Stage::Face && *attempt == self.face_attempt => {
                self.face_judged(now, *judged, help, timing, effects)
            }
            Event::PadDrawn(_, drawn) => {
                if let Stage::Pin { pad: pad @ None, checking: None, .. } = &mut self.stage {
                    *pad = Some(drawn.clone());
                }
                None
            }
            Event::PinChecked(_, checked) => {
                let Stage::Pin { checking: Some(proven), .. } = &self.stage else { return None };
                let proven = proven.clone();
                self.pin_checked(now, checked, proven, timing, effects)
            }
            Event::Tick if now.mono >= self.deadline => self.timed_out(now, timing),
            _ => None,
        }
    }

    fn looked(&self, by: &StaffName) -> Verification {
        let why = self.staff_wanted().unwrap_or(StaffReason::OwnAccord);
        Verification::by_look(StaffLook { by: by.clone(), why })
    }

    fn intent(
        &mut self,
        now: Now,
        intent: &Intent,
        help: Option<&Help>,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        // A PIN that is with the card right now must be heard out: its outcome changes the tries that are left.
        if matches!(self.stage, Stage::Pin { checking: Some(_), .. }) {
            return None;
        }
        match intent {
            Intent::ChooseFace if self.face_offered() && self.stage != Stage::Face => {
                self.face_attempt += 1;
                self.enter(Stage::Face, now, timing.face);
                effects.push(Effect::StartFace(self.reception, self.face_attempt));
            }
            Intent::ChoosePin if self.pin_offered() && !matches!(self.stage, Stage::Pin { .. }) => {
                self.enter_pin(false, now, timing, effects);
            }
            Intent::CallStaff => self.ask_staff(StaffReason::Asked, now, timing),
            Intent::Forgotten if matches!(self.stage, Stage::Pin { .. }) => {
                self.without_pin(ChooseNotice::PinForgotten, StaffReason::PinForgotten, now, timing);
            }
            Intent::Back if self.another_way() => {
                self.enter(Stage::Choose(None), now, timing.choose);
            }
            Intent::Pin(keys) => {
                if let Stage::Pin { pad: pad @ Some(_), checking, .. } = &mut self.stage
                    && let Some(pad) = pad.take()
                {
                    let proves = checking.insert(help::pin(help));
                    effects.push(Effect::VerifyPin(self.reception, pad.read(keys), proves.method));
                    self.deadline = now.mono.after(timing.pin_check);
                }
            }
            _ => {}
        }
        None
    }

    fn face_judged(
        &mut self,
        now: Now,
        judged: FaceOutcome,
        help: Option<&Help>,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        match judged {
            FaceOutcome::Match { score } => {
                return Some(Outcome::Verified(help::assisted(Verification::by_face(score), help)));
            }
            FaceOutcome::Uncertain { .. } => {
                self.face_failures_left = self.face_failures_left.saturating_sub(1);
                self.after_face(ChooseNotice::FaceUncertain, StaffReason::FaceUncertain, now, timing);
            }
            FaceOutcome::NoMatch { .. } => {
                effects.push(Effect::CountFace(self.reception, FaceCount::Failed));
                self.face_failures = self.face_failures.saturating_add(1);
                self.face_failures_left = self.face_failures_left.saturating_sub(1);
                let notice = if self.face_failures >= FACE_FAILURES_MAX {
                    self.face = FaceMethod::Locked;
                    ChooseNotice::FaceLocked
                } else {
                    ChooseNotice::FaceNotMatched
                };
                self.after_face(notice, StaffReason::FaceNotMatched, now, timing);
            }
            FaceOutcome::NoFace => self.enter(Stage::Choose(Some(ChooseNotice::NoFaceSeen)), now, timing.choose),
            FaceOutcome::Fault => self.enter(Stage::Choose(Some(ChooseNotice::FaceFault)), now, timing.choose),
        }
        None
    }

    fn pin_checked(
        &mut self,
        now: Now,
        checked: &PinOutcome,
        proven: Verification,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        match checked {
            PinOutcome::Verified => {
                return Some(Outcome::Verified(proven));
            }
            PinOutcome::Wrong { tries_left } if *tries_left > 0 => {
                self.pin = PinMethod::Tries(*tries_left);
                self.enter_pin(true, now, timing, effects);
            }
            PinOutcome::Wrong { .. } | PinOutcome::Locked => {
                self.pin = PinMethod::Locked;
                self.without_pin(ChooseNotice::PinLocked, StaffReason::PinLocked, now, timing);
            }
            PinOutcome::Fault => self.enter(Stage::Choose(Some(ChooseNotice::PinFault)), now, timing.choose),
        }
        None
    }

    /// On to another try or to the PIN, as the patient likes; to staff where nothing else is left.
    fn after_face(&mut self, notice: ChooseNotice, reason: StaffReason, now: Now, timing: &Timing) {
        if self.another_way() {
            self.enter(Stage::Choose(Some(notice)), now, timing.choose);
        } else {
            self.ask_staff(reason, now, timing);
        }
    }

    /// On to the face where it can be used, to staff otherwise.
    fn without_pin(&mut self, notice: ChooseNotice, reason: StaffReason, now: Now, timing: &Timing) {
        if self.face_offered() {
            self.enter(Stage::Choose(Some(notice)), now, timing.choose);
        } else {
            self.ask_staff(reason, now, timing);
        }
    }

    fn timed_out(&mut self, now: Now, timing: &Timing) -> Option<Outcome> {
        match &self.stage {
            Stage::Face => {
                self.enter(Stage::Choose(Some(ChooseNotice::NoFaceSeen)), now, timing.choose);
                None
            }
            Stage::Pin { checking: Some(_), .. } => {
                self.enter(Stage::Choose(Some(ChooseNotice::PinFault)), now, timing.choose);
                None
            }
            Stage::Choose(_) | Stage::Pin { .. } => Some(Outcome::End(Ending::TimedOut)),
            // It was not the patient who did nothing.
            Stage::Staff(_) => Some(Outcome::End(Ending::StaffDidNotCome)),
        }
    }

    fn enter_pin(&mut self, wrong: bool, now: Now, timing: &Timing, effects: &mut Vec<Effect>) {
        self.enter(Stage::Pin { pad: None, checking: None, wrong }, now, timing.pin);
        effects.push(Effect::DrawPad(self.reception));
    }

    fn ask_staff(&mut self, reason: StaffReason, now: Now, timing: &Timing) {
        self.enter(Stage::Staff(reason), now, timing.staff);
    }

    fn enter(&mut self, stage: Stage, now: Now, lasts: std::time::Duration) {
        self.stage = stage;
        self.deadline = now.mono.after(lasts);
    }
}

//! 資格確認: T1, then the answer, or no answer in time. A card that is not registered as an insurance card yet is registered here
//! (初回登録) if the patient wants it, and asked about again.

use super::event::{Ask, Effect, Event, Intent};
use super::help::Help;
use super::screen::{Ending, Screen};
use super::timing::Timing;
use crate::answer::{Reason, Verdict};
use crate::clock::{Mono, Now};
use crate::ids::ReceptionId;
use crate::record::{Method, Reply, Shown, Verification};

/// One question to the central system. It always goes through the outbox; here is only the waiting.
#[derive(Debug, Clone, PartialEq)]
pub struct Eligibility {
    reception: ReceptionId,
    /// 初回登録 needs face or PIN; a staff look is not enough.
    may_register: bool,
    /// Which answer is waited for.
    ask: Ask,
    stage: Stage,
    deadline: Mono,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// T1 is on its way to the disk. An answer may overtake the news of the commit.
    Opening,
    Asking,
    /// The card is not registered: the patient decides.
    OfferingRegistration,
    /// The request for it is on its way to the disk.
    Registering,
    /// The patient reads why not.
    Informing(Reason),
}

/// What the question led to.
pub enum Outcome {
    /// Go on with this.
    Told(Shown),
    /// Nothing durable could be written.
    End(Ending),
}

impl Eligibility {
    pub(super) fn start(
        reception: ReceptionId,
        verification: Verification,
        now: Now,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let may_register = matches!(verification.method, Method::Face | Method::Pin | Method::PinByProxy);
        effects.push(Effect::Open { reception, verification });
        let deadline = now.mono.after(timing.write);
        Self { reception, may_register, ask: Ask::First, stage: Stage::Opening, deadline }
    }

    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    pub(super) fn screen(&self, help: Option<&Help>) -> Screen {
        match &self.stage {
            Stage::Opening | Stage::Asking if self.ask == Ask::First => Screen::Asking,
            Stage::Opening | Stage::Asking | Stage::Registering => Screen::Registering,
            Stage::OfferingRegistration => Screen::Register { helper: help.map(Help::shown) },
            Stage::Informing(reason) => Screen::Ineligible(reason.clone()),
        }
    }

    /// The reason that is being told.
    pub(super) fn informing(&self) -> Option<&Reason> {
        match &self.stage {
            Stage::Informing(reason) => Some(reason),
            Stage::Opening | Stage::Asking | Stage::OfferingRegistration | Stage::Registering => None,
        }
    }

    /// What the patient has on the screen, where that is a verdict: whoever takes the card or presses 取消 then has been told.
    pub(super) fn verdict(&self) -> Option<Shown> {
        match &self.stage {
            Stage::Informing(reason) => Some(Shown::Ineligible(reason.clone())),
            Stage::OfferingRegistration => Some(Shown::Ineligible(Reason::CardNotRegistered)),
            Stage::Opening | Stage::Asking | Stage::Registering => None,
        }
    }

    pub(super) fn on(
        &mut self,
        now: Now,
        event: &Event,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Option<Outcome> {
        let waiting = matches!(self.stage, Stage::Opening | Stage::Asking | Stage::Registering);
        match event {
            Event::Opened(_, Ok(())) if self.stage == Stage::Opening => {
                self.stage = Stage::Asking;
                self.deadline = now.mono.after(timing.answer);
                None
            }
            Event::Opened(_, Err(_)) if self.stage == Stage::Opening => Some(Outcome::End(Ending::NotWritten)),
            Event::RegistrationWritten(_, Ok(())) if self.stage == Stage::Registering => {
                self.stage = Stage::Asking;
                self.deadline = now.mono.after(timing.answer);
                None
            }
            // The reception itself is on disk; only the wish to register is not, and the desk can see to that.
            Event::RegistrationWritten(_, Err(_)) if self.stage == Stage::Registering => {
                self.inform(Reason::CardNotRegistered, now, timing);
                None
            }
            Event::Replied(_, ask, reply) if waiting && *ask == self.ask => self.replied(now, reply, timing),
            Event::Intent(_, _, Intent::Register(true)) if self.stage == Stage::OfferingRegistration => {
                self.ask = Ask::FollowUp;
                self.stage = Stage::Registering;
                self.deadline = now.mono.after(timing.write);
                effects.push(Effect::Register(self.reception));
                None
            }
            Event::Intent(_, _, Intent::Register(false)) if self.stage == Stage::OfferingRegistration => {
                self.inform(Reason::CardNotRegistered, now, timing);
                None
            }
            // A patient who waits for help is given the time until it comes, and then time again.
            Event::Intent(_, _, Intent::CallStaff) if self.stage == Stage::OfferingRegistration => {
                self.deadline = now.mono.after(timing.staff);
                None
            }
            Event::StaffAssists(..) if self.stage == Stage::OfferingRegistration => {
                self.deadline = now.mono.after(timing.register);
                None
            }
            Event::LineDown(_) if self.stage == Stage::Asking => {
                self.deadline = self.deadline.min(now.mono.after(timing.answer_line_down));
                None
            }
            Event::Intent(_, _, Intent::Acknowledge) => self.told(),
            Event::Tick if now.mono >= self.deadline => match &self.stage {
                Stage::Opening => Some(Outcome::End(Ending::NotWritten)),
                // Whether the wish to register reaches the disk is unknown; the reception has.
                Stage::Asking | Stage::Registering => Some(Outcome::Told(Shown::Provisional)),
                // Nobody decided: nothing is registered.
                Stage::OfferingRegistration => Some(Outcome::Told(Shown::Ineligible(Reason::CardNotRegistered))),
                Stage::Informing(_) => self.told(),
            },
            _ => None,
        }
    }

    fn replied(&mut self, now: Now, reply: &Reply, timing: &Timing) -> Option<Outcome> {
        match reply {
            Reply::Answered { verdict: Verdict::Eligible, .. } => return Some(Outcome::Told(Shown::Confirmed)),
            Reply::Answered { verdict: Verdict::Ineligible(Reason::CardNotRegistered), .. }
                if self.may_register && self.ask == Ask::First =>
            {
                self.stage = Stage::OfferingRegistration;
                self.deadline = now.mono.after(timing.register);
            }
            Reply::Answered { verdict: Verdict::Ineligible(reason), .. } => self.inform(reason.clone(), now, timing),
            // The request itself was refused: staff will see to it; the patient is received all the same.
            Reply::Rejected(_) => return Some(Outcome::Told(Shown::Provisional)),
        }
        None
    }

    fn inform(&mut self, reason: Reason, now: Now, timing: &Timing) {
        self.stage = Stage::Informing(reason);
        self.deadline = now.mono.after(timing.inform);
    }

    fn told(&self) -> Option<Outcome> {
        self.informing().map(|reason| Outcome::Told(Shown::Ineligible(reason.clone())))
    }
}

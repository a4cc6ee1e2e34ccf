//! 資格確認: T1, then the answer, or no answer in time.

use super::event::{Effect, Event, Intent};
use super::screen::{Ending, Screen};
use super::timing::Timing;
use crate::answer::{Reason, Verdict};
use crate::clock::{Mono, Now};
use crate::ids::ReceptionId;
use crate::record::{Method, Reply, Shown};

/// One question to the central system. It always goes through the outbox; here is only the waiting.
#[derive(Debug, Clone, PartialEq)]
pub struct Eligibility {
    stage: Stage,
    deadline: Mono,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// T1 is on its way to the disk. An answer may overtake the news of the commit.
    Opening,
    Asking,
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
        method: Method,
        face_score: Option<f32>,
        now: Now,
        timing: &Timing,
        effects: &mut Vec<Effect>,
    ) -> Self {
        effects.push(Effect::Open { reception, method, face_score });
        Self { stage: Stage::Opening, deadline: now.mono.after(timing.write) }
    }

    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    pub(super) fn screen(&self) -> Screen {
        match &self.stage {
            Stage::Opening | Stage::Asking => Screen::Asking,
            Stage::Informing(reason) => Screen::Ineligible(reason.clone()),
        }
    }

    /// The reason that is being told.
    pub(super) fn informing(&self) -> Option<&Reason> {
        match &self.stage {
            Stage::Informing(reason) => Some(reason),
            Stage::Opening | Stage::Asking => None,
        }
    }

    pub(super) fn on(&mut self, now: Now, event: &Event, timing: &Timing) -> Option<Outcome> {
        let waiting = matches!(self.stage, Stage::Opening | Stage::Asking);
        match event {
            Event::Opened(_, Ok(())) if self.stage == Stage::Opening => {
                self.stage = Stage::Asking;
                self.deadline = now.mono.after(timing.answer);
                None
            }
            Event::Opened(_, Err(_)) if self.stage == Stage::Opening => Some(Outcome::End(Ending::NotWritten)),
            Event::Replied(_, reply) if waiting => match reply {
                Reply::Answered { verdict: Verdict::Eligible, .. } => Some(Outcome::Told(Shown::Confirmed)),
                Reply::Answered { verdict: Verdict::Ineligible(reason), .. } => {
                    self.stage = Stage::Informing(reason.clone());
                    self.deadline = now.mono.after(timing.inform);
                    None
                }
                // The request itself was refused: staff will see to it; the patient is received all the same.
                Reply::Rejected(_) => Some(Outcome::Told(Shown::Provisional)),
            },
            Event::LineDown(_) if self.stage == Stage::Asking => {
                self.deadline = self.deadline.min(now.mono.after(timing.answer_line_down));
                None
            }
            Event::Intent(_, _, Intent::Acknowledge) => self.told(),
            Event::Tick if now.mono >= self.deadline => match &self.stage {
                Stage::Opening => Some(Outcome::End(Ending::NotWritten)),
                Stage::Asking => Some(Outcome::Told(Shown::Provisional)),
                Stage::Informing(_) => self.told(),
            },
            _ => None,
        }
    }

    fn told(&self) -> Option<Outcome> {
        self.informing().map(|reason| Outcome::Told(Shown::Ineligible(reason.clone())))
    }
}

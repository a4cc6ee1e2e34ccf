//! 同意の確認: one question after the other.

use super::event::{Event, Intent};
use super::screen::Screen;
use super::timing::Timing;
use crate::answer::Verdict;
use crate::clock::{Mono, Now};
use crate::consent::{Consent, ConsentKind};
use crate::record::{Reply, Shown};

/// The consent questions of one reception.
#[derive(Debug, Clone, PartialEq)]
pub struct Consenting {
    shown: Shown,
    questions: Vec<ConsentKind>,
    given: Vec<Consent>,
    deadline: Mono,
}

/// All questions are answered, or nobody answered them: then the rest counts as not agreed.
pub struct Outcome {
    /// What the patient is told at the end.
    pub shown: Shown,
    /// One per question.
    pub consents: Vec<Consent>,
}

impl Consenting {
    /// `None` when there is nothing to ask.
    pub(super) fn start(shown: Shown, questions: &[ConsentKind], now: Now, timing: &Timing) -> Option<Self> {
        if questions.is_empty() {
            return None;
        }
        let deadline = now.mono.after(timing.consent);
        Some(Self { shown, questions: questions.to_vec(), given: Vec::new(), deadline })
    }

    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    fn question(&self) -> Option<ConsentKind> {
        self.questions.get(self.given.len()).copied()
    }

    pub(super) fn screen(&self) -> Screen {
        match self.question() {
            Some(kind) => Screen::Consent {
                kind,
                number: self.given.len() + 1,
                of: self.questions.len(),
                provisional: self.shown == Shown::Provisional,
            },
            None => Screen::Recording,
        }
    }

    pub(super) fn on(&mut self, now: Now, event: &Event, timing: &Timing) -> Option<Outcome> {
        match event {
            Event::Intent(_, _, Intent::Consent { kind, agreed }) if self.question() == Some(*kind) => {
                self.given.push(Consent { kind: *kind, agreed: *agreed, given: now.stamp });
                self.deadline = now.mono.after(timing.consent);
            }
            Event::Tick if now.mono >= self.deadline => {
                while let Some(kind) = self.question() {
                    self.given.push(Consent { kind, agreed: false, given: now.stamp });
                }
            }
            // The verdict came while the patient was answering: say the better thing at the end.
            Event::Replied(_, Reply::Answered { verdict: Verdict::Eligible, .. })
                if self.shown == Shown::Provisional =>
            {
                self.shown = Shown::Confirmed;
            }
            _ => {}
        }
        self.question().is_none().then(|| Outcome { shown: self.shown.clone(), consents: self.given.clone() })
    }
}

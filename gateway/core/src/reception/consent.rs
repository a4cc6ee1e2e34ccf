//! 同意の確認: one question after the other.

use super::event::{Event, Intent};
use super::help::{self, Help};
use super::screen::Screen;
use super::timing::Timing;
use crate::answer::Verdict;
use crate::clock::{Mono, Now};
use crate::consent::{Consent, ConsentKind, GivenBy, Question};
use crate::record::{Reply, Shown};

/// The consent questions of one reception.
#[derive(Debug, Clone, PartialEq)]
pub struct Consenting {
    shown: Shown,
    questions: Vec<Question>,
    /// Questions that have their answer.
    answered: usize,
    given: Vec<Consent>,
    deadline: Mono,
}

/// All questions are answered, or nobody answered them: then the rest counts as not agreed.
pub struct Outcome {
    /// What the patient is told at the end.
    pub shown: Shown,
    /// One per flag of each question.
    pub consents: Vec<Consent>,
}

impl Consenting {
    /// `None` when there is nothing to ask.
    pub(super) fn start(shown: Shown, questions: Vec<Question>, now: Now, timing: &Timing) -> Option<Self> {
        if questions.is_empty() {
            return None;
        }
        let deadline = now.mono.after(timing.consent);
        Some(Self { shown, questions, answered: 0, given: Vec::new(), deadline })
    }

    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    fn question(&self) -> Option<Question> {
        self.questions.get(self.answered).copied()
    }

    fn answer(&mut self, question: Question, consent: impl Fn(ConsentKind) -> Consent) {
        self.answered += 1;
        self.given.extend(question.flags().iter().map(|kind| consent(*kind)));
    }

    /// The verdict that was told before the questions, if it was not a good one: it stands, whether or not they are answered.
    pub(super) fn verdict(&self) -> Option<Shown> {
        matches!(self.shown, Shown::Ineligible(_)).then(|| self.shown.clone())
    }

    pub(super) fn screen(&self, help: Option<&Help>) -> Screen {
        match self.question() {
            Some(question) => Screen::Consent {
                question,
                number: self.answered + 1,
                of: self.questions.len(),
                provisional: self.shown == Shown::Provisional,
                helper: help.map(Help::shown),
            },
            None => Screen::Recording,
        }
    }

    pub(super) fn on(&mut self, now: Now, event: &Event, help: Option<&Help>, timing: &Timing) -> Option<Outcome> {
        match event {
            Event::Intent(_, _, Intent::Consent { question, agreed }) if self.question() == Some(*question) => {
                self.answer(*question, |kind| help::consent(kind, *agreed, now.stamp, help));
                self.deadline = now.mono.after(timing.consent);
            }
            // A patient who waits for help is given the time until it comes, and then time again.
            Event::Intent(_, _, Intent::CallStaff) => self.deadline = now.mono.after(timing.staff),
            Event::StaffAssists(..) => self.deadline = now.mono.after(timing.consent),
            Event::Tick if now.mono >= self.deadline => {
                while let Some(question) = self.question() {
                    self.answer(question, |kind| Consent::new(kind, false, now.stamp, GivenBy::NotAnswered));
                }
                // 限度額 needs no consent with the card: a question left unanswered takes nothing away.
                self.given.retain(|one| one.kind != ConsentKind::LimitCertificate || one.by != GivenBy::NotAnswered);
            }
            // The verdict came while the patient was answering: say the better thing at the end.
            Event::Replied(_, _, Reply::Answered { verdict: Verdict::Eligible, .. })
                if self.shown == Shown::Provisional =>
            {
                self.shown = Shown::Confirmed;
            }
            _ => {}
        }
        self.question().is_none().then(|| Outcome { shown: self.shown.clone(), consents: self.given.clone() })
    }
}

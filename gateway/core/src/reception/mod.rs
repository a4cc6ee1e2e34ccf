//! One reader's reception: a small parent over the submachines `read`, `verify`, `eligibility`, `consent` and `close`.
//!
//! The parent knows what is true everywhere: the card can go, the patient can cancel, the reader can fail, time can pass, and an
//! event of an older reception must never touch this one. Each submachine knows its own screens and deadlines and hands
//! back an outcome.

mod close;
mod consent;
mod eligibility;
mod event;
mod help;
mod read;
mod screen;
mod timing;
mod verify;

pub use event::{
    Ask, CardFacts, CertificateAge, Effect, Event, FACE_FAILURES_MAX, FaceCount, FaceMethod, FaceOutcome, Intent,
    NotWritten, PinMethod, PinOutcome, ReadFailure, ScreenVersion, StaffDecision,
};
pub use screen::{Choose, ChooseNotice, Ending, Helper, PinScreen, Renewal, Screen, StaffReason};
pub use timing::Timing;

use crate::answer::Reason;
use crate::clock::{Mono, Now};
use crate::consent::Question;
use crate::ids::ReceptionId;
use crate::record::{Abandonment, Shown};
use close::Close;
use consent::Consenting;
use eligibility::Eligibility;
use help::Help;
use read::Read;
use verify::Verify;

/// What a site decides about receptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Deadlines.
    pub timing: Timing,
    /// Questions, in the order they are asked.
    pub questions: Vec<Question>,
}

/// The reception core of one reader.
#[derive(Debug, Clone)]
pub struct Reception {
    rules: Rules,
    phase: Phase,
    version: ScreenVersion,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// No card, nothing to say.
    Idle,
    /// A card is in (or T2 is under way) and the reception has not ended.
    Active(Active),
    /// The reception has ended, its card is still in. Only removal leaves.
    Leaving { reception: ReceptionId, ending: Ending, reminder: bool, deadline: Mono },
    /// The reception has ended without its card; the patient may still be reading why.
    Notice { ending: Ending, deadline: Mono },
}

#[derive(Debug, Clone, PartialEq)]
struct Active {
    reception: ReceptionId,
    /// Expired within the last three months: eligibility only, so no consent questions.
    eligibility_only: bool,
    /// T1 was asked for, so an early end must be written down.
    opened: bool,
    /// Who does the rest of this reception for the patient.
    help: Option<Help>,
    step: Step,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Read(Read),
    Verify(Verify),
    Eligibility(Eligibility),
    Consent(Consenting),
    Close(Close),
}

/// Something at this reader that staff should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attention {
    /// 目視確認 is wanted.
    StaffLook(StaffReason),
    /// The patient wants help with a question on the screen.
    HelpWanted,
    /// The patient is being told that the insurance is not valid.
    Ineligible(Reason),
    /// The card has been left in the reader.
    LeftBehind,
    /// The reception ended in a way that the desk must see to.
    Ended(Ending),
}

impl Reception {
    /// An idle reader.
    pub fn new(rules: Rules) -> Self {
        Self { rules, phase: Phase::Idle, version: 0 }
    }

    /// The reception whose events count now.
    pub fn current(&self) -> Option<ReceptionId> {
        match &self.phase {
            Phase::Active(active) => Some(active.reception),
            Phase::Leaving { reception, .. } => Some(*reception),
            Phase::Idle | Phase::Notice { .. } => None,
        }
    }

    /// Whether a patient is in the middle of something.
    pub fn busy(&self) -> bool {
        matches!(self.phase, Phase::Active(_))
    }

    /// Version of the present screen; grows with every change of it.
    pub fn version(&self) -> ScreenVersion {
        self.version
    }

    /// When a `Tick` is wanted at the latest. `None` only while idle.
    pub fn deadline(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Active(active) => Some(match &active.step {
                Step::Read(read) => read.deadline,
                Step::Verify(verify) => verify.deadline(),
                Step::Eligibility(eligibility) => eligibility.deadline(),
                Step::Consent(consenting) => consenting.deadline(),
                Step::Close(close) => close.deadline(),
            }),
            Phase::Leaving { deadline, .. } | Phase::Notice { deadline, .. } => Some(*deadline),
        }
    }

    /// What the patient sees.
    pub fn screen(&self) -> Screen {
        match &self.phase {
            Phase::Idle => Screen::Idle,
            Phase::Active(active) => match &active.step {
                Step::Read(_) => Screen::Reading,
                Step::Verify(verify) => verify.screen(active.help.as_ref()),
                Step::Eligibility(eligibility) => eligibility.screen(active.help.as_ref()),
                Step::Consent(consenting) => consenting.screen(active.help.as_ref()),
                Step::Close(_) => Screen::Recording,
            },
            Phase::Leaving { ending, reminder, .. } => Screen::TakeCard { ending: ending.clone(), reminder: *reminder },
            Phase::Notice { ending, .. } => Screen::Notice(ending.clone()),
        }
    }

    /// Who works the screen for the patient.
    pub fn helper(&self) -> Option<Helper> {
        match &self.phase {
            Phase::Active(active) => active.help.as_ref().map(Help::shown),
            Phase::Idle | Phase::Leaving { .. } | Phase::Notice { .. } => None,
        }
    }

    /// What staff should see.
    pub fn attention(&self) -> Option<Attention> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Active(active) => {
                let called = || (active.help == Some(Help::Called)).then_some(Attention::HelpWanted);
                match &active.step {
                    Step::Verify(verify) => verify.staff_wanted().map(Attention::StaffLook),
                    Step::Eligibility(eligibility) => {
                        eligibility.informing().cloned().map(Attention::Ineligible).or_else(called)
                    }
                    Step::Consent(_) => called(),
                    Step::Read(_) | Step::Close(_) => None,
                }
            }
            Phase::Leaving { reminder: true, .. } => Some(Attention::LeftBehind),
            Phase::Leaving { ending, .. } | Phase::Notice { ending, .. } => {
                (!ending.is_ordinary()).then(|| Attention::Ended(ending.clone()))
            }
        }
    }

    /// The one way in. Appends what is to be done, in order.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        let before = (self.current(), self.screen());
        self.dispatch(now, event, effects);
        if before != (self.current(), self.screen()) {
            self.version += 1;
        }
    }

    fn dispatch(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::CardPlaced(reception) => self.card_placed(now, reception, effects),
            Event::CardRemoved => self.card_removed(now, Taken::Yes, effects),
            Event::ReaderFault => self.reader_fault(now, effects),
            event if !self.concerns_us(&event) => {}
            Event::Intent(_, _, Intent::Cancel) => self.cancel(now, effects),
            event => match &mut self.phase {
                Phase::Idle => {}
                Phase::Active(active) => {
                    // While it is being found out who stands there, calling staff is a step of its own.
                    if !matches!((&active.step, &event), (Step::Verify(_), Event::Intent(_, _, Intent::CallStaff))) {
                        active.help = Help::after(active.help.take(), &event);
                    }
                    self.advance(now, &event, effects);
                }
                Phase::Leaving { reminder, deadline, .. } => {
                    if now.mono >= *deadline {
                        *reminder = true;
                        *deadline = now.mono.after(self.rules.timing.left_behind);
                    }
                }
                Phase::Notice { deadline, .. } => {
                    if now.mono >= *deadline {
                        self.phase = Phase::Idle;
                    }
                }
            },
        }
    }

    /// An event of an older reception, or an intent made for an older screen, is dropped.
    fn concerns_us(&self, event: &Event) -> bool {
        match (event, event.reception()) {
            (Event::Intent(_, version, _), _) if *version != self.version => false,
            (_, Some(of)) => self.current() == Some(of),
            (_, None) => true,
        }
    }

    fn card_placed(&mut self, now: Now, reception: ReceptionId, effects: &mut Vec<Effect>) {
        // A reader has one slot: a second card means that the removal of the first was never reported.
        let waiting_for_t2 =
            matches!(&self.phase, Phase::Active(Active { step: Step::Close(close), .. }) if close.card_gone);
        if !waiting_for_t2 {
            self.card_removed(now, Taken::Yes, effects);
        }
        let read = Read::start(now, &self.rules.timing);
        self.phase = Phase::Active(Active {
            reception,
            eligibility_only: false,
            opened: false,
            help: None,
            step: Step::Read(read),
        });
        effects.push(Effect::ReadCard(reception));
    }

    fn card_removed(&mut self, now: Now, taken: Taken, effects: &mut Vec<Effect>) {
        self.takes_as_told(now, effects);
        match &mut self.phase {
            Phase::Idle | Phase::Notice { .. } => {}
            Phase::Active(Active { reception, step: Step::Close(close), .. }) => {
                if !close.card_gone {
                    close.card_gone = true;
                    effects.push(Effect::ForgetCard(*reception));
                    if taken == Taken::Yes {
                        // Queued behind T2: marks it as taken if T2 makes it to the disk.
                        effects.push(Effect::Close(*reception));
                    }
                }
            }
            Phase::Active(_) => self.end(now, Ending::CardPulled, Card::Gone, effects),
            Phase::Leaving { reception, ending, .. } => {
                // T2 may have reached the disk after all when it was given up waiting for.
                if taken == Taken::Yes && matches!(ending, Ending::Done(_) | Ending::NotWritten) {
                    effects.push(Effect::Close(*reception));
                }
                self.phase = Phase::Idle;
            }
        }
    }

    fn reader_fault(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Active(active) if !matches!(active.step, Step::Close(_)) => {
                if self.takes_as_told(now, effects) {
                    return self.card_removed(now, Taken::Unknown, effects);
                }
                self.end(now, Ending::ReaderFault, Card::Gone, effects);
            }
            // Whether a finished reception's card was taken is unknown: it stays "not taken", so that the same card, still in when
            // the reader is back, resumes at "take your card" rather than becoming a second reception.
            _ => self.card_removed(now, Taken::Unknown, effects),
        }
    }

    fn cancel(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Phase::Active(active) = &self.phase
            && !matches!(active.step, Step::Close(_))
            && !self.takes_as_told(now, effects)
        {
            self.end(now, Ending::Cancelled, Card::In, effects);
        }
    }

    fn advance(&mut self, now: Now, event: &Event, effects: &mut Vec<Effect>) {
        let timing = self.rules.timing;
        let Phase::Active(active) = &mut self.phase else { return };
        let (reception, help) = (active.reception, active.help.as_ref());
        match &mut active.step {
            Step::Read(read) => match read.on(now, event) {
                None => {}
                Some(read::Outcome::Ready(facts)) => {
                    active.eligibility_only = facts.certificate == CertificateAge::Grace;
                    active.step = Step::Verify(Verify::start(reception, &facts, now, &timing));
                }
                Some(read::Outcome::Resume(recorded, shown)) => {
                    effects.push(Effect::ForgetCard(reception));
                    self.phase = Phase::Leaving {
                        reception: recorded,
                        ending: Ending::Done(shown),
                        reminder: false,
                        deadline: now.mono.after(timing.left_behind),
                    };
                }
                Some(read::Outcome::End(ending)) => {
                    note(reception, &ending, event, effects);
                    self.end(now, ending, Card::In, effects);
                }
            },
            Step::Verify(verify) => match verify.on(now, event, help, &timing, effects) {
                None => {}
                Some(verify::Outcome::Verified(verification)) => {
                    verify.leave(effects);
                    active.opened = true;
                    active.step = Step::Eligibility(Eligibility::start(reception, verification, now, &timing, effects));
                }
                Some(verify::Outcome::End(ending)) => {
                    note(reception, &ending, event, effects);
                    self.end(now, ending, Card::In, effects);
                }
            },
            Step::Eligibility(eligibility) => match eligibility.on(now, event, &timing, effects) {
                None => {}
                Some(eligibility::Outcome::Told(shown)) => self.told(now, shown, effects),
                Some(eligibility::Outcome::End(ending)) => self.end(now, ending, Card::In, effects),
            },
            Step::Consent(consenting) => {
                if let Some(consent::Outcome { shown, consents }) = consenting.on(now, event, help, &timing) {
                    active.step = Step::Close(Close::start(reception, shown, consents, now, &timing, effects));
                }
            }
            Step::Close(close) => {
                if let Some(ending) = close.on(now, event) {
                    let card = if close.card_gone { Card::Gone } else { Card::In };
                    self.end(now, ending, card, effects);
                }
            }
        }
    }

    /// The eligibility part is over: ask what there is to ask, then T2.
    fn told(&mut self, now: Now, shown: Shown, effects: &mut Vec<Effect>) {
        let timing = self.rules.timing;
        let Phase::Active(active) = &mut self.phase else { return };
        let asked =
            |question: &Question| shown.is_about_an_insured() && !(active.eligibility_only && question.is_medical());
        let questions: Vec<Question> = self.rules.questions.iter().copied().filter(asked).collect();
        active.step = match Consenting::start(shown.clone(), questions, now, &timing) {
            Some(consenting) => Step::Consent(consenting),
            None => Step::Close(Close::start(active.reception, shown, Vec::new(), now, &timing, effects)),
        };
    }

    /// A patient who leaves while the screen says that the insurance is not valid has been told, and goes to the desk as the screen says:
    /// T2 is written as if the button had been pressed, so that somebody there owns the case. Nothing more is asked. False where no
    /// such verdict has been told.
    fn takes_as_told(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        let Phase::Active(active) = &mut self.phase else { return false };
        let told = match &active.step {
            Step::Eligibility(eligibility) => eligibility.verdict(),
            Step::Consent(consenting) => consenting.verdict(),
            Step::Read(_) | Step::Verify(_) | Step::Close(_) => None,
        };
        let Some(shown) = told else { return false };
        let close = Close::start(active.reception, shown, Vec::new(), now, &self.rules.timing, effects);
        active.step = Step::Close(close);
        true
    }

    /// Ends the reception: writes down an early end, forgets the card, and leaves for "take your card" or a notice.
    fn end(&mut self, now: Now, ending: Ending, card: Card, effects: &mut Vec<Effect>) {
        let timing = self.rules.timing;
        let Phase::Active(active) = &self.phase else { return };
        let reception = active.reception;
        if let Step::Verify(verify) = &active.step {
            verify.leave(effects);
        }
        if active.opened
            && let Some(why) = ending.abandonment()
        {
            effects.push(Effect::Abandon(reception, why));
        }
        let already_forgotten = matches!(&active.step, Step::Close(close) if close.card_gone);
        if !already_forgotten {
            effects.push(Effect::ForgetCard(reception));
        }
        self.phase = match card {
            Card::In => {
                Phase::Leaving { reception, ending, reminder: false, deadline: now.mono.after(timing.left_behind) }
            }
            Card::Gone => Phase::Notice { ending, deadline: now.mono.after(timing.notice) },
        };
    }

    /// One word for the present state: for metrics, telemetry and the staff page.
    pub fn state_name(&self) -> &'static str {
        match &self.phase {
            Phase::Idle => "idle",
            Phase::Active(active) => match &active.step {
                Step::Read(_) => "reading",
                Step::Verify(verify) => match verify.screen(None) {
                    Screen::Face => "face",
                    Screen::Pin(_) => "pin",
                    Screen::Staff { .. } => "staff_look",
                    _ => "choosing",
                },
                Step::Eligibility(eligibility) => match eligibility.screen(None) {
                    Screen::Ineligible(_) => "informing",
                    Screen::Register { .. } => "offering_registration",
                    Screen::Registering => "registering",
                    _ => "asking",
                },
                Step::Consent(_) => "consent",
                Step::Close(_) => "recording",
            },
            Phase::Leaving { .. } => "take_card",
            Phase::Notice { .. } => "notice",
        }
    }
}

/// Before T1 there is no reception that could tell what became of the patient.
fn note(reception: ReceptionId, ending: &Ending, event: &Event, effects: &mut Vec<Effect>) {
    if Ending::WITHOUT_RECORD.contains(ending) {
        let by = match event {
            Event::StaffDecided(_, _, by) => Some(by.clone()),
            _ => None,
        };
        effects.push(Effect::Note { reception, ending: ending.clone(), by });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    In,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    Unknown,
}

impl Ending {
    /// Ends before T1 after which a patient is still to be received: the desk's list of the day has them.
    pub const WITHOUT_RECORD: [Self; 8] = [
        Self::NotSamePerson,
        Self::StaffDidNotCome,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::NotRead(ReadFailure::Untrusted),
        Self::NotRead(ReadFailure::NotMyNumberCard),
        Self::NotRead(ReadFailure::NoCertificate),
        Self::TimedOut,
    ];

    /// Ends that need nobody's attention.
    fn is_ordinary(&self) -> bool {
        matches!(
            self,
            Self::Done(Shown::Confirmed | Shown::Provisional) | Self::Cancelled | Self::CardPulled | Self::TimedOut
        )
    }

    /// How an end between T1 and T2 is written down; `None` for ends after T2 and for those that come before T1.
    fn abandonment(&self) -> Option<Abandonment> {
        match self {
            Self::Cancelled => Some(Abandonment::Cancelled),
            Self::CardPulled => Some(Abandonment::CardRemoved),
            Self::ReaderFault => Some(Abandonment::ReaderFault),
            Self::NotWritten => Some(Abandonment::NotRecorded),
            Self::Done(_)
            | Self::NotRead(_)
            | Self::CertificateExpired
            | Self::CertificateNotYetValid
            | Self::NotSamePerson
            | Self::StaffDidNotCome
            | Self::TimedOut => None,
        }
    }
}

#[cfg(test)]
mod tests;

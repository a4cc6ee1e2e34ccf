//! What becomes of a reception that ended without a confirmed answer: rung by rung to exactly one final state.
//!
//! Rungs: the answer to the request itself → asking again, for data that comes late → current numbers → earlier numbers → the
//! declaration (被保険者資格申立書). Until the end a case has an owner and a deadline, so that nobody's case is nobody's; with
//! nobody doing anything it still ends. What holds always:
//! - An eligible answer counts at every rung, whichever ask it belongs to, unless the case has ended.
//! - A final state is never changed. What comes later is reported, not acted upon.
//! - An answer about somebody else, or perhaps somebody else, settles nothing until staff have looked: two people are never joined.
//! - The same event twice does nothing more than once.
//!
//! A case holds no personal data and can be stored as it is, in one transaction with what its effects ask for. All its times are ages
//! ([`Aging`]), which no clock jump touches.

mod aging;
mod answers;
mod declaration;
mod event;
mod known;
mod rejected;
mod staff;
pub mod words;

pub use aging::{Aging, OFF_MAX};
pub use declaration::{CannotConfirm, Declaration, OnFile};
pub use event::{
    Answered, Basis, Cause, Chosen, CloseReason, Effect, Event, Final, Numbers, PersonMatch, Refusal, Rejected,
    StaffAction,
};

pub use known::Known;

use crate::clock::Now;
use rejected::Made;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a site decides about its cases. A case keeps the rules it was opened with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How long the central system has for an answer before staff are asked.
    pub answer_within: Duration,
    /// Between asking again for data that comes late, one after the other.
    pub later_data_after: Vec<Duration>,
    /// How long staff have for each of the rungs of numbers.
    pub numbers_within: Duration,
    /// How long staff have to choose one of several insurances.
    pub choose_within: Duration,
    /// How long staff have to tell the patient, or to look at a refused request.
    pub tell_within: Duration,
    /// With a declaration on file, or while waiting for one, the central system is asked again this often.
    pub recheck_every: Duration,
    /// The age at which a case ends whatever its state.
    pub life: Duration,
    /// How often a case may ask, the reception's own request included.
    pub asks_max: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            answer_within: 2 * DAY,
            later_data_after: vec![DAY, 3 * DAY, 7 * DAY],
            numbers_within: 14 * DAY,
            choose_within: 14 * DAY,
            tell_within: 30 * DAY,
            recheck_every: 7 * DAY,
            life: 60 * DAY,
            asks_max: 64,
        }
    }
}

/// One reception on its way to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    format: Format,
    rules: Rules,
    aging: Aging,
    /// See [`Case::turn`].
    turn: u32,
    state: State,
    /// The age at which `state` goes on by itself.
    until: Duration,
    /// Every ask so far, by number; the last is the present one.
    asks: Vec<Ask>,
    /// The central system has said that the insurance is not valid.
    found_ineligible: bool,
    /// It has said that the insurance the reception began with has ended: what is valid later is another one.
    insurance_ended: bool,
    declared: bool,
    /// The central system refused what the card vouched for because of the time in it: that question cannot be asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    card_spent: bool,
    /// See [`Case::chosen`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chosen: Option<Chosen>,
    /// See [`Case::proven`]. Cases stored before this was kept do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proven: Option<u32>,
}

/// The format in which a case is stored. A case of a format that this version does not know is an error, not a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
struct Format;

/// The only format so far.
const FORMAT: u16 = 1;

impl From<Format> for u16 {
    fn from(_: Format) -> Self {
        FORMAT
    }
}

impl TryFrom<u16> for Format {
    type Error = String;
    fn try_from(format: u16) -> Result<Self, String> {
        if format == FORMAT {
            Ok(Self)
        } else {
            Err(format!(
                "a case was stored in format {format}, this version reads format {FORMAT}: use the version that wrote it"
            ))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// The answer to the request itself is still to come.
    AwaitingAnswer,
    /// Data may come late. `turns` of `later_data_after` are over.
    LaterData { turns: u32 },
    /// Staff enter current numbers; `asked`: an answer to them is still to come.
    CurrentNumbers { asked: bool },
    /// The same with earlier ones.
    EarlierNumbers { asked: bool },
    /// Nothing is left but the declaration; once it is there, `declared`.
    Declaration,
    /// Staff choose one of this many, as the answer to `ask` names them; a later answer does not shift what they choose from.
    Choosing {
        count: u32,
        /// Cases stored before this was kept chose, but for few, from the answer to the reception's own request.
        #[serde(default)]
        ask: u32,
    },
    /// Staff are to know, and to tell the patient; then it is final.
    Telling(Telling),
    /// The end.
    Final(Final),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Telling {
    Revoked,
    NotRegistered,
    Rejected,
}

impl Telling {
    fn leads_to(self) -> Final {
        match self {
            Self::Revoked => Final::Revoked,
            Self::NotRegistered => Final::NotRegistered,
            Self::Rejected => Final::RejectedByCentral,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Ask {
    with: Numbers,
    answered: bool,
    check: Check,
    /// It was answered after the end. Cases stored before this was kept do not know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    /// When it was asked. Cases stored before this was kept do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Made>,
    /// It was refused, and the clock was wrong when it was asked: the refusal says nothing about the patient.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    wrong_time: bool,
    /// It asks once more what was refused for its time. When it is refused as well, that counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    corrects: bool,
}

impl Ask {
    fn new(with: Numbers, now: Now) -> Self {
        let made = Some(Made::of(now));
        let check = Check::NotNeeded;
        Self { with, answered: false, check, late: false, made, wrong_time: false, corrects: false }
    }
}

/// Whether staff must look at the person in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Check {
    /// No answer, or one that needed no look.
    NotNeeded,
    /// An eligible answer, or one with several results, waits for a look.
    Pending(Found),
    /// Staff looked: it is somebody else. Nothing from this ask ever counts.
    OtherPerson,
}

/// What an answer comes to once it is known that it is about this person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    Valid,
    Several { count: u32 },
}

/// Who has to see to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The gateway waits, or asks again by itself.
    Machine,
    /// Staff at the desk.
    Desk,
}

/// What is to be done next, and by that who does it. [`words::work`] says it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Nothing: the answer is still to come.
    AwaitAnswer,
    /// Nothing: the central system is asked again, as its data may come late.
    AwaitLaterData,
    /// Nothing: the answer to the numbers that were entered is still to come.
    AwaitNumbersAnswer,
    /// Look at the マイナポータル screen or the 資格情報のお知らせ and enter the numbers.
    EnterCurrentNumbers,
    /// The same, because the clock was wrong at the check-in: what the card vouched for then is refused, and cannot be asked again.
    EnterNumbersAsClockWasWrong,
    /// Enter the numbers of an earlier insurance.
    EnterEarlierNumbers,
    /// Have the 被保険者資格申立書 filled in.
    TakeDeclaration,
    /// The declaration is on file; the central system is asked again now and then. May be ended as ineligible.
    DeclarationOnFile,
    /// Ask the patient which insurance to use.
    ChooseInsurance {
        /// Which answer names them.
        ask: u32,
        /// How many there are.
        count: u32,
    },
    /// See whether the person in the answer to `ask` is the one who was received.
    CheckPerson {
        /// Which answer.
        ask: u32,
    },
    /// Tell the patient at the next visit that the certificate is revoked.
    TellRevoked,
    /// Tell the patient at the next visit that the card is not registered as an insurance card.
    TellNotRegistered,
    /// See why the central system refused the request.
    LookAtRejection,
    /// Nothing: it has ended.
    Done(Final),
}

impl Work {
    /// Who does it; nobody once it is done.
    pub fn owner(self) -> Option<Owner> {
        match self {
            Self::AwaitAnswer | Self::AwaitLaterData | Self::AwaitNumbersAnswer | Self::DeclarationOnFile => {
                Some(Owner::Machine)
            }
            Self::EnterCurrentNumbers
            | Self::EnterNumbersAsClockWasWrong
            | Self::EnterEarlierNumbers
            | Self::TakeDeclaration
            | Self::ChooseInsurance { .. }
            | Self::CheckPerson { .. }
            | Self::TellRevoked
            | Self::TellNotRegistered
            | Self::LookAtRejection => Some(Owner::Desk),
            Self::Done(_) => None,
        }
    }
}

impl Case {
    /// A case that begins now, with the reception's own request as ask 0. It may have ended at once, when the answer leaves
    /// nothing to do.
    pub fn open(rules: Rules, now: Now, cause: Cause, effects: &mut Vec<Effect>) -> Self {
        let until = rules.answer_within;
        let mut case = Self {
            format: Format,
            rules,
            aging: Aging::start(now),
            turn: 0,
            state: State::AwaitingAnswer,
            until,
            asks: vec![Ask::new(Numbers::Original, now)],
            found_ineligible: false,
            insurance_ended: false,
            declared: false,
            card_spent: false,
            chosen: None,
            proven: None,
        };
        match cause {
            Cause::NoAnswer => {}
            Cause::Answered(answered) => case.answered(0, &answered, effects),
            Cause::Rejected => case.refused_as_such(0),
        }
        case
    }

    /// The one way in. Appends what is to be done, in order.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        self.aging.observe(now);
        let before = (self.state, self.until, self.asks.clone(), self.declared);
        let mut acted = false;
        match event {
            Event::Answer { ask, answered } => self.answered(ask, &answered, effects),
            Event::Rejected { ask, rejected } => self.rejected(ask, &rejected, now, effects),
            Event::Staff { turn, action } => match self.staff(turn, action, now, effects) {
                Ok(()) => acted = true,
                Err(why) => effects.push(Effect::Refused(why)),
            },
            Event::Tick => {}
        }
        // An answer in hand outweighs a deadline that passed while nobody looked.
        self.pass_time(now, effects);
        // Also what staff do once more to the same effect: a click that comes twice counts once.
        if acted || before != (self.state, self.until, self.asks.clone(), self.declared) {
            self.turn = self.turn.saturating_add(1);
        }
    }

    /// What the actions of staff refer to; grows with every change, a deadline that moves included, and with every action of staff.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// Whether anything that was asked has been answered, or refused, after the end. No clock is asked.
    pub fn answered_late(&self) -> bool {
        self.asks.iter().any(|ask| ask.late)
    }

    /// An answer, or a refusal, that was in hand when another one ended the case: heard, and neither acted upon nor late. Any other event
    /// does nothing here.
    pub fn had_in_hand(&mut self, event: &Event) {
        if let Event::Answer { ask, .. } | Event::Rejected { ask, .. } = event
            && let Some(ask) = self.asks.get_mut(*ask as usize)
        {
            ask.answered = true;
        }
    }

    /// The number of the present ask.
    pub fn ask(&self) -> u32 {
        u32::try_from(self.asks.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// The age when it was last told the time.
    pub fn age(&self) -> Duration {
        self.aging.age()
    }

    /// Whether the time that passed since `kept` must be kept, too, although nothing else happened: it is at least `by`, or the machine
    /// has started anew meanwhile. What passes within a boot counts from the last case that was kept in it.
    pub fn has_aged(&self, kept: &Self, by: Duration) -> bool {
        self.aging.boot() != kept.aging.boot() || self.age().saturating_sub(kept.age()) >= by
    }

    /// The age at which a `Tick` is wanted at the latest; `None` once it has ended.
    pub fn deadline(&self) -> Option<Duration> {
        match (self.state, self.check_pending()) {
            (State::Final(_), _) => None,
            // The rung waits for the look: what it comes to may settle everything.
            (_, Some(_)) => Some(self.rules.life),
            (_, None) => Some(self.until.min(self.rules.life)),
        }
    }

    /// How long from `now` until a `Tick` is wanted; zero if it is due, `None` once it has ended.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let mut aging = self.aging.clone();
        aging.observe(now);
        self.deadline().map(|deadline| deadline.saturating_sub(aging.age()))
    }

    /// How it ended.
    pub fn ended(&self) -> Option<Final> {
        match self.state {
            State::Final(end) => Some(end),
            _ => None,
        }
    }

    /// Which insurance staff chose where there were several. An answer that is kept never changes, and neither does this.
    pub fn chosen(&self) -> Option<Chosen> {
        self.chosen
    }

    /// The first ask whose answer said that this very person is insured, also after the end. [`Case::proven_anew`] says what follows.
    pub fn proven(&self) -> Option<u32> {
        self.proven
    }

    /// The later ask whose answer has proven the person since `before`. Ask 0 is the reception's own question: what went with that needs
    /// nothing from this.
    pub fn proven_anew(&self, before: &Self) -> Option<u32> {
        self.proven.filter(|ask| *ask > 0 && before.proven.is_none())
    }

    /// Whether it has ended.
    pub fn is_final(&self) -> bool {
        self.ended().is_some()
    }

    /// Who has to see to it; nobody once it has ended.
    pub fn owner(&self) -> Option<Owner> {
        self.work().owner()
    }

    /// What is to be done next.
    pub fn work(&self) -> Work {
        match (self.state, self.check_pending()) {
            (State::Final(end), _) => Work::Done(end),
            (_, Some((ask, _))) => Work::CheckPerson { ask },
            (State::AwaitingAnswer, _) => Work::AwaitAnswer,
            (State::LaterData { .. }, _) => Work::AwaitLaterData,
            (State::CurrentNumbers { asked: true } | State::EarlierNumbers { asked: true }, _) => {
                Work::AwaitNumbersAnswer
            }
            (State::CurrentNumbers { asked: false }, _) if self.card_spent => Work::EnterNumbersAsClockWasWrong,
            (State::CurrentNumbers { asked: false }, _) => Work::EnterCurrentNumbers,
            (State::EarlierNumbers { asked: false }, _) => Work::EnterEarlierNumbers,
            (State::Declaration, _) if self.declared => Work::DeclarationOnFile,
            (State::Declaration, _) => Work::TakeDeclaration,
            (State::Choosing { count, ask }, _) => Work::ChooseInsurance { ask, count },
            (State::Telling(Telling::Revoked), _) => Work::TellRevoked,
            (State::Telling(Telling::NotRegistered), _) => Work::TellNotRegistered,
            (State::Telling(Telling::Rejected), _) => Work::LookAtRejection,
        }
    }

    /// The first answer that waits for a look at its person.
    fn check_pending(&self) -> Option<(u32, Found)> {
        (0u32..).zip(&self.asks).find_map(|(number, ask)| match ask.check {
            Check::Pending(found) => Some((number, found)),
            Check::NotNeeded | Check::OtherPerson => None,
        })
    }

    /// One rung up.
    fn next_rung(&mut self) {
        let next = match self.state {
            State::AwaitingAnswer | State::LaterData { .. } | State::Choosing { .. } => {
                State::CurrentNumbers { asked: false }
            }
            State::CurrentNumbers { .. } => State::EarlierNumbers { asked: false },
            State::EarlierNumbers { .. } => State::Declaration,
            other => other,
        };
        self.enter(next);
    }

    fn pass_time(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let age = self.age();
        if self.deadline().is_none_or(|deadline| age < deadline) {
            return;
        }
        match self.state {
            State::Telling(what) => self.end(what.leads_to(), effects),
            _ if age >= self.rules.life => self.end(Final::Expired, effects),
            State::LaterData { turns } if self.later_data_wait(turns).is_some() => {
                self.recheck(now, effects);
                self.enter(State::LaterData { turns: turns + 1 });
            }
            State::Declaration => {
                self.recheck(now, effects);
                self.enter(State::Declaration);
            }
            _ => {
                // Nobody came to it in time. The data may have come meanwhile.
                self.recheck(now, effects);
                self.next_rung();
            }
        }
    }

    /// Asks the original question again, unless an answer is still to come: that one will do. One that cannot be asked again is not.
    fn recheck(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.card_spent && self.asks.last().is_some_and(|ask| ask.answered) {
            self.ask_again(Numbers::Original, now, effects);
        }
    }

    fn ask_again(&mut self, with: Numbers, now: Now, effects: &mut Vec<Effect>) -> bool {
        if self.asks.len() >= self.rules.asks_max as usize {
            return false;
        }
        self.asks.push(Ask::new(with, now));
        effects.push(Effect::AskAgain { ask: self.ask(), with });
        true
    }

    fn later_data_wait(&self, turns: u32) -> Option<Duration> {
        self.rules.later_data_after.get(turns as usize).copied()
    }

    /// Goes to a state and gives it its whole time.
    fn enter(&mut self, state: State) {
        let rules = &self.rules;
        let lasts = match state {
            State::AwaitingAnswer | State::CurrentNumbers { asked: true } | State::EarlierNumbers { asked: true } => {
                rules.answer_within
            }
            State::LaterData { turns } => self.later_data_wait(turns).unwrap_or(rules.answer_within),
            State::CurrentNumbers { asked: false } | State::EarlierNumbers { asked: false } => rules.numbers_within,
            State::Declaration => rules.recheck_every,
            State::Choosing { .. } => rules.choose_within,
            State::Telling(_) => rules.tell_within,
            State::Final(_) => Duration::ZERO,
        };
        self.state = state;
        self.until = self.age().saturating_add(lasts);
    }

    fn end(&mut self, end: Final, effects: &mut Vec<Effect>) {
        self.enter(State::Final(end));
        effects.push(Effect::Ended(end));
    }
}

#[cfg(test)]
mod tests;

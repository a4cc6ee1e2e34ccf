//! What can happen to a case, what it asks the shell to do, and the vocabulary of both.

use super::declaration::OnFile;
use crate::answer::Verdict;
use crate::clock::{CentralTime, Stamp};
use crate::person::Comparison;
use serde::{Deserialize, Serialize};

/// How the person in an answer compares with the person here, without either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonMatch {
    /// One person, one spelling.
    SamePerson,
    /// One person, spelt in two ways; the local spelling stays.
    SameWithDifferences,
    /// Two people.
    DifferentPerson,
    /// It cannot be told.
    Undecided,
    /// Nobody to compare with: the answer names no person, or none is known here.
    NothingToCompare,
}

impl From<&Comparison> for PersonMatch {
    fn from(comparison: &Comparison) -> Self {
        match comparison {
            Comparison::SamePerson { differences } if differences.is_empty() => Self::SamePerson,
            Comparison::SamePerson { .. } => Self::SameWithDifferences,
            Comparison::DifferentPerson { .. } => Self::DifferentPerson,
            Comparison::Undecided { .. } => Self::Undecided,
        }
    }
}

/// With which numbers the central system is asked. The numbers themselves are sealed in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// As the reception asked: by the card, or by the numbers it began with.
    Original,
    /// Those of the present insurance, from the マイナポータル screen or the 資格情報のお知らせ.
    Current,
    /// Those of an earlier insurance, from an old card or the clinic's own records.
    Earlier,
}

/// An answer of the central system, as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What it means.
    pub verdict: Verdict,
    /// How many results it carries.
    pub results: u32,
    /// Whether they are about the person who was received.
    pub person: PersonMatch,
}

/// Why a case was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The reception ended as provisional; the answer to its request (ask 0) is still to come.
    NoAnswer,
    /// There was an answer, but not one that settles it.
    Answered(Answered),
    /// The central system refused the request itself.
    Rejected,
}

/// What is known about a refusal, so that it can be told whether a wrong clock brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// When it was written down, by the gateway's clock.
    pub at: Stamp,
    /// When the reception was opened: the time that its own question (ask 0) carries.
    pub opened: Stamp,
    /// What the central system has said about the time to this process.
    pub central: Option<CentralTime>,
    /// A card vouched for the question, and only the card could again.
    pub by_card: bool,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The central system answered ask number `ask`; 0 is the reception's own request.
    Answer {
        /// Which ask.
        ask: u32,
        /// What it said.
        answered: Answered,
    },
    /// The central system refused ask number `ask` for good.
    Rejected {
        /// Which ask.
        ask: u32,
        /// What is known about it.
        rejected: Rejected,
    },
    /// Staff did something, looking at the case as it was in `turn` ([`super::Case::turn`]). What was meant for an
    /// older turn is refused: a click that comes twice counts once.
    Staff {
        /// The turn that staff saw.
        turn: u32,
        /// What they did.
        action: StaffAction,
    },
    /// Time passed.
    Tick,
}

/// What staff can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaffAction {
    /// Numbers were entered; the shell has sealed them.
    NumbersEntered(Numbers),
    /// Nothing to be had at this rung: go to the next one now.
    NextRung,
    /// One of the several insurances of [`super::Work::ChooseInsurance`] was chosen, counted from 0.
    Chosen {
        /// Which.
        index: u32,
    },
    /// Whether the person in the answer to `ask` is the one who was received.
    PersonChecked {
        /// Which answer was looked at.
        ask: u32,
        /// What was found.
        same: bool,
    },
    /// A complete declaration was taken.
    Declared(OnFile),
    /// Staff have seen it, and told the patient where there was something to tell.
    Acknowledged,
    /// The insurance is not valid, and that is the result.
    EndIneligible {
        /// On what ground.
        basis: Basis,
    },
    /// Closed for another reason. A note is kept by the shell.
    Close(CloseReason),
}

/// One of several insurances: which answer, and which of its results. Neither is personal, and neither can shift, as the first answer to
/// an ask is kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The ask whose answer it stands in.
    pub ask: u32,
    /// Which of the results of that answer, counted from 0.
    pub index: u32,
}

/// On what ground staff end a case as ineligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The 被保険者資格申立書 is on file.
    Declaration,
    /// The patient was told the promise of the official poster, 「10割負担になることはありません」, and that it is settled later.
    PaymentRuleExplained,
}

/// Why staff close a case that nothing else ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The insurance was confirmed outside this system: by telephone, by a 資格確認書, at another visit.
    ConfirmedElsewhere,
    /// The same visit is settled by another reception.
    SameVisit,
    /// The patient left without treatment.
    NoTreatment,
    /// The patient wishes to pay without insurance (労災, 自費).
    WithoutInsurance,
    /// The reception was a mistake or a trial.
    Mistake,
    /// Something else, told in the note.
    Other,
}

/// How a case ended. There is no other end, and none is ever changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    /// Valid as the reception asked.
    Confirmed,
    /// Valid, but under another insurance or other numbers than the reception began with.
    Changed,
    /// Not valid; staff ended it on this ground.
    Ineligible(Basis),
    /// The card is not registered as an insurance card.
    NotRegistered,
    /// The card's certificate is revoked.
    Revoked,
    /// The central system refused the request.
    RejectedByCentral,
    /// Nobody could settle it in the time a case has.
    Expired,
    /// Staff closed it.
    ClosedByStaff(CloseReason),
}

/// Something to be done by the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the central system again, as ask number `ask`: with the case and this number the request has an id of its own,
    /// so that asking twice is asking once.
    AskAgain {
        /// The number of this ask.
        ask: u32,
        /// With which numbers.
        with: Numbers,
    },
    /// The case has ended. Said once.
    Ended(Final),
    /// An answer came after the end. It changes nothing but that the case remembers it came late. Said once for each ask.
    LateAnswer {
        /// Which ask.
        ask: u32,
        /// What it said.
        verdict: Verdict,
    },
    /// What staff did was refused; nothing has changed.
    Refused(Refusal),
}

/// Why something that staff did does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The case has moved on since they looked; they look again.
    Stale,
    /// The case has ended.
    Ended,
    /// It is not what the case waits for now.
    NotNow,
    /// There are not so many to choose from.
    NoSuchChoice,
    /// A person is still to be checked.
    PersonUnchecked,
    /// There is no declaration on file.
    DeclarationMissing,
    /// The central system has not said that the insurance is not valid.
    NotFoundIneligible,
    /// It has been asked as often as a case may ask.
    TooManyAsks,
}

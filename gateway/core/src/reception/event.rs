//! What happens to a reception, and what it asks the shell to do.

use super::screen::Ending;
use crate::consent::{Consent, Question};
use crate::ids::ReceptionId;
use crate::pin::{Pad, Pin, PinKeys};
use crate::record::{Abandonment, Method, Reply, Shown, StaffName, Verification};
use serde::{Deserialize, Serialize};

/// Counts screens of one reader; an intent made for an older screen is dropped.
pub type ScreenVersion = u64;

/// What the chip told about the card; nothing about the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFacts {
    /// Where today lies in the life of the authentication certificate.
    pub certificate: CertificateAge,
    /// Whether a PIN can be typed.
    pub pin: PinMethod,
    /// Whether the face can be compared.
    pub face: FaceMethod,
    /// Face attempts of this card that failed one after the other, at any reader of this site, since the last that succeeded.
    pub face_failures: u32,
    /// Set when this very card was recorded at this reader just before a restart and never taken.
    pub recorded_before: Option<(ReceptionId, Shown)>,
}

/// Where today lies in the life of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateAge {
    /// More than three months to go.
    Valid,
    /// Expires within three months: a banner.
    ExpiresSoon,
    /// Expired within three months: eligibility only, no medical information.
    Grace,
    /// Expired beyond that.
    Expired,
    /// Not valid yet, by our clock.
    NotYetValid,
}

/// Face attempts that may fail one after the other before the face is no longer offered for a card: as many as the national system
/// permits. The count is this gateway's own. It starts over as soon as the holder is known in any way, see [`FaceCount::Cleared`]; what
/// the national system locks, and the municipal office unlocks, is neither seen nor changed here.
pub const FACE_FAILURES_MAX: u32 = 10;

/// What the chip says about the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinMethod {
    /// This many tries are left, at least one.
    Tries(u8),
    /// No tries are left; face and staff still work.
    Locked,
    /// A card without PIN (顔認証マイナンバーカード): it is never offered.
    Absent,
}

/// Whether the face method can be offered for this card at this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaceMethod {
    /// The chip photo is ready to be compared.
    Ready,
    /// 照合番号B is not known, so the photo is locked.
    NoNumber,
    /// The photo cannot be used (absent, unreadable, no face in it).
    PhotoUnusable,
    /// No models are installed, or the engine is down.
    Off,
    /// [`FACE_FAILURES_MAX`] attempts failed one after the other. PIN and staff still work, and either opens it again for the next time.
    Locked,
}

/// Why a card could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFailure {
    /// No sense in what came: dirt, a cover, not pushed to the end.
    Unreadable,
    /// Something is in the slot that does not answer as a card does.
    NotACard,
    /// A card, but not a My Number Card.
    NotMyNumberCard,
    /// A My Number Card whose authentication certificate is missing or cannot be used: placing it again does not help.
    NoCertificate,
    /// The certificate was not issued by a known authority.
    Untrusted,
    /// The reader itself failed.
    ReaderFault,
}

/// What several frames amounted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaceOutcome {
    /// Same person; cosine similarity.
    Match {
        /// Cosine similarity, −1 to 1.
        score: f32,
    },
    /// Too close to call: another try, another way, or staff.
    Uncertain {
        /// Cosine similarity, −1 to 1.
        score: f32,
    },
    /// Not the same person.
    NoMatch {
        /// Cosine similarity, −1 to 1.
        score: f32,
    },
    /// No face was seen.
    NoFace,
    /// The engine or the camera failed.
    Fault,
}

/// What the card said to a PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinOutcome {
    /// Right, and the card signed the request; the signature was checked.
    Verified,
    /// Wrong; this many tries are left.
    Wrong {
        /// Tries left, at least 1.
        tries_left: u8,
    },
    /// No tries left.
    Locked,
    /// The card did not answer properly.
    Fault,
}

/// What a patient does on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// 顔認証
    ChooseFace,
    /// 暗証番号
    ChoosePin,
    /// 職員を呼ぶ
    CallStaff,
    /// Back to the choice of method.
    Back,
    /// The four positions that were pressed.
    Pin(PinKeys),
    /// 暗証番号を忘れた: on to another way.
    Forgotten,
    /// 代理人が操作する: somebody who came along does the rest of this reception.
    ByProxy,
    /// 本人が操作する: nobody helps, or not any more. What was done until then stays as it was recorded.
    ByPatient,
    /// 初回登録 is wanted (確認する), or not (終了する).
    Register(bool),
    /// An answer to the question on the screen.
    Consent {
        /// The question.
        question: Question,
        /// The answer.
        agreed: bool,
    },
    /// 確認しました, on a screen that only tells something.
    Acknowledge,
    /// 取消: end this reception.
    Cancel,
}

/// What a member of staff decided after a look at card and person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaffDecision {
    /// The person is the one on the card.
    SamePerson,
    /// The person is not.
    NotSamePerson,
}

/// Something happened. Results carry the reception they belong to; those of another reception are dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A card was put in; the shell made up a new id.
    CardPlaced(ReceptionId),
    /// The card was taken out.
    CardRemoved,
    /// The reader stopped working (and the card with it).
    ReaderFault,
    /// The card was read.
    CardRead(ReceptionId, Result<CardFacts, ReadFailure>),
    /// A fresh scrambled pad.
    PadDrawn(ReceptionId, Pad),
    /// The patient did something.
    Intent(ReceptionId, ScreenVersion, Intent),
    /// The face decision of this attempt.
    FaceJudged(ReceptionId, u32, FaceOutcome),
    /// The card answered to a PIN.
    PinChecked(ReceptionId, PinOutcome),
    /// Staff decided, and who.
    StaffDecided(ReceptionId, StaffDecision, StaffName),
    /// Staff do the rest of this reception for a patient who tells them; who.
    StaffAssists(ReceptionId, StaffName),
    /// Staff leave the rest to the patient again.
    StaffLeave(ReceptionId),
    /// T1 is on disk, or could not be written.
    Opened(ReceptionId, Result<(), NotWritten>),
    /// The request for 初回登録 is on disk, or could not be written.
    RegistrationWritten(ReceptionId, Result<(), NotWritten>),
    /// The central system answered, or refused the request itself; it is on disk.
    Replied(ReceptionId, Ask, Reply),
    /// The line to the central system is down: there is no point in waiting long for this reception's answer.
    LineDown(ReceptionId),
    /// T2 is on disk, or could not be written.
    Recorded(ReceptionId, Result<(), NotWritten>),
    /// Time passed.
    Tick,
}

impl Event {
    /// The reception this event belongs to; `None` for what concerns the reader as such.
    pub fn reception(&self) -> Option<ReceptionId> {
        match self {
            Self::Intent(reception, ..)
            | Self::CardRead(reception, _)
            | Self::PadDrawn(reception, _)
            | Self::FaceJudged(reception, ..)
            | Self::PinChecked(reception, _)
            | Self::StaffDecided(reception, ..)
            | Self::StaffAssists(reception, _)
            | Self::StaffLeave(reception)
            | Self::Opened(reception, _)
            | Self::RegistrationWritten(reception, _)
            | Self::Replied(reception, ..)
            | Self::LineDown(reception)
            | Self::Recorded(reception, _) => Some(*reception),
            Self::CardPlaced(_) | Self::CardRemoved | Self::ReaderFault | Self::Tick => None,
        }
    }
}

/// Which question a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The one that T1 wrote.
    First,
    /// A later one of the same reception.
    FollowUp,
}

/// A transaction was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWritten;

/// What becomes of the count of face attempts that failed one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaceCount {
    /// One more failure.
    Failed,
    /// The holder of the card was here after all: a face that matched, a PIN that was right, or staff who looked. The count starts over.
    Cleared,
}

/// Something to be done by the shell.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read the card, report [`Event::CardRead`].
    ReadCard(ReceptionId),
    /// Draw a pad at random, report [`Event::PadDrawn`].
    DrawPad(ReceptionId),
    /// Ask for frames and judge them, report [`Event::FaceJudged`] with this attempt.
    StartFace(ReceptionId, u32),
    /// No more frames are wanted.
    StopFace(ReceptionId),
    /// Try the PIN and let the card sign the request, which says who typed it; report [`Event::PinChecked`].
    VerifyPin(ReceptionId, Pin, Method),
    /// T1, report [`Event::Opened`].
    Open {
        /// New reception.
        reception: ReceptionId,
        /// How the person was verified.
        verification: Verification,
    },
    /// Count the face attempts of this card: one that failed is added to those before it, its holder clears them. Nothing is reported.
    CountFace(ReceptionId, FaceCount),
    /// Ask the central system for 初回登録, report [`Event::RegistrationWritten`].
    Register(ReceptionId),
    /// T2, report [`Event::Recorded`].
    Record {
        /// An open reception.
        reception: ReceptionId,
        /// What the patient is told.
        shown: Shown,
        /// Consents as given.
        consents: Vec<Consent>,
    },
    /// Write down that a check-in ended before there was a reception, for the desk's list of the day: nothing else would tell of this
    /// patient. Nothing is reported.
    Note {
        /// Whose card it was.
        reception: ReceptionId,
        /// One of [`Ending::WITHOUT_RECORD`].
        ending: Ending,
        /// Who of the staff decided it, if anybody did.
        by: Option<StaffName>,
    },
    /// Write down that an open reception was given up. Nothing is reported.
    Abandon(ReceptionId, Abandonment),
    /// Write down that the card of a recorded reception was taken. Nothing is reported.
    Close(ReceptionId),
    /// Reset the card and wipe everything read from it.
    ForgetCard(ReceptionId),
}

//! What the patient sees, as data; one template renders each.

use super::event::ReadFailure;
use crate::answer::Reason;
use crate::consent::ConsentKind;
use crate::pin::Pad;
use crate::record::Shown;

/// The screen of one reader.
#[derive(Debug, Clone, PartialEq)]
pub enum Screen {
    /// カードを置いてください
    Idle,
    /// 読み取り中
    Reading,
    /// 顔認証 / 暗証番号 / 職員を呼ぶ
    Choose(Choose),
    /// 顔全体を映してください
    Face,
    /// 暗証番号
    Pin(PinScreen),
    /// 職員が確認します
    Staff(StaffReason),
    /// 資格を確認しています
    Asking,
    /// Not eligible: reason and next step, waits for 確認しました.
    Ineligible(Reason),
    /// A consent question.
    Consent {
        /// What is asked.
        kind: ConsentKind,
        /// 1-based number of this question.
        number: usize,
        /// How many questions there are.
        of: usize,
        /// Received provisionally: no answer yet.
        provisional: bool,
    },
    /// 記録しています
    Recording,
    /// The end of a reception with the card still in: カードをお取りください
    TakeCard {
        /// How it ended.
        ending: Ending,
        /// The card has been left for a while.
        reminder: bool,
    },
    /// The end of a reception with the card gone, for some seconds.
    Notice(Ending),
}

/// The choice of method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choose {
    /// 顔認証 can be chosen.
    pub face: bool,
    /// 暗証番号 can be chosen.
    pub pin: bool,
    /// What to say about the last try.
    pub notice: Option<ChooseNotice>,
    /// The certificate is about to expire, or just has.
    pub renew: Option<Renewal>,
}

/// What is said above the choice of method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChooseNotice {
    /// The face did not match: mask and hat off, or another way.
    FaceNotMatched,
    /// No face was seen.
    NoFaceSeen,
    /// The face method failed technically.
    FaceFault,
    /// The PIN is locked; face and staff still work.
    PinLocked,
    /// The card did not answer to the PIN.
    PinFault,
}

/// Banner about the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Expires within three months.
    Soon,
    /// Expired within three months: eligibility only.
    Grace,
}

/// The scrambled pad.
#[derive(Debug, Clone, PartialEq)]
pub struct PinScreen {
    /// The pad to draw; `None` while it is being drawn or the PIN is being checked.
    pub pad: Option<Pad>,
    /// Tries left.
    pub tries_left: u8,
    /// The last try was wrong.
    pub wrong: bool,
}

/// Why staff are asked to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaffReason {
    /// The patient asked.
    Asked,
    /// The face was too close to call.
    FaceUncertain,
    /// The face did not match, again and again.
    FaceNotMatched,
    /// Neither face nor PIN can be used with this card.
    NoOtherWay,
}

/// How a reception ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Recorded; T2 is on disk.
    Done(Shown),
    /// The patient pressed 取消.
    Cancelled,
    /// The card was pulled before the end.
    CardPulled,
    /// The card could not be read.
    NotRead(ReadFailure),
    /// The certificate expired more than three months ago.
    CertificateExpired,
    /// The certificate is not valid yet by our clock: staff check the clock.
    CertificateNotYetValid,
    /// Staff decided that the person is not the one on the card.
    NotSamePerson,
    /// Nobody did anything for too long.
    TimedOut,
    /// Nothing durable could be written: go to the desk.
    NotWritten,
    /// The reader failed: use another one.
    ReaderFault,
}

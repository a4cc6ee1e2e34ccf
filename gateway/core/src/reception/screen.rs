//! What the patient sees, as data; one template renders each.

use super::event::ReadFailure;
use crate::answer::Reason;
use crate::consent::Question;
use crate::pin::Pad;
use crate::record::Shown;
use serde::{Deserialize, Serialize};

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
    Staff {
        /// Why.
        reason: StaffReason,
        /// Another way is open: the patient may go back to the choice.
        back: bool,
        /// The certificate is about to expire, or just has.
        renew: Option<Renewal>,
    },
    /// 資格を確認しています
    Asking,
    /// Not eligible: reason and next step, waits for 確認しました.
    Ineligible(Reason),
    /// 初回登録: the card is not registered as an insurance card yet. 確認する / 終了する.
    Register {
        /// Whether somebody is asked to help, or does.
        helper: Option<Helper>,
    },
    /// 初回登録 is under way.
    Registering,
    /// A consent question.
    Consent {
        /// What is asked.
        question: Question,
        /// 1-based number of this question.
        number: usize,
        /// How many questions there are.
        of: usize,
        /// Received provisionally: no answer yet.
        provisional: bool,
        /// Somebody answers for the patient, and the record says who.
        helper: Option<Helper>,
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

/// Who does the rest of a reception for the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// Somebody who came along (代理人).
    Proxy,
    /// Staff.
    Staff,
    /// Nobody yet: staff have been called.
    Called,
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
    /// The face did not match: mask and hat off if there is another try, or another way.
    FaceNotMatched,
    /// The face was too close to call: the same advice, or another way.
    FaceUncertain,
    /// No face was seen.
    NoFaceSeen,
    /// The face method failed technically.
    FaceFault,
    /// The PIN is locked; face and staff still work.
    PinLocked,
    /// The card did not answer to the PIN.
    PinFault,
    /// The patient has forgotten the PIN: face and staff work without.
    PinForgotten,
    /// A card without PIN (顔認証マイナンバーカード).
    Pinless,
    /// Too many faces that did not match, here or elsewhere: PIN and staff still work.
    FaceLocked,
    /// The photo in the chip cannot be used: PIN and staff still work.
    PhotoUnusable,
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
    /// Somebody types it for the patient, and the record says so.
    pub helper: Option<Helper>,
}

/// Why staff are asked to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffReason {
    /// The patient asked.
    Asked,
    /// Staff looked of their own accord, while something else was on the screen.
    OwnAccord,
    /// The patient has forgotten the PIN, and the face cannot be used.
    PinForgotten,
    /// The face was too close to call.
    FaceUncertain,
    /// The face did not match, again and again.
    FaceNotMatched,
    /// The PIN is locked, and the face cannot be used.
    PinLocked,
    /// The card has no PIN, and the face cannot be used.
    Pinless,
    /// Neither face nor PIN can be used with this card. In records of older versions also for the two above.
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
    /// Staff were called and did not come: the patient goes to the desk, whose list of the day says so.
    StaffDidNotCome,
    /// Nothing durable could be written: go to the desk.
    NotWritten,
    /// The reader failed: use another one.
    ReaderFault,
}

//! What is written down about a reception: the vocabulary shared by the reception core, the store and `explain`.

use crate::answer::{Reason, Verdict};
use crate::clock::Stamp;
use crate::consent::Consent;
use crate::ids::{ReceptionId, RequestId};
use crate::modes::Mode;
use crate::reception::{CertificateAge, StaffReason};
use crate::rules::{self, Document, Rules, Today};
use serde::{Deserialize, Serialize};

/// How the person was shown to be the holder of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// 顔認証, matched here against the photo in the chip.
    Face,
    /// 暗証番号, proven by a signature of the card.
    Pin,
    /// 暗証番号 typed by somebody who came along (代理人), proven by a signature of the card.
    PinByProxy,
    /// 目視確認 by staff.
    Staff,
    /// No card: a document (資格確認書, an earlier insurance card), entered by staff.
    Document,
}

/// Characters of a [`StaffName`] at the most.
pub const STAFF_NAME_CHARS_MAX: usize = 32;

/// Who of the staff did something: a name or number as the site uses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct StaffName(String);

impl StaffName {
    /// A name that says something and is not too long for a list; `None` otherwise.
    pub fn new(name: &str) -> Option<Self> {
        let name = name.trim();
        let fits = (1..=STAFF_NAME_CHARS_MAX).contains(&name.chars().count());
        (fits && !name.chars().any(char::is_control)).then(|| Self(name.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StaffName {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name).ok_or("a staff name has 1 to 32 characters")
    }
}

/// A staff look (目視確認): who, and why it was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffLook {
    /// Who looked.
    pub by: StaffName,
    /// Why.
    pub why: StaffReason,
}

/// How the person was shown to be the holder, with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// How.
    pub method: Method,
    /// Cosine similarity with the chip photo, for [`Method::Face`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_score: Option<f32>,
    /// For [`Method::Staff`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<StaffLook>,
    /// Who of the staff worked the screen for the patient meanwhile, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assisted_by: Option<StaffName>,
}

impl Verification {
    /// Nothing more to say than how.
    pub fn by(method: Method) -> Self {
        Self { method, face_score: None, look: None, assisted_by: None }
    }

    /// The face matched.
    pub fn by_face(score: f32) -> Self {
        Self { face_score: Some(score), ..Self::by(Method::Face) }
    }

    /// Staff looked.
    pub fn by_look(look: StaffLook) -> Self {
        Self { look: Some(look), ..Self::by(Method::Staff) }
    }
}

/// What a rule that depends on the day was applied to, so that the decision can be tried again under another day's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "snake_case")]
pub enum Basis {
    /// A My Number Card.
    Card {
        /// As it was judged.
        certificate: CertificateAge,
        /// Last moment of its certificate, in milliseconds since 1970 UTC. It falls on a birthday: personal.
        not_after_ms: i64,
        /// The gateway could not check who issued it; absent in records of versions that received no such card.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unchecked: bool,
    },
    /// A document that staff entered.
    Document {
        /// What it is, as the rules know it.
        document: Document,
    },
    /// 氏名・性別・生年月日・住所, taken down while this mode was open.
    FourItems {
        /// Under which.
        mode: Mode,
    },
}

/// How somebody was verified and on what ground. Personal as a whole: the store seals it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// How.
    pub verification: Verification,
    /// On what ground; `None` in records of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The rules that were in force; `None` in records of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<rules::Version>,
}

impl Evidence {
    /// Verified now, on this ground, under the rules of the day.
    pub fn new(verification: Verification, basis: Basis, now: Stamp) -> Self {
        let rules = Some(Rules::on(Today::of(now)).version());
        Self { verification, basis: Some(basis), rules }
    }

    /// Nothing is known but how.
    pub fn of(verification: Verification) -> Self {
        Self { verification, basis: None, rules: None }
    }
}

/// What the patient was told at the end. Written by T2, never changed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shown", content = "reason", rename_all = "snake_case")]
pub enum Shown {
    /// Eligible.
    Confirmed,
    /// Not eligible, with the reason and the next step.
    Ineligible(Reason),
    /// Received without an answer yet; reconciled later, by itself.
    Provisional,
}

impl Shown {
    /// Whether this is, or may be, somebody insured, so that consents are asked for. With a new insurance, and with several, only which one
    /// to use is open: what the patient agrees to does not depend on it, and the patient stands here now.
    pub fn is_about_an_insured(&self) -> bool {
        match self {
            Self::Confirmed | Self::Provisional => true,
            Self::Ineligible(reason) => matches!(reason, Reason::NewInsurance | Reason::SeveralInsurances),
        }
    }
}

/// How far a reception got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// T1 is committed: the person is verified and the question is on its way.
    Open,
    /// T2 is committed: it counts.
    Recorded,
    /// Recorded, and the card was taken.
    Closed,
    /// Ended between T1 and T2. A late answer is attached all the same.
    Abandoned,
}

/// Why an open reception was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abandonment {
    /// The card was pulled before the end.
    CardRemoved,
    /// The patient pressed 取消.
    Cancelled,
    /// T2 could not be written.
    NotRecorded,
    /// The reader failed.
    ReaderFault,
    /// The gateway or the reader's actor was restarted in between.
    Restarted,
}

/// Why the central system will never answer a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// A word for the kind, in lower case; no personal data.
    pub code: String,
}

/// What came of the eligibility request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The central system answered.
    Answered {
        /// What it means.
        verdict: Verdict,
        /// A ● in a name or address: keep the local spelling.
        unmapped_characters: bool,
    },
    /// The central system refused the request itself.
    Rejected(Rejection),
}

/// One reception as the store gives it back: everything but the person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceptionRecord {
    /// Which reception.
    pub reception: ReceptionId,
    /// The eligibility request that it made.
    pub request: RequestId,
    /// `terminal/reader`.
    pub reader: String,
    /// How the person was verified, and on what ground.
    pub evidence: Evidence,
    /// An earlier reception of the same person within the same visit: both are kept, one goes to the receipt computer.
    pub same_visit_as: Option<ReceptionId>,
    /// How far it got.
    pub stage: Stage,
    /// T1.
    pub opened: Stamp,
    /// T2, with what the patient was told.
    pub recorded: Option<(Stamp, Shown)>,
    /// Its place in the order in which receptions were recorded, whatever the clock said; `None` before T2, and where an older version
    /// recorded it.
    pub recorded_place: Option<u64>,
    /// Consents as recorded by T2.
    pub consents: Vec<Consent>,
    /// When and why it was given up.
    pub abandoned: Option<(Stamp, Abandonment)>,
    /// When and what the central system replied to the first question.
    pub replied: Option<(Stamp, Reply)>,
    /// When and what it replied to the latest question after that (初回登録, asking again).
    pub followed_up: Option<(Stamp, Reply)>,
}

impl ReceptionRecord {
    /// The reply that counts: the latest.
    pub fn reply(&self) -> Option<&(Stamp, Reply)> {
        self.followed_up.as_ref().or(self.replied.as_ref())
    }

    /// Recorded as provisional, and no reply yet: it is on the work list until one comes.
    pub fn awaits_reply(&self) -> bool {
        matches!(self.recorded, Some((_, Shown::Provisional))) && self.replied.is_none()
    }
}

//! What is written down about a reception: the vocabulary shared by the reception core, the store and `explain`.

use crate::answer::{Reason, Verdict};
use crate::clock::Stamp;
use crate::consent::Consent;
use crate::ids::{ReceptionId, RequestId};
use serde::{Deserialize, Serialize};

/// How the person was shown to be the holder of the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// 顔認証, matched here against the photo in the chip.
    Face,
    /// 暗証番号, proven by a signature of the card.
    Pin,
    /// 目視確認 by staff.
    Staff,
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
    /// How the person was verified.
    pub method: Method,
    /// Cosine similarity with the chip photo, for [`Method::Face`].
    pub face_score: Option<f32>,
    /// How far it got.
    pub stage: Stage,
    /// T1.
    pub opened: Stamp,
    /// T2, with what the patient was told.
    pub recorded: Option<(Stamp, Shown)>,
    /// Consents as recorded by T2.
    pub consents: Vec<Consent>,
    /// When and why it was given up.
    pub abandoned: Option<(Stamp, Abandonment)>,
    /// When and what the central system replied.
    pub replied: Option<(Stamp, Reply)>,
}

impl ReceptionRecord {
    /// Recorded as provisional, and no reply yet: it is on the work list until one comes.
    pub fn awaits_reply(&self) -> bool {
        matches!(self.recorded, Some((_, Shown::Provisional))) && self.replied.is_none()
    }
}

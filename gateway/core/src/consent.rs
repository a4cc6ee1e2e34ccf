//! What a patient agrees to, and for how long.

use crate::clock::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a consent lasts: the central system accepts it for 24 hours from the moment it was given.
pub const CONSENT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// One kind of information that the patient is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKind {
    /// 過去の診療・お薬情報 (手術以外).
    TreatmentAndMedication,
    /// 特定健診情報.
    Checkups,
}

/// One answered consent question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// What was asked.
    pub kind: ConsentKind,
    /// What the patient said. A question left unanswered is recorded as `false`: consent is never assumed.
    pub agreed: bool,
    /// When.
    pub given: Stamp,
}

impl Consent {
    /// The moment after which this consent no longer counts, in milliseconds since 1970 UTC.
    pub fn available_until_ms(&self) -> i64 {
        self.given.wall_ms.saturating_add(CONSENT_LIFETIME.as_millis() as i64)
    }
}

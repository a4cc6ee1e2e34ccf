//! What a patient agrees to, and for how long.
//!
//! A [`Question`] is one screen, as a site groups them; a [`ConsentKind`] is one flag of the exchange format. Every answer is recorded
//! with who gave it, when, until when it counts, and which text was shown.

use crate::clock::Stamp;
use crate::record::StaffName;
use crate::rules::{Rules, Today};
use serde::{Deserialize, Serialize};

/// Version of the texts of all questions as the templates show them; grows whenever the wording of one changes.
pub const TEXT_VERSION: u16 = 1;

/// One flag: a kind of information that may be shared, or a choice of the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKind {
    /// 手術情報 (OperationInfoConsFlg).
    Surgery,
    /// 診療情報 (DiagnosisInfoConsFlg).
    Diagnosis,
    /// 薬剤情報 (PharmacistsInfoConsFlg).
    Medication,
    /// 特定健診情報 (SpecificHealthCheckupsInfoConsFlg).
    Checkups,
    /// 限度額適用認定証等 (LimitApplicationCertificateRelatedConsFlg). The card needs no consent for it.
    LimitCertificate,
    /// 特定疾病療養受療証 (SpecificDiseasesCertificateRelatedConsFlg). With the card only.
    SpecificDiseases,
    /// 電子処方箋 (PrescriptionIssueSelect): `true` is 電子, `false` is 紙.
    ElectronicPrescription,
    /// 公費・医療費助成 by PMH: `true` is 利用する.
    Subsidies,
}

/// One question on the patient's screen. Which of them a site asks, and in which order, is configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// 過去の手術情報.
    Surgery,
    /// 過去の手術以外の診療・お薬情報, in one question as on the official poster.
    TreatmentAndMedication,
    /// 過去の診療情報.
    Diagnosis,
    /// 過去のお薬情報.
    Medication,
    /// 特定健診情報.
    Checkups,
    /// 特定疾病療養受療証.
    SpecificDiseases,
    /// 高額療養費制度を利用する (pharmacies): 限度額 and 特定疾病 together.
    HighCost,
    /// 電子処方箋 or paper.
    Prescription,
    /// 各種受給者証を利用しますか (PMH).
    Subsidies,
}

impl Question {
    /// Every question there is.
    pub const ALL: [Self; 9] = [
        Self::Surgery,
        Self::TreatmentAndMedication,
        Self::Diagnosis,
        Self::Medication,
        Self::Checkups,
        Self::SpecificDiseases,
        Self::HighCost,
        Self::Prescription,
        Self::Subsidies,
    ];

    /// The flags that the answer sets.
    pub fn flags(self) -> &'static [ConsentKind] {
        match self {
            Self::Surgery => &[ConsentKind::Surgery],
            Self::TreatmentAndMedication => &[ConsentKind::Diagnosis, ConsentKind::Medication],
            Self::Diagnosis => &[ConsentKind::Diagnosis],
            Self::Medication => &[ConsentKind::Medication],
            Self::Checkups => &[ConsentKind::Checkups],
            Self::SpecificDiseases => &[ConsentKind::SpecificDiseases],
            Self::HighCost => &[ConsentKind::LimitCertificate, ConsentKind::SpecificDiseases],
            Self::Prescription => &[ConsentKind::ElectronicPrescription],
            Self::Subsidies => &[ConsentKind::Subsidies],
        }
    }

    /// Whether it is about medical information, which a certificate within its grace does not give access to.
    pub fn is_medical(self) -> bool {
        matches!(
            self,
            Self::Surgery | Self::TreatmentAndMedication | Self::Diagnosis | Self::Medication | Self::Checkups
        )
    }

    /// The word for it in configuration, templates and messages: as serde writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Surgery => "surgery",
            Self::TreatmentAndMedication => "treatment_and_medication",
            Self::Diagnosis => "diagnosis",
            Self::Medication => "medication",
            Self::Checkups => "checkups",
            Self::SpecificDiseases => "specific_diseases",
            Self::HighCost => "high_cost",
            Self::Prescription => "prescription",
            Self::Subsidies => "subsidies",
        }
    }
}

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenBy {
    /// The patient, on the screen.
    Patient,
    /// Staff pressed the buttons for a patient who told them.
    StaffAssisted,
    /// Somebody who came along (代理人).
    Proxy,
    /// Nobody: a question left unanswered counts as "no".
    NotAnswered,
    /// No consent is needed by rule: 限度額 with the card.
    NotNeeded,
}

/// One flag with where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// What was asked.
    pub kind: ConsentKind,
    /// What was said. A question left unanswered is recorded as `false`: consent is never assumed.
    pub agreed: bool,
    /// When.
    pub given: Stamp,
    /// Who said it.
    pub by: GivenBy,
    /// For [`GivenBy::StaffAssisted`]: who pressed the buttons. `None` in records of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assisted_by: Option<StaffName>,
    /// [`TEXT_VERSION`] of the text that was shown.
    pub text: u16,
}

impl Consent {
    /// A flag answered now, with the present texts.
    pub fn new(kind: ConsentKind, agreed: bool, given: Stamp, by: GivenBy) -> Self {
        Self { kind, agreed, given, by, assisted_by: None, text: TEXT_VERSION }
    }

    /// The same, given by a patient who told this member of staff what to press.
    pub fn assisted(self, staff: &StaffName) -> Self {
        Self { by: GivenBy::StaffAssisted, assisted_by: Some(staff.clone()), ..self }
    }

    /// The moment after which this consent no longer counts by the rules of the day on which it was given, in milliseconds since 1970
    /// UTC. The central system refuses one that says anything else.
    pub fn available_until_ms(&self) -> i64 {
        let lifetime = Rules::on(Today::of(self.given)).consent_lifetime();
        self.given.wall_ms.saturating_add(lifetime.as_millis() as i64)
    }
}

/// What of `given` may still be sent when it comes late: whatever the patient has not answered anew since. The later word counts, whichever
/// way it went, and must not be overtaken by an earlier one. That none was needed is true of a card that was asked about, and that
/// question was refused.
pub fn not_answered_since(given: &[Consent], since: &[ConsentKind]) -> Vec<Consent> {
    let counts = |consent: &&Consent| consent.by != GivenBy::NotNeeded && !since.contains(&consent.kind);
    given.iter().filter(counts).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_anew_since_is_not_sent_late_and_the_rest_is_as_it_was_given() {
        let at = Stamp { wall_ms: 7, synchronised: false };
        let yes = |kind| Consent::new(kind, true, at, GivenBy::Patient);
        let (checkups, surgery) = (yes(ConsentKind::Checkups), yes(ConsentKind::Surgery));
        let given = [checkups.clone(), surgery.clone()];
        for (since, left) in [
            (vec![], given.to_vec()),
            (vec![ConsentKind::Subsidies], given.to_vec()),
            (vec![ConsentKind::Surgery], vec![checkups]),
            (vec![ConsentKind::Checkups, ConsentKind::Checkups], vec![surgery]),
            (vec![ConsentKind::Surgery, ConsentKind::Checkups], vec![]),
        ] {
            assert_eq!(not_answered_since(&given, &since), left, "{since:?}");
        }
        let by_card = Consent::new(ConsentKind::LimitCertificate, true, at, GivenBy::NotNeeded);
        assert_eq!(not_answered_since(&[by_card], &[]), [], "the card's question was refused");
    }

    #[test]
    fn a_question_has_the_word_that_it_is_written_with() {
        for question in Question::ALL {
            let spelt: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
                serde::de::IntoDeserializer::into_deserializer(question.word());
            assert_eq!(Question::deserialize(spelt), Ok(question));
        }
    }

    #[test]
    fn a_consent_counts_for_a_day_whatever_the_clock_says() {
        for wall_ms in [0, i64::MAX, -1] {
            let given = Stamp { wall_ms, synchronised: false };
            let consent = Consent::new(ConsentKind::Checkups, true, given, GivenBy::Patient);
            assert_eq!(consent.available_until_ms(), wall_ms.saturating_add(86_400_000));
        }
    }
}

//! What a qualification carries beside the insurance itself: certificates, medical tickets, and what was agreed to.

use time::{Duration, OffsetDateTime, UtcOffset};
use uketsuke_proto::central_v1::{
    ConsentKind, ConsentState, ElderlyRecipientCertificateInfo, LimitApplicationCertificateRelatedInfo,
    MedicalTicketInfo, Qualification, SpecificDiseasesCertificateInfo,
};

use super::ledger::GivenConsent;

/// First and last day of a certificate that is valid now.
const CERTIFICATE_FROM: &str = "20250801";
const CERTIFICATE_TO: &str = "20260731";

/// Adds the certificates of a person of this age; `draw` gives numbers that depend on the person and a label alone.
pub(super) fn certify(qualification: &mut Qualification, age: u64, draw: impl Fn(&str) -> u64) {
    qualification.preschool_classification = if age < 6 { "1" } else { "" }.to_owned();
    if (70..75).contains(&age) {
        qualification.elderly_recipient_certificate_info = Some(ElderlyRecipientCertificateInfo {
            elderly_recipient_certificate_date: CERTIFICATE_FROM.to_owned(),
            elderly_recipient_valid_start_date: CERTIFICATE_FROM.to_owned(),
            elderly_recipient_valid_end_date: CERTIFICATE_TO.to_owned(),
            elderly_recipient_contribution_ratio: qualification.insured_partial_contribution_ratio.clone(),
        });
    }
    if draw("limit certificate") % 10 < 4 {
        let flags: &[&str] =
            if age < 70 { &["A01", "A02", "A03", "A04", "A05"] } else { &["B02", "B03", "B04", "B05", "B06", "B09"] };
        let flag = pick(flags, draw("limit flag"));
        // 低所得 pay less for meals too.
        let reduced = matches!(flag, "A05" | "B05" | "B06");
        qualification.limit_application_certificate_related_info = Some(LimitApplicationCertificateRelatedInfo {
            limit_application_certificate_classification: if reduced { "02" } else { "01" }.to_owned(),
            limit_application_certificate_classification_flag: flag.to_owned(),
            limit_application_certificate_date: CERTIFICATE_FROM.to_owned(),
            limit_application_certificate_valid_start_date: CERTIFICATE_FROM.to_owned(),
            limit_application_certificate_valid_end_date: CERTIFICATE_TO.to_owned(),
            limit_application_certificate_long_term_date: if reduced { "20251201" } else { "" }.to_owned(),
        });
    }
    // Three in a hundred: more than in life, so that a morning meets them.
    if draw("specific disease") % 100 < 3 {
        let category = pick(&["1", "2", "3"], draw("disease category"));
        qualification.specific_diseases_certificate_list = vec![SpecificDiseasesCertificateInfo {
            specific_diseases_disease_category: category.to_owned(),
            specific_diseases_certificate_date: CERTIFICATE_FROM.to_owned(),
            specific_diseases_valid_start_date: CERTIFICATE_FROM.to_owned(),
            specific_diseases_valid_end_date: CERTIFICATE_TO.to_owned(),
            specific_diseases_self_pay: "10000".to_owned(),
        }];
    }
}

/// Turns a qualification into one of 医療扶助, with the medical ticket of the month. `insurer` is the payer number, which begins with
/// 12.
pub(super) fn welfare(qualification: Qualification, insurer: String, draw: impl Fn(&str) -> u64) -> Qualification {
    let ticket = MedicalTicketInfo {
        ticket_type: "1".to_owned(),
        medical_ticket_valid_date: "20260401".to_owned(),
        medical_ticket_expiration_date: "20260430".to_owned(),
        issue_number: format!("{:08}", draw("ticket") % 100_000_000),
        medical_treatment_month: "202604".to_owned(),
        designated_medical_institution_code: "9999999999".to_owned(),
        designated_medical_institution_flag: "1".to_owned(),
        designated_medical_institution_name: "見本医院".to_owned(),
        prescription_issuer_medical_institution_code: "9999999998".to_owned(),
        prescription_issuer_medical_institution_name: "試験診療所".to_owned(),
        injury_name1: "高血圧症".to_owned(),
        injury_name2: "２型糖尿病".to_owned(),
        injury_name3: "腰痛症".to_owned(),
        medical_treatment_type: "1".to_owned(),
        self_pay_amount: "0".to_owned(),
        district_contact_name: "見本地区担当".to_owned(),
        handling_contact_name: "見本取扱担当".to_owned(),
        single_or_combined_use: "1".to_owned(),
        status_of_social_insurance: "0".to_owned(),
        consistency_flag: "1".to_owned(),
        status_of_infecton: "0".to_owned(),
        status_of_elderly_medical_care: "0".to_owned(),
        status_of_prefectural_expenses: "0".to_owned(),
        remarks1: "見本".to_owned(),
        remarks2: "見本".to_owned(),
        remarks3: "見本".to_owned(),
    };
    Qualification {
        insured_card_classification: "A1".to_owned(),
        insurer_name: "見本県試験市福祉事務所".to_owned(),
        public_expense_number: insurer.clone(),
        beneficiary_number: format!("{:07}", draw("beneficiary") % 10_000_000),
        welfare_office_name: "見本県試験市福祉事務所".to_owned(),
        insurer_number: insurer,
        insured_card_symbol: String::new(),
        insured_partial_contribution_ratio: "000".to_owned(),
        limit_application_certificate_related_info: None,
        specific_diseases_certificate_list: Vec::new(),
        elderly_recipient_certificate_info: None,
        public_expense_result_list: vec![ticket],
        ..qualification
    }
}

/// How somebody was asked about, which decides what comes along.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// With the card: 限度額 and 特定疾病 come along. Whether the site may use them is for the consents that follow.
    ByCard,
    /// By numbers: 特定疾病 never, 限度額 only when the patient agreed.
    ByNumbers { limit_certificate: bool },
}

/// Writes down what was agreed to, as of `at_ms`, and takes away what may not be told.
pub(super) fn disclose(qualification: &mut Qualification, asked: Asked, consents: &[GivenConsent], at_ms: i64) {
    let (limit, diseases) = match asked {
        Asked::ByCard => (true, true),
        Asked::ByNumbers { limit_certificate } => (limit_certificate, false),
    };
    let flag = |agreed: bool| if agreed { "1" } else { "0" }.to_owned();
    let when = |agreed: bool| if agreed { stamp(at_ms) } else { String::new() };
    if !limit {
        qualification.limit_application_certificate_related_info = None;
    }
    if !diseases {
        qualification.specific_diseases_certificate_list.clear();
    }
    let diseases = !qualification.specific_diseases_certificate_list.is_empty();
    qualification.limit_application_certificate_related_cons_flg = flag(limit);
    qualification.limit_application_certificate_related_cons_time = when(limit);
    qualification.specific_diseases_certificate_related_cons_flg = flag(diseases);
    qualification.specific_diseases_certificate_related_cons_time = when(diseases);
    let given = |kind: ConsentKind| consents.iter().rev().find(|consent| consent.kind == kind.as_str_name());
    let state = |kind| {
        let agreed = given(kind).filter(|consent| consent.agreed);
        Some(ConsentState {
            cons_flg: flag(agreed.is_some()),
            cons_time: agreed.map(|consent| stamp(consent.given_at_ms)).unwrap_or_default(),
            available_time: agreed.map(|consent| stamp(consent.given_at_ms + DAY_MS)).unwrap_or_default(),
        })
    };
    qualification.specific_health_checkups_info = state(ConsentKind::Checkups);
    qualification.pharmacists_info = state(ConsentKind::Medication);
    qualification.prescription_info = state(ConsentKind::Medication);
    qualification.operation_info = state(ConsentKind::Surgery);
    // The six kinds of 電子カルテ情報共有 go with 診療情報 here.
    for element in [
        &mut qualification.diagnosis_info,
        &mut qualification.diagnosis_name,
        &mut qualification.infectious_info,
        &mut qualification.allergy_info,
        &mut qualification.contraindication_info,
        &mut qualification.test_info,
    ] {
        *element = state(ConsentKind::Diagnosis);
    }
    qualification.prescription_issue_select = prescription(consents);
}

/// PrescriptionIssueSelect: paper unless the patient chose otherwise.
pub(super) fn prescription(consents: &[GivenConsent]) -> String {
    let kind = ConsentKind::ElectronicPrescription.as_str_name();
    let electronic = consents.iter().rev().find(|consent| consent.kind == kind).is_some_and(|consent| consent.agreed);
    if electronic { "1" } else { "2" }.to_owned()
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// yyyyMMddHHmmss in Japan.
pub(super) fn stamp(at_ms: i64) -> String {
    let japan = UtcOffset::from_hms(9, 0, 0).unwrap_or(UtcOffset::UTC);
    let at = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::milliseconds(at_ms)).to_offset(japan);
    let (hour, minute, second) = at.to_hms();
    format!("{:04}{:02}{:02}{hour:02}{minute:02}{second:02}", at.year(), u8::from(at.month()), at.day())
}

fn pick<'a>(from: &[&'a str], draw: u64) -> &'a str {
    from.get(usize::try_from(draw % from.len() as u64).unwrap_or(0)).copied().unwrap_or_default()
}

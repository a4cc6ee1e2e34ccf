//! The persons in a kept answer, for comparison and for staff who look.

use prost::Message;
use std::fmt;
use uketsuke_core::answer::{Validity, bounded_code};
use uketsuke_core::person::{Person, Spelling};
use uketsuke_proto::central_v1 as wire;

/// Characters of a message of the central system that are shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// One result of an answer. Personal; `Debug` says nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Insured {
    /// Who.
    pub person: Person,
    /// By whom insured, as it may be shown beside a choice: 保険者名, or the number where there is no name.
    pub insurer: String,
    /// 資格取得年月日, yyyyMMdd; empty when it was not said.
    pub since: String,
    /// What else the answer says of the insurance, in the order in which a desk reads it; only what it says.
    pub facts: Vec<(Fact, Spelling)>,
}

impl Insured {
    /// What the answer says of this; `None` when it says nothing.
    pub fn fact(&self, wanted: Fact) -> Option<&str> {
        self.facts.iter().find(|(fact, _)| *fact == wanted).map(|(_, value)| value.as_str())
    }
}

/// What an answer says of an insurance, raw as it came: dates are yyyyMMdd, codes are codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// 保険者番号.
    InsurerNumber,
    /// 記号.
    Symbol,
    /// 番号.
    Number,
    /// 枝番.
    Branch,
    /// 本人・家族.
    Relation,
    /// 負担割合, three digits: `030` is 30 %.
    Share,
    /// 資格喪失年月日.
    Lost,
    /// 有効期限 of the document.
    ValidUntil,
    /// 高齢受給者証: its 負担割合.
    ElderlyShare,
    /// 高齢受給者証: its last day.
    ElderlyUntil,
    /// 限度額適用認定証: 適用区分 (OQSCD012).
    Limit,
    /// 限度額適用認定証: its first day.
    LimitFrom,
    /// 限度額適用認定証: its last day.
    LimitUntil,
    /// 特定疾病 (OQSCD013).
    Disease,
    /// 特定疾病: what the patient pays a month, in yen.
    DiseaseSelfPay,
    /// 医療扶助: 公費負担者番号.
    PublicExpense,
    /// 医療扶助: 受給者番号.
    Beneficiary,
    /// 医療扶助: 福祉事務所.
    WelfareOffice,
    /// 医療券: yyyyMM.
    TicketMonth,
    /// 医療券: its first day.
    TicketFrom,
    /// 医療券: its last day.
    TicketUntil,
    /// 医療券: what the patient pays, in yen.
    TicketSelfPay,
}

impl fmt::Debug for Insured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Insured(…)")
    }
}

/// The results of an encoded `EligibilityAnswer`, in its order; `None` when the bytes are none.
pub fn insured(answer: &[u8]) -> Option<Vec<Insured>> {
    let answer = wire::EligibilityAnswer::decode(answer).ok()?;
    Some(answer.results.into_iter().map(one).collect())
}

/// What the central system says in words beside its codes (ProcessingResultMessage), cut to what fits a page; `None` when it says nothing.
pub fn message(answer: &[u8]) -> Option<Spelling> {
    let said = wire::EligibilityAnswer::decode(answer).ok()?.processing_result_message;
    let said = said.trim();
    (!said.is_empty()).then(|| said.chars().take(MESSAGE_CHARS_MAX).collect::<String>().into())
}

/// Whether an answer says 有効(未登録): valid, but the medical ticket (医療券) of public assistance is not registered yet.
pub fn waits_for_ticket(answer: &[u8]) -> bool {
    wire::EligibilityAnswer::decode(answer)
        .is_ok_and(|answer| Validity::from_code(&answer.qualification_validity) == Validity::ValidUnregistered)
}

fn facts(result: &wire::Qualification) -> Vec<(Fact, Spelling)> {
    let elderly = result.elderly_recipient_certificate_info.as_ref();
    let limit = result.limit_application_certificate_related_info.as_ref();
    let disease = result.specific_diseases_certificate_list.first();
    let ticket = result.public_expense_result_list.first();
    let said = [
        (Fact::InsurerNumber, Some(&result.insurer_number)),
        (Fact::Symbol, Some(&result.insured_card_symbol)),
        (Fact::Number, Some(&result.insured_identification_number)),
        (Fact::Branch, Some(&result.insured_branch_number)),
        (Fact::Relation, Some(&result.personal_family_classification)),
        (Fact::Share, Some(&result.insured_partial_contribution_ratio)),
        (Fact::Lost, Some(&result.disqualification_date)),
        (Fact::ValidUntil, Some(&result.insured_card_expiration_date)),
        (Fact::ElderlyShare, elderly.map(|elderly| &elderly.elderly_recipient_contribution_ratio)),
        (Fact::ElderlyUntil, elderly.map(|elderly| &elderly.elderly_recipient_valid_end_date)),
        (Fact::Limit, limit.map(|limit| &limit.limit_application_certificate_classification_flag)),
        (Fact::LimitFrom, limit.map(|limit| &limit.limit_application_certificate_valid_start_date)),
        (Fact::LimitUntil, limit.map(|limit| &limit.limit_application_certificate_valid_end_date)),
        (Fact::Disease, disease.map(|disease| &disease.specific_diseases_disease_category)),
        (Fact::DiseaseSelfPay, disease.map(|disease| &disease.specific_diseases_self_pay)),
        (Fact::PublicExpense, Some(&result.public_expense_number)),
        (Fact::Beneficiary, Some(&result.beneficiary_number)),
        (Fact::WelfareOffice, Some(&result.welfare_office_name)),
        (Fact::TicketMonth, ticket.map(|ticket| &ticket.medical_treatment_month)),
        (Fact::TicketFrom, ticket.map(|ticket| &ticket.medical_ticket_valid_date)),
        (Fact::TicketUntil, ticket.map(|ticket| &ticket.medical_ticket_expiration_date)),
        (Fact::TicketSelfPay, ticket.map(|ticket| &ticket.self_pay_amount)),
    ];
    let text = |(fact, value): (Fact, Option<&String>)| {
        let value = value?.trim();
        (!value.is_empty()).then(|| (fact, value.into()))
    };
    said.into_iter().filter_map(text).collect()
}

fn one(result: wire::Qualification) -> Insured {
    let facts = facts(&result);
    let text = |text: String| (!text.is_empty()).then(|| text.into());
    let insurer = if result.insurer_name.is_empty() { result.insurer_number } else { result.insurer_name };
    Insured {
        person: Person {
            name: text(result.name),
            name_kana: text(result.name_kana),
            birthdate: text(result.birthdate),
            sex: text(result.sex1),
            address: text(result.address),
        },
        insurer: bounded_code(insurer.trim()),
        since: bounded_code(&result.qualification_date),
        facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_does_not_say_is_missing_rather_than_blank_and_nothing_is_printed() {
        let result = wire::Qualification {
            name: "MARKED".into(),
            insurer_number: "    1370".into(),
            insured_card_symbol: "MARKED".into(),
            insured_partial_contribution_ratio: "030".into(),
            ..wire::Qualification::default()
        };
        let answer = wire::EligibilityAnswer { results: vec![result], ..wire::EligibilityAnswer::default() };
        let told = insured(&answer.encode_to_vec()).unwrap();
        assert_eq!((told[0].person.name.is_some(), told[0].person.sex.is_some()), (true, false));
        assert_eq!(told[0].insurer, "1370");
        assert_eq!((told[0].fact(Fact::Symbol), told[0].fact(Fact::Number)), (Some("MARKED"), None));
        let said: Vec<Fact> = told[0].facts.iter().map(|(fact, _)| *fact).collect();
        assert_eq!(said, [Fact::InsurerNumber, Fact::Symbol, Fact::Share]);
        assert!(!format!("{:?}", told[0].facts).contains("MARKED"));
        assert!(!format!("{told:?}").contains("MARKED"));
        assert!(insured(b"\xff").is_none());
    }
}

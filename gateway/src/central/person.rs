//! The persons in a kept answer, for comparison and for staff who look.

use prost::Message;
use std::fmt;
use uketsuke_core::answer::bounded_code;
use uketsuke_core::person::Person;
use uketsuke_proto::central_v1 as wire;

/// One result of an answer. Personal; `Debug` says nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Insured {
    /// Who.
    pub person: Person,
    /// By whom insured, as it may be shown beside a choice: 保険者名, or the number where there is no name.
    pub insurer: String,
    /// 資格取得年月日, yyyyMMdd; empty when it was not said.
    pub since: String,
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

fn one(result: wire::Qualification) -> Insured {
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
            ..wire::Qualification::default()
        };
        let answer = wire::EligibilityAnswer { results: vec![result], ..wire::EligibilityAnswer::default() };
        let told = insured(&answer.encode_to_vec()).unwrap();
        assert_eq!((told[0].person.name.is_some(), told[0].person.sex.is_some()), (true, false));
        assert_eq!(told[0].insurer, "1370");
        assert!(!format!("{told:?}").contains("MARKED"));
        assert!(insured(b"\xff").is_none());
    }
}

//! What staff type from the patient's own papers or from the receipt computer.

use super::{CivilDate, Person};
use crate::fields::{Field, FieldProblem, Personal, Reader};
use crate::rules::Today;

/// What staff typed; empty where they typed nothing.
#[derive(Clone, Copy, Default)]
pub struct PersonTyped<'a> {
    /// 氏名.
    pub name: &'a str,
    /// 氏名カナ; may be missing, but decides where a ● leaves a doubt.
    pub name_kana: &'a str,
    /// 生年月日; month or day may be unknown (00), as registers have it.
    pub birthdate: &'a str,
    /// 性別; may be missing.
    pub sex: &'a str,
    /// 住所; may be missing.
    pub address: &'a str,
}

impl Person {
    /// Reads what staff typed: every spelling as it was typed, the birth date as yyyyMMdd, the sex as its code. `today` only tells birth
    /// dates that are still to come, and only when the clock can be believed.
    ///
    /// # Errors
    /// Every problem at once, each with its field, what is wrong and how to put it right.
    pub fn parse(typed: &PersonTyped<'_>, today: Today) -> Result<Self, Vec<FieldProblem>> {
        let mut reader = Reader::default();
        let spelling = |part: Option<Personal>| part.map(|part| part.reveal().into());
        let name = reader.required(Field::Name, typed.name, false);
        let name_kana = reader.optional(Field::NameKana, typed.name_kana, false);
        let incomplete = CivilDate::parse(typed.birthdate).filter(|date| !date.is_complete());
        let birthdate = match incomplete {
            Some(date) => Some(date.compact().into()),
            None => reader.birthdate(typed.birthdate, today).map(|date| date.reveal().into()),
        };
        let said = !typed.sex.trim().is_empty();
        let sex = if said { reader.sex(typed.sex).map(|sex| sex.code().to_string().into()) } else { None };
        let address = reader.optional(Field::Address, typed.address, false);
        reader.finish()?;
        Ok(Self { name: spelling(name), name_kana: spelling(name_kana), birthdate, sex, address: spelling(address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::date::Date;

    fn today() -> Today {
        Today { date: Date::new(2026, 1, 15).unwrap(), trusted: true }
    }

    #[test]
    fn spellings_stay_as_they_were_typed_and_dates_and_codes_are_read() {
        let typed =
            PersonTyped {
                name: " 髙橋　惠子 ", name_kana: "ﾀｶﾊｼ ｹｲｺ", birthdate: "S55.1.5", sex: "女", address: ""
            };
        let person = Person::parse(&typed, today()).unwrap();
        let part = |part: &Option<super::super::Spelling>| part.as_ref().map(|part| part.as_str().to_owned());
        assert_eq!(part(&person.name).as_deref(), Some("髙橋　惠子"));
        assert_eq!(part(&person.name_kana).as_deref(), Some("ﾀｶﾊｼ ｹｲｺ"));
        assert_eq!(part(&person.birthdate).as_deref(), Some("19800105"));
        assert_eq!(part(&person.sex).as_deref(), Some("2"));
        assert_eq!(person.address, None);
        let unknown_day = PersonTyped { birthdate: "昭和55年0月0日", ..typed };
        assert_eq!(part(&Person::parse(&unknown_day, today()).unwrap().birthdate).as_deref(), Some("19800000"));
    }

    #[test]
    fn every_gap_is_named_at_once() {
        let problems = |typed: &PersonTyped<'_>| -> Vec<_> {
            Person::parse(typed, today()).unwrap_err().iter().map(|problem| problem.field).collect()
        };
        assert_eq!(problems(&PersonTyped::default()), [Field::Name, Field::Birthdate]);
        let wrong = PersonTyped { name: "a", birthdate: "2026-01-16", sex: "x", ..PersonTyped::default() };
        assert_eq!(problems(&wrong), [Field::Birthdate, Field::Sex]);
    }
}

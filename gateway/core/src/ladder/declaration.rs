//! 被保険者資格申立書: what a patient declares when nothing shows the insurance, and what must be on it.
//!
//! Source: 保発0710第1号 (2023-07-10). A declaration with a gap is refused with every gap named, so that staff ask the patient once.

use crate::person::{CivilDate, Person, Spelling};
use serde::{Deserialize, Serialize};

/// Characters that a field may have: more than any name or address, less than what would hurt.
const LENGTH_MAX: usize = 200;

/// A declaration with everything that it must have. Sealed by the store; a case only knows that it is there ([`OnFile`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// 氏名.
    pub name: Spelling,
    /// 生年月日, as it was written.
    pub birthdate: Spelling,
    /// 性別, as it was written.
    pub sex: Spelling,
    /// 住所.
    pub address: Spelling,
    /// 保険者等名称 or 事業所名; `None` when the patient states that both are unknown.
    pub insurer_or_employer: Option<Spelling>,
    /// When the insurance changed, if known.
    pub changed_on: Option<Spelling>,
    /// Why the insurance cannot be confirmed.
    pub cause: CannotConfirm,
}

/// Why the insurance cannot be confirmed by the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CannotConfirm {
    /// The insurance changed and is not registered yet.
    NotRegisteredYet,
    /// The card or its certificate is at fault.
    Card,
    /// The reader, the line or a system is at fault.
    Machine,
    /// Something else, told on the form.
    Other,
}

/// Proof that a complete declaration was taken. Only [`Declaration::on_file`] makes one: no case says so without the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFile(());

/// The fields of the form, by the names under which they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FormField {
    /// `name`
    Name,
    /// `birthdate`
    Birthdate,
    /// `sex`
    Sex,
    /// `address`
    Address,
    /// `insurer`, or `insurer_unknown` = `yes`
    Insurer,
    /// `changed_on`, or nothing
    ChangedOn,
    /// `cause`: `not_registered_yet`, `card`, `machine` or `other`
    Cause,
    /// `signed` = `yes`: staff have seen the signature
    Signed,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Nothing is there.
    Missing,
    /// It cannot be understood.
    Unreadable,
    /// It is longer than 200 characters.
    TooLong,
}

/// A field that keeps a declaration from being accepted. Says which, never what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Which field.
    pub field: FormField,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Declaration {
    /// Reads a form. Of a field that is there twice the last counts; fields that the form does not have are passed over.
    ///
    /// # Errors
    /// Every field with a problem, in the order of the form: staff ask the patient and try again.
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<FieldProblem>> {
        let fields: Vec<(&str, &str)> = fields.into_iter().collect();
        let mut form = Form { fields: &fields, problems: Vec::new() };
        let name = form.text(FormField::Name, "name");
        let birthdate = form.text(FormField::Birthdate, "birthdate");
        form.require_date(FormField::Birthdate, birthdate.as_ref());
        let sex = form.text(FormField::Sex, "sex");
        let address = form.text(FormField::Address, "address");
        let unknown = form.get("insurer_unknown") == Some("yes");
        let insurer_or_employer = match form.get("insurer") {
            None if unknown => Some(None),
            _ => form.text(FormField::Insurer, "insurer").map(Some),
        };
        let changed_on = form.get("changed_on").map(Spelling::from);
        form.require_date(FormField::ChangedOn, changed_on.as_ref());
        let cause = form.text(FormField::Cause, "cause").and_then(|cause| form.cause(cause.as_str()));
        if form.get("signed") != Some("yes") {
            form.problem::<()>(FormField::Signed, Problem::Missing);
        }
        let problems = form.problems;
        match (name, birthdate, sex, address, insurer_or_employer, cause) {
            (Some(name), Some(birthdate), Some(sex), Some(address), Some(insurer_or_employer), Some(cause))
                if problems.is_empty() =>
            {
                Ok(Self { name, birthdate, sex, address, insurer_or_employer, changed_on, cause })
            }
            _ => Err(problems),
        }
    }

    /// Whom the patient declares to be, each part as it was written.
    pub fn person(&self) -> Person {
        Person {
            name: Some(self.name.clone()),
            name_kana: None,
            birthdate: Some(self.birthdate.clone()),
            sex: Some(self.sex.clone()),
            address: Some(self.address.clone()),
        }
    }

    /// What a case is told of this declaration.
    pub fn on_file(&self) -> OnFile {
        OnFile(())
    }
}

struct Form<'a> {
    fields: &'a [(&'a str, &'a str)],
    problems: Vec<FieldProblem>,
}

impl<'a> Form<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.fields.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    fn text(&mut self, field: FormField, key: &str) -> Option<Spelling> {
        match self.get(key) {
            None => self.problem(field, Problem::Missing),
            Some(value) if value.chars().count() > LENGTH_MAX => self.problem(field, Problem::TooLong),
            Some(value) => Some(value.into()),
        }
    }

    /// A date that is there must be one; month or day may be unknown (00).
    fn require_date(&mut self, field: FormField, text: Option<&Spelling>) {
        if text.is_some_and(|text| CivilDate::parse(text.as_str()).is_none()) {
            self.problem::<()>(field, Problem::Unreadable);
        }
    }

    fn cause(&mut self, word: &str) -> Option<CannotConfirm> {
        match word {
            "not_registered_yet" => Some(CannotConfirm::NotRegisteredYet),
            "card" => Some(CannotConfirm::Card),
            "machine" => Some(CannotConfirm::Machine),
            "other" => Some(CannotConfirm::Other),
            _ => self.problem(FormField::Cause, Problem::Unreadable),
        }
    }

    fn problem<T>(&mut self, field: FormField, problem: Problem) -> Option<T> {
        self.problems.push(FieldProblem { field, problem });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 8] = [
        ("name", "髙橋 恵子"),
        ("birthdate", "昭和55年1月5日"),
        ("sex", "女"),
        ("address", "東京都"),
        ("insurer", "青空商事"),
        ("changed_on", "2025-04-01"),
        ("cause", "not_registered_yet"),
        ("signed", "yes"),
    ];

    fn with(key: &str, value: &'static str) -> Result<Declaration, Vec<FieldProblem>> {
        Declaration::parse(COMPLETE.map(|(name, old)| (name, if name == key { value } else { old })))
    }

    #[test]
    fn a_complete_declaration_is_accepted_as_it_was_written() {
        let declaration = Declaration::parse(COMPLETE).unwrap();
        assert_eq!(declaration.name.as_str(), "髙橋 恵子");
        assert_eq!(declaration.birthdate.as_str(), "昭和55年1月5日");
        assert_eq!(declaration.cause, CannotConfirm::NotRegisteredYet);
    }

    #[test]
    fn each_mandatory_field_is_missed_by_name() {
        for (key, field) in [
            ("name", FormField::Name),
            ("birthdate", FormField::Birthdate),
            ("sex", FormField::Sex),
            ("address", FormField::Address),
            ("insurer", FormField::Insurer),
            ("cause", FormField::Cause),
            ("signed", FormField::Signed),
        ] {
            assert_eq!(with(key, "  "), Err(vec![FieldProblem { field, problem: Problem::Missing }]), "{key}");
        }
        assert_eq!(Declaration::parse([]).unwrap_err().len(), 7, "every gap at once");
    }

    #[test]
    fn what_the_patient_does_not_know_is_said_rather_than_left_out() {
        let unknown = COMPLETE.map(|field| if field.0 == "insurer" { ("insurer_unknown", "yes") } else { field });
        assert_eq!(Declaration::parse(unknown).unwrap().insurer_or_employer, None);
        assert_eq!(with("changed_on", "").unwrap().changed_on, None);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (key, field) in
            [("birthdate", FormField::Birthdate), ("changed_on", FormField::ChangedOn), ("cause", FormField::Cause)]
        {
            assert_eq!(with(key, "??"), Err(vec![FieldProblem { field, problem: Problem::Unreadable }]), "{key}");
        }
        let long = "長".repeat(LENGTH_MAX + 1);
        let problems =
            Declaration::parse(COMPLETE.map(|(name, value)| (name, if name == "address" { &long } else { value })));
        assert_eq!(problems, Err(vec![FieldProblem { field: FormField::Address, problem: Problem::TooLong }]));
    }

    #[test]
    fn a_declaration_prints_nothing_of_the_patient() {
        let told = format!("{:?}", Declaration::parse(COMPLETE).unwrap());
        assert!(!told.contains("髙橋") && !told.contains("昭和") && !told.contains("東京"), "{told}");
    }
}

//! 被保険者資格申立書: what a patient declares when nothing shows the insurance, and what must be on it.
//!
//! Source: 保発0710第1号 (2023-07-10). A declaration with a gap is refused with every gap named, so that staff ask the patient once.

use crate::fields::{Field, FieldProblem, Personal, Reader};
use crate::person::{CivilDate, Person, Spelling};
use crate::words::Words;
use serde::{Deserialize, Serialize};

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

impl Declaration {
    /// Reads a form: `name`, `birthdate`, `sex`, `address`, `insurer` or `insurer_unknown` = `yes`, `changed_on` or nothing, `cause` (a word of
    /// [`CannotConfirm`]), `signed` = `yes` once staff have seen the signature. Of a field that is there twice the last counts; fields that
    /// the form does not have are passed over.
    ///
    /// # Errors
    /// Every field with a problem, in the order of the form: staff ask the patient and try again.
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<FieldProblem>> {
        let fields: Vec<(&str, &str)> = fields.into_iter().collect();
        let get = |key| fields.iter().rev().find(|(name, _)| *name == key).map_or("", |(_, value)| value.trim());
        let mut form = Reader::default();
        let name = form.required(Field::Name, get("name"), false);
        let birthdate = form.required(Field::Birthdate, get("birthdate"), false);
        require_date(&mut form, Field::Birthdate, birthdate.as_ref());
        let sex = form.required(Field::Sex, get("sex"), false);
        let address = form.required(Field::Address, get("address"), false);
        let insurer_or_employer = match (get("insurer"), get("insurer_unknown")) {
            ("", "yes") => Some(None),
            (insurer, _) => form.required(Field::InsurerOrEmployer, insurer, false).map(Some),
        };
        let changed_on = form.optional(Field::ChangedOn, get("changed_on"), false);
        require_date(&mut form, Field::ChangedOn, changed_on.as_ref());
        let cause = cause(&mut form, get("cause"));
        if get("signed") != "yes" {
            form.problem(
                Field::Signed,
                Words { ja: "確認されていません。", en: "It is missing." },
                Words {
                    ja: "患者さんの署名を確かめてください。", en: "Look at the signature of the patient."
                },
            );
        }
        form.finish()?;
        // Each that is not there has said so.
        let (Some(name), Some(birthdate), Some(sex), Some(address), Some(insurer_or_employer), Some(cause)) =
            (name, birthdate, sex, address, insurer_or_employer, cause)
        else {
            return Err(Vec::new());
        };
        let text = |typed: &Personal| Spelling::from(typed.reveal());
        Ok(Self {
            name: text(&name),
            birthdate: text(&birthdate),
            sex: text(&sex),
            address: text(&address),
            insurer_or_employer: insurer_or_employer.as_ref().map(text),
            changed_on: changed_on.as_ref().map(text),
            cause,
        })
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

/// A date that is there must be one; month or day may be unknown (00).
fn require_date(form: &mut Reader, field: Field, typed: Option<&Personal>) {
    if typed.is_some_and(|typed| CivilDate::parse(typed.reveal()).is_none()) {
        form.problem(
            field,
            Words { ja: "日付として読めません。", en: "It cannot be read as a date." },
            Words {
                ja: "「1980-01-02」「昭和55年1月2日」のように入力してください。月日がわからなければ00とします。",
                en: "Type it like 1980-01-02 or 昭和55年1月2日, an unknown month or day as 00.",
            },
        );
    }
}

fn cause(form: &mut Reader, word: &str) -> Option<CannotConfirm> {
    let word = form.required(Field::Cause, word, false)?;
    Some(match word.reveal() {
        "not_registered_yet" => CannotConfirm::NotRegisteredYet,
        "card" => CannotConfirm::Card,
        "machine" => CannotConfirm::Machine,
        "other" => CannotConfirm::Other,
        _ => {
            form.problem(
                Field::Cause,
                Words { ja: "読み取れません。", en: "It cannot be read." },
                Words { ja: "一覧から選んでください。", en: "Choose one of the list." },
            );
            return None;
        }
    })
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

    fn fields(refused: Result<Declaration, Vec<FieldProblem>>) -> Vec<Field> {
        refused.unwrap_err().iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn each_mandatory_field_is_missed_by_name() {
        for (key, field) in [
            ("name", Field::Name),
            ("birthdate", Field::Birthdate),
            ("sex", Field::Sex),
            ("address", Field::Address),
            ("insurer", Field::InsurerOrEmployer),
            ("cause", Field::Cause),
            ("signed", Field::Signed),
        ] {
            assert_eq!(fields(with(key, "  ")), [field], "{key}");
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
        for (key, field) in [("birthdate", Field::Birthdate), ("changed_on", Field::ChangedOn), ("cause", Field::Cause)]
        {
            assert_eq!(fields(with(key, "??")), [field], "{key}");
        }
        let long = "長".repeat(1_000);
        let typed = COMPLETE.map(|(name, value)| (name, if name == "address" { &long } else { value }));
        assert_eq!(fields(Declaration::parse(typed)), [Field::Address]);
    }

    #[test]
    fn a_declaration_prints_nothing_of_the_patient() {
        let told = format!("{:?}", Declaration::parse(COMPLETE).unwrap());
        assert!(!told.contains("髙橋") && !told.contains("昭和") && !told.contains("東京"), "{told}");
    }
}

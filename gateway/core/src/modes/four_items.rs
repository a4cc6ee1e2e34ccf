//! 氏名・性別・生年月日・住所: who a patient is when no card and no document can say so.

use crate::fields::{Field, FieldProblem, Personal, PersonalDate, Reader, Sex};
use crate::rules::Today;

/// What staff typed; empty where they typed nothing.
#[derive(Clone, Copy, Default)]
pub struct FourItemsTyped<'a> {
    /// 氏名.
    pub name: &'a str,
    /// 性別: 男, 女, 未設定, or the code.
    pub sex: &'a str,
    /// 生年月日.
    pub birthdate: &'a str,
    /// 住所.
    pub address: &'a str,
}

/// The four items, read. What tells about a person does not print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FourItems {
    /// 氏名, spelled as it was typed.
    pub name: Personal,
    /// 性別.
    pub sex: Sex,
    /// 生年月日.
    pub birthdate: PersonalDate,
    /// 住所, spelled as it was typed.
    pub address: Personal,
}

impl FourItems {
    /// Reads what staff typed. `today` only tells birth dates that are still to come, and only when the clock can be believed.
    ///
    /// # Errors
    /// Every problem at once, each with its field, what is wrong and how to put it right.
    pub fn parse(typed: &FourItemsTyped<'_>, today: Today) -> Result<Self, Vec<FieldProblem>> {
        let mut reader = Reader::default();
        let name = reader.required(Field::Name, typed.name, false);
        let sex = reader.sex(typed.sex);
        let birthdate = reader.birthdate(typed.birthdate, today);
        let address = reader.required(Field::Address, typed.address, false);
        reader.finish()?;
        match (name, sex, birthdate, address) {
            (Some(name), Some(sex), Some(birthdate), Some(address)) => Ok(Self { name, sex, birthdate, address }),
            // An item that is not there has left a problem behind.
            _ => Err(Vec::new()),
        }
    }
}

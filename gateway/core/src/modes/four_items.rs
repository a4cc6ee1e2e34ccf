//! 氏名・性別・生年月日・住所: who a patient is when no card and no document can say so.

use crate::fields::{Field, FieldProblem, Personal, PersonalDate, Reader};
use crate::rules::Today;
use crate::words::Words;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 性別, by the codes of the eligibility system. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Sex(u8);

impl Sex {
    /// 1 男, 2 女, 3 未設定, for the request and the sealed column.
    pub fn code(&self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Sex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sex(redacted)")
    }
}

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
        let sex = sex(&mut reader, typed.sex);
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

fn sex(reader: &mut Reader, typed: &str) -> Option<Sex> {
    let typed = reader.required(Field::Sex, typed, true)?;
    match typed.reveal() {
        "1" | "男" | "男性" | "M" | "m" => Some(Sex(1)),
        "2" | "女" | "女性" | "F" | "f" => Some(Sex(2)),
        "3" | "未設定" | "不明" => Some(Sex(3)),
        _ => {
            reader.problem(
                Field::Sex,
                Words { ja: "性別として読めません。", en: "It cannot be read as a sex." },
                Words {
                    ja: "「男」「女」または「未設定」を選んでください。", en: "Choose 男, 女 or 未設定."
                },
            );
            None
        }
    }
}

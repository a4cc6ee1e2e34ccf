//! What staff type about a person: read strictly, explained field by field, kept out of every log.

use crate::date::{Date, NotADate, half_width};
use crate::rules::Today;
use crate::words::Words;
use serde::Serialize;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Characters that a text field takes at the most. The longest symbols and addresses stay well below.
const TEXT_CHARS_MAX: usize = 200;

/// Something typed about a person. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Personal(String);

impl Personal {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the request, the sealed column and the screen of who typed it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(redacted)")
    }
}

/// A day that tells about a person. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PersonalDate(String);

impl PersonalDate {
    pub(crate) fn new(date: Date) -> Self {
        Self(date.compact())
    }

    /// The day as `YYYYMMDD`, for the request and the sealed column.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalDate(redacted)")
    }
}

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

/// A field that staff fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// 保険者番号.
    InsurerNumber,
    /// 記号.
    Symbol,
    /// 番号.
    Number,
    /// 枝番.
    Branch,
    /// 生年月日.
    Birthdate,
    /// 有効期限.
    ValidUntil,
    /// 氏名.
    Name,
    /// 氏名カナ.
    NameKana,
    /// 性別.
    Sex,
    /// 住所.
    Address,
    /// 保険者等名称 or 事業所名.
    InsurerOrEmployer,
    /// When the insurance changed.
    ChangedOn,
    /// Why the insurance cannot be confirmed.
    Cause,
    /// That the signature was seen.
    Signed,
    /// Whether the patient agrees that 限度額 information is given.
    LimitCertificate,
}

impl Field {
    /// What the field is called.
    pub fn label(self) -> Words {
        match self {
            Self::InsurerNumber => Words { ja: "保険者番号", en: "insurer number" },
            Self::Symbol => Words { ja: "記号", en: "symbol" },
            Self::Number => Words { ja: "番号", en: "number" },
            Self::Branch => Words { ja: "枝番", en: "branch number" },
            Self::Birthdate => Words { ja: "生年月日", en: "birth date" },
            Self::ValidUntil => Words { ja: "有効期限", en: "valid until" },
            Self::Name => Words { ja: "氏名", en: "name" },
            Self::NameKana => Words { ja: "氏名カナ", en: "kana" },
            Self::Sex => Words { ja: "性別", en: "sex" },
            Self::Address => Words { ja: "住所", en: "address" },
            Self::InsurerOrEmployer => Words { ja: "保険者名または事業所名", en: "insurer or employer" },
            Self::ChangedOn => Words { ja: "資格の変わった日", en: "date of the change" },
            Self::Cause => Words { ja: "確認できない理由", en: "why it cannot be confirmed" },
            Self::Signed => Words { ja: "署名の確認", en: "that the signature was seen" },
            Self::LimitCertificate => Words { ja: "限度額の情報の提供", en: "limit information" },
        }
    }
}

/// What is wrong with a field, and how to put it right. Never repeats what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Which field.
    pub field: Field,
    /// What is wrong.
    pub what: Words,
    /// What to do.
    pub fix: Words,
}

impl FieldProblem {
    /// A consent that nobody has chosen. Untouched is neither yes nor no: whoever is recorded as having refused was asked.
    pub fn not_asked(field: Field) -> Self {
        Self {
            field,
            what: Words { ja: "選ばれていません。", en: "Nothing is chosen." },
            fix: Words {
                ja: "患者さんに聞いて、「同意する」か「同意しない」を選んでください。",
                en: "Ask the patient, then choose whether the patient agrees or not.",
            },
        }
    }
}

/// Reads fields one after the other and collects every problem, so that staff correct all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    problems: Vec<FieldProblem>,
}

impl Reader {
    pub(crate) fn problem(&mut self, field: Field, what: Words, fix: Words) {
        self.problems.push(FieldProblem { field, what, fix });
    }

    /// The problems, if there are any.
    pub(crate) fn finish(self) -> Result<(), Vec<FieldProblem>> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    /// A text that may be missing, without the space around it; full-width digits and letters become half-width where `fold` says so.
    pub(crate) fn optional(&mut self, field: Field, typed: &str, fold: bool) -> Option<Personal> {
        let trimmed = typed.trim();
        if trimmed.is_empty() {
            return None;
        }
        if trimmed.chars().count() > TEXT_CHARS_MAX || trimmed.chars().any(char::is_control) {
            self.problem(
                field,
                Words {
                    ja: "長すぎるか、使えない文字があります。",
                    en: "It is too long, or has characters that cannot be used.",
                },
                Words {
                    ja: "書類のとおりに入力し直してください。", en: "Type it again as it stands on the document."
                },
            );
            return None;
        }
        let text = if fold { trimmed.chars().map(half_width).collect() } else { trimmed.to_owned() };
        Some(Personal::new(text))
    }

    /// A text that must be there.
    pub(crate) fn required(&mut self, field: Field, typed: &str, fold: bool) -> Option<Personal> {
        if typed.trim().is_empty() {
            self.problem(
                field,
                Words { ja: "入力されていません。", en: "It is missing." },
                Words {
                    ja: "書類を見るか、患者さんに聞いて入力してください。",
                    en: "Take it from the document, or ask the patient.",
                },
            );
            return None;
        }
        self.optional(field, typed, fold)
    }

    /// A day in any of the forms that people write.
    pub(crate) fn date(&mut self, field: Field, typed: &str) -> Option<Date> {
        let (what, fix) = match Date::parse_written(typed) {
            Ok(date) => return Some(date),
            Err(NotADate::Form) => (
                Words { ja: "日付として読めません。", en: "It cannot be read as a date." },
                Words {
                    ja: "「19800102」「1980/1/2」「S55.1.2」「昭和55年1月2日」のように入力してください。",
                    en: "Type it like 19800102, 1980/1/2, S55.1.2 or 昭和55年1月2日.",
                },
            ),
            Err(NotADate::NoSuchDay) => (
                Words { ja: "暦にない日付です。", en: "The calendar has no such day." },
                Words { ja: "月と日を確かめてください。", en: "Check month and day." },
            ),
            Err(NotADate::OutsideEra) => (
                Words { ja: "その元号にない日付です。", en: "The era has no such day." },
                Words {
                    ja: "元号と年を確かめるか、西暦で入力してください。",
                    en: "Check era and year, or type the year of the western calendar.",
                },
            ),
        };
        self.problem(field, what, fix);
        None
    }

    /// A birth date: a day that is not still to come, as far as the clock can be believed.
    pub(crate) fn birthdate(&mut self, typed: &str, today: Today) -> Option<PersonalDate> {
        if typed.trim().is_empty() {
            self.required(Field::Birthdate, typed, true);
            return None;
        }
        let date = self.date(Field::Birthdate, typed)?;
        if today.trusted && date > today.date {
            self.problem(
                Field::Birthdate,
                Words { ja: "未来の日付です。", en: "It lies in the future." },
                Words { ja: "元号と年を確かめてください。", en: "Check era and year." },
            );
            return None;
        }
        Some(PersonalDate::new(date))
    }

    /// A 性別, as a word or as its code.
    pub(crate) fn sex(&mut self, typed: &str) -> Option<Sex> {
        let typed = self.required(Field::Sex, typed, true)?;
        match typed.reveal() {
            "1" | "男" | "男性" | "M" | "m" => Some(Sex(1)),
            "2" | "女" | "女性" | "F" | "f" => Some(Sex(2)),
            "3" | "未設定" | "不明" => Some(Sex(3)),
            _ => {
                self.problem(
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
}

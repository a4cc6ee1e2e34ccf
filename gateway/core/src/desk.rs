//! Without a card: staff enter what stands on a document, on the patient's Mynaportal or in a declaration, and the rules of the day say how
//! it counts.
//!
//! *Nobody is turned away here.* Every decision receives the patient or names a way to receive them; the last of these is the
//! declaration (被保険者資格申立書), which needs a pen. A check digit that does not fit is pointed out and never refuses.

use crate::date::Date;
use crate::fields::{Field, FieldProblem, Personal, PersonalDate, Reader};
use crate::rules::{Acceptance, Document, DocumentKind, Rule, RuleSet, Today};
use crate::words::Words;
use serde::{Deserialize, Serialize};

/// What was laid on the desk, as staff see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// 資格確認書.
    EligibilityCertificate,
    /// 従来の健康保険証.
    EarlierCard,
    /// 従来の後期高齢者医療被保険者証.
    EarlierCardElderly,
    /// 資格情報のお知らせ.
    Notice,
    /// マイナポータルの資格情報画面.
    Mynaportal,
    /// 被保険者資格申立書; its numbers are the patient's own, or those of a document that does not count any more.
    Declaration,
}

impl EntryKind {
    /// All of them, in the order of the form.
    pub const ALL: [Self; 6] = [
        Self::EligibilityCertificate,
        Self::EarlierCard,
        Self::EarlierCardElderly,
        Self::Notice,
        Self::Mynaportal,
        Self::Declaration,
    ];

    /// Its stable name, as forms send it.
    pub fn word(self) -> &'static str {
        match self {
            Self::EligibilityCertificate => "eligibility_certificate",
            Self::EarlierCard => "earlier_card",
            Self::EarlierCardElderly => "earlier_card_elderly",
            Self::Notice => "notice",
            Self::Mynaportal => "mynaportal",
            Self::Declaration => "declaration",
        }
    }

    /// What the rules call it.
    pub fn document(self) -> DocumentKind {
        match self {
            Self::EligibilityCertificate => DocumentKind::EligibilityCertificate,
            Self::EarlierCard => DocumentKind::EarlierCard,
            Self::EarlierCardElderly => DocumentKind::EarlierCardElderly,
            Self::Notice => DocumentKind::Notice,
            Self::Mynaportal => DocumentKind::Mynaportal,
            Self::Declaration => DocumentKind::Declaration,
        }
    }
}

/// What staff typed, field by field; empty where they typed nothing.
#[derive(Clone, Copy, Default)]
pub struct Fields<'a> {
    /// 保険者番号: 6 or 8 digits.
    pub insurer_number: &'a str,
    /// 記号; may be missing.
    pub symbol: &'a str,
    /// 番号.
    pub number: &'a str,
    /// 枝番: 2 digits; may be missing.
    pub branch: &'a str,
    /// 生年月日.
    pub birthdate: &'a str,
    /// 有効期限; may be missing.
    pub valid_until: &'a str,
}

/// A document, read. What tells about a person does not print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentEntry {
    /// What it is.
    pub kind: EntryKind,
    /// 保険者番号.
    pub insurer_number: Personal,
    /// 記号.
    pub symbol: Option<Personal>,
    /// 番号.
    pub number: Personal,
    /// 枝番.
    pub branch: Option<Personal>,
    /// 生年月日.
    pub birthdate: PersonalDate,
    /// 有効期限.
    pub valid_until: Option<Date>,
    /// What staff should look at again; nothing here stops the reception.
    pub warnings: Vec<FieldProblem>,
}

impl DocumentEntry {
    /// Reads what staff typed. `today` only tells birth dates that are still to come, and only when the clock can be believed.
    ///
    /// # Errors
    /// Every problem at once, each with its field, what is wrong and how to put it right.
    pub fn parse(kind: EntryKind, typed: &Fields<'_>, today: Today) -> Result<Self, Vec<FieldProblem>> {
        let mut reader = Reader::default();
        let insurer_number = insurer_number(&mut reader, typed.insurer_number);
        let symbol = reader.optional(Field::Symbol, typed.symbol, true);
        let number = reader.required(Field::Number, typed.number, true);
        let branch = branch(&mut reader, typed.branch);
        let birthdate = reader.birthdate(typed.birthdate, today);
        let valid_until = match typed.valid_until.trim() {
            "" => None,
            typed => reader.date(Field::ValidUntil, typed),
        };
        reader.finish()?;
        let (Some(insurer_number), Some(number), Some(birthdate)) = (insurer_number, number, birthdate) else {
            // A required field that is not there has left a problem behind.
            return Err(Vec::new());
        };
        let warnings = warnings(kind, insurer_number.reveal(), symbol.as_ref());
        Ok(Self { kind, insurer_number, symbol, number, branch, birthdate, valid_until, warnings })
    }

    /// What the rules are asked about. An earlier card is one of the elderly's insurance by its number, whatever staff chose: the
    /// two end on different days.
    pub fn document(&self) -> Document {
        let elderly = is_elderly(self.insurer_number.reveal());
        let kind = match self.kind {
            EntryKind::EarlierCard | EntryKind::EarlierCardElderly if elderly => DocumentKind::EarlierCardElderly,
            EntryKind::EarlierCard | EntryKind::EarlierCardElderly => DocumentKind::EarlierCard,
            kind => kind.document(),
        };
        // A declaration has no last day: one that stands in the form is that of the document it takes the place of.
        let valid_until = self.valid_until.filter(|_| kind != DocumentKind::Declaration);
        Document { kind, valid_until }
    }
}

/// 後期高齢者医療: eight digits that begin with the statutory number 39.
fn is_elderly(insurer_number: &str) -> bool {
    insurer_number.len() == 8 && insurer_number.starts_with("39")
}

fn insurer_number(reader: &mut Reader, typed: &str) -> Option<Personal> {
    let number = reader.required(Field::InsurerNumber, typed, true)?;
    if matches!(number.reveal().len(), 6 | 8) && number.reveal().bytes().all(|b| b.is_ascii_digit()) {
        return Some(number);
    }
    reader.problem(
        Field::InsurerNumber,
        Words { ja: "6桁または8桁の数字ではありません。", en: "It is not 6 or 8 digits." },
        Words {
            ja: "書類の保険者番号を数字だけで入力してください。",
            en: "Type the digits of the document's 保険者番号 alone.",
        },
    );
    None
}

fn branch(reader: &mut Reader, typed: &str) -> Option<Personal> {
    let branch = reader.optional(Field::Branch, typed, true)?;
    if branch.reveal().len() == 2 && branch.reveal().bytes().all(|b| b.is_ascii_digit()) {
        return Some(branch);
    }
    reader.problem(
        Field::Branch,
        Words { ja: "2桁の数字ではありません。", en: "It is not 2 digits." },
        Words {
            ja: "「01」のように2桁で入力するか、空けておいてください。",
            en: "Type two digits like 01, or leave it empty.",
        },
    );
    None
}

fn warnings(kind: EntryKind, insurer_number: &str, symbol: Option<&Personal>) -> Vec<FieldProblem> {
    let elderly = is_elderly(insurer_number);
    let checks = [
        (
            !check_digit_fits(insurer_number),
            Field::InsurerNumber,
            Words { ja: "検証番号が合いません。", en: "Its check digit does not fit." },
            Words {
                ja: "書類の保険者番号ともう一度見比べてください。同じであればこのまま進めます。",
                en: "Compare it with the document once more; if it is the same, go on.",
            },
        ),
        (
            elderly && symbol.is_some(),
            Field::Symbol,
            Words {
                ja: "後期高齢者医療の番号には記号がありません。",
                en: "Numbers of the elderly's insurance have no symbol.",
            },
            Words { ja: "記号の欄を空けてください。", en: "Leave the symbol empty." },
        ),
        (
            kind == EntryKind::EarlierCardElderly && !elderly,
            Field::InsurerNumber,
            Words {
                ja: "後期高齢者医療の保険者番号(39で始まる8桁)ではありません。",
                en: "It is not a number of the elderly's insurance (8 digits that begin with 39).",
            },
            Words {
                ja: "書類の種類と保険者番号を確かめてください。",
                en: "Check the kind of document and its 保険者番号.",
            },
        ),
    ];
    let holds = checks.into_iter().filter(|(wrong, ..)| *wrong);
    holds.map(|(_, field, what, fix)| FieldProblem { field, what, fix }).collect()
}

/// The check digit of a 保険者番号 is its last: the digits before it are multiplied by 2 and 1 in turn, beginning with 2 at the one
/// next to it; the digits of the products are summed, and the check digit makes the sum a multiple of ten (保険者番号等の設定要領).
fn check_digit_fits(insurer_number: &str) -> bool {
    let digits = insurer_number.bytes().rev().map(|digit| u32::from(digit.wrapping_sub(b'0')));
    let sum: u32 = digits
        .zip([1, 2].into_iter().cycle())
        .map(|(digit, weight)| digit * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    sum.is_multiple_of(10)
}

/// What the desk does with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeskDecision {
    /// Receive the patient; eligibility is asked by the numbers.
    Receive {
        /// By this rule.
        rule: &'static Rule,
        /// The day was not to be trusted.
        clock_doubtful: bool,
    },
    /// Receive the patient for the time being.
    ReceiveProvisionally {
        /// By this rule.
        rule: &'static Rule,
        /// Why not for good.
        why: Words,
        /// The day was not to be trusted.
        clock_doubtful: bool,
    },
    /// The document does not count; receive the patient in another way.
    ReceiveOtherwise {
        /// By this rule.
        rule: &'static Rule,
        /// Why it does not count.
        reason: Words,
        /// In which way: never one that costs 100 %.
        next: Words,
    },
}

/// What to do with a document under these rules. A doubtful clock never leads to [`DeskDecision::ReceiveOtherwise`].
pub fn decide(entry: &DocumentEntry, rules: &RuleSet, today: Today) -> DeskDecision {
    let document = entry.document();
    let verdict = rules.accepts(&document, today);
    let clock_doubtful = verdict.clock_doubtful;
    match verdict.acceptance {
        Acceptance::Accepted { rule } => DeskDecision::Receive { rule, clock_doubtful },
        // The card that it counts beside is not in a reader, or staff would not type.
        Acceptance::AcceptedBesideCard { rule } => DeskDecision::ReceiveProvisionally {
            rule,
            why: Words {
                ja: "仮受付としました。カードとあわせて見せていただく書類です。資格は番号で照会しています。カードがなければ、被保険者資格申立書を書いていただきます。10割負担にはなりません。",
                en: "Received provisionally: this is shown together with the card. Eligibility is asked by the numbers; without the card, have the declaration (被保険者資格申立書) filled in. The patient is not charged 100 %.",
            },
            clock_doubtful,
        },
        Acceptance::AcceptedProvisionally { rule } if clock_doubtful => DeskDecision::ReceiveProvisionally {
            rule,
            why: Words {
                ja: "この機器の時計が確かでないため、期限を判断できません。番号で資格を照会し、仮受付とします。",
                en: "The gateway's clock is not synchronised, so dates cannot be judged: eligibility is asked by the numbers.",
            },
            clock_doubtful,
        },
        Acceptance::AcceptedProvisionally { rule } => {
            DeskDecision::ReceiveProvisionally { rule, why: rule.meaning, clock_doubtful }
        }
        Acceptance::NotAccepted { rule, next } => {
            DeskDecision::ReceiveOtherwise { rule, reason: reason(&document, rule, rules.today().date), next }
        }
    }
}

fn reason(document: &Document, rule: &Rule, day: Date) -> Words {
    if rule.from.is_some_and(|from| day < from) {
        return Words {
            ja: "この書類はまだ使えない日付です。", en: "This document does not count yet."
        };
    }
    if rule.until.is_some_and(|until| until < day) {
        return Words {
            ja: "この書類で受け付けられる期間は終わりました。",
            en: "The time in which this document counted is over.",
        };
    }
    match document.kind {
        DocumentKind::EligibilityCertificate => Words {
            ja: "資格確認書の有効期限が切れています。",
            en: "The certificate (資格確認書) is past its day.",
        },
        _ => {
            Words { ja: "保険証の有効期限が切れています。", en: "The insurance card is past its day." }
        }
    }
}

#[cfg(test)]
mod tests;

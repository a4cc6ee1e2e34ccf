//! What a case page shows on request: who the patient is, what the insurance says, and what was filed.
//!
//! All of it is personal: it stands behind a fold that staff open, on the page of one case, and is kept nowhere.

use super::jst;
use super::words::Words;
use crate::central::{Fact, Insured};
use crate::store::papers::{EnteredNumbers, Filed, Paper};
use uketsuke_core::explain;
use uketsuke_core::ladder::{CannotConfirm, Declaration, Numbers};
use uketsuke_core::person::{Person, Spelling};

/// A field and what it says.
pub(super) struct Detail {
    pub(super) field: &'static str,
    pub(super) value: String,
}

/// Some details under a heading.
pub(super) struct Sheet {
    pub(super) heading: String,
    pub(super) details: Vec<Detail>,
}

/// Something that was filed: when, by whom, what; `details` are what can be read back.
pub(super) struct PaperRow {
    pub(super) when: String,
    pub(super) line: String,
    pub(super) details: Vec<Detail>,
}

/// Leaves out what was not said.
fn said(details: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Vec<Detail> {
    details.into_iter().filter_map(|(field, value)| value.map(|value| Detail { field, value })).collect()
}

fn text(value: &Spelling) -> Option<String> {
    (!value.as_str().is_empty()).then(|| value.as_str().to_owned())
}

/// Who somebody is.
pub(super) fn person(person: &Person, w: Words) -> Vec<Detail> {
    let part = |value: &Option<Spelling>| value.as_ref().and_then(text);
    said([
        (w.t("氏名", "name"), part(&person.name)),
        (w.t("カナ", "kana"), part(&person.name_kana)),
        (w.t("生年月日", "birth date"), part(&person.birthdate)),
        (w.t("性別", "sex"), part(&person.sex)),
        (w.t("住所", "address"), part(&person.address)),
    ])
}

/// An insurance, as staff tell it from another one: two of one insurer from the same day differ in their numbers.
pub(super) fn label(insured: &Insured, w: Words) -> String {
    let numbers = [Fact::Symbol, Fact::Number, Fact::Branch]
        .into_iter()
        .filter_map(|fact| insured.fact(fact).map(|value| format!(" {} {value}", field(fact, w))));
    format!("{} ({}){}", insured.insurer, insured.since, numbers.collect::<String>())
}

/// What an answer says of an insurance.
pub(super) fn insurance(insured: &Insured, w: Words) -> Sheet {
    let facts = insured.facts.iter().map(|(fact, raw)| Detail { field: field(*fact, w), value: value(*fact, raw, w) });
    Sheet { heading: format!("{} ({})", insured.insurer, insured.since), details: facts.collect() }
}

fn field(fact: Fact, w: Words) -> &'static str {
    match fact {
        Fact::InsurerNumber => w.t("保険者番号", "insurer number"),
        Fact::Symbol => w.t("記号", "symbol"),
        Fact::Number => w.t("番号", "number"),
        Fact::Branch => w.t("枝番", "branch"),
        Fact::Relation => w.t("本人・家族", "insured or family"),
        Fact::Share => w.t("負担割合", "share"),
        Fact::Lost => w.t("資格喪失日", "lost on"),
        Fact::ValidUntil => w.t("有効期限", "valid until"),
        Fact::ElderlyShare => w.t("高齢受給者証の負担割合", "share (elderly)"),
        Fact::ElderlyUntil => w.t("高齢受給者証の期限", "elderly certificate until"),
        Fact::Limit => w.t("限度額の適用区分", "limit class"),
        Fact::LimitFrom => w.t("限度額の開始", "limit from"),
        Fact::LimitUntil => w.t("限度額の期限", "limit until"),
        Fact::Disease => w.t("特定疾病", "specific disease"),
        Fact::DiseaseSelfPay => w.t("特定疾病の自己負担(円/月)", "pays for it (yen a month)"),
        Fact::PublicExpense => w.t("公費負担者番号", "public expense number"),
        Fact::Beneficiary => w.t("受給者番号", "beneficiary number"),
        Fact::WelfareOffice => w.t("福祉事務所", "welfare office"),
        Fact::TicketMonth => w.t("医療券の診療月", "medical ticket for"),
        Fact::TicketFrom => w.t("医療券の開始", "medical ticket from"),
        Fact::TicketUntil => w.t("医療券の期限", "medical ticket until"),
        Fact::TicketSelfPay => w.t("医療券の本人支払額(円)", "medical ticket, pays (yen)"),
    }
}

/// Codes that are known in words, always with the code: what is not known is shown as it came.
fn value(fact: Fact, raw: &Spelling, w: Words) -> String {
    let raw = raw.as_str();
    let known = match (fact, raw) {
        (Fact::Relation, "1") => w.t("本人", "insured"),
        (Fact::Relation, "2") => w.t("家族", "family"),
        (Fact::Disease, "1") => w.t("人工透析", "dialysis"),
        (Fact::Disease, "2") => w.t("血友病", "haemophilia"),
        (Fact::Disease, "3") => "HIV",
        (Fact::Limit, code) => limit_class(code).unwrap_or_default(),
        (Fact::Share | Fact::ElderlyShare, _) => {
            let percent = raw.parse::<u16>().ok().filter(|_| raw.len() == 3);
            return percent.map_or_else(|| raw.to_owned(), |percent| format!("{percent} %"));
        }
        _ => "",
    };
    if known.is_empty() { raw.to_owned() } else { format!("{known} ({raw})") }
}

/// OQSCD012.
fn limit_class(code: &str) -> Option<&'static str> {
    Some(match code {
        "A01" => "ア",
        "A02" => "イ",
        "A03" => "ウ",
        "A04" => "エ",
        "A05" => "オ",
        "A06" => "オ(境)",
        "B01" => "現役並みⅢ",
        "B02" => "現役並みⅡ",
        "B03" => "現役並みⅠ",
        "B04" => "一般",
        "B05" => "低所得Ⅱ",
        "B06" => "低所得Ⅰ",
        "B07" => "低所得Ⅰ(老福)",
        "B08" => "低所得Ⅰ(境)",
        "B09" => "一般Ⅱ",
        "B10" => "一般Ⅰ",
        _ => return None,
    })
}

/// A paper as the page lists it; `None` for one that another paper already tells.
pub(super) fn paper(paper: &Paper, now_ms: i64, w: Words) -> Option<PaperRow> {
    let (what, details) = match &paper.filed {
        Filed::Numbers(entered) => (w.t("番号を入力", "numbers entered").to_owned(), numbers(entered, w)),
        Filed::Declaration(form) => {
            (w.t("被保険者資格申立書を記録", "declaration recorded").to_owned(), declaration(form, w))
        }
        Filed::Note(note) => (note.as_str().to_owned(), Vec::new()),
        Filed::Person(known) => (w.t("氏名などを記録", "person recorded").to_owned(), person(known, w)),
        Filed::Action(word) => (action(word, w)?.to_owned(), Vec::new()),
    };
    let line = format!("{}: {what}", paper.by.as_str());
    Some(PaperRow { when: jst::moment(paper.at.wall_ms, now_ms), line, details })
}

/// What staff did, for the words that no other paper says already.
fn action(word: &str, w: Words) -> Option<&'static str> {
    Some(match word {
        "next_rung" => w.t("「次へ」を選択", "went on to the next step"),
        "chosen" => w.t("使う保険を選択", "insurance chosen"),
        "same_person" => w.t("「同じ方です」を選択", "found to be the same person"),
        "other_person" => w.t("「別の方です」を選択", "found to be somebody else"),
        "acknowledged" => w.t("確認済み", "seen, and told where needed"),
        "end_ineligible" => w.t("無効として終了", "ended as not valid"),
        "close" => w.t("ほかの理由で終了", "closed for another reason"),
        _ => return None,
    })
}

fn numbers(entered: &EnteredNumbers, w: Words) -> Vec<Detail> {
    let which = match entered.which {
        Numbers::Original => w.t("受付のときの番号", "as received"),
        Numbers::Current => w.t("現在の保険", "present insurance"),
        Numbers::Earlier => w.t("以前の保険", "earlier insurance"),
    };
    let unsigned = if entered.limit_certificate { w.t("はい", "yes") } else { w.t("いいえ", "no") };
    let limit = entered.consent.as_ref().map(|given| explain::consent(given, w.0).words);
    said([
        (w.t("どの番号", "which numbers"), Some(which.to_owned())),
        (w.t("保険者番号", "insurer number"), text(&entered.insurer)),
        (w.t("記号", "symbol"), text(&entered.symbol)),
        (w.t("番号", "number"), text(&entered.number)),
        (w.t("枝番", "branch"), text(&entered.branch)),
        (w.t("生年月日", "birth date"), text(&entered.birthdate)),
        (
            w.t("限度額の情報の提供に同意", "agrees to share limit information"),
            Some(limit.unwrap_or_else(|| unsigned.to_owned())),
        ),
    ])
}

fn declaration(form: &Declaration, w: Words) -> Vec<Detail> {
    let cause = match form.cause {
        CannotConfirm::NotRegisteredYet => w.t("保険の変更が未登録", "change not registered yet"),
        CannotConfirm::Card => w.t("カードの不具合", "card"),
        CannotConfirm::Machine => w.t("機器・回線の不具合", "machine or line"),
        CannotConfirm::Other => w.t("その他", "other"),
    };
    let insurer = form.insurer_or_employer.as_ref().and_then(text);
    let insurer = insurer.unwrap_or_else(|| w.t("不明", "unknown").to_owned());
    said([
        (w.t("氏名", "name"), text(&form.name)),
        (w.t("生年月日", "birth date"), text(&form.birthdate)),
        (w.t("性別", "sex"), text(&form.sex)),
        (w.t("住所", "address"), text(&form.address)),
        (w.t("保険者名または事業所名", "insurer or employer"), Some(insurer)),
        (w.t("変更日", "changed on"), form.changed_on.as_ref().and_then(text)),
        (w.t("確認できない理由", "why it cannot be confirmed"), Some(cause.to_owned())),
    ])
}

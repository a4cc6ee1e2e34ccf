//! What stands beside a reception: its answer's small print, the other receptions of its visit, and what is open from earlier ones.

use super::{Advice, Explanation, Lang, advice, consent, moment};
use crate::consent::Consent;
use crate::ids::ReceptionId;
use crate::ladder::{self, Case};
use serde::Serialize;

/// An open case of an earlier reception of the same patient: what the desk can settle now that the patient is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EarlierCase {
    /// Which reception.
    pub reception: ReceptionId,
    /// When it was opened, in Japan.
    pub opened: String,
    /// How its case stands.
    #[serde(flatten)]
    pub advice: Advice,
}

/// Tells an open case of an earlier reception.
pub fn earlier_case(reception: ReceptionId, opened_ms: i64, case: &Case, lang: Lang) -> EarlierCase {
    EarlierCase { reception, opened: moment(opened_ms), advice: ladder::words::work(case.work(), lang) }
}

impl EarlierCase {
    /// In one line.
    pub fn line(&self, lang: Lang) -> String {
        let Self { opened, advice, .. } = self;
        match lang {
            Lang::Ja => {
                format!(
                    "同じ患者さんの以前の受付({opened})が確認の途中です。{} 次にすること: {}",
                    advice.what, advice.next
                )
            }
            Lang::En => format!(
                "an earlier check-in of this patient ({opened}) is still to be settled. {} Next: {}",
                advice.what, advice.next
            ),
        }
    }
}

/// The same, for a patient with open cases of earlier receptions.
pub fn with_earlier(mut told: Explanation, earlier: Vec<EarlierCase>, lang: Lang) -> Explanation {
    told.story.extend(earlier.iter().map(|case| format!("{} ({})", case.line(lang), case.reception)));
    told.earlier = earlier;
    told
}

/// The same, when the answer that counts said 有効(未登録): the insurance is valid, but the medical ticket is not registered yet.
pub fn without_ticket(mut told: Explanation, lang: Lang) -> Explanation {
    let what = lang.pick(
        "資格は有効ですが、医療券・調剤券がまだ登録されていません(医療扶助)。",
        "The insurance is valid, but the medical ticket (医療券, public assistance) is not registered yet.",
    );
    if matches!(told.advice.code.as_str(), "confirmed" | "confirmed_later") {
        let next = lang.pick(
            "受付はこのままで有効です。医療券が出ているかを福祉事務所に確かめ、登録されたらもう一度照会してください。10割の請求はしません。",
            "The check-in counts as it is. Ask the welfare office whether the ticket has been issued, and ask again once it is registered. Do not bill 100 %.",
        );
        told.advice = advice("confirmed_without_ticket", what, next);
    }
    told.story.push(what.to_owned());
    told
}

/// The same, with what the patient agreed to since the reception, when staff asked.
pub fn asked_since<'a>(mut told: Explanation, given: impl Iterator<Item = &'a Consent>, lang: Lang) -> Explanation {
    for given in given {
        let consent = consent(given, lang);
        told.story.push(format!("{}: {}", moment(consent.given_ms), consent.words));
        told.consents.push(consent);
    }
    told
}

/// The same, when the latest answer came after its case had ended.
pub fn answered_late(mut told: Explanation, lang: Lang) -> Explanation {
    let line = lang.pick(
        "最後の答えは、案件が終わったあとに届きました。終わり方は変わりません。請求と合わない場合は、保険者に確かめてください。",
        "the latest answer came after the case had ended, and does not change how it ended. Where the bill says otherwise, ask the insurer.",
    );
    told.story.push(line.to_owned());
    told
}

/// The same, for one of several receptions of a visit: which of them goes to the receipt computer, `None` while none is recorded.
pub fn of_visit(mut told: Explanation, reception: ReceptionId, goes: Option<ReceptionId>, lang: Lang) -> Explanation {
    told.story.push(match (goes, lang) {
        (None, _) => lang
            .pick(
                "同じ来院の受付は、まだどれも記録が終わっていません。",
                "no check-in of this visit has been recorded yet.",
            )
            .to_owned(),
        (Some(goes), Lang::Ja) if goes == reception => {
            "同じ来院の受付のうち、先に記録されたこの受付をレセプトコンピューターの受付とします。".to_owned()
        }
        (Some(goes), Lang::En) if goes == reception => {
            "of the check-ins of this visit this one, recorded first, counts for the receipt computer.".to_owned()
        }
        (Some(goes), Lang::Ja) => {
            format!("レセプトコンピューターの受付とするのは、同じ来院で先に記録された {goes} です。")
        }
        (Some(goes), Lang::En) => {
            format!("for the receipt computer {goes} counts, which was recorded first in this visit.")
        }
    });
    told.for_receipt_computer = goes;
    told
}

//! The ladder in words: what staff are to do next with a case, and why something that they did does not count.

use super::{Basis, CloseReason, Final, Refusal, Work};
use crate::explain::{Advice, Lang};

/// One thing to say: a stable word, then what is the case and what to do next, in both languages.
struct Words(&'static str, [&'static str; 2], [&'static str; 2]);

const NOTHING: [&str; 2] = ["することはありません。", "Nothing to do."];

impl Words {
    fn advice(self, lang: Lang) -> Advice {
        let Self(code, what, next) = self;
        Advice { code: code.into(), what: lang.pick(what[0], what[1]).into(), next: lang.pick(next[0], next[1]).into() }
    }
}

/// What is the case, and what staff are to do next.
pub fn work(work: Work, lang: Lang) -> Advice {
    if let Work::ChooseInsurance { count, .. } = work {
        return choose(count, lang);
    }
    waiting(work).or_else(|| for_staff(work)).unwrap_or_else(|| end(work)).advice(lang)
}

fn choose(count: u32, lang: Lang) -> Advice {
    Advice {
        code: "choose_insurance".into(),
        what: match lang {
            Lang::Ja => format!("有効な資格が複数({count}件)見つかりました。"),
            Lang::En => format!("Several valid insurances were found ({count})."),
        },
        next: lang
            .pick(
                "どの保険を使うかを患者さんに確認し、一つを選んでください。",
                "Ask the patient which one to use, and choose it.",
            )
            .into(),
    }
}

fn waiting(work: Work) -> Option<Words> {
    Some(match work {
        Work::AwaitAnswer => Words(
            "await_answer",
            ["資格確認システムからの答えを待っています。", "The answer of the central system is still to come."],
            [
                "することはありません。答えは自動的に届きます。10割の請求はしません。",
                "Nothing to do: it comes by itself. Do not bill 100 %.",
            ],
        ),
        Work::AwaitLaterData => Words(
            "await_later_data",
            [
                "資格がまだ登録されていない可能性があります。日をおいて、自動的に確認し直します。",
                "The insurance may not be registered yet. It is asked for again by itself, some days apart.",
            ],
            [
                "することはありません。急ぐ場合は「次へ」を選び、マイナポータルの画面か資格情報のお知らせの番号を入力してください。",
                "Nothing to do. In a hurry, choose \"Next step\" and enter the numbers from the Mynaportal screen or the notice (資格情報のお知らせ).",
            ],
        ),
        Work::AwaitNumbersAnswer => Words(
            "await_numbers_answer",
            ["入力された番号で照会しています。", "The central system was asked with the numbers that were entered."],
            ["することはありません。答えは自動的に届きます。", "Nothing to do: the answer comes by itself."],
        ),
        Work::DeclarationOnFile => Words(
            "declaration_on_file",
            [
                "被保険者資格申立書を預かっています。資格は、ときどき自動的に確認し直します。",
                "The declaration (被保険者資格申立書) is on file. The insurance is asked for again by itself now and then.",
            ],
            [
                "することはありません。資格が無効と分かっている場合は、申立書により終わりにすることができます。",
                "Nothing to do. If the insurance was found not to be valid, the case can be ended on the declaration.",
            ],
        ),
        _ => return None,
    })
}

fn for_staff(work: Work) -> Option<Words> {
    Some(match work {
        Work::EnterCurrentNumbers => Words(
            "enter_current_numbers",
            ["カードでは、いまの資格が確認できません。", "The card does not lead to the present insurance."],
            [
                "マイナポータルの資格情報画面、または資格情報のお知らせを見せていただき、保険者番号・記号・番号・枝番を入力してください。なければ「次へ」を選びます。",
                "Look at the Mynaportal screen or the notice (資格情報のお知らせ) and enter insurer number, symbol, number and branch. If there is neither, choose \"Next step\".",
            ],
        ),
        Work::EnterNumbersAsClockWasWrong => Words(
            "enter_numbers_as_clock_was_wrong",
            [
                "受付のときにこの装置の時計がずれていたため、カードによる照会が受け付けられませんでした。患者さんとカードに問題はありません。",
                "The clock of this machine was wrong at the check-in, so the central system refused the question that was asked with the card. Nothing is wrong with patient or card.",
            ],
            [
                "受付は有効で、10割の請求はしません。同じ照会はカードなしではやり直せません。マイナポータルの資格情報画面か資格情報のお知らせの番号を入力してください。なければ「次へ」を選びます。時計のことをシステム担当者に伝えてください。",
                "The check-in counts; do not bill 100 %. Without the card the question cannot be asked again: enter the numbers from the Mynaportal screen or the notice (資格情報のお知らせ). If there is neither, choose \"Next step\". Tell whoever looks after the system about the clock.",
            ],
        ),
        Work::EnterEarlierNumbers => Words(
            "enter_earlier_numbers",
            ["いまの番号では、資格が確認できていません。", "The present numbers have not led to an insurance."],
            [
                "以前の資格確認書や診療録にある番号を入力してください。なければ「次へ」を選び、被保険者資格申立書を書いていただきます。",
                "Enter the numbers of an earlier certificate or of your own records. If there are none, choose \"Next step\" and have the declaration (被保険者資格申立書) filled in.",
            ],
        ),
        Work::TakeDeclaration => Words(
            "take_declaration",
            ["番号からも資格が確認できていません。", "No numbers have led to an insurance."],
            [
                "被保険者資格申立書を書いていただき、内容を入力してください。負担は通常の割合で、10割にはなりません。",
                "Have the declaration (被保険者資格申立書) filled in and enter it. The patient pays the usual share, not 100 %.",
            ],
        ),
        Work::CheckPerson { .. } => Words(
            "check_person",
            [
                "答えの氏名・生年月日・性別が、受付した方と一致しないか、一致すると言い切れません。",
                "The person in the answer is not, or not certainly, the one who was received.",
            ],
            [
                "両方を見比べ、「同じ方です」か「別の方です」を選んでください。選ぶまで、どちらの記録も変わりません。",
                "Compare both and choose \"Same person\" or \"Somebody else\". Neither record changes until then.",
            ],
        ),
        Work::TellRevoked => Words(
            "tell_revoked",
            ["カードの電子証明書が失効しています。", "The card's certificate has been revoked."],
            [
                "患者さんがいらっしゃれば、資格確認書などの番号を下に入力して資格を確かめ、番号がなければ被保険者資格申立書で受け付けます(10割にはなりません)。市区町村の窓口で再発行が必要なことを伝え(帰られたあとなら次の来院のとき)、「伝えました」を選んでください。",
                "While the patient is here, enter the numbers of another document below, or receive by the declaration (被保険者資格申立書), not at 100 %. Tell the patient, or at the next visit, that the municipal office issues a new one, and choose \"Told\".",
            ],
        ),
        Work::TellNotRegistered => Words(
            "tell_not_registered",
            [
                "カードは、健康保険証としての利用登録がまだです。",
                "The card is not registered as an insurance card yet.",
            ],
            [
                "患者さんがいらっしゃれば、資格確認書などの番号を下に入力して資格を確かめ、番号がなければ被保険者資格申立書で受け付けます(10割にはなりません)。受付のカードリーダー、マイナポータル、またはセブン銀行ATMで利用登録ができることを伝え(帰られたあとなら次の来院のとき)、「伝えました」を選んでください。",
                "While the patient is here, enter the numbers of another document below, or receive by the declaration (被保険者資格申立書), not at 100 %. Tell the patient, or at the next visit, that the card can be registered at the reader, at Mynaportal or at a Seven Bank ATM, and choose \"Told\".",
            ],
        ),
        Work::LookAtRejection => Words(
            "look_at_rejection",
            [
                "資格確認システムが、この照会そのものを受け付けませんでした。",
                "The central system refused this request as such.",
            ],
            [
                "患者さんの受付は有効です。理由をシステム担当者に伝え、資格は番号を入力して確かめ、「見ました」を選んでください。",
                "The check-in counts. Tell the reason to whoever looks after the system, confirm the insurance by its numbers, and choose \"Seen\".",
            ],
        ),
        _ => return None,
    })
}

fn end(work: Work) -> Words {
    let Work::Done(end) = work else {
        // Only reachable for work that the other tables lack; the test below knows all of them.
        return Words("open", ["確認の途中です。", "It is still being settled."], NOTHING);
    };
    match end {
        Final::Confirmed => {
            Words("ended_confirmed", ["資格が確認できました。", "The insurance was confirmed."], NOTHING)
        }
        Final::Changed => Words(
            "ended_changed",
            ["受付のときとは別の資格で確認できました。", "Confirmed under another insurance than at the check-in."],
            [
                "診療録とレセコンの保険情報が、新しい資格になっているかを確かめてください。",
                "See that your records and the receipt computer have the new insurance.",
            ],
        ),
        Final::Ineligible(Basis::Declaration) => Words(
            "ended_ineligible_declaration",
            [
                "資格は確認できず、被保険者資格申立書により終わりました。",
                "The insurance was not valid; ended on the declaration (被保険者資格申立書).",
            ],
            ["申立書を保管し、申立書による請求をしてください。", "Keep the declaration and bill on it."],
        ),
        Final::Ineligible(Basis::PaymentRuleExplained) => Words(
            "ended_ineligible_explained",
            [
                "資格は確認できず、「10割負担になることはありません」と患者さんに説明して終わりました。",
                "The insurance was not valid; ended after telling the patient that nobody is asked to pay 100 % because of this.",
            ],
            [
                "10割の請求はしません。資格が分かり次第、精算してください。",
                "Do not bill 100 %. Settle the payment as soon as the insurance is known.",
            ],
        ),
        Final::NotRegistered => Words(
            "ended_not_registered",
            ["カードの利用登録がないまま終わりました。", "Ended: the card is not registered as an insurance card."],
            ["次の来院のときに、利用登録を案内してください。", "At the next visit, offer to register the card."],
        ),
        Final::Revoked => Words(
            "ended_revoked",
            ["カードの電子証明書が失効していました。", "Ended: the card's certificate is revoked."],
            [
                "次の来院のときに、再発行が済んだかを確かめてください。",
                "At the next visit, ask whether a new certificate has been issued.",
            ],
        ),
        Final::RejectedByCentral => Words(
            "ended_rejected",
            [
                "資格確認システムが照会を受け付けないまま終わりました。",
                "Ended: the central system refused the request.",
            ],
            ["次の来院のときに、もう一度確認してください。", "Confirm the insurance again at the next visit."],
        ),
        Final::Expired => Words(
            "ended_expired",
            ["期限までに資格が確認できませんでした。", "The insurance could not be settled in time."],
            [
                "次の来院のときに、資格を確認してください。請求は、被保険者資格申立書によるか、審査支払機関に相談してください。",
                "Confirm the insurance at the next visit. Bill on a declaration (被保険者資格申立書), or ask the review and payment organisation.",
            ],
        ),
        Final::ClosedByStaff(reason) => Words(
            "ended_closed_by_staff",
            match reason {
                CloseReason::ConfirmedElsewhere => {
                    ["職員が閉じました: 別の方法で確認済み。", "Closed by staff: confirmed in another way."]
                }
                CloseReason::SameVisit => [
                    "職員が閉じました: 同じ来院の別の受付で確認。",
                    "Closed by staff: settled by another reception of the same visit.",
                ],
                CloseReason::NoTreatment => [
                    "職員が閉じました: 診療を受けずに帰られました。",
                    "Closed by staff: the patient left without treatment.",
                ],
                CloseReason::WithoutInsurance => {
                    ["職員が閉じました: 保険を使わない診療。", "Closed by staff: treatment without insurance."]
                }
                CloseReason::Mistake => ["職員が閉じました: 誤った受付。", "Closed by staff: received by mistake."],
                CloseReason::Other => {
                    ["職員が閉じました(理由はメモにあります)。", "Closed by staff; the reason is in the note."]
                }
            },
            NOTHING,
        ),
    }
}

/// Why something that staff did does not count, and what to do instead.
pub fn refusal(refusal: Refusal, lang: Lang) -> Advice {
    let look = ["表示を更新して、もう一度確かめてください。", "Look again at how it stands now."];
    let words = match refusal {
        Refusal::Stale => Words("stale", ["その間に状況が変わりました。", "It has moved on meanwhile."], look),
        Refusal::Ended => Words("ended", ["すでに終わっています。", "It has ended already."], NOTHING),
        Refusal::NotNow => {
            Words("not_now", ["いまはその操作の段階ではありません。", "This is not what it waits for now."], look)
        }
        Refusal::NoSuchChoice => {
            Words("no_such_choice", ["選ばれた資格がありません。", "There is no such insurance to choose."], look)
        }
        Refusal::PersonUnchecked => Words(
            "person_unchecked",
            [
                "答えの方が本人かどうかが、まだ確かめられていません。",
                "It is still open whether the answer is about this person.",
            ],
            [
                "先に「同じ方です」か「別の方です」を選んでください。",
                "Choose \"Same person\" or \"Somebody else\" first.",
            ],
        ),
        Refusal::DeclarationMissing => Words(
            "declaration_missing",
            ["被保険者資格申立書がまだありません。", "There is no declaration (被保険者資格申立書) yet."],
            ["申立書の必須の項目をすべて入力してください。", "Enter all mandatory fields of the declaration."],
        ),
        Refusal::NotFoundIneligible => Words(
            "not_found_ineligible",
            [
                "資格が無効という答えは、まだ来ていません。",
                "The central system has not said that the insurance is not valid.",
            ],
            [
                "答えを待つか、ほかの理由で閉じてください。",
                "Wait for its answer, or close the case for another reason.",
            ],
        ),
        Refusal::TooManyAsks => Words(
            "too_many_asks",
            ["この受付では、これ以上照会できません。", "No more questions can be asked for this reception."],
            [
                "被保険者資格申立書を書いていただくか、理由を付けて閉じてください。",
                "Take a declaration, or close the case with a reason.",
            ],
        ),
    };
    words.advice(lang)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_work_and_every_end_has_words_of_its_own_in_both_languages() {
        let closed = [
            CloseReason::ConfirmedElsewhere,
            CloseReason::SameVisit,
            CloseReason::NoTreatment,
            CloseReason::WithoutInsurance,
            CloseReason::Mistake,
            CloseReason::Other,
        ];
        let mut all = vec![
            Work::AwaitAnswer,
            Work::AwaitLaterData,
            Work::AwaitNumbersAnswer,
            Work::EnterCurrentNumbers,
            Work::EnterNumbersAsClockWasWrong,
            Work::EnterEarlierNumbers,
            Work::TakeDeclaration,
            Work::DeclarationOnFile,
            Work::ChooseInsurance { ask: 0, count: 2 },
            Work::CheckPerson { ask: 0 },
            Work::TellRevoked,
            Work::TellNotRegistered,
            Work::LookAtRejection,
            Work::Done(Final::Confirmed),
            Work::Done(Final::Changed),
            Work::Done(Final::Ineligible(Basis::Declaration)),
            Work::Done(Final::Ineligible(Basis::PaymentRuleExplained)),
            Work::Done(Final::NotRegistered),
            Work::Done(Final::Revoked),
            Work::Done(Final::RejectedByCentral),
            Work::Done(Final::Expired),
        ];
        all.extend(closed.map(|reason| Work::Done(Final::ClosedByStaff(reason))));
        for lang in [Lang::Ja, Lang::En] {
            let told: BTreeSet<String> = all.iter().map(|item| work(*item, lang).what).collect();
            assert_eq!(told.len(), all.len(), "two of them say the same: {told:#?}");
            for item in &all {
                let advice = work(*item, lang);
                assert!(!advice.next.is_empty() && advice.code != "open", "{item:?}");
            }
        }
    }

    #[test]
    fn work_of_the_machine_says_that_there_is_nothing_to_do() {
        for item in [Work::AwaitAnswer, Work::AwaitLaterData, Work::AwaitNumbersAnswer, Work::DeclarationOnFile] {
            assert!(work(item, Lang::Ja).next.starts_with("することはありません"), "{item:?}");
            assert!(work(item, Lang::En).next.starts_with("Nothing to do"), "{item:?}");
        }
    }
}

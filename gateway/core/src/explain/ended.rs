//! What staff do about a patient who was not received: the patient's sentence sends to the desk, and the desk needs one of its own.

use super::{Advice, Lang, advice, ending, reason};
use crate::reception::{Ending, ReadFailure};
use crate::record::Shown;
use crate::rules::DocumentKind;

/// How a reception ended, said to staff. The code is that of [`ending`].
pub fn ending_for_staff(how: &Ending, lang: Lang) -> Advice {
    let said = ending(how, lang);
    let (what, next) = match how {
        Ending::Done(Shown::Ineligible(why)) => {
            let known = reason(why, lang);
            return advice(&said.code, &known.what, &known.next);
        }
        Ending::Done(Shown::Confirmed | Shown::Provisional) => {
            return advice(&said.code, &said.what, lang.pick("することはありません。", "Nothing to do."));
        }
        Ending::Cancelled => (
            lang.pick("患者さんが受付を取り消しました。", "The patient cancelled the check-in."),
            again(lang),
        ),
        Ending::CardPulled => (
            lang.pick("受付の途中でカードが取り出されました。", "The card was taken out before the end."),
            again(lang),
        ),
        Ending::TimedOut => (
            lang.pick(
                "操作がないまま受付が終わりました。",
                "The check-in ended because nothing was pressed.",
            ),
            again(lang),
        ),
        Ending::NotRead(ReadFailure::Unreadable) => (
            lang.pick("患者さんのカードを読み取れませんでした。", "The patient's card could not be read."),
            again(lang),
        ),
        Ending::NotRead(ReadFailure::NotACard) => (
            lang.pick(
                "ICカードとして認識できないものがリーダーに置かれています。",
                "What is in the reader does not answer as a card.",
            ),
            again(lang),
        ),
        Ending::NotRead(ReadFailure::NotMyNumberCard) => (
            lang.pick(
                "マイナンバーカードではないカードがリーダーに置かれました。",
                "A card that is not a My Number Card was placed.",
            ),
            again(lang),
        ),
        Ending::NotRead(ReadFailure::NoCertificate) => (
            lang.pick(
                "患者さんのカードには、使える利用者証明用電子証明書がありません。",
                "The patient's card has no authentication certificate that can be used.",
            ),
            at_the_desk(lang),
        ),
        Ending::NotRead(ReadFailure::Untrusted) => (
            lang.pick(
                "患者さんのカードの電子証明書を確認できませんでした。",
                "The certificate of the patient's card could not be verified.",
            ),
            at_the_desk(lang),
        ),
        Ending::NotRead(ReadFailure::ReaderFault) | Ending::ReaderFault => (
            lang.pick("カードリーダーに不具合があります。", "The card reader has a problem."),
            lang.pick(
                "患者さんをとなりのカードリーダーに案内するか、窓口で受け付けてください。リーダーの接続と電源を確かめてください。",
                "Show the patient to another reader, or receive the patient at the desk. Check this reader's cable and power.",
            ),
        ),
        Ending::CertificateExpired => (
            lang.pick(
                "患者さんのカードの電子証明書は、有効期限が3か月以上前に切れています。",
                "The certificate of the patient's card expired more than three months ago.",
            ),
            at_the_desk(lang),
        ),
        Ending::CertificateNotYetValid => (
            lang.pick(
                "患者さんのカードの電子証明書は、有効期間がまだ始まっていません。",
                "The certificate of the patient's card is not valid yet.",
            ),
            lang.pick(
                "患者さんを窓口で受け付けてください(資格確認書、または被保険者資格申立書)。この端末の時計が合っているかを確かめてください。",
                "Receive the patient at the desk (certificate 資格確認書 or declaration 被保険者資格申立書). Check this machine's clock.",
            ),
        ),
        Ending::NotSamePerson => (
            lang.pick(
                "患者さんがカードの持ち主であることを確認できませんでした。",
                "The patient could not be shown to be the holder of the card.",
            ),
            lang.pick(
                "このカードでは受け付けず、ご本人の書類(資格確認書、または被保険者資格申立書)により、患者さんを窓口で受け付けてください。",
                "Do not use this card: receive the patient at the desk by the patient's own documents (certificate 資格確認書 or declaration 被保険者資格申立書).",
            ),
        ),
        Ending::StaffDidNotCome => (
            lang.pick(
                "職員の確認を待っていた患者さんのところに、職員が行けませんでした。",
                "A patient waited for staff, and nobody came.",
            ),
            at_the_desk(lang),
        ),
        Ending::NotWritten => (
            lang.pick("いま受付を記録できません。", "Check-ins cannot be recorded right now."),
            lang.pick(
                "患者さんを紙に控えて受け付け、システム担当者に連絡してください。10割の請求はしません。",
                "Receive the patient on paper, and tell whoever looks after the system. Do not bill 100 %.",
            ),
        ),
    };
    advice(&said.code, what, next)
}

fn at_the_desk(lang: Lang) -> &'static str {
    lang.pick_static(
        "患者さんに声をかけ、窓口で受け付けてください(資格確認書、または被保険者資格申立書)。10割の請求はしません。",
        "Call the patient and receive the patient at the desk (certificate 資格確認書 or declaration 被保険者資格申立書). Do not bill 100 %.",
    )
}

fn again(lang: Lang) -> &'static str {
    lang.pick_static(
        "患者さんに声をかけ、マイナンバーカードを置き直していただくか、窓口で受け付けてください(資格確認書、または被保険者資格申立書)。",
        "Call the patient: let the My Number Card be placed again, or receive the patient at the desk (certificate 資格確認書 or declaration 被保険者資格申立書).",
    )
}

/// A document that did not count, with the rule that said so.
pub fn document_not_accepted(shown: DocumentKind, rule: &str, lang: Lang) -> Advice {
    let title = shown.title().pick(lang);
    let what = match lang {
        Lang::Ja => format!("見せていただいた書類({title})では受け付けられませんでした(規則 {rule})。"),
        Lang::En => format!("The document that was shown ({title}) did not count (rule {rule})."),
    };
    let next = lang.pick(
        "番号で照会し、被保険者資格申立書により、患者さんを窓口で受け付けてください。10割の請求はしません。",
        "Ask by its numbers and receive the patient at the desk with the declaration (被保険者資格申立書). Do not bill 100 %.",
    );
    advice("document_not_accepted", &what, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Reason;

    const ENDINGS: [Ending; 16] = [
        Ending::Done(Shown::Confirmed),
        Ending::Done(Shown::Provisional),
        Ending::Done(Shown::Ineligible(Reason::NoInsuranceFound)),
        Ending::Cancelled,
        Ending::CardPulled,
        Ending::NotRead(ReadFailure::Unreadable),
        Ending::NotRead(ReadFailure::NotACard),
        Ending::NotRead(ReadFailure::NotMyNumberCard),
        Ending::NotRead(ReadFailure::Untrusted),
        Ending::NotRead(ReadFailure::ReaderFault),
        Ending::ReaderFault,
        Ending::CertificateExpired,
        Ending::CertificateNotYetValid,
        Ending::NotSamePerson,
        Ending::StaffDidNotCome,
        Ending::TimedOut,
    ];

    #[test]
    fn staff_are_not_sent_to_the_desk_at_which_they_sit() {
        for how in ENDINGS.iter().chain([&Ending::NotWritten]) {
            for (lang, to_patients) in
                [(Lang::Ja, ["お越しください", "お待ちください"]), (Lang::En, ["go to the desk", "Please"])]
            {
                let told = ending_for_staff(how, lang);
                assert_eq!(told.code, ending(how, lang).code);
                let text = format!("{}{}", told.what, told.next);
                assert!(to_patients.iter().all(|words| !text.contains(words)), "{how:?}: {text}");
            }
        }
    }

    #[test]
    fn after_every_end_before_a_reception_staff_are_told_how_the_patient_is_received() {
        for how in Ending::WITHOUT_RECORD {
            assert!(ending_for_staff(&how, Lang::Ja).next.contains("窓口で受け付けて"), "{how:?}");
        }
    }
}

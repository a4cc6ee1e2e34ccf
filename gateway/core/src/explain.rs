//! What happened, and what to do next, in words: one function for the command line, the staff page and the patient's screen.

use crate::answer::{Reason, Verdict};
use crate::clock::Now;
use crate::date::Date;
use crate::ids::ReceptionId;
use crate::ladder::{self, Case, Owner, Work};
use crate::reception::{Attention, CertificateAge, Ending, ReadFailure, StaffReason};
use crate::record::{Abandonment, Basis, ReceptionRecord, Reply, Shown, Stage};
use crate::rules;
use serde::Serialize;

mod beside;
mod consents;
mod ended;
mod story;

pub use beside::{EarlierCase, answered_late, asked_since, earlier_case, of_visit, with_earlier, without_ticket};
pub use consents::{ConsentTold, consent};
pub use ended::{document_not_accepted, ending_for_staff};

use story::story;

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// 日本語
    #[default]
    Ja,
    /// English
    En,
}

impl Lang {
    /// Picks one of two texts.
    pub fn pick<'a>(self, ja: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }

    /// The BCP 47 tag.
    pub fn tag(self) -> &'static str {
        self.pick_static("ja", "en")
    }

    fn pick_static(self, ja: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }
}

/// A statement and the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// A stable word for this outcome, for programs.
    pub code: String,
    /// What is the case.
    pub what: String,
    /// What to do next.
    pub next: String,
}

fn advice(code: &str, what: &str, next: &str) -> Advice {
    Advice { code: code.into(), what: what.into(), next: next.into() }
}

/// The promise of the official poster, shown wherever something did not work.
pub fn promise(lang: Lang) -> &'static str {
    lang.pick_static(
        "カードリーダーの操作がうまくいかなくても、医療費が10割負担になることはありません。",
        "You will not be asked to pay 100 % of the cost because a machine did not work.",
    )
}

/// The public help line for patients, as on the official poster (マイナンバー総合フリーダイヤル, press 5).
pub const PUBLIC_HELP_LINE: &str = "0120-95-0178";

/// The help line for sites (医療機関等向け総合コールセンター).
pub const SITES_HELP_LINE: &str = "0800-080-4583";

/// Whom to call, shown wherever something did not work: the site's own line first, if it has one.
pub fn help_lines(site: Option<&str>, lang: Lang) -> String {
    let public = match lang {
        Lang::Ja => format!("マイナンバー総合フリーダイヤル {PUBLIC_HELP_LINE}(5番)"),
        Lang::En => format!("My Number help line {PUBLIC_HELP_LINE} (press 5)"),
    };
    match (site, lang) {
        (None, _) => public,
        (Some(line), Lang::Ja) => format!("当院の窓口 {line} / {public}"),
        (Some(line), Lang::En) => format!("our desk {line} / {public}"),
    }
}

/// Whom staff call, and whom their patients: the site's own line first, if it has one.
pub fn staff_help_lines(site: Option<&str>, lang: Lang) -> String {
    let of_sites = match lang {
        Lang::Ja => format!("職員の方: 医療機関等向け総合コールセンター {SITES_HELP_LINE}"),
        Lang::En => format!("staff: call centre for sites {SITES_HELP_LINE}"),
    };
    match lang {
        Lang::Ja => format!("患者さん: {} / {of_sites}", help_lines(site, lang)),
        Lang::En => format!("patients: {} / {of_sites}", help_lines(site, lang)),
    }
}

/// Why the insurance is not valid, and the next step.
pub fn reason(reason: &Reason, lang: Lang) -> Advice {
    use Lang::{En, Ja};
    match (reason, lang) {
        (Reason::InsuranceInvalid(loss), Ja) => {
            let why = match loss.as_deref() {
                None => String::new(),
                Some("01") => "(死亡による喪失)".into(),
                Some("02") => "(生活保護の受給による喪失)".into(),
                Some("03") => "(ほかの資格への切替えによる喪失)".into(),
                Some("99") => "(そのほかの理由による喪失)".into(),
                Some(unknown) => format!("(喪失理由のコード「{unknown}」は、このシステムの知らないものです)"),
            };
            advice(
                "insurance_invalid",
                &format!("登録されている資格は無効です{why}。"),
                "最近、保険が変わったかを確認します。マイナポータルの資格情報画面、資格情報のお知らせ、または資格確認書を見せていただき、なければ被保険者資格申立書を書いていただきます。",
            )
        }
        (Reason::InsuranceInvalid(loss), En) => {
            let why = match loss.as_deref() {
                None => String::new(),
                Some("01") => " (lost: death)".into(),
                Some("02") => " (lost: public assistance)".into(),
                Some("03") => " (lost: moved to another insurance)".into(),
                Some("99") => " (lost: another reason)".into(),
                Some(unknown) => format!(" (lost: code \"{unknown}\", which this system does not know)"),
            };
            advice(
                "insurance_invalid",
                &format!("The registered insurance is no longer valid{why}."),
                "Ask whether the insurance changed recently. Look at the Mynaportal screen, the notice of eligibility (資格情報のお知らせ) or the certificate (資格確認書); without them, have the declaration (被保険者資格申立書) filled in.",
            )
        }
        (Reason::NewInsurance, Ja) => advice(
            "new_insurance",
            "登録されている資格は無効ですが、新しい資格があります。",
            "新しい資格で受け付けます。新しい資格情報のお知らせ、またはマイナポータルの画面で記号・番号を確認してください。",
        ),
        (Reason::NewInsurance, En) => advice(
            "new_insurance",
            "The registered insurance is no longer valid, but there is a new one.",
            "Receive the patient with the new insurance: take its numbers from the new notice (資格情報のお知らせ) or the Mynaportal screen.",
        ),
        (Reason::NoInsuranceFound, Ja) => advice(
            "no_insurance_found",
            "該当する資格が見つかりませんでした。",
            "保険者の登録がまだの場合があります。マイナポータルの画面、資格情報のお知らせ、資格確認書のいずれかを確認し、なければ被保険者資格申立書を書いていただきます。",
        ),
        (Reason::NoInsuranceFound, En) => advice(
            "no_insurance_found",
            "No insurance was found.",
            "The insurer may not have registered it yet. Look at the Mynaportal screen, the notice (資格情報のお知らせ) or the certificate (資格確認書); without them, have the declaration (被保険者資格申立書) filled in.",
        ),
        (Reason::SeveralInsurances, Ja) => advice(
            "several_insurances",
            "有効な資格が複数見つかりました。",
            "どの保険を使うかを患者さんに確認し、資格情報のお知らせ、または資格確認書の記号・番号で受け付けます。",
        ),
        (Reason::SeveralInsurances, En) => advice(
            "several_insurances",
            "Several valid insurances were found.",
            "Ask the patient which one to use and take its numbers from the notice (資格情報のお知らせ) or the certificate (資格確認書).",
        ),
        (Reason::CardNotRegistered, Ja) => advice(
            "card_not_registered",
            "このカードは、健康保険証としての利用登録がまだです。",
            "受付のカードリーダー、マイナポータル、またはセブン銀行ATMで利用登録ができます。今日は資格確認書、または被保険者資格申立書で受け付けます。",
        ),
        (Reason::CardNotRegistered, En) => advice(
            "card_not_registered",
            "This card is not registered as an insurance card yet.",
            "It can be registered at the reader, at Mynaportal or at a Seven Bank ATM. Today, receive the patient with the certificate (資格確認書) or the declaration (被保険者資格申立書).",
        ),
        (Reason::CertificateRevoked, Ja) => advice(
            "certificate_revoked",
            "カードの電子証明書が失効しています。",
            "住民票のある市区町村の窓口で、電子証明書の再発行が必要です。今日は資格確認書、または被保険者資格申立書で受け付けます。",
        ),
        (Reason::CertificateRevoked, En) => advice(
            "certificate_revoked",
            "The card's certificate has been revoked.",
            "A new certificate is issued at the municipal office. Today, receive the patient with the certificate of eligibility (資格確認書) or the declaration (被保険者資格申立書).",
        ),
        (Reason::UnknownCode(code), Ja) => advice(
            "unknown_code",
            &format!("資格確認システムの答え(コード「{code}」)は、このシステムの知らないものです。"),
            "コードを医療機関等向けコールセンター(0800-080-4583)に伝えます。患者さんは資格確認書、または被保険者資格申立書で受け付けます。",
        ),
        (Reason::UnknownCode(code), En) => advice(
            "unknown_code",
            &format!("The central system answered with a code this system does not know (\"{code}\")."),
            "Give the code to the call centre for sites (0800-080-4583). Receive the patient with the certificate (資格確認書) or the declaration (被保険者資格申立書).",
        ),
    }
}

/// How a reception ended, said to the patient.
pub fn ending(ending: &Ending, lang: Lang) -> Advice {
    use Lang::{En, Ja};
    match (ending, lang) {
        (Ending::Done(Shown::Confirmed), Ja) => {
            advice("done", "受付が完了しました。", "お呼びするまでお待ちください。")
        }
        (Ending::Done(Shown::Confirmed), En) => {
            advice("done", "You are checked in.", "Please wait until you are called.")
        }
        (Ending::Done(Shown::Provisional), Ja) => advice(
            "done_provisional",
            "受付が完了しました(資格の確認は、あとで自動的に行います)。",
            "お呼びするまでお待ちください。",
        ),
        (Ending::Done(Shown::Provisional), En) => advice(
            "done_provisional",
            "You are checked in. Your insurance will be confirmed later, by itself.",
            "Please wait until you are called.",
        ),
        (Ending::Done(Shown::Ineligible(why)), _) => {
            let known = reason(why, lang);
            advice("done_ineligible", &known.what, lang.pick("窓口にお越しください。", "Please go to the desk."))
        }
        (Ending::Cancelled, Ja) => {
            advice("cancelled", "受付を取り消しました。", "もう一度受付をするには、カードを置き直してください。")
        }
        (Ending::Cancelled, En) => {
            advice("cancelled", "The check-in was cancelled.", "To check in, place your card again.")
        }
        (Ending::CardPulled, Ja) => advice(
            "card_pulled",
            "受付の途中でカードが取り出されました。",
            "もう一度カードを置いてください。「受付が完了しました」と出るまで、そのままにしてください。",
        ),
        (Ending::CardPulled, En) => advice(
            "card_pulled",
            "The card was taken out before the end.",
            "Place it again and leave it until the screen says that you are checked in.",
        ),
        (Ending::NotRead(ReadFailure::Unreadable), Ja) => advice(
            "card_unreadable",
            "カードを読み取れませんでした。",
            "カバーを外し、顔写真を表にして縦向きに、つきあたりまで押し当ててください。それでも読み取れないときは、窓口で受け付けます。",
        ),
        (Ending::NotRead(ReadFailure::Unreadable), En) => advice(
            "card_unreadable",
            "The card could not be read.",
            "Take it out of its cover and push it in to the end, upright, photo side up. If that does not help, go to the desk.",
        ),
        (Ending::NotRead(ReadFailure::NotACard), Ja) => advice(
            "not_a_card",
            "ICカードとして認識できないものが置かれています。",
            "取り出して、マイナンバーカードを置いてください。マイナンバーカードでも同じときは、窓口で受け付けます。",
        ),
        (Ending::NotRead(ReadFailure::NotACard), En) => advice(
            "not_a_card",
            "What is in the reader does not answer as a card.",
            "Take it out and place your My Number Card. If it was one, go to the desk.",
        ),
        (Ending::NotRead(ReadFailure::NotMyNumberCard), Ja) => advice(
            "not_my_number_card",
            "マイナンバーカードではないカードです。",
            "マイナンバーカードを置いてください。",
        ),
        (Ending::NotRead(ReadFailure::NotMyNumberCard), En) => {
            advice("not_my_number_card", "This is not a My Number Card.", "Please place your My Number Card.")
        }
        (Ending::NotRead(ReadFailure::NoCertificate), Ja) => advice(
            "card_without_certificate",
            "このカードには、使える利用者証明用電子証明書がありません。",
            "窓口にお越しください。資格確認書などで受け付けます。電子証明書は市区町村の窓口で発行できます。",
        ),
        (Ending::NotRead(ReadFailure::NoCertificate), En) => advice(
            "card_without_certificate",
            "This card has no authentication certificate that can be used.",
            "Please go to the desk; you can be received with other documents. The municipal office issues the certificate.",
        ),
        (Ending::NotRead(ReadFailure::Untrusted), Ja) => advice(
            "certificate_untrusted",
            "カードの電子証明書を確認できませんでした。",
            "窓口にお越しください。資格確認書などで受け付けます。",
        ),
        (Ending::NotRead(ReadFailure::Untrusted), En) => advice(
            "certificate_untrusted",
            "The certificate of this card could not be verified.",
            "Please go to the desk; you can be received with other documents.",
        ),
        (Ending::NotRead(ReadFailure::ReaderFault) | Ending::ReaderFault, Ja) => advice(
            "reader_fault",
            "カードリーダーに不具合があります。",
            "となりのカードリーダーをお使いいただくか、窓口にお越しください。",
        ),
        (Ending::NotRead(ReadFailure::ReaderFault) | Ending::ReaderFault, En) => {
            advice("reader_fault", "The card reader has a problem.", "Please use another reader or go to the desk.")
        }
        (Ending::CertificateExpired, Ja) => advice(
            "certificate_expired",
            "カードの電子証明書の有効期限が、3か月以上前に切れています。",
            "窓口にお越しください。資格確認書などで受け付けます。電子証明書は市区町村の窓口で更新できます。",
        ),
        (Ending::CertificateExpired, En) => advice(
            "certificate_expired",
            "The card's certificate expired more than three months ago.",
            "Please go to the desk; you can be received with other documents. The municipal office renews the certificate.",
        ),
        (Ending::CertificateNotYetValid, Ja) => advice(
            "certificate_not_yet_valid",
            "カードの電子証明書の有効期間が、まだ始まっていません。",
            "窓口にお越しください。職員は、この端末の時計が合っているかを確認してください。",
        ),
        (Ending::CertificateNotYetValid, En) => advice(
            "certificate_not_yet_valid",
            "The card's certificate is not valid yet.",
            "Please go to the desk. Staff: check this machine's clock.",
        ),
        (Ending::NotSamePerson, Ja) => {
            advice("not_same_person", "ご本人の確認ができませんでした。", "窓口にお越しください。")
        }
        (Ending::NotSamePerson, En) => {
            advice("not_same_person", "Your identity could not be confirmed.", "Please go to the desk.")
        }
        (Ending::StaffDidNotCome, Ja) => advice(
            "staff_did_not_come",
            "お待たせして申し訳ありません。職員が来られませんでした。",
            "カードをお持ちになり、窓口にお越しください。窓口で受け付けます。",
        ),
        (Ending::StaffDidNotCome, En) => advice(
            "staff_did_not_come",
            "We are sorry: nobody of the staff could come.",
            "Please take your card to the desk; you will be received there.",
        ),
        (Ending::TimedOut, Ja) => advice(
            "timed_out",
            "操作がなかったため、受付を終わりました。",
            "もう一度受付をするには、カードを置き直してください。",
        ),
        (Ending::TimedOut, En) => advice(
            "timed_out",
            "The check-in ended because nothing was pressed.",
            "To check in, place your card again.",
        ),
        (Ending::NotWritten, Ja) => advice(
            "not_written",
            "この機械では、いま受付を記録できません。",
            "窓口にお越しください。窓口で受け付けます。",
        ),
        (Ending::NotWritten, En) => advice(
            "not_written",
            "This machine cannot record the check-in right now.",
            "Please go to the desk; you will be received there.",
        ),
    }
}

/// Why a look of staff was wanted.
fn wanted_because(why: StaffReason, lang: Lang) -> &'static str {
    match why {
        StaffReason::Asked => lang.pick_static("患者さんが職員を呼んでいます。", "The patient is calling for staff."),
        StaffReason::OwnAccord => lang.pick_static("職員が目視で確認します。", "Staff look of their own accord."),
        StaffReason::PinForgotten => lang.pick_static(
            "患者さんが暗証番号を忘れ、顔認証は使えません。",
            "The patient has forgotten the PIN, and the face cannot be used.",
        ),
        StaffReason::FaceUncertain => {
            lang.pick_static("顔認証では判断できませんでした。", "The face comparison was not conclusive.")
        }
        StaffReason::FaceNotMatched => {
            lang.pick_static("顔認証が一致しませんでした。", "The face did not match the photo in the card.")
        }
        StaffReason::PinLocked => lang.pick_static(
            "暗証番号がロックされていて、顔認証は使えません。",
            "The PIN is locked, and the face cannot be used.",
        ),
        StaffReason::Pinless => lang.pick_static(
            "暗証番号のないカード(顔認証マイナンバーカード)で、顔認証は使えません。",
            "A card without a PIN, and the face cannot be used.",
        ),
        StaffReason::NoOtherWay => lang.pick_static(
            "このカードでは顔認証も暗証番号も使えません。",
            "Neither face nor PIN can be used with this card.",
        ),
    }
}

/// Why staff looked, as it is told afterwards.
fn looked_because(why: StaffReason, lang: Lang) -> &'static str {
    match why {
        StaffReason::Asked => lang.pick_static("患者さんの希望", "the patient asked"),
        StaffReason::OwnAccord => lang.pick_static("職員の判断", "of their own accord"),
        StaffReason::PinForgotten => lang.pick_static("暗証番号を忘れた", "the PIN was forgotten"),
        StaffReason::FaceUncertain => lang.pick_static("顔認証では判断できなかった", "the face was too close to call"),
        StaffReason::FaceNotMatched => lang.pick_static("顔認証が一致しなかった", "the face did not match"),
        StaffReason::PinLocked => lang.pick_static("暗証番号がロックされている", "the PIN was locked"),
        StaffReason::Pinless => lang.pick_static("暗証番号のないカード", "a card without a PIN"),
        StaffReason::NoOtherWay => lang.pick_static("顔認証も暗証番号も使えない", "neither face nor PIN could be used"),
    }
}

/// What staff should see at a reader, and what to do about it.
pub fn attention(attention: &Attention, lang: Lang) -> Advice {
    match attention {
        Attention::StaffLook(why) => {
            let what = wanted_because(*why, lang);
            let next = lang.pick(
                "カードの顔写真と患者さんを見比べ(目視確認)、「本人です」か「本人ではありません」を選んでください。",
                "Compare the photo on the card with the patient and choose \"Same person\" or \"Not the same person\".",
            );
            advice("staff_look", what, next)
        }
        Attention::HelpWanted => advice(
            "help_wanted",
            lang.pick("患者さんが画面の操作で職員を呼んでいます。", "The patient calls for help with the screen."),
            lang.pick(
                "リーダーへ行き、「操作をお手伝いする」を選んでから、患者さんに聞きながら操作してください。",
                "Go to the reader, choose \"Help with the screen\", and press what the patient says.",
            ),
        ),
        Attention::Ineligible(why) => reason(why, lang),
        Attention::LeftBehind => advice(
            "card_left_behind",
            lang.pick("カードが置いたままになっています。", "A card has been left in the reader."),
            lang.pick("患者さんに声をかけ、カードをお渡しください。", "Call the patient and hand the card back."),
        ),
        Attention::Ended(how) => ending_for_staff(how, lang),
    }
}

/// A reception, told to a receptionist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The present outcome and what to do.
    #[serde(flatten)]
    pub advice: Advice,
    /// How it came to this, step by step.
    pub story: Vec<String>,
    /// A character of the name or address could not be expressed by the central system (●).
    pub unmapped_characters: bool,
    /// Cosine similarity with the chip photo, where the face was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face_score: Option<f32>,
    /// Every consent with where it came from, also those given since; none before the reception is recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<ConsentTold>,
    /// Which rules decided; `None` in records of versions that did not keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<rules::Version>,
    /// Of several receptions of one visit: the one that counts for the receipt computer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_receipt_computer: Option<ReceptionId>,
    /// Cases of earlier receptions of the same patient that have not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierCase>,
    /// How its case stands, if it has one; then `advice` is what the case says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseExplanation>,
}

/// How a case stands, told to a receptionist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseExplanation {
    /// What is the case and what to do next, as in [`ladder::words::work`].
    #[serde(flatten)]
    pub advice: Advice,
    /// Who has to see to it; `None` once it has ended.
    pub owner: Option<Owner>,
    /// The same in words.
    pub owner_words: String,
    /// Whole days until it goes on by itself; `None` once it has ended.
    pub days_left: Option<u64>,
    /// The same in words.
    pub deadline_words: String,
    /// How it ended.
    pub ended: Option<ladder::Final>,
    /// What staff refer to when they act on it.
    pub turn: u32,
    /// Which of several insurances staff chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ladder::Chosen>,
}

/// Tells how a case stands.
pub fn case(case: &Case, now: Now, lang: Lang) -> CaseExplanation {
    let owner = case.owner();
    let days_left = case.due_in(now).map(|left| left.as_secs() / (24 * 60 * 60));
    CaseExplanation {
        advice: ladder::words::work(case.work(), lang),
        owner,
        owner_words: match owner {
            Some(Owner::Desk) => lang.pick("窓口", "the desk"),
            Some(Owner::Machine) => lang.pick("システム(自動)", "the gateway, by itself"),
            None => lang.pick("なし(終わりました)", "nobody, it has ended"),
        }
        .to_owned(),
        days_left,
        deadline_words: match (days_left, lang) {
            (None, _) => lang.pick("なし", "none").to_owned(),
            (Some(0), _) => lang.pick("24時間以内", "within 24 hours").to_owned(),
            (Some(days), Lang::Ja) => format!("あと{days}日"),
            (Some(1), Lang::En) => "in 1 day".to_owned(),
            (Some(days), Lang::En) => format!("in {days} days"),
        },
        ended: case.ended(),
        turn: case.turn(),
        chosen: case.chosen(),
    }
}

/// Tells what happened in a reception and what to do next.
pub fn reception(record: &ReceptionRecord, lang: Lang) -> Explanation {
    with_case(record, None, lang)
}

/// As [`reception`], with the case of the reception as it stands now. The reception says what is the case, its case what to do about it;
/// where the case knows more than any reply says (a person in doubt, a clock that was wrong, another end), it speaks alone and the reception opens the story.
pub fn with_case(record: &ReceptionRecord, of_case: Option<(&Case, Now)>, lang: Lang) -> Explanation {
    let mut told = without_case(record, lang);
    let Some((of_case, now)) = of_case else { return told };
    told.story.extend(of_case.chosen().map(|chosen| choice(chosen, lang)));
    let case = case(of_case, now, lang);
    let confirmed = matches!(record.reply(), Some((_, Reply::Answered { verdict: Verdict::Eligible, .. })));
    match of_case.work() {
        Work::Done(ladder::Final::Confirmed) if confirmed => Explanation { case: Some(case), ..told },
        Work::Done(_) | Work::CheckPerson { .. } | Work::EnterNumbersAsClockWasWrong => {
            let mut story = vec![told.advice.what];
            story.extend(told.story);
            Explanation { advice: case.advice.clone(), story, case: Some(case), ..told }
        }
        _ => {
            let next = case.advice.next.clone();
            Explanation { advice: Advice { next, ..told.advice }, case: Some(case), ..told }
        }
    }
}

/// Which of several insurances was chosen. The insurance itself stands, sealed, in the answer.
fn choice(chosen: ladder::Chosen, lang: Lang) -> String {
    let (ask, result) = (chosen.ask.saturating_add(1), chosen.index.saturating_add(1));
    match lang {
        Lang::Ja => format!("複数の資格のうち、{ask}回目の照会への答えの{result}番目のものを職員が選びました。"),
        Lang::En => format!("of several insurances, staff chose number {result} of the answer to question {ask}."),
    }
}

fn without_case(record: &ReceptionRecord, lang: Lang) -> Explanation {
    let unmapped_characters = matches!(record.reply(), Some((_, Reply::Answered { unmapped_characters: true, .. })));
    let mut advice = outcome(record, lang);
    if matches!(advice.code.as_str(), "confirmed" | "confirmed_later")
        && let Some(renew) = record.evidence.basis.as_ref().and_then(|basis| renewal(basis, lang))
    {
        advice.next = renew.to_owned();
    }
    Explanation {
        advice,
        story: story(record, lang),
        unmapped_characters,
        face_score: record.evidence.verification.face_score,
        consents: record.consents.iter().map(|given| consent(given, lang)).collect(),
        rules: record.evidence.rules,
        for_receipt_computer: None,
        earlier: Vec::new(),
        case: None,
    }
}

/// What is to be told of a certificate that is about to expire, or just has.
fn renewal(basis: &Basis, lang: Lang) -> Option<&'static str> {
    let Basis::Card { certificate, .. } = basis else { return None };
    match certificate {
        CertificateAge::Grace => Some(lang.pick_static(
            "カードの電子証明書の有効期限が切れています(3か月以内)。資格は確認できますが、診療・お薬などの情報は見られません。市区町村の窓口での更新を案内してください。",
            "The card's certificate has expired, within three months: the insurance can be confirmed, no medical information can be seen. Tell the patient to renew it at the municipal office.",
        )),
        CertificateAge::ExpiresSoon => Some(lang.pick_static(
            "カードの電子証明書の有効期限が近づいています。市区町村の窓口での更新を案内してください。",
            "The card's certificate expires soon. Tell the patient to renew it at the municipal office.",
        )),
        CertificateAge::Valid | CertificateAge::Expired | CertificateAge::NotYetValid => None,
    }
}

fn outcome(record: &ReceptionRecord, lang: Lang) -> Advice {
    let replied = record.reply().map(|(_, reply)| reply);
    let recorded = record.recorded.as_ref().map(|(_, shown)| shown);
    match (record.stage, recorded, replied) {
        (Stage::Abandoned, _, _) => abandoned(record, replied, lang),
        (_, _, Some(Reply::Rejected(rejection))) => advice(
            "rejected_by_central",
            &match lang {
                Lang::Ja => format!("資格確認システムが、この照会そのものを受け付けませんでした(理由 {})。", rejection.code),
                Lang::En => format!("The central system refused this request as such ({}).", rejection.code),
            },
            lang.pick(
                "患者さんの受付は有効です。資格確認書、または記号・番号で資格を確かめ、理由をシステム担当者に伝えてください。",
                "The check-in counts. Confirm the insurance by the certificate (資格確認書) or its numbers, and tell the reason to whoever looks after the system.",
            ),
        ),
        (_, recorded, Some(Reply::Answered { verdict: Verdict::Eligible, .. })) => {
            if recorded == Some(&Shown::Provisional) {
                advice(
                    "confirmed_later",
                    lang.pick(
                        "仮受付でしたが、その後、資格が確認できました。",
                        "Received provisionally; the insurance was confirmed afterwards.",
                    ),
                    lang.pick("することはありません。", "Nothing to do."),
                )
            } else {
                advice(
                    "confirmed",
                    lang.pick("資格は有効です。", "The insurance is valid."),
                    lang.pick("することはありません。", "Nothing to do."),
                )
            }
        }
        (_, _, Some(Reply::Answered { verdict: Verdict::Ineligible(why), .. })) => reason(why, lang),
        (_, Some(Shown::Provisional), None) => advice(
            "provisional",
            lang.pick(
                "仮受付です。資格確認システムからの答えを待っています。",
                "Received provisionally; the answer of the central system is still to come.",
            ),
            lang.pick(
                "することはありません。回線が戻ると自動的に確認します。急ぐ場合は、資格確認書などで確かめてください。10割の請求はしません。",
                "Nothing to do: it is confirmed by itself when the line is back. In a hurry, look at other documents. Do not bill 100 %.",
            ),
        ),
        (_, Some(Shown::Ineligible(why)), None) => reason(why, lang),
        (_, Some(Shown::Confirmed) | None, None) => advice(
            "open",
            lang.pick("受付の途中です。", "The check-in is still going on."),
            lang.pick("患者さんの操作が終わるのをお待ちください。", "Wait until the patient has finished."),
        ),
    }
}

fn abandoned(record: &ReceptionRecord, replied: Option<&Reply>, lang: Lang) -> Advice {
    let why = record.abandoned.as_ref().map(|(_, why)| *why);
    let what = match why {
        Some(Abandonment::CardRemoved) => {
            lang.pick("カードが途中で取り出されました", "The card was taken out before the end")
        }
        Some(Abandonment::Cancelled) => lang.pick("患者さんが取り消しました", "The patient cancelled"),
        Some(Abandonment::NotRecorded) => lang.pick("記録できませんでした", "It could not be recorded"),
        Some(Abandonment::ReaderFault) => lang.pick("カードリーダーに不具合がありました", "The reader failed"),
        Some(Abandonment::Restarted) | None => {
            lang.pick("途中でシステムが再起動しました", "The system was restarted in between")
        }
    };
    let learnt = match replied {
        Some(Reply::Answered { verdict: Verdict::Eligible, .. }) => lang
            .pick("。なお、資格は有効と確認できています。", ". The insurance was found to be valid all the same.")
            .to_owned(),
        Some(Reply::Answered { verdict: Verdict::Ineligible(why), .. }) => match lang {
            Lang::Ja => format!("。なお、{}", reason(why, lang).what),
            Lang::En => format!(". Besides: {}", reason(why, lang).what),
        },
        Some(Reply::Rejected(_)) | None => lang.pick("。", ".").to_owned(),
    };
    advice(
        "abandoned",
        &format!("{what}{learnt}"),
        lang.pick(
            "この受付は完了していません。患者さんに、もう一度カードを置いていただくか、窓口で受け付けてください。",
            "This check-in does not count. Ask the patient to place the card again, or receive the patient at the desk.",
        ),
    )
}

/// Day and time of day in Japan (UTC+9, no daylight saving), for people: a case lives for weeks, so that a time alone would not do.
pub fn moment(wall_ms: i64) -> String {
    let seconds = (wall_ms.div_euclid(1000) + 9 * 3600).rem_euclid(86_400);
    let day = Date::of_stamp_jst(wall_ms);
    format!("{day} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests;

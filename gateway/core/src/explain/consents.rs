//! A consent told with where it came from: what, yes or no, who said it, when, until when it counts, and which text was shown.

use super::{Lang, moment};
use crate::consent::{Consent, ConsentKind, GivenBy};
use crate::record::StaffName;
use serde::Serialize;

/// One consent, told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsentTold {
    /// What was asked.
    pub kind: ConsentKind,
    /// What was said.
    pub agreed: bool,
    /// Who said it.
    pub by: GivenBy,
    /// Who of the staff pressed the buttons, if anybody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assisted_by: Option<StaffName>,
    /// When, in milliseconds since 1970 UTC.
    pub given_ms: i64,
    /// Until when it counts, in milliseconds since 1970 UTC.
    pub until_ms: i64,
    /// Version of the text that was shown.
    pub text: u16,
    /// The same in one sentence.
    pub words: String,
}

/// Tells a consent.
pub fn consent(given: &Consent, lang: Lang) -> ConsentTold {
    let until_ms = given.available_until_ms();
    let what = kind(given.kind, lang);
    let said = said(given, lang);
    let by = by(given, lang);
    let words = match (given.by, given.agreed, lang) {
        // No text was shown, and nothing was said that could end.
        (GivenBy::NotNeeded, ..) => format!("{what}: {by}"),
        (_, true, Lang::Ja) => format!("{what}: {said}({by}、{}まで有効、説明文 第{}版)", moment(until_ms), given.text),
        (_, true, Lang::En) => {
            format!("{what}: {said} ({by}; counts until {}; text version {})", moment(until_ms), given.text)
        }
        (_, false, Lang::Ja) => format!("{what}: {said}({by}、説明文 第{}版)", given.text),
        (_, false, Lang::En) => format!("{what}: {said} ({by}; text version {})", given.text),
    };
    ConsentTold {
        kind: given.kind,
        agreed: given.agreed,
        by: given.by,
        assisted_by: given.assisted_by.clone(),
        given_ms: given.given.wall_ms,
        until_ms,
        text: given.text,
        words,
    }
}

fn kind(kind: ConsentKind, lang: Lang) -> &'static str {
    match kind {
        ConsentKind::Surgery => lang.pick_static("手術情報", "surgery"),
        ConsentKind::Diagnosis => lang.pick_static("診療情報", "treatment"),
        ConsentKind::Medication => lang.pick_static("薬剤情報", "medication"),
        ConsentKind::Checkups => lang.pick_static("特定健診情報", "check-ups"),
        ConsentKind::LimitCertificate => lang.pick_static("限度額適用認定証等", "limit certificate"),
        ConsentKind::SpecificDiseases => lang.pick_static("特定疾病療養受療証", "specific diseases certificate"),
        ConsentKind::ElectronicPrescription => lang.pick_static("処方箋", "prescription"),
        ConsentKind::Subsidies => lang.pick_static("公費・医療費助成(受給者証)", "subsidies"),
    }
}

fn said(given: &Consent, lang: Lang) -> &'static str {
    match (given.kind, given.agreed) {
        (ConsentKind::ElectronicPrescription, true) => lang.pick_static("電子を選択", "electronic"),
        (ConsentKind::ElectronicPrescription, false) => lang.pick_static("紙を選択", "paper"),
        (ConsentKind::Subsidies, true) => lang.pick_static("利用する", "to be used"),
        (ConsentKind::Subsidies, false) => lang.pick_static("利用しない", "not to be used"),
        (_, true) => lang.pick_static("同意する", "agreed"),
        (_, false) => lang.pick_static("同意しない", "not agreed"),
    }
}

fn by(given: &Consent, lang: Lang) -> String {
    let who = match (given.by, &given.assisted_by) {
        (GivenBy::Patient, _) => lang.pick("患者さん本人が回答", "said by the patient"),
        (GivenBy::StaffAssisted, Some(staff)) => {
            return match lang {
                Lang::Ja => format!("患者さんに聞きながら職員 {} が操作", staff.as_str()),
                Lang::En => format!("said by the patient, pressed by {} of the staff", staff.as_str()),
            };
        }
        (GivenBy::StaffAssisted, None) => {
            lang.pick("患者さんに聞きながら職員が操作", "said by the patient, pressed by staff")
        }
        (GivenBy::Proxy, _) => lang.pick("代理の方が回答", "said by a companion"),
        (GivenBy::NotAnswered, _) => lang.pick("回答がなく「いいえ」として記録", "left unanswered, recorded as \"no\""),
        (GivenBy::NotNeeded, _) => lang.pick("同意は不要(カードによる照会)", "no consent needed with the card"),
    };
    who.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;

    #[test]
    fn a_consent_is_told_with_who_gave_it_until_when_and_which_text() {
        let at = Stamp { wall_ms: 0, synchronised: true };
        let table = [
            (GivenBy::Patient, "患者さん本人", "by the patient"),
            (GivenBy::Proxy, "代理の方", "companion"),
            (GivenBy::NotAnswered, "回答がなく", "unanswered"),
            (GivenBy::NotNeeded, "同意は不要", "no consent needed"),
        ];
        for (by, ja, en) in table {
            let given = Consent::new(ConsentKind::Medication, true, at, by);
            for (lang, who) in [(Lang::Ja, ja), (Lang::En, en)] {
                let words = consent(&given, lang).words;
                assert!(words.contains(who), "{words}");
                let ends = words.contains("1970-01-02 09:00:00");
                assert_eq!(ends, by != GivenBy::NotNeeded, "{words}");
            }
        }
        let staff = StaffName::new("12").unwrap();
        let assisted = Consent::new(ConsentKind::ElectronicPrescription, false, at, GivenBy::Patient).assisted(&staff);
        let words = consent(&assisted, Lang::Ja).words;
        assert!(words.contains("職員 12") && words.contains("紙を選択"), "{words}");
    }
}

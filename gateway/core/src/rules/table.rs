//! The table. A new rule is a new row; a rule that changes ends in one row and begins in another.

use super::{Decides, DocumentKind, Route, Rule, document};
use crate::date::Date;
use crate::words::Words;

/// Counted up whenever a row is corrected. Rows that are only added for days to come leave it as it is.
pub const EDITION: u16 = 1;

const fn day(year: u16, month: u8, day: u8) -> Option<Date> {
    match Date::new(year, month, day) {
        Some(date) => Some(date),
        // Evaluated by the compiler: a day that does not exist does not compile.
        None => panic!("the calendar has no such day"),
    }
}

/// Every rule, grouped by what it is about. Sources: SEED the ministry's posters and questions for desks, PORTAL the portal for medical
/// institutions, MHLW the ministry's notices, KYOTO the Kyoto medical association, EXPN expert pages on emergency viewing, ECK the
/// guide of the readers' software, WIC and J-CAST news on readers, TV broadcasts, NAGASAKI the payment fund's branch there.
pub(super) const TABLE: &[Rule] = &[
    Rule {
        id: "my-number-card",
        from: None,
        until: None,
        title: Words { ja: "マイナンバーカードによる受付", en: "Reception with the My Number card" },
        meaning: Words {
            ja: "受診のたびにカードで受け付けます(月1回ではありません)。",
            en: "The card is used at every visit, not once a month.",
        },
        source: "SEED",
        decides: Decides::Accepts(DocumentKind::MyNumberCard),
    },
    Rule {
        id: "card-without-pin",
        from: day(2023, 12, 15),
        until: None,
        title: Words {
            ja: "顔認証マイナンバーカード", en: "Card without PIN (顔認証マイナンバーカード)"
        },
        meaning: Words {
            ja: "暗証番号のないカードです。顔認証または目視確認で受け付けます。マイナポータルは使えないため、資格が確認できないときは被保険者資格申立書を書いていただきます。",
            en: "This card has no PIN: verify by face or staff look. It has no Mynaportal, so without an answer the declaration is filled in.",
        },
        source: "KYOTO",
        decides: Decides::Opens(Route::CardWithoutPin),
    },
    Rule {
        id: "smartphone",
        from: day(2025, 9, 19),
        until: None,
        title: Words {
            ja: "スマートフォンのマイナンバーカード", en: "My Number card in a smartphone"
        },
        meaning: Words {
            ja: "対応する読取機のある医療機関で使えます。初めての受診のときはカードも持参していただきます。カードの電子証明書が切れていると使えず、3か月の猶予もありません。",
            en: "Where a reader for phones stands. On a first visit the card is brought as well. With an expired certificate it does not work, and there is no grace.",
        },
        source: "PORTAL",
        decides: Decides::Accepts(DocumentKind::Smartphone),
    },
    Rule {
        id: "eligibility-certificate",
        from: day(2024, 12, 2),
        until: None,
        title: Words { ja: "資格確認書", en: "Certificate of eligibility (資格確認書)" },
        meaning: Words {
            ja: "カードを使わない方は資格確認書で受け付けます。記載の有効期限まで使えます。",
            en: "Patients without the card are received with it, until the day printed on it.",
        },
        source: "SEED",
        decides: Decides::Accepts(DocumentKind::EligibilityCertificate),
    },
    Rule {
        id: "eligibility-certificate-elderly-unasked",
        from: day(2024, 12, 2),
        until: day(2025, 7, 31),
        title: Words {
            ja: "後期高齢者への資格確認書の一律交付", en: "Certificates sent to the elderly unasked"
        },
        meaning: Words {
            ja: "後期高齢者医療で従来の保険証が失効する方には、申請によらず資格確認書が届きます。",
            en: "Members of the elderly's insurance whose earlier card ends are sent a certificate without asking for it.",
        },
        source: "SEED",
        decides: Decides::Information,
    },
    Rule {
        id: "earlier-card",
        from: None,
        until: day(2025, 12, 1),
        title: Words { ja: "従来の健康保険証", en: "Earlier paper or plastic insurance card" },
        meaning: Words {
            ja: "記載の有効期限まで、最長で2025年12月1日まで使えます。",
            en: "Counts until the day printed on it, at the longest until 2025-12-01.",
        },
        source: "SEED",
        decides: Decides::Accepts(DocumentKind::EarlierCard),
    },
    Rule {
        id: "earlier-card-elderly",
        from: None,
        until: day(2025, 7, 31),
        title: Words {
            ja: "従来の後期高齢者医療被保険者証", en: "Earlier card of the elderly's insurance"
        },
        meaning: Words {
            ja: "記載の有効期限まで、最長で2025年7月31日まで使えます。",
            en: "Counts until the day printed on it, at the longest until 2025-07-31.",
        },
        source: "SEED",
        decides: Decides::Accepts(DocumentKind::EarlierCardElderly),
    },
    Rule {
        id: "earlier-card-not-issued",
        from: day(2024, 12, 2),
        until: None,
        title: Words { ja: "従来の健康保険証の新規発行の終了", en: "No new earlier cards" },
        meaning: Words {
            ja: "従来の健康保険証は新たに発行されません。交付日が2024年12月2日以降のものは確認が必要です。",
            en: "Earlier cards are no longer issued: one that was issued on or after 2024-12-02 needs a second look.",
        },
        source: "SEED",
        decides: Decides::Information,
    },
    // The sources name the end alone. The first cards ran out together on 2025-07-31, so it begins on the day after: a desk wants
    // no week in which an expired card helps less than it does later.
    Rule {
        id: "earlier-card-expired",
        from: day(2025, 8, 1),
        until: day(2026, 3, 31),
        title: Words {
            ja: "期限切れの健康保険証の暫定的な取扱い", en: "Expired earlier cards, provisionally"
        },
        meaning: Words {
            ja: "期限の切れた健康保険証でも、その番号で資格を照会して受け付けます。次回からカードか資格確認書をお願いします。",
            en: "A card past its day still serves: eligibility is looked up by its numbers. Ask for the card or the certificate from the next visit on.",
        },
        source: "TV",
        decides: Decides::AcceptsExpired(DocumentKind::EarlierCard),
    },
    Rule {
        id: "earlier-card-elderly-expired",
        from: day(2025, 8, 1),
        until: day(2026, 3, 31),
        title: Words {
            ja: "期限切れの後期高齢者医療被保険者証の暫定的な取扱い",
            en: "Expired cards of the elderly's insurance, provisionally",
        },
        meaning: Words {
            ja: "期限の切れた被保険者証でも、その番号で資格を照会して受け付けます。次回からカードか資格確認書をお願いします。",
            en: "A card past its day still serves: eligibility is looked up by its numbers. Ask for the card or the certificate from the next visit on.",
        },
        source: "TV",
        decides: Decides::AcceptsExpired(DocumentKind::EarlierCardElderly),
    },
    Rule {
        id: "notice-beside-card",
        from: None,
        until: None,
        title: Words { ja: "資格情報のお知らせ", en: "Notice of eligibility (資格情報のお知らせ)" },
        meaning: Words {
            ja: "カードで資格が確認できないとき、カードとあわせて見せていただきます。単独では使えません。",
            en: "When the card gives no answer, it is shown together with the card; it does not count alone.",
        },
        source: "SEED",
        decides: Decides::AcceptsBesideCard(DocumentKind::Notice),
    },
    Rule {
        id: "mynaportal-beside-card",
        from: None,
        until: None,
        title: Words { ja: "マイナポータルの資格情報画面", en: "Mynaportal screen" },
        meaning: Words {
            ja: "カードで資格が確認できないとき、カードとあわせて画面を見せていただきます。",
            en: "When the card gives no answer, the patient shows the screen together with the card.",
        },
        source: "SEED",
        decides: Decides::AcceptsBesideCard(DocumentKind::Mynaportal),
    },
    Rule {
        id: "declaration",
        from: day(2023, 7, 10),
        until: None,
        title: Words { ja: "被保険者資格申立書", en: "Declaration (被保険者資格申立書)" },
        meaning: Words {
            ja: "その場で資格が確認できないときに書いていただき、3割などの負担で受け付けます。10割負担にはなりません。資格は後で確認します。",
            en: "When eligibility cannot be shown at once it is filled in, and the patient pays the usual share, never 100 %. Eligibility is found out later.",
        },
        source: "MHLW",
        decides: Decides::AcceptsProvisionally(DocumentKind::Declaration),
    },
    Rule {
        id: "electronic-certificate-grace",
        from: None,
        until: None,
        title: Words {
            ja: "電子証明書の期限切れ後の猶予", en: "Grace after the card's certificate expired"
        },
        meaning: Words {
            ja: "期限が切れてから3か月間は資格確認だけができます。診療・薬剤情報は提供できません。失効したカードに猶予はありません。",
            en: "For three months eligibility alone is confirmed, without medical information. A revoked certificate has no grace.",
        },
        source: "SEED",
        decides: Decides::CertificateGraceMonths(3),
    },
    Rule {
        id: "electronic-certificate-renewal-notice",
        from: None,
        until: None,
        title: Words { ja: "電子証明書の更新の案内", en: "Notice to renew the card's certificate" },
        meaning: Words {
            ja: "期限の3か月前から画面に案内が出ます。市区町村の窓口で更新していただきます。",
            en: "From three months before the end the screen tells the patient to renew it at the municipal office.",
        },
        source: "SEED",
        decides: Decides::RenewalNoticeMonths(3),
    },
    Rule {
        id: "consent-lifetime",
        from: None,
        until: None,
        title: Words { ja: "同意の有効期間", en: "How long a consent counts" },
        meaning: Words {
            ja: "情報提供の同意は24時間有効です。変更はもう一度カードで受け付けて行います。入院では入院中有効です。",
            en: "A consent counts for 24 hours and is changed only by another reception with the card. For inpatients it lasts for the stay.",
        },
        source: "SEED",
        decides: Decides::ConsentHours(24),
    },
    Rule {
        id: "medication-history",
        from: None,
        until: None,
        title: Words { ja: "閲覧できるお薬情報の期間", en: "Which medication is visible" },
        meaning: Words {
            ja: "約1か月前から5年前までのお薬情報が見られます。電子処方箋に対応する医療機関・薬局では直近のものも見られます。",
            en: "Medication from about one month to five years ago; at sites with e-prescriptions also the newest.",
        },
        source: "SEED",
        decides: Decides::Information,
    },
    Rule {
        id: "medical-ticket-registration",
        from: None,
        until: None,
        title: Words { ja: "医療扶助の医療券の登録", en: "Monthly tickets of medical assistance" },
        meaning: Words {
            ja: "医療扶助の方は、毎月15日から20日ごろの登録までは「未委託・未登録」と表示されます。資格がないという意味ではありません。",
            en: "Until the monthly registration (about the 15th to 20th) the answer is \"not registered\"; that does not mean not eligible.",
        },
        source: "NAGASAKI",
        decides: Decides::Information,
    },
    Rule {
        id: "emergency-viewing",
        from: day(2024, 12, 9),
        until: None,
        title: Words { ja: "救急時医療情報閲覧", en: "Emergency viewing" },
        meaning: Words {
            ja: "救急告示の病院では、意識のない患者さんの医療情報を、カードで本人を特定し同意なしで閲覧できます。",
            en: "Emergency hospitals may view medical information without consent; the patient is identified by the card.",
        },
        source: "EXPN",
        decides: Decides::Opens(Route::EmergencyViewing),
    },
    Rule {
        id: "visual-check-tablet",
        from: day(2025, 5, 21),
        until: None,
        title: Words { ja: "マイナ資格確認アプリによる受付", en: "Reception on a telephone or tablet" },
        meaning: Words {
            ja: "発熱外来や車いすの方など、通常と異なる動線では、タブレットなどで暗証番号なしの目視確認ができます。",
            en: "Away from the desk (fever clinic, wheelchair, broken reader) staff verify by look on a tablet, without PIN.",
        },
        source: "PORTAL",
        decides: Decides::Opens(Route::VisualCheckOnTablet),
    },
    Rule {
        id: "ambulance-viewing",
        from: day(2025, 10, 1),
        until: None,
        title: Words { ja: "マイナ救急の全国実施", en: "Viewing in ambulances, nationwide" },
        meaning: Words {
            ja: "救急隊がカードで医療情報を確認して搬送することがあります。",
            en: "Ambulance teams may have read the patient's card on the way.",
        },
        source: "TV",
        decides: Decides::Information,
    },
    // The sources name the month alone.
    Rule {
        id: "reader-maintenance-ends",
        from: day(2026, 3, 1),
        until: None,
        title: Words {
            ja: "現行の顔認証付きカードリーダーの保守終了", en: "Maintenance of today's readers ends"
        },
        meaning: Words {
            ja: "2026年3月から、現行機種の保守が順次終わります。機種ごとの終了日を販売店に確認します。",
            en: "From March 2026 on, today's makes lose their maintenance one after the other: ask the dealer for the day of yours.",
        },
        source: "WIC",
        decides: Decides::Information,
    },
];

/// The rules about a document.
fn about(kind: DocumentKind) -> impl Iterator<Item = &'static Rule> {
    TABLE.iter().filter(move |rule| document(rule.decides) == Some(kind))
}

/// The first rule about a document: the one that bears its name. The first row stands for a kind without any, which the tests rule out.
pub(super) fn first(kind: DocumentKind) -> &'static Rule {
    about(kind).next().unwrap_or(&TABLE[0])
}

/// The rule about a document that does not count on that day: the one that ended last, otherwise the one that begins first.
pub(super) fn nearest(kind: DocumentKind, date: Date) -> &'static Rule {
    let ended = about(kind).filter(|rule| rule.until.is_some_and(|until| until < date)).max_by_key(|rule| rule.until);
    ended.or_else(|| about(kind).min_by_key(|rule| rule.from)).unwrap_or_else(|| first(kind))
}

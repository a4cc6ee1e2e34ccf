//! How a reception came to where it is, step by step.

use super::{Lang, consent, looked_because, moment, reason, renewal};
use crate::answer::Verdict;
use crate::consent::GivenBy;
use crate::record::{Basis, Method, ReceptionRecord, Reply, Shown};

pub(super) fn story(record: &ReceptionRecord, lang: Lang) -> Vec<String> {
    let mut story = Vec::new();
    story.push(format!("{}: {}", moment(record.opened.wall_ms), began(record, lang)));
    let mut later: Vec<(i64, String)> = Vec::new();
    if let Some((at, shown)) = &record.recorded {
        let told = match shown {
            Shown::Confirmed => lang.pick("資格有効として受付を完了", "checked in, insurance confirmed"),
            Shown::Provisional => {
                lang.pick("答えを待たずに仮受付として完了", "checked in provisionally, without an answer")
            }
            Shown::Ineligible(_) => {
                lang.pick("資格を確認できないことを案内して記録", "told that the insurance could not be confirmed")
            }
        };
        // What needs no consent was not asked.
        let asked = || record.consents.iter().filter(|consent| consent.by != GivenBy::NotNeeded);
        let (agreed, of) = (asked().filter(|consent| consent.agreed).count(), asked().count());
        let consents = match (of, lang) {
            (0, _) => String::new(),
            (_, Lang::Ja) => format!("(同意 {agreed}/{of})"),
            (_, Lang::En) => format!(" (consents given: {agreed} of {of})"),
        };
        later.push((
            at.wall_ms,
            match lang {
                Lang::Ja => format!("{told}しました{consents}。"),
                Lang::En => format!("{told}{consents}."),
            },
        ));
        later.extend(record.consents.iter().map(|given| (given.given.wall_ms, consent(given, lang).words)));
        later.extend(helped(record, lang).map(|line| (at.wall_ms, line)));
    }
    if let Some((at, _)) = &record.abandoned {
        later.push((at.wall_ms, lang.pick("受付が途中で終わりました。", "the check-in ended early.").to_owned()));
    }
    for (at, reply) in record.replied.iter().chain(&record.followed_up) {
        let said = match reply {
            Reply::Answered { verdict: Verdict::Eligible, .. } => {
                lang.pick("資格確認システムの答え: 有効。", "the central system answered: valid.").to_owned()
            }
            Reply::Answered { verdict: Verdict::Ineligible(why), .. } => match lang {
                Lang::Ja => format!("資格確認システムの答え: {}", reason(why, lang).what),
                Lang::En => format!("the central system answered: {}", reason(why, lang).what),
            },
            Reply::Rejected(_) => {
                lang.pick("資格確認システムが照会を拒みました。", "the central system refused the request.").to_owned()
            }
        };
        later.push((at.wall_ms, said));
    }
    later.sort_by_key(|(at, _)| *at);
    story.extend(later.into_iter().map(|(at, said)| format!("{}: {said}", moment(at))));
    if let Some(version) = record.evidence.rules {
        story.push(match lang {
            Lang::Ja => format!("判断に使った規則の版: {version}。"),
            Lang::En => format!("decided by version {version} of the rules."),
        });
    }
    if let Some(earlier) = record.same_visit_as {
        story.push(match lang {
            Lang::Ja => format!("同じ来院の先の受付: {earlier}(どちらの記録も残ります)。"),
            Lang::En => format!("an earlier check-in of the same visit: {earlier}; both records are kept."),
        });
    }
    if !record.opened.synchronised {
        story.push(
            lang.pick(
                "この端末の時計は合っていなかった可能性があります。",
                "This machine's clock may have been wrong.",
            )
            .to_owned(),
        );
    }
    story
}

/// How a reception began: by whom or what the patient was known when the insurance was asked for.
fn began(record: &ReceptionRecord, lang: Lang) -> String {
    let verification = &record.evidence.verification;
    let method = match (verification.method, verification.face_score) {
        (Method::Face, Some(score)) => format!("{} {score:.2}", lang.pick("顔認証、類似度", "face, similarity")),
        (Method::Face, None) => lang.pick("顔認証", "face").to_owned(),
        (Method::Pin, _) => lang.pick("暗証番号", "PIN").to_owned(),
        (Method::PinByProxy, _) => lang.pick("代理の方による暗証番号", "PIN typed by a companion").to_owned(),
        (Method::Staff, _) => match (&verification.look, lang) {
            (Some(look), Lang::Ja) => {
                format!("職員の目視確認、担当 {}、理由: {}", look.by.as_str(), looked_because(look.why, lang))
            }
            (Some(look), Lang::En) => format!("staff look by {}, {}", look.by.as_str(), looked_because(look.why, lang)),
            (None, _) => lang.pick("職員の目視確認", "staff look").to_owned(),
        },
        // Nobody compared a face or a secret: what was entered says whom it is about, not who stood there.
        (Method::Document, _) => return entered(record, lang),
    };
    let asked = match lang {
        Lang::Ja => format!("本人確認({method})が済み、資格を照会しました。"),
        Lang::En => format!("verified by {method}; eligibility was asked for."),
    };
    match record.evidence.basis.as_ref().and_then(|basis| renewal(basis, lang)) {
        Some(renew) => format!("{asked} {renew}"),
        None => asked,
    }
}

/// How a reception without a card began.
fn entered(record: &ReceptionRecord, lang: Lang) -> String {
    let what = match record.evidence.basis {
        Some(Basis::FourItems { .. }) => lang.pick("氏名・性別・生年月日・住所", "name, sex, birth date and address"),
        _ => lang.pick("書類の記号・番号", "the numbers of a document"),
    };
    let by = record.evidence.verification.look.as_ref().map(|look| look.by.as_str());
    match (by, lang) {
        (Some(by), Lang::Ja) => {
            format!("職員 {by} が{what}を入力し、資格を照会しました(カードによる本人確認はありません)。")
        }
        (None, Lang::Ja) => format!("{what}を入力し、資格を照会しました(カードによる本人確認はありません)。"),
        (Some(by), Lang::En) => {
            format!("{by} of the staff entered {what}; eligibility was asked for. No card showed who it was.")
        }
        (None, Lang::En) => format!("{what} were entered; eligibility was asked for. No card showed who it was."),
    }
}

/// Who of the staff worked the screen for the patient.
fn helped(record: &ReceptionRecord, lang: Lang) -> Option<String> {
    let of_consents = record.consents.iter().filter_map(|consent| consent.assisted_by.as_ref());
    let mut who: Vec<&str> =
        record.evidence.verification.assisted_by.iter().chain(of_consents).map(|by| by.as_str()).collect();
    who.sort_unstable();
    who.dedup();
    let names = who.join(lang.pick("、", ", "));
    (!who.is_empty()).then(|| match lang {
        Lang::Ja => format!("患者さんに聞きながら職員が操作しました(担当 {names})。"),
        Lang::En => format!("staff pressed the buttons for the patient ({names})."),
    })
}

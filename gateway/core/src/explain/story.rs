//! How a reception came to where it is, step by step.

use super::{Lang, consent, looked_because, moment, reason, renewal};
use crate::answer::Verdict;
use crate::clock::Stamp;
use crate::consent::GivenBy;
use crate::record::{Basis, Method, ReceptionRecord, Reply, Shown};

/// In the order in which one thing came of another; the times are told with it and decide nothing where the order is known without them.
pub(super) fn story(record: &ReceptionRecord, lang: Lang) -> Vec<String> {
    let at = |stamp: &Stamp, said: &str| format!("{}: {said}", moment(stamp.wall_ms));
    let mut story = vec![at(&record.opened, &began(record, lang))];
    let replies: Vec<&(Stamp, Reply)> = record.replied.iter().chain(&record.followed_up).collect();
    let (shown, before_the_end) = replies_before(record, &replies);
    let tell = |replies: &[&(Stamp, Reply)]| -> Vec<String> {
        replies.iter().map(|(when, reply)| at(when, &answered(reply, lang))).collect()
    };
    story.extend(tell(&replies[..shown]));
    if record.recorded.is_some() {
        story.extend(record.consents.iter().map(|given| at(&given.given, &consent(given, lang).words)));
    }
    story.extend(tell(&replies[shown..before_the_end]));
    if let Some((when, shown)) = &record.recorded {
        story.push(at(when, &recorded(record, shown, lang)));
        story.extend(helped(record, lang).map(|line| at(when, &line)));
    }
    if let Some((when, _)) = &record.abandoned {
        story.push(at(when, lang.pick("受付が途中で終わりました。", "the check-in ended early.")));
    }
    story.extend(tell(&replies[before_the_end..]));
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

/// How many of the replies came before the patient was told, and how many before the reception was recorded or given up. An answer that
/// was shown was there; beyond that only two clocks that were right tell anything.
fn replies_before(record: &ReceptionRecord, replies: &[&(Stamp, Reply)]) -> (usize, usize) {
    let shown = match &record.recorded {
        None | Some((_, Shown::Provisional)) => 0,
        // The first question was answered at least; a later one may have been asked again since.
        Some((_, shown)) => replies.iter().position(|(_, reply)| says(reply, shown)).map_or(1, |found| found + 1),
    };
    let shown = shown.min(replies.len());
    let end = record.recorded.as_ref().map(|(at, _)| at).or(record.abandoned.as_ref().map(|(at, _)| at));
    let before = |reply: &Stamp, end: &Stamp| reply.synchronised && end.synchronised && reply.wall_ms < end.wall_ms;
    let by_clock = end.and_then(|end| replies.iter().rposition(|(at, _)| before(at, end)));
    (shown, shown.max(by_clock.map_or(0, |last| last + 1)))
}

/// Whether a reply is what was shown.
fn says(reply: &Reply, shown: &Shown) -> bool {
    match (reply, shown) {
        (Reply::Answered { verdict: Verdict::Eligible, .. }, Shown::Confirmed) => true,
        (Reply::Answered { verdict: Verdict::Ineligible(said), .. }, Shown::Ineligible(shown)) => said == shown,
        _ => false,
    }
}

fn answered(reply: &Reply, lang: Lang) -> String {
    match reply {
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
    }
}

/// What T2 wrote.
fn recorded(record: &ReceptionRecord, shown: &Shown, lang: Lang) -> String {
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
    match lang {
        Lang::Ja => format!("{told}しました{consents}。"),
        Lang::En => format!("{told}{consents}."),
    }
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

//! The rules of another day, tried on receptions that have been: what would have been decided otherwise.
//!
//! *Nothing is decided here*: a trial reads records and tells. A reception is judged as if it happened on the day of the rules, so that
//! both show: what those rules change, and which cards and documents run out until then. What comes out names no person.

use super::{Acceptance, Decides, Document, DocumentKind, Rule, RuleSet, Rules, Today};
use crate::clock::Stamp;
use crate::date::Date;
use crate::explain::Lang;
use crate::ids::ReceptionId;
use crate::reception::CertificateAge;
use crate::record::{Basis, Evidence, ReceptionRecord};
use crate::words::Words;
use serde::Serialize;

/// How a patient is received with what was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It counts.
    Accepted,
    /// It counts, and the patient is told to renew the certificate in the card.
    AcceptedWithRenewalNotice,
    /// It counts together with the My Number card.
    AcceptedBesideCard,
    /// It counts for eligibility alone: no medical information.
    EligibilityOnly,
    /// The patient is received for the time being.
    AcceptedProvisionally,
    /// It does not count, and the patient is received in another way.
    NotAccepted,
}

impl Decision {
    /// As people read it.
    pub fn words(self) -> Words {
        match self {
            Self::Accepted => Words { ja: "受付できる", en: "accepted" },
            Self::AcceptedWithRenewalNotice => {
                Words { ja: "受付できる(更新の案内)", en: "accepted, with a notice to renew" }
            }
            Self::AcceptedBesideCard => {
                Words { ja: "カードとあわせて受付できる", en: "accepted beside the card" }
            }
            Self::EligibilityOnly => Words { ja: "資格確認のみ", en: "eligibility only" },
            Self::AcceptedProvisionally => Words { ja: "仮受付", en: "accepted provisionally" },
            Self::NotAccepted => Words { ja: "受付できない", en: "not accepted" },
        }
    }
}

/// A reception that would be decided otherwise. Names no person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which reception.
    pub reception: ReceptionId,
    /// Where: `terminal/reader`.
    pub reader: String,
    /// When it was.
    pub opened: Stamp,
    /// What was shown.
    pub shown: DocumentKind,
    /// What was decided.
    pub was: Decision,
    /// What would be decided.
    pub would_be: Decision,
    /// By this rule.
    pub rule: &'static Rule,
    /// What is done then at the desk.
    pub next: Words,
}

impl Difference {
    /// The change in one line: what was shown, how it was decided, and how it would be.
    pub fn sentence(&self, lang: Lang) -> String {
        let [shown, was, would_be] =
            [self.shown.title(), self.was.words(), self.would_be.words()].map(|words| words.pick(lang));
        // A doubtful clock explains a change that no rule made.
        let doubtful = match lang {
            _ if self.opened.synchronised => "",
            Lang::Ja => "(当時は時計が同期していませんでした)",
            Lang::En => " (the clock was not synchronised then)",
        };
        format!("{shown}: {was} → {would_be}{doubtful}")
    }
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// Receptions that would be decided otherwise, in the order of the records.
    pub differences: Vec<Difference>,
    /// Receptions that would be decided as they were.
    pub same: usize,
    /// Receptions whose records do not say on what ground they were decided, or under a table of rules that is not this one.
    pub not_judged: usize,
}

impl DryRun {
    /// Tries rules on records, each as if it happened on the day of the rules, with a clock that is right.
    pub fn of<'a>(date: Date, records: impl IntoIterator<Item = &'a ReceptionRecord>) -> Self {
        let rules = Rules::on(Today { date, trusted: true });
        let mut run = Self { differences: Vec::new(), same: 0, not_judged: 0 };
        for record in records {
            match tried(&record.evidence, record.opened, &rules) {
                Trial::NotJudged => run.not_judged += 1,
                Trial::Indifferent => run.same += 1,
                Trial::Judged { was, would_be, .. } if was == would_be.decision => run.same += 1,
                Trial::Judged { shown, was, would_be: Judged { decision, rule, next } } => {
                    run.differences.push(Difference {
                        reception: record.reception,
                        reader: record.reader.clone(),
                        opened: record.opened,
                        shown,
                        was,
                        would_be: decision,
                        rule,
                        next,
                    });
                }
            }
        }
        run
    }

    /// The whole in one line.
    pub fn summary(&self, lang: Lang) -> String {
        let (differ, not_judged) = (self.differences.len(), self.not_judged);
        let judged = differ + self.same;
        let mut line = match lang {
            Lang::Ja => format!("{judged}件の受付のうち{differ}件が変わります。"),
            Lang::En => format!("{differ} of {judged} receptions would differ."),
        };
        if not_judged > 0 {
            line += &match lang {
                Lang::Ja => format!("ほかの{not_judged}件は、判断の根拠が記録にないため試せません。"),
                Lang::En => format!(" {not_judged} more cannot be tried: their records do not say what was judged."),
            };
        }
        line
    }
}

/// What became of one reception.
enum Trial {
    Judged {
        shown: DocumentKind,
        was: Decision,
        would_be: Judged,
    },
    /// It hangs on no rule of the day.
    Indifferent,
    NotJudged,
}

struct Judged {
    decision: Decision,
    rule: &'static Rule,
    next: Words,
}

fn tried(evidence: &Evidence, opened: Stamp, rules: &RuleSet) -> Trial {
    match &evidence.basis {
        None => Trial::NotJudged,
        Some(Basis::FourItems { .. }) => Trial::Indifferent,
        Some(Basis::Card { certificate, not_after_ms, .. }) => {
            let would_be = rules.certificate_age(Date::of_stamp_jst(*not_after_ms), rules.today()).age;
            Trial::Judged {
                shown: DocumentKind::MyNumberCard,
                was: with_certificate(*certificate),
                would_be: certificate_judged(would_be, rules),
            }
        }
        Some(Basis::Document { document }) => {
            let then = Rules::on(Today::of(opened));
            // Only the rules that decided can say what they decided.
            if evidence.rules.is_some_and(|version| version != then.version()) {
                return Trial::NotJudged;
            }
            let was = document_judged(document, &then).decision;
            Trial::Judged { shown: document.kind, was, would_be: document_judged(document, rules) }
        }
    }
}

fn document_judged(document: &Document, rules: &RuleSet) -> Judged {
    let (decision, rule, next) = match rules.accepts(document, rules.today()).acceptance {
        Acceptance::Accepted { rule } => (Decision::Accepted, rule, rule.meaning),
        Acceptance::AcceptedBesideCard { rule } => (Decision::AcceptedBesideCard, rule, rule.meaning),
        Acceptance::AcceptedProvisionally { rule } => (Decision::AcceptedProvisionally, rule, rule.meaning),
        Acceptance::NotAccepted { rule, next } => (Decision::NotAccepted, rule, next),
    };
    Judged { decision, rule, next }
}

fn with_certificate(age: CertificateAge) -> Decision {
    match age {
        CertificateAge::Valid => Decision::Accepted,
        CertificateAge::ExpiresSoon => Decision::AcceptedWithRenewalNotice,
        CertificateAge::Grace => Decision::EligibilityOnly,
        CertificateAge::Expired | CertificateAge::NotYetValid => Decision::NotAccepted,
    }
}

fn certificate_judged(age: CertificateAge, rules: &RuleSet) -> Judged {
    let decision = with_certificate(age);
    let decides = |rule: &&Rule| match age {
        CertificateAge::Valid | CertificateAge::NotYetValid => {
            rule.decides == Decides::Accepts(DocumentKind::MyNumberCard)
        }
        CertificateAge::ExpiresSoon => matches!(rule.decides, Decides::RenewalNoticeMonths(_)),
        CertificateAge::Grace | CertificateAge::Expired => matches!(rule.decides, Decides::CertificateGraceMonths(_)),
    };
    // Without a grace, what ends a card is the rule of the card itself.
    let rule = rules.in_force().find(decides).unwrap_or_else(|| super::table::first(DocumentKind::MyNumberCard));
    let next = if decision == Decision::NotAccepted { INSTEAD_OF_THE_CARD } else { rule.meaning };
    Judged { decision, rule, next }
}

const INSTEAD_OF_THE_CARD: Words = Words {
    ja: "資格確認書など有効な書類で受け付け、電子証明書の更新を市区町村の窓口でしていただきます。書類がなければ被保険者資格申立書を書いていただきます。10割負担にはなりません。",
    en: "Receive with a valid document (資格確認書), and ask the patient to renew the certificate at the municipal office; without a document have the declaration (被保険者資格申立書) filled in. The patient is not charged 100 %.",
};

#[cfg(test)]
mod tests;

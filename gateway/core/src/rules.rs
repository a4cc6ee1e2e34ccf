//! The rules of a reception desk that depend on the day, as one dated table, and what they decide.
//!
//! *The rules of any day can be asked for*: [`Rules::on`] gives the [`RuleSet`] of a day, past or to come, and a decision names the
//! rule that made it. Whoever records a decision records [`RuleSet::version`] with it; the same version decides the same again.
//!
//! *A clock that nobody vouches for refuses nothing*: what it would refuse is accepted provisionally, what it would accept by a date is
//! accepted provisionally too, and every verdict says that the clock was doubtful.

pub mod dry_run;
mod table;

use crate::clock::Stamp;
use crate::date::Date;
use crate::reception::CertificateAge;
use crate::words::Words;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;
use thiserror::Error;

pub use table::EDITION;

/// What a patient can show at the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// マイナンバーカード.
    MyNumberCard,
    /// スマートフォンのマイナンバーカード.
    Smartphone,
    /// 資格確認書.
    EligibilityCertificate,
    /// 従来の健康保険証.
    EarlierCard,
    /// 従来の後期高齢者医療被保険者証.
    EarlierCardElderly,
    /// 資格情報のお知らせ: says what the card would have said; counts beside the card.
    Notice,
    /// マイナポータルの資格情報画面: counts beside the card.
    Mynaportal,
    /// 被保険者資格申立書, filled in at the desk.
    Declaration,
}

impl DocumentKind {
    /// All of them, those that a desk asks for first in front.
    pub const ALL: [Self; 8] = [
        Self::MyNumberCard,
        Self::Smartphone,
        Self::EligibilityCertificate,
        Self::EarlierCard,
        Self::EarlierCardElderly,
        Self::Notice,
        Self::Mynaportal,
        Self::Declaration,
    ];

    /// What it is called.
    pub fn title(self) -> Words {
        table::first(self).title
    }
}

/// A document as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// 有効期限, the last day that is printed on it.
    pub valid_until: Option<Date>,
}

/// A way to receive a patient that has not always been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// 目視確認 on a telephone or tablet, away from the desk.
    VisualCheckOnTablet,
    /// 救急時医療情報閲覧 in a hospital.
    EmergencyViewing,
    /// 顔認証マイナンバーカード: the card has no PIN.
    CardWithoutPin,
}

/// What a rule decides while it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "decides", content = "value", rename_all = "snake_case")]
pub enum Decides {
    /// The document counts until the day printed on it.
    Accepts(DocumentKind),
    /// The document counts for the time being; what is missing is found out later.
    AcceptsProvisionally(DocumentKind),
    /// The document counts together with the My Number card.
    AcceptsBesideCard(DocumentKind),
    /// The document counts for the time being although it is past its day.
    AcceptsExpired(DocumentKind),
    /// After its last day the certificate in the card still serves for so many calendar months, for eligibility alone.
    CertificateGraceMonths(u8),
    /// So many calendar months before its last day the patient is told to renew the certificate in the card.
    RenewalNoticeMonths(u8),
    /// A consent counts for so many hours.
    ConsentHours(u8),
    /// A way to receive patients is open.
    Opens(Route),
    /// Nothing that a program decides: something to know at the desk.
    Information,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its stable name.
    pub id: &'static str,
    /// The first day on which it holds; without one it has held for longer than this table looks back.
    pub from: Option<Date>,
    /// The last day on which it holds.
    pub until: Option<Date>,
    /// What it is called.
    pub title: Words,
    /// What it means at the desk.
    pub meaning: Words,
    /// Where it stands: a key of the sources of the field.
    pub source: &'static str,
    /// What it decides.
    #[serde(flatten)]
    pub decides: Decides,
}

impl Rule {
    /// Whether it holds on that day.
    pub fn holds_on(&self, date: Date) -> bool {
        self.from.is_none_or(|from| from <= date) && self.until.is_none_or(|until| date <= until)
    }

    /// The days on which it begins to hold and ceases to.
    fn turns(&self) -> impl Iterator<Item = Date> {
        self.from.into_iter().chain(self.until.map(Date::next))
    }
}

/// The day, and whether somebody vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today {
    /// The day in Japan.
    pub date: Date,
    /// Whether the clock was synchronised when it was read, or a person named the day.
    pub trusted: bool,
}

impl Today {
    /// The day of a reading of the wall clock.
    pub fn of(stamp: Stamp) -> Self {
        Self { date: Date::of_stamp_jst(stamp.wall_ms), trusted: stamp.synchronised }
    }
}

/// Which rules: the edition of the table, and the newest change in it that was in force. Written `2025-12-02.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The day of the newest change in force; [`Date::MIN`] before the first.
    pub since: Date,
    /// The edition of the table, counted up whenever a row changes its meaning or dates.
    pub edition: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.since, self.edition)
    }
}

/// A text that names no version of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a version of the rules, which looks like 2025-12-02.1")]
pub struct NotAVersion;

impl std::str::FromStr for Version {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (since, edition) = text.split_once('.').ok_or(NotAVersion)?;
        let since = Date::parse(since).map_err(|_| NotAVersion)?;
        Ok(Self { since, edition: edition.parse().map_err(|_| NotAVersion)? })
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What changes on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The first day on which it is different.
    pub date: Date,
    /// Rules that hold from that day on.
    pub begins: Vec<&'static Rule>,
    /// Rules that held until the day before.
    pub ends: Vec<&'static Rule>,
}

/// The whole table.
#[derive(Debug, Clone, Copy)]
pub struct Rules;

impl Rules {
    /// Every rule that has been, is, or is known to come, in the order of the table.
    pub fn all() -> &'static [Rule] {
        table::TABLE
    }

    /// The rules of a day.
    pub fn on(today: Today) -> RuleSet {
        RuleSet { today }
    }

    /// The next change after a day; nothing when none is known.
    pub fn next_change(after: Date) -> Option<Change> {
        let date = Self::all().iter().flat_map(Rule::turns).filter(|turn| *turn > after).min()?;
        let those = |turns: &dyn Fn(&Rule) -> bool| Self::all().iter().filter(|rule| turns(rule)).collect();
        Some(Change {
            date,
            begins: those(&|rule| rule.from == Some(date)),
            ends: those(&|rule| rule.until.map(Date::next) == Some(date)),
        })
    }
}

/// How a document counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It counts.
    Accepted {
        /// By this rule.
        rule: &'static Rule,
    },
    /// It counts together with the My Number card.
    AcceptedBesideCard {
        /// By this rule.
        rule: &'static Rule,
    },
    /// The patient is received with it; eligibility is asked by its numbers, now or later.
    AcceptedProvisionally {
        /// By this rule; for a doubtful clock, the rule that would have decided.
        rule: &'static Rule,
    },
    /// It does not count, and the patient is received in another way.
    NotAccepted {
        /// The rule that has ended, has not begun, or asks for a document that is not past its day.
        rule: &'static Rule,
        /// In which way.
        next: Words,
    },
}

/// What the rules say about a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentVerdict {
    /// How it counts.
    pub acceptance: Acceptance,
    /// The day was not to be trusted.
    pub clock_doubtful: bool,
}

/// What the rules say about the certificate in a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateVerdict {
    /// What it allows. Never `Expired` by a doubtful clock, and never `NotYetValid`: that is no matter of rules.
    pub age: CertificateAge,
    /// The day was not to be trusted.
    pub clock_doubtful: bool,
}

/// The rules of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleSet {
    today: Today,
}

impl RuleSet {
    /// The day whose rules these are.
    pub fn today(&self) -> Today {
        self.today
    }

    /// The name of these rules, to be recorded with what they decide.
    pub fn version(&self) -> Version {
        let turns = Rules::all().iter().flat_map(Rule::turns);
        let since = turns.filter(|turn| *turn <= self.today.date).max().unwrap_or(Date::MIN);
        Version { since, edition: EDITION }
    }

    /// The rules that hold, in the order of the table.
    pub fn in_force(&self) -> impl Iterator<Item = &'static Rule> + use<> {
        let date = self.today.date;
        Rules::all().iter().filter(move |rule| rule.holds_on(date))
    }

    /// What can be shown at the desk, and by which rule; those that a desk asks for first in front. An earlier card stands here twice
    /// while it counts both as valid and past its day.
    pub fn documents(&self) -> impl Iterator<Item = (DocumentKind, &'static Rule)> + use<> {
        let set = *self;
        DocumentKind::ALL.into_iter().flat_map(move |kind| {
            set.in_force().filter(move |rule| document(rule.decides) == Some(kind)).map(move |rule| (kind, rule))
        })
    }

    /// Whether a way to receive patients is open.
    pub fn opens(&self, route: Route) -> Option<&'static Rule> {
        self.in_force().find(|rule| rule.decides == Decides::Opens(route))
    }

    /// How a document counts under these rules when it is shown `today`, which is another day than that of the rules when rules are tried.
    pub fn accepts(&self, document: &Document, today: Today) -> DocumentVerdict {
        let clock_doubtful = !(today.trusted && self.today.trusted);
        let acceptance = match self.judge(document, today.date) {
            Acceptance::NotAccepted { rule, .. } if clock_doubtful => Acceptance::AcceptedProvisionally { rule },
            Acceptance::Accepted { rule } if clock_doubtful && depends_on_the_day(rule, document) => {
                Acceptance::AcceptedProvisionally { rule }
            }
            judged => judged,
        };
        DocumentVerdict { acceptance, clock_doubtful }
    }

    fn judge(&self, shown: &Document, date: Date) -> Acceptance {
        let past_its_day = shown.valid_until.is_some_and(|last| last < date);
        let (expired, regular): (Vec<&'static Rule>, Vec<_>) = self
            .in_force()
            .filter(|rule| document(rule.decides) == Some(shown.kind))
            .partition(|rule| matches!(rule.decides, Decides::AcceptsExpired(_)));
        let rule = match (regular.first(), expired.first()) {
            (Some(rule), _) if !past_its_day => *rule,
            (_, Some(rule)) => *rule,
            (Some(rule), None) => return Acceptance::NotAccepted { rule, next: instead(shown.kind) },
            (None, None) => {
                return Acceptance::NotAccepted {
                    rule: table::nearest(shown.kind, self.today.date),
                    next: instead(shown.kind),
                };
            }
        };
        match rule.decides {
            Decides::AcceptsBesideCard(_) => Acceptance::AcceptedBesideCard { rule },
            Decides::AcceptsProvisionally(_) | Decides::AcceptsExpired(_) => Acceptance::AcceptedProvisionally { rule },
            _ => Acceptance::Accepted { rule },
        }
    }

    /// What the certificate in a card allows whose last day in Japan is `not_after`. Counts whole days: certificates end with a day.
    pub fn certificate_age(&self, not_after: Date, today: Today) -> CertificateVerdict {
        let clock_doubtful = !(today.trusted && self.today.trusted);
        let (mut grace, mut notice) = (0, 0);
        for rule in self.in_force() {
            match rule.decides {
                Decides::CertificateGraceMonths(months) => grace = i32::from(months),
                Decides::RenewalNoticeMonths(months) => notice = i32::from(months),
                _ => {}
            }
        }
        // "Never" has no three months before it.
        let notice_from = if not_after == Date::MAX { Date::MAX } else { not_after.plus_months(-notice) };
        let age = if today.date > not_after.plus_months(grace) {
            if clock_doubtful { CertificateAge::Grace } else { CertificateAge::Expired }
        } else if today.date > not_after {
            CertificateAge::Grace
        } else if today.date >= notice_from && not_after != Date::MAX {
            CertificateAge::ExpiresSoon
        } else {
            CertificateAge::Valid
        };
        CertificateVerdict { age, clock_doubtful }
    }

    /// How long a consent counts; nothing counts where no rule says how long.
    pub fn consent_lifetime(&self) -> Duration {
        let hours = self.in_force().find_map(|rule| match rule.decides {
            Decides::ConsentHours(hours) => Some(hours),
            _ => None,
        });
        Duration::from_secs(u64::from(hours.unwrap_or(0)) * 60 * 60)
    }
}

/// The document that a rule is about.
fn document(decides: Decides) -> Option<DocumentKind> {
    match decides {
        Decides::Accepts(kind)
        | Decides::AcceptsProvisionally(kind)
        | Decides::AcceptsBesideCard(kind)
        | Decides::AcceptsExpired(kind) => Some(kind),
        _ => None,
    }
}

fn depends_on_the_day(rule: &Rule, document: &Document) -> bool {
    rule.from.is_some() || rule.until.is_some() || document.valid_until.is_some()
}

/// What is done where a document does not count. Always ends in something that needs nothing from the patient but the pen.
fn instead(kind: DocumentKind) -> Words {
    match kind {
        DocumentKind::Smartphone => Words {
            ja: "マイナンバーカードそのもの、または資格確認書を出していただきます。どちらもなければ被保険者資格申立書を書いていただきます。10割負担にはなりません。",
            en: "Ask for the card itself or the certificate (資格確認書); without either, have the declaration (被保険者資格申立書) filled in. The patient is not charged 100 %.",
        },
        DocumentKind::Declaration => Words {
            ja: "保険者に電話などで資格を確認し、マイナポータルの画面または資格情報のお知らせを見せていただきます。10割負担にはなりません。",
            en: "Ask the insurer, by telephone, and look at the Mynaportal screen or the notice (資格情報のお知らせ). The patient is not charged 100 %.",
        },
        _ => Words {
            ja: "マイナンバーカード、または有効な資格確認書を出していただきます。どちらもなければ、その番号で資格を照会し、被保険者資格申立書を書いていただきます。10割負担にはなりません。",
            en: "Ask for the My Number card or a valid certificate (資格確認書); without either, look eligibility up by the numbers at hand and have the declaration (被保険者資格申立書) filled in. The patient is not charged 100 %.",
        },
    }
}

#[cfg(test)]
mod tests;

//! The synthetic insured population: from a seed and a card certificate to a person, always the same one.
//!
//! Promises:
//! * the person is a function of (seed, certificate serial) alone; no clock, no order of arrival;
//! * everything is recognisably synthetic: insurers lie in prefecture 99, which does not exist, and addresses in
//!   見本県;
//! * what chooses the class, strongest first: what follow-ups have changed since the last wish, the explicit table by
//!   serial, by CN, the CN's prefix, the rates;
//! * asking again gives the same answer, unless a wish or the rate of late data says otherwise.

use std::collections::HashMap;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uketsuke_proto::central_v1::Qualification;

use super::certificates::{certify, welfare};
use super::class::{Class, Rates};
use super::names::{FAMILY, FAMILY_WITH_DOT, GIVEN_FEMALE, GIVEN_MALE};
use super::numbers::{Found, Index, Numbers};

/// Ages are counted from this year, so that a seed means the same persons for ever.
const REFERENCE_YEAR: u64 = 2026;

/// A scenario's wish for one person: who (serial, CN or numbers), and what the answer shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Serial of the card's certificate, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Subject CN of the card's certificate, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cn: Option<String>,
    /// What their document says, for somebody who never brings a card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// The outcome.
    pub class: Class,
    /// Whether the name shall contain ●; by rate when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dots: Option<bool>,
    /// The outcome when asked again, or after 初回登録; by rate when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<Class>,
}

impl Person {
    /// Who has the card with this serial, hexadecimal.
    pub fn of_serial(serial: &str, class: Class) -> Self {
        Self { serial: Some(serial.to_owned()), cn: None, numbers: None, class, dots: None, later: None }
    }

    /// Who has the cards with this CN.
    pub fn of_name(common_name: &str, class: Class) -> Self {
        Self { serial: None, cn: Some(common_name.to_owned()), numbers: None, class, dots: None, later: None }
    }

    /// Who has a document with these numbers.
    pub fn of_document(numbers: Numbers, class: Class) -> Self {
        Self { serial: None, cn: None, numbers: Some(numbers), class, dots: None, later: None }
    }

    /// The same with or without ● in the name.
    pub fn with_dots(self, dots: bool) -> Self {
        Self { dots: Some(dots), ..self }
    }

    /// The same with another outcome when asked again.
    pub fn later(self, later: Class) -> Self {
        Self { later: Some(later), ..self }
    }
}

/// Which qualification of a person: it varies the insurer, never the person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one that they have, or had.
    #[default]
    Current,
    /// The one that came after it.
    New,
    /// Another at the same time.
    Second,
}

impl Which {
    fn label(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::New => "new",
            Self::Second => "second",
        }
    }
}

/// What identifies a card to the population.
#[derive(Debug, Clone, Copy)]
pub struct CardIdentity<'a> {
    /// Serial number as in the certificate.
    pub serial: &'a [u8],
    /// Subject CN; empty when the certificate has none.
    pub common_name: &'a str,
}

/// What is decided about a card when its answer is first given, so that repetitions get the same answer even when a
/// scenario has changed its mind since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The kind of answer.
    pub class: Class,
    /// Whether the name contains ●.
    pub dots: bool,
    /// What becomes of it when asked again.
    #[serde(default)]
    pub later: Option<Class>,
    /// The qualification that it is about, where it is about one.
    #[serde(default)]
    pub which: Which,
}

impl Outcome {
    /// What is found when nobody is.
    pub const NOBODY: Self = Self { class: Class::None, dots: false, later: None, which: Which::Current };

    /// When asked again: late data has arrived, if it ever does. A revoked card stays revoked.
    pub fn again(self) -> Self {
        match (self.class, self.later) {
            (Class::Revoked, _) | (_, None) => self,
            // Who was insured elsewhere all along is found there.
            (Class::Invalid, Some(Class::Valid)) => {
                Self { class: Class::Valid, later: None, which: Which::New, ..self }
            }
            (_, Some(later)) => Self { class: later, later: None, ..self },
        }
    }

    /// After 初回登録.
    pub fn registered(self) -> Self {
        match self.class {
            Class::Unregistered => Self { class: self.later.unwrap_or(Class::Valid), later: None, ..self },
            _ => self,
        }
    }

    /// Asked by the numbers of one qualification: what the card itself has (registration, revocation) says nothing then.
    pub fn by_numbers(self, which: Which) -> Self {
        let class = match (self.class, which) {
            (Class::Valid | Class::ValidUnregistered | Class::UnknownCode | Class::Invalid | Class::None, which)
                if which == self.which =>
            {
                self.class
            }
            // The earlier numbers of somebody who is insured elsewhere by now.
            (Class::Valid, Which::Current) => Class::InvalidNew,
            (Class::InvalidNew, Which::Current) => Class::InvalidNew,
            (Class::InvalidNew, Which::New) | (Class::Several, Which::Current | Which::Second) => Class::Valid,
            (Class::Unregistered | Class::Revoked, Which::Current) => Class::Valid,
            _ => Class::None,
        };
        Self { class, which, ..self }
    }

    /// The qualifications whose numbers lead to this person, now or when asked again.
    fn findable(self) -> impl Iterator<Item = Which> {
        let of = |outcome: Self| {
            let more = match outcome.class {
                Class::InvalidNew => Which::New,
                Class::Several => Which::Second,
                _ => outcome.which,
            };
            [Which::Current, more]
        };
        of(self).into_iter().chain(of(self.again()))
    }
}

/// The population of one seed.
#[derive(Debug, Clone)]
pub struct Population {
    seed: u64,
    rates: Rates,
    explicit: HashMap<String, Wish>,
    /// What follow-ups changed, by serial.
    standing: HashMap<Vec<u8>, (u64, Outcome)>,
    wishes: u64,
    index: Index,
    /// CNs of the cards that were met, by serial.
    names: HashMap<Vec<u8>, String>,
}

/// A wish, and the how manieth it was.
#[derive(Debug, Clone, Copy)]
struct Wish {
    class: Class,
    dots: Option<bool>,
    later: Option<Class>,
    number: u64,
}

impl Population {
    /// A population without explicit wishes.
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self {
            seed,
            rates,
            explicit: HashMap::new(),
            standing: HashMap::new(),
            wishes: 0,
            index: Index::default(),
            names: HashMap::new(),
        }
    }

    /// Adds or replaces a wish. Errors when it does not name exactly one of serial, CN and numbers.
    pub fn wish(&mut self, person: &Person) -> Result<(), String> {
        if person.class == Class::Revoked && person.later.is_some() {
            return Err("a revoked card stays revoked: leave later out".to_owned());
        }
        let (key, serial) = match (&person.serial, &person.cn, &person.numbers) {
            (Some(serial), None, None) => (format!("serial:{}", normalised(serial)), unhex(serial)),
            (None, Some(cn), None) => (format!("cn:{cn}"), None),
            (None, None, Some(numbers)) => {
                (format!("serial:{}", normalised(&hex(&numbers.key()))), Some(numbers.key()))
            }
            _ => return Err("name exactly one of serial, cn and numbers".to_owned()),
        };
        self.wishes += 1;
        let Person { class, dots, later, .. } = *person;
        self.explicit.insert(key, Wish { class, dots, later, number: self.wishes });
        if let Some(numbers) = &person.numbers {
            let found = Found { person: numbers.key(), which: Which::Current };
            self.index.insert(numbers, found);
        }
        if let Some(serial) = serial {
            self.meet(CardIdentity { serial: &serial, common_name: "" });
        }
        Ok(())
    }

    /// Gets to know somebody, so that they are found by their numbers from now on.
    pub(super) fn meet(&mut self, card: CardIdentity<'_>) {
        if !card.common_name.is_empty() {
            self.names.insert(card.serial.to_vec(), card.common_name.to_owned());
        }
        let outcome = self.outcome_of(card.serial);
        for which in outcome.findable() {
            let numbers = Numbers::of(&self.qualification(card, outcome, which));
            self.index.insert(&numbers, Found { person: card.serial.to_vec(), which });
            let items = Numbers::of_name(&self.qualification(card, outcome, which).name, &numbers.birthdate);
            self.index.insert(&items, Found { person: card.serial.to_vec(), which });
        }
    }

    /// Who has these numbers, among those that it knows.
    pub(super) fn find(&self, numbers: &Numbers) -> Option<Found> {
        self.index.find(numbers).cloned()
    }

    /// The outcome for somebody met before.
    pub(super) fn outcome_of(&self, serial: &[u8]) -> Outcome {
        self.outcome(CardIdentity { serial, common_name: self.names.get(serial).map_or("", String::as_str) })
    }

    /// What holds for somebody from now on, until a scenario wishes otherwise.
    pub(super) fn settle(&mut self, serial: &[u8], outcome: Outcome) {
        self.standing.insert(serial.to_vec(), (self.wishes, outcome));
    }

    /// The outcome for a card.
    pub fn outcome(&self, card: CardIdentity<'_>) -> Outcome {
        let wish = self.explicit_wish(card);
        if let Some((after, standing)) = self.standing.get(card.serial)
            && wish.is_none_or(|wish| wish.number <= *after)
        {
            return *standing;
        }
        let class = wish
            .map(|wish| wish.class)
            .or_else(|| Class::from_common_name(card.common_name))
            .unwrap_or_else(|| self.rates.class_at(self.draw(card, "class") % 1000));
        let dots = wish.and_then(|wish| wish.dots).unwrap_or_else(|| self.draw(card, "dots") % 1000 < self.rates.dots);
        let lags = wish.is_none()
            && matches!(class, Class::Invalid | Class::None)
            && self.draw(card, "lag") % 1000 < self.rates.lag;
        let later = wish.and_then(|wish| wish.later).or(lags.then_some(Class::Valid));
        Outcome { class, dots, later, which: Which::Current }
    }

    /// The qualifications that the answer with this outcome carries for a card.
    pub fn qualifications(&self, card: CardIdentity<'_>, outcome: Outcome) -> Vec<Qualification> {
        let qualification = |which| self.qualification(card, outcome, which);
        match outcome.class {
            Class::Valid | Class::ValidUnregistered | Class::UnknownCode => vec![qualification(outcome.which)],
            Class::Invalid => vec![self.lost(card, qualification(outcome.which), ["01", "02", "03", "99"])],
            // Who has a new qualification lost the old one by moving to another insurer.
            Class::InvalidNew => {
                vec![self.lost(card, qualification(Which::Current), ["03"; 4]), qualification(Which::New)]
            }
            Class::Several => vec![qualification(Which::Current), qualification(Which::Second)],
            Class::None | Class::Unregistered | Class::Revoked => Vec::new(),
        }
    }

    fn explicit_wish(&self, card: CardIdentity<'_>) -> Option<Wish> {
        let serial = hex(card.serial);
        self.explicit
            .get(&format!("serial:{}", normalised(&serial)))
            .or_else(|| self.explicit.get(&format!("cn:{}", card.common_name)))
            .copied()
    }

    fn lost(&self, card: CardIdentity<'_>, was: Qualification, reasons: [&str; 4]) -> Qualification {
        Qualification {
            disqualification_date: format!("2026{:02}01", 1 + self.draw(card, "lost month") % 3),
            reason_of_loss: reasons[index(self.draw(card, "reason"), reasons.len())].to_owned(),
            ..was
        }
    }

    /// One qualification of the person.
    fn qualification(&self, card: CardIdentity<'_>, outcome: Outcome, which: Which) -> Qualification {
        let (dots, which) = (outcome.dots, which.label());
        let age = age(self.draw(card, "age"));
        let female = self.draw(card, "sex").is_multiple_of(2);
        let family = if dots {
            FAMILY_WITH_DOT[index(self.draw(card, "family"), FAMILY_WITH_DOT.len())]
        } else {
            FAMILY[index(self.draw(card, "family"), FAMILY.len())]
        };
        let given = if female { GIVEN_FEMALE } else { GIVEN_MALE }[index(self.draw(card, "given"), GIVEN_FEMALE.len())];
        let dependent = age < 20 || (age < 75 && self.draw(card, "dependent").is_multiple_of(4));
        let insurer = Insurer::choose(age, self.draw(card, &format!("insurer {which}")));
        let number = self.draw(card, &format!("number {which}"));
        let joined = (REFERENCE_YEAR - age + 1).max(REFERENCE_YEAR - 1 - number % 12);

        let name = format!("{}　{}", family.0, given.0);
        let sex = if female { "2" } else { "1" };

        let mut qualification = Qualification {
            insured_card_classification: "01".to_owned(),
            // The head of the household has the same family name.
            insured_name: if dependent { format!("{}　{}", family.0, "太郎") } else { name.clone() },
            name_of_other: name.clone(),
            name_of_other_kana: format!("{} {}", family.1, given.1),
            sex2: sex.to_owned(),
            insured_certificate_issuance_date: format!("{joined}0401"),
            face_inf_existence: "1".to_owned(),
            reference_number: format!("{:010}", self.draw(card, "reference") % 10_000_000_000),
            insurer_number: insurer.number,
            insurer_name: insurer.name,
            insured_card_symbol: if age >= 75 { String::new() } else { format!("{:04}", number / 7 % 10_000) },
            insured_identification_number: format!("{:08}", number % 100_000_000),
            insured_branch_number: format!("{:02}", if dependent { 1 + number % 5 } else { 0 }),
            personal_family_classification: if dependent { "2" } else { "1" }.to_owned(),
            name,
            name_kana: format!("{} {}", family.1, given.1),
            sex1: sex.to_owned(),
            birthdate: format!(
                "{}{:02}{:02}",
                REFERENCE_YEAR - age,
                1 + self.draw(card, "birth month") % 12,
                1 + self.draw(card, "birth day") % 28
            ),
            address: format!("見本県試験市架空町{}-{}-{}", 1 + number % 9, 1 + number / 9 % 30, 1 + number / 270 % 20),
            post_number: format!("999-{:04}", number / 3 % 10_000),
            qualification_date: format!("{joined}0401"),
            disqualification_date: String::new(),
            reason_of_loss: String::new(),
            insured_partial_contribution_ratio: ratio(age).to_owned(),
            insured_card_valid_date: format!("{joined}0401"),
            insured_card_expiration_date: if age >= 75 { "20290731".to_owned() } else { String::new() },
            ..Qualification::default()
        };
        certify(&mut qualification, age, |label| self.draw(card, label));
        if outcome.class == Class::ValidUnregistered {
            let prefix = format!("1299{:03}", self.draw(card, "welfare office") % 1000);
            return welfare(qualification, format!("{prefix}{}", check_digit(&prefix)), |label| self.draw(card, label));
        }
        qualification
    }

    /// A number that depends on the seed, the card and the label alone. SHA-256 rather than a generator of a
    /// library, so that no update ever changes who a person is.
    fn draw(&self, card: CardIdentity<'_>, label: &str) -> u64 {
        let mut hash = Context::new(&SHA256);
        hash.update(&self.seed.to_be_bytes());
        hash.update(card.serial);
        hash.update(b"\0");
        hash.update(label.as_bytes());
        hash.finish().as_ref()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

struct Insurer {
    number: String,
    name: String,
}

impl Insurer {
    /// By age, as in life: late-elderly insurance from 75 on; otherwise 協会けんぽ, 組合健保 or 国保, whose six-digit
    /// numbers are padded to eight.
    fn choose(age: u64, draw: u64) -> Self {
        let branch = draw / 3 % 100;
        let (prefix, kind, width) = match (age, draw % 3) {
            (75.., _) => (format!("3999{branch:03}"), "見本県後期高齢者医療広域連合", 8),
            (_, 0) => (format!("0199{branch:03}"), "全国健康保険協会見本支部", 8),
            (_, 1) => (format!("0699{branch:03}"), "試験健康保険組合", 8),
            _ => (format!("99{branch:03}"), "見本県試験市国民健康保険", 6),
        };
        let digits = format!("{prefix}{}", check_digit(&prefix));
        debug_assert_eq!(digits.len(), width);
        Self { number: format!("{digits:>8}"), name: format!("{kind}第{branch}") }
    }
}

/// Check digit of an insurer number: weights 2, 1 from the right, digit sums, complement to ten.
fn check_digit(digits: &str) -> u32 {
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .zip([2, 1].into_iter().cycle())
        .map(|(digit, weight)| digit * weight / 10 + digit * weight % 10)
        .sum();
    (10 - sum % 10) % 10
}

/// Patients are old: half of them are 60 or more.
fn age(draw: u64) -> u64 {
    let within = draw / 10;
    match draw % 10 {
        0 => within % 18,
        1..=4 => 18 + within % 42,
        5..=7 => 60 + within % 15,
        _ => 75 + within % 22,
    }
}

/// Share paid by the patient: 20 % before school and from 70, 10 % from 75, otherwise 30 %.
fn ratio(age: u64) -> &'static str {
    match age {
        0..6 | 70..75 => "020",
        6..70 => "030",
        _ => "010",
    }
}

fn normalised(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_lowercase()
}

fn index(draw: u64, length: usize) -> usize {
    // The remainder is below `length`, which is a usize.
    usize::try_from(draw % length as u64).unwrap_or(0)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `None` when it is no hexadecimal number of whole bytes.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

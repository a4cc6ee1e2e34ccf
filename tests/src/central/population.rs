//! The synthetic insured population: from a seed and a card certificate to a person, always the same one.
//!
//! Promises:
//! * the person is a function of (seed, certificate serial) alone; no clock, no order of arrival;
//! * everything is recognisably synthetic: insurers lie in prefecture 99, which does not exist, and addresses in
//!   見本県;
//! * what chooses the class, strongest first: the explicit table by serial, by CN, the CN's prefix, the rates.

use std::collections::HashMap;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uketsuke_proto::central_v1::Qualification;

use super::class::{Class, Rates};
use super::names::{FAMILY, FAMILY_WITH_DOT, GIVEN_FEMALE, GIVEN_MALE};

/// Ages are counted from this year, so that a seed means the same persons for ever.
const REFERENCE_YEAR: u64 = 2026;

/// A scenario's wish for one card: who (serial or CN), and what the answer shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Serial of the card's certificate, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Subject CN of the card's certificate, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cn: Option<String>,
    /// The outcome.
    pub class: Class,
    /// Whether the name shall contain ●; by rate when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dots: Option<bool>,
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
}

/// The population of one seed.
#[derive(Debug, Clone)]
pub struct Population {
    seed: u64,
    rates: Rates,
    explicit: HashMap<String, (Class, Option<bool>)>,
}

impl Population {
    /// A population without explicit wishes.
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self { seed, rates, explicit: HashMap::new() }
    }

    /// Adds or replaces a wish. Errors when it names neither or both of serial and CN.
    pub fn wish(&mut self, person: &Person) -> Result<(), String> {
        let key = match (&person.serial, &person.cn) {
            (Some(serial), None) => format!("serial:{}", normalised(serial)),
            (None, Some(cn)) => format!("cn:{cn}"),
            _ => return Err("name exactly one of serial and cn".to_owned()),
        };
        self.explicit.insert(key, (person.class, person.dots));
        Ok(())
    }

    /// The outcome for a card.
    pub fn outcome(&self, card: CardIdentity<'_>) -> Outcome {
        let wish = self.explicit_wish(card);
        let class = wish
            .map(|(class, _)| class)
            .or_else(|| Class::from_common_name(card.common_name))
            .unwrap_or_else(|| self.rates.class_at(self.draw(card, "class") % 1000));
        let dots = wish.and_then(|(_, dots)| dots).unwrap_or_else(|| self.draw(card, "dots") % 1000 < self.rates.dots);
        Outcome { class, dots }
    }

    /// The qualifications that the answer with this outcome carries for a card.
    pub fn qualifications(&self, card: CardIdentity<'_>, outcome: Outcome) -> Vec<Qualification> {
        let qualification = |which| self.qualification(card, outcome.dots, which);
        match outcome.class {
            Class::Valid | Class::ValidUnregistered | Class::UnknownCode => vec![qualification("current")],
            Class::Invalid => vec![self.lost(card, qualification("current"), ["01", "02", "03", "99"])],
            // Who has a new qualification lost the old one by moving to another insurer.
            Class::InvalidNew => vec![self.lost(card, qualification("current"), ["03"; 4]), qualification("new")],
            Class::Several => vec![qualification("current"), qualification("second")],
            Class::None | Class::Unregistered | Class::Revoked => Vec::new(),
        }
    }

    fn explicit_wish(&self, card: CardIdentity<'_>) -> Option<(Class, Option<bool>)> {
        let serial: String = card.serial.iter().map(|byte| format!("{byte:02x}")).collect();
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

    /// One qualification of the person; `which` varies the insurer, never the person.
    fn qualification(&self, card: CardIdentity<'_>, dots: bool, which: &str) -> Qualification {
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

        Qualification {
            insurer_number: insurer.number,
            insurer_name: insurer.name,
            insured_card_symbol: if age >= 75 { String::new() } else { format!("{:04}", number / 7 % 10_000) },
            insured_identification_number: format!("{:08}", number % 100_000_000),
            insured_branch_number: format!("{:02}", if dependent { 1 + number % 5 } else { 0 }),
            personal_family_classification: if dependent { "2" } else { "1" }.to_owned(),
            name: format!("{}　{}", family.0, given.0),
            name_kana: format!("{} {}", family.1, given.1),
            sex1: if female { "2" } else { "1" }.to_owned(),
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
        }
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

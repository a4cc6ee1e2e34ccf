//! Who is received, what the central system has to say about them, what staff do, and which end that deserves.

use crate::central::{CardIdentity, Class, Numbers, Outcome, Population, Rates, Which};
use crate::pki::{Card, CardOptions, DevPki};
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ring::digest::{SHA256, digest};
use std::collections::{HashMap, HashSet};
use uketsuke_core::ladder::Final;
use uketsuke_proto::central_v1::Qualification;

/// Changed insurers, ● and nobody found as the surveys have them; everything else often enough to be met.
pub(super) const RATES: Rates =
    Rates { invalid: 10, invalid_new: 100, none: 20, several: 5, unregistered: 5, revoked: 10, dots: 44, lag: 500 };

/// Of a thousand receptions with a card: requests that the central system refuses.
const REFUSED: u32 = 5;

/// How somebody is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Card,
    Document,
    FourItems,
}

/// What staff do about a case once it is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Everything that the case waits for.
    Works,
    /// Everything up to the declaration, and then nothing.
    WorksUntilDeclared,
    /// Nothing at all.
    Alone,
    /// Closes it.
    Closes,
    /// Closes it before any answer has come.
    ClosesEarly,
}

/// What it takes until a case is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// An answer confirms it, at once or late.
    Confirms,
    /// Late data shows another insurance.
    Changes,
    /// Staff find out the numbers of this qualification.
    Numbers(Which),
    /// One of several is chosen.
    Choose,
    /// There is nothing to be found.
    Nothing,
    /// The patient is told.
    Tell(End),
}

/// Every end there is, without its reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Confirmed,
    Changed,
    Ineligible,
    NotRegistered,
    Revoked,
    Rejected,
    Expired,
    Closed,
}

impl End {
    pub(super) const ALL: [Self; 8] = [
        Self::Confirmed,
        Self::Changed,
        Self::Ineligible,
        Self::NotRegistered,
        Self::Revoked,
        Self::Rejected,
        Self::Expired,
        Self::Closed,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Changed => "changed",
            Self::Ineligible => "ineligible",
            Self::NotRegistered => "not_registered",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Closed => "closed",
        }
    }
}

impl From<Final> for End {
    fn from(end: Final) -> Self {
        match end {
            Final::Confirmed => Self::Confirmed,
            Final::Changed => Self::Changed,
            Final::Ineligible(_) => Self::Ineligible,
            Final::NotRegistered => Self::NotRegistered,
            Final::Revoked => Self::Revoked,
            Final::RejectedByCentral => Self::Rejected,
            Final::Expired => Self::Expired,
            Final::ClosedByStaff(_) => Self::Closed,
        }
    }
}

/// One patient of the campaign, who is received once.
pub(super) struct Patient {
    pub(super) number: usize,
    pub(super) by: By,
    pub(super) card: Option<Card>,
    /// Serial of the card, or what stands for it; lower-case hexadecimal, as in the ledger.
    pub(super) serial: String,
    pub(super) outcome: Outcome,
    /// The request is one that the central system refuses.
    pub(super) refused: bool,
    pub(super) script: Script,
    /// Somebody else whose numbers staff enter first.
    pub(super) slip: Option<Numbers>,
    /// As the central system knows them.
    pub(super) known: Qualification,
    /// The name as the patient writes it.
    pub(super) name: String,
    pub(super) numbers: Numbers,
    pub(super) new_numbers: Numbers,
}

impl Patient {
    pub(super) fn course(&self) -> Course {
        let found_by_name = !self.outcome.dots;
        let late = self.outcome.later.is_some();
        if self.refused {
            return Course::Tell(End::Rejected);
        }
        match (self.by, self.outcome.class) {
            // Data that comes late shows with another insurance, and only the card finds that by itself.
            (By::Card, Class::Invalid) if late => Course::Changes,
            // By the name the present insurance is found, also late; a name that cannot be expressed there finds nobody.
            (By::FourItems, Class::Invalid | Class::None) if late && found_by_name => Course::Confirms,
            (_, Class::Invalid) if late => Course::Numbers(Which::New),
            (By::Card | By::Document, Class::None) if late => Course::Confirms,
            (By::FourItems, Class::None) if late => Course::Numbers(Which::Current),
            (_, Class::Invalid | Class::None) => Course::Nothing,
            (By::FourItems, _) if found_by_name => Course::Confirms,
            (_, Class::InvalidNew) => Course::Numbers(Which::New),
            (By::FourItems, _) => Course::Numbers(Which::Current),
            // What the card has says nothing about a document.
            (By::Card, Class::Several) => Course::Choose,
            (By::Card, Class::Unregistered) => Course::Tell(End::NotRegistered),
            // A revoked card says nothing about the insurance, which other numbers find.
            (By::Card, Class::Revoked) if self.script == Script::Works && self.number.is_multiple_of(2) => {
                Course::Numbers(Which::Current)
            }
            (By::Card, Class::Revoked) => Course::Tell(End::Revoked),
            _ => Course::Confirms,
        }
    }

    /// The one end that this reception deserves.
    pub(super) fn deserves(&self) -> End {
        match (self.script, self.course()) {
            (Script::ClosesEarly, _) => End::Closed,
            (_, Course::Confirms) => End::Confirmed,
            (_, Course::Changes) => End::Changed,
            (Script::Closes, _) => End::Closed,
            // It is told even when nobody says so: then its time is over.
            (_, Course::Tell(end)) => end,
            (Script::Alone, _) | (Script::WorksUntilDeclared, Course::Nothing) => End::Expired,
            (_, Course::Nothing) => End::Ineligible,
            (_, Course::Numbers(_) | Course::Choose) => End::Changed,
        }
    }

    /// The numbers that the patient finds at home, if there are any that are valid.
    pub(super) fn present_numbers(&self) -> Option<&Numbers> {
        match self.course() {
            Course::Numbers(Which::New) => Some(&self.new_numbers),
            Course::Numbers(_) => Some(&self.numbers),
            _ => None,
        }
    }
}

/// Draws everybody from a seed.
pub(super) fn draw(pki: &DevPki, seed: u64, count: usize) -> Result<Vec<Patient>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let population = Population::new(seed, RATES);
    // Nobody shares reading and birth date: whom a look at the answer finds is then certain, also for the campaign.
    let mut taken = HashSet::new();
    let mut patients = Vec::with_capacity(count);
    for number in 0..count {
        let by = match rng.random_range(0..10) {
            0..6 => By::Card,
            6..8 => By::Document,
            _ => By::FourItems,
        };
        patients.push(one(pki, &population, (seed, number), by, &mut rng, &mut taken)?);
    }
    let slips = slips(&patients);
    for (patient, slip) in patients.iter_mut().zip(slips) {
        let slipping = patient.script == Script::Works && patient.present_numbers().is_some() && rng.random_ratio(1, 4);
        patient.slip = slip.filter(|_| slipping);
    }
    Ok(patients)
}

fn one(
    pki: &DevPki,
    population: &Population,
    (seed, number): (u64, usize),
    by: By,
    rng: &mut StdRng,
    taken: &mut HashSet<(String, String)>,
) -> Result<Patient> {
    for again in 0..100 {
        let common_name = format!("LADDER-{seed}-{number}-{again}");
        let card = match by {
            By::Card => Some(pki.card(&common_name, &CardOptions::shared())?),
            By::Document | By::FourItems => None,
        };
        let serial = match &card {
            Some(card) => card.serial_hex.clone(),
            None => hex(&digest(&SHA256, common_name.as_bytes()).as_ref()[..8]),
        };
        let bytes = unhex(&serial)?;
        let common_name = if card.is_some() { common_name.as_str() } else { "" };
        let identity = CardIdentity { serial: &bytes, common_name };
        let outcome = population.outcome(identity);
        let insured = |which| {
            let valid = Outcome { class: Class::Valid, later: None, which, ..outcome };
            population.qualifications(identity, valid).pop().context("a valid outcome has a qualification")
        };
        let known = insured(Which::Current)?;
        // Nobody here is born this year: the desk rightly refuses a birth date that is still to come.
        let born_before = known.birthdate.as_str() < "20260101";
        if !born_before || !taken.insert((known.name_kana.clone(), known.birthdate.clone())) {
            continue;
        }
        let script = match rng.random_range(0..100) {
            0..8 => Script::Alone,
            8..10 => Script::Closes,
            10 => Script::ClosesEarly,
            11..31 => Script::WorksUntilDeclared,
            _ => Script::Works,
        };
        return Ok(Patient {
            number,
            by,
            refused: card.is_some() && rng.random_ratio(REFUSED, 1000),
            card,
            serial,
            outcome,
            script,
            slip: None,
            name: as_written(&known),
            numbers: Numbers::of(&known),
            new_numbers: Numbers::of(&insured(Which::New)?),
            known,
        });
    }
    anyhow::bail!("no patient {number} who is like nobody else")
}

/// Whose numbers each might be mistaken for: somebody insured who is as near as possible, by birth date, else by name.
fn slips(patients: &[Patient]) -> Vec<Option<Numbers>> {
    let mut near: HashMap<&str, Vec<usize>> = HashMap::new();
    for patient in patients.iter().filter(|patient| patient.outcome.class == Class::Valid && !patient.refused) {
        for trait_of in [patient.known.birthdate.as_str(), patient.known.name.as_str()] {
            near.entry(trait_of).or_default().push(patient.number);
        }
    }
    let valid: Vec<usize> =
        patients.iter().filter(|patient| patient.outcome.class == Class::Valid).map(|patient| patient.number).collect();
    let other = |patient: &Patient, among: &[usize]| among.iter().copied().find(|other| *other != patient.number);
    patients
        .iter()
        .map(|patient| {
            let by = |key: &str| near.get(key).and_then(|among| other(patient, among));
            let found =
                by(&patient.known.birthdate).or_else(|| by(&patient.known.name)).or_else(|| other(patient, &valid));
            found.map(|other| patients[other].numbers.clone())
        })
        .collect()
}

/// The name with the characters that the central system cannot express.
fn as_written(known: &Qualification) -> String {
    let variants = [
        ("●●", "髙﨑"),
        ("●橋", "髙橋"),
        ("山●", "山﨑"),
        ("渡●", "渡邉"),
        ("●永", "德永"),
        ("●田", "𠮷田"),
        ("●沢", "栁沢"),
    ];
    variants.iter().fold(known.name.clone(), |name, (from, to)| name.replace(from, to))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().context("a serial is hexadecimal")
}

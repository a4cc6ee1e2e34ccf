//! Is this the same person, and how do two spellings of one person differ.
//!
//! What must not happen is that two people are joined. So only a birth date or a sex that contradicts says *different*, only a birth
//! date and a name (or its reading) that agree say *same*, and everything between is *undecided*: staff look at it. The central system
//! writes ● for a character that it cannot express; one ● stands for exactly one character. Where a ● leaves room for a doubt,
//! the kana decide. Nothing here changes a spelling: values are kept as they came, and a local spelling is never overwritten.

mod date;
mod difference;
mod fold;
mod typed;
mod variants;

pub use date::{CivilDate, DateMatch};
pub use difference::{CodePoints, Difference, Field};
pub use typed::PersonTyped;

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The character that the central system writes for one that it cannot express.
pub const UNMAPPED: char = '●';

/// A text about a person, byte for byte as it came. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Spelling(String);

impl Spelling {
    /// The text, for those who show, seal or compare it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Nothing but spaces.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.chars().all(char::is_whitespace)
    }
}

impl From<&str> for Spelling {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Spelling {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spelling(…)")
    }
}

/// A person as one side knows them. Every part may be missing; a blank part counts as missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// 氏名.
    pub name: Option<Spelling>,
    /// 氏名カナ, in half or full width.
    pub name_kana: Option<Spelling>,
    /// yyyyMMdd, or what [`CivilDate::parse`] can read.
    pub birthdate: Option<Spelling>,
    /// 1 男, 2 女, 3 未設定, or the word.
    pub sex: Option<Spelling>,
    /// 住所.
    pub address: Option<Spelling>,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The same person; where the spellings differ beyond width and spaces.
    SamePerson {
        /// In the order of the fields of [`Person`].
        differences: Vec<Difference>,
    },
    /// Not the same person.
    DifferentPerson {
        /// What contradicts.
        because: Contradiction,
    },
    /// It cannot be told from what is there: staff look at it.
    Undecided {
        /// What is in doubt.
        because: Doubt,
    },
}

/// What shows that two people are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contradiction {
    /// Both have a birth date, and they differ.
    Birthdate,
    /// Both have a sex, and they differ.
    Sex,
}

/// What keeps two people from being told apart, or together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// A birth date is missing, incomplete or unreadable: a name alone identifies nobody.
    Birthdate,
    /// Neither name nor kana are on both sides.
    NameMissing,
    /// The names differ beyond variant characters, and the kana do not agree.
    NameDiffers,
    /// The name agrees only because of ●, and the kana contradict: twins share birth date, sex and family name.
    KanaDiffers,
    /// So many ● that what is left of the name says too little, and no kana to help.
    TooManyUnmapped,
}

/// Compares the person known here with the person in an answer of the central system. The verdict does not depend on which is which.
pub fn compare(local: &Person, central: &Person) -> Comparison {
    let local = Present::of(local);
    let central = Present::of(central);
    let dates = match (local.birthdate.and_then(CivilDate::parse), central.birthdate.and_then(CivilDate::parse)) {
        (Some(a), Some(b)) => a.matches(&b),
        _ => DateMatch::Unknown,
    };
    if dates == DateMatch::Different {
        return Comparison::DifferentPerson { because: Contradiction::Birthdate };
    }
    if let (Some(a), Some(b)) = (local.sex.and_then(known_sex), central.sex.and_then(known_sex))
        && a != b
    {
        return Comparison::DifferentPerson { because: Contradiction::Sex };
    }
    if dates == DateMatch::Unknown {
        return Comparison::Undecided { because: Doubt::Birthdate };
    }
    match names_in_doubt(&local, &central) {
        Some(because) => Comparison::Undecided { because },
        None => Comparison::SamePerson { differences: difference::between(&local, &central) },
    }
}

/// Where the spellings differ beyond width and spaces, whoever the two are: for staff who are to tell.
pub fn differences(local: &Person, central: &Person) -> Vec<Difference> {
    difference::between(&Present::of(local), &Present::of(central))
}

/// A person without the parts that are blank.
struct Present<'a> {
    name: Option<&'a str>,
    name_kana: Option<&'a str>,
    birthdate: Option<&'a str>,
    sex: Option<&'a str>,
    address: Option<&'a str>,
}

impl<'a> Present<'a> {
    fn of(person: &'a Person) -> Self {
        fn present(part: &Option<Spelling>) -> Option<&str> {
            part.as_ref().filter(|spelling| !spelling.is_blank()).map(Spelling::as_str)
        }
        Self {
            name: present(&person.name),
            name_kana: present(&person.name_kana),
            birthdate: present(&person.birthdate),
            sex: present(&person.sex),
            address: present(&person.address),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sex {
    Male,
    Female,
}

/// 3 (未設定) and what this version does not know count as unknown: they contradict nothing.
fn known_sex(text: &str) -> Option<Sex> {
    let folded: String = fold::plain(text).iter().collect::<String>().to_lowercase();
    match folded.as_str() {
        "1" | "男" | "男性" | "m" | "male" => Some(Sex::Male),
        "2" | "女" | "女性" | "f" | "female" => Some(Sex::Female),
        _ => None,
    }
}

/// Why the names do not show one person; `None` when they do.
fn names_in_doubt(local: &Present<'_>, central: &Present<'_>) -> Option<Doubt> {
    let kana = kana_agree(local.name_kana, central.name_kana);
    if kana == Some(true) {
        return None;
    }
    let (Some(ours), Some(theirs)) = (local.name, central.name) else { return Some(Doubt::NameMissing) };
    match match_names(ours, theirs) {
        NameMatch::Differs => Some(Doubt::NameDiffers),
        // Clinics guess readings; the same characters read another way are still the same name.
        NameMatch::Agrees => None,
        NameMatch::AgreesBut(_) if kana == Some(false) => Some(Doubt::KanaDiffers),
        NameMatch::AgreesBut(Left { known, unmapped }) if unmapped < known => None,
        NameMatch::AgreesBut(_) => Some(Doubt::TooManyUnmapped),
    }
}

/// Whether the readings agree; `None` when one is missing or has a ● itself.
fn kana_agree(local: Option<&str>, central: Option<&str>) -> Option<bool> {
    let (ours, theirs) = (local?, central?);
    let unmapped = ours.contains(UNMAPPED) || theirs.contains(UNMAPPED);
    (!unmapped).then(|| fold::kana(ours) == fold::kana(theirs))
}

/// What is left of a name that has ● in it.
struct Left {
    known: usize,
    unmapped: usize,
}

enum NameMatch {
    Agrees,
    /// Agrees where both sides have a character.
    AgreesBut(Left),
    Differs,
}

fn match_names(local: &str, central: &str) -> NameMatch {
    let (ours, theirs) = (fold::name(local), fold::name(central));
    if ours.len() != theirs.len() {
        return NameMatch::Differs;
    }
    let mut left = Left { known: 0, unmapped: 0 };
    for (a, b) in ours.iter().zip(theirs.iter()) {
        if *a == UNMAPPED || *b == UNMAPPED {
            left.unmapped += 1;
        } else if a == b {
            left.known += 1;
        } else {
            return NameMatch::Differs;
        }
    }
    if left.unmapped == 0 { NameMatch::Agrees } else { NameMatch::AgreesBut(left) }
}

#[cfg(test)]
mod tests;

//! What belongs to a case and is about the patient: numbers, declarations, notes, the person as known here.
//!
//! Promise: nothing in a paper is printed; the store seals papers as a whole.

use super::StoreError;
use serde::{Deserialize, Serialize};
use std::fmt;
use uketsuke_core::clock::Stamp;
use uketsuke_core::consent::Consent;
use uketsuke_core::ladder::{Declaration, Known, Numbers};
use uketsuke_core::person::{Person, Spelling};
use uketsuke_core::record::StaffName;

/// Characters of a note at the most.
pub const NOTE_CHARS_MAX: usize = 500;

/// Bytes of all papers of a case together: far more than a case needs, little enough to be read each time.
const PAPERS_BYTES_MAX: usize = 64 * 1024;

/// Something filed with a case: what, who filed it, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paper {
    /// What.
    pub filed: Filed,
    /// Who of the staff.
    pub by: StaffName,
    /// When.
    pub at: Stamp,
}

/// What can be filed with a case. Personal; `Debug` says only the kind.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filed {
    /// Numbers that staff entered from a document.
    Numbers(EnteredNumbers),
    /// 被保険者資格申立書.
    Declaration(Declaration),
    /// A remark.
    Note(Note),
    /// The person as this site knows them.
    Person(Person),
    /// What staff did to the case: a word of [`uketsuke_core::ladder::StaffAction`], so that it is known who did it.
    Action(String),
}

impl fmt::Debug for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Numbers(_) => "Numbers(…)",
            Self::Declaration(_) => "Declaration(…)",
            Self::Note(_) => "Note(…)",
            Self::Person(_) => "Person(…)",
            Self::Action(_) => "Action(…)",
        })
    }
}

/// A remark of bounded length.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Note(Spelling);

impl Note {
    /// A remark that says something and is at most [`NOTE_CHARS_MAX`] characters long; `None` otherwise.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (1..=NOTE_CHARS_MAX).contains(&text.chars().count()).then(|| Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Numbers by which an insured person is found without a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnteredNumbers {
    /// Of which insurance: [`Numbers::Original`] are those that a reception without a card began with.
    pub which: Numbers,
    /// 保険者番号.
    pub insurer: Spelling,
    /// 記号; empty when the document has none.
    pub symbol: Spelling,
    /// 番号.
    pub number: Spelling,
    /// 枝番; empty when not known.
    pub branch: Spelling,
    /// yyyyMMdd.
    pub birthdate: Spelling,
    /// Whether the patient agreed that 限度額適用認定証 information is given.
    pub limit_certificate: bool,
    /// The same with who of the staff asked, when, until when it counts, and by which text; `None` in papers of versions that did not
    /// keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
}

impl EnteredNumbers {
    /// The same numbers, with what the patient said when staff asked.
    pub fn with_consent(self, consent: Consent) -> Self {
        Self { limit_certificate: consent.agreed, consent: Some(consent), ..self }
    }
}

/// What was agreed to after the reception, with numbers that staff entered since; oldest first.
pub fn consents_since(papers: &[Paper]) -> impl Iterator<Item = &Consent> {
    papers.iter().filter_map(|paper| match &paper.filed {
        // What was said when the reception began stands in its record.
        Filed::Numbers(numbers) if numbers.which != Numbers::Original => numbers.consent.as_ref(),
        _ => None,
    })
}

/// The latest numbers of this kind.
pub fn numbers(papers: &[Paper], which: Numbers) -> Option<&EnteredNumbers> {
    papers.iter().rev().find_map(|paper| match &paper.filed {
        Filed::Numbers(numbers) if numbers.which == which => Some(numbers),
        _ => None,
    })
}

/// The person as a reception without card and document began with them: the four items.
pub fn began_with(papers: &[Paper]) -> Option<&Person> {
    papers.iter().find_map(|paper| match &paper.filed {
        Filed::Person(person) => Some(person),
        _ => None,
    })
}

/// The person as this site knows them by now: of each part the latest that a paper says, a declaration included. `None` when none says
/// anything.
pub fn person(papers: &[Paper]) -> Option<Person> {
    let known = papers.iter().fold(Person::default(), |known, paper| match &paper.filed {
        Filed::Person(person) => said_since(known, person),
        Filed::Declaration(declaration) => said_since(known, &declaration.person()),
        Filed::Numbers(_) | Filed::Note(_) | Filed::Action(_) => known,
    });
    (known != Person::default()).then_some(known)
}

/// Everything that is known here about who was received.
pub fn known(papers: &[Paper]) -> Known {
    let birthdate = |which| numbers(papers, which).map(|numbers| numbers.birthdate.clone());
    Known {
        person: person(papers).unwrap_or_default(),
        received: birthdate(Numbers::Original),
        typed: [Numbers::Current, Numbers::Earlier].into_iter().filter_map(birthdate).collect(),
    }
}

fn said_since(known: Person, later: &Person) -> Person {
    let part = |known: Option<Spelling>, later: &Option<Spelling>| later.clone().or(known);
    Person {
        name: part(known.name, &later.name),
        name_kana: part(known.name_kana, &later.name_kana),
        birthdate: part(known.birthdate, &later.birthdate),
        sex: part(known.sex, &later.sex),
        address: part(known.address, &later.address),
    }
}

/// Whether so many papers can be kept.
pub(super) fn check_size(what: &str, papers: &[Paper]) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(papers).map_or(usize::MAX, |json| zeroize::Zeroizing::new(json).len());
    if bytes <= PAPERS_BYTES_MAX {
        return Ok(());
    }
    let why = format!("its papers have {bytes} bytes, at most {PAPERS_BYTES_MAX} are kept");
    Err(StoreError::Refused { what: what.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paper_prints_nothing_of_the_patient() {
        let person = Person { name: Some("MARKED".into()), ..Person::default() };
        let at = Stamp { wall_ms: 0, synchronised: true };
        for filed in [Filed::Person(person), Filed::Note(Note::new("MARKED").unwrap())] {
            let paper = Paper { filed, by: StaffName::new("12").unwrap(), at };
            assert!(!format!("{paper:?}").contains("MARKED"));
        }
    }

    #[test]
    fn numbers_of_a_version_that_kept_no_consent_are_still_read() {
        let kept = r#"{"which":"current","insurer":"1","symbol":"","number":"2","branch":"","birthdate":"19800101","limit_certificate":true}"#;
        let numbers: EnteredNumbers = serde_json::from_str(kept).unwrap();
        assert_eq!((numbers.limit_certificate, numbers.consent), (true, None));
    }

    #[test]
    fn a_note_says_something_and_not_too_much() {
        assert!(Note::new("  ").is_none());
        assert!(Note::new(&"長".repeat(NOTE_CHARS_MAX + 1)).is_none());
        assert_eq!(Note::new(" 電話済み ").unwrap().as_str(), "電話済み");
    }
}

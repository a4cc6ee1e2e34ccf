//! What the site keeps beside receptions: named values, and a trail of who opened or closed what, and of who left without a
//! reception.

use serde::{Deserialize, Serialize};
use std::fmt;
use uketsuke_core::clock::Stamp;
use uketsuke_core::explain::{self, Lang};
use uketsuke_core::reception::Ending;
use uketsuke_core::record::StaffName;
use uketsuke_core::rules::{self, DocumentKind, Rule};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Names of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeptName {
    /// The special modes of the desk.
    Modes,
    /// What vouches for the clock, and how long deletion has waited for that.
    Retention,
    /// The configuration that last ran.
    Configuration,
    /// Certificate, key, authorities and lists that worked on the line.
    LineMaterial,
    /// How new the line's lists were, and for how long its files could not be used.
    LineRecord,
    /// The authorities of the cards, by the file that last held them.
    CardAnchors,
}

impl KeptName {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Modes => "modes",
            Self::Retention => "retention",
            Self::Configuration => "configuration",
            Self::LineMaterial => "line_material",
            Self::LineRecord => "line_record",
            Self::CardAnchors => "card_anchors",
        }
    }
}

/// One line of the trail. Reasons are free text, so it is sealed as a whole and does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailEntry {
    /// Its id; the same entry is written once.
    pub id: Uuid,
    /// When.
    pub at: Stamp,
    /// Who; empty where it happened by itself.
    pub by: String,
    /// What, as a word for programs.
    pub what: String,
    /// More, as it was given.
    pub detail: String,
    /// The rules that decided it, where a rule of the day did; `None` also in entries of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<rules::Version>,
}

/// What the trail calls a line that staff have seen to another one.
const SETTLED: &str = "settled";

/// Makes the id of such a line out of the id that it names, so that a click that comes twice is one line.
const SETTLED_ID: u128 = 0x5e77_1ed0_0000_0000_0000_0000_0000_0001;

/// What the trail calls a document that did not count.
const DOCUMENT_NOT_ACCEPTED: &str = "document_not_accepted";

impl TrailEntry {
    /// Staff have seen to what `of` tells: another line of the trail, or a reception that was given up. Twice is once.
    pub fn settling(of: Uuid, by: &StaffName, at: Stamp) -> Self {
        let id = Uuid::from_u128(of.as_u128() ^ SETTLED_ID);
        Self { id, at, by: by.as_str().to_owned(), what: SETTLED.into(), detail: of.to_string(), rules: None }
    }

    /// What this line says to be seen to.
    pub fn settles(&self) -> Option<Uuid> {
        (self.what == SETTLED).then(|| self.detail.parse().ok()).flatten()
    }

    /// A document that did not count by this rule: what it was, and nothing that stands on it.
    pub fn document_not_accepted(
        shown: DocumentKind,
        rule: &Rule,
        rules: rules::Version,
        by: &StaffName,
        at: Stamp,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            at,
            by: by.as_str().to_owned(),
            what: DOCUMENT_NOT_ACCEPTED.into(),
            detail: format!("{} {}", document_word(shown), rule.id),
            rules: Some(rules),
        }
    }

    /// Which document did not count, and the name of the rule that said so.
    pub fn document(&self) -> Option<(DocumentKind, &str)> {
        let (word, rule) = self.detail.split_once(' ').filter(|_| self.what == DOCUMENT_NOT_ACCEPTED)?;
        let shown = DocumentKind::ALL.into_iter().find(|kind| document_word(*kind) == word)?;
        Some((shown, rule))
    }
}

/// The stable name of a kind of document.
fn document_word(kind: DocumentKind) -> String {
    serde_json::to_value(kind).ok().and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default()
}

impl fmt::Debug for TrailEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrailEntry({})", self.what)
    }
}

/// What the trail calls a check-in that ended before there was a reception.
pub fn ended_word(ending: &Ending) -> String {
    format!("ended_{}", explain::ending(ending, Lang::En).code)
}

/// A value and what led to it, written together.
#[derive(Clone)]
pub struct Keeping {
    /// Which value.
    pub name: KeptName,
    /// The value.
    pub value: Zeroizing<Vec<u8>>,
    /// What led to it, oldest first.
    pub trail: Vec<TrailEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uketsuke_core::rules::{Rules, Today};

    const AT: Stamp = Stamp { wall_ms: 1_780_326_000_000, synchronised: true };

    #[test]
    fn a_line_that_settles_names_what_it_settles_and_two_clicks_make_the_same_line() {
        let (of, by) = (Uuid::now_v7(), StaffName::new("佐藤").unwrap());
        let settled = TrailEntry::settling(of, &by, AT);
        assert_eq!((settled.settles(), settled.by.as_str()), (Some(of), "佐藤"));
        assert_eq!(settled.id, TrailEntry::settling(of, &by, Stamp { wall_ms: 0, ..AT }).id);
        assert_ne!(settled.id, of);
    }

    #[test]
    fn every_document_that_did_not_count_is_read_back_with_its_rule() {
        let rules = Rules::on(Today::of(AT)).version();
        let (rule, by) = (&Rules::all()[0], StaffName::new("7").unwrap());
        for kind in DocumentKind::ALL {
            let entry = TrailEntry::document_not_accepted(kind, rule, rules, &by, AT);
            assert_eq!((entry.document(), entry.rules), (Some((kind, rule.id)), Some(rules)));
            assert_eq!(entry.settles(), None);
        }
    }

    #[test]
    fn a_line_of_a_version_that_kept_no_rules_is_still_read() {
        let id = Uuid::nil();
        let kept =
            format!(r#"{{"id":"{id}","at":{{"wall_ms":0,"synchronised":true}},"by":"","what":"x","detail":"y"}}"#);
        let entry: TrailEntry = serde_json::from_str(&kept).unwrap();
        assert_eq!((entry.rules, entry.what.as_str()), (None, "x"));
    }
}

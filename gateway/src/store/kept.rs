//! What the site keeps beside receptions: named values, and a trail of who opened or closed what, and of who left without a
//! reception.

use serde::{Deserialize, Serialize};
use std::fmt;
use uketsuke_core::clock::Stamp;
use uketsuke_core::explain::{self, Lang};
use uketsuke_core::reception::Ending;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Names of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeptName {
    /// The special modes of the desk.
    Modes,
}

impl KeptName {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Modes => "modes",
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

//! Where two spellings of one person differ, down to the code points: what staff need to see before they believe either.

use super::{Present, Spelling, fold};
use crate::explain::Lang;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A part of [`super::Person`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// 氏名.
    Name,
    /// 氏名カナ.
    NameKana,
    /// 住所.
    Address,
}

impl Field {
    /// What it is called.
    pub fn label(self, lang: Lang) -> &'static str {
        match (self, lang) {
            (Self::Name, Lang::Ja) => "氏名",
            (Self::Name, Lang::En) => "name",
            (Self::NameKana, Lang::Ja) => "氏名カナ",
            (Self::NameKana, Lang::En) => "kana",
            (Self::Address, Lang::Ja) => "住所",
            (Self::Address, Lang::En) => "address",
        }
    }
}

/// One field that is spelt in two ways. Width and spaces alone make no difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which field.
    pub field: Field,
    /// As it is known here, untouched. This is the spelling that stays.
    pub local: Spelling,
    /// As the central system wrote it, untouched.
    pub central: Spelling,
    /// The positions that differ.
    pub code_points: Vec<CodePoints>,
}

/// One position at which two spellings differ. Told by [`CodePoints::render`] alone, never by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodePoints {
    /// Counted in characters from 0, without spaces, in the local spelling.
    pub position: usize,
    /// The character here with its variation selector; `None` where the central spelling has one more.
    local: Option<Spelling>,
    /// The same of the central spelling.
    central: Option<Spelling>,
}

impl CodePoints {
    /// `髙 U+9AD9 → ● U+25CF`, for those who may see the person.
    pub fn render(&self) -> String {
        fn side(cluster: &Option<Spelling>) -> String {
            let Some(cluster) = cluster else { return "∅".into() };
            let codes: Vec<String> = cluster.as_str().chars().map(|c| format!("U+{:04X}", u32::from(c))).collect();
            format!("{} {}", cluster.as_str(), codes.join(" "))
        }
        format!("{} → {}", side(&self.local), side(&self.central))
    }
}

impl fmt::Debug for CodePoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodePoints(at {}, …)", self.position)
    }
}

/// The fields that are on both sides and spelt in two ways.
pub(super) fn between(local: &Present<'_>, central: &Present<'_>) -> Vec<Difference> {
    let fields = [
        (Field::Name, local.name, central.name),
        (Field::NameKana, local.name_kana, central.name_kana),
        (Field::Address, local.address, central.address),
    ];
    fields
        .into_iter()
        .filter_map(|(field, ours, theirs)| {
            let (ours, theirs) = (ours?, theirs?);
            let code_points = positions(&clusters(ours), &clusters(theirs));
            (!code_points.is_empty()).then(|| Difference {
                field,
                local: ours.into(),
                central: theirs.into(),
                code_points,
            })
        })
        .collect()
}

/// Characters with the variation selectors that belong to them.
fn clusters(text: &str) -> Vec<Spelling> {
    let mut clusters: Vec<Spelling> = Vec::new();
    for c in fold::plain(text).iter() {
        match clusters.last_mut() {
            Some(base) if fold::is_variation_selector(*c) => base.0.push(*c),
            _ => clusters.push(c.to_string().into()),
        }
    }
    clusters
}

/// Pairs what lies between the common beginning and the common end.
fn positions(local: &[Spelling], central: &[Spelling]) -> Vec<CodePoints> {
    let shorter = local.len().min(central.len());
    let pairs = local.iter().zip(central);
    let beginning = if local.len() == central.len() { 0 } else { pairs.take_while(|(a, b)| a == b).count() };
    let backwards = local.iter().rev().zip(central.iter().rev());
    let end = if local.len() == central.len() {
        0
    } else {
        backwards.take(shorter - beginning).take_while(|(a, b)| a == b).count()
    };
    let (local, central) = (&local[beginning..local.len() - end], &central[beginning..central.len() - end]);
    (0..local.len().max(central.len()))
        .filter(|at| local.get(*at) != central.get(*at))
        .map(|at| CodePoints {
            position: beginning + at,
            local: local.get(at).cloned(),
            central: central.get(at).cloned(),
        })
        .collect()
}

//! Finding people by the numbers on a document instead of a card.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uketsuke_proto::central_v1::{FourItems, Qualification, QualificationConfirmSearchInfo};

use super::population::Which;

/// What a document says about who is insured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// 保険者番号, without padding.
    pub insurer: String,
    /// 記号; may be empty.
    #[serde(default)]
    pub symbol: String,
    /// 番号.
    pub number: String,
    /// 枝番; may be empty.
    #[serde(default)]
    pub branch: String,
    /// yyyyMMdd.
    pub birthdate: String,
}

impl Numbers {
    /// The numbers of a qualification that was answered.
    pub fn of(qualification: &Qualification) -> Self {
        Self {
            insurer: qualification.insurer_number.trim().to_owned(),
            symbol: qualification.insured_card_symbol.clone(),
            number: qualification.insured_identification_number.clone(),
            branch: qualification.insured_branch_number.clone(),
            birthdate: qualification.birthdate.clone(),
        }
    }

    /// The numbers that are asked for, or what is wrong with them.
    pub fn asked(search: &QualificationConfirmSearchInfo) -> Result<Self, &'static str> {
        let insurer = search.insurer_number.trim();
        if !matches!(insurer.len(), 6 | 8) || !digits(insurer) {
            return Err("insurer_number is not six or eight digits");
        }
        if search.insured_identification_number.trim().is_empty() {
            return Err("insured_identification_number is empty");
        }
        if search.birthdate.len() != 8 || !digits(&search.birthdate) {
            return Err("birthdate is not yyyyMMdd");
        }
        Ok(Self {
            insurer: insurer.to_owned(),
            symbol: search.insured_card_symbol.trim().to_owned(),
            number: search.insured_identification_number.trim().to_owned(),
            branch: search.insured_branch_number.trim().to_owned(),
            birthdate: search.birthdate.clone(),
        })
    }

    /// What stands for the four items that are asked with, or what is wrong with them.
    pub(super) fn of_items(items: &FourItems) -> Result<Self, &'static str> {
        if items.name.trim().is_empty() || items.birthdate.len() != 8 || !digits(&items.birthdate) {
            return Err("name and birth date are needed");
        }
        Ok(Self::of_name(&items.name, &items.birthdate))
    }

    /// What stands for somebody who is looked up by name and birth date, without any number. Spaces in a name do not count.
    pub(super) fn of_name(name: &str, birthdate: &str) -> Self {
        let number = name.split_whitespace().collect();
        Self {
            insurer: String::new(),
            symbol: String::new(),
            number,
            branch: String::new(),
            birthdate: birthdate.into(),
        }
    }

    /// As they travel.
    pub fn search(&self) -> QualificationConfirmSearchInfo {
        QualificationConfirmSearchInfo {
            insurer_number: format!("{:>8}", self.insurer),
            insured_card_symbol: self.symbol.clone(),
            insured_identification_number: self.number.clone(),
            insured_branch_number: self.branch.clone(),
            birthdate: self.birthdate.clone(),
            limit_application_certificate_related_cons_flg: "1".to_owned(),
            arbitrary_identifier: String::new(),
        }
    }

    /// Stands for the person of a document where a card has its serial. The branch is left out: documents need not show it.
    pub(super) fn key(&self) -> Vec<u8> {
        let text = format!("{}:{}:{}:{}", self.insurer, self.symbol, self.number, self.birthdate);
        digest(&SHA256, text.as_bytes()).as_ref()[..20].to_vec()
    }
}

/// Whose numbers they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Serial of the card, or [`Numbers::key`].
    pub(super) person: Vec<u8>,
    /// Which qualification of theirs.
    pub(super) which: Which,
}

/// From numbers to people.
#[derive(Debug, Clone, Default)]
pub(super) struct Index(HashMap<Vec<u8>, Vec<(String, Found)>>);

impl Index {
    pub(super) fn insert(&mut self, numbers: &Numbers, found: Found) {
        let under = self.0.entry(numbers.key()).or_default();
        under.retain(|(branch, old)| *branch != numbers.branch || old.person != found.person);
        under.push((numbers.branch.clone(), found));
    }

    /// The one person with these numbers. A branch that is not given fits any, a wrong one none.
    pub(super) fn find(&self, numbers: &Numbers) -> Option<&Found> {
        let fits = |branch: &str| numbers.branch.is_empty() || branch.is_empty() || branch == numbers.branch;
        self.0.get(&numbers.key())?.iter().find(|(branch, _)| fits(branch)).map(|(_, found)| found)
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

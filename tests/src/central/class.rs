//! The outcomes that the central simulator can give to a card, and how a scenario names them.

use serde::{Deserialize, Serialize};

/// What the central system has to say about a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// QualificationValidity 1 有効.
    Valid,
    /// 2 無効, with DisqualificationDate and ReasonOfLoss.
    Invalid,
    /// 3 無効(新しい資格あり): the lost qualification first, then the new one.
    InvalidNew,
    /// 4 該当資格なし: no result.
    None,
    /// 5 複数該当: two valid qualifications.
    Several,
    /// 6 有効(未登録).
    ValidUnregistered,
    /// The card is not registered as an insurance card (初回登録が必要): no validity, no result.
    Unregistered,
    /// The card's certificate is revoked (失効): no validity, no result.
    Revoked,
    /// A validity that no published code table contains.
    UnknownCode,
}

impl Class {
    /// Every class with the certificate CN prefix that chooses it. Longer prefixes stand before their beginnings.
    const BY_PREFIX: [(&str, Self); 9] = [
        ("TEST-VALID-UNREGISTERED-", Self::ValidUnregistered),
        ("TEST-VALID-", Self::Valid),
        ("TEST-INVALID-NEW-", Self::InvalidNew),
        ("TEST-INVALID-", Self::Invalid),
        ("TEST-NONE-", Self::None),
        ("TEST-SEVERAL-", Self::Several),
        ("TEST-UNREGISTERED-", Self::Unregistered),
        ("TEST-REVOKED-", Self::Revoked),
        ("TEST-UNKNOWN-CODE-", Self::UnknownCode),
    ];

    /// The class that a certificate's CN asks for, if it asks for one.
    pub fn from_common_name(common_name: &str) -> Option<Self> {
        Self::BY_PREFIX.iter().find(|(prefix, _)| common_name.starts_with(prefix)).map(|(_, class)| *class)
    }

    /// OQSCD006; empty where the central system gives no validity.
    pub fn validity_code(self) -> &'static str {
        match self {
            Self::Valid => "1",
            Self::Invalid => "2",
            Self::InvalidNew => "3",
            Self::None => "4",
            Self::Several => "5",
            Self::ValidUnregistered => "6",
            Self::UnknownCode => "8",
            Self::Unregistered | Self::Revoked => "",
        }
    }
}

/// How often each class occurs among cards that nothing else decides, in parts per thousand; the rest is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// 2 無効.
    pub invalid: u64,
    /// 3 無効(新しい資格あり): changed insurer.
    pub invalid_new: u64,
    /// 4 該当資格なし: unmatched.
    pub none: u64,
    /// 5 複数該当.
    pub several: u64,
    /// Not registered as an insurance card.
    pub unregistered: u64,
    /// Revoked certificate.
    pub revoked: u64,
    /// Names that contain ●, independently of the class.
    pub dots: u64,
    /// Of those that are invalid or not found: whose data is only late, so that they are valid when asked again.
    pub lag: u64,
}

impl Default for Rates {
    /// Assumed, in the order of magnitude of the 保団連 surveys (domain facts D.1): rare enough that most patients
    /// pass, frequent enough that a morning of receptions meets each of them.
    fn default() -> Self {
        Self { invalid: 20, invalid_new: 15, none: 10, several: 5, unregistered: 15, revoked: 5, dots: 40, lag: 500 }
    }
}

impl Rates {
    /// Everybody is insured unless a scenario says otherwise; whoever it says is not found may still be found late.
    pub const ALL_VALID: Self =
        Self { invalid: 0, invalid_new: 0, none: 0, several: 0, unregistered: 0, revoked: 0, dots: 0, lag: 500 };

    /// The class at `position` of a thousand.
    pub fn class_at(&self, position: u64) -> Class {
        let mut end = 0;
        for (rate, class) in [
            (self.invalid, Class::Invalid),
            (self.invalid_new, Class::InvalidNew),
            (self.none, Class::None),
            (self.several, Class::Several),
            (self.unregistered, Class::Unregistered),
            (self.revoked, Class::Revoked),
        ] {
            end += rate;
            if position < end {
                return class;
            }
        }
        Class::Valid
    }
}

//! What the central system said, without the person: codes, kept raw beside what we understood of them, and the verdict.

use serde::{Deserialize, Serialize};

/// QualificationValidity (OQSCD006).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// 1 有効
    Valid,
    /// 2 無効
    Invalid,
    /// 3 無効(新しい資格あり)
    InvalidNewInsurance,
    /// 4 該当資格なし
    NoneFound,
    /// 5 複数該当
    Several,
    /// 6 有効(未登録), 医療扶助
    ValidUnregistered,
    /// A code this version does not know, as it came.
    Unknown(String),
}

impl Validity {
    /// Reads the code of the exchange format.
    pub fn from_code(code: &str) -> Self {
        match code {
            "1" => Self::Valid,
            "2" => Self::Invalid,
            "3" => Self::InvalidNewInsurance,
            "4" => Self::NoneFound,
            "5" => Self::Several,
            "6" => Self::ValidUnregistered,
            other => Self::Unknown(bounded_code(other)),
        }
    }
}

/// The parts of an answer that decide; everything personal in it stays sealed in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// ProcessingResultStatus (OQSCD004) is "1".
    pub processed: bool,
    /// ProcessingResultCode as it came; empty when absent.
    pub processing_code: String,
    /// QualificationValidity.
    pub validity: Validity,
    /// False: 初回登録 is still to be done.
    pub card_registered: bool,
    /// 失効.
    pub certificate_revoked: bool,
    /// ReasonOfLoss of the first result, as it came.
    pub reason_of_loss: Option<String>,
    /// A name or address in the answer has a ●: a character that the central system could not express.
    pub unmapped_characters: bool,
}

/// What an answer means at the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum Verdict {
    /// The insurance is valid today.
    Eligible,
    /// It is not, or it cannot be told; the reason leads to the next step.
    Ineligible(Reason),
}

/// Why a reception did not end with "eligible". Each has a sentence and a next step in [`crate::explain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// 2 無効; ReasonOfLoss if it was given.
    InsuranceInvalid(Option<String>),
    /// 3 無効(新しい資格あり).
    NewInsurance,
    /// 4 該当資格なし.
    NoInsuranceFound,
    /// 5 複数該当.
    SeveralInsurances,
    /// 初回登録 is still to be done.
    CardNotRegistered,
    /// 失効.
    CertificateRevoked,
    /// A validity code that this version does not know, as it came.
    UnknownCode(String),
}

impl Answer {
    /// The verdict of this answer; `None` when the central system could not process the question: a machine that failed is no verdict
    /// on a patient, so it is asked again. Unknown codes get a reason of their own rather than a guess.
    pub fn verdict(&self) -> Option<Verdict> {
        use Verdict::{Eligible, Ineligible};
        if self.certificate_revoked {
            return Some(Ineligible(Reason::CertificateRevoked));
        }
        if !self.processed {
            return None;
        }
        if !self.card_registered {
            return Some(Ineligible(Reason::CardNotRegistered));
        }
        Some(match &self.validity {
            Validity::Valid | Validity::ValidUnregistered => Eligible,
            Validity::Invalid => Ineligible(Reason::InsuranceInvalid(self.reason_of_loss.clone())),
            Validity::InvalidNewInsurance => Ineligible(Reason::NewInsurance),
            Validity::NoneFound => Ineligible(Reason::NoInsuranceFound),
            Validity::Several => Ineligible(Reason::SeveralInsurances),
            Validity::Unknown(raw) => Ineligible(Reason::UnknownCode(raw.clone())),
        })
    }
}

/// Cuts a raw code from outside to a length that may be stored and shown: enough to recognise it, not enough to hurt.
pub fn bounded_code(raw: &str) -> String {
    raw.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: &str) -> Answer {
        Answer {
            processed: true,
            processing_code: String::new(),
            validity: Validity::from_code(code),
            card_registered: true,
            certificate_revoked: false,
            reason_of_loss: None,
            unmapped_characters: false,
        }
    }

    #[test]
    fn every_validity_code_has_its_verdict() {
        let table = [
            ("1", Verdict::Eligible),
            ("2", Verdict::Ineligible(Reason::InsuranceInvalid(None))),
            ("3", Verdict::Ineligible(Reason::NewInsurance)),
            ("4", Verdict::Ineligible(Reason::NoInsuranceFound)),
            ("5", Verdict::Ineligible(Reason::SeveralInsurances)),
            ("6", Verdict::Eligible),
            ("", Verdict::Ineligible(Reason::UnknownCode(String::new()))),
            ("7", Verdict::Ineligible(Reason::UnknownCode("7".into()))),
        ];
        for (code, expected) in table {
            assert_eq!(answer(code).verdict(), Some(expected), "code {code:?}");
        }
    }

    #[test]
    fn a_revoked_certificate_outweighs_everything_else() {
        let revoked = Answer { certificate_revoked: true, processed: false, ..answer("1") };
        assert_eq!(revoked.verdict(), Some(Verdict::Ineligible(Reason::CertificateRevoked)));
    }

    #[test]
    fn a_question_that_could_not_be_processed_has_no_verdict() {
        assert_eq!(Answer { processed: false, ..answer("2") }.verdict(), None);
    }

    #[test]
    fn an_unknown_code_is_kept_raw_but_never_at_any_length() {
        let Validity::Unknown(raw) = Validity::from_code(&"9".repeat(4096)) else { panic!("4096 nines are no code") };
        assert_eq!(raw.len(), 32);
    }
}

//! Answers that nobody should get: about somebody else, too large, or with codes that no published table contains.

use uketsuke_proto::central_v1::{ConsentReceipt, EligibilityAnswer, PingReply};
use uuid::Uuid;

/// More than any answer needs.
const LARGE_BYTES: usize = 512 * 1024;

/// What is odd about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// It names a request that nobody ever sent.
    Stranger,
    /// It names the request that took effect before this one.
    Former,
    /// It is larger than makes sense.
    Large,
    /// A status of processing and a code that are not known.
    Status,
    /// A validity that is not known, and unknown codes wherever else there is one.
    Codes,
    /// Not valid, for a reason of loss that is not known.
    Loss,
}

/// An answer that can be spoilt.
pub(super) trait Spoil {
    /// `former` is the id of the request before.
    fn spoil(&mut self, odd: Oddity, former: Uuid);
}

impl Spoil for EligibilityAnswer {
    fn spoil(&mut self, odd: Oddity, former: Uuid) {
        match odd {
            Oddity::Stranger => self.request_id = Uuid::now_v7().as_bytes().to_vec(),
            Oddity::Former => self.request_id = former.as_bytes().to_vec(),
            Oddity::Large => self.arbitrary_file_identifier = "9".repeat(LARGE_BYTES),
            Oddity::Status => {
                self.processing_result_status = "7".into();
                self.processing_result_code = "NEW-7007".into();
            }
            Oddity::Codes => {
                self.processing_result_code = "NEW-9001".into();
                self.qualification_validity = "8X".into();
                self.reference_classification = "77".into();
                self.prescription_issue_select = "X".into();
                for result in &mut self.results {
                    result.insurer_number = "NEW-INSURER".into();
                    for code in [
                        &mut result.sex1,
                        &mut result.personal_family_classification,
                        &mut result.insured_card_classification,
                        &mut result.insured_partial_contribution_ratio,
                        &mut result.reason_of_loss,
                    ] {
                        *code = "Z9".into();
                    }
                }
            }
            Oddity::Loss => {
                self.qualification_validity = "2".into();
                for result in &mut self.results {
                    result.reason_of_loss = "42".into();
                }
            }
        }
    }
}

impl Spoil for ConsentReceipt {
    fn spoil(&mut self, odd: Oddity, former: Uuid) {
        match odd {
            Oddity::Stranger => self.consent_id = Uuid::now_v7().as_bytes().to_vec(),
            Oddity::Former => self.consent_id = former.as_bytes().to_vec(),
            Oddity::Large => self.consent_id = vec![9; LARGE_BYTES],
            // A receipt has no codes.
            Oddity::Status | Oddity::Codes | Oddity::Loss => {}
        }
    }
}

impl Spoil for PingReply {
    fn spoil(&mut self, _: Oddity, _: Uuid) {}
}

//! What is written under load, all of it told by a number, and how a promise reads.

use std::fmt;
use std::str::FromStr;
use uketsuke::store::{NewCase, Opening, Proof, Recording, Request, RequestKind, Settlement};
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::consent::{Consent, ConsentKind, GivenBy};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::{Case, Cause, Rules};
use uketsuke_core::record::{Abandonment, Evidence, Rejection, Reply, Shown, Verification};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Patients; few enough that they come again while they still have something in the queue.
const PATIENTS: u32 = 24;
/// Which patients go away in the middle: every so many.
const ABANDONS: u32 = 7;
/// Whose question the central system refuses.
const REFUSED: u32 = 11;
const RECEPTIONS: u128 = 0x1000_0000;
const QUESTIONS: u128 = 0x2000_0000;
const CONSENTS: u128 = 0x3000_0000;

/// What the store has promised by acknowledging a write; [`Promise::Settling`] is the word before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// T1.
    Opened(u32),
    /// T2.
    Recorded(u32),
    /// Given up.
    Abandoned(u32),
    /// Its card is gone.
    Closed(u32),
    /// A verdict of the central system is about to be written: from here on the row may be gone.
    Settling(u32, RequestKind),
    /// The reply to its question is kept.
    Answered(u32),
    /// The refusal of its question is kept.
    Rejected(u32),
    /// Its consent is delivered, and will not be sent again.
    Delivered(u32),
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(number) => write!(f, "opened {number}"),
            Self::Recorded(number) => write!(f, "recorded {number}"),
            Self::Abandoned(number) => write!(f, "abandoned {number}"),
            Self::Closed(number) => write!(f, "closed {number}"),
            Self::Settling(number, RequestKind::Consent) => write!(f, "settling-consent {number}"),
            Self::Settling(number, _) => write!(f, "settling {number}"),
            Self::Answered(number) => write!(f, "answered {number}"),
            Self::Rejected(number) => write!(f, "rejected {number}"),
            Self::Delivered(number) => write!(f, "delivered {number}"),
        }
    }
}

impl FromStr for Promise {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let (word, number) = line.trim().split_once(' ').unwrap_or((line, ""));
        let number = number.parse()?;
        Ok(match word {
            "opened" => Self::Opened(number),
            "recorded" => Self::Recorded(number),
            "abandoned" => Self::Abandoned(number),
            "closed" => Self::Closed(number),
            "settling-consent" => Self::Settling(number, RequestKind::Consent),
            "settling" => Self::Settling(number, RequestKind::Eligibility),
            "answered" => Self::Answered(number),
            "rejected" => Self::Rejected(number),
            "delivered" => Self::Delivered(number),
            _ => anyhow::bail!("no promise: {line:?}"),
        })
    }
}

pub(super) fn at(ms: u64) -> Stamp {
    Stamp { wall_ms: 1_800_000_000_000 + i64::try_from(ms).unwrap_or(i64::MAX), synchronised: true }
}

fn now(number: u32) -> Now {
    Now { boot: 1, mono: Mono(u64::from(number) * 1_000), stamp: at(u64::from(number) * 1_000) }
}

pub(super) fn reception(number: u32) -> ReceptionId {
    ReceptionId(Uuid::from_u128(RECEPTIONS + u128::from(number)))
}

pub(super) fn question(number: u32) -> RequestId {
    RequestId(Uuid::from_u128(QUESTIONS + u128::from(number)))
}

pub(super) fn consent(number: u32) -> RequestId {
    RequestId(Uuid::from_u128(CONSENTS + u128::from(number)))
}

pub(super) fn opening(number: u32) -> Opening {
    let body = format!("question of reception {number}, with as many words as a certificate has bytes. ").repeat(12);
    Opening {
        reception: reception(number),
        reader: format!("desk-1/{}", number % 4),
        order_key: OrderKey([(number % PATIENTS) as u8; 32]),
        evidence: Evidence::of(verification(number)),
        opened: now(number),
        request: Request {
            id: question(number),
            kind: RequestKind::Eligibility,
            body: Zeroizing::new(body.into_bytes()),
            proof: Proof::Gateway,
        },
    }
}

pub(super) fn verification(number: u32) -> Verification {
    Verification::by_face(0.5 + (number % 400) as f32 / 1_000.0)
}

pub(super) fn abandonment(number: u32) -> Option<(Abandonment, Stamp)> {
    (number % ABANDONS == 3).then(|| (Abandonment::CardRemoved, at(u64::from(number) * 1_000 + 300)))
}

pub(super) fn shown(number: u32) -> Shown {
    if number.is_multiple_of(3) { Shown::Provisional } else { Shown::Confirmed }
}

pub(super) fn consents(number: u32) -> Vec<Consent> {
    let given = at(u64::from(number) * 1_000 + 400);
    [(ConsentKind::Medication, true), (ConsentKind::Checkups, number.is_multiple_of(2))]
        .map(|(kind, agreed)| Consent::new(kind, agreed, given, GivenBy::Patient))
        .to_vec()
}

pub(super) fn recording(number: u32) -> Recording {
    let shown = shown(number);
    let case = (shown == Shown::Provisional).then(|| {
        let case = Case::open(Rules::default(), now(number), Cause::NoAnswer, &mut Vec::new());
        NewCase { case, asked: question(number), papers: Vec::new() }
    });
    let body = format!("consent of reception {number}").into_bytes();
    Recording {
        reception: reception(number),
        shown,
        consents: consents(number),
        request: Some(Request {
            id: consent(number),
            kind: RequestKind::Consent,
            body: Zeroizing::new(body),
            proof: Proof::Gateway,
        }),
        case,
        recorded: at(u64::from(number) * 1_000 + 500),
    }
}

pub(super) fn refused(number: u32) -> bool {
    number % REFUSED == 5
}

pub(super) fn reply(number: u32) -> Reply {
    if refused(number) {
        return Reply::Rejected(Rejection { code: "refused".into() });
    }
    let verdict =
        if number.is_multiple_of(5) { Verdict::Ineligible(Reason::NoInsuranceFound) } else { Verdict::Eligible };
    Reply::Answered { verdict, unmapped_characters: number.is_multiple_of(2) }
}

pub(super) fn answer(number: u32) -> Vec<u8> {
    format!("the whole answer about reception {number}. ").repeat(8).into_bytes()
}

/// The number of a question, whose bytes have to be those that were written.
fn number_of(request: &Request, of: u128, body: impl Fn(u32) -> Option<Zeroizing<Vec<u8>>>) -> Option<u32> {
    let number = u32::try_from(request.id.0.as_u128().checked_sub(of)?).ok()?;
    (body(number)? == request.body).then_some(number)
}

/// The verdict on a row that goes out, whose reception it is, and what is promised once it is written; `None` if no such row was ever
/// written.
pub(super) fn settlement(request: &Request) -> Option<(u32, Settlement, Promise)> {
    if request.kind == RequestKind::Consent {
        let number = number_of(request, CONSENTS, |number| Some(recording(number).request?.body))?;
        return Some((number, Settlement::Delivered, Promise::Delivered(number)));
    }
    let number = number_of(request, QUESTIONS, |number| Some(opening(number).request.body))?;
    if refused(number) {
        return Some((number, Settlement::Rejected { code: "refused".into() }, Promise::Rejected(number)));
    }
    let settlement = Settlement::Answered { reply: reply(number), answer: Zeroizing::new(answer(number)) };
    Some((number, settlement, Promise::Answered(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_reads_as_it_was_written() {
        for promise in [
            Promise::Opened(1),
            Promise::Settling(2, RequestKind::Consent),
            Promise::Settling(3, RequestKind::Eligibility),
            Promise::Rejected(4),
            Promise::Delivered(5),
        ] {
            assert_eq!(promise.to_string().parse::<Promise>().unwrap(), promise);
        }
        assert!("opened".parse::<Promise>().is_err() && "opened x".parse::<Promise>().is_err());
    }

    #[test]
    fn a_row_with_other_bytes_is_none_that_was_written() {
        let request = opening(7).request;
        assert!(matches!(settlement(&request), Some((7, _, Promise::Answered(7)))));
        let body = opening(8).request.body;
        assert!(settlement(&Request { body, ..request }).is_none());
    }
}

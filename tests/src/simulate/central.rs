//! A model of the central system: applies each request once, by its id, and answers by patient.

use super::guard::Guard;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;
use uketsuke::store::RequestKind;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::ids::RequestId;
use uketsuke_core::record::{Rejection, Reply};
use uuid::Uuid;

/// One message on its way to the central system.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Life of the process, life of the courier and call, so that the answer finds its way.
    pub(super) from: (u64, u64, u64),
    pub(super) seq: i64,
    pub(super) id: RequestId,
    pub(super) kind: RequestKind,
    pub(super) content: Content,
}

/// What a body says; the body is exactly this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) patient: u8,
    pub(super) reception: Uuid,
    /// The eligibility request of the reception.
    pub(super) question: Uuid,
}

impl Content {
    pub(super) fn to_body(self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut body = vec![self.patient];
        body.extend(self.reception.as_bytes());
        body.extend(self.question.as_bytes());
        zeroize::Zeroizing::new(body)
    }

    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let uuid = |range| Uuid::from_slice(body.get(range)?).ok();
        Some(Self { patient: *body.first()?, reception: uuid(1..17)?, question: uuid(17..33)? })
    }
}

/// What the ledger says of a request.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) content: Content,
    /// How often it took effect.
    pub(super) applied: u32,
    /// The verdict on a question; also when the request itself was refused.
    pub(super) reply: Option<Reply>,
    /// Times that it still cannot be processed.
    unprocessed: u32,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// To a question.
    Replied(Reply),
    /// To a consent.
    Taken,
    /// Refused for good.
    Rejected(&'static str),
    /// Could not be processed; ask again.
    NotProcessed,
    /// Asks for a pause.
    Busy(Duration),
    /// There is nobody.
    Gone,
}

/// How the central system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    Busy,
    Down,
}

#[derive(Debug)]
pub(super) struct Central {
    pub(super) ledger: BTreeMap<RequestId, Entry>,
    pub(super) mode: Mode,
    /// Nothing fails any more.
    pub(super) quiet: bool,
    natures: Vec<usize>,
    recognises: bool,
    /// One request in so many is refused for good.
    rejects_one_in: u32,
}

impl Central {
    pub(super) fn new(patients: u8, without: Option<Guard>, rng: &mut StdRng) -> Self {
        let natures = (0..patients).map(|_| rng.random_range(0..NATURES)).collect();
        let recognises = without != Some(Guard::Ids);
        let rejects_one_in = *[20, 200, 1_000_000].get(rng.random_range(0..3)).unwrap_or(&200);
        Self { ledger: BTreeMap::new(), mode: Mode::Well, quiet: false, natures, recognises, rejects_one_in }
    }

    /// Some patient's insurance changes.
    pub(super) fn change_somebody(&mut self, rng: &mut StdRng) {
        let somebody = rng.random_range(0..self.natures.len());
        self.natures[somebody] = rng.random_range(0..NATURES);
    }

    /// Takes one message. `true`: it was known.
    pub(super) fn receive(&mut self, letter: &Letter, rng: &mut StdRng) -> (Answer, bool) {
        match self.mode {
            Mode::Down => return (Answer::Gone, false),
            Mode::Busy if rng.random_ratio(3, 4) => {
                return (Answer::Busy(Duration::from_millis(rng.random_range(100..3_000))), false);
            }
            Mode::Well | Mode::Busy => {}
        }
        if let Some(entry) = self.ledger.get(&letter.id)
            && entry.content != letter.content
        {
            return (Answer::Rejected("id_reused"), true);
        }
        let question_known = self.ledger.get(&RequestId(letter.content.question)).is_some_and(|q| q.applied > 0);
        let verdict = self.verdict(letter.content.patient);
        let rejects = !self.quiet && rng.random_ratio(1, self.rejects_one_in);
        let unprocessed = if rng.random_ratio(1, 12) { rng.random_range(1..4) } else { 0 };
        let fresh = Entry { content: letter.content, applied: 0, reply: None, unprocessed };
        let entry = self.ledger.entry(letter.id).or_insert(fresh);
        let known = entry.applied > 0 || entry.reply.is_some();
        if known && self.recognises {
            return (answer(letter.kind, entry), true);
        }
        if entry.unprocessed > 0 {
            entry.unprocessed -= 1;
            return (Answer::NotProcessed, false);
        }
        let code = match letter.kind {
            RequestKind::Consent if !question_known => Some("unknown_request"),
            RequestKind::Eligibility if rejects => Some("bad_signature"),
            RequestKind::Consent | RequestKind::Eligibility => None,
        };
        match code {
            Some(code) => entry.reply = Some(Reply::Rejected(Rejection { code: code.into() })),
            None => {
                entry.applied += 1;
                if letter.kind == RequestKind::Eligibility {
                    entry.reply = Some(Reply::Answered { verdict, unmapped_characters: letter.content.patient == 0 });
                }
            }
        }
        (answer(letter.kind, entry), false)
    }

    fn verdict(&self, patient: u8) -> Verdict {
        let nature = self.natures.get(usize::from(patient)).copied().unwrap_or(0);
        match nature {
            0 => Verdict::Ineligible(Reason::InsuranceInvalid(Some("01".into()))),
            1 => Verdict::Ineligible(Reason::NewInsurance),
            2 => Verdict::Ineligible(Reason::NoInsuranceFound),
            3 => Verdict::Ineligible(Reason::SeveralInsurances),
            4 => Verdict::Ineligible(Reason::CardNotRegistered),
            5 => Verdict::Ineligible(Reason::CertificateRevoked),
            _ => Verdict::Eligible,
        }
    }
}

/// Kinds of patients; half of them are eligible.
const NATURES: usize = 12;

fn answer(kind: RequestKind, entry: &Entry) -> Answer {
    match (&entry.reply, kind) {
        (Some(Reply::Rejected(_)), RequestKind::Eligibility) => Answer::Rejected("bad_signature"),
        (Some(Reply::Rejected(_)), RequestKind::Consent) => Answer::Rejected("unknown_request"),
        (Some(reply), _) => Answer::Replied(reply.clone()),
        (None, _) => Answer::Taken,
    }
}

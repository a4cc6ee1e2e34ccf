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

/// A reply, and whom each result in it is about.
pub(super) type Answered = (Reply, Vec<u8>);

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
    /// The eligibility request of the reception; nil in a follow-up to one that was refused.
    pub(super) question: Uuid,
    pub(super) purpose: Purpose,
}

/// What a request wants besides telling who is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing: a question by the card, for the first time or again, or a consent.
    Plain,
    /// 初回登録.
    Register,
    /// Asks by numbers, which are this patient's.
    Numbers(u8),
}

impl Content {
    pub(super) fn to_body(self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut body = vec![self.patient];
        body.extend(self.reception.as_bytes());
        body.extend(self.question.as_bytes());
        body.extend(match self.purpose {
            Purpose::Plain => [0, 0],
            Purpose::Register => [1, 0],
            Purpose::Numbers(whose) => [2, whose],
        });
        zeroize::Zeroizing::new(body)
    }

    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let uuid = |range| Uuid::from_slice(body.get(range)?).ok();
        let purpose = match body.get(33..)? {
            [0, 0] => Purpose::Plain,
            [1, 0] => Purpose::Register,
            [2, whose] => Purpose::Numbers(*whose),
            _ => return None,
        };
        Some(Self { patient: *body.first()?, reception: uuid(1..17)?, question: uuid(17..33)?, purpose })
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
    /// Whom each result of an answer is about.
    about: Vec<u8>,
    /// Times that it still cannot be processed.
    unprocessed: u32,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// To a question.
    Replied(Answered),
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
        let refers = match letter.kind {
            RequestKind::Eligibility => false,
            RequestKind::Consent => true,
            RequestKind::FollowUp => !letter.content.question.is_nil(),
        };
        let rejects = !self.quiet && rng.random_ratio(1, self.rejects_one_in);
        let unprocessed = if rng.random_ratio(1, 12) { rng.random_range(1..4) } else { 0 };
        let fresh = Entry { content: letter.content, applied: 0, reply: None, about: Vec::new(), unprocessed };
        let entry = self.ledger.entry(letter.id).or_insert(fresh);
        let known = entry.applied > 0 || entry.reply.is_some();
        if known && self.recognises {
            return (answer(entry), true);
        }
        if entry.unprocessed > 0 {
            entry.unprocessed -= 1;
            return (Answer::NotProcessed, false);
        }
        let code = match letter.kind {
            _ if refers && !question_known => Some(UNKNOWN_REQUEST),
            RequestKind::Eligibility | RequestKind::FollowUp if rejects => Some(BAD_SIGNATURE),
            _ => None,
        };
        match code {
            Some(code) => entry.reply = Some(Reply::Rejected(Rejection { code: code.into() })),
            None => {
                entry.applied += 1;
                if letter.kind.asks().is_some() {
                    let (verdict, about) = reply(&mut self.natures, letter.content, rng);
                    entry.reply = Some(Reply::Answered { verdict, unmapped_characters: letter.content.patient == 0 });
                    entry.about = about;
                }
            }
        }
        (answer(entry), false)
    }
}

/// Kinds of patients; half of them are eligible.
const NATURES: usize = 12;
/// Of these, the one whose card is not registered yet.
const NOT_REGISTERED: usize = 4;
/// An eligible one.
const ELIGIBLE: usize = NATURES - 1;

const UNKNOWN_REQUEST: &str = "unknown_request";
const BAD_SIGNATURE: &str = "bad_signature";

/// What is answered, about whom. 初回登録 makes somebody eligible; numbers are known more often than not.
fn reply(natures: &mut [usize], content: Content, rng: &mut StdRng) -> (Verdict, Vec<u8>) {
    let patients = natures.len() as u8;
    let Some(nature) = natures.get_mut(usize::from(content.patient)) else { return (Verdict::Eligible, Vec::new()) };
    if content.purpose == Purpose::Register && *nature == NOT_REGISTERED {
        *nature = ELIGIBLE;
    }
    // Now and then the central system mixes up twins.
    let twin = (content.patient ^ 1) % patients;
    let whose = if rng.random_ratio(1, 10) { twin } else { content.patient };
    let (verdict, whose) = match content.purpose {
        Purpose::Numbers(whose) if rng.random_ratio(3, 5) => (Verdict::Eligible, whose),
        Purpose::Numbers(whose) => (Verdict::Ineligible(Reason::NoInsuranceFound), whose),
        Purpose::Plain | Purpose::Register => (verdict(*nature), whose),
    };
    let results = match verdict {
        Verdict::Eligible => 1,
        Verdict::Ineligible(Reason::SeveralInsurances) => 2,
        Verdict::Ineligible(_) => 0,
    };
    (verdict, vec![whose; results])
}

fn verdict(nature: usize) -> Verdict {
    match nature {
        0 => Verdict::Ineligible(Reason::InsuranceInvalid(Some("01".into()))),
        1 => Verdict::Ineligible(Reason::NewInsurance),
        2 => Verdict::Ineligible(Reason::NoInsuranceFound),
        3 => Verdict::Ineligible(Reason::SeveralInsurances),
        NOT_REGISTERED => Verdict::Ineligible(Reason::CardNotRegistered),
        5 => Verdict::Ineligible(Reason::CertificateRevoked),
        _ => Verdict::Eligible,
    }
}

fn answer(entry: &Entry) -> Answer {
    match &entry.reply {
        Some(Reply::Rejected(Rejection { code })) if code == UNKNOWN_REQUEST => Answer::Rejected(UNKNOWN_REQUEST),
        Some(Reply::Rejected(_)) => Answer::Rejected(BAD_SIGNATURE),
        Some(reply) => Answer::Replied((reply.clone(), entry.about.clone())),
        None => Answer::Taken,
    }
}

//! Builders for the store's tests.

use super::papers::{Filed, Note, Paper};
use super::{
    CaseRow, CaseWrite, Destination, Lane, NewCase, Opening, OutboxRow, Proof, Recording, Request, RequestKind,
    Settlement, Store, StoreConfig, keys::Keys, model::Model,
};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use uketsuke_core::answer::{Reason, Verdict};
use uketsuke_core::clock::{Mono, Now, Stamp};
use uketsuke_core::consent::{Consent, ConsentKind, GivenBy};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::{Answered, Case, Cause, Event, PersonMatch, Rules};
use uketsuke_core::record::{Evidence, Reply, Shown, StaffName, Verification};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Where the tests' clock stands.
pub(super) const NOON_MS: i64 = 1_800_000_000_000;

pub(super) fn at(ms: i64) -> Stamp {
    Stamp { wall_ms: NOON_MS + ms, synchronised: true }
}

pub(super) fn reception(number: u32) -> ReceptionId {
    ReceptionId(Uuid::from_u128(0x1000_0000 + u128::from(number)))
}

pub(super) fn eligibility(number: u32) -> Request {
    Request {
        id: RequestId(Uuid::from_u128(0x2000_0000 + u128::from(number))),
        kind: RequestKind::Eligibility,
        body: Zeroizing::new(format!("MARKED-QUESTION {number}").into_bytes()),
        proof: Proof::Signed(Zeroizing::new(format!("MARKED-PROOF {number}").into_bytes())),
    }
}

pub(super) fn consent_request(number: u32) -> Request {
    Request {
        id: RequestId(Uuid::from_u128(0x3000_0000 + u128::from(number))),
        kind: RequestKind::Consent,
        body: Zeroizing::new(format!("MARKED-CONSENT {number}").into_bytes()),
        proof: Proof::Gateway,
    }
}

pub(super) fn patient(number: u8) -> OrderKey {
    OrderKey([number; 32])
}

/// Reception `number` of a patient at desk-1/a.
pub(super) fn opening(number: u32, patient_number: u8) -> Opening {
    Opening {
        reception: reception(number),
        reader: "desk-1/a".into(),
        order_key: patient(patient_number),
        evidence: Evidence::of(Verification::by_face(0.682_251)),
        opened: Now { stamp: at(i64::from(number)), mono: Mono(u64::from(number)), boot: 1 },
        request: eligibility(number),
    }
}

pub(super) fn recording(number: u32, shown: Shown) -> Recording {
    Recording {
        reception: reception(number),
        shown,
        consents: vec![Consent::new(ConsentKind::Checkups, true, at(1), GivenBy::Patient)],
        request: Some(consent_request(number)),
        case: None,
        recorded: at(1000 + i64::from(number)),
    }
}

pub(super) fn now() -> Now {
    Now { boot: 1, mono: Mono(0), stamp: at(0) }
}

pub(super) fn note(text: &str) -> Paper {
    Paper { filed: Filed::Note(Note::new(text).unwrap()), by: StaffName::new("7").unwrap(), at: at(1) }
}

/// A case that asks again as soon as its answer is "not found".
pub(super) fn new_case(number: u32) -> NewCase {
    let rules = Rules { later_data_after: vec![Duration::ZERO], ..Rules::default() };
    let case = Case::open(rules, now(), Cause::NoAnswer, &mut Vec::new());
    NewCase { case, asked: eligibility(number).id, papers: vec![note("MARKED-NOTE")] }
}

pub(super) fn with_case(number: u32) -> Recording {
    Recording { case: Some(new_case(number)), ..recording(number, Shown::Provisional) }
}

/// The step in which `row` is answered with "not found" and asks again, as request `number`.
pub(super) fn case_write(row: &CaseRow, number: u32) -> CaseWrite {
    let verdict = Verdict::Ineligible(Reason::NoInsuranceFound);
    let answered = Answered { verdict, results: 0, person: PersonMatch::NothingToCompare };
    let mut case = row.case.clone();
    case.step(now(), Event::Answer { ask: 0, answered }, &mut Vec::new());
    assert_eq!(case.ask(), 1);
    let (papers, request) = (vec![note("MARKED-NEWS")], Some(follow_up(number)));
    let CaseRow { reception, version, .. } = *row;
    CaseWrite {
        reception,
        version,
        case,
        papers,
        request,
        stands_alone: false,
        lane: Lane::Backlog,
        consents: None,
        at: at(7000),
    }
}

pub(super) fn follow_up(number: u32) -> Request {
    Request {
        id: RequestId(Uuid::from_u128(0x4000_0000 + u128::from(number))),
        kind: RequestKind::FollowUp,
        body: Zeroizing::new(format!("MARKED-FOLLOW-UP {number}").into_bytes()),
        proof: Proof::Gateway,
    }
}

pub(super) fn eligible() -> Reply {
    Reply::Answered { verdict: Verdict::Eligible, unmapped_characters: false }
}

pub(super) fn answered() -> Settlement {
    Settlement::Answered { reply: eligible(), answer: Zeroizing::new(b"MARKED-ANSWER".to_vec()) }
}

/// A store under test, and what it takes to crash it.
pub(super) struct Rig {
    pub(super) store: Store,
    disk: Option<(TempDir, Keys)>,
}

pub(super) fn config(folder: &Path) -> StoreConfig {
    StoreConfig { ballast_bytes: 0, ..StoreConfig::new(folder.join("store.db")) }
}

impl Rig {
    pub(super) fn model() -> Self {
        Self { store: Store::model(), disk: None }
    }

    pub(super) async fn sqlite() -> Self {
        let (folder, keys) = (tempfile::tempdir().unwrap(), Keys::random());
        let store = Store::open(&config(folder.path()), keys.clone()).await.unwrap();
        Self { store, disk: Some((folder, keys)) }
    }

    /// The power goes, and comes back: only what was on disk at that moment is left.
    pub(super) async fn crash(self) -> Self {
        if let Some(model) = self.store.as_model() {
            return Self { store: Model::crash(model), disk: None };
        }
        let (folder, keys) = self.disk.unwrap();
        let after = snapshot(folder.path());
        self.store.as_sqlite().unwrap().writer.as_ref().unwrap().abort();
        let store = Store::open(&config(after.path()), keys.clone()).await.unwrap();
        Self { store, disk: Some((after, keys)) }
    }

    pub(super) async fn select(&self, limit: usize) -> Vec<OutboxRow> {
        self.store.select(Destination::Central, limit, &[], at(0).wall_ms).await.unwrap()
    }

    /// Ids of requests in the order they would go, with their lanes.
    pub(super) async fn line(&self, limit: usize) -> Vec<(RequestId, Lane)> {
        self.select(limit).await.into_iter().map(|row| (row.request.id, row.lane)).collect()
    }

    /// The seq of the row with this request.
    pub(super) async fn seq(&self, id: RequestId) -> i64 {
        let rows = self.store.outbox(Destination::Central, usize::MAX).await.unwrap();
        rows.into_iter().find(|row| row.id == id).map(|row| row.seq).unwrap()
    }

    pub(super) async fn settle(&self, id: RequestId, settlement: Settlement) {
        self.store.settle(self.seq(id).await, settlement, at(5000)).await.unwrap();
    }
}

/// A copy of the files of a store as they are now.
pub(super) fn snapshot(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal", "store.db.head"] {
        if folder.join(name).exists() {
            std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

//! Receptions as a site leaves them behind that was cut off for days: recorded as provisional, the question still in the queue.

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::path::PathBuf;
use uketsuke::central::{NewRequest, Subject, eligibility_request};
use uketsuke::clock::Clock;
use uketsuke::config::Config;
use uketsuke::store::{Keys, NewCase, Opening, Recording, Request, Store, StoreConfig};
use uketsuke_core::ids::{OrderKey, ReceptionId, RequestId};
use uketsuke_core::ladder::{Case, Cause, Rules};
use uketsuke_core::record::{Evidence, Method, Shown, Verification};
use uuid::Uuid;

use crate::pki::CardOptions;
use crate::site::Site;

/// Writes that wait for the same commit.
const TOGETHER: usize = 256;
/// Cards that the patients share. What the gateway tells patients by, the order key, each has alone.
const CARDS: usize = 32;
/// As at every site of the harness.
const INSTITUTION: &str = "1399999999";

/// Writes receptions with the gateway's own store, while no gateway runs. Their questions are those after staff looked at the
/// patient's face: no card signs them.
pub(super) struct Backlog {
    path: PathBuf,
    keys: Keys,
    clock: Clock,
    certificates: Vec<Vec<u8>>,
    /// Each has a case, led by these.
    rules: Option<Rules>,
}

impl Backlog {
    /// For a site whose gateway has run before: its keys are there.
    pub(super) fn of(site: &Site, with_cases: bool) -> Result<Self> {
        let config = Config::load(&site.config())?;
        let certificate = |index| {
            let name = format!("TEST-VALID-BACKLOG-{index}");
            let options = CardOptions { common_name: Some(name.clone()), ..CardOptions::shared() };
            Ok(site.pki.card(&name.to_lowercase(), &options)?.certificate_der)
        };
        Ok(Self {
            path: config.store.path.clone(),
            keys: Keys::load(&config.store.key_file)?,
            clock: Clock::new(config.clock.synchronised_marker.clone()),
            certificates: (0..CARDS).map(certificate).collect::<Result<_>>()?,
            rules: with_cases.then(|| config.ladder.rules()),
        })
    }

    /// The database file.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The store, for writing.
    pub(super) async fn store(&self) -> Result<Store> {
        Store::open(&StoreConfig::new(&self.path), self.keys.clone()).await.context("opening the store")
    }

    /// Adds so many receptions.
    pub(super) async fn add(&self, store: &Store, receptions: u64) -> Result<()> {
        let one = |number| async move {
            let opening = self.opening(number)?;
            let (reception, asked) = (opening.reception, opening.request.id);
            store.open_reception(opening).await?;
            let case = self.rules.as_ref().map(|rules| {
                let case = Case::open(rules.clone(), self.clock.now(), Cause::NoAnswer, &mut Vec::new());
                NewCase { case, asked, papers: Vec::new() }
            });
            let recording = Recording {
                reception,
                shown: Shown::Provisional,
                consents: Vec::new(),
                request: None,
                case,
                recorded: self.clock.stamp(),
            };
            store.record_reception(recording).await.context("recording a reception")
        };
        stream::iter(0..receptions).map(one).buffer_unordered(TOGETHER).try_collect().await
    }

    /// T1 of one more patient.
    pub(super) fn opening(&self, number: u64) -> Result<Opening> {
        let reception = ReceptionId(Uuid::now_v7());
        let certificate = &self.certificates[number as usize % self.certificates.len()];
        Ok(Opening {
            reception,
            reader: "desk-1/a".into(),
            order_key: OrderKey(rand::random()),
            evidence: Evidence::of(Verification::by(Method::Staff)),
            opened: self.clock.now(),
            request: self.question(reception, certificate),
        })
    }

    fn question(&self, reception: ReceptionId, certificate: &[u8]) -> Request {
        eligibility_request(&NewRequest {
            request: RequestId(Uuid::now_v7()),
            reception,
            medical_institution_code: INSTITUTION,
            subject: Subject::Card(certificate),
            method: Method::Staff,
            asked: self.clock.stamp(),
        })
    }
}

//! Receptions without a card: staff enter a document, or the four items while a mode allows it.
//!
//! Each is a reception like any other: T1 with its question, T2 as provisional, the answer by the same courier. Nobody stands at a reader
//! meanwhile, so there is nothing to wait for here.

use crate::central::{self, NewRequest, Numbers, Subject, eligibility_request};
use crate::clock::Clock;
use crate::modes::ModesHandle;
use crate::store::papers::{EnteredNumbers, Filed, Paper};
use crate::store::{Class, Keys, NewCase, Opening, Recording, Store, StoreError, TrailEntry};
use std::sync::Arc;
use std::time::Duration;
use uketsuke_core::clock::{Now, Stamp};
use uketsuke_core::consent::{Consent, ConsentKind, GivenBy};
use uketsuke_core::desk::{self, DeskDecision, DocumentEntry, EntryKind, Fields};
use uketsuke_core::fields::{Field, FieldProblem};
use uketsuke_core::ids::{ReceptionId, RequestId};
use uketsuke_core::ladder::{self, Case, Cause};
use uketsuke_core::modes::{FourItems, FourItemsTyped, Permission};
use uketsuke_core::person::Person;
use uketsuke_core::reception::StaffReason;
use uketsuke_core::record::{Abandonment, Basis, Evidence, Method, Shown, StaffLook, StaffName, Verification};
use uketsuke_core::rules::{Rules, Today};
use uuid::Uuid;

/// Between tries of an abandonment that a full disk refused.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Lines of the trail among which that of a document is looked for which did not count: it was written a moment ago.
const NOTED_MAX: usize = 200;

/// Where a reception without a card took place, in place of `terminal/reader`.
pub const FRONT_DESK: &str = "desk";

/// What came of an entry.
pub enum Entered {
    /// The patient is received; this is the reception.
    Received {
        /// Which.
        reception: ReceptionId,
        /// How the rules took the document; `None` for the four items.
        decision: Option<DeskDecision>,
        /// What staff should look at again.
        warnings: Vec<FieldProblem>,
    },
    /// The document does not count; the trail says so, and the patient stays on the list of those to be received.
    Otherwise {
        /// In which other way the patient is received.
        decision: DeskDecision,
        /// The line of the trail, which the same patient's reception settles; `None` when it could not be written.
        noted: Option<Uuid>,
    },
    /// These fields must be put right first.
    Problems(Vec<FieldProblem>),
    /// No mode is open that allows it.
    NotAllowed,
}

/// Why an entry could not be taken. Nothing was received; the same may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum NotEntered {
    /// It could not be written down.
    #[error("the reception cannot be written: {0}")]
    Store(#[from] StoreError),
}

/// The desk of this site. Cheap to clone.
#[derive(Clone)]
pub struct FrontDesk {
    /// Where receptions are written.
    pub store: Store,
    /// For order keys.
    pub keys: Arc<Keys>,
    /// MedicalInstitutionCode.
    pub medical_institution_code: Arc<str>,
    /// What is open.
    pub modes: ModesHandle,
    /// For the cases of these receptions.
    pub ladder: ladder::Rules,
    /// Clocks.
    pub clock: Clock,
}

impl FrontDesk {
    /// Receives a patient by a document. `limit_certificate`: whether the patient agrees that 限度額 information is given, which needs a
    /// consent where there is no card; `None` when nobody has chosen, which is a problem like any other. `instead_of`: the line of the
    /// trail about a document of this patient that did not count.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub async fn document(
        &self,
        kind: EntryKind,
        typed: &Fields<'_>,
        limit_certificate: Option<bool>,
        instead_of: Option<Uuid>,
        by: StaffName,
    ) -> Result<Entered, NotEntered> {
        let now = self.clock.now();
        let today = Today::of(now.stamp);
        let (entry, limit_certificate) = match (DocumentEntry::parse(kind, typed, today), limit_certificate) {
            (Ok(entry), Some(limit_certificate)) => (entry, limit_certificate),
            (entry, limit_certificate) => {
                let mut problems = entry.err().unwrap_or_default();
                problems.extend(limit_certificate.is_none().then(|| FieldProblem::not_asked(Field::LimitCertificate)));
                return Ok(Entered::Problems(problems));
            }
        };
        let rules = Rules::on(today);
        let decision = desk::decide(&entry, &rules, today);
        if let DeskDecision::ReceiveOtherwise { rule, .. } = decision {
            let shown = entry.document().kind;
            let line = TrailEntry::document_not_accepted(shown, rule, rules.version(), &by, now.stamp);
            return Ok(Entered::Otherwise { decision, noted: self.note(line).await });
        }
        let text = |value: &Option<uketsuke_core::fields::Personal>| {
            value.as_ref().map(|value| value.reveal().to_owned()).unwrap_or_default()
        };
        let (symbol, branch) = (text(&entry.symbol), text(&entry.branch));
        let numbers = Numbers {
            insurer: entry.insurer_number.reveal(),
            symbol: &symbol,
            number: entry.number.reveal(),
            branch: &branch,
            birthdate: entry.birthdate.reveal(),
            limit_certificate,
        };
        // The branch is left out: documents need not show it, and the same person must have the same key.
        let key = [numbers.insurer, numbers.symbol, numbers.number, numbers.birthdate].join("\u{1f}");
        let given = Consent::new(ConsentKind::LimitCertificate, limit_certificate, now.stamp, GivenBy::StaffAssisted)
            .assisted(&by);
        let filed = Filed::Numbers(EnteredNumbers {
            which: ladder::Numbers::Original,
            insurer: numbers.insurer.into(),
            symbol: numbers.symbol.into(),
            number: numbers.number.into(),
            branch: numbers.branch.into(),
            birthdate: numbers.birthdate.into(),
            limit_certificate,
            consent: Some(given.clone()),
        });
        let basis = Basis::Document { document: entry.document() };
        let asker = by.clone();
        let reception = self.receive(now, Subject::Document(numbers), &key, basis, filed, vec![given], by).await?;
        if let Some(line) = instead_of {
            self.settle(line, &asker, now.stamp).await;
        }
        Ok(Entered::Received { reception, decision: Some(decision), warnings: entry.warnings })
    }

    /// Receives a patient by name, sex, birth date and address, while a mode allows it.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub async fn four_items(&self, typed: &FourItemsTyped<'_>, by: StaffName) -> Result<Entered, NotEntered> {
        let now = self.clock.now();
        let Some(mode) = self.modes.permits(Permission::RecordWithoutCard) else { return Ok(Entered::NotAllowed) };
        let items = match FourItems::parse(typed, Today::of(now.stamp)) {
            Ok(items) => items,
            Err(problems) => return Ok(Entered::Problems(problems)),
        };
        let sex = items.sex.code().to_string();
        let key = [items.name.reveal(), &sex, items.birthdate.reveal()].join("\u{1f}");
        let filed = Filed::Person(Person {
            name: Some(items.name.reveal().into()),
            name_kana: None,
            birthdate: Some(items.birthdate.reveal().into()),
            sex: Some(sex.as_str().into()),
            address: Some(items.address.reveal().into()),
        });
        let basis = Basis::FourItems { mode };
        let asked = central::FourItems {
            name: items.name.reveal(),
            sex: &sex,
            birthdate: items.birthdate.reveal(),
            address: items.address.reveal(),
        };
        let reception = self.receive(now, Subject::FourItems(asked), &key, basis, filed, Vec::new(), by).await?;
        Ok(Entered::Received { reception, decision: None, warnings: Vec::new() })
    }

    /// Leaves a line in the trail; its id. A store that cannot keep it now must not keep the desk from receiving the patient.
    async fn note(&self, line: TrailEntry) -> Option<Uuid> {
        let id = line.id;
        match self.store.note(line).await {
            Ok(()) => Some(id),
            Err(error) => {
                tracing::error!(%error, "a line of the trail of the desk could not be kept");
                None
            }
        }
    }

    /// The patient whose document did not count has been received.
    async fn settle(&self, line: Uuid, by: &StaffName, at: Stamp) {
        let lines = self.store.trail(NOTED_MAX).await.unwrap_or_default();
        if lines.iter().any(|known| known.id == line && known.document().is_some()) {
            self.note(TrailEntry::settling(line, by, at)).await;
        }
    }

    /// Writes down that a reception was given up, as soon as the store can write again.
    fn owe_abandonment(&self, reception: ReceptionId, at: Stamp) {
        let store = self.store.clone();
        tokio::spawn(async move {
            while let Err(error) = store.abandon_reception(reception, Abandonment::NotRecorded, at).await {
                if error.class() == Class::Fatal {
                    return;
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
        });
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of one reception, and there are two callers")]
    async fn receive(
        &self,
        now: Now,
        subject: Subject<'_>,
        key: &str,
        basis: Basis,
        filed: Filed,
        consents: Vec<Consent>,
        by: StaffName,
    ) -> Result<ReceptionId, NotEntered> {
        let reception = ReceptionId(uuid::Uuid::now_v7());
        let request = RequestId(uuid::Uuid::now_v7());
        let question = eligibility_request(&NewRequest {
            request,
            reception,
            medical_institution_code: &self.medical_institution_code,
            subject,
            method: Method::Document,
            asked: now.stamp,
        });
        let look = Some(StaffLook { by: by.clone(), why: StaffReason::OwnAccord });
        let verification = Verification { look, ..Verification::by(Method::Document) };
        let opening = Opening {
            reception,
            reader: FRONT_DESK.into(),
            order_key: self.keys.order_key(key.as_bytes()),
            evidence: Evidence::new(verification, basis, now.stamp),
            opened: now,
            request: question,
        };
        self.store.open_reception(opening).await?;
        let case = Case::open(self.ladder.clone(), now, Cause::NoAnswer, &mut Vec::new());
        let papers = vec![Paper { filed, by, at: now.stamp }];
        let recording = Recording {
            reception,
            shown: Shown::Provisional,
            consents,
            // The question itself carries what was agreed.
            request: None,
            recorded: now.stamp,
            case: Some(NewCase { case, asked: request, papers }),
        };
        if let Err(error) = self.store.record_reception(recording).await {
            // Staff try again and make another one: this one must not stay open without an owner.
            self.owe_abandonment(reception, now.stamp);
            return Err(error.into());
        }
        // It counts already; whether somebody took a card away is no question here.
        if let Err(error) = self.store.close_reception(reception).await {
            tracing::warn!(%reception, %error, "a reception at the desk is recorded but not closed");
        }
        tracing::info!(%reception, "a patient was received without a card");
        Ok(reception)
    }
}

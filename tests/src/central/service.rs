//! The gRPC service: verifies, applies once, answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use uketsuke_proto::central_v1::online_eligibility_server::OnlineEligibility;
use uketsuke_proto::central_v1::{
    ConsentKind, ConsentReceipt, ConsentRecord, EligibilityAnswer, EligibilityRequest, PingReply, PingRequest, Signed,
    Signer,
};
use uuid::Uuid;

use super::class::Class;
use super::faults::{Faults, Mode};
use super::ledger::{Effect, Kind, Ledger};
use super::line::ConnectionHandle;
use super::population::{Outcome, Population};
use super::signed::{Trust, id};
use crate::clock::now_ms;

/// A consent is valid for 24 hours (domain facts A.3).
const CONSENT_VALIDITY_MS: i64 = 24 * 60 * 60 * 1000;
/// Length of the fresh challenge in a request.
const NONCE_LENGTH: usize = 32;

/// Counts since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CheckEligibility calls that arrived.
    pub eligibility_received: u64,
    /// RecordConsent calls that arrived.
    pub consent_received: u64,
    /// Ping calls that arrived.
    pub pings_received: u64,
    /// Effects applied by this process.
    pub applied: u64,
    /// Messages that arrived again after their effect was applied.
    pub repeated: u64,
    /// Calls refused for their content, by status.
    pub refused: BTreeMap<String, u64>,
    /// Calls other than pings, by the mode they met.
    pub by_mode: BTreeMap<String, u64>,
    /// TCP connections accepted.
    pub connections_accepted: u64,
    /// Handshakes that failed: no certificate, a foreign one, no TLS 1.3, or gone.
    pub handshakes_refused: u64,
    /// Connections open now.
    pub connections_open: u64,
}

/// What requests change.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) population: Population,
    pub(super) stats: Stats,
}

/// The central system behind the line.
pub(super) struct Central {
    pub(super) trust: Trust,
    pub(super) faults: Faults,
    pub(super) think_ms: u64,
    pub(super) state: Mutex<State>,
}

impl Central {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request meet the current mode: `work` is what the central system does when it does it.
    async fn meet<T>(
        &self,
        mode: Mode,
        connection: Option<ConnectionHandle>,
        work: impl FnOnce() -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        match mode {
            Mode::Hang => return std::future::pending().await,
            Mode::Error(code) => return Err(Status::new(code, "the central simulator was told to fail")),
            Mode::Busy(ms) => return Err(busy(ms)),
            Mode::Up | Mode::Down | Mode::Slow(_) | Mode::DropAnswer => {}
        }
        let think_ms = rand::rng().random_range(0..=self.think_ms);
        if think_ms > 0 {
            tokio::time::sleep(Duration::from_millis(think_ms)).await;
        }
        let done = work();
        if let Err(status) = &done {
            *self.state().stats.refused.entry(format!("{:?}", status.code())).or_default() += 1;
        }
        match (mode, connection) {
            (Mode::Slow(ms), _) => tokio::time::sleep(Duration::from_millis(ms)).await,
            (Mode::DropAnswer, Some(connection)) => {
                connection.reset();
                // The connection takes this call with it.
                return std::future::pending().await;
            }
            _ => {}
        }
        done.map(Response::new)
    }

    /// Counts a request and takes its mode.
    fn arrive(&self, count: impl FnOnce(&mut Stats)) -> Mode {
        let mode = self.faults.take();
        let stats = &mut self.state().stats;
        count(stats);
        *stats.by_mode.entry(mode.name().to_owned()).or_default() += 1;
        mode
    }

    fn check(&self, signed: &Signed) -> Result<EligibilityAnswer, Status> {
        let request: EligibilityRequest = self.trust.open(signed)?;
        let request_id = id(&request.request_id, "request_id")?;
        let reception_id = id(&request.reception_id, "reception_id")?;
        institution(&request.medical_institution_code)?;
        if request.nonce.len() != NONCE_LENGTH {
            return Err(Status::invalid_argument("nonce is not 32 bytes long"));
        }
        if signed.signer() == Signer::Card && signed.certificate != request.card_certificate {
            return Err(Status::invalid_argument("signed by another card than the one it asks for"));
        }
        self.trust.with_card(&request.card_certificate, |card| {
            let mut state = self.state();
            let payload_sha256 = hex(&signed.payload);
            let known = known(&mut state, Kind::Eligibility, request_id, &payload_sha256)?;
            let (outcome, at_ms) = match known.and_then(|effect| Some((effect.outcome?, effect.at_ms))) {
                Some(given) => given,
                None => {
                    let (outcome, at_ms) = (state.population.outcome(card), now_ms());
                    let order = hex(&request.card_certificate)[..32].to_owned();
                    let effect = effect(
                        Kind::Eligibility,
                        request_id,
                        reception_id,
                        order,
                        payload_sha256,
                        Some(outcome),
                        at_ms,
                    );
                    apply(&mut state, effect)?;
                    (outcome, at_ms)
                }
            };
            Ok(answer(&state.population, card, request_id, outcome, at_ms))
        })?
    }

    fn record(&self, signed: &Signed) -> Result<ConsentReceipt, Status> {
        let record: ConsentRecord = self.trust.open(signed)?;
        let consent_id = id(&record.consent_id, "consent_id")?;
        let reception_id = id(&record.reception_id, "reception_id")?;
        let request_id = id(&record.request_id, "request_id")?;
        institution(&record.medical_institution_code)?;
        for consent in &record.consents {
            if consent.kind() == ConsentKind::Unspecified {
                return Err(Status::invalid_argument("a consent of no known kind"));
            }
            if consent.given_at_ms.checked_add(CONSENT_VALIDITY_MS) != Some(consent.available_until_ms) {
                return Err(Status::invalid_argument("a consent is valid for 24 hours"));
            }
        }
        let mut state = self.state();
        let payload_sha256 = hex(&signed.payload);
        let recorded_at_ms = match known(&mut state, Kind::Consent, consent_id, &payload_sha256)? {
            Some(effect) => effect.at_ms,
            None => {
                let Some(request) = state.ledger.find(Kind::Eligibility, request_id) else {
                    return Err(Status::failed_precondition("the consent refers to an unknown request"));
                };
                if request.reception_id != reception_id {
                    return Err(Status::invalid_argument("the consent's request is of another reception"));
                }
                let (order, at_ms) = (request.order.clone(), now_ms());
                apply(&mut state, effect(Kind::Consent, consent_id, reception_id, order, payload_sha256, None, at_ms))?;
                at_ms
            }
        };
        Ok(ConsentReceipt { consent_id: record.consent_id, recorded_at_ms })
    }
}

/// The effect already applied under this id; counts the repetition. INVALID_ARGUMENT when the payload differs.
fn known(state: &mut State, kind: Kind, id: Uuid, payload_sha256: &str) -> Result<Option<Effect>, Status> {
    let Some(effect) = state.ledger.find(kind, id).cloned() else { return Ok(None) };
    if effect.payload_sha256 != payload_sha256 {
        return Err(Status::invalid_argument("this id was used with another payload"));
    }
    state.ledger.repeat(kind, id, now_ms()).map_err(|error| Status::internal(format!("{error:#}")))?;
    state.stats.repeated += 1;
    Ok(Some(effect))
}

fn apply(state: &mut State, effect: Effect) -> Result<(), Status> {
    state.ledger.apply(effect).map_err(|error| Status::internal(format!("{error:#}")))?;
    state.stats.applied += 1;
    Ok(())
}

fn effect(
    kind: Kind,
    id: Uuid,
    reception_id: Uuid,
    order: String,
    payload_sha256: String,
    outcome: Option<Outcome>,
    at_ms: i64,
) -> Effect {
    Effect {
        seq: 0,
        kind,
        id,
        reception_id,
        order,
        payload_sha256,
        outcome,
        at_ms,
        times_applied: 0,
        times_received: 0,
    }
}

fn answer(
    population: &Population,
    card: super::population::CardIdentity<'_>,
    request_id: Uuid,
    outcome: Outcome,
    at_ms: i64,
) -> EligibilityAnswer {
    let revoked = outcome.class == Class::Revoked;
    EligibilityAnswer {
        request_id: request_id.as_bytes().to_vec(),
        processing_result_status: if revoked { "2" } else { "1" }.to_owned(),
        // The published code list is not known to us; SIM marks these as the simulator's own.
        processing_result_code: if revoked { "SIM0001".to_owned() } else { String::new() },
        processing_result_message: if revoked {
            "利用者証明用電子証明書が失効しています。".to_owned()
        } else {
            String::new()
        },
        qualification_validity: outcome.class.validity_code().to_owned(),
        results: population.qualifications(card, outcome),
        card_registered: outcome.class != Class::Unregistered,
        certificate_revoked: revoked,
        answered_at_ms: at_ms,
    }
}

/// RESOURCE_EXHAUSTED with the wait in both customary forms: whole seconds as in HTTP, and milliseconds as in gRPC's
/// retry design (gRFC A6).
fn busy(ms: u64) -> Status {
    let mut status = Status::resource_exhausted("the central simulator was told to be busy");
    status.metadata_mut().insert("retry-after", MetadataValue::from(ms.div_ceil(1000)));
    status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from(ms));
    status
}

fn institution(code: &str) -> Result<(), Status> {
    if code.len() == 10 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(Status::invalid_argument("medical_institution_code is not ten digits"))
    }
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The service as tonic wants it.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Central>);

#[tonic::async_trait]
impl OnlineEligibility for Service {
    async fn check_eligibility(&self, request: Request<Signed>) -> Result<Response<EligibilityAnswer>, Status> {
        let mode = self.0.arrive(|stats| stats.eligibility_received += 1);
        let connection = request.extensions().get().cloned();
        self.0.meet(mode, connection, || self.0.check(request.get_ref())).await
    }

    async fn record_consent(&self, request: Request<Signed>) -> Result<Response<ConsentReceipt>, Status> {
        let mode = self.0.arrive(|stats| stats.consent_received += 1);
        let connection = request.extensions().get().cloned();
        self.0.meet(mode, connection, || self.0.record(request.get_ref())).await
    }

    /// A ping has no effect, so there is no answer whose loss would matter: `drop_answer` does not touch it.
    async fn ping(&self, _request: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
        self.0.state().stats.pings_received += 1;
        let (mode, _) = self.0.faults.current();
        self.0.meet(mode, None, || Ok(PingReply { central_time_ms: now_ms() })).await
    }
}

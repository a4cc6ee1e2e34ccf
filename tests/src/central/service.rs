//! The gRPC service: verifies, applies once, answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use uketsuke_proto::central_v1::eligibility_request::Subject;
use uketsuke_proto::central_v1::follow_up_request::Whom;
use uketsuke_proto::central_v1::online_eligibility_server::OnlineEligibility;
use uketsuke_proto::central_v1::{
    Consent, ConsentKind, ConsentReceipt, ConsentRecord, EligibilityAnswer, EligibilityRequest, FollowUpRequest,
    GivenBy, PingReply, PingRequest, Qualification, QualificationConfirmSearchInfo, Signed, Signer, Verification,
    follow_up_request,
};
use uuid::Uuid;

use super::certificates;
use super::class::Class;
use super::faults::{Faults, Method, Mode, Switch, Whose};
use super::ledger::{Effect, GivenConsent, Kind, Ledger, Purpose};
use super::line::ConnectionHandle;
use super::numbers::Numbers;
use super::odd::Spoil;
use super::population::{CardIdentity, Outcome, Population, Which, hex, unhex};
use super::signed::{Trust, id};
use crate::clock::now_ms;
use crate::pki::serial_of_der;

/// A consent is valid for 24 hours (domain facts A.3).
const CONSENT_VALIDITY_MS: i64 = 24 * 60 * 60 * 1000;
/// By how much a site's clock may be ahead of ours.
const ASKED_AHEAD_MAX_MS: i64 = 10 * 60 * 1000;
/// A request larger than this makes no sense; gateways keep none that is.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Length of the fresh challenge in a request.
const NONCE_LENGTH: usize = 32;

/// Counts since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CheckEligibility calls that arrived.
    pub eligibility_received: u64,
    /// RecordConsent calls that arrived.
    pub consent_received: u64,
    /// AskAgain calls that arrived.
    #[serde(default)]
    pub follow_up_received: u64,
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
    /// Finished handshakes, by the serial of the client's certificate.
    #[serde(default)]
    pub handshakes: BTreeMap<String, u64>,
    /// Failed handshakes, by reason.
    #[serde(default)]
    pub handshakes_refused_why: BTreeMap<String, u64>,
}

/// What requests change.
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) population: Population,
    pub(super) stats: Stats,
}

impl State {
    /// Goes on where the ledger ends: who is known by numbers, and what holds for them since.
    pub(super) fn new(ledger: Ledger, mut population: Population) -> Self {
        for effect in ledger.effects().iter().filter(|effect| !effect.by_numbers) {
            if let (Some(outcome), Some(serial)) = (effect.outcome, unhex(&effect.person)) {
                population.settle(&serial, outcome);
                population.meet(CardIdentity { serial: &serial, common_name: "" });
            }
        }
        Self { ledger, population, stats: Stats::default() }
    }
}

/// The central system behind the line.
pub(super) struct Central {
    pub(super) trust: Trust,
    pub(super) faults: Faults,
    pub(super) think_ms: u64,
    /// By how much this clock is ahead of the machine's.
    pub(super) ahead_ms: AtomicI64,
    pub(super) state: Mutex<State>,
}

impl Central {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_clock_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    pub(super) fn now_ms(&self) -> i64 {
        now_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Lets a request meet the current mode: `work` is what the central system does when it does it.
    async fn meet<T: Spoil>(
        &self,
        mode: Mode,
        connection: Option<ConnectionHandle>,
        work: impl FnOnce() -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        match mode {
            Mode::Hang => return std::future::pending().await,
            Mode::Error(code) | Mode::Refuse(code) => {
                return Err(Status::new(code, "the central simulator was told to fail"));
            }
            Mode::Busy(ms) => return Err(busy(ms)),
            Mode::Up | Mode::Down | Mode::Slow(_) | Mode::DropAnswer | Mode::Odd(_) => {}
        }
        let think_ms = rand::rng().random_range(0..=self.think_ms);
        if think_ms > 0 {
            tokio::time::sleep(Duration::from_millis(think_ms)).await;
        }
        let mut done = work();
        if let (Mode::Odd(odd), Ok(answer)) = (mode, &mut done) {
            let former = self.state().ledger.effects().iter().nth_back(1).map(|effect| effect.id);
            answer.spoil(odd, former.unwrap_or_default());
        }
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

    /// Lets a request meet `mode` when its signer is believed on the connection it came over.
    async fn serve<T: Spoil>(
        &self,
        mode: Mode,
        request: &Request<Signed>,
        work: impl FnOnce(&Signed) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let connection: Option<ConnectionHandle> = request.extensions().get().cloned();
        let believed = by_the_connection(connection.as_ref(), request.get_ref());
        self.meet(mode, connection, || believed.and_then(|()| work(request.get_ref()))).await
    }

    /// Counts a request and takes its mode.
    fn arrive(&self, method: Method, request: &Request<Signed>, count: impl FnOnce(&mut Stats)) -> Mode {
        let mode = self.faults.take(method, |whose| is_of(request, whose));
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
        let subject = self.subject(signed, &request)?;
        let mut state = self.state();
        let effect = once(&mut state, Kind::Eligibility, request_id, &signed.payload, self.now_ms(), |state, new| {
            let verification = request.verification();
            let effect = Effect { reception_id, proven: proves(verification), ..new };
            Ok(match &subject {
                Asked::Card { holder, order } => {
                    let card = holder.card();
                    state.population.meet(card);
                    let outcome = Some(state.population.outcome(card));
                    Effect { order: order.clone(), person: hex(&holder.serial), outcome, ..effect }
                }
                Asked::Numbers(numbers) => by_numbers(&state.population, numbers, effect, |outcome| outcome),
            })
        })?;
        Ok(answer(&state, &effect, &request.medical_institution_code, search_of(&request)))
    }

    /// Whom a request asks about, once it is known to be asked in a way that may be believed.
    fn subject(&self, signed: &Signed, request: &EligibilityRequest) -> Result<Asked, Status> {
        let by_document = request.verification() == Verification::Document;
        let at_ms = self.asked_at(request.asked_at_ms, request.clock_synchronised)?;
        match &request.subject {
            None => Err(Status::invalid_argument("it asks about nobody")),
            Some(_) if request.verification() == Verification::Unspecified => {
                Err(Status::invalid_argument("no known way of verification"))
            }
            Some(Subject::CardCertificate(certificate)) => {
                if signed.signer() == Signer::Card && signed.certificate != *certificate {
                    return Err(Status::invalid_argument("signed by another card than the one it asks for"));
                }
                if by_document {
                    return Err(Status::invalid_argument("a card is no document"));
                }
                // A request that waited proves what it proved when it was made, so the dates are those of the asking.
                let holder = self.trust.with_card(certificate, at_ms, Holder::of)?;
                Ok(Asked::Card { holder, order: sha256(certificate)[..32].to_owned() })
            }
            Some(Subject::Search(search)) => {
                if !by_document || signed.signer() != Signer::Gateway {
                    return Err(Status::invalid_argument("numbers are asked for by the gateway, from a document"));
                }
                Numbers::asked(search).map(Asked::Numbers).map_err(Status::invalid_argument)
            }
            Some(Subject::FourItems(items)) => {
                if !by_document || signed.signer() != Signer::Gateway {
                    return Err(Status::invalid_argument(
                        "the four items are asked for by the gateway, without a card",
                    ));
                }
                Numbers::of_items(items).map(Asked::Numbers).map_err(Status::invalid_argument)
            }
        }
    }

    /// When something was asked, if its clock can be believed; a time that is still to come cannot be.
    fn asked_at(&self, asked_at_ms: i64, synchronised: bool) -> Result<Option<i64>, Status> {
        let at_ms = synchronised.then_some(asked_at_ms);
        if at_ms.is_some_and(|at_ms| at_ms > self.now_ms().saturating_add(ASKED_AHEAD_MAX_MS)) {
            return Err(Status::invalid_argument("asked in the future"));
        }
        Ok(at_ms)
    }

    fn ask_again(&self, signed: &Signed) -> Result<EligibilityAnswer, Status> {
        let request: FollowUpRequest = self.trust.open(signed)?;
        if signed.signer() != Signer::Gateway {
            return Err(Status::invalid_argument("a follow-up is signed by the gateway"));
        }
        let follow_up_id = id(&request.follow_up_id, "follow_up_id")?;
        let reception_id = id(&request.reception_id, "reception_id")?;
        institution(&request.medical_institution_code)?;
        self.asked_at(request.asked_at_ms, request.clock_synchronised)?;
        let purpose = match request.purpose() {
            follow_up_request::Purpose::Register => Purpose::Register,
            follow_up_request::Purpose::Recheck => Purpose::Recheck,
            follow_up_request::Purpose::Unspecified => return Err(Status::invalid_argument("no known purpose")),
        };
        let request_id = match request.request_id.as_slice() {
            [] => None,
            bytes => Some(id(bytes, "request_id")?),
        };
        let (search, numbers) = match &request.whom {
            None => (None, Ok(None)),
            Some(Whom::Search(search)) => (Some(search), Numbers::asked(search).map(Some)),
            Some(Whom::FourItems(items)) => (None, Numbers::of_items(items).map(Some)),
        };
        let numbers = numbers.map_err(Status::invalid_argument)?;
        if purpose == Purpose::Register && (request_id.is_none() || numbers.is_some()) {
            return Err(Status::invalid_argument(
                "registering takes the request that proved the person, and nothing to look by",
            ));
        }
        if request_id.is_none() && numbers.is_none() {
            return Err(Status::invalid_argument("it asks about nobody"));
        }
        let mut state = self.state();
        let effect = once(&mut state, Kind::FollowUp, follow_up_id, &signed.payload, self.now_ms(), |state, new| {
            let effect = Effect { reception_id, request_id, purpose: Some(purpose), ..new };
            follow_up(state, effect, purpose, numbers.as_ref())
        })?;
        Ok(answer(&state, &effect, &request.medical_institution_code, search))
    }

    fn record(&self, signed: &Signed) -> Result<ConsentReceipt, Status> {
        let record: ConsentRecord = self.trust.open(signed)?;
        let consent_id = id(&record.consent_id, "consent_id")?;
        let reception_id = id(&record.reception_id, "reception_id")?;
        let request_id = id(&record.request_id, "request_id")?;
        institution(&record.medical_institution_code)?;
        let consents = record.consents.iter().map(consent).collect::<Result<Vec<_>, _>>()?;
        let mut state = self.state();
        let effect = once(&mut state, Kind::Consent, consent_id, &signed.payload, self.now_ms(), |state, new| {
            let later = || state.ledger.find(Kind::FollowUp, request_id).filter(|later| may_be_named(later));
            let Some(request) = state.ledger.find(Kind::Eligibility, request_id).or_else(later) else {
                return Err(Status::failed_precondition("the consent refers to an unknown request"));
            };
            if request.reception_id != reception_id {
                return Err(Status::invalid_argument("the consent's request is of another reception"));
            }
            let order = request.order.clone();
            Ok(Effect { reception_id, order, request_id: Some(request_id), consents, ..new })
        })?;
        Ok(ConsentReceipt { consent_id: record.consent_id, recorded_at_ms: effect.at_ms })
    }
}

/// Whom an eligibility request asks about.
enum Asked {
    Card { holder: Holder, order: String },
    Numbers(Numbers),
}

/// A card's identity, kept beyond its certificate.
struct Holder {
    serial: Vec<u8>,
    common_name: String,
}

impl Holder {
    fn of(card: CardIdentity<'_>) -> Self {
        Self { serial: card.serial.to_vec(), common_name: card.common_name.to_owned() }
    }

    fn card(&self) -> CardIdentity<'_> {
        CardIdentity { serial: &self.serial, common_name: &self.common_name }
    }
}

fn proves(verification: Verification) -> bool {
    matches!(verification, Verification::Face | Verification::Pin | Verification::PinByProxy)
}

fn search_of(request: &EligibilityRequest) -> Option<&QualificationConfirmSearchInfo> {
    match &request.subject {
        Some(Subject::Search(search)) => Some(search),
        _ => None,
    }
}

/// Whether a consent may name this follow-up: it named no request itself, and somebody insured was found.
fn may_be_named(later: &Effect) -> bool {
    let insured = |outcome: Outcome| matches!(outcome.class, Class::Valid | Class::Several | Class::ValidUnregistered);
    later.request_id.is_none() && later.outcome.is_some_and(insured)
}

fn consent(consent: &Consent) -> Result<GivenConsent, Status> {
    let (kind, given_by) = (consent.kind(), consent.given_by());
    if kind == ConsentKind::Unspecified {
        return Err(Status::invalid_argument("a consent of no known kind"));
    }
    if given_by == GivenBy::Unspecified || consent.text_version.is_empty() {
        return Err(Status::invalid_argument("a consent does not say who gave it to which text"));
    }
    if given_by == GivenBy::NotAnswered && consent.agreed {
        return Err(Status::invalid_argument("a consent is never assumed"));
    }
    if consent.given_at_ms.checked_add(CONSENT_VALIDITY_MS) != Some(consent.available_until_ms) {
        return Err(Status::invalid_argument("a consent is valid for 24 hours"));
    }
    Ok(GivenConsent {
        kind: kind.as_str_name().to_owned(),
        agreed: consent.agreed,
        given_by: given_by.as_str_name().to_owned(),
        text_version: consent.text_version.clone(),
        given_at_ms: consent.given_at_ms,
    })
}

/// What a follow-up comes to.
fn follow_up(state: &mut State, effect: Effect, purpose: Purpose, numbers: Option<&Numbers>) -> Result<Effect, Status> {
    let asked = match effect.request_id {
        None => None,
        Some(request) => match state.ledger.find(Kind::Eligibility, request) {
            // The gateway keeps the order of a patient's requests, so it is on its way: no verdict on this one.
            None => return Err(Status::failed_precondition("the follow-up refers to an unknown request")),
            found => found.cloned(),
        },
    };
    let Some(asked) = asked else {
        let Some(numbers) = numbers else { return Err(Status::invalid_argument("it asks about nobody")) };
        return Ok(by_numbers(&state.population, numbers, effect, Outcome::again));
    };
    if purpose == Purpose::Register && !asked.proven {
        return Err(Status::invalid_argument("registering needs a person who was proven by face or PIN"));
    }
    let effect = Effect { order: asked.order.clone(), ..effect };
    let revoked = asked.outcome.is_some_and(|outcome| outcome.class == Class::Revoked);
    if let (Some(numbers), false) = (numbers, revoked) {
        let order = effect.order.clone();
        return Ok(Effect { order, ..by_numbers(&state.population, numbers, effect, Outcome::again) });
    }
    if asked.by_numbers {
        return Err(Status::invalid_argument("who has no card is asked about again by the numbers or the four items"));
    }
    let serial = unhex(&asked.person).unwrap_or_default();
    let outcome = match (asked.outcome, purpose) {
        // Revoked once is revoked for ever.
        (Some(told), _) if revoked => told,
        (_, Purpose::Register) => state.population.outcome_of(&serial).registered(),
        (_, Purpose::Recheck) => state.population.outcome_of(&serial).again(),
    };
    state.population.settle(&serial, outcome);
    Ok(Effect { person: asked.person, outcome: Some(outcome), ..effect })
}

/// The effect about whoever has these numbers; `when` says which of their outcomes holds.
fn by_numbers(
    population: &Population,
    numbers: &Numbers,
    effect: Effect,
    when: impl FnOnce(Outcome) -> Outcome,
) -> Effect {
    let order = hex(&numbers.key())[..32].to_owned();
    let effect = Effect { order, by_numbers: true, ..effect };
    match population.find(numbers) {
        None => Effect { outcome: Some(Outcome::NOBODY), ..effect },
        Some(found) => {
            let outcome = when(population.outcome_of(&found.person)).by_numbers(found.which);
            Effect { person: hex(&found.person), outcome: Some(outcome), ..effect }
        }
    }
}

/// Applies what `decide` comes to under this id, or finds what was applied before.
fn once(
    state: &mut State,
    kind: Kind,
    id: Uuid,
    payload: &[u8],
    at_ms: i64,
    decide: impl FnOnce(&mut State, Effect) -> Result<Effect, Status>,
) -> Result<Effect, Status> {
    let payload_sha256 = sha256(payload);
    if let Some(effect) = known(state, kind, id, &payload_sha256, at_ms)? {
        return Ok(effect);
    }
    let effect = decide(state, Effect { payload_sha256, at_ms, ..Effect::new(kind, id) })?;
    let effect = state.ledger.apply(effect).map_err(|error| Status::internal(format!("{error:#}")))?;
    state.stats.applied += 1;
    Ok(effect)
}

/// The effect already applied under this id; counts the repetition. INVALID_ARGUMENT when the payload differs.
fn known(state: &mut State, kind: Kind, id: Uuid, payload_sha256: &str, at_ms: i64) -> Result<Option<Effect>, Status> {
    let Some(effect) = state.ledger.find(kind, id).cloned() else { return Ok(None) };
    if effect.payload_sha256 != payload_sha256 {
        return Err(Status::invalid_argument("this id was used with another payload"));
    }
    state.ledger.repeat(kind, id, at_ms).map_err(|error| Status::internal(format!("{error:#}")))?;
    state.stats.repeated += 1;
    Ok(Some(effect))
}

/// The answer that an effect stands for: made of the ledger and the message alone, so that it is the same for ever.
fn answer(
    state: &State,
    effect: &Effect,
    medical_institution_code: &str,
    search: Option<&QualificationConfirmSearchInfo>,
) -> EligibilityAnswer {
    let outcome = effect.outcome.unwrap_or(Outcome::NOBODY);
    let revoked = outcome.class == Class::Revoked;
    let consents = effect.request_id.map(|request| state.ledger.consents(request, effect.seq)).unwrap_or_default();
    let person = unhex(&effect.person).unwrap_or_default();
    let mut results = state.population.qualifications(CardIdentity { serial: &person, common_name: "" }, outcome);
    if let (Some(search), Some(first), Which::Current) = (search, results.first_mut(), outcome.which) {
        as_on_document(first, &person, search);
    }
    let asked = match search {
        Some(search) => certificates::Asked::ByNumbers {
            limit_certificate: search.limit_application_certificate_related_cons_flg == "1",
        },
        None => certificates::Asked::ByCard,
    };
    for result in &mut results {
        certificates::disclose(result, asked, &consents, effect.at_ms);
        result.arbitrary_identifier = search.map(|search| search.arbitrary_identifier.clone()).unwrap_or_default();
    }
    let executed = certificates::stamp(effect.at_ms);
    EligibilityAnswer {
        request_id: effect.id.as_bytes().to_vec(),
        processing_result_status: if revoked { "2" } else { "1" }.to_owned(),
        // The published code list is not known to us; SIM marks these as the simulator's own.
        processing_result_code: if revoked { "SIM0001" } else { "" }.to_owned(),
        processing_result_message: if revoked {
            "利用者証明用電子証明書が失効しています。"
        } else {
            ""
        }
        .to_owned(),
        qualification_validity: outcome.class.validity_code().to_owned(),
        results,
        card_registered: outcome.class != Class::Unregistered,
        certificate_revoked: revoked,
        answered_at_ms: effect.at_ms,
        qualification_confirmation_date: executed[..8].to_owned(),
        process_execution_time: executed,
        medical_institution_code: medical_institution_code.to_owned(),
        arbitrary_file_identifier: effect.id.simple().to_string(),
        reference_classification: if search.is_some() { "2" } else { "1" }.to_owned(),
        segment_of_result: "1".to_owned(),
        error_code: String::new(),
        error_message: String::new(),
        character_code_identifier: "0".to_owned(),
        prescription_issue_select: certificates::prescription(&consents),
        search: search.cloned(),
    }
}

/// Somebody who is known by a document alone has what stands on it.
fn as_on_document(qualification: &mut Qualification, person: &[u8], search: &QualificationConfirmSearchInfo) {
    let Ok(numbers) = Numbers::asked(search) else { return };
    if numbers.key() != person {
        return;
    }
    qualification.insurer_number = format!("{:>8}", numbers.insurer);
    qualification.insured_card_symbol = numbers.symbol;
    qualification.insured_identification_number = numbers.number;
    qualification.birthdate = numbers.birthdate;
    if !numbers.branch.is_empty() {
        qualification.insured_branch_number = numbers.branch;
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

/// Whether a request is of this gateway.
fn is_of(request: &Request<Signed>, whose: &Whose) -> bool {
    let shows = |certificate: &[u8], serial: &String| serial_of_der(certificate).is_ok_and(|found| found == *serial);
    match whose {
        Whose::Connection(serial) => {
            request.extensions().get::<ConnectionHandle>().is_some_and(|connection| shows(connection.shown(), serial))
        }
        Whose::Signer(serial) => {
            let signed = request.get_ref();
            signed.signer() == Signer::Gateway && shows(&signed.certificate, serial)
        }
    }
}

/// A gateway signs with the pair of its connection: one that signs as another is not believed.
fn by_the_connection(connection: Option<&ConnectionHandle>, signed: &Signed) -> Result<(), Status> {
    let shown = connection.is_some_and(|connection| connection.has_shown(&signed.certificate));
    if signed.signer() != Signer::Gateway || shown {
        return Ok(());
    }
    Err(Status::permission_denied("signed by another certificate than the one of the connection"))
}

fn institution(code: &str) -> Result<(), Status> {
    if code.len() == 10 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(Status::invalid_argument("medical_institution_code is not ten digits"))
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The service as tonic wants it.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Central>);

#[tonic::async_trait]
impl OnlineEligibility for Service {
    async fn check_eligibility(&self, request: Request<Signed>) -> Result<Response<EligibilityAnswer>, Status> {
        let mode = self.0.arrive(Method::Eligibility, &request, |stats| stats.eligibility_received += 1);
        if request.extensions().get().is_some_and(ConnectionHandle::leaves_out_one_method) {
            return std::future::pending().await;
        }
        self.0.serve(mode, &request, |signed| self.0.check(signed)).await
    }

    async fn ask_again(&self, request: Request<Signed>) -> Result<Response<EligibilityAnswer>, Status> {
        let mode = self.0.arrive(Method::FollowUp, &request, |stats| stats.follow_up_received += 1);
        self.0.serve(mode, &request, |signed| self.0.ask_again(signed)).await
    }

    async fn record_consent(&self, request: Request<Signed>) -> Result<Response<ConsentReceipt>, Status> {
        let mode = self.0.arrive(Method::Consent, &request, |stats| stats.consent_received += 1);
        self.0.serve(mode, &request, |signed| self.0.record(signed)).await
    }

    /// A ping has no effect, so there is no answer whose loss would matter: `drop_answer` does not touch it. `refuse` is about requests, and so
    /// is whatever is about one kind of them or about one gateway.
    async fn ping(&self, _request: Request<PingRequest>) -> Result<Response<PingReply>, Status> {
        self.0.state().stats.pings_received += 1;
        let Switch { mode, .. } = Some(self.0.faults.current()).filter(Switch::is_about_all).unwrap_or(Switch::UP);
        self.0.meet(mode, None, || Ok(PingReply { central_time_ms: self.0.now_ms() })).await
    }
}
